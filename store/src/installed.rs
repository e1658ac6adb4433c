//! The extensions that this machine has, as they are written down: what is to be in the kernel, and the packages that it comes from.
//!
//! In the directory of state, `extensions/NAME.json` is a [`Record`], and `packages/DIGEST.pkg` the package that it names. The record
//! is what counts: an extension is loaded when its record is written and gone when it is removed, each at once. What
//! the kernel holds beside that is what an interrupted command left, to be completed or taken away.
//!
//! **Invariant:** a package is there, whole, before a record names it, and as long as one does.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use probity_bundle::{Digest, Package};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, content, io};
use crate::files::{self, Lock};

/// What is written down of an extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub name: String,
    pub version: Version,
    /// Of the package: 64 digits.
    pub package: String,
    /// Counts replacements, from 1: the directory in bpffs.
    pub generation: u64,
    /// Attached, and to be loaded at start.
    pub enabled: bool,
    /// Nobody signed it.
    pub tainted: bool,
    pub signer: Option<String>,
    /// For programs whose sections do not say where they attach.
    pub interface: Option<String>,
    pub cgroup: Option<String>,
    /// What was proved here.
    pub programs: Vec<Proved>,
    #[serde(default)]
    pub dependencies: BTreeMap<String, VersionReq>,
    /// When it was loaded or replaced, in seconds since 1970.
    pub since: u64,
}

/// What was proved of a program when it was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proved {
    pub name: String,
    pub section: String,
    /// Where it attaches; `None` for one that only tail calls reach.
    pub attach: Option<String>,
    /// Slots.
    pub insns: u64,
    pub worst_case_insns: Option<u64>,
    /// Bytes.
    pub stack: u64,
}

/// Where records and packages are.
#[derive(Clone, Debug)]
pub struct Installed {
    state: PathBuf,
}

impl Installed {
    pub fn new(state: impl Into<PathBuf>) -> Installed {
        Installed {
            state: state.into(),
        }
    }

    fn records(&self) -> PathBuf {
        self.state.join("extensions")
    }

    fn record_path(&self, name: &str) -> PathBuf {
        self.records().join(format!("{name}.json"))
    }

    fn package_path(&self, digest: &str) -> PathBuf {
        self.state.join("packages").join(format!("{digest}.pkg"))
    }

    /// All records, by name; those that cannot be read with why.
    pub fn all(&self) -> Result<(BTreeMap<String, Record>, Vec<String>)> {
        let (mut all, mut bad) = (BTreeMap::new(), Vec::new());
        let dir = self.records();
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((all, bad)),
            Err(e) => return Err(io("cannot read", &dir)(e)),
        };
        for entry in entries.flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let Some(name) = file.strip_suffix(".json").filter(|n| !n.starts_with('.')) else {
                continue;
            };
            let path = entry.path();
            let read = files::read_guarded(&path).and_then(|text| {
                serde_json::from_str::<Record>(&text)
                    .map_err(|e| Error::Refused(format!("{}: {e}", path.display())))
            });
            match read {
                Ok(record) if record.name == name => {
                    all.insert(record.name.clone(), record);
                }
                Ok(record) => {
                    bad.push(format!("{}: it is about `{}`", path.display(), record.name))
                }
                Err(e) => bad.push(e.chain()),
            }
        }
        Ok((all, bad))
    }

    /// Writes a record, and its package before it. From then on it counts.
    pub fn put(&self, _lock: &Lock, record: &Record, package: Option<&Package>) -> Result<()> {
        for dir in [self.records(), self.state.join("packages")] {
            private(&dir).map_err(io("cannot create", &dir))?;
        }
        if let Some(package) = package {
            files::replace(
                &self.package_path(&record.package),
                &package.to_bytes(),
                0o600,
            )?;
        }
        let text = serde_json::to_string_pretty(record).unwrap_or_default() + "\n";
        files::replace(&self.record_path(&record.name), text.as_bytes(), 0o644)
    }

    /// Removes a record: from then on the extension is gone.
    pub fn remove(&self, _lock: &Lock, name: &str) -> Result<()> {
        let path = self.record_path(name);
        let done = std::fs::remove_file(&path)
            .and_then(|()| std::fs::File::open(self.records())?.sync_all());
        done.map_err(io("cannot remove", &path))
    }

    /// The package that a record names, whole.
    pub fn package(&self, record: &Record) -> Result<Package> {
        let path = self.package_path(&record.package);
        let package = Package::open(&files::read(&path)?).map_err(content(&path))?;
        match package.digest().hex() == record.package {
            true => Ok(package),
            false => Err(Error::Refused(format!(
                "{} is another package than its name says",
                path.display()
            ))),
        }
    }

    /// Removes packages that no record names, and files that a kill left half written.
    pub fn tidy(&self, _lock: &Lock, records: &BTreeMap<String, Record>) {
        let named = |file: &str| {
            records
                .values()
                .any(|r| file == format!("{}.pkg", r.package))
        };
        for (dir, keep) in [(self.state.join("packages"), true), (self.records(), false)] {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                let file = entry.file_name().to_string_lossy().into_owned();
                if file.starts_with('.') || keep && !named(&file) {
                    // One that stays is in nobody's way.
                    let _ = std::fs::remove_file(entry.path());
                }
            }
        }
    }
}

/// What extensions a machine has, and of whom, is told to those only who may change it.
fn private(dir: &std::path::Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

/// What makes the machine tainted until it is started again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint {
    boot: String,
    pub by: Vec<String>,
}

impl Installed {
    fn taint_path(&self) -> PathBuf {
        self.state.join("tainted")
    }

    /// Extensions that nobody signed and that were loaded since the machine was started.
    pub fn taint(&self) -> Result<Vec<String>> {
        let text = files::read_guarded(&self.taint_path())?;
        let taint: Taint = serde_json::from_str(&text).unwrap_or_default();
        Ok(match taint.boot == boot() {
            true => taint.by,
            false => Vec::new(),
        })
    }

    pub fn add_taint(&self, _lock: &Lock, name: &str) -> Result<()> {
        let mut by = self.taint()?;
        if by.iter().any(|n| n == name) {
            return Ok(());
        }
        by.push(name.to_owned());
        let taint = Taint { boot: boot(), by };
        let text = serde_json::to_string(&taint).unwrap_or_default() + "\n";
        files::replace(&self.taint_path(), text.as_bytes(), 0o644)
    }
}

/// Another one each time the machine is started.
fn boot() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    read.unwrap_or_default().trim().to_owned()
}

/// The digest of a package as records have it.
pub fn digest(digest: &Digest) -> String {
    digest.hex()
}
