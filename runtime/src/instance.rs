//! `Verified` × [`Options`] → [`Instance`]: maps exist, helpers are bound.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use probity_isa::{CallTarget, Imm64, Insn, Pc};
use probity_objfile::{self as objfile, ProgType};
use probity_platform::{Arg, Effects, Platform, Ret};
use probity_verifier::{Region, Verified, VerifiedProgram};

use crate::context;
use crate::kfuncs::{self, BoundKfunc, Unbound};
use crate::maps::{self, Direct, Map, Operation, Values};
use crate::objects::Objects;
use crate::timers::Timers;
use crate::{Answer, Env, Epoch, Error, HelperFn, Process, Span, helpers, hidden_word};

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

/// One program of an instance.
#[derive(Clone, Debug)]
pub struct Program {
    verified: Arc<VerifiedProgram>,
    context_size: usize,
    exception_callback: Option<Pc>,
    tail_calls: bool,
    arena: Option<usize>,
}

impl Program {
    pub fn verified(&self) -> &Arc<VerifiedProgram> {
        &self.verified
    }
    pub fn name(&self) -> &str {
        self.verified.name()
    }
    /// Bytes that a context must have at least: as far as the program reads or writes it, and, when it makes
    /// tail calls, as far as any program does that these may lead to.
    pub fn context_size(&self) -> usize {
        self.context_size
    }
    /// It makes tail calls.
    pub fn tail_calls(&self) -> bool {
        self.tail_calls
    }
    /// The map that is its arena.
    pub fn arena(&self) -> Option<usize> {
        self.arena
    }
    /// Where the subprogram starts that exceptions end in.
    pub fn exception_callback(&self) -> Option<Pc> {
        self.exception_callback
    }
}

impl Instance {
    pub fn new(verified: Arc<Verified>, options: Options) -> Result<Instance, Error> {
        if options.cpus == 0 || options.cpus > MAX_CPUS {
            return Err(Error::Cpus(options.cpus));
        }
        let object = &verified.relocated().object;
        let mut used = vec![false; object.maps.len()];
        let linux = Platform::linux(probity_platform::linux::NEWEST, None);
        let mut programs = Vec::new();
        for p in verified.programs() {
            check_program(&linux, &verified, p, &options.functions, &mut used)?;
            let arena = arena(object, p);
            if let Some(u) = arena.and_then(|n| used.get_mut(n)) {
                *u = true;
            }
            programs.push(Program {
                verified: p.clone(),
                context_size: context_size(&verified, p),
                exception_callback: exception_callback(object, p),
                tail_calls: tail_calls(&verified, p).next().is_some(),
                arena,
            });
        }
        reach_contexts(&mut programs);
        let home = Arc::new(());
        let (maps, left) = make_maps(&verified, &used, &options, &home)?;
        // Arenas and structures that programs allocate take what is left, as they grow.
        let left = Arc::new(AtomicU64::new(left));
        for arena in maps.iter().flatten().filter_map(|m| m.arena()) {
            arena.draw_on(&left);
        }
        let objects = Objects::new(verified.clone(), options.cpus, left);
        initialise(&verified, &maps, &programs)?;
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
        put_program(&self.verified, map, index, program, &self.programs)
    }
}

