//! Maps: definitions → memory that programs, threads and the host share.
//!
//! **Invariant:** a value's address stays valid memory of that map for as long as the instance
//! lives; a deleted element's slot may be reused, as in Linux, but is never freed.
//!
//! **Invariant:** any number of threads may use any map through programs and through [`Map`]'s methods.
//!
//! # How long a value is valid
//!
//! A program that looked a value up may read and write its bytes until it returns, whatever others do meanwhile: they are memory
//! of the map, and nothing else will ever lie there. What they hold is another question, with Linux's answer:
//!
//! - While the element stays, they are the element's value, and updates in place (arrays, per-CPU values, `BPF_F_LOCK`) are seen.
//! - After the element was replaced or deleted they are its last value, until the slot is used for a new element; then they are
//!   that element's. Linux's preallocated hash maps do the same, and since it keeps freed elements for reuse, so do the others.
//! - A replaced slot is the next to be used by a replacement in the same sixty-fourth of the buckets; a deleted one by the next new element.
//!
//! A host gets copies. Those of hash maps without per-CPU values are of one element at one moment; in others a writer may be seen halfway,
//! word by word, as by Linux's system call.

mod array;
mod bloom;
mod hash;
mod lpm;
mod perf;
mod queue;
mod reference;
pub(crate) mod ringbuf;
mod stack;
mod storage;
mod targets;
mod typed;
mod user_ring;
mod values;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use probity_btf::{Btf, TypeId};
use probity_objfile as objfile;

use crate::arena;
use crate::{Error, HelperFn, Options};

pub use array::ArrayLayout;
pub use perf::PerfArray;
pub use ringbuf::RingBuf;
pub(crate) use stack::Stacks;
pub use typed::{Described, Plain, Typed, TypedQueue, TypedRing, Update};
pub use user_ring::{SendError, UserRing};
pub(crate) use values::Values;

/// `BPF_ANY`, `BPF_NOEXIST`, `BPF_EXIST` of updates, and flags of map creation.
pub mod flags {
    pub const ANY: u64 = 0;
    pub const NOEXIST: u64 = 1;
    pub const EXIST: u64 = 2;
    /// The value has a spin lock that is to be held.
    pub const LOCK: u64 = 4;
    pub const NO_PREALLOC: u32 = 1;
    pub const NO_COMMON_LRU: u32 = 1 << 1;
    pub const NUMA_NODE: u32 = 1 << 2;
    pub const RDONLY: u32 = 1 << 3;
    pub const WRONLY: u32 = 1 << 4;
    pub const RDONLY_PROG: u32 = 1 << 7;
    pub const WRONLY_PROG: u32 = 1 << 8;
    pub const MMAPABLE: u32 = 1 << 10;
    pub const INNER_MAP: u32 = 1 << 12;
}

/// One map of an instance.
///
/// Its address ([`Map::address`]) is what a program's map pointer holds.
pub struct Map {
    name: String,
    kind: u32,
    key_size: usize,
    value_size: usize,
    max_entries: usize,
    flags: u32,
    cpus: usize,
    /// Neither programs nor the host may write (`.rodata`).
    frozen: bool,
    values: Values,
    /// The object's types, and that of the values.
    value_type: Option<(Arc<Btf>, TypeId)>,
    store: Box<dyn Store>,
}

/// A helper on maps that has code of its own for some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Lookup,
    Update,
    Delete,
    Reserve,
}

impl Operation {
    /// By the number of its helper.
    pub fn of(helper: u32) -> Option<Operation> {
        match helper {
            1 => Some(Operation::Lookup),
            2 => Some(Operation::Update),
            3 => Some(Operation::Delete),
            131 => Some(Operation::Reserve),
            _ => None,
        }
    }
}

/// A helper's code for one map.
#[derive(Clone, Copy, Debug)]
pub struct Direct {
    pub function: HelperFn,
    /// To be handed on in the place of the map's address.
    pub map: u64,
}

/// What a map is made from.
pub(crate) struct Spec<'a> {
    pub name: &'a str,
    pub kind: u32,
    pub key_size: usize,
    pub value_size: usize,
    pub max_entries: usize,
    pub flags: u32,
    pub cpus: usize,
    pub seed: u64,
    /// Of each CPU's part of perf event arrays.
    pub perf_bytes: usize,
    pub values: Values,
    /// `map_extra`.
    pub extra: u64,
}

