//! Hash maps: plain, per-CPU, LRU and LRU per-CPU, over a fixed pool of slots.
//!
//! Chains of slots hang on buckets. Writers hold the bucket's lock. Readers hold nothing: a
//! slot's generation is odd while it is being rewritten and moves on with every reuse, and a
//! chain ends in its bucket's number, so a reader that was led astray notices and starts again.
//! Replacing a value takes a fresh slot, as Linux does: whoever holds the old pointer sees the old value.
//!
//! **Invariant:** a slot is in at most one of: a chain, the free list, the hands of one writer.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*, fence};

use probity_isa::Size;

use crate::Error;
use crate::arena::{self, Arena};
use crate::maps::{Span, Spec, Store, err, flags};

/// Longest key. Linux has no such limit since keys may lie in map values: only key and value together.
const MAX_KEY: usize = 4096;
const MAX_ENTRIES: usize = 1 << 28;

/// Set in links that end a chain; the rest is the bucket's number.
const END: u32 = 1 << 31;
const NONE: u32 = u32::MAX;

/// Offsets inside a slot's header.
const GENERATION: usize = 0;
const NEXT: usize = 4;
const FREE_NEXT: usize = 8;
const STATE: usize = 12;
const KEY: usize = 16;

/// Bits of a slot's state.
const LIVE: u32 = 1;
const REFERENCED: u32 = 2;

struct Hash {
    slots: Arena,
    /// Values of per-CPU maps, CPU after CPU.
    percpu: Option<Arena>,
    buckets: Box<[Bucket]>,
    key_size: usize,
    value_size: usize,
    slot_size: usize,
    /// From a slot's start to its value, when it is not per-CPU.
    value_at: usize,
    cpus: usize,
    capacity: u32,
    max_entries: u32,
    seed: u64,
    lru: bool,
    /// Elements in chains, counted before they are inserted.
    count: AtomicU32,
    /// Slots never used yet begin here.
    fresh: AtomicU32,
    /// Head of the free list, with a tag in the upper half that moves with every change.
    free: AtomicU64,
    /// Where the search for a victim goes on.
    hand: AtomicU32,
    /// Slots in the order of their release wait here before they are reused, one a CPU.
    spare: Box<[AtomicU32]>,
}

struct Bucket {
    lock: AtomicU32,
    head: AtomicU32,
}

pub(crate) fn plain(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    Ok(Box::new(Hash::new(spec, false, false)?))
}

pub(crate) fn percpu(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    Ok(Box::new(Hash::new(spec, true, false)?))
}

pub(crate) fn lru(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    Ok(Box::new(Hash::new(spec, false, true)?))
}

pub(crate) fn lru_percpu(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    Ok(Box::new(Hash::new(spec, true, true)?))
}

impl Hash {
    fn new(spec: &Spec, percpu: bool, lru: bool) -> Result<Hash, Error> {
        if spec.key_size == 0 || spec.key_size > MAX_KEY {
            return Err(spec.error(format!("a key must have 1 to {MAX_KEY} bytes")));
        }
        if spec.value_size == 0 || spec.value_size > 1 << 24 {
            return Err(spec.error("a value must have 1 byte to 16 MiB"));
        }
        if spec.max_entries == 0 || spec.max_entries > MAX_ENTRIES {
            return Err(spec.error(format!("there must be 1 to {MAX_ENTRIES} entries")));
        }
        let capacity = spec.max_entries + 2 * spec.cpus;
        let stride = spec.value_size.next_multiple_of(8);
        let value_at = KEY + spec.key_size.next_multiple_of(8);
        let slot_size = if percpu { value_at } else { value_at + stride };
        let slots = slot_size
            .checked_mul(capacity)
            .and_then(Arena::new)
            .ok_or_else(|| spec.no_memory())?;
        let percpu = match percpu {
            false => None,
            true => {
                let bytes = stride
                    .checked_mul(capacity)
                    .and_then(|n| n.checked_mul(spec.cpus));
                Some(bytes.and_then(Arena::new).ok_or_else(|| spec.no_memory())?)
            }
        };
        let buckets = spec.max_entries.next_power_of_two();
        Ok(Hash {
            slots,
            percpu,
            buckets: (0..buckets as u32)
                .map(|n| Bucket {
                    lock: AtomicU32::new(0),
                    head: AtomicU32::new(END | n),
                })
                .collect(),
            key_size: spec.key_size,
            value_size: spec.value_size,
            slot_size,
            value_at,
            cpus: spec.cpus,
            capacity: capacity as u32,
            max_entries: spec.max_entries as u32,
            seed: spec.seed,
            lru,
            count: AtomicU32::new(0),
            fresh: AtomicU32::new(0),
            free: AtomicU64::new(u64::from(NONE)),
            hand: AtomicU32::new(0),
            spare: (0..spec.cpus).map(|_| AtomicU32::new(NONE)).collect(),
        })
    }

