//! `probity helpers [PATTERN]`: the helpers of the platform, as the verifier knows them.

use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use serde_json::json;

use crate::{kernel, output};

/// List the helpers programs can call, with what each demands and where it is allowed
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity helpers                  all of Linux's
  probity helpers ringbuf          those with ringbuf in their name
  probity helpers --prog-type xdp  those an XDP program may call
  probity helpers --in-process     those with a meaning in `probity run`")]
pub struct Args {
    /// Only helpers whose name contains this (or whose number is this)
    pattern: Option<String>,
    /// Only helpers that programs of this kind may call
    #[arg(long, value_name = "KIND")]
    prog_type: Option<String>,
    /// Only helpers that programs can call when they run in process
    #[arg(long)]
    in_process: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// What was asked for and, where one name is nearly it, that name.
fn none_matches(args: &Args, linux: &probity_platform::Platform) -> anyhow::Error {
    let Some(pattern) = &args.pattern else {
        return anyhow!("no helper is like that");
    };
    let narrowed = args.prog_type.is_some() || args.in_process;
    let name = pattern.strip_prefix("bpf_").unwrap_or(pattern);
    let near = probity_script::nearest(name, linux.helpers.iter().map(|h| h.name));
    match near {
        Some(near) => anyhow!("no helper matches `{pattern}`; did you mean `{near}`?"),
        None if narrowed => anyhow!("no helper matches `{pattern}` and the options beside it"),
        None => anyhow!("no helper matches `{pattern}`"),
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    let linux = kernel::platform(None);
    let in_process = probity_runtime::platform(None);
    let kind = match &args.prog_type {
        None => None,
        Some(name) => match linux.prog_kinds.iter().find(|k| k.name == *name) {
            Some(kind) => Some(kind),
            None => {
                let known: Vec<&str> = linux.prog_kinds.iter().map(|k| k.name).collect();
                bail!("no program kind `{name}`; there are: {}", known.join(", "));
            }
        },
    };
    let wanted = args
        .pattern
        .as_deref()
        .map(|p| p.strip_prefix("bpf_").unwrap_or(p));
    let mut found = 0;
    for helper in linux.helpers.iter() {
        let matches = wanted.is_none_or(|p| helper.name.contains(p) || helper.id.to_string() == p);
        let allowed = kind.is_none_or(|k| k.helpers.contains(helper.name));
        let here = in_process.helper(helper.id).is_some();
        if !matches || !allowed || (args.in_process && !here) {
            continue;
        }
        found += 1;
        let kinds: Vec<&str> = linux
            .prog_kinds
            .iter()
            .filter(|k| k.helpers.contains(helper.name))
            .map(|k| k.name)
            .collect();
        if args.json {
            output::json(&json!({
                "id": helper.id,
                "name": format!("bpf_{}", helper.name),
                "prototype": helper.to_string(),
                "since": helper.since.to_string(),
                "gpl_only": helper.effects.gpl_only,
                "in_process": here,
                "prog_types": kinds,
            }))?;
        } else {
            let (bold, dim) = (output::BOLD, output::DIM);
            let gpl = if helper.effects.gpl_only {
                ", GPL only"
            } else {
                ""
            };
            let process = if here { ", in process" } else { "" };
            output::line(format_args!("{bold}{:>3}{bold:#} {helper}", helper.id))?;
            let kinds = match kinds.len() {
                n if n == linux.prog_kinds.len() => "every kind of program".to_string(),
                0 => "no kind of program by itself".to_string(),
                _ => kinds.join(" "),
            };
            output::line(format_args!(
                "    {dim}since {}{gpl}{process}; {kinds}{dim:#}",
                helper.since
            ))?;
        }
    }
    if found == 0 {
        return Err(none_matches(&args, &linux));
    }
    Ok(ExitCode::SUCCESS)
}
