//! A program → our verdict, and what it takes us.

use std::time::{Duration, Instant};

use probity_verifier::{Prepared, ProgramReport};

use crate::ALLOCATOR;

/// Our verdict on a program, measured.
pub struct Measured {
    pub report: ProgramReport,
    /// Microseconds from instructions to verdict, a run.
    pub times_us: Vec<f64>,
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
    Some(Measured {
        report,
        times_us: times(prepared, index, runs, enough),
        memory_bytes: memory as u64,
    })
}

/// Verifies it so often again.
pub fn times(prepared: &Prepared, index: usize, runs: usize, enough: Duration) -> Vec<f64> {
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < runs && (times.is_empty() || start.elapsed() < enough) {
        let Some(report) = prepared.verify(index) else {
            break;
        };
        times.push(report.stats.time_ns as f64 / 1000.0);
    }
    times
}
