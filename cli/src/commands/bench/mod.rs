//! `probity bench …`: what things cost, measured.

pub mod run;
pub mod verify;
mod worker;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// Measure what verification and execution cost, beside others
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity bench verify programs/*/*.o
  probity bench verify --against linux programs
  probity bench run
  probity bench run --engine jit,scalar,linux --filter 'sort*'
  probity bench verify --help")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Verify(Box<verify::Args>),
    Run(Box<run::Args>),
    #[command(hide = true)]
    Worker(worker::Args),
}

pub fn run(args: Args) -> Result<ExitCode> {
    match args.what {
        What::Verify(args) => verify::run(*args),
        What::Run(args) => run::run(*args),
        What::Worker(args) => worker::run(&args),
    }
}
