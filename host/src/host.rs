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

use probity_bundle::Unsigned;
use probity_jit::Prelinked;
use probity_objfile::{Object, Target};
use probity_platform::{Platform, Policy};
use probity_runtime::{Map, Options};
use probity_store::Store;
use probity_verifier::Verified;

use crate::Context;
use crate::builder::HostBuilder;
use crate::description::HostDescription;
use crate::error::Error;
use crate::exports::{ExportKey, Pool};
use crate::extension::Extension;
use crate::grants::{GrantPolicy, Grants};
use crate::hook::{CallError, Hook};
use crate::info::ExtensionInfo;
use crate::origin::Origin;
use crate::schema::{self, Plan};
use crate::stats::Stats;
use crate::world::{Attached, Chain, Worlds, empty, lock};

/// An application with hooks. Clones are the same host.
#[derive(Clone)]
pub struct Host {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub pool: Pool,
    /// By what is imported.
    pub platforms: Mutex<BTreeMap<Vec<ExportKey>, Arc<Platform>>>,
    pub worlds: Worlds,
    pub description: HostDescription,
    pub platform: Arc<Platform>,
    pub options: Options,
    pub policy: Policy,
    pub rights: Rights,
    /// Code that was compiled before, while an image is made or started with.
    pub code: Mutex<Option<Arc<Prelinked>>>,
    pub state: Mutex<State>,
}

/// What a host and its deployer grant.
#[derive(Default)]
pub(crate) struct Rights {
    pub ceiling: Grants,
    pub policy: Option<GrantPolicy>,
    /// Who is trusted to sign packages.
    pub store: Option<Store>,
    /// Packages and objects that nobody signed are taken, where there is no store.
    pub unsigned: Unsigned,
}

#[derive(Default)]
pub(crate) struct State {
    pub extensions: BTreeMap<String, Loaded>,
    /// Names of those that nobody signed; they stay.
    pub tainted: BTreeSet<String>,
    /// Names of extensions that were refused, and the hooks that they were for.
    refused: BTreeMap<String, BTreeSet<usize>>,
}

/// A loaded extension, with what outlives its generations.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub extension: Arc<Extension>,
    /// As it was handed over, to be linked again when a function that it calls is replaced.
    pub object: Arc<Object>,
    pub how: Load,
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
    /// The package that it was in.
    pub origin: Option<Arc<Origin>>,
    /// Nobody signed it, and the policy takes it.
    pub tainted: bool,
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

    /// A host that is as this description says, with functions that do nothing: to prove, compile and link what runs in the real one.
    pub fn of(description: HostDescription) -> HostBuilder {
        HostBuilder::of(description)
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
                pool: Pool::default(),
                platforms: Mutex::default(),
                worlds: Worlds::new(chains),
                description,
                platform,
                options,
                policy,
                rights,
                code: Mutex::default(),
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
        let state = lock(&self.shared.state);
        let proved = self.shared.prove(&state.extensions, "", object, how)?;
        Ok(proved.verified)
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
        let object = Arc::new(object.clone());
        let made = self
            .shared
            .prove(&state.extensions, name, &object, how)
            .and_then(|proved| {
                self.shared
                    .build(name, 1, &object, how, proved, Vec::new(), None)
            });
        match made {
            Ok(loaded) => {
                state.refused.remove(name);
                state.note_taint(name, how);
                state.extensions.insert(name.into(), loaded);
                self.shared.publish(&state);
                Ok(())
            }
            Err(e) => {
                self.shared.refuse(&mut state, name, &object);
                Err(e)
            }
        }
    }

    /// Puts a new generation in the place of a loaded extension. Calls go on meanwhile, each on one generation.
    pub fn replace(&self, name: &str, bytes: &[u8], how: &Load) -> Result<Replaced, Error> {
        self.replace_object(name, &open(name, bytes)?, how)
    }

    /// Extensions that call its functions are verified and linked with the new ones, and published with them.
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
        let object = Arc::new(object.clone());
        let proved = shared.prove(&state.extensions, name, &object, how)?;
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
                &proved.verified.relocated().object,
            );
            schema::plan(objects.0, objects.1, held, fresh).map_err(Error::Maps)?
        };
        let Plan {
            keep,
            migrate,
            dropped,
        } = plan;
        let kept = keep.iter().map(|m| m.name().to_string()).collect();
        let generation = old.extension.generation + 1;
        let loaded = shared.build(name, generation, &object, how, proved, keep, Some(old))?;
        let new = loaded.extension.clone();
        let mut next = state.extensions.clone();
        next.insert(name.into(), loaded);
        shared.relink(name, &mut next)?;
        let migrated: Vec<String> = migrate.iter().map(|m| m.old.name().to_string()).collect();
        let number = match migrate.is_empty() {
            true => {
                state.extensions = next;
                state.note_taint(name, how);
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
                state.extensions = next;
                state.note_taint(name, how);
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

    /// Takes an extension off its hooks. One that others depend on stays.
    pub fn unload(&self, name: &str) -> Result<Retirement, Error> {
        let mut state = lock(&self.shared.state);
        let by = state.dependents(name);
        if !by.is_empty() {
            let name = name.into();
            return Err(Error::InUse { name, by });
        }
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

    /// Extensions that nobody signed and that are, or were, loaded: while there are any, what this host does is nobody's word.
    pub fn tainted(&self) -> Vec<String> {
        lock(&self.shared.state).tainted.iter().cloned().collect()
    }

    /// Whether its code was in the image that the host started with.
    pub(crate) fn is_from_image(&self, name: &str) -> bool {
        let state = lock(&self.shared.state);
        let loaded = state.extensions.get(name);
        loaded.is_some_and(|l| l.extension.jit.from_cache())
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
        all.map(|l| {
            let used_by = state.dependents(&l.extension.name);
            ExtensionInfo::of(&self.shared.description, l, used_by)
        })
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
    /// Leaves a mark where a refused extension would have been.
    fn refuse(&self, state: &mut State, name: &str, object: &Object) {
        let hooks = object.programs.iter().filter_map(|p| match &p.hook.target {
            Target::Host { name, .. } => self.description.hook(name).map(|h| h.0),
            _ => None,
        });
        state.refused.insert(name.into(), hooks.collect());
        self.publish(state);
    }

    pub fn set_code(&self, code: Option<Arc<Prelinked>>) {
        *lock(&self.code) = code;
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

pub(crate) fn open(name: &str, bytes: &[u8]) -> Result<Object, Error> {
    probity_objfile::open(name, bytes).map_err(|e| Error::Object(e.to_string()))
}
