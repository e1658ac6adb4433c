//! A program → our verdict, and what it takes us.

use std::time::{Duration, Instant};

use probity_verifier::{Prepared, ProgramReport};

use crate::ALLOCATOR;

/// Our verdict on a program, measured.
pub struct Measured {
    pub report: ProgramReport,
    /// Microseconds from instructions to verdict, the median of the runs.
    pub time_us: f64,
    pub memory_bytes: u64,
}

/// Verifies the program of that index `runs` times after a first run that counts memory, and no more once that took
/// `enough`. One thread, alone: so is Linux.
pub fn measure(
    prepared: &Prepared,
    index: usize,
    runs: usize,
    enough: Duration,
) -> Option<Measured> {
    let (first, memory) = ALLOCATOR.peak_of(|| prepared.verify(index));
    let report = first?;
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < runs && (times.is_empty() || start.elapsed() < enough) {
        times.push(prepared.verify(index)?.stats.time_ns);
    }
    Some(Measured {
        report,
        time_us: median(&mut times) / 1000.0,
        memory_bytes: memory as u64,
    })
}

fn median(times: &mut [u64]) -> f64 {
    times.sort_unstable();
    let at = |n: usize| times.get(n).copied().unwrap_or(0) as f64;
    (at(times.len() / 2) + at(times.len().saturating_sub(1) / 2)) / 2.0
}
