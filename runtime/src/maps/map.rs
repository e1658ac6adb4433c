//! One map of an instance: its definition → its memory, and what programs and engines know of it.
//!
//! What a host does with a map is in `host.rs`, and with types of its own in `typed.rs`.

use std::fmt;
use std::sync::Arc;

use probity_btf::{Btf, TypeId};
use probity_objfile as objfile;

use super::array::ArrayLayout;
use super::bpf_arena::BpfArena;
use super::storage;
use super::store::{Direct, Operation, Span, Spec, Store};
use super::values::Values;
use crate::{Error, Options, arena};

/// One map of an instance.
///
/// Its address ([`Map::address`]) is what a program's map pointer holds.
pub struct Map {
    pub(super) name: String,
    kind: u32,
    pub(super) key_size: usize,
    pub(super) value_size: usize,
    max_entries: usize,
    flags: u32,
    pub(super) cpus: usize,
    /// Neither programs nor the host may write (`.rodata`).
    pub(super) frozen: bool,
    pub(super) values: Values,
    /// The object's types, and that of the values.
    value_type: Option<(Arc<Btf>, TypeId)>,
    /// Names the instance that it was made by.
    home: Option<Arc<()>>,
    pub(super) store: Box<dyn Store>,
}

impl Map {
    /// Makes a map; `budget` is the number of bytes that may still be spent, and is reduced.
    pub(crate) fn new(
        def: &objfile::Map,
        options: &Options,
        values: Values,
        budget: &mut u64,
    ) -> Result<Map, Error> {
        let spec = Spec {
            name: &def.name,
            kind: def.kind,
            key_size: def.key_size as usize,
            value_size: def.value_size as usize,
            max_entries: def.max_entries as usize,
            flags: def.flags,
            cpus: options.cpus,
            seed: options.seed,
            perf_bytes: options.perf_bytes,
            values,
            extra: def.map_extra,
        };
        let Some(make) = super::maker(def.kind) else {
            return Err(spec.error(format!("maps of kind {} do not exist in process", def.kind)));
        };
        // The host finds objects' values by their addresses, where programs' types speak of descriptors.
        let spec = if matches!(def.kind, 24 | 28 | 29 | 32) {
            Spec {
                key_size: storage::KEY,
                max_entries: storage::entries(spec.max_entries),
                ..spec
            }
        } else {
            spec
        };
        // An arena pays for its other pages when they come to be.
        let variables = def.data.as_ref().map_or(0, |d| d.bytes.len() as u64);
        let bytes = match def.kind {
            ARENA => variables.next_multiple_of(4096),
            _ => bytes_needed(&spec),
        };
        if bytes > *budget {
            return Err(Error::MapMemory {
                map: def.name.clone(),
                bytes,
                limit: options.max_map_bytes,
            });
        }
        *budget -= bytes;
        let store = make(&spec)?;
        let frozen = def.data.as_ref().is_some_and(|d| {
            matches!(
                d.kind,
                objfile::DataKind::Rodata | objfile::DataKind::Kconfig
            )
        });
        let map = Map {
            name: def.name.clone(),
            kind: def.kind,
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            flags: def.flags,
            cpus: options.cpus,
            frozen,
            values: spec.values,
            value_type: None,
            home: None,
            store,
        };
        if let Some(data) = &def.data {
            map.fill(&data.bytes)?;
        }
        Ok(map)
    }

    /// Whether programs of another instance may use this map in the place of a new one by this definition.
    ///
    /// What they were proved and compiled with is all in the definition; and nothing in the map may mean something
    /// to one instance only: programs by their index, maps of maps by their address, timers by their engine.
    pub(crate) fn usable_as(
        &self,
        def: &objfile::Map,
        cpus: usize,
        values: &Values,
    ) -> Result<(), Error> {
        let error = |what: &str| Error::Map {
            map: self.name.clone(),
            what: what.into(),
        };
        if self.frozen {
            return Err(error("holds constants of one object"));
        }
        if !self.is_portable() || !values.is_portable() {
            return Err(error("holds what only one instance can use"));
        }
        match self.is_like(def, cpus, values) && self.max_entries == def.max_entries as usize {
            true => Ok(()),
            false => Err(error("is of another shape than the one that is kept")),
        }
    }

