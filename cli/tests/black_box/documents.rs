//! What the READMEs say holds: their commands run, their links lead somewhere, their tables are whole.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Scratch, programs};

fn root() -> PathBuf {
    programs("..").canonicalize().expect("the workspace")
}

fn directories() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(programs(""))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_dir() && !p.ends_with("include"))
        .collect();
    all.sort();
    all
}

fn documents() -> Vec<PathBuf> {
    let mut all = vec![root().join("README.md"), programs("README.md")];
    all.extend(directories().iter().map(|d| d.join("README.md")));
    all
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn links_lead_somewhere() {
    for document in documents() {
        for target in read(&document).split("](").skip(1) {
            let target = target.split(')').next().unwrap();
            let there = document.parent().unwrap().join(target);
            assert!(there.exists(), "{}: {target}", document.display());
        }
    }
}

#[test]
fn tables_are_whole() {
    let table = read(&programs("README.md"));
    for directory in directories() {
        let name = directory.file_name().unwrap().to_str().unwrap().to_string();
        assert!(
            table.contains(&format!("({name}/README.md)")),
            "{name} is not in the table"
        );
    }
    let scripts = read(&programs("scripts/README.md"));
    for entry in std::fs::read_dir(programs("scripts")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name == "README.md" || scripts.contains(&format!("({name})")),
            "{name}"
        );
    }
    let unsafe_table = read(&programs("unsafe/README.md"));
    for entry in std::fs::read_dir(programs("unsafe")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".bpf.c") && !name.ends_with(".s") {
            continue;
        }
        let text = read(&path);
        let mark = text
            .split("!! ")
            .nth(1)
            .and_then(|t| t.split_whitespace().next());
        let mark = mark.unwrap_or_else(|| panic!("{name} marks no line"));
        let row = unsafe_table
            .lines()
            .find(|l| l.contains(&format!("({name})")))
            .unwrap_or_else(|| panic!("{name} is not in the table"));
        assert!(row.starts_with(&format!("| `{mark}` |")), "{name}: {row}");
    }
}

/// The `probity` commands of a document's code blocks with what is shown below them.
fn commands(document: &Path) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let (mut inside, mut console) = (false, false);
    for line in read(document).lines() {
        if let Some(kind) = line.strip_prefix("```") {
            inside = !inside && (kind == "sh" || kind == "console");
            console = kind == "console";
            continue;
        }
        let command = if console {
            line.strip_prefix("$ ")
        } else {
            Some(line)
        };
        match command {
            Some(command) if inside => found.push((command.to_string(), String::new())),
            _ if inside => {
                let (_, shown) = found.last_mut().expect("a command above its output");
                *shown += line;
                *shown += "\n";
            }
            _ => {}
        }
    }
    found.retain(|(c, _)| c.starts_with("probity "));
    found
}

/// Commands that need neither root nor a live kernel, run where `programs/` is at hand.
#[test]
fn commands_run() {
    let scratch = Scratch::new();
    std::os::unix::fs::symlink(
        programs("").canonicalize().unwrap(),
        scratch.path("programs"),
    )
    .unwrap();
    scratch.file(
        "policy.toml",
        "map_kinds = [\"array\", \"percpu_array\"]\nmax_insns = 4096\n",
    );
    let binary = Path::new(env!("CARGO_BIN_EXE_probity"));
    let path = format!(
        "{}:{}",
        binary.parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let kernel_types = Path::new("/sys/kernel/btf/vmlinux").exists();
    let mut count = 0;
    for document in documents() {
        for (command, shown) in commands(&document) {
            let live = command.starts_with("probity attach")
                || (command.starts_with("probity trace") && !command.contains("--replay"));
            if live || (!kernel_types && command.contains("btf header")) {
                continue;
            }
            let done = Command::new("timeout")
                .args(["60", "sh", "-c", &command])
                .env("PATH", &path)
                .current_dir(scratch.path(""))
                .output()
                .unwrap();
            let fails = ["error", "ERROR", "\"reject\""]
                .iter()
                .any(|w| shown.contains(w))
                || (command.contains("programs/unsafe/") && command.starts_with("probity verify"))
                || command.contains("programs/*/*.o");
            assert_eq!(
                done.status.code(),
                Some(i32::from(fails)),
                "{}: {command}\n{}{}",
                document.display(),
                String::from_utf8_lossy(&done.stdout),
                String::from_utf8_lossy(&done.stderr)
            );
            count += 1;
        }
    }
    assert!(count >= 15, "only {count} commands");
}
