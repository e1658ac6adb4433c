//! `extension.toml` → what the vendor says of an extension.

use std::collections::BTreeMap;

use semver::{Version, VersionReq};
use serde::Deserialize;

use crate::Error;
use crate::manifest::{Manifest, is_name};

/// The keys of `extension.toml`. What is left out of `grants` is what the programs use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vendor {
    pub name: String,
    pub version: Version,
    #[serde(default)]
    pub authors: Vec<String>,
    #[serde(default)]
    pub license: String,
    #[serde(default)]
    pub description: String,
    /// Section name → version of the hook that its programs were written for; 1 where it is not said.
    #[serde(default)]
    pub hooks: BTreeMap<String, u32>,
    #[serde(default)]
    pub grants: Asked,
    /// Global functions that other extensions may call, besides those with the declaration tag `probity:export`.
    #[serde(default)]
    pub exports: Vec<String>,
    #[serde(default)]
    pub dependencies: BTreeMap<String, VersionReq>,
    /// Name → file, beside the manifest.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    pub helpers: Option<Vec<String>>,
    pub kfuncs: Option<Vec<String>>,
    pub map_kinds: Option<Vec<String>>,
    pub map_bytes: Option<u64>,
    pub worst_case_insns: Option<u64>,
    #[serde(default)]
    pub data: Vec<String>,
}

impl Vendor {
    pub fn from_toml(text: &str) -> Result<Vendor, Error> {
        let vendor: Vendor =
            toml::from_str(text).map_err(|e| Error::Vendor(e.to_string().trim_end().to_owned()))?;
        let names = [&vendor.name]
            .into_iter()
            .chain(vendor.dependencies.keys())
            .chain(vendor.data.keys())
            .chain(&vendor.grants.data);
        for name in names {
            if !is_name(name) {
                return Err(Error::Vendor(format!(
                    "{name:?} is no name: use letters, digits, `-`, `_` and `.`, 64 at most"
                )));
            }
        }
        Ok(vendor)
    }

    /// What the vendor said of a package that is to be sealed again.
    pub fn of(manifest: &Manifest) -> Vendor {
        let g = &manifest.grants;
        let hooks = manifest.hooks.iter();
        Vendor {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            authors: manifest.authors.clone(),
            license: manifest.license.clone(),
            description: manifest.description.clone(),
            hooks: hooks.map(|h| (h.section.clone(), h.abi)).collect(),
            grants: Asked {
                helpers: Some(g.helpers.clone()),
                kfuncs: Some(g.kfuncs.clone()),
                map_kinds: Some(g.map_kinds.clone()),
                map_bytes: Some(g.map_bytes),
                worst_case_insns: g.worst_case_insns,
                data: g.data.clone(),
            },
            exports: manifest.exports.iter().map(|e| e.name.clone()).collect(),
            dependencies: manifest.dependencies.clone(),
            data: BTreeMap::new(),
        }
    }
}
