//! `Verified` × [`Options`] → [`Instance`]: maps exist, helpers are bound.

mod maps;
mod programs;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use probity_objfile::ProgType;
use probity_platform::{Arg, Effects, Ret};
use probity_verifier::Verified;

use crate::kfuncs::{self, BoundKfunc};
use crate::maps::{Direct, Map, Operation, Values};
use crate::objects::Objects;
use crate::timers::Timers;
use crate::{Answer, Env, Epoch, Error, HelperFn, Process, Span, helpers};

pub use programs::Program;

pub const MAX_CPUS: usize = 1024;

/// Sizes, seeds and surroundings of an instance.
#[derive(Clone)]
pub struct Options {
    /// Elements of each per-CPU map element: calls are made on CPU 0 to `cpus - 1`.
    pub cpus: usize,
    /// Upper bound of the memory of all maps, pages of arenas, and the structures that programs allocate, in bytes.
    pub max_map_bytes: u64,
    /// Of each CPU's part of perf event arrays.
    pub perf_bytes: usize,
    /// Mixed into hashes. A host whose keys come from strangers gives a secret one.
    pub seed: u64,
    /// Surroundings of calls whose context has none of its own.
    pub env: Arc<dyn Env>,
    /// Functions of the host's own that programs may call, as the proof's platform declares them.
    pub functions: Arc<[kfuncs::Entry]>,
    /// Maps of other instances, to be used by programs here in the place of new ones of the same name.
    /// Each must be as the object defines it, and of a kind whose elements mean the same to every instance.
    pub maps: Vec<Arc<Map>>,
    /// Global functions that programs of other instances call: an engine makes them callable from there.
    pub exports: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cpus: 1,
            max_map_bytes: 1 << 30,
            perf_bytes: 1 << 20,
            seed: 0,
            env: Arc::new(Process::new(1)),
            functions: Arc::new([]),
            maps: Vec::new(),
            exports: Vec::new(),
        }
    }
}

/// The programs of one object, ready to run: their maps and bound helpers.
pub struct Instance {
    verified: Arc<Verified>,
    programs: Vec<Program>,
    maps: Vec<Option<Arc<Map>>>,
    /// Inner maps that the host added; kept, because programs may hold pointers to them.
    added: RwLock<Vec<Arc<Map>>>,
    cpus: usize,
    env: Arc<dyn Env>,
    epoch: Epoch,
    options: Options,
    /// Memory of the maps' values, ascending: start, end, map.
    extents: Vec<(u64, u64, usize)>,
    timers: Timers,
    objects: Objects,
    /// Named by the maps that are made here.
    home: Arc<()>,
    engines: AtomicU64,
}

/// A helper bound to its function.
#[derive(Clone, Copy)]
pub struct Bound {
    pub id: u32,
    pub name: &'static str,
    pub function: HelperFn,
    pub args: &'static [Arg],
    pub ret: Ret,
    pub effects: Effects,
    /// It only gives this, and the call keeps it.
    pub answer: Option<Answer>,
    /// What it does may be done where it is called.
    pub inline: Option<helpers::Inline>,
}

impl Instance {
    pub fn new(verified: Arc<Verified>, options: Options) -> Result<Instance, Error> {
        if options.cpus == 0 || options.cpus > MAX_CPUS {
            return Err(Error::Cpus(options.cpus));
        }
        let object = &verified.relocated().object;
        let mut used = vec![false; object.maps.len()];
        let programs = programs::all(&verified, &options.functions, &mut used)?;
        let home = Arc::new(());
        let (maps, left) = maps::make(&verified, &used, &options, &home)?;
        // Arenas and structures that programs allocate take what is left, as they grow.
        let left = Arc::new(AtomicU64::new(left));
        for arena in maps.iter().flatten().filter_map(|m| m.arena()) {
            arena.draw_on(&left);
        }
        let objects = Objects::new(verified.clone(), options.cpus, left);
        maps::initialise(&verified, &maps, &programs)?;
        let mut extents: Vec<_> = maps
            .iter()
            .enumerate()
            .flat_map(|(n, m)| {
                m.iter()
                    .flat_map(|m| m.extents())
                    .map(move |(start, end)| (start, end, n))
            })
            .collect();
        extents.sort_unstable();
        Ok(Instance {
            programs,
            maps,
            added: RwLock::default(),
            cpus: options.cpus,
            env: options.env.clone(),
            epoch: Epoch::default(),
            options,
            extents,
            verified,
            timers: Timers::default(),
            objects,
            home,
            engines: AtomicU64::new(0),
        })
    }

    pub fn verified(&self) -> &Arc<Verified> {
        &self.verified
    }

    /// A number for one more engine over this instance, by which functions that it gave to programs are known as its own.
    pub fn engine_id(&self) -> u64 {
        self.engines.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.timers
    }

    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Structures that programs have allocated and not freed, in maps or elsewhere.
    pub fn allocated(&self) -> usize {
        self.objects.live()
    }

    /// In the order of [`Verified::programs`].
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    pub fn program_index(&self, name: &str) -> Option<usize> {
        self.programs.iter().position(|p| p.name() == name)
    }

    /// By index into the object's maps; `None` for maps that no program uses and that do not exist in process.
    pub fn map(&self, index: usize) -> Option<&Arc<Map>> {
        self.maps.get(index)?.as_ref()
    }

    pub fn map_by_name(&self, name: &str) -> Option<&Arc<Map>> {
        self.maps().find(|m| m.name() == name)
    }

