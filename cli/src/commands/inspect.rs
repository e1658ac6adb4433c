//! `probity inspect PACKAGE`: what a package says, and the verdict on who signed it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use probity_bundle::{Judgement, Package};
use serde_json::json;

use crate::{output, package};

/// Show what is in a package, and whether its signer is trusted
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity inspect meter.tar
  probity inspect --json meter.tar
  probity inspect --trust ./trust --state ./state meter.tar || echo \"status $?\"

Nothing is remembered and nothing goes to the log. With --json one object with the keys
  manifest digest data signature{key expires} judgement{verdict accepted tainted signer why}.
Exit status: that of the verdict: 0 OK (or unsigned and allowed), 1 failed, 3 UNSIGNED,
  4 UNKNOWN_KEY, 5 BAD_SIGNATURE, 6 REVOKED, 7 EXPIRED, 8 ROLLBACK.")]
pub struct Args {
    /// A layout's directory, a .tar of it, or a .pkg
    package: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trusted: package::Trusted,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let package = package::read(&args.package)?;
    let judgement = args.trusted.judge(&package)?;
    match args.json {
        true => output::json(&json!({
            "manifest": package.manifest(),
            "digest": package.digest(),
            "data": package.data().keys().collect::<Vec<_>>(),
            "signature": package.signature().map(|s| json!({"key": s.key, "expires": s.expires})),
            "judgement": judgement,
        }))?,
        false => output::text(text(&package, &judgement))?,
    }
    Ok(match judgement.accepted {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(judgement.verdict.exit_status()),
    })
}

fn text(package: &Package, judgement: &Judgement) -> String {
    let m = package.manifest();
    let mut out = String::new();
    // Of a stranger's making: no control characters reach the terminal.
    let mut row = |key: &str, value: String| {
        if !value.is_empty() {
            let shown: String = value
                .chars()
                .map(|c| if c.is_control() { '\u{fffd}' } else { c })
                .collect();
            let _ = writeln!(out, "{key:<13}{shown}");
        }
    };
    let bound = |n: Option<u64>| n.map_or("no bound".into(), |n| format!("at most {n} executed"));
    row("name", m.name.clone());
    row("version", m.version.to_string());
    row("description", m.description.clone());
    row("authors", m.authors.join(", "));
    row("licence", m.license.clone());
    row("digest", package.digest().to_string());
    row(
        "object",
        format!("{}, {} bytes", m.object, package.object_bytes().len()),
    );
    row("verified for", m.platform.clone());
    for h in &m.hooks {
        let (program, section, kind) = (&h.program, &h.section, &h.kind);
        let bound = bound(h.worst_case_insns);
        row(
            "hook",
            format!(
                "{section} (abi {}): {program}, {kind}, {} insns, {bound}",
                h.abi, h.insns
            ),
        );
    }
    for e in &m.exports {
        row("export", e.prototype.clone());
    }
    for map in &m.maps {
        let (key, value) = (map.key_size, map.value_size);
        row(
            "map",
            format!(
                "{}: {}, {} entries of {key} and {value} bytes",
                map.name, map.kind, map.max_entries
            ),
        );
    }
    let g = &m.grants;
    row(
        "asks for",
        format!(
            "{} bytes of maps, {}",
            g.map_bytes,
            bound(g.worst_case_insns)
        ),
    );
    row("  helpers", g.helpers.join(", "));
    row("  kfuncs", g.kfuncs.join(", "));
    row("  map kinds", g.map_kinds.join(", "));
    row("  data", g.data.join(", "));
    for (name, versions) in &m.dependencies {
        row("needs", format!("{name} {versions}"));
    }
    for (name, blob) in &m.data {
        row(
            "data",
            format!("{name}: {} bytes, {}", blob.size, blob.digest),
        );
    }
    if let Some(s) = package.signature() {
        let until = s.expires.map_or(String::new(), |t| format!(", until {t}"));
        row("signature", format!("{}{until}", s.key));
    }
    let style = if judgement.accepted {
        output::GOOD
    } else {
        output::BAD
    };
    let (verdict, why) = (judgement.verdict, &judgement.why);
    let _ = writeln!(out, "{:<13}{style}{verdict}{style:#}: {why}", "verdict");
    out
}