    #[inline]
    fn header(&self, slot: u32, field: usize) -> &AtomicU32 {
        self.slots.u32_at(slot as usize * self.slot_size + field)
    }

    fn key_of(&self, slot: u32) -> *mut u8 {
        self.slots.at(slot as usize * self.slot_size + KEY)
    }

    #[inline]
    fn value_of(&self, slot: u32, cpu: usize) -> *mut u8 {
        match &self.percpu {
            None => self
                .slots
                .at(slot as usize * self.slot_size + self.value_at),
            Some(values) => {
                let stride = self.value_size.next_multiple_of(8);
                values.at((cpu * self.capacity as usize + slot as usize) * stride)
            }
        }
    }

    fn bucket_of(&self, key: &[u64]) -> u32 {
        (hash(key, self.seed) >> 32) as u32 & (self.buckets.len() as u32 - 1)
    }

    fn same_key(&self, slot: u32, key: &[u64]) -> bool {
        let p = self.key_of(slot);
        // SAFETY: a slot has room for the padded key.
        key.iter()
            .enumerate()
            .all(|(i, w)| unsafe { arena::load(p.add(i * 8), Size::DW) } == *w)
    }

    /// The slot that holds `key`, without any lock.
    #[inline]
    fn find(&self, bucket: u32, key: &[u64]) -> Option<u32> {
        'again: loop {
            let mut link = self.buckets[bucket as usize].head.load(Acquire);
            loop {
                if link & END != 0 {
                    if link == END | bucket {
                        return None;
                    }
                    continue 'again;
                }
                let generation = self.header(link, GENERATION).load(Acquire);
                let same = self.same_key(link, key);
                let next = self.header(link, NEXT).load(Relaxed);
                fence(Acquire);
                if generation & 1 != 0 || self.header(link, GENERATION).load(Relaxed) != generation
                {
                    std::hint::spin_loop();
                    continue 'again;
                }
                if same {
                    return Some(link);
                }
                link = next;
            }
        }
    }

    /// With the bucket's lock held: the slot that holds `key` and the link that points to it.
    fn find_locked(&self, bucket: u32, key: &[u64]) -> Option<(u32, &AtomicU32)> {
        let mut at = &self.buckets[bucket as usize].head;
        loop {
            let slot = at.load(Relaxed);
            if slot & END != 0 {
                return None;
            }
            if self.same_key(slot, key) {
                return Some((slot, at));
            }
            at = self.header(slot, NEXT);
        }
    }

    fn lock(&self, bucket: u32) -> Guard<'_> {
        let lock = &self.buckets[bucket as usize].lock;
        let mut turns = 0u32;
        while lock.compare_exchange_weak(0, 1, Acquire, Relaxed).is_err() {
            turns += 1;
            if turns.is_multiple_of(64) {
                std::thread::yield_now()
            } else {
                std::hint::spin_loop()
            }
        }
        Guard(lock)
    }

    /// Takes a slot out of the pool.
    fn take(&self) -> Option<u32> {
        let mut head = self.free.load(Acquire);
        while head as u32 != NONE {
            let next = self.header(head as u32, FREE_NEXT).load(Relaxed);
            let new = (head & !0xffff_ffff).wrapping_add(1 << 32) | u64::from(next);
            match self.free.compare_exchange_weak(head, new, Acquire, Acquire) {
                Ok(_) => return Some(head as u32),
                Err(now) => head = now,
            }
        }
        let mut fresh = self.fresh.load(Relaxed);
        while fresh < self.capacity {
            match self
                .fresh
                .compare_exchange_weak(fresh, fresh + 1, Relaxed, Relaxed)
            {
                Ok(_) => return Some(fresh),
                Err(now) => fresh = now,
            }
        }
        None
    }

    fn give_back(&self, slot: u32) {
        let mut head = self.free.load(Relaxed);
        loop {
            self.header(slot, FREE_NEXT).store(head as u32, Relaxed);
            let new = (head & !0xffff_ffff).wrapping_add(1 << 32) | u64::from(slot);
            match self.free.compare_exchange_weak(head, new, Release, Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// A slot for one more element, the map's limit permitting.
    fn reserve(&self) -> Option<u32> {
        if self
            .count
            .fetch_update(Relaxed, Relaxed, |n| {
                (n < self.max_entries).then_some(n + 1)
            })
            .is_err()
        {
            return None;
        }
        let slot = self.take();
        if slot.is_none() {
            self.count.fetch_sub(1, Relaxed);
        }
        slot
    }

    /// Writes key and value into a slot that this thread owns and puts it before its chain.
    ///
    /// # Safety
    /// `value` is readable for the value's size; the bucket's lock is held.
    unsafe fn publish(
        &self,
        slot: u32,
        bucket: u32,
        key: &[u64],
        cpu: usize,
        value: *const u8,
        old: Option<u32>,
    ) {
        let generation = self.header(slot, GENERATION);
        let start = generation.load(Relaxed).wrapping_add(1) | 1;
        generation.store(start, Relaxed);
        fence(Release);
        let p = self.key_of(slot);
        for (i, w) in key.iter().enumerate() {
            // SAFETY: a slot has room for the padded key.
            unsafe { arena::store(p.add(i * 8), Size::DW, *w) };
        }
        for c in 0..if self.percpu.is_some() { self.cpus } else { 1 } {
            let to = self.value_of(slot, c);
            // SAFETY: slots' values have the value's size, and so has `value`.
            unsafe {
                match old {
                    _ if self.percpu.is_none() || c == cpu => {
                        arena::copy(to, value, self.value_size)
                    }
                    Some(old) => arena::copy(to, self.value_of(old, c), self.value_size),
                    // Linux gives a new element's other CPUs zeros.
                    None => arena::zero(to, self.value_size),
                }
            }
        }
        let head = &self.buckets[bucket as usize].head;
        self.header(slot, NEXT).store(head.load(Relaxed), Relaxed);
        self.header(slot, STATE).store(LIVE, Relaxed);
        generation.store(start.wrapping_add(1), Release);
        head.store(slot, Release);
    }

    /// With the bucket's lock held: takes `slot` out of its chain.
    fn unlink(&self, slot: u32, at: &AtomicU32) {
        at.store(self.header(slot, NEXT).load(Relaxed), Release);
        self.header(slot, STATE).store(0, Relaxed);
    }

    /// Makes room in an LRU map: the next element not used since the hand last passed goes.
    fn evict(&self) -> bool {
        let turns = 2 * self.capacity as usize + 1;
        for _ in 0..turns {
            let slot = self.hand.fetch_add(1, Relaxed) % self.capacity;
            let state = self.header(slot, STATE);
            let now = state.load(Relaxed);
            if now & LIVE == 0 {
                continue;
            }
            if now & REFERENCED != 0 {
                state.fetch_and(!REFERENCED, Relaxed);
                continue;
            }
            // SAFETY: keys of slots are readable.
            let gone = unsafe {
                with_words(self.key_of(slot), self.key_size, |key| {
                    let bucket = self.bucket_of(key);
                    let _guard = self.lock(bucket);
                    match self.find_locked(bucket, key) {
                        Some((found, at)) if found == slot => {
                            self.unlink(slot, at);
                            true
                        }
                        _ => false,
                    }
                })
            };
            if gone {
                self.count.fetch_sub(1, Relaxed);
                self.give_back(slot);
                return true;
            }
        }
        false
    }

    /// Puts a replaced slot aside, so that it is not the next one to be overwritten.
    fn retire(&self, slot: u32, cpu: usize) {
        let before = self.spare[cpu].swap(slot, AcqRel);
        if before != NONE {
            self.give_back(before);
        }
    }

    fn used(&self) -> u32 {
        self.fresh.load(Acquire).min(self.capacity)
    }
}

impl Store for Hash {
    unsafe fn lookup(&self, cpu: usize, key: *const u8) -> *mut u8 {
        // SAFETY: the key is readable for its size.
        unsafe {
            with_words(key, self.key_size, |key| {
                match self.find(self.bucket_of(key), key) {
                    Some(slot) => {
                        if self.lru {
                            let state = self.header(slot, STATE);
                            if state.load(Relaxed) & REFERENCED == 0 {
                                state.fetch_or(REFERENCED, Relaxed);
                            }
                        }
                        self.value_of(slot, cpu)
                    }
                    None => std::ptr::null_mut(),
                }
            })
        }
    }

    unsafe fn peek(&self, cpu: usize, key: *const u8) -> *mut u8 {
        // SAFETY: the key is readable for its size.
        let slot = unsafe {
            with_words(key, self.key_size, |key| {
                self.find(self.bucket_of(key), key)
            })
        };
        slot.map_or(std::ptr::null_mut(), |slot| self.value_of(slot, cpu))
    }

    unsafe fn update(&self, cpu: usize, key: *const u8, value: *const u8, how: u64) -> i64 {
        if how & !flags::LOCK > flags::EXIST {
            return err(libc::EINVAL);
        }
        // SAFETY: the key is readable for its size.
        unsafe {
            with_words(key, self.key_size, |key| {
                let bucket = self.bucket_of(key);
                let mut new = None;
                loop {
                    let guard = self.lock(bucket);
                    let old = self.find_locked(bucket, key);
                    let refused = match old {
                        Some(_) if how & flags::NOEXIST != 0 => err(libc::EEXIST),
                        None if how & flags::EXIST != 0 => err(libc::ENOENT),
                        _ => 0,
                    };
                    if refused != 0 {
                        drop(guard);
                        if let Some(slot) = new {
                            self.count.fetch_sub(1, Relaxed);
                            self.give_back(slot);
                        }
                        return refused;
                    }
                    if let Some((old, at)) = old {
                        // Per-CPU values are changed in place, as in Linux; others too when no slot is left.
                        let slot = if self.percpu.is_some() {
                            None
                        } else {
                            new.or_else(|| self.take())
                        };
                        let Some(slot) = slot else {
                            arena::copy(self.value_of(old, cpu), value, self.value_size);
                            drop(guard);
                            if let Some(slot) = new {
                                self.count.fetch_sub(1, Relaxed);
                                self.give_back(slot);
                            }
                            return 0;
                        };
                        self.unlink(old, at);
                        self.publish(slot, bucket, key, cpu, value, Some(old));
                        drop(guard);
                        if new.is_some() {
                            self.count.fetch_sub(1, Relaxed);
                        }
                        self.retire(old, cpu);
                        return 0;
                    }
                    if let Some(slot) = new.or_else(|| self.reserve()) {
                        self.publish(slot, bucket, key, cpu, value, None);
                        return 0;
                    }
                    drop(guard);
                    // The victim's bucket may be this one, so no lock is held here.
                    if !self.lru {
                        return err(libc::E2BIG);
                    }
                    if !self.evict() {
                        return err(libc::ENOMEM);
                    }
                    new = self.reserve();
                }
            })
        }
    }

    unsafe fn delete(&self, key: *const u8) -> i64 {
        // SAFETY: the key is readable for its size.
        unsafe {
            with_words(key, self.key_size, |key| {
                let bucket = self.bucket_of(key);
                let guard = self.lock(bucket);
                let Some((slot, at)) = self.find_locked(bucket, key) else {
                    return err(libc::ENOENT);
                };
                self.unlink(slot, at);
                drop(guard);
                self.count.fetch_sub(1, Relaxed);
                self.give_back(slot);
                0
            })
        }
    }

    fn for_each(&self, cpu: usize, f: &mut dyn FnMut(*const u8, *mut u8) -> bool) -> i64 {
        let mut seen = 0;
        for slot in 0..self.used() {
            if self.header(slot, STATE).load(Acquire) & LIVE == 0 {
                continue;
            }
            seen += 1;
            if !f(self.key_of(slot), self.value_of(slot, cpu)) {
                break;
            }
        }
        seen
    }

    fn extents(&self) -> Vec<(u64, u64)> {
        let mut out = vec![(
            self.slots.address(),
            self.slots.address() + self.slots.len() as u64,
        )];
        out.extend(
            self.percpu
                .iter()
                .map(|v| (v.address(), v.address() + v.len() as u64)),
        );
        out
    }

    fn span(&self, address: u64) -> Option<Span> {
        let inside = |a: &Arena| {
            address
                .checked_sub(a.address())
                .filter(|n| *n < a.len() as u64)
        };
        if let Some(at) = inside(&self.slots) {
            let slot = at / self.slot_size as u64;
            let start = self.slots.address() + slot * self.slot_size as u64;
            let (key, value) = (start + KEY as u64, start + self.value_at as u64);
            if slot >= u64::from(self.capacity) {
                return None;
            }
            if self.percpu.is_none() && address >= value {
                return Some(Span {
                    start: value,
                    end: value + self.value_size as u64,
                    writable: true,
                });
            }
            return (address >= key).then_some(Span {
                start: key,
                end: key + self.key_size as u64,
                writable: false,
            });
        }
        let values = self.percpu.as_ref()?;
        let at = inside(values)?;
        let start = values.address() + at - at % self.value_size.next_multiple_of(8) as u64;
        Some(Span {
            start,
            end: start + self.value_size as u64,
            writable: true,
        })
    }

    fn percpu(&self) -> bool {
        self.percpu.is_some()
    }
}

/// Unlocks a bucket.
struct Guard<'a>(&'a AtomicU32);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(0, Release);
    }
}

