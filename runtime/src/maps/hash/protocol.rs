//! Who may touch a slot of a hash map, and when: lookups without locks over chains that writers change.
//!
//! Slots are chained to buckets. Several buckets share a stripe, which has a lock for writers and one spare slot.
//! Readers hold nothing:
//!
//! - a slot's *generation* is even while it is in a chain and odd while it is not; a reader that found its key looks at
//!   the generation again, so the key was whole and in its chain;
//! - a bucket's *version* moves on after each removal and before the removed slot can be used again; a reader that found
//!   nothing looks at the version again, so it was not led out of its chain, and nothing moved past it.
//!
//! Either check fails only when a writer got something done, so lookups are lock-free.
//!
//! An update that replaces takes the stripe's spare slot, puts it into the old one's place by one store, and leaves the old
//! one as the spare: the key is never missing, and who holds the old value still sees it.
//!
//! **Invariant:** a slot is in at most one of: a chain, the free list, a stripe's spare, the hands of one thread.
//!
//! **Invariant:** there are as many slots beside the spares as the map has entries, so a map is full when the free list is empty.
//!
//! `model.rs` runs this file under a model checker: all it touches are the words that [`Pool`] names.

use std::sync::atomic::Ordering::{self, *};

/// Ends chains and the free list.
pub(crate) const NONE: u32 = u32::MAX;

/// An atomic word of 32 bits.
pub(crate) trait Word {
    fn load(&self, order: Ordering) -> u32;
    fn store(&self, value: u32, order: Ordering);
    /// Weak; both orders, as of a lock: acquire, relaxed.
    fn replace(&self, old: u32, new: u32) -> Result<u32, u32>;
}

/// An atomic word of 64 bits.
pub(crate) trait Wide {
    fn load(&self, order: Ordering) -> u64;
    /// Weak.
    fn replace(&self, old: u64, new: u64, success: Ordering, failure: Ordering)
    -> Result<u64, u64>;
}

/// The memory that the protocol works on. Buckets and slots are below the pool's numbers of them.
pub(crate) trait Pool {
    type Word: Word;
    type Wide: Wide;

    fn fence(order: Ordering);
    /// Before trying again what another thread was in the way of; `turns` counts.
    fn pause(turns: &mut u32);

    /// First slot of a bucket's chain.
    fn head(&self, bucket: u32) -> &Self::Word;
    fn version(&self, bucket: u32) -> &Self::Word;
    /// Of the bucket's stripe.
    fn lock_of(&self, bucket: u32) -> &Self::Word;
    /// Of the bucket's stripe; touched with its lock held.
    fn spare_of(&self, bucket: u32) -> &Self::Word;

    fn generation(&self, slot: u32) -> &Self::Word;
    fn next(&self, slot: u32) -> &Self::Word;
    /// Next in the free list; shares nothing with [`Pool::next`], since readers may still follow that.
    fn free_next(&self, slot: u32) -> &Self::Word;
    /// Compared by atomic loads.
    fn same_key(&self, slot: u32, hash: u32, key: &[u64]) -> bool;
    /// Written by atomic stores.
    fn write_key(&self, slot: u32, hash: u32, key: &[u64]);

    /// Head of the free list, with a tag in the upper half that moves with every change.
    fn free(&self) -> &Self::Wide;
    /// Slots from here to [`Pool::entries`] were never used.
    fn fresh(&self) -> &Self::Word;
    fn entries(&self) -> u32;
}

/// Unlocks a stripe.
pub(crate) struct Guard<'a, W: Word>(&'a W);

impl<W: Word> Drop for Guard<'_, W> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.store(0, Release);
    }
}

/// The slot that holds `key`, without any lock.
pub(crate) fn find<P: Pool>(pool: &P, bucket: u32, hash: u32, key: &[u64]) -> Option<u32> {
    let mut turns = 0;
    loop {
        if let Ok(found) = try_find(pool, bucket, hash, key) {
            return found;
        }
        P::pause(&mut turns);
    }
}

/// A writer was in the way.
pub(crate) struct Disturbed;

