//! Generations: all that a host's hooks answer with, replaced as a whole while callers go on.
//!
//! A [`World`] never changes once it is published. A caller announces the world that it is about to use in its own
//! [`Slot`] and then looks whether it is still the current one; whoever publishes another one first makes that the current one
//! and then looks at the slots. Between the two each side has a [`Barrier`], so that one of the two sees the other: a world
//! that a caller goes on with is in its slot before anybody looks for it there (hazard pointers, Michael 2004). The caller's
//! costs nothing where the kernel makes it pass one whenever something is published.
//!
//! **Invariant:** a world is freed only when it is neither current nor, after a barrier since it was, in a slot; with it goes what only it holds.
//!
//! **Invariant:** a call takes no lock, allocates nothing and touches no line that other callers write.

use std::ptr::null_mut;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use probity_jit::Entry;

use crate::barrier::Barrier;
use crate::description::{ChainRule, Fallback};
use crate::extension::Extension;
use crate::hook::CallError;
use crate::stats::Stats;

/// What all hooks of a host answer with.
pub(crate) struct World {
    /// In the order of the host's hooks.
    pub chains: Vec<Chain>,
    pub number: u64,
}

/// What one hook answers with.
pub(crate) struct Chain {
    /// In the order of their priorities.
    pub programs: Box<[Attached]>,
    pub rule: ChainRule,
    /// Without programs.
    pub empty: Result<i64, CallError>,
}

/// An extension's program on a hook.
#[derive(Clone)]
pub(crate) struct Attached {
    /// One a CPU. They borrow of `extension`, whatever they say.
    pub entries: Arc<[Entry<'static>]>,
    pub stats: Arc<Stats>,
    #[expect(dead_code, reason = "keeps what the entries borrow of")]
    pub extension: Arc<Extension>,
}

pub(crate) fn empty(fallback: Fallback, why: CallError) -> Result<i64, CallError> {
    match fallback {
        Fallback::Open(v) | Fallback::Closed(v) => Ok(v),
        Fallback::Error => Err(why),
    }
}

/// Where one caller says which world it uses.
#[repr(align(128))]
pub(crate) struct Slot {
    used: AtomicPtr<World>,
}

pub(crate) struct Worlds {
    current: AtomicPtr<World>,
    barrier: Barrier,
    slots: Mutex<Vec<Option<Arc<Slot>>>>,
    /// Of those that hold a generation between calls; they have no numbers.
    holders: Mutex<Vec<Arc<Slot>>>,
    /// Published earlier, not freed yet: each with its number.
    retired: Mutex<Vec<(u64, Owned)>>,
    published: AtomicU64,
}

/// A world that was published, as its owner holds it.
struct Owned(*mut World);

// SAFETY: a world is shared between threads by reference only, and what it holds may be.
unsafe impl Send for Owned {}

/// Held between the end of one world and the start of the next: callers wait.
pub(crate) struct Pause<'w> {
    worlds: &'w Worlds,
    old: *mut World,
}

impl Worlds {
    pub fn new(chains: Vec<Chain>) -> Worlds {
        Worlds::with(chains, Barrier::new())
    }

    fn with(chains: Vec<Chain>, barrier: Barrier) -> Worlds {
        let first = Box::new(World { chains, number: 1 });
        Worlds {
            current: AtomicPtr::new(Box::into_raw(first)),
            barrier,
            slots: Mutex::default(),
            holders: Mutex::default(),
            retired: Mutex::default(),
            published: AtomicU64::new(1),
        }
    }

    /// A slot for one caller, and its number, the lowest that is free.
    pub fn enlist(&self) -> (usize, Arc<Slot>) {
        let slot = Arc::new(Slot {
            used: AtomicPtr::new(null_mut()),
        });
        let mut slots = lock(&self.slots);
        let number = slots.iter().position(Option::is_none);
        let number = number.unwrap_or(slots.len());
        match slots.get_mut(number) {
            Some(free) => *free = Some(slot.clone()),
            None => slots.push(Some(slot.clone())),
        }
        (number, slot)
    }

    pub fn discharge(&self, number: usize) {
        if let Some(slot) = lock(&self.slots).get_mut(number) {
            *slot = None;
        }
    }

    /// A slot for what is held between calls.
    pub fn enlist_holder(&self) -> Arc<Slot> {
        let slot = Arc::new(Slot {
            used: AtomicPtr::new(null_mut()),
        });
        lock(&self.holders).push(slot.clone());
        slot
    }

    pub fn discharge_holder(&self, slot: &Arc<Slot>) {
        lock(&self.holders).retain(|s| !Arc::ptr_eq(s, slot));
    }

    /// The current world's address, to be compared with that of one that is held; null in a pause.
    #[inline(always)]
    pub fn current(&self) -> *const World {
        self.current.load(Acquire)
    }

    /// The current world, which stays until [`Slot::leave`].
    #[inline(always)]
    pub fn enter<'s>(&'s self, slot: &'s Slot) -> &'s World {
        loop {
            if let Some(world) = self.try_enter(slot) {
                return world;
            }
            self.wait(slot);
        }
    }

    /// The same, but for a pause.
    #[inline(always)]
    pub fn try_enter<'s>(&'s self, slot: &'s Slot) -> Option<&'s World> {
        loop {
            let world = self.current.load(Acquire);
            slot.used.store(world, Release);
            self.barrier.light();
            if self.current.load(Acquire) == world {
                // SAFETY: null, or it was current after the slot said so; see the module.
                return unsafe { world.as_ref() };
            }
        }
    }

    /// What slots say is in use.
    fn used(&self) -> Vec<*mut World> {
        let slots = lock(&self.slots);
        let holders = lock(&self.holders);
        let all = slots.iter().flatten().chain(&*holders);
        all.map(|s| s.used.load(Acquire)).collect()
    }

