//! `cargo xtask test`: set-up, then every phase; a summary at the end.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

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
        phase(name)?;
    }
    setup::install()?;
    let mut rows = Vec::new();
    for (name, _) in PHASES {
        if !only.is_empty() && !only.iter().any(|n| n == name) {
            continue;
        }
        println!("\n== {name}");
        let start = Instant::now();
        let mut printed = Printed::default();
        let ok = apart(name, &mut printed)?;
        rows.push((*name, ok, start.elapsed().as_secs_f32(), printed));
    }
    // What ends a long output is what is read of it.
    for (name, _, _, printed) in rows.iter().filter(|(_, ok, ..)| !ok) {
        println!("\n== {name} failed");
        printed.repeat();
    }
    println!();
    for (name, ok, seconds, _) in &rows {
        println!(
            "{:<10} {:<6} {seconds:>7.1} s",
            name,
            if *ok { "ok" } else { "FAILED" }
        );
    }
    let failed: Vec<&str> = rows.iter().filter(|r| !r.1).map(|r| r.0).collect();
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

/// One phase, in this process.
pub fn run_phase(name: &str) -> Result<()> {
    phase(name)?()
}

fn phase(name: &str) -> Result<fn() -> Result<()>> {
    let found = PHASES.iter().find(|(n, _)| *n == name);
    found
        .map(|(_, run)| *run)
        .with_context(|| format!("no phase `{name}`"))
}

/// Runs a phase in a process of its own, so that what it and its children print can be kept; whether it passed.
fn apart(name: &str, printed: &mut Printed) -> Result<bool> {
    let (reader, writer) = std::io::pipe()?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["phase", name])
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    let mut ended = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                let line = String::from_utf8_lossy(&line).into_owned();
                println!("{line}");
                printed.keep(line);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            // A process that a test has left behind may hold the pipe for ever.
            Err(RecvTimeoutError::Timeout) if ended.is_some() => break,
            Err(RecvTimeoutError::Timeout) => ended = child.try_wait()?,
        }
    }
    Ok(child.wait()?.success())
}

/// Of what a phase printed: the lines about failures, with what follows each, and the end.
#[derive(Default)]
struct Printed {
    failures: Vec<String>,
    follow: usize,
    end: VecDeque<String>,
}

impl Printed {
    const FAILURES: usize = 200;
    const FOLLOW: usize = 6;
    const END: usize = 60;
    const SIGNS: [&str; 5] = ["not ok", "panicked at", "FAILED", "error:", "error["];

    fn keep(&mut self, line: String) {
        if Self::SIGNS.iter().any(|s| line.contains(s)) {
            self.follow = Self::FOLLOW;
        }
        if self.follow > 0 && self.failures.len() < Self::FAILURES {
            self.follow -= 1;
            self.failures.push(line.clone());
        }
        if self.end.len() == Self::END {
            self.end.pop_front();
        }
        self.end.push_back(line);
    }

    fn repeat(&self) {
        for line in &self.failures {
            println!("{line}");
        }
        println!("-- its end:");
        for line in &self.end {
            println!("{line}");
        }
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
    let nightly = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--version"])
        .output();
    if !nightly.is_ok_and(|out| out.status.success()) {
        println!("skipped: no nightly compiler (rustup toolchain install nightly)");
        return Ok(());
    }
    let mut test = Command::new("rustup");
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
