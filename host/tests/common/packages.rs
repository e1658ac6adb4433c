//! Packages of a vendor whom a host trusts.

use std::path::PathBuf;

use probity_bundle::{Package, SecretKey, Vendor, seal};
use probity_host::{Error, Host, Load};
use probity_objfile::Object;
use probity_store::Store;

use super::{builder, host, request};

/// Directories that are gone at the end.
pub struct Place(pub PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Place {
    /// Directories of trust and state, with the key of `vendor` in the builtin keyring.
    pub fn new(name: &str) -> Place {
        let dir = std::env::temp_dir().join(format!("packages-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("trust")).unwrap();
        let place = Place(dir);
        place.trust("builtin.keys", &format!("vendor {}\n", key(1).public()));
        place
    }

    pub fn trust(&self, file: &str, text: &str) {
        std::fs::write(self.0.join("trust").join(file), text).unwrap();
    }

    pub fn store(&self) -> Store {
        Store::new(self.0.join("trust"), self.0.join("state"))
    }

    pub fn host(&self) -> Host {
        builder().trust(self.store()).build().unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.0.join("state/log")).unwrap_or_default()
    }
}

pub fn key(n: u8) -> SecretKey {
    SecretKey::from_seed("vendor", &[n; 32]).unwrap()
}

/// An object in ELF, as it is shipped.
pub fn shipped(object: &Object) -> Object {
    let bytes = probity_objfile::write(object).unwrap();
    probity_objfile::open("test", &bytes).unwrap()
}

pub fn sealed(host: &Host, object: &Object, manifest: &str) -> probity_bundle::Sealed {
    let verified = host.verify(object, &Load::default()).unwrap();
    seal(
        &verified,
        &Vendor::from_toml(manifest).unwrap(),
        Default::default(),
    )
    .unwrap()
}

pub fn manifest(name: &str, version: &str, more: &str) -> String {
    format!("name = '{name}'\nversion = '{version}'\n{more}\n")
}

pub fn pack(name: &str, version: &str, code: &str) -> Package {
    let object = shipped(&request(code));
    sealed(&host(), &object, &manifest(name, version, "")).sign(&key(1), None)
}

pub fn load(host: &Host, package: &Package) -> Result<String, Error> {
    host.load_package(&package.to_bytes(), &Load::default())
}
