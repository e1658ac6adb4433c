//! A C source that a script imports → an object, by the clang of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::{input, kernel};

/// What programs of this project include.
const BPF_H: &str = include_str!("../../../programs/include/probity/bpf.h");
/// Versions that a clang may have in its name, the newest first.
const VERSIONS: std::ops::RangeInclusive<u32> = 11..=40;
/// Lines of a compiler's complaint that are shown.
const MOST_LINES: usize = 12;

/// The object's bytes, or why there are none: a message, and what to do about it.
pub fn object(path: &Path, include: &[PathBuf]) -> Result<Arc<[u8]>, (String, String)> {
    let shown = path.display();
    let failed = |what: &str, e: &dyn std::fmt::Display| {
        (
            format!("`{shown}` cannot be compiled"),
            format!("{what}: {e}"),
        )
    };
    let Some(clang) = clang() else {
        let object = path.with_extension("o");
        return Err((
            format!("compiling `{shown}` takes clang, which is not on the PATH"),
            format!(
                "install the package clang; or run `clang --target=bpf -g -O2 -c {shown} -o {}` where there is one, and import that object",
                object.display()
            ),
        ));
    };
    let headers = Headers::new(path, include).map_err(|e| failed("its headers", &e))?;
    let arch = match std::env::consts::ARCH {
        "aarch64" => ("arm64", "aarch64-linux-gnu"),
        _ => ("x86", "x86_64-linux-gnu"),
    };
    let mut command = Command::new(&clang);
    command
        .args(["--target=bpf", "-mcpu=v3", "-g", "-O2", "-w"])
        .arg(format!("-D__TARGET_ARCH_{}", arch.0))
        .args(
            include
                .iter()
                .flat_map(|dir| ["-I".as_ref(), dir.as_os_str()]),
        )
        .arg("-idirafter")
        .arg(format!("/usr/include/{}", arch.1));
    if let Some(dir) = &headers.directory {
        command.arg("-idirafter").arg(dir);
    }
    let out = command
        .arg("-c")
        .arg(path)
        .args(["-o", "-"])
        .output()
        .map_err(|e| failed(&clang.display().to_string(), &e))?;
    if out.status.success() {
        return Ok(out.stdout.into());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    let lines: Vec<&str> = said.lines().take(MOST_LINES).collect();
    Err((format!("clang cannot compile `{shown}`"), lines.join("\n")))
}

fn clang() -> Option<PathBuf> {
    let names = VERSIONS.rev().map(|n| format!("clang-{n}"));
    let names: Vec<String> = std::iter::once("clang".to_string()).chain(names).collect();
    let path = std::env::var_os("PATH")?;
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let places = names
        .iter()
        .flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    places.into_iter().find(|p| p.is_file())
}

/// Headers that a source may ask for and that no package has, in a directory that is gone with this value.
struct Headers {
    directory: Option<PathBuf>,
}

impl Headers {
    fn new(source: &Path, include: &[PathBuf]) -> anyhow::Result<Headers> {
        let text = input::read_text(source)?;
        let asked = |name: &str| {
            let here = source
                .parent()
                .into_iter()
                .chain(include.iter().map(PathBuf::as_path));
            text.contains(name) && !here.into_iter().any(|dir| dir.join(name).is_file())
        };
        let (types, own) = (asked("vmlinux.h"), asked("probity/bpf.h"));
        if !types && !own {
            return Ok(Headers { directory: None });
        }
        let name = format!("probity-import-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(directory.join("probity"))?;
        let headers = Headers {
            directory: Some(directory.clone()),
        };
        fs::write(directory.join("probity/bpf.h"), BPF_H)?;
        if types {
            fs::write(directory.join("vmlinux.h"), kernel::header()?)?;
        }
        Ok(headers)
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            // What cannot be removed is left to whoever cleans the system's directory.
            let _ = fs::remove_dir_all(directory);
        }
    }
}
