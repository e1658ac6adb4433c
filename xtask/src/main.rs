//! What a developer runs beside `cargo build`: `cargo xtask test` is everything CI does.

mod agree;
mod fuzz;
mod programs;
mod prove;
mod record;
mod reference;
mod rust_programs;
mod setup;
mod sh;
mod suite;
mod tidy;
mod vm;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [PHASE…]     set up what is missing, then run every check (what CI runs);
                    phases: fmt clippy tidy unit threads aarch64 proofs programs vm bench
  setup             install the Debian packages that tests can use
  programs [--write]  rebuild programs/ with clang and compare (or replace) the committed objects
  agree [OPTIONS] DIR|FILE.o…
                    verdicts on every program, Linux's and ours, compared; --help lists the options;
                    --guest 6.12 asks a Debian kernel in QEMU instead of the running one
  record verify [DIR|FILE.o…]
                    our verifier beside Linux and PREVAIL, on programs/, benches/programs/ and these:
                    benches/record/DATE-verify.md and .svg, written anew (root)
  record run        our engines beside native code, Linux and other engines, on programs/bench:
                    benches/record/DATE-run.md and .svg, written anew (root)
  record gateway [--rounds N]
                    programs/hosts/gateway under wrk: one filter as an extension, natively and in wasmtime,
                    and a thousand replacements: benches/record/DATE-gateway.md
  record trace      a traced system call beside bpftrace and C, starts, floods of records:
                    benches/record/DATE-trace.md, written anew (root)
  prove [--time S] [--jobs N] [NAME…]  prove the abstract operators with cvc5 or z3, at night;
                    a NAME is part of one, such as add64 or at_8
  vm [--all] [NAME…]  boot Debian kernels in QEMU and run tests/vm/*.sh in them
  fuzz containment|objfile|bundle|host|engines [--minutes N] [--seed N] [--features NAME]
                    random programs held against their proofs; mutated objects, links of objects,
                    packages, descriptions of hosts and sessions of their control sockets
  reference         docs/language.md, written anew from the language's tables
  tidy              file sizes, documents that name files, words that do not belong
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    // Its paths are the caller's.
    if args.first().is_some_and(|a| a == "agree") {
        return agree::run(rest);
    }
    if args.first().is_some_and(|a| a == "record") {
        return record::run(rest);
    }
    std::env::set_current_dir(sh::root())?;
    match args.first().map(String::as_str) {
        Some("test") => suite::run(rest),
        Some("phase") => rest.iter().try_for_each(|name| suite::run_phase(name)),
        Some("setup") => setup::install(),
        Some("programs") => programs::run(rest.iter().any(|a| a == "--write")),
        Some("fuzz") => fuzz::run(rest),
        Some("vm") => vm::run(rest),
        Some("prove") => prove::run(rest),
        Some("reference") => reference::run(),
        Some("tidy") => tidy::run(),
        Some("help" | "--help" | "-h") | None => {
            print!("{USAGE}");
            Ok(())
        }
        Some(other) => bail!("no command `{other}`\n\n{USAGE}"),
    }
}
