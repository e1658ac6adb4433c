//! The memory of a hash map: slots in an arena, buckets, stripes; and the [`Pool`] that they are to the protocol.
//!
//! A slot is a header of four words, the key padded to whole words, and the value (per-CPU values lie elsewhere, CPU after CPU).
//! Where all this lies never changes, which a compiler does not know of what is shared: operations work on a copy of it, a [`View`].

use std::sync::atomic::Ordering::{self, *};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};

use probity_isa::Size;

use super::protocol::{NONE, Pool, Wide, Word};
use crate::Error;
use crate::arena::{self, Arena};
use crate::maps::Spec;

/// Offsets inside a slot.
const GENERATION: usize = 0;
const NEXT: usize = 4;
/// The key's hash; in the free list, the next free slot.
const HASH: usize = 8;
/// Set when a program looked the element up, in LRU maps.
const USED: usize = 12;
pub(super) const KEY: usize = 16;

const CACHE_LINE: usize = 64;
/// Most stripes; each costs one slot.
const STRIPES: usize = 64;
/// Bytes that the stripes' spare slots may cost.
const SPARE_BYTES: usize = 1 << 20;

pub(super) struct Slots {
    memory: Arena,
    /// Where slot 0 is: on a cache line.
    base: *mut u8,
    /// Values of per-CPU maps, CPU after CPU.
    percpu: Option<Arena>,
    buckets: Box<[Bucket]>,
    stripes: Box<[Stripe]>,
    pub key_size: usize,
    pub value_size: usize,
    slot_size: usize,
    /// From a slot's start to its value, when it is not per-CPU.
    value_at: usize,
    pub cpus: usize,
    entries: u32,
    fresh: AtomicU32,
    free: AtomicU64,
}

// SAFETY: `base` points into `memory`, which is plain memory under the arena's rules.
unsafe impl Send for Slots {}
// SAFETY: as above.
unsafe impl Sync for Slots {}

/// Where a map's memory lies: what operations keep in registers, since no other thread changes it.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    slots: &'a Slots,
    base: *mut u8,
    slot_size: usize,
    buckets: &'a [Bucket],
}

/// Together, as a lookup reads both.
#[repr(align(8))]
struct Bucket {
    head: AtomicU32,
    version: AtomicU32,
}

#[repr(align(64))]
struct Stripe {
    lock: AtomicU32,
    spare: AtomicU32,
}

impl Slots {
    pub fn new(spec: &Spec, percpu: bool) -> Result<Slots, Error> {
        let stride = spec.value_size.next_multiple_of(8);
        let value_at = KEY + spec.key_size.next_multiple_of(8);
        let slot_size = if percpu { value_at } else { value_at + stride };
        let buckets = spec.max_entries.next_power_of_two();
        let affordable = (SPARE_BYTES / slot_size.max(stride * spec.cpus)).max(1);
        let stripes = buckets.min(STRIPES).min(1 << affordable.ilog2());
        let slots = spec.max_entries + stripes;
        let memory = slot_size
            .checked_mul(slots)
            .and_then(|n| n.checked_add(CACHE_LINE))
            .and_then(Arena::new)
            .ok_or_else(|| spec.no_memory())?;
        let percpu = match percpu {
            false => None,
            true => {
                let bytes = stride
                    .checked_mul(slots)
                    .and_then(|n| n.checked_mul(spec.cpus));
                Some(bytes.and_then(Arena::new).ok_or_else(|| spec.no_memory())?)
            }
        };
        let base = memory.at(
            memory.address().next_multiple_of(CACHE_LINE as u64) as usize
                - memory.address() as usize,
        );
        Ok(Slots {
            base,
            memory,
            percpu,
            buckets: (0..buckets)
                .map(|_| Bucket {
                    head: AtomicU32::new(NONE),
                    version: AtomicU32::new(0),
                })
                .collect(),
            stripes: (0..stripes)
                .map(|n| Stripe {
                    lock: AtomicU32::new(0),
                    spare: AtomicU32::new((spec.max_entries + n) as u32),
                })
                .collect(),
            key_size: spec.key_size,
            value_size: spec.value_size,
            slot_size,
            value_at,
            cpus: spec.cpus,
            entries: spec.max_entries as u32,
            fresh: AtomicU32::new(0),
            free: AtomicU64::new(u64::from(NONE)),
        })
    }

