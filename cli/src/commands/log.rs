//! `probity log …`: the log of decisions, read and verified.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use probity_bundle::log::{Head, Log};
use serde_json::{Value, json};

use crate::package::StateDir;
use crate::{input, output, store};

/// Read the log of decisions, and find out whether it was changed
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity log show
  probity log verify
  probity log verify --state ./state --head \"12 9f86…\"

Each line holds the hash of the one before, so a line that is changed, added, taken out or moved
is found. The last line is remembered beside the log (log.head), and may be kept anywhere else:
`verify` prints it, and takes it back with --head.
A last line that is torn, because a command was killed while it wrote, is told; the next decision
says so in the log and goes on after it.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check the whole chain; exit status 1 when it is broken
    Verify {
        /// The last line as it was once: `NUMBER HASH`
        #[arg(long, value_name = "HEAD")]
        head: Option<Head>,
        /// One JSON object: lines head broken{line what} torn
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        state: StateDir,
    },
    /// Print the decisions, oldest first
    Show {
        /// The lines as they are: one JSON object each
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        state: StateDir,
    },
}

pub fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Verify { head, json, state } => verify(head, json, &state),
        Command::Show { json, state } => show(json, &state),
    }
}

fn read(state: &StateDir) -> Result<(PathBuf, Log)> {
    let path = state.dir.join(store::LOG);
    let log = Log::read(&input::read(&path)?);
    Ok((path, log))
}

fn verify(head: Option<Head>, json: bool, state: &StateDir) -> Result<ExitCode> {
    let (path, log) = read(state)?;
    let mut broken = log.broken.clone();
    for head in [head, store::head(&state.dir)?].into_iter().flatten() {
        broken = broken.or(log.contains(&head).err());
    }
    let torn = log.torn.as_ref().map(Vec::len);
    if json {
        output::json(&json!({
            "lines": log.records.len(),
            "head": log.head().map(|h| h.to_string()),
            "broken": broken.as_ref().map(|b| json!({"line": b.line, "what": b.what})),
            "torn": torn,
        }))?;
    } else {
        let shown = path.display();
        if let Some(bytes) = torn {
            output::warning(format_args!(
                "{shown}: the last line is torn after {bytes} bytes: a command was killed while it wrote"
            ));
        }
        match (&broken, log.head()) {
            (Some(broken), _) => output::error(&anyhow::anyhow!("{shown}: {broken}")),
            (None, Some(head)) => {
                output::line(format_args!("{shown}: whole; its last line is {head}"))?
            }
            (None, None) => output::line(format_args!("{shown}: empty"))?,
        }
    }
    Ok(match broken {
        Some(_) => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    })
}

fn show(json: bool, state: &StateDir) -> Result<ExitCode> {
    let (path, log) = read(state)?;
    for record in &log.records {
        if json {
            output::json(&record.json)?;
            continue;
        }
        let text = |key: &str| match record.json.get(key) {
            Some(Value::String(text)) => text.replace(char::is_control, "\u{fffd}"),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        let taint = if text("tainted") == "true" {
            " (tainted)"
        } else {
            ""
        };
        let what = format!("{} {}", text("name"), text("version"));
        // A refusal begins with what it is about.
        let why = text("why");
        let why = why.strip_prefix(&format!("{what}: ")).unwrap_or(&why);
        output::line(format_args!(
            "{:>5} {:<20} {:<9} {:<13}{taint} {what}  {why}",
            text("seq"),
            text("time"),
            text("event"),
            text("verdict"),
        ))?;
    }
    if let Some(broken) = &log.broken {
        output::error(&anyhow::anyhow!("{}: {broken}", path.display()));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
