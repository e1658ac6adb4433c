//! Several loads of one program → the kernel's verdict, and what it says that it took.
//!
//! The figures are the kernel's own, from the end of its log. Its `verification time` ends after the compiler ran
//! over subprograms, which it does only where there are some, and before the program as a whole is compiled.

use std::time::{Duration, Instant};

use super::load::{LOG_STATS, Load, is_no_verdict, telling, text};
use super::memory::Meter;

/// The kernel's word on a program, and its figures.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Measured {
    /// `None`: it gave no verdict.
    pub accepted: Option<bool>,
    /// The line that tells why, where it did not accept.
    pub why: String,
    /// Microseconds, the median of the loads.
    pub time_us: Option<f64>,
    /// Instructions visited.
    pub processed: Option<u64>,
    /// States stored in all, and held at most.
    pub states: Option<u64>,
    pub peak_states: Option<u64>,
    /// At most held of the kernel's memory during a load, without what was held before.
    pub memory_bytes: Option<u64>,
    /// The time includes the compiler's, of subprograms.
    pub compiled: bool,
}

impl Measured {
    pub fn none(why: impl Into<String>) -> Measured {
        Measured {
            why: why.into(),
            ..Measured::default()
        }
    }
}

impl Load<'_> {
    /// Loads the program up to `runs` times, and no more once that took `enough`.
    pub fn measured(&self, runs: usize, enough: Duration, meter: Option<&Meter>) -> Measured {
        let mut measured = Measured::default();
        let mut times = Vec::new();
        let start = Instant::now();
        for run in 0..runs.max(1) {
            if run > 0 && start.elapsed() > enough {
                break;
            }
            let before = meter.and_then(Meter::start);
            let result = self.attempt(LOG_STATS);
            if let (Some(meter), Some(before)) = (meter, before) {
                let peak = meter.peak(&before);
                measured.memory_bytes = measured.memory_bytes.max(peak);
            }
            let log = match result {
                Ok(log) => {
                    measured.accepted = Some(true);
                    log
                }
                Err((errno, log)) if is_no_verdict(errno, &log) => {
                    return Measured::none(text(errno));
                }
                Err((_, log)) if telling(&log).is_none() && !self.kind_exists() => {
                    let kind = self.kind.0;
                    return Measured::none(format!("the kernel takes no programs of kind {kind}"));
                }
                Err((errno, log)) => {
                    measured.accepted = Some(false);
                    measured.why = telling(&log).map_or_else(|| text(errno), str::to_owned);
                    log
                }
            };
            let figures = Figures::of(&log);
            times.extend(figures.time_us);
            measured.processed = figures.processed;
            measured.states = figures.states;
            measured.peak_states = figures.peak_states;
        }
        measured.time_us = median(times);
        measured
    }
}

/// What ends a log that was asked for statistics.
#[derive(Debug, PartialEq, Eq)]
struct Figures {
    time_us: Option<u64>,
    processed: Option<u64>,
    states: Option<u64>,
    peak_states: Option<u64>,
}

impl Figures {
    fn of(log: &str) -> Figures {
        let line = |start: &str| log.lines().rev().find_map(|l| l.strip_prefix(start));
        let first = |rest: &str| rest.split_whitespace().next()?.parse().ok();
        let totals = line("processed ");
        let named = |name: &str| {
            let mut words = totals?.split_whitespace();
            words.find(|w| *w == name)?;
            words.next()?.parse().ok()
        };
        Figures {
            time_us: line("verification time ").and_then(first),
            processed: totals.and_then(first),
            states: named("total_states"),
            peak_states: named("peak_states"),
        }
    }
}

fn median(mut times: Vec<u64>) -> Option<f64> {
    times.sort_unstable();
    let upper = *times.get(times.len() / 2)?;
    let lower = *times.get((times.len() - 1) / 2)?;
    Some((lower as f64 + upper as f64) / 2.0)
}

/// Does the kernel compile what it loads?
pub(super) fn compiler_is_on() -> bool {
    std::fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").map_or(true, |t| t.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_log() {
        let log = "verification time 117 usec\nstack depth 8+0\nprocessed 43 insns (limit 1000000) \
                   max_states_per_insn 1 total_states 7 peak_states 6 mark_read 2\n";
        let figures = Figures::of(log);
        assert_eq!(
            figures,
            Figures {
                time_us: Some(117),
                processed: Some(43),
                states: Some(7),
                peak_states: Some(6)
            }
        );
        assert_eq!(Figures::of("").processed, None);
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3]), Some(3.0));
        assert_eq!(median(vec![9, 1, 2]), Some(2.0));
        assert_eq!(median(vec![4, 1, 2, 9]), Some(3.0));
    }
}