/// Hands `f` the key as words, the last one padded with zeros.
///
/// # Safety
/// `key` is readable for `size` bytes, at most [`MAX_KEY`].
#[inline]
unsafe fn with_words<R>(key: *const u8, size: usize, f: impl Fn(&[u64]) -> R) -> R {
    // SAFETY: by the contract, in each arm.
    unsafe {
        match size {
            4 => f(&[arena::load(key, Size::W)]),
            8 => f(&[arena::load(key, Size::DW)]),
            0..=16 => f(words::<2>(key, size, &mut [0; 2])),
            17..=64 => f(words::<8>(key, size, &mut [0; 8])),
            65..=512 => f(words::<64>(key, size, &mut [0; 64])),
            _ => f(words::<{ MAX_KEY / 8 }>(key, size, &mut [0; MAX_KEY / 8])),
        }
    }
}

/// # Safety
/// `key` is readable for `size` bytes, at most `8 * N`.
unsafe fn words<const N: usize>(key: *const u8, size: usize, out: &mut [u64; N]) -> &[u64] {
    // SAFETY: both sides have `size` bytes.
    unsafe { arena::copy(out.as_mut_ptr().cast(), key, size) };
    &out[..size.div_ceil(8)]
}

/// Multiply and fold, seeded; its upper half is well mixed.
#[inline]
fn hash(key: &[u64], seed: u64) -> u64 {
    let mut h = seed ^ 0x9e37_79b9_7f4a_7c15;
    for w in key {
        h = fold(h ^ w, 0xd6e8_feb8_6659_fd93);
    }
    fold(h ^ seed, 0xa076_1d64_78bd_642f)
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let m = u128::from(a) * u128::from(b);
    m as u64 ^ (m >> 64) as u64
}
