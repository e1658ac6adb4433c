//! Counts of one extension's program on one hook: calls by verdict, and sampled time.
//!
//! **Invariant:** each call is counted once, in the part of the caller that made it; parts of callers that
//! have a number of their own are written by one thread at a time, so that counting takes no lock and no locked instruction.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Verdicts that are told apart: the least that the hook allows and those after it; the last stands for all others.
pub const VERDICTS: usize = 14;

/// Callers with a part of their own; the last part is that of all others.
pub(crate) const PARTS: usize = 33;

/// One call of so many is timed.
pub(crate) const SAMPLED: u32 = 61;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Part {
    verdicts: [AtomicU64; VERDICTS],
    timed: AtomicU64,
    nanoseconds: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Stats {
    least: i64,
    parts: Box<[Part]>,
}

/// What an extension's program was asked, and what it said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub calls: u64,
    /// Results with how often each was given.
    pub verdicts: Vec<(i64, u64)>,
    /// Calls with other results.
    pub others: u64,
    /// Calls of which the time was taken, one in 61, and their nanoseconds in all.
    pub timed: u64,
    pub timed_nanoseconds: u64,
}

impl Counters {
    /// All calls, as far as the timed ones tell.
    pub fn nanoseconds(&self) -> u64 {
        let all = u128::from(self.timed_nanoseconds) * u128::from(self.calls);
        let all = all.checked_div(u128::from(self.timed)).unwrap_or(0);
        u64::try_from(all).unwrap_or(u64::MAX)
    }
}

impl Stats {
    /// `least` is the least number that the hook allows.
    pub fn new(least: i64) -> Stats {
        Stats {
            least,
            parts: (0..PARTS).map(|_| Part::default()).collect(),
        }
    }

    /// `part` is the caller's number, below [`PARTS`].
    #[inline(always)]
    pub fn count(&self, part: usize, verdict: i64) {
        let Some(p) = self.parts.get(part) else {
            return;
        };
        let at = (verdict.wrapping_sub(self.least) as u64).min(VERDICTS as u64 - 1) as usize;
        let Some(count) = p.verdicts.get(at) else {
            return;
        };
        add(part, count, 1);
    }

    pub fn time(&self, part: usize, nanoseconds: u64) {
        let Some(p) = self.parts.get(part) else {
            return;
        };
        add(part, &p.timed, 1);
        add(part, &p.nanoseconds, nanoseconds);
    }

    /// Of a moment: calls under way may be missing.
    pub fn counters(&self) -> Counters {
        let sum = |of: &dyn Fn(&Part) -> u64| self.parts.iter().map(of).sum::<u64>();
        let mut out = Counters::default();
        for n in 0..VERDICTS {
            let count = sum(&|p| p.verdicts.get(n).map_or(0, |v| v.load(Relaxed)));
            out.calls += count;
            match (n + 1 < VERDICTS, count) {
                (true, 1..) => out
                    .verdicts
                    .push((self.least.wrapping_add(n as i64), count)),
                (false, _) => out.others = count,
                (true, 0) => {}
            }
        }
        out.timed = sum(&|p| p.timed.load(Relaxed));
        out.timed_nanoseconds = sum(&|p| p.nanoseconds.load(Relaxed));
        out
    }
}

/// A part of one writer needs no locked instruction.
#[inline(always)]
fn add(part: usize, count: &AtomicU64, n: u64) {
    if part + 1 < PARTS {
        count.store(count.load(Relaxed).wrapping_add(n), Relaxed);
    } else {
        count.fetch_add(n, Relaxed);
    }
}
