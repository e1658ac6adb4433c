//! Keys and keyrings ⇄ text that a person reads and edits.
//!
//! A line is a key: `NAME ed25519:HEX`, then maybe `until=2027-01-31`, from which on it does not count. A line of
//! a secondary keyring says besides who vouches for it: `by=ed25519:HEX signature=HEX`. Empty lines and what
//! follows `#` are for people. A key file has one line, `NAME ed25519:HEX` or `NAME ed25519-secret:HEX`.
//!
//! A key is vouched for by a signature over the line `probity endorsement 1`, the 32 bytes of either key, the time
//! (a number, 0 for ever), and the name as `canonical` writes it.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::canonical::Writer;
use crate::digest::{hex_bytes, hex32};
use crate::manifest::is_name;
use crate::{Error, Time};

const DOMAIN: &[u8] = b"probity endorsement 1\n";
const PUBLIC: &str = "ed25519:";
const SECRET: &str = "ed25519-secret:";

/// 32 bytes of an ed25519 public key, which may yet be those of no good key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

/// Its bytes are wiped when it is dropped.
pub struct SecretKey {
    /// Who it belongs to, for people.
    pub name: String,
    key: SigningKey,
}

impl PublicKey {
    /// Strictly: see `signature.rs`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }

    fn is_good(&self) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| !key.is_weak())
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<PublicKey, String> {
        let key = text
            .strip_prefix(PUBLIC)
            .and_then(hex32)
            .map(PublicKey)
            .ok_or_else(|| format!("`{text}` is not `{PUBLIC}` and 64 lower-case digits"))?;
        match key.is_good() {
            true => Ok(key),
            false => Err(format!("`{text}` is not an ed25519 public key")),
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl SecretKey {
    /// From 32 random bytes.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<SecretKey, Error> {
        if !is_name(name) {
            return Err(line_error("key", 1, bad_name(name)));
        }
        Ok(SecretKey {
            name: name.to_owned(),
            key: SigningKey::from_bytes(seed),
        })
    }

    /// The text of a file of a private key.
    pub fn parse(text: &str) -> Result<SecretKey, Error> {
        let (line, words) = only_line(text, "private key")?;
        let error = |what: String| line_error("private key", line, what);
        let [name, key] = words[..] else {
            return Err(error(format!("it is not `NAME {SECRET}HEX`")));
        };
        if key.starts_with(PUBLIC) {
            return Err(error("this is a public key; its private key signs".into()));
        }
        let seed = key.strip_prefix(SECRET).and_then(hex32);
        let seed = seed.ok_or_else(|| error(format!("it is not `NAME {SECRET}HEX`")))?;
        SecretKey::from_seed(name, &seed)
    }

    /// The text of its file.
    pub fn to_text(&self) -> String {
        let key = hex::encode(self.key.to_bytes());
        format!(
            "# A private key of Probity's: keep it to yourself.\n{} {SECRET}{key}\n",
            self.name
        )
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(self.key.verifying_key().to_bytes())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    /// Vouches for another's key, for a secondary keyring.
    pub fn endorse(&self, entry: &Entry) -> Entry {
        let by = self.public();
        Entry {
            endorsement: Some(Endorsement {
                by,
                signature: self.sign(&endorsed(&by, entry)),
            }),
            ..entry.clone()
        }
    }
}

/// Without its bytes.
impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, {})", self.name, self.public())
    }
}

/// A key in a keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub key: PublicKey,
    /// From then on it does not count.
    pub until: Option<Time>,
    pub endorsement: Option<Endorsement>,
}

/// That another key's holder vouches for a key, its name and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endorsement {
    pub by: PublicKey,
    signature: [u8; 64],
}

impl Entry {
    /// One line: also the text of a file of a public key.
    pub fn parse(text: &str) -> Result<Entry, Error> {
        let (line, words) = only_line(text, "public key")?;
        entry(&words).map_err(|what| line_error("public key", line, what))
    }

    /// Does the endorsement hold, if there is one?
    pub fn is_endorsed(&self) -> bool {
        let Some(e) = &self.endorsement else {
            return false;
        };
        e.by.verifies(&endorsed(&e.by, self), &e.signature)
    }
}

