//! The highest version seen of each signer's extensions ⇄ text: a line `ed25519:HEX NAME VERSION`.
//!
//! **Invariant:** a version recorded never falls.

use std::collections::BTreeMap;
use std::fmt;

use semver::Version;

use crate::keyring::{line_error, lines};
use crate::manifest::is_name;
use crate::{Error, Package, PublicKey};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    seen: BTreeMap<(PublicKey, String), Version>,
}

impl Versions {
    pub fn parse(text: &str) -> Result<Versions, Error> {
        let mut versions = Versions::default();
        for (line, words) in lines(text) {
            let error = |what: String| line_error("file of versions", line, what);
            let [key, name, version] = words[..] else {
                return Err(error("it is not `ed25519:HEX NAME VERSION`".into()));
            };
            if !is_name(name) {
                return Err(error(format!("{name:?} is no name")));
            }
            let version = Version::parse(version).map_err(|e| error(e.to_string()))?;
            versions.note(key.parse().map_err(error)?, name, &version);
        }
        Ok(versions)
    }

    pub fn highest(&self, signer: &PublicKey, name: &str) -> Option<&Version> {
        self.seen.get(&(*signer, name.to_owned()))
    }

    /// Remembers a package that was accepted. Answers whether there is something new to keep.
    pub fn accept(&mut self, package: &Package) -> bool {
        match package.signature() {
            Some(s) => self.note(s.key, &package.manifest().name, &package.manifest().version),
            None => false,
        }
    }

    fn note(&mut self, signer: PublicKey, name: &str, version: &Version) -> bool {
        let slot = self.seen.entry((signer, name.to_owned()));
        let mut new = false;
        let highest = slot.or_insert_with(|| {
            new = true;
            version.clone()
        });
        if highest.cmp_precedence(version).is_lt() {
            *highest = version.clone();
            new = true;
        }
        new
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((key, name), version) in &self.seen {
            writeln!(f, "{key} {name} {version}")?;
        }
        Ok(())
    }
}