    /// [`Instance::map_by_name`], or an error that says which name there is no map of.
    pub fn find_map(&self, name: &str) -> Result<&Arc<Map>, Error> {
        self.map_by_name(name).ok_or_else(|| Error::Map {
            map: name.to_string(),
            what: "does not exist".into(),
        })
    }

    /// The object's maps that exist.
    pub fn maps(&self) -> impl Iterator<Item = &Arc<Map>> {
        self.maps.iter().flatten()
    }

    /// The map whose address a program holds.
    pub(crate) fn with_map_at<R>(&self, address: u64, f: impl FnOnce(&Map) -> R) -> Option<R> {
        if let Some(map) = self.maps().find(|m| m.address() == address) {
            return Some(f(map));
        }
        let added = self.added.read().unwrap_or_else(|e| e.into_inner());
        added.iter().find(|m| m.address() == address).map(|m| f(m))
    }

    /// Global functions that programs of other instances call.
    pub fn exports(&self) -> &[String] {
        &self.options.exports
    }

    pub fn cpus(&self) -> usize {
        self.cpus
    }

    /// Whether programs of a kind write packets.
    pub(crate) fn writes_packets(&self, kind: u32) -> bool {
        let kind = self.verified.platform().prog_kind(kind);
        kind.is_some_and(|k| k.packet_write)
    }

    pub fn env(&self) -> &dyn Env {
        &*self.env
    }

    /// What the host moves to end calls that run for too long.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Whether calls compare the epoch: the policy demands it.
    pub fn is_watched(&self) -> bool {
        self.verified.policy().epoch_checks
    }

    /// The helper behind a number, as a program of this kind sees it.
    pub fn helper(&self, id: u32, kind: ProgType) -> Option<Bound> {
        let row = self.verified.platform().helper(id)?;
        let entry = helpers::find(id)?;
        let p = row.prototype(kind.0);
        Some(Bound {
            id,
            name: row.name,
            function: entry.function,
            args: p.args,
            ret: p.ret,
            effects: p.effects,
            answer: entry.answer,
            inline: entry.inline,
        })
    }

    /// A helper's own code for a map, to be called where the proof knows that a call is about this map.
    pub fn direct(&self, helper: u32, map: usize) -> Option<Direct> {
        self.map(map)?.direct(Operation::of(helper)?)
    }

    /// The kernel function behind a type id of the proof's platform.
    pub fn kfunc(&self, id: u32) -> Option<BoundKfunc> {
        BoundKfunc::new(self.verified.platform(), id, &self.options.functions).ok()
    }

    /// The bounds of the map key or value that an address lies in.
    pub(crate) fn span(&self, address: u64) -> Option<Span> {
        let at = self.extents.partition_point(|e| e.0 <= address);
        if let Some((_, end, map)) = at.checked_sub(1).and_then(|n| self.extents.get(n))
            && address < *end
        {
            return self.maps.get(*map)?.as_ref()?.span(address);
        }
        if let Some(span) = self.objects.span(address) {
            return Some(span);
        }
        let added = self.added.read().unwrap_or_else(|e| e.into_inner());
        added.iter().find_map(|m| m.span(address))
    }

    /// Makes a map of the definition that `outer` has for its inner maps.
    pub fn make_inner(&self, outer: &str) -> Result<Arc<Map>, Error> {
        let object = &self.verified.relocated().object;
        let mut fields = self.verified.map_fields();
        let at = object.maps.iter().position(|m| m.name == outer);
        let def = at.and_then(|n| Some((n, object.maps[n].inner.as_deref()?)));
        let Some((at, def)) = def else {
            return Err(Error::Map {
                map: outer.to_string(),
                what: "has no definition of an inner map".into(),
            });
        };
        let options = Options {
            cpus: self.cpus,
            env: self.env.clone(),
            ..self.options.clone()
        };
        let mut budget = options.max_map_bytes;
        let fields = fields.swap_remove(at);
        let map = Map::new(def, &options, Values::of(&fields.inner), &mut budget)?;
        let map = map.of_types(object.btf.as_ref(), def.value_type);
        Ok(Arc::new(map.at_home(&self.home)))
    }

    /// Puts an inner map into a map of maps. It lives as long as the instance, whatever replaces it.
    pub fn insert_inner(&self, outer: &str, key: &[u8], inner: Arc<Map>) -> Result<(), Error> {
        let Some(map) = self.map_by_name(outer) else {
            return Err(Error::Map {
                map: outer.to_string(),
                what: "does not exist".into(),
            });
        };
        let object = &self.verified.relocated().object;
        let at = object.maps.iter().position(|m| m.name == outer);
        let def = at.and_then(|n| Some((n, object.maps[n].inner.as_deref()?)));
        let fits = def.is_some_and(|(n, def)| {
            let fields = self.verified.map_fields().swap_remove(n);
            inner.fits_into(def, self.cpus, &Values::of(&fields.inner), &self.home)
        });
        if !fits {
            return Err(Error::Map {
                map: outer.to_string(),
                what: format!(
                    "map {} is of another shape than those it holds",
                    inner.name()
                ),
            });
        }
        let address = inner.address();
        self.added
            .write()
            .unwrap_or_else(|e| e.into_inner())
            .push(inner);
        map.set_reference(key, address)
    }

    /// Sets a slot of a program array to a program of this instance.
    pub fn insert_program(&self, map: &str, index: u32, program: usize) -> Result<(), Error> {
        let Some(map) = self.map_by_name(map) else {
            return Err(Error::Map {
                map: map.to_string(),
                what: "does not exist".into(),
            });
        };
        maps::put_program(&self.verified, map, index, program, &self.programs)
    }
}
