//! Every command of docs/tutorial.md, in its order, in an empty directory, with what the page says of it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// A block of the page: its kind, and its lines.
type Block = (String, String);

fn blocks(text: &str) -> Vec<Block> {
    let mut all: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match (line.strip_prefix("```"), inside) {
            (Some(kind), false) => {
                all.push((kind.to_string(), String::new()));
                inside = true;
            }
            (Some(_), true) => inside = false,
            (None, true) => {
                let (_, text) = all.last_mut().expect("a block");
                *text += line;
                text.push('\n');
            }
            (None, false) => {}
        }
    }
    all
}

/// `probity` beside the gateway; built when only the gateway was.
fn probity() -> PathBuf {
    let gateway = Path::new(env!("CARGO_BIN_EXE_probity-gateway"));
    let probity = gateway.with_file_name("probity");
    if !probity.exists() {
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        build.args(["build", "-p", "probity-cli"]);
        assert!(build.status().unwrap().success());
    }
    probity
}

struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_command_of_the_tutorial_does_what_it_says() {
    let has = |name: &str| Command::new(name).arg("--version").output().is_ok();
    if !has("clang-22") || !has("curl") {
        println!("skipped: no clang-22, or no curl");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let text = std::fs::read_to_string(root.join("docs/tutorial.md")).unwrap();
    let dir = std::env::temp_dir().join(format!("tutorial-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = format!(
        "{}:{}",
        probity().parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    // Whoever follows the page at the same time has that port.
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = [free(), free()].map(|l| l.local_addr().unwrap().port());
    let shell = |block: &str| {
        let mut command = Command::new("sh");
        let block = block.replace("18080", &ports[0].to_string());
        let block = block.replace("18081", &ports[1].to_string());
        command
            .args(["-ec", &block])
            .env("PATH", &path)
            .current_dir(&dir);
        command
    };
    let mut background = Vec::new();
    let (mut run, mut said) = (0, String::new());
    for (kind, block) in blocks(&text) {
        if let Some(file) = kind.split("file=").nth(1) {
            std::fs::write(dir.join(file), &block).unwrap();
        } else if kind == "sh background" {
            let block = format!("exec {}", block.trim());
            background.push(Background(shell(&block).spawn().unwrap()));
            let socket = dir.join("gateway.sock");
            for _ in 0..200 {
                if socket.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        } else if kind == "sh" {
            let done = shell(&block).output().unwrap();
            let out = String::from_utf8_lossy(&done.stdout).into_owned();
            let error = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{block}\n{out}{error}");
            said += &out;
            run += block.lines().count();
        }
    }
    assert!(run >= 20, "{run} commands");
    // What the page promises: three pass and the rest are refused; with the next version, ten.
    let statuses: Vec<&str> = said
        .lines()
        .filter(|l| ["200", "429"].contains(l))
        .collect();
    assert_eq!(
        statuses,
        ["200", "200", "200", "429", "200", "200"],
        "{said}"
    );
    assert!(said.contains("generation 3"), "{said}");
    assert_eq!(
        said.lines().filter(|l| l.ends_with("hello")).count(),
        3,
        "{said}"
    );
    assert!(said.contains("\"from_image\":true"), "{said}");
    drop(background);
    std::fs::remove_dir_all(dir).unwrap();
}
