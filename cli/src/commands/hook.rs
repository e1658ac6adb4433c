//! `probity hook`: what a host offers to extensions, from its description.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::Subcommand;
use probity_host::HostDescription;

use crate::{input, output};

/// What a host offers to extensions: its hooks, and the C header for them
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity hook list gateway.json
  probity hook header gateway.json > gateway.h
  probity hook diff old.json new.json
  probity verify --host gateway.json extension.o

A host writes its description with HostDescription::to_json.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Hooks, with what they are called with and may return
    List {
        /// The host's description (JSON, or TOML when its name ends so)
        host: PathBuf,
        /// The description as JSON
        #[arg(long)]
        json: bool,
    },
    /// The C header for authors of extensions
    Header {
        /// The host's description
        host: PathBuf,
    },
    /// What a newer description changes that older extensions may meet; exit status 1 when another ABI version is missing
    Diff {
        /// What extensions were made for
        old: PathBuf,
        /// What the host offers now
        new: PathBuf,
    },
}

pub fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::List { host, json } => {
            let host = description(&host)?;
            match json {
                true => output::text(host.to_json())?,
                false => output::text(list(&host))?,
            }
        }
        Command::Header { host } => output::text(description(&host)?.c_header())?,
        Command::Diff { old, new } => {
            let breaking = description(&old)?.breaking(&description(&new)?);
            for b in &breaking {
                output::text(format!("{b}\n"))?;
            }
            if breaking.iter().any(|b| !b.told) {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a description, and checks it.
pub fn description(path: &Path) -> Result<HostDescription> {
    let text = input::read_text(path)?;
    let read = match path.extension().is_some_and(|x| x == "toml") {
        true => HostDescription::from_toml(&text),
        false => HostDescription::from_json(&text),
    };
    match read {
        Ok(host) => Ok(host),
        Err(e) => bail!(anyhow!(e).context(format!("in the description {}", path.display()))),
    }
}

fn list(host: &HostDescription) -> String {
    let mut out = String::new();
    for h in &host.hooks {
        let (min, max) = h.returns;
        let budget = match h.budget {
            Some(n) => format!(", {n} instructions at most"),
            None => String::new(),
        };
        out += &format!(
            "hook/{}@{}  struct {} ({} bytes), returns {min} to {max}{budget}\n",
            h.name, h.abi, h.context.name, h.context.size
        );
        for f in &h.context.fields {
            let access = match (f.write, f.range) {
                (false, _) => "read".to_string(),
                (true, None) => "read, write".to_string(),
                (true, Some((min, max))) => format!("read, write {min} to {max}"),
            };
            out += &format!(
                "    {:<8} {:<16} at {:<5} {access}\n",
                f.ty, f.name, f.offset
            );
        }
        for f in host
            .functions
            .iter()
            .filter(|f| h.functions.contains(&f.name))
        {
            out += &format!("    {} {}\n", f.name, f.declaration);
        }
    }
    out
}
