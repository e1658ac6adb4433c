//! `probity link A.o B.o -o C.o`: several objects → one; with `--prelink`, packages → an image that a host starts with.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use probity_bundle::Package;
use probity_host::{Deployment, Host};
use serde_json::json;

use super::hook::description;
use crate::extensions::{self, Refused, dependencies};
use crate::package::{self, Trusted};
use crate::{input, output};

/// Link several objects into one, as a linker does
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity link parser.o policy.o -o extension.o
  probity link --json a.o b.o -o c.o && probity verify c.o
  probity link --prelink guard.tar rewrite.tar --host gateway.json -o gateway.img

Functions and variables that one object declares `extern` are found in another; a weak definition
gives way to a strong one; static ones stay each object's own. A map is shared by all objects that
define it alike. Sections of a name stand one after the other, types are there once. Everything
that clashes is named, with both objects. What nobody defines stays `extern`, for another link,
and is told.
With --json one object with the keys output bytes programs maps unresolved.

With --prelink the arguments are packages, which are judged, verified for the host that --host
describes, held to the grants and compiled; dependencies are taken from their directories. The
image holds the packages with their priorities, and their code. A host that is started with it
(--image) judges and verifies each again, and need not compile: the code is taken where it was
compiled of that very proof, for this description, policy, processor, number of CPUs and version,
and is compiled anew otherwise, which is told. The key that seals an image is in the host's
--state directory: make it as the user that the host runs as. Of an image that was changed, or
sealed elsewhere, nothing is used.
With --json one object with the keys output bytes packages.
Exit status: 0 linked, 1 it does not go together; of a package as `probity ext` has them.")]
pub struct Args {
    /// Objects (ELF); with --prelink packages
    #[arg(required = true, value_name = "OBJECT")]
    objects: Vec<PathBuf>,
    /// Where the linked object goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Make an image of packages, verified and compiled for a host
    #[arg(long, requires = "host")]
    prelink: bool,
    /// With --prelink: what the host says of itself (JSON or TOML; the host prints it with --describe)
    #[arg(long, value_name = "FILE", requires = "prelink")]
    host: Option<PathBuf>,
    /// With --prelink: what the deployer grants to which signer (TOML), as the host has it
    #[arg(long, value_name = "FILE", requires = "prelink")]
    grants: Option<PathBuf>,
    /// With --prelink: callers with per-CPU elements of their own, as the host has it: the gateway's --threads [default: all CPUs]
    #[arg(long, value_name = "N", requires = "prelink")]
    cpus: Option<usize>,
    /// With --prelink: extensions of a hook with lower ones are called first; may be given more than once [default: 0]
    #[arg(long, value_name = "NAME=NUMBER", requires = "prelink", value_parser = priority)]
    priority: Vec<(String, i32)>,
    #[command(flatten)]
    trusted: Trusted,
}

fn priority(text: &str) -> Result<(String, i32), String> {
    let (name, number) = text.split_once('=').ok_or("it is NAME=NUMBER")?;
    let number = number.parse().map_err(|e| format!("`{number}`: {e}"))?;
    Ok((name.into(), number))
}

pub fn run(args: Args) -> Result<ExitCode> {
    if args.prelink {
        return extensions::ended(prelink(&args));
    }
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

/// Packages, with what they depend on before them → an image.
fn prelink(args: &Args) -> Result<ExitCode> {
    let of = args.host.as_deref().context("no description")?;
    let mut builder = Host::of(description(of)?).trust(args.trusted.store());
    if let Some(cpus) = args.cpus {
        builder = builder.cpus(cpus);
    }
    let deployment = Deployment {
        grants: args.grants.clone(),
        allow_unsigned: args.trusted.allow_unsigned,
        ..Deployment::default()
    };
    let host = deployment.build(builder)?;
    let mut all: Vec<(Package, i32)> = Vec::new();
    let mut known = dependencies::Loaded::new();
    for path in &args.objects {
        let package = package::read(path)?;
        if known.contains_key(&package.manifest().name) {
            continue;
        }
        let beside = super::ext::directories(path, Vec::new());
        for package in dependencies::order(package, &beside, &known)? {
            let m = package.manifest();
            known.insert(m.name.clone(), Some(m.version.clone()));
            let given = args.priority.iter().rfind(|(name, _)| *name == m.name);
            let priority = given.map_or(0, |(_, number)| *number);
            all.push((package, priority));
        }
    }
    if let Some((name, _)) = args.priority.iter().find(|p| !known.contains_key(&p.0)) {
        bail!("--priority: no package `{name}` is among them");
    }
    let image = host.prelink(&all).map_err(|e| {
        let status = e.exit_status();
        Refused::error(e, status)
    })?;
    probity_store::replace(&args.output, &image, 0o600)?;
    let titles: Vec<String> = all.iter().map(|(p, _)| p.manifest().title()).collect();
    let to = args.output.display().to_string();
    if args.json {
        output::json(&json!({ "output": to, "bytes": image.len(), "packages": titles }))?;
    } else {
        output::note(format_args!(
            "{to}: {} bytes, packages: {}",
            image.len(),
            titles.join(", ")
        ));
    }
    Ok(ExitCode::SUCCESS)
}
