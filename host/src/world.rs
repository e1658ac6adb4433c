//! Generations: all that a host's hooks answer with, replaced as a whole while callers go on.
//!
//! A [`World`] never changes once it is published. A caller announces the world that it is about to use in its own
//! [`Slot`] and then looks whether it is still the current one; whoever publishes another one first makes that the current one
//! and then looks at the slots. All four are sequentially consistent, so that one of the two sees the other: a world
//! that a caller goes on with is in its slot before anybody looks for it there (hazard pointers, Michael 2004).
//!
//! **Invariant:** a world is freed only when it is neither current nor in a slot; with it goes what only it holds.
//!
//! **Invariant:** a call takes no lock, allocates nothing and touches no line that other callers write.

use std::ptr::null_mut;
use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use probity_jit::Entry;

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
    slots: Mutex<Vec<Option<Arc<Slot>>>>,
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
        let first = Box::new(World { chains, number: 1 });
        Worlds {
            current: AtomicPtr::new(Box::into_raw(first)),
            slots: Mutex::default(),
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

    /// The current world, which stays until [`Slot::leave`].
    #[inline(always)]
    pub fn enter<'s>(&'s self, slot: &'s Slot) -> &'s World {
        loop {
            let world = self.current.load(Acquire);
            // A locked instruction: what follows is not done before others can see the slot.
            slot.used.swap(world, SeqCst);
            if self.current.load(SeqCst) == world && !world.is_null() {
                // SAFETY: it was current after the slot said so; see the module.
                return unsafe { &*world };
            }
            if world.is_null() {
                self.wait(slot);
            }
        }
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
        let old = self.current.swap(new, SeqCst);
        self.retire(old)
    }

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
        let used: Vec<*mut World> = {
            let slots = lock(&self.slots);
            slots
                .iter()
                .flatten()
                .map(|s| s.used.load(SeqCst))
                .collect()
        };
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
        let old = self.current.swap(null_mut(), SeqCst);
        let pause = Pause { worlds: self, old };
        let start = Instant::now();
        loop {
            let slots = lock(&self.slots);
            let mut used = slots.iter().flatten().map(|s| s.used.load(SeqCst));
            if used.all(|w| w != old) {
                drop(slots);
                return Some(pause);
            }
            drop(slots);
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
        worlds.current.store(new, SeqCst);
        let old = std::mem::replace(&mut self.old, null_mut());
        worlds.retire(old)
    }
}

impl Drop for Pause<'_> {
    /// Back to what was current.
    fn drop(&mut self) {
        if !self.old.is_null() {
            self.worlds.current.store(self.old, SeqCst);
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
        let current = self.current.swap(null_mut(), SeqCst);
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