/// Refuses what has no meaning in process, and notes which maps the program uses.
fn check_program(
    linux: &Platform,
    verified: &Verified,
    p: &VerifiedProgram,
    functions: &[kfuncs::Entry],
    used: &mut [bool],
) -> Result<(), Error> {
    let unsupported = |pc, what: String| Error::Unsupported {
        program: p.name().to_string(),
        pc,
        what,
    };
    let platform = verified.platform();
    for (pc, insn) in p.insns().iter().enumerate() {
        let fact = p.facts().get(pc).copied().unwrap_or_default();
        if !fact.reached {
            continue;
        }
        match insn {
            Insn::Call(CallTarget::Helper(id)) => {
                let name = platform
                    .helper(*id)
                    .map_or_else(|| format!("helper {id}"), |h| format!("bpf_{}", h.name));
                if helpers::find(*id).is_none() {
                    return Err(unsupported(pc, name));
                }
                let kind = p.prog_type().0;
                let theirs = platform.helper(*id).map(|h| h.prototype(kind));
                if theirs.is_none() || theirs != linux.helper(*id).map(|h| h.prototype(kind)) {
                    return Err(Error::ForeignPlatform {
                        program: p.name().to_string(),
                        platform: platform.name.clone(),
                        what: format!("the prototype of {name} differs from Linux's"),
                    });
                }
            }
            Insn::Call(CallTarget::Kfunc { id, .. }) => {
                match BoundKfunc::new(platform, *id, functions) {
                    Ok(_) => {}
                    Err(Unbound::Missing(what)) => return Err(unsupported(pc, what)),
                    Err(Unbound::Foreign(what)) => {
                        return Err(Error::ForeignPlatform {
                            program: p.name().to_string(),
                            platform: platform.name.clone(),
                            what,
                        });
                    }
                }
            }
            Insn::Call(CallTarget::Reg(_)) => {
                return Err(unsupported(pc, "a call through a register".into()));
            }
            Insn::LoadImm64 { imm, .. } => match imm {
                Imm64::MapIdx(n) | Imm64::MapIdxValue { index: n, .. } => {
                    match used.get_mut(*n as usize) {
                        Some(u) => *u = true,
                        None => {
                            return Err(unsupported(
                                pc,
                                format!("map {n}, which the object has not,"),
                            ));
                        }
                    }
                }
                Imm64::MapFd(_) | Imm64::MapFdValue { .. } => {
                    return Err(unsupported(pc, "a map by file descriptor".into()));
                }
                Imm64::BtfId { .. } => return Err(unsupported(pc, "a kernel variable".into())),
                Imm64::Value(_) | Imm64::Func { .. } => {}
            },
            _ => {}
        }
        if fact.access.map(|a| a.region) == Some(Region::Kernel)
            && !matches!(insn, Insn::Load { .. })
        {
            return Err(unsupported(
                pc,
                "a kernel structure, other than read,".into(),
            ));
        }
        if let Some(Region::Context(kind)) = fact.access.map(|a| a.region)
            && !context::is_plain(kind)
            && hidden_word(kind).is_none()
        {
            return Err(unsupported(pc, format!("a context field of kind {kind:?}")));
        }
    }
    Ok(())
}

/// Instructions of a program that make tail calls: calls of helpers that do not return when they succeed.
fn tail_calls<'a>(verified: &'a Verified, p: &'a VerifiedProgram) -> impl Iterator<Item = Pc> + 'a {
    let kind = p.prog_type().0;
    let gone = move |id: u32| {
        let helper = verified.platform().helper(id);
        helper.is_some_and(|h| h.prototype(kind).effects.may_not_return)
    };
    let all = p.insns().iter().zip(p.facts()).enumerate();
    all.filter(move |(_, (insn, fact))| match insn {
        Insn::Call(CallTarget::Helper(id)) => fact.reached && gone(*id),
        _ => false,
    })
    .map(|(pc, _)| pc)
}

/// A tail call hands on the context, so that who makes one is held to what the programs of its kind need.
fn reach_contexts(programs: &mut [Program]) {
    let need: Vec<usize> = programs
        .iter()
        .map(|p| {
            if !p.tail_calls {
                return p.context_size;
            }
            let kind = p.verified.prog_type();
            let same = programs.iter().filter(|o| o.verified.prog_type() == kind);
            same.map(|o| o.context_size).max().unwrap_or_default()
        })
        .collect();
    for (p, need) in programs.iter_mut().zip(need) {
        p.context_size = need;
    }
}

/// The arena among the maps that the program names; the proof has that there is one at most.
fn arena(object: &objfile::Object, p: &VerifiedProgram) -> Option<usize> {
    p.insns().iter().find_map(|insn| match insn {
        Insn::LoadImm64 {
            imm: Imm64::MapIdx(n) | Imm64::MapIdxValue { index: n, .. },
            ..
        } => {
            Some(*n as usize).filter(|n| object.maps.get(*n).is_some_and(|m| m.kind == maps::ARENA))
        }
        _ => None,
    })
}

fn exception_callback(object: &objfile::Object, p: &VerifiedProgram) -> Option<Pc> {
    let given = object.programs.get(p.index())?;
    let callback = given.subprogs.get(given.exception_cb?)?;
    Some(callback.start)
}

/// One past the last byte of the context that the program accesses.
fn context_size(verified: &Verified, p: &VerifiedProgram) -> usize {
    use probity_platform::Context;
    let whole = match verified
        .platform()
        .prog_kind(p.prog_type().0)
        .map(|k| &k.context)
    {
        Some(Context::Struct { size, .. }) => *size as usize,
        Some(Context::Bytes { from, size, .. }) => from.saturating_add(*size) as usize,
        Some(Context::Words { count, .. }) => *count as usize * 8,
        Some(Context::Memory { size }) => *size as usize,
        Some(Context::Typed | Context::None) | None => 0,
    };
    let mut need = 0;
    for (insn, fact) in p.insns().iter().zip(p.facts()) {
        let Some(access) = fact.access.filter(|_| fact.reached) else {
            continue;
        };
        if !matches!(access.region, Region::Context(_)) {
            continue;
        }
        let size = match insn {
            Insn::Load { size, .. }
            | Insn::Store { size, .. }
            | Insn::Atomic { size, .. }
            | Insn::LoadAcquire { size, .. }
            | Insn::StoreRelease { size, .. } => size.bytes(),
            _ => 8,
        };
        let end = access
            .offset
            .and_then(|o| usize::try_from(o).ok())
            .map_or(whole, |o| o.saturating_add(size));
        need = need.max(end);
    }
    need
}

