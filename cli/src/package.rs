//! Packages as files, and the directories that say who is trusted and what was seen.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use probity_bundle::{
    Error, Judgement, Keyring, Package, Revoked, Time, Trust, Unsigned, Versions, oci,
};
use serde_json::json;

use crate::store;

pub const BUILTIN: &str = "builtin.keys";
pub const SECONDARY: &str = "secondary.keys";
pub const REVOKED: &str = "revoked";
pub const POLICY: &str = "trust.toml";
pub const VERSIONS: &str = "versions";

/// What commands that judge packages share.
#[derive(clap::Args)]
pub struct Trusted {
    #[command(flatten)]
    pub trust: TrustDir,
    #[command(flatten)]
    pub state: StateDir,
    /// Take packages that are not signed, as `unsigned = "taint"` in trust.toml does
    #[arg(long)]
    pub allow_unsigned: bool,
}

#[derive(clap::Args)]
pub struct TrustDir {
    /// Who is trusted: the files builtin.keys, secondary.keys, revoked, trust.toml
    #[arg(
        long = "trust",
        value_name = "DIR",
        env = "PROBITY_TRUST",
        default_value = "/etc/probity/trust"
    )]
    pub dir: PathBuf,
}

#[derive(clap::Args)]
pub struct StateDir {
    /// What is remembered: the files versions, log, log.head
    #[arg(
        id = "state",
        long = "state",
        value_name = "DIR",
        env = "PROBITY_STATE",
        default_value = "/var/lib/probity"
    )]
    pub dir: PathBuf,
}

impl TrustDir {
    pub fn keyring(&self, name: &str) -> Result<Keyring> {
        let path = self.dir.join(name);
        Keyring::parse(&store::read_guarded(&path)?)
            .with_context(|| format!("in {}", path.display()))
    }

    pub fn revoked(&self) -> Result<Revoked> {
        let path = self.dir.join(REVOKED);
        Revoked::parse(&store::read_guarded(&path)?)
            .with_context(|| format!("in {}", path.display()))
    }
}

impl Trusted {
    fn all(&self) -> Result<Trust> {
        let path = self.trust.dir.join(POLICY);
        let unsigned = Unsigned::from_toml(&store::read_guarded(&path)?)
            .with_context(|| format!("in {}", path.display()))?;
        Ok(Trust {
            builtin: self.trust.keyring(BUILTIN)?,
            secondary: self.trust.keyring(SECONDARY)?,
            revoked: self.trust.revoked()?,
            unsigned: match self.allow_unsigned {
                true => Unsigned::Taint,
                false => unsigned,
            },
        })
    }

    pub fn versions(&self) -> Result<Versions> {
        let path = self.state.dir.join(VERSIONS);
        Versions::parse(&store::read_guarded(&path)?)
            .with_context(|| format!("in {}", path.display()))
    }

    pub fn judge(&self, package: &Package) -> Result<Judgement> {
        Ok(self.all()?.judge(package, &self.versions()?, store::now()))
    }

    /// Writes a decision to the log.
    pub fn record(
        &self,
        lock: &store::Lock,
        event: &str,
        package: &Package,
        judgement: &Judgement,
    ) -> Result<()> {
        let m = package.manifest();
        let details = json!({
            "name": m.name,
            "version": m.version,
            "digest": package.digest(),
            "key": package.signature().map(|s| s.key),
            "verdict": judgement.verdict,
            "accepted": judgement.accepted,
            "tainted": judgement.tainted,
            "why": judgement.why,
        });
        let serde_json::Value::Object(details) = details else {
            return Ok(());
        };
        store::append(&self.state.dir, lock, event, details)
    }

    /// Remembers the version of what was accepted.
    pub fn accept(&self, _lock: &store::Lock, package: &Package) -> Result<()> {
        let mut versions = self.versions()?;
        if versions.accept(package) {
            let path = self.state.dir.join(VERSIONS);
            store::replace(&path, versions.to_string().as_bytes(), 0o644)?;
        }
        Ok(())
    }
}

/// A point in time on the command line.
pub fn time(text: &str) -> Result<Time, String> {
    match text.parse()? {
        Time(0) => Err("that is before any".into()),
        time => Ok(time),
    }
}

/// A package from a layout's directory, a layout in one file, or its own bytes.
pub fn read(path: &Path) -> Result<Package> {
    let shown = path.display();
    let cannot = || format!("cannot open {shown} as a package");
    if path.is_dir() {
        let mut failed = None;
        let package = oci::open(&mut |inside| {
            let file = path.join(inside);
            if !file.exists() {
                return Ok(None);
            }
            crate::input::read(&file).map(Some).map_err(|error| {
                let text = format!("{error:#}");
                failed = Some(error);
                Error::Image(text)
            })
        });
        return match failed {
            Some(error) => Err(error),
            None => package.with_context(cannot),
        };
    }
    let bytes = crate::input::read(path)?;
    match Package::is_package(&bytes) {
        true => Package::open(&bytes).with_context(cannot),
        false if bytes.starts_with(b"\x7fELF") => {
            bail!("{shown} is an object, not a package: `probity pack` makes one of it")
        }
        false => oci::open_tar(&bytes).with_context(cannot),
    }
}

/// Writes a package whole or not at all: its own bytes as `.pkg`, one file as `.tar`, otherwise a directory.
pub fn write(path: &Path, package: &Package) -> Result<()> {
    match path.extension().and_then(OsStr::to_str) {
        Some("pkg") => store::replace(path, &package.to_bytes(), 0o644),
        Some("tar") => store::replace(path, &oci::layout_tar(package)?, 0o644),
        _ => write_directory(path, &oci::layout(package)?),
    }
}

/// What a blob holds is in its name, so new ones stand beside the old until the index says which are meant.
fn write_directory(path: &Path, files: &oci::Files) -> Result<()> {
    const INDEX: &str = "index.json";
    if path.exists() && !path.join("oci-layout").exists() && !is_empty(path) {
        bail!(
            "{} is there already, and no image layout: take another name, or .tar or .pkg",
            path.display()
        );
    }
    const LAYOUT: &str = "oci-layout";
    let create = |dir: &Path| {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))
    };
    create(path)?;
    // Whoever finds what a kill left knows what it was to be.
    if let Some(bytes) = files.get(LAYOUT) {
        store::replace(&path.join(LAYOUT), bytes, 0o644)?;
    }
    let blobs = path.join("blobs/sha256");
    create(&blobs)?;
    let last = files.iter().filter(|(inside, _)| *inside == INDEX);
    for (inside, bytes) in files.iter().filter(|(i, _)| *i != INDEX).chain(last) {
        store::replace(&path.join(inside), bytes, 0o644)?;
    }
    let gone = |entry: &std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        !files.contains_key(&format!("blobs/sha256/{name}"))
    };
    let there = std::fs::read_dir(&blobs).with_context(|| format!("in {}", blobs.display()))?;
    for entry in there.flatten().filter(gone) {
        // One that stays is in nobody's way.
        let _ = std::fs::remove_file(entry.path());
    }
    Ok(())
}

/// A directory with nothing in it.
fn is_empty(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}
