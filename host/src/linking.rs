//! An object × what is loaded → a proof, with the functions of others that it calls; and from it a generation.
//!
//! **Invariant:** an extension calls functions of those only that its manifest depends on; one without a manifest, of any.
//!
//! **Invariant:** nothing is published here, so that what fails leaves the host as it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_objfile::Object;
use probity_platform::Platform;
use probity_runtime::{Map, Options, kfuncs};
use probity_verifier::Verified;

use crate::error::Error;
use crate::exports::{self, Exported};
use crate::extension::{Extension, compile, prove};
use crate::grants::{self, Uses};
use crate::host::{Load, Loaded, Rights, Shared, State};
use crate::stats::Stats;
use crate::world::lock;

/// Extensions that call each other's functions in a row: each adds its frames to the caller's stack.
const MOST_DEEP: usize = 8;

/// A proof, and what it rests on.
pub(crate) struct Proved {
    pub verified: Verified,
    imports: Vec<Arc<Extension>>,
    used: Vec<Exported>,
    exports: Vec<Exported>,
}

type Extensions = BTreeMap<String, Loaded>;

impl Shared {
    pub fn prove(
        &self,
        loaded: &Extensions,
        name: &str,
        object: &Object,
        how: &Load,
    ) -> Result<Proved, Error> {
        if let Some(origin) = &how.origin {
            depends(loaded, how)?;
            origin.check_abi(&self.description)?;
        }
        let (imports, used) = self.imports(loaded, name, object, how);
        if imports.iter().any(|e| e.depth() >= MOST_DEEP) {
            let what = format!("more than {MOST_DEEP} extensions would call each other in a row");
            return Err(Error::Export(what));
        }
        for export in &used {
            exports::same_structures(&self.description, object, export)?;
        }
        let platform = self.platform_of(&used);
        let verified = prove(&self.description, object, &platform, &self.policy)?;
        let Rights {
            ceiling, policy, ..
        } = &self.rights;
        let uses = Uses::of(&verified);
        let denied = grants::check(
            &uses,
            how.manifest.as_ref(),
            how.signer.as_deref(),
            policy.as_ref(),
            ceiling,
        );
        if !denied.is_empty() {
            return Err(Error::Denied(denied));
        }
        let named: Vec<String> = match &how.origin {
            Some(origin) => origin
                .manifest
                .exports
                .iter()
                .map(|e| e.name.clone())
                .collect(),
            None => Vec::new(),
        };
        let exports = exports::of(&self.description, &verified, &named, &self.pool)?;
        for e in &exports {
            let other = loaded.iter().find(|(other, l)| {
                *other != name && l.extension.exports.iter().any(|x| x.name == e.name)
            });
            if let Some((other, _)) = other {
                let function = e.name;
                let what = format!("extension `{other}` exports a function `{function}` already");
                return Err(Error::Export(what));
            }
        }
        Ok(Proved {
            verified,
            imports,
            used,
            exports,
        })
    }

    /// Functions of others that the object calls, and whose they are.
    fn imports(
        &self,
        loaded: &Extensions,
        name: &str,
        object: &Object,
        how: &Load,
    ) -> (Vec<Arc<Extension>>, Vec<Exported>) {
        let (mut imports, mut used) = (Vec::new(), Vec::new());
        for wanted in exports::wanted(object) {
            if self.description.functions.iter().any(|f| f.name == wanted) {
                continue;
            }
            let allowed = |other: &str| {
                other != name
                    && how
                        .origin
                        .as_ref()
                        .is_none_or(|o| o.manifest.dependencies.contains_key(other))
            };
            let found = loaded.iter().filter(|(other, _)| allowed(other));
            let found = found.into_iter().find_map(|(_, l)| {
                let mut all = l.extension.exports.iter();
                Some((&l.extension, *all.find(|e| e.name == wanted)?))
            });
            let Some((extension, export)) = found else {
                continue;
            };
            if !imports.iter().any(|i| Arc::ptr_eq(i, extension)) {
                imports.push(extension.clone());
            }
            used.push(export);
        }
        (imports, used)
    }

    /// The host's platform, with these functions beside its own.
    fn platform_of(&self, used: &[Exported]) -> Arc<Platform> {
        if used.is_empty() {
            return self.platform.clone();
        }
        let key = used.iter().map(Exported::key).collect();
        let mut platforms = lock(&self.platforms);
        let new = || Arc::new(self.description.platform_with(used));
        platforms.entry(key).or_insert_with(new).clone()
    }

