//! A lock that threads take in turns of some microseconds when they contend for it.
//!
//! Whoever takes what the lock protects from another core waits for its cache lines to come over, which takes ten times as
//! long as writing a record. So the lock stays its last holder's: others take it at once when its turn is over, and
//! otherwise wait without a look at the line until it is. A lock that nobody contends for changes hands
//! once in a turn or more seldom, and nobody waits.
//!
//! **Invariant:** one thread holds the lock; a turn only decides who asks when.
//!
//! **Invariant:** nobody waits for a turn longer than it lasts, whatever its owner does.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::*;
use std::time::Duration;

use crate::maps::pause;

/// How long a turn lasts: some ten times what it takes to pass the lines on.
const TURN: Duration = Duration::from_micros(3);
/// Added to the owner while it holds the lock.
const HELD: u64 = 1;

#[derive(Default)]
pub(super) struct Turns {
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

impl Turns {
    #[inline(always)]
    pub fn lock(&self) {
        let me = me();
        let taken = self.word.compare_exchange(me, me | HELD, Acquire, Relaxed);
        if taken.is_err() {
            self.take_over(me);
        }
    }

    #[cold]
    #[inline(never)]
    fn take_over(&self, me: u64) {
        let mut pauses = 0;
        loop {
            let since = self.since.load(Relaxed);
            self.wait(since);
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

    /// Until the turn that began then is over.
    fn wait(&self, since: u64) {
        while Duration::from_nanos(now().wrapping_sub(since)) < TURN {
            std::hint::spin_loop();
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
                        counted.lock.lock();
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

    #[test]
    fn an_owner_that_has_gone_is_not_waited_for() {
        let lock = Turns::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                lock.lock();
                lock.unlock();
            });
        });
        // Its turn may last for ever by the clock's reading: what lies ahead of now is no turn.
        lock.since.store(now() + 1_000_000_000, Relaxed);
        lock.lock();
        assert_eq!(lock.word.load(Relaxed), me() | HELD);
        lock.unlock();
        assert_eq!(lock.word.load(Relaxed), me());
    }
}
