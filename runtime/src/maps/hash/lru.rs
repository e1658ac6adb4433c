//! Which element an LRU map gives up: a hand goes round over the slots and spares once what was used since it last passed.
//!
//! Linux keeps lists in their place (an active and an inactive one, and parts of them for each CPU), and evicts from the
//! inactive one in the order of insertion, sparing once what was used. The order of eviction is alike, not equal; as there, an
//! element that was just inserted or used is not the next to go while others are not. Linux may evict before a map is full, for
//! each CPU takes free slots by the dozen; here none goes as long as one is free.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::*;

use super::protocol::{self, Pool};
use super::slots::Slots;

/// Where the search for a victim goes on.
#[derive(Default)]
pub(super) struct Hand(AtomicU32);

impl Hand {
    /// Takes an element out of the map and gives its slot; `None` when others took or used all of them meanwhile.
    /// No lock may be held: the victim's may be any.
    #[cold]
    pub fn evict(&self, slots: &Slots) -> Option<u32> {
        let count = slots.count();
        for _ in 0..2 * count + 1 {
            let slot = self.0.fetch_add(1, Relaxed) % count;
            let generation = slots.generation(slot).load(Acquire);
            if generation & 1 != 0 || generation == 0 {
                continue;
            }
            if slots.used(slot).load(Relaxed) != 0 {
                slots.used(slot).store(0, Relaxed);
                continue;
            }
            let bucket = slots.bucket_of(slots.hash(slot).load(Relaxed));
            let _guard = protocol::lock(slots, bucket);
            if let Some(link) = protocol::link_to(slots, bucket, slot) {
                protocol::unlink(slots, bucket, (slot, link));
                return Some(slot);
            }
        }
        None
    }
}
