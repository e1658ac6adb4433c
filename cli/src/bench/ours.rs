//! A program → our verdict, and what it takes us.

use std::time::{Duration, Instant};

use probity_peers::{Gauge, Taken};
use probity_verifier::{Prepared, ProgramReport};

use crate::ALLOCATOR;

/// Our verdict on a program, measured.
pub struct Measured {
    pub report: ProgramReport,
    /// From instructions to verdict, a run.
    pub times: Vec<Taken>,
    pub memory_bytes: u64,
}

/// Verifies the program of that index `runs` times after a first run that counts memory, and no more once that took
/// `enough`. One thread, alone: so is Linux.
pub fn measure(
    prepared: &Prepared,
    index: usize,
    runs: usize,
    enough: Duration,
    gauge: &Gauge,
) -> Option<Measured> {
    let (first, memory) = ALLOCATOR.peak_of(|| prepared.verify(index));
    let report = first?;
    Some(Measured {
        report,
        times: times(prepared, index, runs, enough, gauge),
        memory_bytes: memory as u64,
    })
}

/// Verifies it so often again.
pub fn times(
    prepared: &Prepared,
    index: usize,
    runs: usize,
    enough: Duration,
    gauge: &Gauge,
) -> Vec<Taken> {
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < runs && (times.is_empty() || start.elapsed() < enough) {
        let Ok(taken) = gauge.calmly(|| {
            let report = prepared.verify(index).ok_or(())?;
            Ok::<_, ()>(Duration::from_nanos(report.stats.time_ns))
        }) else {
            break;
        };
        times.push(taken);
    }
    times
}
