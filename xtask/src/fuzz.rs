//! `cargo xtask fuzz`: the checks of `fuzz/` on a stable compiler.

use anyhow::Result;

use crate::sh;

/// Hands the arguments on to the tool of the `tests` crate, built for speed with checks for overflow.
pub fn run(args: &[String]) -> Result<()> {
    let mut cargo = sh::cargo();
    cargo.args(["run", "--profile", "fuzz", "--quiet", "-p", "probity-tests"]);
    match args.split_first() {
        // The one that needs the compiler.
        Some((what, rest)) if what == "engines" => {
            cargo.args(["--features", "engines", "--bin", "fuzz-engines", "--"]);
            cargo.args(rest);
        }
        Some((what, _)) if what == "host" => {
            cargo.args(["--features", "host", "--bin", "fuzz-host", "--"]);
            cargo.args(args);
        }
        _ => {
            cargo.args(["--bin", "fuzz", "--"]);
            cargo.args(args);
        }
    }
    sh::run(&mut cargo)
}
