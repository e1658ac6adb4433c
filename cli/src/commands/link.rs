//! `probity link A.o B.o -o C.o`: several objects → one.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;

use crate::{input, output};

/// Link several objects into one, as a linker does
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity link parser.o policy.o -o extension.o
  probity link --json a.o b.o -o c.o && probity verify c.o

Functions and variables that one object declares `extern` are found in another; a weak definition
gives way to a strong one; static ones stay each object's own. A map is shared by all objects that
define it alike. Sections of a name stand one after the other, types are there once.
Everything that clashes is named, with both objects. What nobody defines stays `extern`, for another
link, and is told.
With --json one object with the keys output bytes programs maps unresolved.
Exit status: 0 linked, 1 it does not go together.")]
pub struct Args {
    /// Objects (ELF)
    #[arg(required = true, value_name = "OBJECT")]
    objects: Vec<PathBuf>,
    /// Where the linked object goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let mut files = Vec::new();
    for path in &args.objects {
        files.push((path.display().to_string(), input::read(path)?));
    }
    let objects: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), &b[..])).collect();
    let linked = match probity_objfile::link(&objects) {
        Ok(linked) => linked,
        Err(probity_objfile::LinkError::Clashes(clashes)) => {
            for clash in &clashes {
                output::error(&anyhow::anyhow!("{clash}"));
            }
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    };
    let to = args.output.display().to_string();
    std::fs::write(&args.output, &linked.bytes).with_context(|| format!("cannot write {to}"))?;
    for name in &linked.unresolved {
        output::warning(format_args!("{to}: no object defines `{name}`"));
    }
    // What is still to be linked cannot be opened as an extension yet.
    let object = match linked.unresolved.is_empty() {
        true => Some(
            probity_objfile::open(&to, &linked.bytes)
                .with_context(|| format!("{to} was linked, and is no extension object"))?,
        ),
        false => None,
    };
    let (mut programs, mut maps) = (Vec::new(), Vec::new());
    if let Some(object) = &object {
        programs.extend(object.programs.iter().map(|p| p.name.as_str()));
        maps.extend(object.maps.iter().map(|m| m.name.as_str()));
    }
    if args.json {
        output::json(&json!({
            "output": to,
            "bytes": linked.bytes.len(),
            "programs": programs,
            "maps": maps,
            "unresolved": linked.unresolved,
        }))?;
    } else {
        output::note(format_args!(
            "{to}: {} bytes, programs: {}",
            linked.bytes.len(),
            programs.join(", ")
        ));
    }
    Ok(ExitCode::SUCCESS)
}
