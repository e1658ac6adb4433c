//! [`Host`]: extensions are loaded, replaced and unloaded while its hooks are called.
//!
//! Each change is prepared whole (read, bound, verified, compiled, maps planned), and then published as one new world, for all
//! hooks at once. Changes wait for each other; calls wait for none, but for the moment in which maps are migrated.
//!
//! **Invariant:** a change that fails leaves everything as it was, but that a hook without extensions answers as it says for refused ones.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use probity_objfile::{Object, Target};
use probity_platform::{Platform, Policy};
use probity_runtime::{Map, Options};
use probity_verifier::Verified;

use crate::Context;
use crate::builder::HostBuilder;
use crate::description::HostDescription;
use crate::error::Error;
use crate::extension::{Extension, compile, prove};
use crate::grants::{self, GrantPolicy, Grants, Uses};
use crate::hook::{CallError, Hook};
use crate::info::ExtensionInfo;
use crate::schema::{self, Plan};
use crate::stats::Stats;
use crate::world::{Attached, Chain, Worlds, empty, lock};

/// An application with hooks. Clones are the same host.
#[derive(Clone)]
pub struct Host {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub worlds: Worlds,
    pub description: HostDescription,
    pub platform: Arc<Platform>,
    pub options: Options,
    policy: Policy,
    rights: Rights,
    state: Mutex<State>,
}

/// What a host and its deployer grant.
#[derive(Default)]
pub(crate) struct Rights {
    pub ceiling: Grants,
    pub policy: Option<GrantPolicy>,
}

#[derive(Default)]
pub(crate) struct State {
    pub extensions: BTreeMap<String, Loaded>,
    /// Names of extensions that were refused, and the hooks that they were for.
    refused: BTreeMap<String, BTreeSet<usize>>,
}

/// A loaded extension, with what outlives its generations.
pub(crate) struct Loaded {
    pub extension: Arc<Extension>,
    /// By hook and the program's name.
    pub stats: BTreeMap<(usize, String), Arc<Stats>>,
    pub enabled: bool,
}

/// How to load.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// Extensions with lower ones are called first; those with the same in the order of their names.
    pub priority: i32,
    /// For [`Host::replace`]: which maps start anew, whatever the old generation's hold.
    pub fresh: Fresh,
    /// What the extension asks for, where it says so.
    pub manifest: Option<Grants>,
    /// Whose signature it bears, checked by whoever loads.
    pub signer: Option<String>,
}

/// Which maps start anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fresh {
    #[default]
    None,
    Named(Vec<String>),
    All,
}

/// What became of a replacement's maps, and the end of the old generation.
pub struct Replaced {
    pub generation: u64,
    pub kept: Vec<String>,
    pub migrated: Vec<String>,
    /// Maps that the new generation has no more.
    pub dropped: Vec<String>,
    pub retirement: Retirement,
}

/// A generation that callers may still be in.
pub struct Retirement {
    shared: Arc<Shared>,
    number: u64,
}

/// How long a migration waits for callers to leave.
const MIGRATION: Duration = Duration::from_secs(2);

impl Retirement {
    /// Whether the last caller has left.
    pub fn is_over(&self) -> bool {
        !self.shared.worlds.in_use(self.number)
    }

    /// Waits for the last caller to leave; false when that takes longer.
    pub fn wait(&self, most: Duration) -> bool {
        self.shared.worlds.drained(self.number, most)
    }
}

impl Host {
    pub fn builder(name: &str) -> HostBuilder {
        HostBuilder::new(name)
    }

    pub(crate) fn new(
        description: HostDescription,
        policy: Policy,
        rights: Rights,
        options: Options,
    ) -> Host {
        let platform = Arc::new(description.platform());
        let chains = chains(&description, &State::default());
        Host {
            shared: Arc::new(Shared {
                worlds: Worlds::new(chains),
                description,
                platform,
                options,
                policy,
                rights,
                state: Mutex::default(),
            }),
        }
    }

    pub fn description(&self) -> &HostDescription {
        &self.shared.description
    }

    /// What extensions are verified against.
    pub fn platform(&self) -> &Arc<Platform> {
        &self.shared.platform
    }

