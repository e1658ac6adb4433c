//! A package, keyrings, revocations, versions seen and the time → a [`Verdict`] on who it comes from.
//!
//! In this order, the first that applies: the digest of the package or of its object is revoked; it is not signed;
//! the signer's key is revoked, or the key that vouches for it; no keyring has the key, or nobody in the builtin
//! keyring vouches for it; the signature does not hold; the signature, the key or the key that vouches for it has
//! expired; a higher version by the same signer was seen.
//!
//! **Invariant:** a name and a version count for nothing before the signature over them holds.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Entry, Error, Keyring, Package, PublicKey, Revoked, Time, Versions};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    Ok,
    Unsigned,
    UnknownKey,
    BadSignature,
    Revoked,
    Expired,
    Rollback,
}

impl Verdict {
    pub const ALL: [Verdict; 7] = [
        Verdict::Ok,
        Verdict::Unsigned,
        Verdict::UnknownKey,
        Verdict::BadSignature,
        Verdict::Revoked,
        Verdict::Expired,
        Verdict::Rollback,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Verdict::Ok => "OK",
            Verdict::Unsigned => "UNSIGNED",
            Verdict::UnknownKey => "UNKNOWN_KEY",
            Verdict::BadSignature => "BAD_SIGNATURE",
            Verdict::Revoked => "REVOKED",
            Verdict::Expired => "EXPIRED",
            Verdict::Rollback => "ROLLBACK",
        }
    }

    /// Of a command that stops at it; 1 and 2 are other failures.
    pub fn exit_status(self) -> u8 {
        match self {
            Verdict::Ok => 0,
            Verdict::Unsigned => 3,
            Verdict::UnknownKey => 4,
            Verdict::BadSignature => 5,
            Verdict::Revoked => 6,
            Verdict::Expired => 7,
            Verdict::Rollback => 8,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Verdict {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What the policy does with packages that are not signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unsigned {
    #[default]
    Refuse,
    /// Accepts them, and whoever loads one is tainted.
    Taint,
}

/// Which keyring a key is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Of the host or its deployer.
    Builtin,
    /// Added later, each key vouched for by a builtin one.
    Secondary,
}

/// Who is trusted.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    pub builtin: Keyring,
    pub secondary: Keyring,
    pub revoked: Revoked,
    pub unsigned: Unsigned,
}

/// The verdict, and what follows from it under the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    pub verdict: Verdict,
    /// It may be loaded, as far as its origin is concerned.
    pub accepted: bool,
    /// Accepted without a signature: whoever loads it says so everywhere.
    pub tainted: bool,
    /// The signer, where a keyring knows the key.
    pub signer: Option<Signer>,
    /// Why, in a sentence.
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signer {
    pub name: String,
    pub key: PublicKey,
    pub tier: Tier,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    unsigned: Unsigned,
}

impl Unsigned {
    /// The policy's file: `unsigned = "refuse"` or `"taint"`.
    pub fn from_toml(text: &str) -> Result<Unsigned, Error> {
        let file: File =
            toml::from_str(text).map_err(|e| Error::Vendor(e.to_string().trim_end().to_owned()))?;
        Ok(file.unsigned)
    }
}

impl Trust {
    /// The verdict on a package at a time. Nothing is remembered: [`Versions::accept`] does that,
    /// when what was accepted is in use.
    pub fn judge(&self, package: &Package, versions: &Versions, now: Time) -> Judgement {
        let mut signer = None;
        let (verdict, why) = match self.refusal(package, versions, now, &mut signer) {
            Some(refusal) => refusal,
            None => {
                let by = signer.as_ref().map_or("", |s: &Signer| &s.name);
                (Verdict::Ok, format!("signed by {by}"))
            }
        };
        let tainted = verdict == Verdict::Unsigned && self.unsigned == Unsigned::Taint;
        Judgement {
            verdict,
            accepted: verdict == Verdict::Ok || tainted,
            tainted,
            signer,
            why,
        }
    }

    fn refusal(
        &self,
        package: &Package,
        versions: &Versions,
        now: Time,
        signer: &mut Option<Signer>,
    ) -> Option<(Verdict, String)> {
        let digest = package.digest();
        let manifest = package.manifest();
        for (what, digest) in [("package", digest), ("object", manifest.object)] {
            if let Some(reason) = self.revoked.digest(&digest) {
                let why = format!("its {what}, {digest}, is revoked{}", because(reason));
                return Some((Verdict::Revoked, why));
            }
        }
        let Some(signature) = package.signature() else {
            let why = match self.unsigned {
                Unsigned::Refuse => "it is not signed, and the policy takes no such packages",
                Unsigned::Taint => "it is not signed; the policy takes it, and the host is tainted",
            };
            return Some((Verdict::Unsigned, why.into()));
        };
        let key = &signature.key;
        if let Some(reason) = self.revoked.key(key) {
            let why = format!("its signer's key, {key}, is revoked{}", because(reason));
            return Some((Verdict::Revoked, why));
        }
        let (entry, tier, by) = match self.known(key) {
            Ok(known) => known,
            Err(refusal) => return Some(refusal),
        };
        *signer = Some(Signer {
            name: entry.name.clone(),
            key: *key,
            tier,
        });
        if !signature.holds(digest) {
            let name = &entry.name;
            let why = format!("the signature is not {name}'s over these bytes: they were changed");
            return Some((Verdict::BadSignature, why));
        }
        let times = [
            ("the signature", signature.expires),
            ("its signer's key", entry.until),
            (
                "the key that vouches for its signer's",
                by.and_then(|b| b.until),
            ),
        ];
        for (what, until) in times {
            if let Some(until) = until.filter(|&until| until <= now) {
                return Some((Verdict::Expired, format!("{what} expired at {until}")));
            }
        }
        let highest = versions.highest(key, &manifest.name)?;
        if manifest.version.cmp_precedence(highest).is_lt() {
            let why = format!(
                "{} {highest} by the same signer was accepted before",
                manifest.name
            );
            return Some((Verdict::Rollback, why));
        }
        None
    }

    /// The key's entry, and that of the key that vouches for it.
    fn known(&self, key: &PublicKey) -> Result<(&Entry, Tier, Option<&Entry>), (Verdict, String)> {
        let unknown = |why: String| Err((Verdict::UnknownKey, why));
        if let Some(entry) = self.builtin.get(key) {
            return Ok((entry, Tier::Builtin, None));
        }
        let Some(entry) = self.secondary.get(key) else {
            return unknown(format!("no keyring has its signer's key, {key}"));
        };
        let name = &entry.name;
        let Some(endorsement) = entry.endorsement.as_ref().filter(|_| entry.is_endorsed()) else {
            return unknown(format!(
                "the key of {name} is in the secondary keyring, and nobody vouches for it"
            ));
        };
        let by = &endorsement.by;
        if let Some(reason) = self.revoked.key(by) {
            let because = because(reason);
            let why = format!("the key that vouches for that of {name} is revoked{because}");
            return Err((Verdict::Revoked, why));
        }
        match self.builtin.get(by) {
            Some(by) => Ok((entry, Tier::Secondary, Some(by))),
            None => unknown(format!(
                "the key that vouches for that of {name}, {by}, is not in the builtin keyring"
            )),
        }
    }
}

fn because(reason: &str) -> String {
    match reason {
        "" => String::new(),
        reason => format!(": {reason}"),
    }
}