impl Spec<'_> {
    fn error(&self, what: impl Into<String>) -> Error {
        Error::Map {
            map: self.name.to_string(),
            what: what.into(),
        }
    }

    fn no_memory(&self) -> Error {
        self.error("the system has no memory for it")
    }
}

/// The bounds of one value or key that an address lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: u64,
    pub end: u64,
    pub writable: bool,
}

/// What a map kind does. Pointers are to `key_size` and `value_size` bytes; results are 0 or a
/// negative error number.
pub(crate) trait Store: Send + Sync {
    /// The value as `cpu` sees it, or null.
    ///
    /// # Safety
    /// `key` is readable for the map's key size; `cpu` is below the number of CPUs.
    unsafe fn lookup(&self, _cpu: usize, _key: *const u8) -> *mut u8 {
        std::ptr::null_mut()
    }
    /// The host's lookup, which leaves no trace of use.
    ///
    /// # Safety
    /// As for `lookup`.
    unsafe fn peek(&self, cpu: usize, key: *const u8) -> *mut u8 {
        // SAFETY: by the contract.
        unsafe { self.lookup(cpu, key) }
    }
    /// # Safety
    /// As for `lookup`; `value` is readable for the map's value size.
    unsafe fn update(&self, _cpu: usize, _key: *const u8, _value: *const u8, _flags: u64) -> i64 {
        -i64::from(libc::ENOTSUP)
    }
    /// # Safety
    /// As for `lookup`.
    unsafe fn delete(&self, _key: *const u8) -> i64 {
        -i64::from(libc::ENOTSUP)
    }
    /// # Safety
    /// `value` is readable for the map's value size.
    unsafe fn push(&self, _value: *const u8, _flags: u64) -> i64 {
        -i64::from(libc::ENOTSUP)
    }
    /// # Safety
    /// `value` is writable for the map's value size.
    unsafe fn pop(&self, _value: *mut u8, _remove: bool) -> i64 {
        -i64::from(libc::ENOTSUP)
    }
    /// Visits elements until `f` says false; `f` may change the map.
    fn for_each(&self, _cpu: usize, _f: &mut dyn FnMut(*const u8, *mut u8) -> bool) -> i64 {
        -i64::from(libc::ENOTSUP)
    }
    /// First address and one past the last of the memory that values lie in.
    fn extents(&self) -> Vec<(u64, u64)> {
        Vec::new()
    }
    /// The key or value that `address` lies in.
    fn span(&self, _address: u64) -> Option<Span> {
        None
    }
    /// A copy of a value for the host, whole as it was at one moment where the kind can tell; false without such a key.
    ///
    /// # Safety
    /// As for `lookup`; `out` has the value's size.
    unsafe fn copy_out(&self, cpu: usize, key: *const u8, out: &mut [u8]) -> bool {
        // SAFETY: by the contract.
        unsafe {
            let p = self.peek(cpu, key);
            if !p.is_null() {
                arena::read_into(p, out);
            }
            !p.is_null()
        }
    }
    /// Keys at this moment.
    fn keys(&self, size: usize) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        self.for_each(0, &mut |key, _| {
            // SAFETY: `for_each` hands out pointers to whole keys.
            keys.push(unsafe { arena::read_vec(key, size) });
            true
        });
        keys
    }
    /// A helper's own code for this map.
    fn direct(&self, _operation: Operation) -> Option<Direct> {
        None
    }
    /// The key of the element whose value an address lies in.
    fn key_at(&self, _address: u64) -> Option<Vec<u8>> {
        None
    }
    fn array(&self) -> Option<ArrayLayout> {
        None
    }
    fn percpu(&self) -> bool {
        false
    }
    fn ring(&self) -> Option<&RingBuf> {
        None
    }
    fn user_ring(&self) -> Option<&UserRing> {
        None
    }
    fn perf(&self) -> Option<&PerfArray> {
        None
    }
    fn stacks(&self) -> Option<&Stacks> {
        None
    }
    /// Kinds whose elements are programs or maps: sets one, by the program's index or the map's address.
    fn set_reference(&self, _key: &[u8], _to: u64) -> i64 {
        -i64::from(libc::ENOTSUP)
    }
    /// The elements that are set.
    fn references(&self) -> Vec<(Vec<u8>, u64)> {
        Vec::new()
    }
    /// The program that a tail call through `index` goes to.
    fn program(&self, _index: u64) -> Option<u64> {
        None
    }
}