    /// Until the pause is over.
    #[cold]
    fn wait(&self, slot: &Slot) {
        slot.leave();
        let mut turns = 0u32;
        while self.current.load(Acquire).is_null() {
            turns = turns.saturating_add(1);
            match turns {
                ..64 => std::hint::spin_loop(),
                64..256 => std::thread::yield_now(),
                _ => std::thread::sleep(Duration::from_micros(20)),
            }
        }
    }

    /// Makes these the current chains. Gives the number of the world that ends with it.
    pub fn publish(&self, chains: Vec<Chain>) -> u64 {
        let number = self.published.fetch_add(1, Ordering::Relaxed) + 1;
        let new = Box::into_raw(Box::new(World { chains, number }));
        let old = self.current.swap(new, AcqRel);
        self.barrier.heavy();
        self.retire(old)
    }

    /// After a barrier since it was current.
    fn retire(&self, old: *mut World) -> u64 {
        // SAFETY: it is not freed before it is among the retired ones.
        let number = unsafe { (*old).number };
        lock(&self.retired).push((number, Owned(old)));
        self.collect();
        number
    }

    /// Frees what nobody uses any longer.
    pub fn collect(&self) {
        let mut retired = lock(&self.retired);
        let used = self.used();
        let (keep, free): (Vec<_>, Vec<_>) = std::mem::take(&mut *retired)
            .into_iter()
            .partition(|(_, w)| used.contains(&w.0));
        *retired = keep;
        drop(retired);
        for (_, world) in free {
            // SAFETY: made from a box, not current, and in no slot: see the module.
            drop(unsafe { Box::from_raw(world.0) });
        }
    }

    /// Whether the world of that number, or an older one, is still in use.
    pub fn in_use(&self, number: u64) -> bool {
        self.collect();
        lock(&self.retired).iter().any(|(n, _)| *n <= number)
    }

    /// Waits until nobody uses the world of that number or an older one; false when that takes longer.
    pub fn drained(&self, number: u64, most: Duration) -> bool {
        let start = Instant::now();
        let mut nap = Duration::from_micros(10);
        while self.in_use(number) {
            if start.elapsed() > most {
                return false;
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(Duration::from_millis(1));
        }
        true
    }

    /// Lets callers wait, and waits until all have left; `None` when that takes longer: then all is as it was.
    pub fn pause(&self, most: Duration) -> Option<Pause<'_>> {
        let old = self.current.swap(null_mut(), AcqRel);
        self.barrier.heavy();
        let pause = Pause { worlds: self, old };
        let start = Instant::now();
        loop {
            if self.used().iter().all(|w| *w != old) {
                return Some(pause);
            }
            if start.elapsed() > most {
                return None;
            }
            std::thread::sleep(Duration::from_micros(20));
        }
    }
}

impl Pause<'_> {
    /// Ends the pause with new chains.
    pub fn publish(mut self, chains: Vec<Chain>) -> u64 {
        let worlds = self.worlds;
        let number = worlds.published.fetch_add(1, Ordering::Relaxed) + 1;
        let new = Box::into_raw(Box::new(World { chains, number }));
        // The barrier came when the old one ended, with the pause.
        worlds.current.store(new, Release);
        let old = std::mem::replace(&mut self.old, null_mut());
        worlds.retire(old)
    }
}

impl Drop for Pause<'_> {
    /// Back to what was current.
    fn drop(&mut self) {
        if !self.old.is_null() {
            self.worlds.current.store(self.old, Release);
        }
    }
}

impl Slot {
    #[inline(always)]
    pub fn leave(&self) {
        self.used.store(null_mut(), Release);
    }
}

impl Drop for Worlds {
    fn drop(&mut self) {
        let current = self.current.swap(null_mut(), AcqRel);
        let retired = std::mem::take(&mut *lock(&self.retired));
        for world in retired.into_iter().map(|(_, w)| w.0).chain([current]) {
            if !world.is_null() {
                // SAFETY: made from a box; callers hold the worlds, so there are none.
                drop(unsafe { Box::from_raw(world) });
            }
        }
    }
}

pub(crate) fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(|e| e.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn chains(number: u64) -> Vec<Chain> {
        let chain = || Chain {
            programs: Box::default(),
            rule: ChainRule::Last,
            empty: Ok(number as i64),
        };
        (0..number % 7).map(|_| chain()).collect()
    }

    /// A world that was freed, or half of one, would show chains of another number.
    fn whole_worlds_only(barrier: Barrier) {
        let worlds = Worlds::with(chains(1), barrier);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let (number, slot) = worlds.enlist();
                    let mut last = 0;
                    while !done.load(Ordering::Relaxed) {
                        let world = worlds.enter(&slot);
                        assert!(last <= world.number, "{last}, then {}", world.number);
                        last = world.number;
                        assert_eq!(world.chains.len() as u64, last % 7);
                        assert!(world.chains.iter().all(|c| c.empty == Ok(last as i64)));
                        slot.leave();
                    }
                    worlds.discharge(number);
                });
            }
            for number in 2..2000 {
                match number % 50 {
                    0 => match worlds.pause(Duration::from_secs(60)) {
                        Some(pause) => pause.publish(chains(number)),
                        None => panic!("a caller stays"),
                    },
                    _ => worlds.publish(chains(number)),
                };
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(worlds.drained(1998, Duration::ZERO), "all have left");
    }

    #[test]
    fn callers_see_whole_worlds_beside_membarrier() {
        whole_worlds_only(Barrier::new());
    }

    #[test]
    fn callers_see_whole_worlds_where_both_sides_pay() {
        whole_worlds_only(Barrier::symmetric());
    }
}
