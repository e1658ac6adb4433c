//! Where an extension comes from: the package that it was in, and what was said of its signer.

use probity_bundle::{Digest, Judgement, Manifest, Package};
use probity_objfile::Target;
use semver::Version;

use crate::bind::BindError;
use crate::description::HostDescription;
use crate::grants::Grants;

/// A package that was judged, without its object.
#[derive(Clone, Debug)]
pub struct Origin {
    pub manifest: Manifest,
    pub digest: Digest,
    pub judgement: Judgement,
}

impl Origin {
    pub fn new(package: &Package, judgement: Judgement) -> Origin {
        Origin {
            manifest: package.manifest().clone(),
            digest: package.digest(),
            judgement,
        }
    }

    pub fn version(&self) -> &Version {
        &self.manifest.version
    }

    /// Nobody signed it.
    pub fn tainted(&self) -> bool {
        self.judgement.tainted
    }

    pub fn signer(&self) -> Option<&str> {
        self.judgement.signer.as_ref().map(|s| s.name.as_str())
    }

    /// What the manifest asks for.
    pub fn asks(&self) -> Grants {
        let g = &self.manifest.grants;
        let hooks = self.manifest.hooks.iter();
        let hook = |section: &String| match probity_objfile::Hook::parse(section).target {
            Target::Host { name, .. } => name,
            _ => section.clone(),
        };
        Grants {
            hooks: Some(hooks.map(|h| hook(&h.section)).collect()),
            helpers: Some(g.helpers.clone()),
            functions: Some(g.kfuncs.clone()),
            map_kinds: Some(g.map_kinds.clone()),
            map_bytes: Some(g.map_bytes),
            worst_case_insns: g.worst_case_insns,
        }
    }

    /// Each of its programs is for the version of its hook that the host has.
    pub(crate) fn check_abi(&self, host: &HostDescription) -> Result<(), BindError> {
        for h in &self.manifest.hooks {
            let Target::Host { name, abi } = probity_objfile::Hook::parse(&h.section).target else {
                continue;
            };
            // One that the host has not is found when its program is bound.
            let Some((_, ours)) = host.hook(&name) else {
                continue;
            };
            let theirs = abi.unwrap_or(h.abi);
            if theirs != ours.abi {
                return Err(BindError::Abi {
                    program: h.program.clone(),
                    hook: name,
                    theirs,
                    ours: ours.abi,
                });
            }
        }
        Ok(())
    }
}
