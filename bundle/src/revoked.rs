//! A list of what is trusted no longer ⇄ text: a line `ed25519:HEX`, a key, or `sha256:HEX`, the digest of a
//! package or of an object, and then the reason.

use std::collections::BTreeMap;
use std::fmt;

use crate::keyring::{line_error, lines};
use crate::{Digest, Error, PublicKey};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    keys: BTreeMap<PublicKey, String>,
    digests: BTreeMap<Digest, String>,
}

impl Revoked {
    pub fn parse(text: &str) -> Result<Revoked, Error> {
        let mut revoked = Revoked::default();
        for (line, words) in lines(text) {
            let reason = words[1..].join(" ");
            revoked
                .add(words[0], &reason)
                .map_err(|what| line_error("list of revocations", line, what))?;
        }
        Ok(revoked)
    }

    /// A key or a digest, as text.
    pub fn add(&mut self, what: &str, reason: &str) -> Result<(), String> {
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        let reason = reason.replace('#', "");
        // Reasons once given stay.
        if what.starts_with("sha256:") {
            self.digests.entry(what.parse()?).or_insert(reason);
        } else {
            self.keys.entry(what.parse()?).or_insert(reason);
        }
        Ok(())
    }

    /// The reason, when the key is revoked.
    pub fn key(&self, key: &PublicKey) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }

    /// The reason, when the digest is revoked.
    pub fn digest(&self, digest: &Digest) -> Option<&str> {
        self.digests.get(digest).map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.digests.is_empty()
    }

    /// Each with its reason.
    pub fn iter(&self) -> impl Iterator<Item = (String, &str)> {
        let keys = self.keys.iter().map(|(k, r)| (k.to_string(), r.as_str()));
        let digests = self
            .digests
            .iter()
            .map(|(d, r)| (d.to_string(), r.as_str()));
        keys.chain(digests)
    }
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, reason) in self.iter() {
            writeln!(f, "{}", format!("{what} {reason}").trim_end())?;
        }
        Ok(())
    }
}
