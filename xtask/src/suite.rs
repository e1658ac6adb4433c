//! `cargo xtask test`: set-up, then every phase; a summary at the end.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::{programs, prove, setup, sh, tidy, vm};

type Phase = (&'static str, fn() -> Result<()>);

const PHASES: &[Phase] = &[
    ("fmt", fmt),
    ("tidy", tidy::run),
    ("clippy", clippy),
    ("unit", unit),
    ("threads", threads),
    ("aarch64", aarch64),
    ("proofs", proofs),
    ("programs", || programs::run(false)),
    ("vm", || vm::run(&[])),
    ("bench", bench),
];

pub fn run(only: &[String]) -> Result<()> {
    for name in only {
        if !PHASES.iter().any(|(n, _)| n == name) {
            bail!("no phase `{name}`");
        }
    }
    setup::install()?;
    let mut failed = Vec::new();
    let mut rows = Vec::new();
    for (name, phase) in PHASES {
        if !only.is_empty() && !only.iter().any(|n| n == name) {
            continue;
        }
        println!("\n== {name}");
        let start = Instant::now();
        let result = phase();
        if let Err(e) = &result {
            println!("{name}: {e:#}");
            failed.push(*name);
        }
        rows.push((*name, result.is_ok(), start.elapsed().as_secs_f32()));
    }
    println!();
    for (name, ok, seconds) in &rows {
        println!(
            "{:<10} {:<6} {seconds:>7.1} s",
            name,
            if *ok { "ok" } else { "FAILED" }
        );
    }
    println!(
        "{} passed, {} failed",
        rows.len() - failed.len(),
        failed.len()
    );
    if failed.is_empty() {
        Ok(())
    } else {
        bail!("failed: {}", failed.join(", "))
    }
}

fn fmt() -> Result<()> {
    sh::run(sh::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    sh::run(sh::cargo().args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

/// Unit, suite, oracle and kernel tests. As root, a test that needs the kernel must run.
fn unit() -> Result<()> {
    let mut test = sh::cargo();
    test.args(["test", "--quiet", "--workspace", "--no-fail-fast"]);
    if sh::is_root() {
        test.env("PROBITY_REQUIRE_KERNEL", "1");
    } else {
        println!("not root: tests that load programs into the kernel are skipped");
    }
    sh::run(&mut test)
}

/// Code for 64-bit Arm, in an emulator; skips, and says so, where that is missing.
fn aarch64() -> Result<()> {
    let mut test = sh::cargo();
    test.args([
        "test",
        "--quiet",
        "--manifest-path",
        "tests/aarch64/Cargo.toml",
    ]);
    test.args(["--", "--nocapture"]);
    sh::run(&mut test)
}

/// Maps under many threads, watched by ThreadSanitizer where a nightly compiler has it. What it does not see, programs'
/// machine code, is left to `unit`, which runs the same threads unwatched and the protocols under a model checker.
fn threads() -> Result<()> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    let nightly = std::process::Command::new("rustup")
        .args(["run", "nightly", "rustc", "--version"])
        .output();
    if !nightly.is_ok_and(|out| out.status.success()) {
        println!("skipped: no nightly compiler (rustup toolchain install nightly)");
        return Ok(());
    }
    let mut test = std::process::Command::new("rustup");
    test.args(["run", "nightly", "cargo", "test", "--quiet"])
        .args(["--package", "probity-runtime", "--lib"])
        .args(["--target", TARGET, "--", "threads"])
        .env("CARGO_TARGET_DIR", sh::target_dir().join("threads"))
        // The standard library comes as it is, not compiled for this: what that makes ThreadSanitizer see is suppressed by name.
        .env(
            "RUSTFLAGS",
            "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer",
        )
        .env(
            "TSAN_OPTIONS",
            format!(
                "suppressions={}",
                sh::root().join("runtime/tsan.supp").display()
            ),
        );
    sh::run(&mut test)
}

/// The proofs that take a second; `cargo xtask prove` is all of them.
fn proofs() -> Result<()> {
    if !prove::is_possible() {
        println!("skipped: no solver is installed");
        return Ok(());
    }
    let quick = [
        "tnum_and",
        "tnum_add",
        "tnum_narrow",
        "range_join",
        "counts",
    ];
    prove::run(&quick.map(str::to_owned))
}

/// Every benchmark once, to see that it runs; nothing is timed, so what `unit` built will do.
fn bench() -> Result<()> {
    sh::run(sh::cargo().args([
        "bench",
        "--quiet",
        "--profile",
        "dev",
        "--workspace",
        "--bench",
        "*",
        "--",
        "--test",
    ]))
}
