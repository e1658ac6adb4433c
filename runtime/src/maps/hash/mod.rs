//! Hash maps: plain, per-CPU, LRU and LRU per-CPU, over a fixed pool of slots.
//!
//! Replacing a value takes another slot, as Linux does: whoever holds the old pointer sees the old value, until the slot is
//! used again (see [`crate::maps`] on what is valid how long).
//! Each common size of keys has code of its own ([`key`]), and each map its helpers ([`Store::direct`]).

mod key;
mod lru;
#[cfg(test)]
mod model;
mod protocol;
mod slots;

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::*;

use key::{Any, Eight, Four, MAX_KEY, Secret, Shape, Sixteen};
use lru::Hand;
use protocol::{Disturbed, Guard, Pool};
use slots::Slots;

use crate::maps::{Direct, Operation, Span, Spec, Store, Values, err, flags};
use crate::{Call, Error, arena};

const MAX_ENTRIES: usize = 1 << 28;
/// Of an insertion: others had the locks that it wanted. No error number is positive.
const AGAIN: i64 = 1;

struct Hash<K> {
    slots: Slots,
    values: Values,
    secret: Secret,
    lru: Option<Hand>,
    /// Values are bytes beside their keys: neither per-CPU nor with fields that are managed.
    simple: bool,
    shape: PhantomData<K>,
}

pub(crate) fn plain(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    make(spec, false, false)
}

pub(crate) fn percpu(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    make(spec, true, false)
}

pub(crate) fn lru(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    make(spec, false, true)
}

pub(crate) fn lru_percpu(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    make(spec, true, true)
}

fn make(spec: &Spec, percpu: bool, lru: bool) -> Result<Box<dyn Store>, Error> {
    if spec.key_size == 0 || spec.key_size > MAX_KEY {
        return Err(spec.error(format!("a key must have 1 to {MAX_KEY} bytes")));
    }
    if spec.value_size == 0 || spec.value_size > 1 << 24 {
        return Err(spec.error("a value must have 1 byte to 16 MiB"));
    }
    if spec.max_entries == 0 || spec.max_entries > MAX_ENTRIES {
        return Err(spec.error(format!("there must be 1 to {MAX_ENTRIES} entries")));
    }
    Ok(match spec.key_size {
        4 => Box::new(Hash::<Four>::new(spec, percpu, lru)?),
        8 => Box::new(Hash::<Eight>::new(spec, percpu, lru)?),
        16 => Box::new(Hash::<Sixteen>::new(spec, percpu, lru)?),
        _ => Box::new(Hash::<Any>::new(spec, percpu, lru)?),
    })
}

impl<K: Shape> Hash<K> {
    fn new(spec: &Spec, percpu: bool, lru: bool) -> Result<Hash<K>, Error> {
        Ok(Hash {
            slots: Slots::new(spec, percpu)?,
            values: spec.values.clone(),
            secret: Secret::new(spec.seed),
            lru: lru.then(Hand::default),
            simple: !percpu && spec.values.are_plain(),
            shape: PhantomData,
        })
    }

    /// # Safety
    /// `key` is readable for the key's size.
    #[inline(always)]
    unsafe fn find(&self, key: *const u8) -> Option<u32> {
        let mut room = MaybeUninit::uninit();
        // SAFETY: by the contract.
        let key = unsafe { K::read(&mut room, key, self.slots.key_size) };
        let hash = self.secret.hash(key);
        let view = self.slots.view();
        match protocol::try_find(&view, view.bucket_of(hash), hash, key) {
            Ok(found) => found,
            Err(Disturbed) => self.find_again(hash, key),
        }
    }

    #[cold]
    fn find_again(&self, hash: u32, key: &[u64]) -> Option<u32> {
        let view = self.slots.view();
        protocol::find(&view, view.bucket_of(hash), hash, key)
    }

    /// # Safety
    /// As for [`Store::lookup`].
    #[inline(always)]
    unsafe fn look_up(&self, cpu: usize, key: *const u8) -> *mut u8 {
        // SAFETY: by the contract.
        let Some(slot) = (unsafe { self.find(key) }) else {
            return std::ptr::null_mut();
        };
        let view = self.slots.view();
        if self.lru.is_some() && view.used(slot).load(Relaxed) == 0 {
            view.used(slot).store(1, Relaxed);
        }
        view.value(slot, cpu)
    }