    /// Compiles what was proved, with the counts of the generation before.
    pub fn build(
        &self,
        name: &str,
        generation: u64,
        object: &Arc<Object>,
        how: &Load,
        proved: Proved,
        maps: Vec<Arc<Map>>,
        old: Option<&Loaded>,
    ) -> Result<Loaded, Error> {
        let Proved {
            verified,
            imports,
            used,
            mut exports,
        } = proved;
        let mut functions: Vec<kfuncs::Entry> = self.options.functions.to_vec();
        functions.extend(used.iter().map(Exported::entry));
        let options = Options {
            maps,
            functions: functions.into(),
            exports: exports.iter().map(|e| e.name.to_string()).collect(),
            ..self.options.clone()
        };
        let code = lock(&self.code).clone();
        let jit = compile(verified, options, code.as_deref())?;
        for e in &mut exports {
            e.function = jit.export(e.name);
            if e.function.is_none() {
                let function = e.name;
                return Err(Error::Export(format!("there is no code of `{function}`")));
            }
        }
        let extension = Arc::new(Extension {
            name: name.into(),
            priority: how.priority,
            generation,
            jit,
            exports,
            imports,
        });
        let mut stats = BTreeMap::new();
        for (n, hook) in self.description.hooks.iter().enumerate() {
            for p in extension.programs(n) {
                // A program that cannot be entered is an error now, not when it is called.
                extension.entries(p)?;
                let key = (n, extension.instance().programs()[p].name().to_string());
                let before = old.and_then(|o| o.stats.get(&key).cloned());
                let new = || Arc::new(Stats::new(hook.returns.0));
                stats.insert(key, before.unwrap_or_else(new));
            }
        }
        Ok(Loaded {
            extension,
            object: object.clone(),
            how: how.clone(),
            stats,
            enabled: old.is_none_or(|o| o.enabled),
        })
    }

    /// Verifies and links anew what calls functions of the extension that was replaced, and what calls functions of those.
    pub fn relink(&self, replaced: &str, next: &mut Extensions) -> Result<(), Error> {
        let mut changed = vec![replaced.to_string()];
        for (name, l) in &*next {
            // Those that only want it to be there want it in a version that will do.
            if name != replaced && l.how.depends_on(replaced) {
                depends(next, &l.how).map_err(|e| match e {
                    Error::Depends(why) => {
                        Error::Depends(why.iter().map(|w| format!("`{name}`: {w}")).collect())
                    }
                    other => other,
                })?;
            }
        }
        // Whoever calls a function is deeper than whose it is, so that each is linked once, after all that it calls.
        let mut order: Vec<(usize, String)> = next
            .values()
            .map(|l| (l.extension.depth(), l.extension.name.clone()))
            .collect();
        order.sort();
        for (_, name) in order {
            let Some(old) = next.get(&name).cloned() else {
                continue;
            };
            let imports = &old.extension.imports;
            if name == replaced || !imports.iter().any(|i| changed.contains(&i.name)) {
                continue;
            }
            let proved = self
                .prove(next, &name, &old.object, &old.how)
                .map_err(|e| Error::Dependent(name.clone(), Box::new(e)))?;
            let maps = old.extension.instance().maps().cloned().collect();
            let generation = old.extension.generation + 1;
            let new = self.build(
                &name,
                generation,
                &old.object,
                &old.how,
                proved,
                maps,
                Some(&old),
            )?;
            next.insert(name.clone(), new);
            changed.push(name);
        }
        Ok(())
    }
}

impl Load {
    fn depends_on(&self, name: &str) -> bool {
        let origin = self.origin.as_ref();
        origin.is_some_and(|o| o.manifest.dependencies.contains_key(name))
    }
}

/// All that the manifest depends on is loaded, in versions that will do.
fn depends(loaded: &Extensions, how: &Load) -> Result<(), Error> {
    let dependencies = how.origin.iter().flat_map(|o| &o.manifest.dependencies);
    let mut missing = Vec::new();
    for (name, range) in dependencies {
        match loaded.get(name).map(|l| &l.how.origin) {
            None => missing.push(format!(
                "it depends on `{name}` {range}, which is not loaded"
            )),
            Some(None) => missing.push(format!(
                "it depends on `{name}` {range}, which is loaded without a version"
            )),
            Some(Some(there)) if !range.matches(there.version()) => missing.push(format!(
                "it depends on `{name}` {range}, and {} is loaded",
                there.version()
            )),
            Some(Some(_)) => {}
        }
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Error::Depends(missing)),
    }
}

impl State {
    /// Loaded extensions that depend on this one, or call its functions.
    pub fn dependents(&self, name: &str) -> Vec<String> {
        let uses = |l: &&Loaded| {
            l.how.depends_on(name) || l.extension.imports.iter().any(|i| i.name == name)
        };
        let all = self.extensions.values().filter(uses);
        all.map(|l| l.extension.name.clone()).collect()
    }

    pub fn note_taint(&mut self, name: &str, how: &Load) {
        if how.tainted {
            self.tainted.insert(name.into());
        }
    }
}
