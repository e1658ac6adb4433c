//! The `probity` command: one subcommand a file in `commands/`.
//!
//! Exit statuses: 0 done, 1 rejected or failed, 2 wrong usage.

mod bench;
mod commands;
mod input;
mod kernel;
mod output;
mod parallel;
mod recording;
mod render;
mod tracing;
mod value;

use std::process::ExitCode;

use clap::Parser;

/// Counts memory for `bench verify`, and for nobody else.
#[global_allocator]
static ALLOCATOR: probity_runtime::Counting = probity_runtime::Counting::new();

fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    match cli.run() {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