/// [`find`] without trying again.
#[inline(always)]
pub(crate) fn try_find<P: Pool>(
    pool: &P,
    bucket: u32,
    hash: u32,
    key: &[u64],
) -> Result<Option<u32>, Disturbed> {
    let version = pool.version(bucket).load(Acquire);
    let mut slot = pool.head(bucket).load(Acquire);
    while slot != NONE {
        let generation = pool.generation(slot).load(Acquire);
        if pool.same_key(slot, hash, key) {
            P::fence(Acquire);
            if generation & 1 == 0 && pool.generation(slot).load(Relaxed) == generation {
                return Ok(Some(slot));
            }
            return Err(Disturbed);
        }
        slot = pool.next(slot).load(Acquire);
    }
    P::fence(Acquire);
    if pool.version(bucket).load(Relaxed) != version {
        return Err(Disturbed);
    }
    Ok(None)
}

#[inline(always)]
pub(crate) fn lock<P: Pool>(pool: &P, bucket: u32) -> Guard<'_, P::Word> {
    let lock = pool.lock_of(bucket);
    if lock.replace(0, 1).is_err() {
        wait::<P>(lock);
    }
    Guard(lock)
}

#[cold]
fn wait<P: Pool>(lock: &P::Word) {
    let mut turns = 0;
    loop {
        while lock.load(Relaxed) != 0 {
            P::pause(&mut turns);
        }
        if lock.replace(0, 1).is_ok() {
            return;
        }
    }
}

/// With the lock held: the slot that holds `key`, and the link to it.
#[inline(always)]
pub(crate) fn find_locked<'p, P: Pool>(
    pool: &'p P,
    bucket: u32,
    hash: u32,
    key: &[u64],
) -> Option<(u32, &'p P::Word)> {
    let mut link = pool.head(bucket);
    loop {
        let slot = link.load(Relaxed);
        if slot == NONE {
            return None;
        }
        if pool.same_key(slot, hash, key) {
            return Some((slot, link));
        }
        link = pool.next(slot);
    }
}

/// With the lock held: the link to a slot, when it is in this bucket's chain.
pub(crate) fn link_to<P: Pool>(pool: &P, bucket: u32, slot: u32) -> Option<&P::Word> {
    let mut link = pool.head(bucket);
    loop {
        match link.load(Relaxed) {
            NONE => return None,
            at if at == slot => return Some(link),
            at => link = pool.next(at),
        }
    }
}

/// Writes a slot that this thread owns: its key, what `value` writes, and where its chain goes on. Nothing leads to it yet.
#[inline(always)]
fn fill<P: Pool>(pool: &P, slot: u32, hash: u32, key: &[u64], next: u32, value: impl FnOnce()) {
    let generation = pool.generation(slot);
    // Odd already, but for a slot that was never used, to which nobody can have been led.
    let odd = generation.load(Relaxed) | 1;
    // Who reads any of what follows reads an odd generation afterwards, and the version that its removal left.
    P::fence(Release);
    pool.write_key(slot, hash, key);
    value();
    pool.next(slot).store(next, Relaxed);
    let even = odd.wrapping_add(1);
    // 0 is for slots that were never used.
    generation.store(if even == 0 { 2 } else { even }, Release);
}

/// With the lock held: puts an element whose key is absent before its chain.
#[inline(always)]
pub(crate) fn insert<P: Pool>(
    pool: &P,
    bucket: u32,
    slot: u32,
    hash: u32,
    key: &[u64],
    value: impl FnOnce(),
) {
    let head = pool.head(bucket);
    fill(pool, slot, hash, key, head.load(Relaxed), value);
    head.store(slot, Release);
}

/// With the lock held: puts `slot` in the place of `old`, to which `link` leads.
#[inline(always)]
pub(crate) fn replace<P: Pool>(
    pool: &P,
    bucket: u32,
    (old, link): (u32, &P::Word),
    slot: u32,
    hash: u32,
    key: &[u64],
    value: impl FnOnce(),
) {
    fill(pool, slot, hash, key, pool.next(old).load(Relaxed), value);
    link.store(slot, Release);
    retire(pool, bucket, old);
}

