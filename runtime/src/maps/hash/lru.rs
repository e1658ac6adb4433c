//! Which element an LRU map gives up: a hand goes round over the slots and spares once what was used since it last passed.
//!
//! Linux keeps lists in their place (an active and an inactive one, and parts of them for each CPU), and evicts from the
//! inactive one in the order of insertion, sparing once what was used. The order of eviction is alike, not equal; as there, an
//! element that was just inserted or used is not the next to go while others are not. Linux may evict before a map is full, for
//! each CPU takes free slots by the dozen; here none goes as long as one is free.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::*;

use super::protocol::{self, Pool};
use super::slots::{Slots, View};

/// Slots that are looked at while others may wait for a lock.
const BRIEFLY: u32 = 64;

/// Where the search for a victim goes on.
#[derive(Default)]
pub(super) struct Hand(AtomicU32);

impl Hand {
    /// Goes on to a slot that may be the victim. Two threads may be led to the same: only one gets it.
    #[inline(always)]
    fn next(&self, view: &View<'_>, count: u32) -> Option<u32> {
        let slot = self.0.load(Relaxed);
        let slot = if slot < count { slot } else { 0 };
        self.0.store(slot + 1, Relaxed);
        let generation = view.generation(slot).load(Acquire);
        if generation & 1 != 0 || generation == 0 {
            return None;
        }
        let used = view.used(slot);
        if used.load(Relaxed) != 0 {
            used.store(0, Relaxed);
            return None;
        }
        Some(slot)
    }

    /// With the lock of the bucket `held` held: takes an element out of the map and gives its slot. `None` when none of the next ones
    /// can go: they were used, or others have the locks of their buckets.
    #[inline(always)]
    pub fn evict_beside(&self, slots: &Slots, held: u32) -> Option<u32> {
        let (view, count) = (slots.view(), slots.count());
        for _ in 0..BRIEFLY {
            let Some(slot) = self.next(&view, count) else {
                continue;
            };
            let bucket = view.bucket_of(view.hash(slot).load(Relaxed));
            if protocol::take_out(&view, held, bucket, slot) {
                return Some(slot);
            }
        }
        None
    }

    /// Takes an element out of the map and gives its slot; `None` when others took or used all of them meanwhile.
    /// No lock may be held: the victim's may be any.
    #[cold]
    pub fn evict(&self, slots: &Slots) -> Option<u32> {
        let (view, count) = (slots.view(), slots.count());
        for _ in 0..2 * count + 1 {
            let Some(slot) = self.next(&view, count) else {
                continue;
            };
            let bucket = view.bucket_of(view.hash(slot).load(Relaxed));
            let _guard = protocol::lock(&view, bucket);
            if let Some(link) = protocol::link_to(&view, bucket, slot) {
                protocol::unlink(&view, bucket, (slot, link));
                return Some(slot);
            }
        }
        None
    }
}
