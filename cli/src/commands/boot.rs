//! `probity boot`: the enabled extensions of this machine, loaded at start.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::ext::Where;
use crate::extensions::boot::{self, Outcome};
use crate::output;

/// Load the enabled extensions of this machine into the running kernel, in the order of their dependencies
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity boot                       what the systemd unit probity-boot.service runs at start
  probity boot --json

What `probity ext load` has loaded is enabled until `probity ext disable` or `unload`. Each
package is judged and verified again. One that cannot be loaded is told, and the others are loaded
all the same, but for those that depend on it. What is in the kernel already stays as it is; what
interrupted commands left is completed or taken away.
Exit status: 0 all are there, 1 at least one is not, 12 not permitted.")]
pub struct Args {
    /// One JSON object: an array `extensions` of name and outcome, and `tainted`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

pub fn run(args: Args) -> Result<ExitCode> {
    crate::extensions::ended(boot(&args))
}

fn boot(args: &Args) -> Result<ExitCode> {
    let mut kernel = args.place.kernel()?;
    let done = boot::boot(&mut kernel);
    let tainted = kernel.installed.taint()?;
    if args.json {
        let rows: Vec<_> = done
            .iter()
            .map(|(name, outcome)| json!({ "name": name, "outcome": outcome }))
            .collect();
        output::json(&json!({ "extensions": rows, "tainted": tainted }))?;
    } else {
        for (name, outcome) in &done {
            match outcome {
                Outcome::Loaded => output::line(format_args!("{name}: loaded"))?,
                Outcome::There => output::line(format_args!("{name}: there already"))?,
                Outcome::Disabled => output::line(format_args!("{name}: disabled"))?,
                Outcome::Failed(why) => {
                    output::error(&anyhow::anyhow!("{name}: not loaded: {why}"))
                }
            }
        }
        if !tainted.is_empty() {
            output::warning(format_args!(
                "the kernel is tainted by {}",
                tainted.join(", ")
            ));
        }
    }
    Ok(ExitCode::from(boot::exit_status(&done)))
}
