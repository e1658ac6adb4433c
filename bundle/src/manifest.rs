//! What a package says of itself: the vendor's words, and what the proof and the object's types show.
//!
//! **Invariant:** names are plain enough to be file names, and lists without an order of their own ascend.

use std::collections::BTreeMap;

use semver::{Version, VersionReq};
use serde::Serialize;

use crate::canonical::{Reader, Writer};
use crate::{Digest, Error};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manifest {
    pub name: String,
    pub version: Version,
    pub authors: Vec<String>,
    /// Of the package; the object has one of its own for helpers that ask for it.
    pub license: String,
    pub description: String,
    /// Name → versions that will do.
    pub dependencies: BTreeMap<String, VersionReq>,
    /// What it asks for.
    pub grants: Grants,
    /// Ascending by name.
    pub exports: Vec<Export>,
    /// One a program, ascending by program.
    pub hooks: Vec<Hook>,
    /// Ascending by name.
    pub maps: Vec<MapSchema>,
    /// Of the object's bytes.
    pub object: Digest,
    /// Named data that travels with the object.
    pub data: BTreeMap<String, Blob>,
    /// What it was verified for when it was sealed; whoever loads it verifies it again.
    pub platform: String,
}

/// A request: what is granted is for the host to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Grants {
    /// By name, ascending.
    pub helpers: Vec<String>,
    /// Kernel functions, or functions of the host, by name, ascending.
    pub kfuncs: Vec<String>,
    /// By name, ascending.
    pub map_kinds: Vec<String>,
    /// Bytes of keys and values of all maps when they are full.
    pub map_bytes: u64,
    /// Of the program that takes most; `None` where a program has no bound.
    pub worst_case_insns: Option<u64>,
    /// Data of the host's or deployer's, by name, ascending.
    pub data: Vec<String>,
}

/// A global function that other extensions may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Export {
    pub name: String,
    /// As C declares it.
    pub prototype: String,
}

/// A program and where it wants to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hook {
    pub program: String,
    /// The section name, which says the hook.
    pub section: String,
    /// Name of the program kind.
    pub kind: String,
    /// The hook's version that the program was written for.
    pub abi: u32,
    /// Slots, subprograms included.
    pub insns: u64,
    /// At most so many instructions are executed in one run.
    pub worst_case_insns: Option<u64>,
}

/// Enough of a map to tell whether another's content can become its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapSchema {
    pub name: String,
    pub kind: String,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    pub max_entries: u32,
    /// `BPF_F_…`.
    pub flags: u32,
    /// Types as [`crate::schema`] writes them; empty where the object does not say.
    pub key: String,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blob {
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// Letters, digits, `-`, `_` and `.` (not first), 64 at most.
pub(crate) fn is_name(name: &str) -> bool {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&name.len()) && name.chars().all(ok) && !name.starts_with(['.', '-'])
}

