//! Command-line arguments about packages: where it says who is trusted, and what was seen.

use std::path::PathBuf;

use anyhow::Result;
use probity_bundle::{Judgement, Keyring, Package, Revoked, Time};
use probity_store::Store;

use crate::store;

pub use probity_store::package::{read, write};
pub use probity_store::{BUILTIN, REVOKED, SECONDARY};

/// What commands that judge packages share.
#[derive(clap::Args)]
pub struct Trusted {
    #[command(flatten)]
    pub trust: TrustDir,
    #[command(flatten)]
    pub state: StateDir,
    /// Take packages that are not signed, as `unsigned = "taint"` in trust.toml does
    #[arg(long, global = true)]
    pub allow_unsigned: bool,
}

#[derive(clap::Args)]
pub struct TrustDir {
    /// Who is trusted: the files builtin.keys, secondary.keys, revoked, trust.toml
    #[arg(
        long = "trust",
        value_name = "DIR",
        env = "PROBITY_TRUST",
        default_value = "/etc/probity/trust",
        global = true
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
        default_value = "/var/lib/probity",
        global = true
    )]
    pub dir: PathBuf,
}

impl TrustDir {
    fn store(&self) -> Store {
        Store::new(&self.dir, "")
    }

    pub fn keyring(&self, name: &str) -> Result<Keyring> {
        Ok(self.store().keyring(name)?)
    }

    pub fn revoked(&self) -> Result<Revoked> {
        Ok(self.store().revoked()?)
    }
}

impl Trusted {
    pub fn store(&self) -> Store {
        Store {
            allow_unsigned: self.allow_unsigned,
            ..Store::new(&self.trust.dir, &self.state.dir)
        }
    }

    pub fn judge(&self, package: &Package) -> Result<Judgement> {
        Ok(self.store().judge(package)?)
    }

    /// Writes a decision to the log.
    pub fn record(
        &self,
        lock: &store::Lock,
        event: &str,
        package: &Package,
        judgement: &Judgement,
    ) -> Result<()> {
        Ok(self.store().record(lock, event, package, judgement)?)
    }

    /// Remembers the version of what was accepted.
    pub fn accept(&self, lock: &store::Lock, package: &Package) -> Result<()> {
        Ok(self.store().accept(lock, package)?)
    }
}

/// A point in time on the command line.
pub fn time(text: &str) -> Result<Time, String> {
    match text.parse()? {
        Time(0) => Err("that is before any".into()),
        time => Ok(time),
    }
}