    /// With what instances of extensions are made: its functions, its sizes.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// The hook of that name, to be called with a `T`.
    pub fn hook<T: Context>(&self, name: &str) -> Result<Hook<T>, Error> {
        let Some((index, hook)) = self.shared.description.hook(name) else {
            return Err(Error::NoHook(name.into()));
        };
        let same = hook.context.name == T::NAME
            && hook.context.size as usize == size_of::<T>()
            && hook.context.fields.len() == T::FIELDS.len()
            && hook.context.fields.iter().zip(T::FIELDS).all(|(d, f)| {
                d.name == f.name && d.offset as usize == f.offset && d.ty == f.ty.to_string()
            });
        if !same {
            return Err(Error::Context {
                hook: name.into(),
                ours: hook.context.name.clone(),
                theirs: T::NAME.into(),
            });
        }
        Ok(Hook {
            shared: self.shared.clone(),
            index,
            types: PhantomData,
        })
    }

    /// The object's programs bound to the hooks, proved, and held to what is granted.
    pub fn verify(&self, object: &Object, how: &Load) -> Result<Verified, Error> {
        self.shared.verify(object, how)
    }

    /// Loads an extension from an object's bytes.
    pub fn load(&self, name: &str, bytes: &[u8], how: &Load) -> Result<(), Error> {
        self.load_object(name, &open(name, bytes)?, how)
    }

    pub fn load_object(&self, name: &str, object: &Object, how: &Load) -> Result<(), Error> {
        let mut state = lock(&self.shared.state);
        if state.extensions.contains_key(name) {
            return Err(Error::Loaded(name.into()));
        }
        let made = self.shared.verify(object, how).and_then(|verified| {
            let jit = compile(verified, &self.shared.options, Vec::new())?;
            self.shared.loaded(name, 1, how.priority, jit, None)
        });
        match made {
            Ok(loaded) => {
                state.refused.remove(name);
                state.extensions.insert(name.into(), loaded);
                self.shared.publish(&state);
                Ok(())
            }
            Err(e) => {
                let hooks = object.programs.iter().filter_map(|p| match &p.hook.target {
                    Target::Host { name, .. } => self.shared.description.hook(name).map(|h| h.0),
                    _ => None,
                });
                state.refused.insert(name.into(), hooks.collect());
                self.shared.publish(&state);
                Err(e)
            }
        }
    }

    /// Puts a new generation in the place of a loaded extension. Calls go on meanwhile, each on one generation.
    pub fn replace(&self, name: &str, bytes: &[u8], how: &Load) -> Result<Replaced, Error> {
        self.replace_object(name, &open(name, bytes)?, how)
    }

    pub fn replace_object(
        &self,
        name: &str,
        object: &Object,
        how: &Load,
    ) -> Result<Replaced, Error> {
        let shared = &self.shared;
        let mut state = lock(&shared.state);
        let Some(old) = state.extensions.get(name) else {
            return Err(Error::NotLoaded(name.into()));
        };
        let verified = shared.verify(object, how)?;
        let plan = {
            let before = old.extension.instance();
            let held = |map: &str| before.map_by_name(map).cloned();
            let fresh = |map: &str| match &how.fresh {
                Fresh::None => false,
                Fresh::Named(names) => names.iter().any(|n| n == map),
                Fresh::All => true,
            };
            let objects = (
                &before.verified().relocated().object,
                &verified.relocated().object,
            );
            schema::plan(objects.0, objects.1, held, fresh).map_err(Error::Maps)?
        };
        let Plan {
            keep,
            migrate,
            dropped,
        } = plan;
        let kept = keep.iter().map(|m| m.name().to_string()).collect();
        let jit = compile(verified, &shared.options, keep)?;
        let generation = old.extension.generation + 1;
        let loaded = shared.loaded(name, generation, how.priority, jit, Some(old))?;
        let new = loaded.extension.clone();
        let migrated: Vec<String> = migrate.iter().map(|m| m.old.name().to_string()).collect();
        let number = match migrate.is_empty() {
            true => {
                state.extensions.insert(name.into(), loaded);
                shared.publish(&state)
            }
            false => {
                let Some(pause) = shared.worlds.pause(MIGRATION) else {
                    return Err(Error::Busy);
                };
                for m in &migrate {
                    let Some(map) = new.instance().map_by_name(m.old.name()) else {
                        continue;
                    };
                    // What fails ends the pause with the old world.
                    m.run(map).map_err(|c| Error::Maps(vec![c]))?;
                }
                state.extensions.insert(name.into(), loaded);
                pause.publish(chains(&shared.description, &state))
            }
        };
        Ok(Replaced {
            generation,
            kept,
            migrated,
            dropped,
            retirement: Retirement {
                shared: shared.clone(),
                number,
            },
        })
    }

