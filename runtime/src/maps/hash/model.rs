//! The protocol of slots under a model checker: every order of a few operations of two threads, with what the memory model
//! allows them to see.

use loom::sync::Arc;
use loom::sync::atomic::Ordering::{self, *};
use loom::sync::atomic::{AtomicU32, AtomicU64, fence};
use loom::thread;

use super::protocol::{self, NONE, Pool, Wide, Word};

impl Word for AtomicU32 {
    fn load(&self, order: Ordering) -> u32 {
        AtomicU32::load(self, order)
    }
    fn store(&self, value: u32, order: Ordering) {
        AtomicU32::store(self, value, order);
    }
    fn replace(&self, old: u32, new: u32) -> Result<u32, u32> {
        self.compare_exchange(old, new, Acquire, Relaxed)
    }
}

impl Wide for AtomicU64 {
    fn load(&self, order: Ordering) -> u64 {
        AtomicU64::load(self, order)
    }
    fn replace(
        &self,
        old: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.compare_exchange(old, new, success, failure)
    }
}

/// A slot with a key of two words and a value.
struct Slot {
    generation: AtomicU32,
    next: AtomicU32,
    free_next: AtomicU32,
    key: [AtomicU64; 2],
    value: AtomicU64,
}

/// Two buckets with a stripe each.
struct Small {
    heads: [AtomicU32; 2],
    versions: [AtomicU32; 2],
    locks: [AtomicU32; 2],
    spares: [AtomicU32; 2],
    slots: Vec<Slot>,
    free: AtomicU64,
    fresh: AtomicU32,
    entries: u32,
}

impl Small {
    fn new(entries: u32) -> Small {
        let words = |n: [u32; 2]| n.map(AtomicU32::new);
        Small {
            heads: words([NONE; 2]),
            versions: words([0; 2]),
            locks: words([0; 2]),
            spares: words([entries, entries + 1]),
            slots: (0..entries + 2)
                .map(|_| Slot {
                    generation: AtomicU32::new(0),
                    next: AtomicU32::new(0),
                    free_next: AtomicU32::new(0),
                    key: [AtomicU64::new(0), AtomicU64::new(0)],
                    value: AtomicU64::new(0),
                })
                .collect(),
            free: AtomicU64::new(u64::from(NONE)),
            fresh: AtomicU32::new(0),
            entries,
        }
    }

    fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    /// Bucket by parity; the value's upper part is the key's, so a reader can tell whose value it got.
    fn update(&self, key: u64, value: u64) -> bool {
        let (bucket, words) = ((key & 1) as u32, [key, !key]);
        let write = |slot| move || self.slot(slot).value.store(key << 8 | value, Relaxed);
        let _guard = protocol::lock(self, bucket);
        match protocol::find_locked(self, bucket, 0, &words) {
            Some((old, link)) => {
                let slot = self.spares[bucket as usize].load(Relaxed);
                protocol::replace(self, bucket, (old, link), slot, 0, &words, write(slot));
                self.spares[bucket as usize].store(old, Relaxed);
            }
            None => {
                let Some(slot) = protocol::take(self) else {
                    return false;
                };
                protocol::insert(self, bucket, slot, 0, &words, write(slot));
            }
        }
        true
    }

    /// An update that evicts an element when the map is full; false when others were in the way.
    fn update_or_evict(&self, key: u64, value: u64) -> bool {
        let (bucket, words) = ((key & 1) as u32, [key, !key]);
        let _guard = protocol::lock(self, bucket);
        if protocol::find_locked(self, bucket, 0, &words).is_some() {
            return true;
        }
        let evict = || {
            (0..self.slots.len() as u32).find(|slot| {
                let generation = self.slot(*slot).generation.load(Acquire);
                let of = (self.slot(*slot).key[0].load(Relaxed) & 1) as u32;
                generation & 1 == 0
                    && generation != 0
                    && protocol::take_out(self, bucket, of, *slot)
            })
        };
        let Some(slot) = protocol::take(self).or_else(evict) else {
            return false;
        };
        protocol::insert(self, bucket, slot, 0, &words, || {
            self.slot(slot).value.store(key << 8 | value, Relaxed);
        });
        true
    }

    /// Every slot, in order, of those in chains, spare and free: when nobody works on the map.
    fn everywhere(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.spares.iter().map(|s| s.load(Relaxed)).collect();
        for bucket in 0..2 {
            let mut chain = Vec::new();
            protocol::chain(self, bucket, &mut chain);
            all.extend(chain.iter().map(|(slot, _)| *slot));
        }
        all.extend(std::iter::from_fn(|| protocol::take(self)));
        all.sort_unstable();
        all
    }

    fn delete(&self, key: u64) -> bool {
        let bucket = (key & 1) as u32;
        let guard = protocol::lock(self, bucket);
        let Some((slot, link)) = protocol::find_locked(self, bucket, 0, &[key, !key]) else {
            return false;
        };
        protocol::unlink(self, bucket, (slot, link));
        drop(guard);
        protocol::give_back(self, slot);
        true
    }

    /// The value, when it is sure to be the key's.
    fn lookup(&self, key: u64) -> Option<Option<u64>> {
        let slot = protocol::find(self, (key & 1) as u32, 0, &[key, !key])?;
        let generation = self.slot(slot).generation.load(Acquire);
        if generation & 1 != 0 {
            return Some(None);
        }
        let (a, value) = (
            self.slot(slot).key[0].load(Relaxed),
            self.slot(slot).value.load(Relaxed),
        );
        let same = protocol::unchanged(self, (slot, generation)) && a == key;
        Some(same.then_some(value))
    }
}

impl Pool for Small {
    type Word = AtomicU32;
    type Wide = AtomicU64;

