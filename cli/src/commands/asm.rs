//! `probity asm FILE.s`: assembly text → an object file.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{input, kernel, output};

/// Assemble a file into an extension object
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity asm programs/xdp-fragments/xdp-fragments.s -o xdp-fragments.o
  probity asm program.s && probity verify program.o")]
pub struct Args {
    /// The assembly file; `-` reads standard input
    file: PathBuf,
    /// Where the object goes [default: the file's name with .o]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let platform = kernel::platform(None);
    let stdin = args.file.as_os_str() == "-";
    let text = if stdin {
        std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?
    } else {
        input::read_text(&args.file)?
    };
    let object = input::assemble(&args.file, &text, &platform)?;
    let bytes = probity_objfile::write(&object)?;
    let to = match args.output {
        Some(path) => path,
        None if stdin => anyhow::bail!("say where the object goes: -o FILE"),
        None => args.file.with_extension("o"),
    };
    std::fs::write(&to, &bytes).with_context(|| format!("cannot write {}", to.display()))?;
    let programs: Vec<&str> = object.programs.iter().map(|p| p.name.as_str()).collect();
    output::note(format_args!(
        "{}: {} bytes, programs: {}",
        to.display(),
        bytes.len(),
        programs.join(", ")
    ));
    Ok(ExitCode::SUCCESS)
}