/// The object's maps, and how many bytes are left of those that they may take.
fn make_maps(
    verified: &Verified,
    used: &[bool],
    options: &Options,
    home: &Arc<()>,
) -> Result<(Vec<Option<Arc<Map>>>, u64), Error> {
    let object = &verified.relocated().object;
    let fields = verified.map_fields();
    let mut used = used.to_vec();
    // What a used map is initialised with is used too; maps of maps do not nest deeper.
    for (n, def) in object.maps.iter().enumerate() {
        if !used[n] {
            continue;
        }
        for (_, initial) in &def.initial {
            if let objfile::Initial::Map(m) = initial
                && let Some(u) = used.get_mut(*m)
            {
                *u = true;
            }
        }
    }
    let mut budget = options.max_map_bytes;
    let mut out = Vec::new();
    for ((def, used), fields) in object.maps.iter().zip(used).zip(&fields) {
        let values = Values::of(&fields.own);
        if let Some(kept) = options.maps.iter().find(|m| m.name() == def.name) {
            kept.usable_as(def, options.cpus, &values)?;
            out.push(Some(kept.clone()));
            continue;
        }
        match Map::new(def, options, values, &mut budget) {
            Ok(map) => {
                let map = map.of_types(object.btf.as_ref(), def.value_type);
                out.push(Some(Arc::new(map.at_home(home))));
            }
            Err(e) if used => return Err(e),
            // A map that no program uses is not worth an error.
            Err(_) => out.push(None),
        }
    }
    Ok((out, budget))
}

/// Static initialisers of program arrays and maps of maps.
fn initialise(
    verified: &Verified,
    maps: &[Option<Arc<Map>>],
    programs: &[Program],
) -> Result<(), Error> {
    let object = &verified.relocated().object;
    for (def, map) in object.maps.iter().zip(maps) {
        let Some(map) = map else { continue };
        for (slot, initial) in &def.initial {
            match initial {
                objfile::Initial::Map(n) => {
                    let inner =
                        maps.get(*n)
                            .and_then(Option::as_ref)
                            .ok_or_else(|| Error::Map {
                                map: def.name.clone(),
                                what: format!("its initial map {n} does not exist in process"),
                            })?;
                    map.set_reference(&slot.to_ne_bytes(), inner.address())?;
                }
                objfile::Initial::Program(name) => {
                    let at = programs
                        .iter()
                        .position(|p| p.name() == name)
                        .ok_or_else(|| Error::Map {
                            map: def.name.clone(),
                            what: format!(
                                "its initial program {name} is not among the verified ones"
                            ),
                        })?;
                    put_program(verified, map, *slot, at, programs)?;
                }
            }
        }
    }
    Ok(())
}

/// A program array holds programs of one kind, that of the programs that jump through it, as in Linux.
fn put_program(
    verified: &Verified,
    map: &Map,
    index: u32,
    program: usize,
    programs: &[Program],
) -> Result<(), Error> {
    let p = programs.get(program).ok_or(Error::NoProgram(program))?;
    let kind = p.verified.prog_type();
    let refused = |than: &str| {
        Err(Error::Map {
            map: map.name().to_string(),
            what: format!("program {} is of another kind than {than}", p.name()),
        })
    };
    let maps = &verified.relocated().object.maps;
    let jumps = |user: &Program| {
        tail_calls(verified, &user.verified).any(|pc| {
            // Where it depends on the path which array it is, it may be this one.
            let known = user.verified.facts().get(pc).and_then(|f| f.map);
            known.is_none_or(|n| maps.get(n).is_some_and(|def| def.name == map.name()))
        })
    };
    let others = programs.iter().filter(|o| o.verified.prog_type() != kind);
    if others.filter(|o| o.tail_calls).any(jumps) {
        return refused("those that jump through it");
    }
    for (_, other) in map.references() {
        let other = programs.get(other as usize).map(|o| o.verified.prog_type());
        if other.is_some_and(|o| o != kind) {
            return refused("those it holds");
        }
    }
    map.set_reference(&index.to_ne_bytes(), program as u64)
}