fn endorsed(by: &PublicKey, entry: &Entry) -> Vec<u8> {
    let mut w = Writer::default();
    w.raw(DOMAIN);
    w.raw(&by.0);
    w.raw(&entry.key.0);
    w.number(entry.until.map_or(0, |t| t.0));
    w.text(&entry.name);
    w.bytes
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.key)?;
        if let Some(until) = self.until {
            write!(f, " until={until}")?;
        }
        if let Some(e) = &self.endorsement {
            write!(f, " by={} signature={}", e.by, hex::encode(e.signature))?;
        }
        Ok(())
    }
}

/// Keys, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyring {
    entries: Vec<Entry>,
}

impl Keyring {
    pub fn parse(text: &str) -> Result<Keyring, Error> {
        let mut ring = Keyring::default();
        for (line, words) in lines(text) {
            let error = |what: String| line_error("keyring", line, what);
            let entry = entry(&words).map_err(error)?;
            ring.add(entry).map_err(error)?;
        }
        Ok(ring)
    }

    /// `Err` says which key of the same bytes or name is there already.
    pub fn add(&mut self, entry: Entry) -> Result<(), String> {
        let same = |e: &&Entry| e.key == entry.key || e.name == entry.name;
        if let Some(there) = self.entries.iter().find(same) {
            return Err(format!("a key of that name or value is there: {there}"));
        }
        self.entries.push(entry);
        Ok(())
    }

    pub fn get(&self, key: &PublicKey) -> Option<&Entry> {
        self.entries.iter().find(|e| e.key == *key)
    }

    pub fn named(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.name == name)
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

fn entry(words: &[&str]) -> Result<Entry, String> {
    let [name, key, rest @ ..] = words else {
        return Err(format!("it is not `NAME {PUBLIC}HEX`"));
    };
    if key.starts_with(SECRET) {
        return Err("this is a private key; keyrings hold public ones".into());
    }
    if !is_name(name) {
        return Err(bad_name(name));
    }
    let (mut until, mut by, mut signature) = (None, None, None);
    for word in rest {
        let (slot, value) = word.split_once('=').unwrap_or((word, ""));
        let twice = match slot {
            "until" => until.replace(value.parse::<Time>()?).is_some(),
            "by" => by.replace(value.parse::<PublicKey>()?).is_some(),
            "signature" => {
                let bytes: [u8; 64] = hex_bytes(value)
                    .ok_or_else(|| "a signature has 128 lower-case digits".to_owned())?;
                signature.replace(bytes).is_some()
            }
            _ => return Err(format!("`{slot}` is none of until=, by=, signature=")),
        };
        if twice {
            return Err(format!("`{slot}` is there twice"));
        }
    }
    if until == Some(Time(0)) {
        return Err("the time is before any".into());
    }
    let endorsement = match (by, signature) {
        (Some(by), Some(signature)) => Some(Endorsement { by, signature }),
        (None, None) => None,
        _ => return Err("by= and signature= go together".into()),
    };
    Ok(Entry {
        name: (*name).to_owned(),
        key: key.parse()?,
        until,
        endorsement,
    })
}

fn bad_name(name: &str) -> String {
    format!("{name:?} is no name: letters, digits, `-`, `_` and `.`, 64 at most")
}

/// Words of each line that has some, with its number.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    text.lines().enumerate().filter_map(|(n, line)| {
        let line = line.split('#').next().unwrap_or("");
        let words: Vec<&str> = line.split_whitespace().collect();
        (!words.is_empty()).then_some((n + 1, words))
    })
}

fn only_line<'a>(text: &'a str, kind: &'static str) -> Result<(usize, Vec<&'a str>), Error> {
    let mut all = lines(text);
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(line_error(kind, 1, "there is none")),
        (Some(_), Some((n, _))) => Err(line_error(kind, n, "there is more than one")),
    }
}

pub(crate) fn line_error(kind: &'static str, line: usize, what: impl Into<String>) -> Error {
    Error::Line {
        kind,
        line,
        what: what.into(),
    }
}
