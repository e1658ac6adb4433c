//! A proof, the vendor's words and data → a package that may be signed.
//!
//! **Invariant:** every program of the object is in the proof; what the manifest says of the programs
//! is what was proved, and what it asks for is no less than what they use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use probity_btf::{Btf, FuncLinkage, Type, TypeId};
use probity_objfile::{Map, Object, Target};
use probity_platform::Platform;
use probity_verifier::{Verified, VerifiedProgram};

use crate::manifest::{Blob, Export, Grants, Hook, Manifest, MapSchema};
use crate::{Digest, Error, Package, SecretKey, Signature, Time, Vendor, schema};

/// On a function: other extensions may call it.
const EXPORT_TAG: &str = "probity:export";
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_CALL`, `BPF_PSEUDO_KFUNC_CALL`.
const PSEUDO_CALL: u8 = 1;
const PSEUDO_KFUNC: u8 = 2;

/// A package whose programs were verified by this process.
#[derive(Clone, Debug)]
pub struct Sealed {
    package: Package,
}

/// Makes a package of an object whose programs are all proved.
///
/// `data` has the content of each of [`Vendor::data`], by name.
pub fn seal(
    verified: &Verified,
    vendor: &Vendor,
    data: BTreeMap<String, Vec<u8>>,
) -> Result<Sealed, Error> {
    let object = &verified.relocated().object;
    if object.elf.is_empty() {
        return Err(Error::NoBytes);
    }
    let unproved = |p: &&probity_objfile::Program| verified.program(&p.name).is_none();
    if let Some(program) = object.programs.iter().find(unproved) {
        return Err(Error::Unverified(program.name.clone()));
    }
    let platform = verified.platform();
    let hooks = hooks(verified, vendor)?;
    let manifest = Manifest {
        name: vendor.name.clone(),
        version: vendor.version.clone(),
        authors: vendor.authors.clone(),
        license: vendor.license.clone(),
        description: vendor.description.clone(),
        dependencies: vendor.dependencies.clone(),
        grants: grants(verified, vendor, &hooks)?,
        exports: exports(verified, vendor)?,
        hooks,
        maps: maps(object, platform)?,
        object: Digest::of(&object.elf),
        data: data
            .iter()
            .map(|(name, bytes)| {
                let blob = Blob {
                    digest: Digest::of(bytes),
                    size: bytes.len() as u64,
                };
                (name.clone(), blob)
            })
            .collect(),
        platform: platform_name(platform),
    };
    manifest.check()?;
    let package = Package::new(manifest, Arc::clone(&object.elf), data);
    package.check_size()?;
    Ok(Sealed { package })
}

impl Sealed {
    /// Signs it, for good or until a time.
    pub fn sign(self, key: &SecretKey, expires: Option<Time>) -> Package {
        let mut package = self.package;
        package.signature = Some(Signature::new(key, package.digest(), expires));
        package
    }

    pub fn package(&self) -> &Package {
        &self.package
    }

    /// Without a signature: hosts refuse it unless their policy says otherwise.
    pub fn unsigned(self) -> Package {
        self.package
    }
}

fn hooks(verified: &Verified, vendor: &Vendor) -> Result<Vec<Hook>, Error> {
    let object = &verified.relocated().object;
    let mut hooks = Vec::new();
    for p in verified.programs() {
        let Some(program) = object.programs.get(p.index()) else {
            return Err(Error::Unverified(p.name().to_owned()));
        };
        let section = program.hook.section.clone();
        let stated = match program.hook.target {
            Target::Host { abi, .. } => abi,
            _ => None,
        };
        let kind = verified.platform().prog_kind(p.prog_type().0);
        hooks.push(Hook {
            program: p.name().to_owned(),
            abi: vendor.hooks.get(&section).copied().or(stated).unwrap_or(1),
            section,
            kind: kind.map_or_else(|| p.prog_type().0.to_string(), |k| k.name.to_owned()),
            insns: p.raw().len() as u64,
            worst_case_insns: p.worst_case_insns(),
        });
    }
    hooks.sort_by(|a, b| a.program.cmp(&b.program));
    let unused = |section: &&String| !hooks.iter().any(|h| h.section == **section);
    if let Some(section) = vendor.hooks.keys().find(unused) {
        let there: BTreeSet<&str> = hooks.iter().map(|h| h.section.as_str()).collect();
        return Err(Error::Contradiction(format!(
            "the manifest names the hook `{section}`, and no program is in such a section; there are: {}",
            there.into_iter().collect::<Vec<_>>().join(", ")
        )));
    }
    Ok(hooks)
}

fn grants(verified: &Verified, vendor: &Vendor, hooks: &[Hook]) -> Result<Grants, Error> {
    let object = &verified.relocated().object;
    let platform = verified.platform();
    let mut helpers = BTreeSet::new();
    let mut kfuncs = BTreeSet::new();
    for p in verified.programs() {
        called(p, object, platform, &mut helpers, &mut kfuncs);
    }
    let mut map_kinds = BTreeSet::new();
    let mut bytes = 0u64;
    for map in &object.maps {
        for map in [Some(map), map.inner.as_deref()].into_iter().flatten() {
            map_kinds.insert(kind_name(platform, map.kind));
        }
        let entry = u64::from(map.key_size) + u64::from(map.value_size);
        bytes = bytes.saturating_add(entry.saturating_mul(map.max_entries.into()));
    }
    let bounds: Option<Vec<u64>> = hooks.iter().map(|h| h.worst_case_insns).collect();
    let worst = bounds.map(|all| all.into_iter().max().unwrap_or(0));

    let asked = &vendor.grants;
    let mut data = asked.data.clone();
    data.sort();
    data.dedup();
    if let Some(asked) = asked.map_bytes.filter(|&asked| asked < bytes) {
        return Err(Error::Contradiction(format!(
            "`grants.map_bytes` asks for {asked}, and the maps take {bytes}"
        )));
    }
    let too_few = |asked: &u64| worst.is_none_or(|worst| *asked < worst);
    if let Some(asked) = asked.worst_case_insns.filter(too_few) {
        let takes = match worst {
            Some(worst) => format!("one run may take {worst}"),
            None => "a program has no bound".to_owned(),
        };
        return Err(Error::Contradiction(format!(
            "`grants.worst_case_insns` asks for {asked}, and {takes}"
        )));
    }
    Ok(Grants {
        helpers: cover("helpers", asked.helpers.as_deref(), helpers)?,
        kfuncs: cover("kfuncs", asked.kfuncs.as_deref(), kfuncs)?,
        map_kinds: cover("map_kinds", asked.map_kinds.as_deref(), map_kinds)?,
        map_bytes: asked.map_bytes.unwrap_or(bytes),
        worst_case_insns: asked.worst_case_insns.or(worst),
        data,
    })
}

/// What is asked for, or else what is used; an error when the first lacks some of the second.
fn cover(
    what: &str,
    asked: Option<&[String]>,
    used: BTreeSet<String>,
) -> Result<Vec<String>, Error> {
    let Some(asked) = asked else {
        return Ok(used.into_iter().collect());
    };
    let plain = |name: &String| match what {
        "helpers" => name.strip_prefix("bpf_").unwrap_or(name).to_owned(),
        _ => name.clone(),
    };
    let asked: BTreeSet<String> = asked.iter().map(plain).collect();
    match used.difference(&asked).next() {
        Some(missing) => Err(Error::Contradiction(format!(
            "`grants.{what}` does not ask for `{missing}`, which the programs use"
        ))),
        None => Ok(asked.into_iter().collect()),
    }
}

/// Helpers and kernel functions whose calls can be reached.
fn called(
    p: &VerifiedProgram,
    object: &Object,
    platform: &Platform,
    helpers: &mut BTreeSet<String>,
    kfuncs: &mut BTreeSet<String>,
) {
    for (insn, fact) in p.raw().iter().zip(p.facts()) {
        if insn.opcode != CALL || !fact.reached {
            continue;
        }
        let id = insn.imm as u32;
        match insn.src {
            PSEUDO_CALL => {}
            PSEUDO_KFUNC => {
                let name = platform.types.as_deref().map(|t| t.name(TypeId(id)));
                kfuncs.insert(match name {
                    Some(name) if !name.is_empty() => name.to_owned(),
                    _ => format!("#{id}"),
                });
            }
            _ => {
                let helper = platform.helper(id);
                helpers.insert(helper.map_or_else(|| format!("#{id}"), |h| h.name.to_owned()));
            }
        }
    }
    // Types of the object name what the platform's may not.
    if let Some(program) = object.programs.get(p.index()) {
        for r in &program.extern_refs {
            let reached = p.facts().get(r.pc).is_some_and(|f| f.reached);
            let call = p.raw().get(r.pc).is_some_and(|i| i.opcode == CALL);
            if let Some(e) = object.externs.get(r.index).filter(|_| reached && call) {
                kfuncs.retain(|k| !k.starts_with('#'));
                kfuncs.insert(e.name.clone());
            }
        }
    }
}

/// Some names have the version in them.
fn platform_name(platform: &Platform) -> String {
    let (name, version) = (&platform.name, &platform.version);
    match name.ends_with(&format!(" {version}")) {
        true => name.to_string(),
        false => format!("{name} {version}"),
    }
}

fn kind_name(platform: &Platform, kind: u32) -> String {
    let row = platform.map_kind(kind);
    row.map_or_else(|| kind.to_string(), |k| k.name.to_owned())
}

fn maps(object: &Object, platform: &Platform) -> Result<Vec<MapSchema>, Error> {
    let btf = object.btf.as_deref();
    let mut maps = Vec::new();
    for map in &object.maps {
        maps.push(MapSchema {
            name: map.name.clone(),
            kind: kind_name(platform, map.kind),
            key_size: map.key_size,
            value_size: map.value_size,
            max_entries: map.max_entries,
            flags: map.flags,
            key: type_of(btf, map, map.key_type)?,
            value: type_of(btf, map, value_type(map))?,
        });
    }
    maps.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(maps)
}

/// A data section's value is described by its DATASEC.
fn value_type(map: &Map) -> Option<TypeId> {
    map.data.as_ref().and_then(|d| d.datasec).or(map.value_type)
}

fn type_of(btf: Option<&Btf>, map: &Map, ty: Option<TypeId>) -> Result<String, Error> {
    let Some((btf, ty)) = btf.zip(ty) else {
        return Ok(String::new());
    };
    schema(btf, ty).ok_or_else(|| Error::Schema {
        map: map.name.clone(),
        what: "its type is too large or too deep to be written down".into(),
    })
}

/// Functions with the declaration tag `probity:export`.
pub fn tagged_exports(btf: &Btf) -> BTreeSet<&str> {
    let target = |ty| match ty {
        Type::DeclTag {
            target,
            component: None,
            value: EXPORT_TAG,
            ..
        } => Some(btf.name(target)),
        _ => None,
    };
    btf.types().filter_map(|(_, ty)| target(ty)).collect()
}

fn exports(verified: &Verified, vendor: &Vendor) -> Result<Vec<Export>, Error> {
    let object = &verified.relocated().object;
    let Some(btf) = object.btf.as_deref() else {
        return match vendor.exports.first() {
            None => Ok(Vec::new()),
            Some(name) => Err(Error::Contradiction(format!(
                "`{name}` cannot be exported: the object has no types, so nobody knows its prototype"
            ))),
        };
    };
    let mut wanted = tagged_exports(btf);
    wanted.extend(vendor.exports.iter().map(String::as_str));
    let mut exports = Vec::new();
    for name in wanted {
        let mut functions = verified
            .programs()
            .iter()
            .flat_map(|p| p.subprogs().iter().skip(1));
        let proto = functions
            .find(|s| s.name == name && s.global)
            .and_then(|s| match btf.ty(s.func?)? {
                Type::Func {
                    proto,
                    linkage: FuncLinkage::Global,
                } => Some(proto),
                _ => None,
            });
        let Some(proto) = proto else {
            return Err(Error::Contradiction(format!(
                "`{name}` cannot be exported: it has to be a global function that a program of the object calls, so that it is verified"
            )));
        };
        exports.push(Export {
            name: name.to_owned(),
            prototype: btf.declare(proto, name),
        });
    }
    Ok(exports)
}
