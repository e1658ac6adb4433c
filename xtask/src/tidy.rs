//! Holds the house in order: file sizes, documents that name what exists, words that do not belong.

use std::path::Path;

use anyhow::{Result, bail};

use crate::sh;

const ASK_AT: usize = 600;
const FAIL_AT: usize = 1000;
/// Tables and test data may be long.
const TABLES: &[&str] = &["platform/src/linux/", "/tests/data/", "isa/src/table.rs"];

pub fn run() -> Result<()> {
    let listed = sh::output(std::process::Command::new("git").args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let files: Vec<&str> = listed.lines().filter(|f| Path::new(f).is_file()).collect();
    let mut wrong = Vec::new();
    for file in &files {
        let Ok(text) = std::fs::read_to_string(file) else {
            continue;
        };
        if file.ends_with(".rs") {
            let lines = text.lines().count();
            let table = TABLES.iter().any(|t| file.contains(t));
            if lines > FAIL_AT && !table {
                wrong.push(format!(
                    "{file}: {lines} lines; more than {FAIL_AT}: more than one room"
                ));
            } else if lines > ASK_AT && !table {
                println!("tidy: {file}: {lines} lines: is it still one room?");
            }
            let test_module = file.ends_with("/tests.rs") || file.contains("/tests/");
            if !text.starts_with("//!")
                && !text.starts_with("#!")
                && !file.starts_with("fuzz/")
                && !test_module
            {
                wrong.push(format!("{file}: starts without a module doc (`//!`)"));
            }
        }
        for (n, line) in text.lines().enumerate() {
            if line.contains(concat!("TO", "DO")) || line.contains(concat!("FIX", "ME")) {
                wrong.push(format!(
                    "{file}:{}: an open end: finish it or say in an issue",
                    n + 1
                ));
            }
        }
    }
    for document in ["README.md", "ARCHITECTURE.md"] {
        wrong.extend(missing_paths(document));
    }
    let lines = std::fs::read_to_string("ARCHITECTURE.md")
        .map(|t| t.lines().count())
        .unwrap_or(0);
    if lines == 0 || lines >= 300 {
        wrong.push(format!(
            "ARCHITECTURE.md: {lines} lines; it has to be there and under 300"
        ));
    }
    for w in &wrong {
        println!("tidy: {w}");
    }
    if wrong.is_empty() {
        println!("tidy: {} files in order", files.len());
        Ok(())
    } else {
        bail!("{} things to mend", wrong.len())
    }
}

/// Paths in backquotes that do not exist. `<name>` parts are placeholders.
fn missing_paths(document: &str) -> Vec<String> {
    let Ok(text) = std::fs::read_to_string(document) else {
        return vec![format!("{document} is missing")];
    };
    let mut missing = Vec::new();
    for quoted in text.split('`').skip(1).step_by(2) {
        let looks_like_path = quoted.contains('/')
            && quoted
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
            && quoted
                .split('/')
                .next()
                .is_some_and(|top| !top.is_empty() && Path::new(top).is_dir());
        if looks_like_path && !Path::new(quoted).exists() {
            missing.push(format!("{document} names `{quoted}`, which does not exist"));
        }
    }
    missing
}