    /// Writes the value of a slot that nothing leads to.
    ///
    /// # Safety
    /// `value` is readable for the value's size.
    #[inline(always)]
    unsafe fn write(&self, slot: u32, cpu: usize, value: *const u8) {
        let (view, size) = (self.slots.view(), self.slots.value_size);
        if !self.slots.is_percpu() {
            // SAFETY: a slot's value has that size, and so has `value`.
            unsafe { self.values.init(view.value(slot, cpu), value, size) };
            return;
        }
        for c in 0..self.slots.cpus {
            let to = view.value(slot, c);
            // SAFETY: as above.
            unsafe {
                if c == cpu {
                    self.values.init(to, value, size);
                } else {
                    // Linux gives a new element's other CPUs zeros.
                    self.values.release(to);
                    arena::zero(to, size);
                }
            }
        }
    }

    /// Ends what the value of a slot that has left its chain still has under way.
    #[inline(always)]
    fn release(&self, slot: u32) {
        let many = if self.slots.is_percpu() {
            self.slots.cpus
        } else {
            1
        };
        for cpu in 0..if self.values.are_plain() { 0 } else { many } {
            // SAFETY: the slot's values are some of the map's.
            unsafe { self.values.release(self.slots.view().value(slot, cpu)) };
        }
    }

    /// An update without flags in a map of simple values, as most are; the rest is [`Hash::set`].
    ///
    /// # Safety
    /// As for [`Store::update`].
    #[inline(always)]
    unsafe fn put(&self, cpu: usize, key: *const u8, value: *const u8, how: u64) -> i64 {
        if how != flags::ANY || !self.simple {
            // SAFETY: by the contract.
            return unsafe { self.put_with(cpu, key, value, how) };
        }
        let mut room = MaybeUninit::uninit();
        // SAFETY: by the contract.
        let key = unsafe { K::read(&mut room, key, self.slots.key_size) };
        let hash = self.secret.hash(key);
        let view = self.slots.view();
        let bucket = view.bucket_of(hash);
        let guard = protocol::lock(&view, bucket);
        if let Some((old, link)) = protocol::find_locked(&view, bucket, hash, key) {
            let spare = view.spare_of(bucket);
            let slot = spare.load(Relaxed);
            protocol::replace(&view, bucket, (old, link), slot, hash, key, move || {
                // SAFETY: by the contract; nothing leads to the spare slot.
                unsafe { arena::copy(view.only_value(slot), value, self.slots.value_size) };
            });
            spare.store(old, Relaxed);
            return 0;
        }
        // SAFETY: by the contract.
        match unsafe { self.add(cpu, (bucket, hash), key, value, guard) } {
            // SAFETY: by the contract.
            AGAIN => unsafe { self.set_again(cpu, hash, key, value, how) },
            done => done,
        }
    }

    /// # Safety
    /// As for [`Store::update`].
    #[inline(never)]
    unsafe fn put_with(&self, cpu: usize, key: *const u8, value: *const u8, how: u64) -> i64 {
        // SAFETY: by the contract.
        unsafe {
            if how > flags::EXIST {
                return self.put_locked(key, value, how);
            }
            let mut room = MaybeUninit::uninit();
            let key = K::read(&mut room, key, self.slots.key_size);
            let hash = self.secret.hash(key);
            match self.set(cpu, hash, key, value, how) {
                AGAIN => self.set_again(cpu, hash, key, value, how),
                done => done,
            }
        }
    }

    /// # Safety
    /// As for [`Store::update`].
    #[inline(always)]
    unsafe fn set(&self, cpu: usize, hash: u32, key: &[u64], value: *const u8, how: u64) -> i64 {
        let view = self.slots.view();
        let bucket = view.bucket_of(hash);
        let guard = protocol::lock(&view, bucket);
        // SAFETY: by the contract, wherever a value is written.
        unsafe {
            match protocol::find_locked(&view, bucket, hash, key) {
                Some(_) if how == flags::NOEXIST => err(libc::EEXIST),
                Some((slot, _)) if self.slots.is_percpu() => {
                    // Changed in place, as in Linux.
                    let to = view.value(slot, cpu);
                    self.values.update(to, value, self.slots.value_size);
                    0
                }
                Some((old, link)) => {
                    let spare = view.spare_of(bucket);
                    let slot = spare.load(Relaxed);
                    protocol::replace(&view, bucket, (old, link), slot, hash, key, || {
                        self.write(slot, cpu, value);
                    });
                    self.release(old);
                    spare.store(old, Relaxed);
                    0
                }
                None if how == flags::EXIST => err(libc::ENOENT),
                None => self.add(cpu, (bucket, hash), key, value, guard),
            }
        }
    }

