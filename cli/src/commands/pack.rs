//! `probity pack OBJECT`: a verified object and its manifest → a package.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use probity_bundle::{Sealed, SecretKey, Time, Vendor, seal};
use probity_host::HostDescription;
use probity_objfile::{Object, Program, Target};
use probity_platform::Platform;
use probity_verifier::{Verdict, Verified};

use super::verify::Common;
use crate::{input, kernel, output, package, render};

/// Make a package of an object whose programs are all proved safe
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity pack meter.o                       the manifest is extension.toml beside it
  probity pack meter.o -o meter --key vendor.key --expires 2027-12-31
  probity pack limit.o --host gateway.json   an extension of a host, whose description that is
  probity pack meter.o -m meter.toml -o meter.tar && skopeo copy oci-archive:meter.tar docker://…

A manifest (TOML) says name and version, and may say more:
  authors, license, description
  exports = [\"function\"]        global functions that other extensions may call
  [hooks]         SECTION = ABI version of the hook that programs were written for [default: 1]
  [grants]        helpers, kfuncs, map_kinds, map_bytes, worst_case_insns, data that it asks for
                  [default: what the programs use]
  [dependencies]  NAME = \"version range\"
  [data]          NAME = \"file beside the manifest\"
Hooks, maps with their types, bounds and digests are added from the proof and the object.

A name that ends in .pkg gives the package's own bytes, .tar an OCI image layout in one file,
any other a directory with that layout; registries carry it, and bpfman loads it.
Exit status: 0 packed, 1 rejected or failed.")]
pub struct Args {
    /// The object (ELF), or an assembly file (.s)
    object: PathBuf,
    /// What the vendor says of it [default: extension.toml beside the object]
    #[arg(short, long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Where the package goes [default: NAME-VERSION.tar]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Sign it with this private key [default: it is not signed; see `probity sign`]
    #[arg(short, long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The signature does not count from then on (2027-12-31, 2027-12-31T12:00:00Z)
    #[arg(long, value_name = "TIME", requires = "key", value_parser = package::time)]
    expires: Option<Time>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    host: ForHost,
}

/// What packing and signing share, for extensions of a host.
#[derive(clap::Args)]
pub struct ForHost {
    /// Verify its programs as extensions of the host that this file describes
    #[arg(long = "host", value_name = "FILE", conflicts_with_all = ["prog_type", "btf"])]
    description: Option<PathBuf>,
    /// A package whose exports it calls; may be given more than once, in the order in which they are loaded
    #[arg(long = "with", value_name = "PACKAGE", requires = "description")]
    with: Vec<PathBuf>,
}

impl ForHost {
    /// Against what is verified: the host, with what other packages export, or Linux.
    pub fn platform(
        &self,
        common: &Common,
        host: Option<&HostDescription>,
    ) -> Result<Arc<Platform>> {
        let Some(host) = host.filter(|_| !self.with.is_empty()) else {
            return platform(common, host);
        };
        let mut others = Vec::new();
        for path in &self.with {
            let package = package::read(path)?;
            let exports = package.manifest().exports.iter();
            let names: Vec<String> = exports.map(|e| e.name.clone()).collect();
            others.push((package.object()?, names));
        }
        let others: Vec<_> = others.iter().map(|(o, n)| (o, &n[..])).collect();
        let platform = host.platform_beside(&others, &common.policy()?)?;
        Ok(Arc::new(platform))
    }

    pub fn description(&self) -> Result<Option<HostDescription>> {
        self.description
            .as_deref()
            .map(super::hook::description)
            .transpose()
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    if !args.common.settings.is_empty() {
        bail!("a package holds the object as it is: give --set and --entries where it is loaded");
    }
    let beside = || args.object.with_file_name("extension.toml");
    let path = args.manifest.clone().unwrap_or_else(beside);
    let text = input::read_text(&path).with_context(
        || "a package needs a manifest, which says its name and version (see `probity pack --help`)",
    )?;
    let vendor = Vendor::from_toml(&text).with_context(|| format!("in {}", path.display()))?;
    let key = args.key.as_deref().map(secret).transpose()?;

    let host = args.host.description()?;
    let platform = args.host.platform(&args.common, host.as_ref())?;
    let mut object = input::object(&args.object, &platform)?;
    let of_host = |p: &&Program| matches!(p.hook.target, Target::Host { .. });
    if let (None, Some(p)) = (&host, object.programs.iter().find(of_host)) {
        bail!(
            "program `{}` is in section `{}`, a hook of a host: give --host, the file in which that host says what it offers",
            p.name,
            p.hook.section
        );
    }
    if object.elf.is_empty() {
        // From assembly: what is shipped is a file.
        object = probity_objfile::open(&object.name, &probity_objfile::write(&object)?)?;
    }
    let shown = args.object.display().to_string();
    let Some(verified) = verified(&object, &shown, &args.common, host.as_ref(), &platform)? else {
        return Ok(ExitCode::FAILURE);
    };
    let mut data = BTreeMap::new();
    for (name, file) in &vendor.data {
        data.insert(name.clone(), input::read(&path.with_file_name(file))?);
    }
    let sealed = seal(&verified, &vendor, data)
        .with_context(|| format!("{} with {}", args.object.display(), path.display()))?;
    let to = args
        .output
        .unwrap_or_else(|| PathBuf::from(format!("{}-{}.tar", vendor.name, vendor.version)));
    finish(sealed, key, args.expires, &to)?;
    Ok(ExitCode::SUCCESS)
}

/// Against what is verified: the host, or Linux.
fn platform(common: &Common, host: Option<&HostDescription>) -> Result<Arc<Platform>> {
    Ok(match host {
        Some(host) => Arc::new(host.platform()),
        None => kernel::platform(kernel::types(common.btf.as_deref())?),
    })
}

/// The proof of all programs; `None` when there is one that is not accepted, which was told.
pub fn verified(
    object: &Object,
    shown: &str,
    common: &Common,
    host: Option<&HostDescription>,
    platform: &Arc<Platform>,
) -> Result<Option<Verified>> {
    if object.programs.is_empty() {
        bail!("{shown} holds no programs");
    }
    let options = common.options(platform)?;
    let policy = common.policy()?;
    let report = match host {
        Some(host) => host.verify(object, platform, &policy, &options)?,
        None => probity_verifier::verify(object, platform, &policy, &options)?,
    };
    match report.into_verified() {
        Ok(verified) => Ok(Some(verified)),
        Err(report) => {
            for p in &report.programs {
                if let Verdict::Reject(r) = &p.verdict {
                    output::note(render::rejection(shown, &p.name, r));
                }
            }
            output::note("nothing is sealed: every program has to be accepted");
            Ok(None)
        }
    }
}

pub fn secret(path: &Path) -> Result<SecretKey> {
    SecretKey::parse(&input::read_text(path)?).with_context(|| format!("in {}", path.display()))
}

/// Signs, where there is a key, and writes.
pub fn finish(
    sealed: Sealed,
    key: Option<SecretKey>,
    expires: Option<Time>,
    to: &Path,
) -> Result<()> {
    let package = match &key {
        Some(key) => sealed.sign(key, expires),
        None => sealed.unsigned(),
    };
    package::write(to, &package)?;
    let who = match &key {
        Some(key) => format!("signed by {}", key.name),
        None => "not signed".into(),
    };
    let title = package.manifest().title();
    output::note(format_args!(
        "{}: {title}, {who}, {}",
        to.display(),
        package.digest()
    ));
    Ok(())
}
