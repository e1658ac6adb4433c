//! [`Store`]: the directories of trust and of state, and what is judged with them.

use std::path::PathBuf;

use probity_bundle::{Judgement, Keyring, Package, Revoked, Trust, Unsigned, Versions};
use serde_json::{Map, Value, json};

use crate::error::{Result, content};
use crate::files::{self, Lock};

pub const BUILTIN: &str = "builtin.keys";
pub const SECONDARY: &str = "secondary.keys";
pub const REVOKED: &str = "revoked";
pub const POLICY: &str = "trust.toml";
pub const VERSIONS: &str = "versions";

/// Where it says who is trusted, and where it is remembered what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The files `builtin.keys`, `secondary.keys`, `revoked` and `trust.toml`.
    pub trust: PathBuf,
    /// The files `versions`, `log` and `log.head`.
    pub state: PathBuf,
    /// Packages without a signature are taken, whatever `trust.toml` says, and taint.
    pub allow_unsigned: bool,
}

impl Store {
    pub fn new(trust: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Store {
        Store {
            trust: trust.into(),
            state: state.into(),
            allow_unsigned: false,
        }
    }

    pub fn keyring(&self, name: &str) -> Result<Keyring> {
        let path = self.trust.join(name);
        Keyring::parse(&files::read_guarded(&path)?).map_err(content(&path))
    }

    pub fn revoked(&self) -> Result<Revoked> {
        let path = self.trust.join(REVOKED);
        Revoked::parse(&files::read_guarded(&path)?).map_err(content(&path))
    }

    /// Who is trusted now; the files may have changed since they were read last.
    pub fn trust(&self) -> Result<Trust> {
        let path = self.trust.join(POLICY);
        let unsigned = Unsigned::from_toml(&files::read_guarded(&path)?).map_err(content(&path))?;
        Ok(Trust {
            builtin: self.keyring(BUILTIN)?,
            secondary: self.keyring(SECONDARY)?,
            revoked: self.revoked()?,
            unsigned: match self.allow_unsigned {
                true => Unsigned::Taint,
                false => unsigned,
            },
        })
    }

    pub fn versions(&self) -> Result<Versions> {
        let path = self.state.join(VERSIONS);
        Versions::parse(&files::read_guarded(&path)?).map_err(content(&path))
    }

    pub fn lock(&self) -> Result<Lock> {
        files::lock(&self.state)
    }

    pub fn judge(&self, package: &Package) -> Result<Judgement> {
        Ok(self
            .trust()?
            .judge(package, &self.versions()?, files::now()))
    }

    /// Writes a decision on a package to the log.
    pub fn record(
        &self,
        lock: &Lock,
        event: &str,
        package: &Package,
        judgement: &Judgement,
    ) -> Result<()> {
        let m = package.manifest();
        self.note(
            lock,
            event,
            json!({
                "name": m.name,
                "version": m.version,
                "digest": package.digest(),
                "key": package.signature().map(|s| s.key),
                "verdict": judgement.verdict,
                "accepted": judgement.accepted,
                "tainted": judgement.tainted,
                "why": judgement.why,
            }),
        )
    }

    /// Writes another decision to the log: an object.
    pub fn note(&self, lock: &Lock, event: &str, details: Value) -> Result<()> {
        let details = match details {
            Value::Object(details) => details,
            other => Map::from_iter([("what".to_owned(), other)]),
        };
        files::append(&self.state, lock, event, details)
    }

    /// Remembers the version of what was accepted.
    pub fn accept(&self, _lock: &Lock, package: &Package) -> Result<()> {
        let mut versions = self.versions()?;
        if versions.accept(package) {
            let path = self.state.join(VERSIONS);
            files::replace(&path, versions.to_string().as_bytes(), 0o644)?;
        }
        Ok(())
    }
}