    /// An insertion, with the lock of `guard` held and without such a key; [`AGAIN`] when there was no room but may be now.
    ///
    /// # Safety
    /// As for [`Store::update`].
    #[inline(never)]
    unsafe fn add(
        &self,
        cpu: usize,
        (bucket, hash): (u32, u32),
        key: &[u64],
        value: *const u8,
        guard: Guard<'_, AtomicU32>,
    ) -> i64 {
        let view = self.slots.view();
        let slot = match (protocol::take(&view), &self.lru) {
            (Some(slot), _) => slot,
            (None, None) => return err(libc::E2BIG),
            (None, Some(hand)) => match hand.evict_beside(&self.slots, bucket) {
                Some(slot) => {
                    self.release(slot);
                    slot
                }
                None => {
                    drop(guard);
                    return self.make_room(hand);
                }
            },
        };
        protocol::insert(&view, bucket, slot, hash, key, || {
            // SAFETY: by the contract; nothing leads to the slot.
            unsafe { self.write(slot, cpu, value) };
        });
        drop(guard);
        0
    }

    /// Evicts an element whose bucket's lock may have to be waited for, with no lock held.
    #[cold]
    fn make_room(&self, hand: &Hand) -> i64 {
        let view = self.slots.view();
        let evicted = hand.evict(&self.slots);
        if let Some(slot) = evicted {
            self.release(slot);
        }
        match evicted.or_else(|| protocol::take(&view)) {
            Some(slot) => {
                protocol::give_back(&view, slot);
                AGAIN
            }
            None => err(libc::ENOMEM),
        }
    }

    /// # Safety
    /// As for [`Store::update`].
    #[cold]
    unsafe fn set_again(
        &self,
        cpu: usize,
        hash: u32,
        key: &[u64],
        value: *const u8,
        how: u64,
    ) -> i64 {
        loop {
            // SAFETY: by the contract.
            match unsafe { self.set(cpu, hash, key, value, how) } {
                AGAIN => {}
                done => return done,
            }
        }
    }

    /// `BPF_F_LOCK`: an existing value is changed in place, under its own lock.
    ///
    /// # Safety
    /// As for [`Store::update`].
    #[cold]
    unsafe fn put_locked(&self, key: *const u8, value: *const u8, how: u64) -> i64 {
        let exist = how & !flags::LOCK;
        let plain = self.lru.is_none() && !self.slots.is_percpu();
        if !plain || exist > flags::EXIST || how & flags::LOCK == 0 {
            return err(libc::EINVAL);
        }
        let Some(lock) = self.values.lock() else {
            return err(libc::EINVAL);
        };
        // SAFETY: by the contract.
        match unsafe { self.find(key) } {
            Some(_) if exist == flags::NOEXIST => err(libc::EEXIST),
            Some(slot) => {
                let to = self.slots.view().value(slot, 0);
                // SAFETY: values have the value's size and a lock there.
                unsafe {
                    self.values
                        .update_locked(to, value, self.slots.value_size, lock)
                };
                0
            }
            // SAFETY: by the contract.
            None => unsafe { self.put_with(0, key, value, exist) },
        }
    }

    /// # Safety
    /// `key` is readable for the key's size.
    #[inline(always)]
    unsafe fn remove(&self, key: *const u8) -> i64 {
        let mut room = MaybeUninit::uninit();
        // SAFETY: by the contract.
        let key = unsafe { K::read(&mut room, key, self.slots.key_size) };
        let hash = self.secret.hash(key);
        let view = self.slots.view();
        let bucket = view.bucket_of(hash);
        let guard = protocol::lock(&view, bucket);
        let Some((slot, link)) = protocol::find_locked(&view, bucket, hash, key) else {
            return err(libc::ENOENT);
        };
        protocol::unlink(&view, bucket, (slot, link));
        drop(guard);
        self.release(slot);
        protocol::give_back(&view, slot);
        0
    }

    /// `map_lookup_elem` of this map.
    unsafe extern "C" fn direct_lookup(
        call: *mut Call<'_>,
        this: u64,
        key: u64,
        _: u64,
        _: u64,
        _: u64,
    ) -> u64 {
        // SAFETY: `this` is what `direct` gave; the row promises a key; the call's CPU exists.
        unsafe {
            let this = &*(this as *const Hash<K>);
            let cpu = (*call).cpu as usize;
            this.look_up(cpu, key as *const u8) as u64
        }
    }