impl Manifest {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.text(&self.name);
        w.text(&self.version.to_string());
        w.texts(&self.authors);
        w.text(&self.license);
        w.text(&self.description);
        w.list(self.dependencies.iter(), |w, (name, versions)| {
            w.text(name);
            w.text(&versions.to_string());
        });
        let g = &self.grants;
        w.texts(&g.helpers);
        w.texts(&g.kfuncs);
        w.texts(&g.map_kinds);
        w.number(g.map_bytes);
        w.optional(g.worst_case_insns);
        w.texts(&g.data);
        w.list(self.exports.iter(), |w, e| {
            w.text(&e.name);
            w.text(&e.prototype);
        });
        w.list(self.hooks.iter(), |w, h| {
            w.text(&h.program);
            w.text(&h.section);
            w.text(&h.kind);
            w.number(h.abi.into());
            w.number(h.insns);
            w.optional(h.worst_case_insns);
        });
        w.list(self.maps.iter(), |w, m| {
            w.text(&m.name);
            w.text(&m.kind);
            for n in [m.key_size, m.value_size, m.max_entries, m.flags] {
                w.number(n.into());
            }
            w.text(&m.key);
            w.text(&m.value);
        });
        w.raw(&self.object.0);
        w.list(self.data.iter(), |w, (name, blob)| {
            w.text(name);
            w.raw(&blob.digest.0);
            w.number(blob.size);
        });
        w.text(&self.platform);
        w.bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Manifest, Error> {
        let mut r = Reader::new(bytes, "the manifest");
        let r = &mut r;
        let manifest = Manifest {
            name: r.text()?,
            version: version(r)?,
            authors: r.texts()?,
            license: r.text()?,
            description: r.text()?,
            dependencies: map(r, versions)?,
            grants: Grants {
                helpers: r.texts()?,
                kfuncs: r.texts()?,
                map_kinds: r.texts()?,
                map_bytes: r.number()?,
                worst_case_insns: r.optional()?,
                data: r.texts()?,
            },
            exports: r.list(|r| {
                Ok(Export {
                    name: r.text()?,
                    prototype: r.text()?,
                })
            })?,
            hooks: r.list(|r| {
                Ok(Hook {
                    program: r.text()?,
                    section: r.text()?,
                    kind: r.text()?,
                    abi: r.small()?,
                    insns: r.number()?,
                    worst_case_insns: r.optional()?,
                })
            })?,
            maps: r.list(|r| {
                Ok(MapSchema {
                    name: r.text()?,
                    kind: r.text()?,
                    key_size: r.small()?,
                    value_size: r.small()?,
                    max_entries: r.small()?,
                    flags: r.small()?,
                    key: r.text()?,
                    value: r.text()?,
                })
            })?,
            object: Digest(r.array()?),
            data: map(r, |r| {
                Ok(Blob {
                    digest: Digest(r.array()?),
                    size: r.number()?,
                })
            })?,
            platform: r.text()?,
        };
        r.end()?;
        manifest.check()?;
        if manifest.to_bytes() != bytes {
            return Err(Error::NotCanonical);
        }
        Ok(manifest)
    }

    /// What must hold of a manifest besides its shape.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let names = [&self.name]
            .into_iter()
            .chain(self.dependencies.keys())
            .chain(self.data.keys())
            .chain(&self.grants.data);
        for name in names {
            if !is_name(name) {
                return Err(Error::malformed(
                    "the manifest",
                    format!("{name:?} is no name: letters, digits, `-`, `_` and `.`, 64 at most"),
                ));
            }
        }
        let object = format!("{}.o", self.name);
        if self.data.contains_key(&object) {
            return Err(Error::malformed(
                "the manifest",
                format!("data named `{object}`, which is the object's file"),
            ));
        }
        let g = &self.grants;
        let exports: Vec<&String> = self.exports.iter().map(|e| &e.name).collect();
        let hooks: Vec<&String> = self.hooks.iter().map(|h| &h.program).collect();
        // Of maps names may repeat: the kernel cuts them short, and objects with legacy ones exist.
        let ascending = [&g.helpers, &g.kfuncs, &g.map_kinds, &g.data]
            .iter()
            .all(|l| l.is_sorted_by(|a, b| a < b))
            && exports.is_sorted_by(|a, b| a < b)
            && hooks.is_sorted_by(|a, b| a < b)
            && self.maps.is_sorted_by(|a, b| a.name <= b.name);
        match ascending {
            true => Ok(()),
            false => Err(Error::malformed("the manifest", "a list does not ascend")),
        }
    }

    /// `NAME VERSION`.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

fn version(r: &mut Reader<'_>) -> Result<Version, Error> {
    let text = r.text()?;
    Version::parse(&text).map_err(|e| r.error(format!("version {text:?}: {e}")))
}

fn versions(r: &mut Reader<'_>) -> Result<VersionReq, Error> {
    let text = r.text()?;
    VersionReq::parse(&text).map_err(|e| r.error(format!("versions {text:?}: {e}")))
}

/// Names ascend, or the bytes would not be those of the result.
fn map<'a, T>(
    r: &mut Reader<'a>,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<T, Error>,
) -> Result<BTreeMap<String, T>, Error> {
    let pairs = r.list(|r| Ok((r.text()?, one(r)?)))?;
    Ok(pairs.into_iter().collect())
}
