//! `probity hook`: what a host offers to extensions, from its description.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Subcommand;
use probity_host::HostDescription;
use probity_host::control::{Request, request};

use crate::{input, output};

/// What a host offers to extensions: its hooks, and the C header for them
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity hook list gateway.json
  probity hook header gateway.json > gateway.h
  probity hook header --socket /run/gateway.sock > gateway.h    of a host that runs
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
        #[command(flatten)]
        of: Of,
        /// The description as JSON
        #[arg(long)]
        json: bool,
    },
    /// The C header for authors of extensions
    Header {
        #[command(flatten)]
        of: Of,
    },
    /// What a newer description changes that older extensions may meet; exit status 1 when another ABI version is missing
    Diff {
        /// What extensions were made for
        old: PathBuf,
        /// What the host offers now
        new: PathBuf,
    },
}

/// Which host.
#[derive(clap::Args)]
#[group(required = true)]
struct Of {
    /// The host's description (JSON, or TOML when its name ends so)
    host: Option<PathBuf>,
    /// The control socket of a host that runs
    #[arg(long, value_name = "PATH", conflicts_with = "host")]
    socket: Option<PathBuf>,
}

impl Of {
    fn description(&self) -> Result<HostDescription> {
        if let Some(path) = &self.host {
            return description(path);
        }
        let path = self.socket.as_deref().unwrap_or(Path::new(""));
        let answer = request(path, &Request::Describe, &[])
            .with_context(|| format!("the host at {}", path.display()))?
            .map_err(|e| anyhow!("{e}"))?;
        let told = HostDescription::from_json(&answer.to_string()).map_err(|e| anyhow!(e));
        told.with_context(|| format!("in what the host at {} says of itself", path.display()))
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::List { of, json } => {
            let host = of.description()?;
            match json {
                true => output::text(host.to_json())?,
                false => output::text(list(&host))?,
            }
        }
        Command::Header { of } => output::text(of.description()?.c_header())?,
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
