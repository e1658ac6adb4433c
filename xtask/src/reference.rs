//! The language's tables → `docs/language.md`.

use std::process::Command;

use anyhow::{Context, Result, bail};

const PAGE: &str = "docs/language.md";

pub fn run() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo)
        .args([
            "run",
            "--quiet",
            "--package",
            "probity-script",
            "--example",
            "reference",
        ])
        .output()
        .context("cannot run cargo")?;
    if !done.status.success() {
        bail!("{}", String::from_utf8_lossy(&done.stderr));
    }
    std::fs::write(PAGE, done.stdout).with_context(|| format!("cannot write {PAGE}"))
}
