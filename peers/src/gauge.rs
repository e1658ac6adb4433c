//! Whether the processor is ours alone: what another guest runs on the same core halves what we get done there.
//!
//! On shared machines such moments come and go, some within milliseconds and some after seconds, and no clock of this
//! thread counts them.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Steps of the piece of work: some 10 µs.
const STEPS: u64 = 6_000;
/// How much more than the least it takes in a calm moment at most, in percent.
const CALM: u64 = 115;
/// How long the least is looked for at first.
const LOOK: Duration = Duration::from_millis(100);
/// What takes as long as this is not repeated: it sees moments of all kinds.
const LONG: Duration = Duration::from_millis(100);
/// How many in a hundred measurements of one thing must have been calm for the others to be left out.
const SOME: usize = 20;

/// How long measurements are waited with and repeated until it is calm.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Each of them, whatever was waited before, and at most.
    pub each: [Duration; 2],
    /// All together: so many times as long as they take.
    pub all: u32,
}

impl Patience {
    /// For some short ones.
    pub const LONG: Patience = Patience {
        each: [Duration::from_millis(20), Duration::from_secs(5)],
        all: 15,
    };
    /// For very many of all lengths.
    pub const SHORT: Patience = Patience {
        each: [Duration::ZERO, Duration::from_millis(100)],
        all: 2,
    };
}

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub took: Duration,
    /// Whether it was calm before and after.
    pub calm: bool,
}

/// What measurements of one thing come to: the calm ones, where there are some, else all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    pub median: Duration,
    pub least: Duration,
}

impl Settled {
    /// `None` where nothing was measured.
    pub fn of(taken: &[Taken]) -> Option<Settled> {
        let calm = taken.iter().filter(|t| t.calm).count();
        let all = calm * 100 < taken.len() * SOME;
        let counting = taken.iter().filter(|t| all || t.calm);
        let mut times: Vec<Duration> = counting.map(|t| t.took).collect();
        times.sort_unstable();
        let (low, high) = (times.len().saturating_sub(1) / 2, times.len() / 2);
        Some(Settled {
            median: (*times.get(low)? + *times.get(high)?) / 2,
            least: *times.first()?,
        })
    }
}

/// A fixed piece of work that fills all units of a core, and the least that it took so far.
#[derive(Debug)]
pub struct Gauge {
    patience: Patience,
    least_ns: AtomicU64,
    taken: AtomicU64,
    disturbed: AtomicU64,
    took_ns: AtomicU64,
    waited_ns: AtomicU64,
}

impl Gauge {
    /// Takes a tenth of a second.
    pub fn new(patience: Patience) -> Gauge {
        let gauge = Gauge {
            patience,
            least_ns: AtomicU64::new(u64::MAX),
            taken: AtomicU64::new(0),
            disturbed: AtomicU64::new(0),
            took_ns: AtomicU64::new(0),
            waited_ns: AtomicU64::new(0),
        };
        let begin = Instant::now();
        while begin.elapsed() < LOOK {
            gauge.is_calm();
            std::thread::sleep(Duration::from_micros(200));
        }
        gauge
    }

    /// Whether the work takes about the least that it ever took.
    pub fn is_calm(&self) -> bool {
        let took = work();
        let least = self.least_ns.fetch_min(took, Relaxed).min(took);
        took.saturating_mul(100) <= least.saturating_mul(CALM)
    }

    /// What `f` measures where it was calm before and after; where that does not come soon, what it measures all the same.
    pub fn calmly<E>(&self, mut f: impl FnMut() -> Result<Duration, E>) -> Result<Taken, E> {
        self.taken.fetch_add(1, Relaxed);
        let patience = self.patience();
        let begin = Instant::now();
        loop {
            while !self.is_calm() && begin.elapsed() < patience {}
            let waited = begin.elapsed();
            let took = f()?;
            let calm = self.is_calm();
            if calm || took >= LONG || begin.elapsed() >= patience {
                self.disturbed.fetch_add(u64::from(!calm), Relaxed);
                let ns = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
                self.took_ns.fetch_add(ns(took), Relaxed);
                self.waited_ns.fetch_add(ns(waited), Relaxed);
                return Ok(Taken { took, calm });
            }
        }
    }

    fn patience(&self) -> Duration {
        let took = self.took_ns.load(Relaxed);
        let may = took.saturating_mul(u64::from(self.patience.all));
        let left = may.saturating_sub(self.waited_ns.load(Relaxed));
        let [least, most] = self.patience.each;
        Duration::from_nanos(left).clamp(least, most)
    }

    /// How many measurements there were, and how many of them found no calm moment.
    pub fn counts(&self) -> (u64, u64) {
        (self.taken.load(Relaxed), self.disturbed.load(Relaxed))
    }
}

/// Nanoseconds of eight chains of steps that do not wait for each other.
fn work() -> u64 {
    let start = Instant::now();
    let mut x: [u64; 8] = black_box([1, 2, 3, 4, 5, 6, 7, 8]);
    for n in 0..STEPS {
        x[0] = x[0].wrapping_mul(3).wrapping_add(n);
        x[1] ^= x[1] << 7;
        x[2] = x[2].wrapping_add(n ^ x[2]);
        x[3] = (x[3] >> 3).wrapping_add(n);
        x[4] ^= n.wrapping_add(x[4]);
        x[5] = x[5].wrapping_add(x[5] >> 5);
        x[6] = x[6].wrapping_sub(n);
        x[7] ^= x[7] >> 9;
    }
    black_box(x);
    start.elapsed().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_taken_and_counted_on_any_machine() {
        let gauge = Gauge::new(Patience::SHORT);
        let mut calls = 0;
        let took = gauge.calmly(|| {
            calls += 1;
            Ok::<_, ()>(Duration::from_nanos(calls))
        });
        // The last one counts.
        let took = took.map(|t| t.took);
        assert_eq!(took, Ok(Duration::from_nanos(calls)));
        assert_eq!(gauge.calmly(|| Err("no")), Err("no"));
        let (taken, disturbed) = gauge.counts();
        assert!(taken == 2 && disturbed <= 1, "{gauge:?}");
    }

    #[test]
    fn never_calm_beside_a_least_that_nothing_reaches() {
        let gauge = Gauge {
            patience: Patience::LONG,
            least_ns: AtomicU64::new(1),
            taken: AtomicU64::new(0),
            disturbed: AtomicU64::new(0),
            took_ns: AtomicU64::new(0),
            waited_ns: AtomicU64::new(0),
        };
        assert!(!gauge.is_calm());
        assert_eq!(
            gauge.calmly(|| Ok::<_, ()>(Duration::ZERO)),
            Ok(Taken {
                took: Duration::ZERO,
                calm: false
            })
        );
        assert_eq!(gauge.counts(), (1, 1));
    }

    #[test]
    fn some_calm_measurements_stand_for_all() {
        let taken = |us, calm| Taken {
            took: Duration::from_micros(us),
            calm,
        };
        let us = |taken: &[Taken]| {
            let settled = Settled::of(taken);
            settled.map(|s| (s.median.as_micros(), s.least.as_micros()))
        };
        let disturbed = [taken(9, false), taken(8, false), taken(6, false)];
        let mut some = vec![taken(4, true)];
        some.extend(disturbed);
        assert_eq!(us(&some), Some((4, 4)));
        some.extend([taken(2, true), taken(1, true), taken(7, true)]);
        assert_eq!(us(&some), Some((3, 1)));
        let few = [&disturbed[..], &disturbed, &[taken(1, true)]].concat();
        assert_eq!(us(&few), Some((8, 1)));
        assert_eq!(us(&[]), None);
    }
}
