//! `probity ext`: the extensions of a running host, through its control socket.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::Subcommand;
use probity_host::control::{Request, request};
use serde_json::Value;

use crate::{input, output};

/// Load, replace, unload and list the extensions of a running host
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity ext --socket /run/gateway.sock list
  probity ext --socket /run/gateway.sock load limit.o
  probity ext --socket /run/gateway.sock replace limit limit-2.o --wait
  probity ext --socket /run/gateway.sock info limit
  probity ext --socket /run/gateway.sock unload limit

The host verifies what it is given; who may talk to it, it asks the kernel.
Exit status 1 when the host refuses.")]
pub struct Args {
    /// The host's control socket
    #[arg(long, value_name = "PATH", env = "PROBITY_SOCKET")]
    socket: PathBuf,
    /// The host's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// What is loaded, with what it has been asked
    List,
    /// One extension: its programs with their bounds and verdicts, its maps
    Info { name: String },
    /// Load an object
    Load {
        object: PathBuf,
        /// [default: the file's name without its ending]
        #[arg(long)]
        name: Option<String>,
        /// Extensions with lower ones are called first
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        priority: i32,
    },
    /// Put another object in the place of a loaded one, while it is called
    Replace {
        name: String,
        object: PathBuf,
        /// Extensions with lower ones are called first
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        priority: i32,
        /// Maps that start anew; may be given more than once
        #[arg(long, value_name = "MAP")]
        fresh: Vec<String>,
        /// Wait until the last call of the old one is over
        #[arg(long)]
        wait: bool,
    },
    /// Take an extension away
    Unload {
        name: String,
        /// Wait until the last call of it is over
        #[arg(long)]
        wait: bool,
    },
    /// Let a disabled extension be called again
    Enable { name: String },
    /// Call an extension no longer, but keep it with its maps
    Disable { name: String },
}

pub fn run(args: Args) -> Result<ExitCode> {
    let mut object = Vec::new();
    let ask = match args.command {
        Command::List => Request::List,
        Command::Info { name } => Request::Info { name },
        Command::Load {
            object: path,
            name,
            priority,
        } => {
            object = input::read(&path)?;
            Request::Load {
                name: name.map_or_else(|| stem(&path), Ok)?,
                priority,
                bytes: object.len() as u64,
            }
        }
        Command::Replace {
            name,
            object: path,
            priority,
            fresh,
            wait,
        } => {
            object = input::read(&path)?;
            Request::Replace {
                name,
                priority,
                bytes: object.len() as u64,
                fresh,
                wait,
            }
        }
        Command::Unload { name, wait } => Request::Unload { name, wait },
        Command::Enable { name } => Request::Enable { name },
        Command::Disable { name } => Request::Disable { name },
    };
    let answer = request(&args.socket, &ask, &object)
        .with_context(|| format!("the host at {}", args.socket.display()))?
        .map_err(|e| anyhow!("{e}"))?;
    match (args.json, &ask) {
        (false, Request::List) => {
            for e in answer.as_array().into_iter().flatten() {
                output::text(line(e))?;
            }
        }
        (false, Request::Info { .. }) => output::text(shown(&answer))?,
        _ => output::text(format!("{answer}\n"))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn stem(path: &Path) -> Result<String> {
    let stem = path.file_stem().and_then(|s| s.to_str());
    Ok(stem
        .context("the file has no name; give one with --name")?
        .to_string())
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of[key].as_str().unwrap_or("?")
}

/// One line an extension.
fn line(e: &Value) -> String {
    let programs = e["programs"].as_array();
    let hooks: Vec<&str> = programs
        .into_iter()
        .flatten()
        .map(|p| text(p, "hook"))
        .collect();
    let calls: u64 = programs
        .into_iter()
        .flatten()
        .filter_map(|p| p["calls"].as_u64())
        .sum();
    let state = match e["enabled"].as_bool() {
        Some(false) => "  disabled",
        _ => "",
    };
    format!(
        "{}  generation {}  priority {}  {}  {calls} calls{state}\n",
        text(e, "name"),
        e["generation"],
        e["priority"],
        hooks.join(", "),
    )
}

fn shown(e: &Value) -> String {
    let mut out = line(e);
    for p in e["programs"].as_array().into_iter().flatten() {
        let worst = match p["worst_case_insns"].as_u64() {
            Some(n) => format!("at most {n} executed"),
            None => "no bound".to_string(),
        };
        let verdicts = p["verdicts"].as_object();
        let verdicts: Vec<String> = verdicts
            .into_iter()
            .flatten()
            .map(|(v, n)| format!("{v}: {n}"))
            .collect();
        out += &format!(
            "  program {} (hook/{}): {} insns, {worst}, stack {}; {} calls, {} ns; verdicts {}\n",
            text(p, "name"),
            text(p, "hook"),
            p["insns"],
            p["stack"],
            p["calls"],
            p["nanoseconds"],
            verdicts.join(", "),
        );
    }
    for m in e["maps"].as_array().into_iter().flatten() {
        out += &format!(
            "  map {}: kind {}, {} elements at most, {} bytes at most\n",
            text(m, "name"),
            m["kind"],
            m["max_entries"],
            m["bytes"],
        );
    }
    out
}
