//! The `probity` command: one subcommand a file in `commands/`.
//!
//! Exit statuses: 0 done, 1 rejected or failed, 2 wrong usage; for a package whose origin is not trusted 3 to 8, one a
//! verdict (`probity_bundle::Verdict`).

mod bench;
mod commands;
mod input;
mod kernel;
mod output;
mod package;
mod parallel;
mod recording;
mod render;
mod store;
mod tracing;
mod value;

use std::process::ExitCode;

use clap::Parser;

/// Counts memory for `bench verify`, and for nobody else.
#[global_allocator]
static ALLOCATOR: probity_runtime::Counting = probity_runtime::Counting::new();

/// Under the name `bpftrace` (a link) the command is `trace`.
fn arguments() -> Vec<std::ffi::OsString> {
    let mut all: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let linked = all
        .first()
        .and_then(|a| std::path::Path::new(a).file_name())
        .is_some_and(|n| n == "bpftrace");
    if linked {
        all.insert(1, "trace".into());
    }
    all
}

fn main() -> ExitCode {
    let cli = commands::Cli::parse_from(arguments());
    match cli.run() {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