    fn fence(order: Ordering) {
        fence(order);
    }
    fn pause(_: &mut u32) {
        thread::yield_now();
    }
    fn head(&self, bucket: u32) -> &AtomicU32 {
        &self.heads[bucket as usize]
    }
    fn version(&self, bucket: u32) -> &AtomicU32 {
        &self.versions[bucket as usize]
    }
    fn lock_of(&self, bucket: u32) -> &AtomicU32 {
        &self.locks[bucket as usize]
    }
    fn spare_of(&self, bucket: u32) -> &AtomicU32 {
        &self.spares[bucket as usize]
    }
    fn generation(&self, slot: u32) -> &AtomicU32 {
        &self.slot(slot).generation
    }
    fn next(&self, slot: u32) -> &AtomicU32 {
        &self.slot(slot).next
    }
    fn free_next(&self, slot: u32) -> &AtomicU32 {
        &self.slot(slot).free_next
    }
    fn same_key(&self, slot: u32, _: u32, key: &[u64]) -> bool {
        let words = &self.slot(slot).key;
        words.iter().zip(key).all(|(w, k)| w.load(Relaxed) == *k)
    }
    fn write_key(&self, slot: u32, _: u32, key: &[u64]) {
        for (w, k) in self.slot(slot).key.iter().zip(key) {
            w.store(*k, Relaxed);
        }
    }
    fn free(&self) -> &AtomicU64 {
        &self.free
    }
    fn fresh(&self) -> &AtomicU32 {
        &self.fresh
    }
    fn entries(&self) -> u32 {
        self.entries
    }
}

/// All orders with so many switches between threads that nothing forced.
fn check(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(f);
}

fn pool(entries: u32, keys: &[u64]) -> Arc<Small> {
    let pool = Small::new(entries);
    for key in keys {
        assert!(pool.update(*key, 1));
    }
    Arc::new(pool)
}

#[test]
fn a_key_is_never_missing_while_its_value_is_replaced() {
    check(3, || {
        let pool = pool(2, &[2, 4]);
        let writer = pool.clone();
        let writes = thread::spawn(move || {
            // The second replacement uses the slot that the first one left.
            writer.update(2, 2);
            writer.update(4, 2);
        });
        for key in [4, 2] {
            let value = pool.lookup(key).expect("the key is there all the time");
            assert!(value.is_none_or(|v| v >> 8 == key), "another key's value");
        }
        writes.join().expect("the writer ends");
    });
}

#[test]
fn a_slot_that_moves_to_another_chain_leads_nobody_astray() {
    check(3, || {
        // 2 and 4 share a chain: 4 comes first.
        let pool = pool(2, &[2, 4]);
        let writer = pool.clone();
        let writes = thread::spawn(move || {
            assert!(writer.delete(4));
            assert!(writer.update(3, 1), "its slot is free");
        });
        assert!(pool.lookup(2).is_some(), "the key is there all the time");
        if let Some(Some(value)) = pool.lookup(4) {
            assert_eq!(value, 4 << 8 | 1);
        }
        writes.join().expect("the writer ends");
        assert!(pool.lookup(3).is_some() && pool.lookup(4).is_none());
    });
}

#[test]
fn two_writers_lose_nothing() {
    check(2, || {
        let pool = pool(3, &[2]);
        let other = pool.clone();
        let writes = thread::spawn(move || {
            assert!(other.update(3, 1));
            assert!(other.delete(2));
        });
        assert!(pool.update(4, 1));
        assert!(pool.update(4, 2));
        writes.join().expect("the writer ends");
        assert!(pool.lookup(2).is_none());
        assert_eq!(pool.lookup(3), Some(Some(3 << 8 | 1)));
        assert_eq!(pool.lookup(4), Some(Some(4 << 8 | 2)));
    });
}

#[test]
fn the_free_list_gives_a_slot_to_one_thread_only() {
    check(3, || {
        let pool = Arc::new(Small::new(2));
        let (a, b) = (protocol::take(&*pool), protocol::take(&*pool));
        for slot in [a, b].into_iter().flatten() {
            protocol::give_back(&*pool, slot);
        }
        let other = pool.clone();
        // Takes two and gives one back: a stale head would bring the other one in again.
        let takes = thread::spawn(move || {
            let (a, b) = (protocol::take(&*other), protocol::take(&*other));
            if let Some(a) = a {
                protocol::give_back(&*other, a);
            }
            b
        });
        let mine = protocol::take(&*pool);
        let theirs = takes.join().expect("the other ends");
        assert!(mine.is_none() || mine != theirs, "both have slot {mine:?}");
        let rest = [protocol::take(&*pool), protocol::take(&*pool)];
        let mut all: Vec<u32> = [mine, theirs, rest[0], rest[1]]
            .into_iter()
            .flatten()
            .collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1], "every slot is somewhere, once");
    });
}

#[test]
fn two_that_evict_from_each_other_neither_wait_nor_share_a_slot() {
    check(2, || {
        // A full map with a key in each bucket, and both threads want room for one more.
        let pool = pool(2, &[2, 3]);
        let other = pool.clone();
        let writes = thread::spawn(move || other.update_or_evict(4, 1));
        let mine = pool.update_or_evict(5, 1);
        if let Some(Some(value)) = pool.lookup(4) {
            assert_eq!(value, 4 << 8 | 1);
        }
        let theirs = writes.join().expect("the writer ends");
        assert!(mine || theirs, "one of them found a victim");
        let there = [2, 3, 4, 5].map(|key| pool.lookup(key).is_some());
        let entries = there.iter().filter(|is| **is).count();
        assert!(entries <= 2, "{entries} entries in a map of 2");
        assert_eq!(
            pool.everywhere(),
            [0, 1, 2, 3],
            "every slot is somewhere, once"
        );
    });
}