    /// Whether the map of maps with this definition of what it holds, in an instance of this home, may hold this one.
    ///
    /// Where a value holds what the instance has (timers, structures), it must be one of the instance's own.
    pub(crate) fn fits_into(
        &self,
        def: &objfile::Map,
        cpus: usize,
        values: &Values,
        home: &Arc<()>,
    ) -> bool {
        const ARRAY: u32 = 2;
        // Linux wants as many entries of arrays, which programs may index without a lookup.
        let open = self.kind != ARRAY || def.flags & super::flags::INNER_MAP != 0;
        let own = self.home.as_ref().is_some_and(|h| Arc::ptr_eq(h, home));
        self.is_like(def, cpus, values)
            && (open || self.max_entries == def.max_entries as usize)
            && (own || self.is_portable())
    }

    fn is_like(&self, def: &objfile::Map, cpus: usize, values: &Values) -> bool {
        let theirs = (def.kind, def.key_size as usize, def.value_size as usize);
        (self.kind, self.key_size, self.value_size) == theirs
            && self.flags == def.flags
            && self.cpus == cpus
            && self.values.same(values)
    }

    /// Whether its elements mean the same to every instance: plain bytes, with locks at most.
    pub fn is_portable(&self) -> bool {
        const PLAIN: &[u32] = &[1, 2, 5, 6, 9, 10, 11, 22, 23, 27, 30];
        PLAIN.contains(&self.kind) && self.values.is_portable()
    }

    /// Bytes that it takes at most.
    pub fn bytes(&self) -> u64 {
        bytes_needed(&Spec {
            name: &self.name,
            kind: self.kind,
            key_size: self.key_size,
            value_size: self.value_size,
            max_entries: self.max_entries,
            flags: self.flags,
            cpus: self.cpus,
            seed: 0,
            perf_bytes: 0,
            values: Values::default(),
            extra: 0,
        })
    }

