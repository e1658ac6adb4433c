//! `probity bench …`: what things cost, measured.

pub mod verify;
mod worker;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// Measure what verification costs, beside Linux and PREVAIL
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity bench verify programs/*/*.o
  probity bench verify --against linux programs
  probity bench verify --help")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Verify(Box<verify::Args>),
    #[command(hide = true)]
    Worker(worker::Args),
}

pub fn run(args: Args) -> Result<ExitCode> {
    match args.what {
        What::Verify(args) => verify::run(*args),
        What::Worker(args) => worker::run(&args),
    }
}