    /// Takes an extension off its hooks.
    pub fn unload(&self, name: &str) -> Result<Retirement, Error> {
        let mut state = lock(&self.shared.state);
        let refused = state.refused.remove(name).is_some();
        if state.extensions.remove(name).is_none() && !refused {
            return Err(Error::NotLoaded(name.into()));
        }
        Ok(self.retired(self.shared.publish(&state)))
    }

    /// Lets a loaded extension be called again, or no longer; it stays loaded, with its maps.
    pub fn enable(&self, name: &str, enabled: bool) -> Result<Retirement, Error> {
        let mut state = lock(&self.shared.state);
        let Some(loaded) = state.extensions.get_mut(name) else {
            return Err(Error::NotLoaded(name.into()));
        };
        loaded.enabled = enabled;
        Ok(self.retired(self.shared.publish(&state)))
    }

    fn retired(&self, number: u64) -> Retirement {
        Retirement {
            shared: self.shared.clone(),
            number,
        }
    }

    /// What is loaded, and what it has done so far.
    pub fn extensions(&self) -> Vec<ExtensionInfo> {
        let state = lock(&self.shared.state);
        let all = state.extensions.values();
        all.map(|l| ExtensionInfo::of(&self.shared.description, l))
            .collect()
    }

    /// A map of a loaded extension.
    pub fn map(&self, extension: &str, map: &str) -> Option<Arc<Map>> {
        let state = lock(&self.shared.state);
        let loaded = state.extensions.get(extension)?;
        loaded.extension.instance().map_by_name(map).cloned()
    }
}

impl Shared {
    fn verify(&self, object: &Object, how: &Load) -> Result<Verified, Error> {
        let verified = prove(&self.description, object, &self.platform, &self.policy)?;
        let (manifest, signer) = (how.manifest.as_ref(), how.signer.as_deref());
        let Rights { ceiling, policy } = &self.rights;
        let uses = Uses::of(&verified);
        let denied = grants::check(&uses, manifest, signer, policy.as_ref(), ceiling);
        match denied.is_empty() {
            true => Ok(verified),
            false => Err(Error::Denied(denied)),
        }
    }

    /// The programs of an extension, with the counts of the generation before.
    fn loaded(
        &self,
        name: &str,
        generation: u64,
        priority: i32,
        jit: Arc<probity_jit::Jit>,
        old: Option<&Loaded>,
    ) -> Result<Loaded, Error> {
        let extension = Arc::new(Extension {
            name: name.into(),
            priority,
            generation,
            jit,
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
            stats,
            enabled: old.is_none_or(|o| o.enabled),
        })
    }

    fn publish(&self, state: &State) -> u64 {
        self.worlds.publish(chains(&self.description, state))
    }
}

/// What each hook answers with.
fn chains(description: &HostDescription, state: &State) -> Vec<Chain> {
    let mut loaded: Vec<&Loaded> = state.extensions.values().filter(|l| l.enabled).collect();
    loaded.sort_by_key(|l| l.extension.priority);
    let hooks = description.hooks.iter().enumerate();
    hooks
        .map(|(n, hook)| {
            let mut programs = Vec::new();
            for l in &loaded {
                for p in l.extension.programs(n) {
                    let name = l.extension.instance().programs()[p].name().to_string();
                    let stats = l.stats.get(&(n, name)).cloned();
                    // `loaded` has made sure of both.
                    if let (Ok(entries), Some(stats)) = (l.extension.entries(p), stats) {
                        programs.push(Attached {
                            entries,
                            stats,
                            extension: l.extension.clone(),
                        });
                    }
                }
            }
            let refused = state.refused.values().any(|hooks| hooks.contains(&n));
            Chain {
                programs: programs.into(),
                rule: hook.rule,
                empty: match refused {
                    true => empty(hook.refused, CallError::Refused),
                    false => empty(hook.absent, CallError::Absent),
                },
            }
        })
        .collect()
}

fn open(name: &str, bytes: &[u8]) -> Result<Object, Error> {
    probity_objfile::open(name, bytes).map_err(|e| Error::Object(e.to_string()))
}
