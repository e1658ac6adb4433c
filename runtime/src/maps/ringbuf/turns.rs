//! A lock that threads take in turns of some microseconds when they contend for it.
//!
//! Whoever takes what the lock protects from another core waits for its cache lines to come over, and for those of what it
//! then writes, which takes as long as writing some fifty records. So the lock stays its last holder's: others take it at
//! once when its turn is over, and otherwise wait. Meanwhile they seldom look at the line, to see whether its
//! owner still does anything: the first time soon, then after twice as long each time. A lock that nobody contends for
//! changes hands once in a turn or more seldom, and nobody waits.
//!
//! **Invariant:** one thread holds the lock; a turn only decides who asks when.
//!
//! **Invariant:** nobody waits for a turn longer than it lasts, whatever its owner does, nor longer than [`LOOK`] when its
//! owner does nothing meanwhile.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::*;
use std::time::Duration;

use crate::maps::pause;

/// Nanoseconds that a turn lasts: some ten times what it takes to pass the lines on.
const TURN: u64 = 10_000;
/// When who waits first looks whether the owner does anything.
const LOOK: Duration = Duration::from_micros(1);
/// Added to the owner while it holds the lock.
const HELD: u64 = 1;

#[derive(Default)]
pub(super) struct Turns<const TURN_NS: u64 = TURN> {
    /// The thread whose turn it is, or was last, and [`HELD`].
    word: AtomicU64,
    /// When its turn began, in nanoseconds.
    since: AtomicU64,
}

/// A number of the running thread, of an even address. Of a thread that ended it may come again, which does no harm:
/// it is then taken for the one whose turn it was.
#[inline(always)]
fn me() -> u64 {
    thread_local! {
        static ME: u64 = const { 0 };
    }
    ME.with(|me| std::ptr::from_ref(me) as u64)
}

fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec that lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32).as_nanos() as u64
}

impl<const TURN_NS: u64> Turns<TURN_NS> {
    /// `done` lies beside the lock, and changes when a holder has done something.
    #[inline(always)]
    pub fn lock(&self, done: &AtomicU64) {
        let me = me();
        let taken = self.word.compare_exchange(me, me | HELD, Acquire, Relaxed);
        if taken.is_err() {
            self.take_over(me, done);
        }
    }

    #[cold]
    #[inline(never)]
    fn take_over(&self, me: u64, done: &AtomicU64) {
        let mut pauses = 0;
        loop {
            let since = self.since.load(Relaxed);
            Self::wait(since, done);
            let word = self.word.load(Relaxed);
            // Meanwhile another's turn may have begun.
            if self.since.load(Relaxed) != since {
                continue;
            }
            if word & HELD == 0 {
                let taken = self
                    .word
                    .compare_exchange(word, me | HELD, Acquire, Relaxed);
                if taken.is_ok() {
                    self.since.store(now(), Relaxed);
                    return;
                }
            }
            pause(&mut pauses);
        }
    }

    /// Until the turn that began then is over, or its owner seems to have stopped.
    fn wait(since: u64, done: &AtomicU64) {
        let began = now();
        let mut time = began;
        let mut seen = done.load(Relaxed);
        let mut look = LOOK;
        while time.wrapping_sub(since) < TURN_NS {
            if Duration::from_nanos(time.wrapping_sub(began)) >= look {
                let before = std::mem::replace(&mut seen, done.load(Relaxed));
                if before == seen {
                    return;
                }
                look = 2 * look + LOOK;
            }
            std::hint::spin_loop();
            time = now();
        }
    }

    /// By its holder.
    #[inline(always)]
    pub fn unlock(&self) {
        self.word.store(me(), Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::UnsafeCell;
    use std::sync::Barrier;

    #[derive(Default)]
    struct Counted {
        lock: Turns,
        done: AtomicU64,
        count: UnsafeCell<u64>,
    }
    // SAFETY: the count is only touched under the lock.
    unsafe impl Sync for Counted {}

    #[test]
    fn no_two_threads_hold_it_and_all_get_on() {
        const THREADS: u64 = 4;
        const LAPS: u64 = 20_000;
        let shared = Counted::default();
        let counted = &shared;
        let start = Barrier::new(THREADS as usize);
        std::thread::scope(|scope| {
            let threads = [(); THREADS as usize].map(|()| {
                let start = &start;
                scope.spawn(move || {
                    // All of it, not the count alone.
                    let counted: &Counted = counted;
                    start.wait();
                    for _ in 0..LAPS {
                        counted.lock.lock(&counted.done);
                        // SAFETY: under the lock.
                        unsafe { *counted.count.get() += 1 };
                        counted.lock.unlock();
                    }
                })
            });
            // The scope's own wait is the standard library's, which ThreadSanitizer does not see.
            for thread in threads {
                thread.join().unwrap();
            }
        });
        assert_eq!(shared.count.into_inner(), THREADS * LAPS);
    }

    /// A lock whose last owner has ended.
    fn left<const TURN_NS: u64>() -> Turns<TURN_NS> {
        let lock = Turns::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                lock.lock(&AtomicU64::new(0));
                lock.unlock();
            });
        });
        lock
    }

    #[test]
    fn an_owner_that_has_gone_is_not_waited_for() {
        let lock = left::<TURN>();
        // Its turn may last for ever by the clock's reading: what lies ahead of now is no turn.
        lock.since.store(now() + 1_000_000_000, Relaxed);
        lock.lock(&AtomicU64::new(0));
        assert_eq!(lock.word.load(Relaxed), me() | HELD);
        lock.unlock();
        assert_eq!(lock.word.load(Relaxed), me());
    }

    #[test]
    fn a_turn_in_which_nothing_is_done_is_not_waited_for() {
        // Each lasts for centuries.
        let lock = left::<{ u64::MAX }>();
        lock.lock(&AtomicU64::new(0));
        assert_eq!(lock.word.load(Relaxed), me() | HELD);
    }
}
