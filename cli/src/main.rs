//! The `probity` command: one subcommand a file in `commands/`.
//!
//! Exit statuses: 0 done, 1 rejected or failed, 2 wrong usage; for a package whose origin is not trusted 3 to 8, one a
//! verdict (`probity_bundle::Verdict`).

mod bench;
mod commands;
mod extensions;
mod input;
mod kernel;
mod output;
mod package;
mod parallel;
mod progress;
mod recording;
mod render;
mod settings;
mod sorted;
mod tracing;
mod value;

use std::process::ExitCode;

use clap::Parser;
use probity_store as store;

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

/// Wrong usage is shown as help shows it; help itself and versions are no error.
fn refused(error: &clap::Error) -> ExitCode {
    let text = error.render().ansi().to_string();
    if error.use_stderr() {
        // The help of `trace` is laid out as bpftrace's.
        let text = match text.contains("probity trace [OPTIONS]") {
            true => text
                .replace("Usage:", "USAGE:\n ")
                .replace("\n       probity", "\n  probity"),
            false => text,
        };
        output::note(text.trim_end());
        return ExitCode::from(2);
    }
    // A reader that has gone away has read enough.
    let _ = output::text(text);
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    let cli = match commands::Cli::try_parse_from(arguments()) {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    match cli.run() {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