    /// Writes a data section's bytes into the single value, or the first pages of an arena.
    fn fill(&self, bytes: &[u8]) -> Result<(), Error> {
        if let Some(arena) = self.store.arena() {
            return self.refused(arena.write(arena.address(), bytes));
        }
        let Some(array) = self.store.array() else {
            return Err(Error::Map {
                map: self.name.clone(),
                what: "a data section must be an array".into(),
            });
        };
        if bytes.len() > self.value_size || array.entries == 0 {
            return Err(Error::Map {
                map: self.name.clone(),
                what: "initial bytes exceed the value".into(),
            });
        }
        // SAFETY: the first value is `value_size` bytes at the array's base.
        unsafe { arena::copy(array.base as *mut u8, bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    pub fn name(&self) -> &str {
        &self.name
    }
    /// `enum bpf_map_type`.
    pub fn kind(&self) -> u32 {
        self.kind
    }
    /// Bytes.
    pub fn key_size(&self) -> usize {
        self.key_size
    }
    /// Bytes.
    pub fn value_size(&self) -> usize {
        self.value_size
    }
    pub fn max_entries(&self) -> usize {
        self.max_entries
    }
    pub fn flags(&self) -> u32 {
        self.flags
    }
    /// Each CPU has its own values.
    pub fn is_percpu(&self) -> bool {
        self.store.percpu()
    }
    pub fn frozen(&self) -> bool {
        self.frozen
    }

    /// The type of the values, where the object has types.
    pub fn value_type(&self) -> Option<(&Btf, TypeId)> {
        self.value_type.as_ref().map(|(btf, id)| (&**btf, *id))
    }

    /// Tells a map which instance makes it.
    pub(crate) fn at_home(mut self, home: &Arc<()>) -> Map {
        self.home = Some(home.clone());
        self
    }

    /// Tells a map what its values are.
    pub(crate) fn of_types(mut self, btf: Option<&Arc<Btf>>, id: Option<TypeId>) -> Map {
        self.value_type = btf.cloned().zip(id);
        self
    }

    /// What a program's pointer to this map holds.
    pub fn address(&self) -> u64 {
        std::ptr::from_ref(self) as u64
    }

    /// Where the elements of array kinds lie: `base + cpu * cpu_stride + index * stride`.
    pub fn array(&self) -> Option<ArrayLayout> {
        self.store.array()
    }

    /// Where the slots of program arrays and arrays of maps lie.
    pub fn slots(&self) -> Option<super::Slots> {
        self.store.slots()
    }

    /// The slots of a program array that are set, and the index of the program in each.
    pub fn program_slots(&self) -> Vec<(u32, u64)> {
        let programs = self.slots().is_some_and(|s| s.programs);
        let all = self.references().into_iter().filter(|_| programs);
        all.filter_map(|(key, to)| Some((u32::from_ne_bytes(key.try_into().ok()?), to)))
            .collect()
    }

    /// The address that `Imm64::MapIdxValue { off, .. }` gives.
    pub fn direct_value(&self, off: u32) -> Option<u64> {
        if let Some(arena) = self.store.arena() {
            return (u64::from(off) <= arena.len()).then(|| arena.address() + u64::from(off));
        }
        let array = self.store.array().filter(|a| a.entries == 1)?;
        ((off as usize) < self.value_size).then(|| array.base + u64::from(off))
    }

    /// Where offsets of direct addresses count from.
    pub fn values_start(&self) -> Option<u64> {
        let arena = self.store.arena().map(BpfArena::address);
        arena.or_else(|| Some(self.store.array()?.base))
    }

    /// The memory of an arena, as engines reach it.
    pub fn arena(&self) -> Option<&BpfArena> {
        self.store.arena()
    }

    /// Where values of the map lie, those that are not in use too; none for kinds that programs get no pointers into.
    pub fn values(&self) -> Vec<Span> {
        let mut found: Vec<Span> = Vec::new();
        for (start, end) in self.store.extents() {
            let mut at = start;
            while at < end {
                let span = self.store.span(at);
                at += 1;
                if let Some(s) = span {
                    at = at.max(s.end);
                    if s.writable && found.last().is_none_or(|l| l.start != s.start) {
                        found.push(s);
                    }
                }
            }
        }
        found
    }

    pub(crate) fn extents(&self) -> Vec<(u64, u64)> {
        self.store.extents()
    }

    /// The key or value that an address lies in.
    pub(crate) fn span(&self, address: u64) -> Option<Span> {
        self.store.span(address).map(|s| Span {
            writable: s.writable && !self.frozen,
            ..s
        })
    }

    /// Key and bounds of the value that an address lies in.
    pub(crate) fn element(&self, address: u64) -> Option<(Vec<u8>, Span)> {
        Some((self.store.key_at(address)?, self.store.span(address)?))
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// What [`Direct::map`] is of every helper.
    pub fn store_address(&self) -> u64 {
        std::ptr::from_ref::<dyn Store>(&*self.store).cast::<()>() as u64
    }

    /// A helper's own code for this map: what an engine may call in the place of the general helper where the proof knows the map.
    /// `None` when there is none, or when the map may not be written.
    pub fn direct(&self, operation: Operation) -> Option<Direct> {
        if self.frozen && operation != Operation::Lookup {
            return None;
        }
        self.store.direct(operation)
    }

    /// Sets an element of a program array or a map of maps. The caller answers for the reference.
    pub(crate) fn set_reference(&self, key: &[u8], to: u64) -> Result<(), Error> {
        self.sizes(key, None)?;
        self.refused(self.store.set_reference(key, to))
    }

    pub(crate) fn references(&self) -> Vec<(Vec<u8>, u64)> {
        self.store.references()
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("key_size", &self.key_size)
            .field("value_size", &self.value_size)
            .field("max_entries", &self.max_entries)
            .finish_non_exhaustive()
    }
}

/// `BPF_MAP_TYPE_ARENA`.
pub(crate) const ARENA: u32 = 33;

/// An upper estimate of what a map takes, for the limit.
fn bytes_needed(spec: &Spec) -> u64 {
    let (key, value, entries) = (
        spec.key_size as u64,
        spec.value_size as u64,
        spec.max_entries as u64,
    );
    // The largest of what the kinds take: values for each CPU, headers, buckets; rings take twice their size.
    let cpus = if matches!(spec.kind, 5 | 6 | 10 | 21) {
        spec.cpus as u64
    } else {
        1
    };
    let entry = (key + 48).saturating_add((value + 8).saturating_mul(cpus));
    let perf = (spec.perf_bytes as u64).saturating_mul(spec.cpus as u64);
    match spec.kind {
        4 => perf,
        27 | 31 => entries.saturating_mul(2),
        ARENA => entries.saturating_mul(4096),
        19 | 21 => entry,
        _ => entry.saturating_mul(entries),
    }
    .saturating_add(4096)
}