    /// Slots with the spare ones.
    pub fn count(&self) -> u32 {
        self.entries + self.stripes.len() as u32
    }

    pub fn buckets(&self) -> u32 {
        self.buckets.len() as u32
    }

    #[inline(always)]
    pub fn view(&self) -> View<'_> {
        View {
            slots: self,
            base: self.base,
            slot_size: self.slot_size,
            buckets: &self.buckets,
        }
    }

    #[inline(always)]
    pub fn is_percpu(&self) -> bool {
        self.percpu.is_some()
    }

    /// First address and one past the last of the slots, and of the per-CPU values.
    pub fn extents(&self) -> Vec<(u64, u64)> {
        let of = |a: &Arena| (a.address(), a.address() + a.len() as u64);
        let mut out = vec![of(&self.memory)];
        out.extend(self.percpu.as_ref().map(of));
        out
    }

    /// The slot whose value an address lies in, where values are not per-CPU.
    pub fn slot_at(&self, address: u64) -> Option<u32> {
        let at = address.checked_sub(self.base as u64)? / self.slot_size as u64;
        (self.percpu.is_none() && at < u64::from(self.count())).then_some(at as u32)
    }

    /// Start and end of the key or value at an address, and whether it is a value.
    pub fn span(&self, address: u64) -> Option<(u64, u64, bool)> {
        let base = self.base as u64;
        let slots = u64::from(self.count()) * self.slot_size as u64;
        if let Some(at) = address.checked_sub(base).filter(|at| *at < slots) {
            let start = address - at % self.slot_size as u64;
            let (key, value) = (start + KEY as u64, start + self.value_at as u64);
            if self.percpu.is_none() && address >= value {
                return Some((value, value + self.value_size as u64, true));
            }
            return (address >= key).then_some((key, key + self.key_size as u64, false));
        }
        let values = self.percpu.as_ref()?;
        let at = address
            .checked_sub(values.address())
            .filter(|n| *n < values.len() as u64)?;
        let start = address - at % self.value_size.next_multiple_of(8) as u64;
        Some((start, start + self.value_size as u64, true))
    }
}

impl View<'_> {
    #[inline(always)]
    pub fn bucket_of(&self, hash: u32) -> u32 {
        hash & (self.buckets.len() as u32 - 1)
    }

    #[inline(always)]
    fn at(&self, slot: u32, offset: usize) -> *mut u8 {
        debug_assert!(slot < self.slots.count());
        // SAFETY: slots below `count` lie in the memory, and offsets inside of a slot.
        unsafe { self.base.add(slot as usize * self.slot_size + offset) }
    }

    #[inline(always)]
    fn word(&self, slot: u32, offset: usize) -> &AtomicU32 {
        // SAFETY: as for `at`; headers are aligned to 8 bytes and used as atomics only.
        unsafe { AtomicU32::from_ptr(self.at(slot, offset).cast()) }
    }

    #[inline(always)]
    pub fn key(&self, slot: u32) -> *mut u8 {
        self.at(slot, KEY)
    }

    /// The value of a map whose values are not per-CPU.
    #[inline(always)]
    pub fn only_value(&self, slot: u32) -> *mut u8 {
        self.at(slot, self.slots.value_at)
    }

    /// The value; where values are per-CPU, that of `cpu`, which must be below their number.
    #[inline(always)]
    pub fn value(&self, slot: u32, cpu: usize) -> *mut u8 {
        match &self.slots.percpu {
            None => self.only_value(slot),
            Some(values) => {
                debug_assert!(slot < self.slots.count() && cpu < self.slots.cpus);
                let n = cpu * self.slots.count() as usize + slot as usize;
                // SAFETY: there is a value for each slot and CPU.
                unsafe {
                    let first = values.base();
                    first.add(n * self.slots.value_size.next_multiple_of(8))
                }
            }
        }
    }

    #[inline(always)]
    pub fn used(&self, slot: u32) -> &AtomicU32 {
        self.word(slot, USED)
    }

    #[inline(always)]
    pub fn hash(&self, slot: u32) -> &AtomicU32 {
        self.word(slot, HASH)
    }

    #[inline(always)]
    fn bucket(&self, bucket: u32) -> &Bucket {
        debug_assert!((bucket as usize) < self.buckets.len());
        // SAFETY: `bucket_of` masks to the number of buckets, and the others count up to it.
        unsafe { self.buckets.get_unchecked(bucket as usize) }
    }

    #[inline(always)]
    fn stripe(&self, bucket: u32) -> &Stripe {
        let stripes = &self.slots.stripes;
        let stripe = bucket as usize & (stripes.len() - 1);
        // SAFETY: the number of stripes is a power of two and not 0.
        unsafe { stripes.get_unchecked(stripe) }
    }
}

