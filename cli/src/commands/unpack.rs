//! `probity unpack PACKAGE`: a package whose origin is trusted → its object and data.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{output, package, store};

/// Take a package apart, if its signer is trusted
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity unpack meter.tar -o meter
  probity unpack --trust ./trust --state ./state meter.tar && probity verify meter.o

Writes NAME.o and the package's data. The decision goes to the log; a version that was
accepted is remembered, and lower ones of the same signer are refused from then on.
A trusted signer says who made it, not that it is safe: it is verified where it is loaded.
Exit status: 0 OK (or unsigned and allowed), 1 failed, 3 UNSIGNED, 4 UNKNOWN_KEY, 5 BAD_SIGNATURE,
  6 REVOKED, 7 EXPIRED, 8 ROLLBACK.")]
pub struct Args {
    /// A layout's directory, a .tar of it, or a .pkg
    package: PathBuf,
    /// Directory that the files go to
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    #[command(flatten)]
    trusted: package::Trusted,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let package = package::read(&args.package)?;
    let lock = store::lock(&args.trusted.state.dir)?;
    let judgement = args.trusted.judge(&package)?;
    args.trusted.record(&lock, "unpack", &package, &judgement)?;
    let title = package.manifest().title();
    let (verdict, why) = (judgement.verdict, &judgement.why);
    if !judgement.accepted {
        output::error(&anyhow::anyhow!(
            "{}: {verdict}: {title}: {why}",
            args.package.display()
        ));
        return Ok(ExitCode::from(verdict.exit_status()));
    }
    if judgement.tainted {
        output::warning(format_args!("{title}: {verdict}: {why}"));
    }
    let dir = &args.output;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let object = dir.join(format!("{}.o", package.manifest().name));
    store::replace(&object, package.object_bytes(), 0o644)?;
    for (name, bytes) in package.data() {
        store::replace(&dir.join(name), bytes, 0o644)?;
    }
    args.trusted.accept(&lock, &package)?;
    output::note(format_args!("{}: {title}, {why}", object.display()));
    Ok(ExitCode::SUCCESS)
}