/// Kinds by number, with their constructors.
const KINDS: &[(u32, fn(&Spec) -> Result<Box<dyn Store>, Error>)] = &[
    (1, hash::plain),
    (2, array::plain),
    (3, reference::programs),
    (4, perf::array),
    (5, hash::percpu),
    (6, array::percpu),
    (7, stack::stacks),
    (8, targets::targets),
    (9, hash::lru),
    (10, hash::lru_percpu),
    (11, lpm::trie),
    (12, reference::array_of_maps),
    (13, reference::hash_of_maps),
    (14, targets::targets),
    (16, targets::targets),
    (17, targets::targets),
    (19, storage::attached),
    (21, storage::attached_percpu),
    (22, queue::queue),
    (23, queue::stack),
    (24, storage::objects),
    (25, hash::plain),
    (27, ringbuf::ring),
    (28, storage::objects),
    (29, storage::objects),
    (30, bloom::filter),
    (31, user_ring::ring),
    (32, storage::objects),
];

/// Whether maps of this kind exist in process.
pub fn supported(kind: u32) -> bool {
    KINDS.iter().any(|k| k.0 == kind)
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
        let Some((_, make)) = KINDS.iter().find(|k| k.0 == def.kind) else {
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
        let bytes = bytes_needed(&spec);
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
            store,
        };
        if let Some(data) = &def.data {
            map.fill(&data.bytes)?;
        }
        Ok(map)
    }

    /// Writes a data section's bytes into the single value.
    fn fill(&self, bytes: &[u8]) -> Result<(), Error> {
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

    /// Tells a map what its values are.
    pub(crate) fn of_types(mut self, btf: Option<&Arc<Btf>>, id: Option<TypeId>) -> Map {
        self.value_type = btf.cloned().zip(id);
        self
    }

    /// The consumer's side of a ring buffer.
    pub fn ring(&self) -> Option<&RingBuf> {
        self.store.ring()
    }
    /// The sender's side of a user ring buffer.
    pub fn user_ring(&self) -> Option<&UserRing> {
        self.store.user_ring()
    }
    /// The consumer's side of a perf event array.
    pub fn perf(&self) -> Option<&PerfArray> {
        self.store.perf()
    }
    /// Adds to a queue or stack.
    pub fn push(&self, value: &[u8], flags: u64) -> Result<(), Error> {
        if value.len() != self.value_size {
            return self.refused(err(libc::EINVAL));
        }
        // SAFETY: the value's size was checked.
        self.refused(unsafe { self.store.push(value.as_ptr(), flags) })
    }
    /// What would be taken next from a queue or stack.
    pub fn peek(&self) -> Option<Vec<u8>> {
        let mut value = vec![0; self.value_size];
        // SAFETY: there is room for a value.
        (unsafe { self.store.pop(value.as_mut_ptr(), false) } == 0).then_some(value)
    }
    /// Whether a bloom filter may have a value.
    pub fn contains(&self, value: &[u8]) -> bool {
        let mut value = value.to_vec();
        // SAFETY: the value's size is checked first.
        value.len() == self.value_size && unsafe { self.store.pop(value.as_mut_ptr(), false) } == 0
    }
    /// Takes from a queue or stack.
    pub fn pop(&self) -> Option<Vec<u8>> {
        let mut value = vec![0; self.value_size];
        // SAFETY: there is room for a value.
        (unsafe { self.store.pop(value.as_mut_ptr(), true) } == 0).then_some(value)
    }

    /// What a program's pointer to this map holds.
    pub fn address(&self) -> u64 {
        std::ptr::from_ref(self) as u64
    }

    /// Where the elements of array kinds lie: `base + cpu * cpu_stride + index * stride`.
    pub fn array(&self) -> Option<ArrayLayout> {
        self.store.array()
    }

    /// The address that `Imm64::MapIdxValue { off, .. }` gives.
    pub fn direct_value(&self, off: u32) -> Option<u64> {
        let array = self.store.array().filter(|a| a.entries == 1)?;
        ((off as usize) < self.value_size).then(|| array.base + u64::from(off))
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

    fn refused(&self, result: i64) -> Result<(), Error> {
        if result >= 0 {
            Ok(())
        } else {
            Err(Error::Refused {
                map: self.name.clone(),
                errno: -result as i32,
            })
        }
    }

    fn sizes(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        let wrong = key.len() != self.key_size || value.is_some_and(|v| v.len() != self.value_size);
        if wrong {
            self.refused(-i64::from(libc::EINVAL))
        } else {
            Ok(())
        }
    }

    fn writable(&self) -> Result<(), Error> {
        if self.frozen {
            self.refused(-i64::from(libc::EPERM))
        } else {
            Ok(())
        }
    }

    /// The system call refuses `BPF_F_LOCK` without a lock before it looks at anything else.
    fn lockable(&self, how: u64) -> Result<(), Error> {
        let locks = how & flags::LOCK != 0 && self.values.lock().is_none();
        self.refused(if locks { err(libc::EINVAL) } else { 0 })
    }

    /// A copy of an element's value (of CPU 0 in per-CPU maps).
    pub fn lookup(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.lookup_cpu(key, 0)
    }

    fn lookup_cpu(&self, key: &[u8], cpu: usize) -> Option<Vec<u8>> {
        self.sizes(key, None).ok()?;
        let mut value = vec![0; self.value_size];
        // SAFETY: the key's size was checked, `cpu` is below the number of CPUs; there is room for a value.
        let found = unsafe { self.store.copy_out(cpu, key.as_ptr(), &mut value) };
        self.values.clear(&mut value);
        found.then_some(value)
    }

    /// The values of all CPUs (one for maps that are not per-CPU).
    pub fn lookup_percpu(&self, key: &[u8]) -> Option<Vec<Vec<u8>>> {
        let cpus = if self.is_percpu() { self.cpus } else { 1 };
        (0..cpus).map(|cpu| self.lookup_cpu(key, cpu)).collect()
    }

    /// Writes an element. In per-CPU maps every CPU gets the same value.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Error> {
        self.sizes(key, Some(value))?;
        self.writable()?;
        self.lockable(flags)?;
        // SAFETY: sizes were checked; CPU 0 exists.
        self.refused(unsafe { self.store.update(0, key.as_ptr(), value.as_ptr(), flags) })?;
        if self.is_percpu() {
            self.spread(key, &vec![value; self.cpus])?;
        }
        Ok(())
    }

    /// Writes one value a CPU.
    pub fn update_percpu(&self, key: &[u8], values: &[&[u8]], flags: u64) -> Result<(), Error> {
        let Some(first) = values
            .first()
            .filter(|_| self.is_percpu() && values.len() == self.cpus)
        else {
            return self.refused(-i64::from(libc::EINVAL));
        };
        for value in values {
            self.sizes(key, Some(value))?;
        }
        self.writable()?;
        self.lockable(flags)?;
        // SAFETY: sizes were checked; CPU 0 exists.
        self.refused(unsafe { self.store.update(0, key.as_ptr(), first.as_ptr(), flags) })?;
        self.spread(key, values)
    }

    fn spread(&self, key: &[u8], values: &[&[u8]]) -> Result<(), Error> {
        for (cpu, value) in values.iter().enumerate().take(self.cpus) {
            // SAFETY: sizes were checked by the callers; `cpu` is below the number of CPUs.
            let p = unsafe { self.store.peek(cpu, key.as_ptr()) };
            if !p.is_null() {
                // SAFETY: the value is `value_size` bytes.
                unsafe { arena::copy(p, value.as_ptr(), self.value_size) };
            }
        }
        Ok(())
    }

    pub fn delete(&self, key: &[u8]) -> Result<(), Error> {
        self.sizes(key, None)?;
        self.writable()?;
        // SAFETY: the key's size was checked.
        self.refused(unsafe { self.store.delete(key.as_ptr()) })
    }

    /// Keys at this moment, in the map's order; elements that come and go meanwhile may be missing.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.store.keys(self.key_size)
    }

    /// Keys with values (of CPU 0 in per-CPU maps).
    pub fn entries(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.keys()
            .into_iter()
            .filter_map(|k| self.lookup(&k).map(|v| (k, v)))
            .collect()
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
        19 | 21 => entry,
        _ => entry.saturating_mul(entries),
    }
    .saturating_add(4096)
}

/// Waits for another thread to let go of a lock; `turns` counts.
pub(crate) fn pause(turns: &mut u32) {
    *turns = turns.wrapping_add(1);
    if turns.is_multiple_of(64) {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

/// `-errno` as helpers return it.
pub(crate) const fn err(errno: i32) -> i64 {
    -(errno as i64)
}