/// With the lock held: takes `slot`, to which `link` leads, out of its chain. It is the caller's then.
#[inline(always)]
pub(crate) fn unlink<P: Pool>(pool: &P, bucket: u32, (slot, link): (u32, &P::Word)) {
    link.store(pool.next(slot).load(Relaxed), Release);
    retire(pool, bucket, slot);
}

/// With the lock of `held` held: takes `slot` out of the chain of `bucket`, unless it is not there or another writer has that
/// bucket's lock. Nobody waits for a lock while having one, so two that take from each other do not wait for ever.
#[inline(always)]
pub(crate) fn take_out<P: Pool>(pool: &P, held: u32, bucket: u32, slot: u32) -> bool {
    let lock = pool.lock_of(bucket);
    let _guard = match std::ptr::eq(lock, pool.lock_of(held)) {
        true => None,
        false => match lock.replace(0, 1) {
            Ok(_) => Some(Guard(lock)),
            Err(_) => return false,
        },
    };
    let Some(link) = link_to(pool, bucket, slot) else {
        return false;
    };
    unlink(pool, bucket, (slot, link));
    true
}

/// After a slot has left its chain and before it can be used again.
#[inline(always)]
fn retire<P: Pool>(pool: &P, bucket: u32, slot: u32) {
    let version = pool.version(bucket);
    version.store(version.load(Relaxed).wrapping_add(1), Release);
    let generation = pool.generation(slot);
    generation.store(generation.load(Relaxed) | 1, Relaxed);
}

/// Takes a slot out of the pool; `None` when the map is full.
#[inline(always)]
pub(crate) fn take<P: Pool>(pool: &P) -> Option<u32> {
    let mut head = pool.free().load(Acquire);
    while head as u32 != NONE {
        let next = pool.free_next(head as u32).load(Relaxed);
        let new = tagged(head, next);
        match pool.free().replace(head, new, Acquire, Acquire) {
            Ok(_) => return Some(head as u32),
            Err(now) => head = now,
        }
    }
    let mut fresh = pool.fresh().load(Relaxed);
    while fresh < pool.entries() {
        match pool.fresh().replace(fresh, fresh + 1) {
            Ok(_) => return Some(fresh),
            Err(now) => fresh = now,
        }
    }
    None
}

#[inline(always)]
pub(crate) fn give_back<P: Pool>(pool: &P, slot: u32) {
    let mut head = pool.free().load(Relaxed);
    loop {
        pool.free_next(slot).store(head as u32, Relaxed);
        match pool
            .free()
            .replace(head, tagged(head, slot), Release, Relaxed)
        {
            Ok(_) => return,
            Err(now) => head = now,
        }
    }
}

fn tagged(head: u64, slot: u32) -> u64 {
    (head & !0xffff_ffff).wrapping_add(1 << 32) | u64::from(slot)
}

/// The slots of a bucket's chain at one moment, each with its generation.
pub(crate) fn chain<P: Pool>(pool: &P, bucket: u32, out: &mut Vec<(u32, u32)>) {
    let mut turns = 0;
    loop {
        out.clear();
        let version = pool.version(bucket).load(Acquire);
        let mut slot = pool.head(bucket).load(Acquire);
        while slot != NONE {
            out.push((slot, pool.generation(slot).load(Acquire)));
            // Led astray: a chain has no more slots than the map.
            if out.len() > pool.entries() as usize {
                break;
            }
            slot = pool.next(slot).load(Acquire);
        }
        P::fence(Acquire);
        if pool.version(bucket).load(Relaxed) == version && slot == NONE {
            return;
        }
        P::pause(&mut turns);
    }
}

/// After reading from a slot of [`chain`]: whether it still was the same element.
pub(crate) fn unchanged<P: Pool>(pool: &P, (slot, generation): (u32, u32)) -> bool {
    P::fence(Acquire);
    pool.generation(slot).load(Relaxed) == generation
}
