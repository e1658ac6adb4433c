//! Packages as vendors make them, as attackers change them, and as hosts judge them.

mod image;
mod log;
mod manifest;
mod tampered;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_bundle::{Entry, Keyring, Package, Sealed, SecretKey, Trust, Vendor, seal};
use probity_platform::{NEWEST, Platform, Policy};
use probity_verifier::{Options, Verified, verify};

pub const MANIFEST: &str = r#"
name = "meter"
version = "1.2.0"
authors = ["A Vendor <vendor@example.org>"]
license = "MIT"
description = "Counts what it sees"

[hooks]
tc = 2

[dependencies]
base = ">=1.0, <2"

[data]
table = "table.bin"
"#;

pub fn verified(path: &str) -> Verified {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let bytes = std::fs::read(root.join("programs").join(path)).unwrap();
    let object = probity_objfile::open("object", &bytes).unwrap();
    let platform = Arc::new(Platform::linux(NEWEST, None));
    let report = verify(&object, &platform, &Policy::default(), &Options::default()).unwrap();
    report.into_verified().expect("a program that is safe")
}

pub fn meter() -> Verified {
    verified("tc-meter/tc-meter.o")
}

pub fn sealed_as(text: &str) -> Sealed {
    let data = BTreeMap::from([("table".to_owned(), b"some data".to_vec())]);
    seal(&meter(), &Vendor::from_toml(text).unwrap(), data).unwrap()
}

pub fn sealed() -> Sealed {
    sealed_as(MANIFEST)
}

pub fn version(version: &str) -> Sealed {
    sealed_as(&MANIFEST.replace("1.2.0", version))
}

pub fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&format!("key-{n}"), &[n; 32]).unwrap()
}

pub fn entry(key: &SecretKey) -> Entry {
    Entry {
        name: key.name.clone(),
        key: key.public(),
        until: None,
        endorsement: None,
    }
}

pub fn ring(entries: &[Entry]) -> Keyring {
    let text: String = entries.iter().map(|e| format!("{e}\n")).collect();
    Keyring::parse(&text).unwrap()
}

/// Trusts key 1.
pub fn trust() -> Trust {
    Trust {
        builtin: ring(&[entry(&key(1))]),
        ..Trust::default()
    }
}

pub fn signed() -> Package {
    sealed().sign(&key(1), None)
}

/// Random numbers from `TEST_SEED`, which is printed.
pub struct Rng(u64);

impl Rng {
    pub fn seeded() -> Rng {
        let seed = std::env::var("TEST_SEED").ok().and_then(|s| s.parse().ok());
        let now = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_nanos() as u64;
        let seed = seed.unwrap_or(now);
        println!("TEST_SEED={seed}");
        Rng(seed | 1)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}
