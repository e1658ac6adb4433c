//! `probity completions SHELL`: a completion script on standard output.

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

/// Print a completion script for a shell
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity completions bash > /etc/bash_completion.d/probity
  probity completions zsh > ~/.zfunc/_probity
  probity completions fish > ~/.config/fish/completions/probity.fish")]
pub struct Args {
    /// Which shell
    shell: Shell,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut super::Cli::command(),
        "probity",
        &mut script,
    );
    std::io::Write::write_all(&mut crate::output::stdout(), &script)?;
    Ok(ExitCode::SUCCESS)
}