    /// `map_update_elem` of this map.
    unsafe extern "C" fn direct_update(
        call: *mut Call<'_>,
        this: u64,
        key: u64,
        value: u64,
        how: u64,
        _: u64,
    ) -> u64 {
        // SAFETY: `this` is what `direct` gave; the row promises key and value; the call's CPU exists.
        unsafe {
            let this = &*(this as *const Hash<K>);
            let cpu = (*call).cpu as usize;
            this.put(cpu, key as *const u8, value as *const u8, how) as u64
        }
    }

    /// `map_delete_elem` of this map.
    unsafe extern "C" fn direct_delete(
        _: *mut Call<'_>,
        this: u64,
        key: u64,
        _: u64,
        _: u64,
        _: u64,
    ) -> u64 {
        // SAFETY: `this` is what `direct` gave; the row promises a key.
        unsafe { (*(this as *const Hash<K>)).remove(key as *const u8) as u64 }
    }
}

impl<K: Shape> Store for Hash<K> {
    unsafe fn lookup(&self, cpu: usize, key: *const u8) -> *mut u8 {
        // SAFETY: by the contract.
        unsafe { self.look_up(cpu, key) }
    }

    unsafe fn peek(&self, cpu: usize, key: *const u8) -> *mut u8 {
        // SAFETY: by the contract.
        let slot = unsafe { self.find(key) };
        slot.map_or(std::ptr::null_mut(), |slot| {
            self.slots.view().value(slot, cpu)
        })
    }

    unsafe fn copy_out(&self, cpu: usize, key: *const u8, out: &mut [u8]) -> bool {
        let view = self.slots.view();
        loop {
            // SAFETY: by the contract.
            let Some(slot) = (unsafe { self.find(key) }) else {
                return false;
            };
            let generation = view.generation(slot).load(Acquire);
            // SAFETY: the slot held the key after its generation was read, so the bytes are its value's
            // unless the generation has moved on.
            unsafe {
                if self.find(key) != Some(slot) {
                    continue;
                }
                arena::read_into(view.value(slot, cpu), out);
            }
            if protocol::unchanged(&view, (slot, generation)) {
                return true;
            }
        }
    }

    unsafe fn update(&self, cpu: usize, key: *const u8, value: *const u8, how: u64) -> i64 {
        // SAFETY: by the contract.
        unsafe { self.put(cpu, key, value, how) }
    }

    unsafe fn delete(&self, key: *const u8) -> i64 {
        // SAFETY: by the contract.
        unsafe { self.remove(key) }
    }

    fn for_each(&self, cpu: usize, f: &mut dyn FnMut(*const u8, *mut u8) -> bool) -> i64 {
        let view = self.slots.view();
        let (mut seen, mut chain) = (0, Vec::new());
        for bucket in 0..self.slots.buckets() {
            // An element that `f` or another thread removes is visited all the same, as in Linux.
            protocol::chain(&view, bucket, &mut chain);
            for (slot, _) in &chain {
                seen += 1;
                if !f(view.key(*slot), view.value(*slot, cpu)) {
                    return seen;
                }
            }
        }
        seen
    }

    fn keys(&self, size: usize) -> Vec<Vec<u8>> {
        let view = self.slots.view();
        let (mut out, mut chain) = (Vec::new(), Vec::new());
        for bucket in 0..self.slots.buckets() {
            let before = out.len();
            loop {
                protocol::chain(&view, bucket, &mut chain);
                for (slot, _) in &chain {
                    // SAFETY: a slot's key has the key's size.
                    out.push(unsafe { arena::read_vec(view.key(*slot), size) });
                }
                if chain.iter().all(|at| protocol::unchanged(&view, *at)) {
                    break;
                }
                // One of them was removed while it was read.
                out.truncate(before);
            }
        }
        out
    }

    fn extents(&self) -> Vec<(u64, u64)> {
        self.slots.extents()
    }

    fn span(&self, address: u64) -> Option<Span> {
        let (start, end, writable) = self.slots.span(address)?;
        Some(Span {
            start,
            end,
            writable,
        })
    }

    fn key_at(&self, address: u64) -> Option<Vec<u8>> {
        let slot = self.slots.slot_at(address)?;
        // SAFETY: a slot's key has the key's size.
        Some(unsafe { arena::read_vec(self.slots.view().key(slot), self.slots.key_size) })
    }

    fn percpu(&self) -> bool {
        self.slots.is_percpu()
    }

    fn direct(&self, operation: Operation) -> Option<Direct> {
        Some(Direct {
            function: match operation {
                Operation::Lookup => Self::direct_lookup,
                Operation::Update => Self::direct_update,
                Operation::Delete => Self::direct_delete,
                Operation::Reserve => return None,
            },
            map: std::ptr::from_ref(self) as u64,
        })
    }
}
