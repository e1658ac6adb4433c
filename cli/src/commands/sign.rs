//! `probity sign PACKAGE --key FILE`: a package, verified again, with a signature.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use probity_bundle::{Time, Vendor, seal};

use super::pack;
use super::verify::Common;
use crate::package;

/// Sign a package with a private key, after verifying its programs again
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity key generate vendor
  probity sign meter.tar --key vendor.key
  probity sign meter.tar --key vendor.key --expires 2027-12-31 -o meter-signed.tar

A signature that is there is replaced. What the proof says of the programs is written anew:
signed is what was verified here.
Exit status: 0 signed, 1 rejected or failed.")]
pub struct Args {
    /// A layout's directory, a .tar of it, or a .pkg
    package: PathBuf,
    /// The private key
    #[arg(short, long, value_name = "FILE")]
    key: PathBuf,
    /// The signature does not count from then on (2027-12-31, 2027-12-31T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = package::time)]
    expires: Option<Time>,
    /// Where the signed package goes [default: where it is]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    host: pack::ForHost,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let key = pack::secret(&args.key)?;
    let shown = args.package.display().to_string();
    let package = package::read(&args.package)?;
    let object = package
        .object()
        .with_context(|| format!("the object of {shown}"))?;
    let host = args.host.description()?;
    let platform = args.host.platform(&args.common, host.as_ref())?;
    let verified = pack::verified(&object, &shown, &args.common, host.as_ref(), &platform)?;
    let Some(verified) = verified else {
        return Ok(ExitCode::FAILURE);
    };
    let vendor = Vendor::of(package.manifest());
    let sealed = seal(&verified, &vendor, package.data().clone()).context(shown)?;
    let to = args.output.unwrap_or(args.package);
    pack::finish(sealed, Some(key), args.expires, &to)?;
    Ok(ExitCode::SUCCESS)
}