impl Word for AtomicU32 {
    #[inline(always)]
    fn load(&self, order: Ordering) -> u32 {
        AtomicU32::load(self, order)
    }
    #[inline(always)]
    fn store(&self, value: u32, order: Ordering) {
        AtomicU32::store(self, value, order);
    }
    #[inline(always)]
    fn replace(&self, old: u32, new: u32) -> Result<u32, u32> {
        self.compare_exchange_weak(old, new, Acquire, Relaxed)
    }
}

impl Wide for AtomicU64 {
    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        AtomicU64::load(self, order)
    }
    #[inline(always)]
    fn replace(
        &self,
        old: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.compare_exchange_weak(old, new, success, failure)
    }
}

impl Pool for View<'_> {
    type Word = AtomicU32;
    type Wide = AtomicU64;

    #[inline(always)]
    fn fence(order: Ordering) {
        fence(order);
    }

    #[cold]
    fn pause(turns: &mut u32) {
        crate::maps::pause(turns);
    }

    #[inline(always)]
    fn head(&self, bucket: u32) -> &AtomicU32 {
        &self.bucket(bucket).head
    }

    #[inline(always)]
    fn version(&self, bucket: u32) -> &AtomicU32 {
        &self.bucket(bucket).version
    }

    #[inline(always)]
    fn lock_of(&self, bucket: u32) -> &AtomicU32 {
        &self.stripe(bucket).lock
    }

    #[inline(always)]
    fn spare_of(&self, bucket: u32) -> &AtomicU32 {
        &self.stripe(bucket).spare
    }

    #[inline(always)]
    fn generation(&self, slot: u32) -> &AtomicU32 {
        self.word(slot, GENERATION)
    }

    #[inline(always)]
    fn next(&self, slot: u32) -> &AtomicU32 {
        self.word(slot, NEXT)
    }

    #[inline(always)]
    fn free_next(&self, slot: u32) -> &AtomicU32 {
        self.word(slot, HASH)
    }

    #[inline(always)]
    fn same_key(&self, slot: u32, hash: u32, key: &[u64]) -> bool {
        // Of long keys hashes are compared first.
        if key.len() > 2 && self.hash(slot).load(Relaxed) != hash {
            return false;
        }
        let p = self.key(slot).cast::<u64>();
        key.iter().enumerate().all(|(i, w)| {
            // SAFETY: a slot has room for the padded key, aligned to 8 bytes.
            unsafe { AtomicU64::from_ptr(p.add(i)).load(Relaxed) == *w }
        })
    }

    #[inline(always)]
    fn write_key(&self, slot: u32, hash: u32, key: &[u64]) {
        self.hash(slot).store(hash, Relaxed);
        self.used(slot).store(0, Relaxed);
        let p = self.key(slot);
        for (i, w) in key.iter().enumerate() {
            // SAFETY: a slot has room for the padded key.
            unsafe { arena::store(p.add(i * 8), Size::DW, *w) };
        }
    }

    #[inline(always)]
    fn free(&self) -> &AtomicU64 {
        &self.slots.free
    }

    #[inline(always)]
    fn fresh(&self) -> &AtomicU32 {
        &self.slots.fresh
    }

    #[inline(always)]
    fn entries(&self) -> u32 {
        self.slots.entries
    }
}
