//! `cargo xtask agree`: the tool of the `tests` crate, built for speed.

use std::process::Command;

use anyhow::{Result, bail};

use crate::sh;

/// Hands the arguments on. An exit status other than 0 is the tool's verdict.
pub fn run(args: &[String]) -> Result<()> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["run", "--release", "--quiet", "--manifest-path"]);
    build.arg(sh::root().join("Cargo.toml"));
    build.args(["-p", "probity-tests", "--bin", "agree", "--"]);
    build.args(args);
    match build.status()?.code() {
        Some(0) => Ok(()),
        Some(1) => bail!("something is accepted that Linux refuses, and nothing explains it"),
        code => bail!("agree ended with {code:?}"),
    }
}
