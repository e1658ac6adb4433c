//! A program that writes records → several threads that run it at once, and whether all records came out.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Instant;

use probity_jit::Jit;
use probity_runtime::{Context, Instance, Options};

use crate::{Gauge, Subject, clock};

/// Runs of each thread between two turns of the reader: what fits the buffer.
const RUNS: u64 = 192;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByThreads {
    /// What the programs said they wrote.
    pub written: u64,
    /// What was read.
    pub read: u64,
    /// Whether as many records were read, each of them whole.
    pub whole: bool,
    /// What each round took.
    pub rounds: Vec<Round>,
}

/// What all threads took to write as many records as in any other round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// CPU nanoseconds of the writers, all together.
    pub writers_ns: u64,
    /// What passed from when the first began until the last was done, each on a processor of its own.
    pub elapsed_ns: u64,
    /// Whether each of those processors was its thread's alone, before and after.
    pub calm: bool,
}

/// Of the threads that are done with a round.
#[derive(Default)]
struct Totals {
    written: u64,
    writers_ns: u64,
    /// When the first began and the last was done.
    between: Option<(Instant, Instant)>,
    disturbed: bool,
    failed: Option<String>,
}

impl Totals {
    fn end_round(&mut self) -> Round {
        let between = self.between.take();
        Round {
            writers_ns: std::mem::take(&mut self.writers_ns),
            elapsed_ns: between.map_or(0, |(from, to)| to.duration_since(from).as_nanos() as u64),
            calm: !std::mem::take(&mut self.disturbed),
        }
    }
}

/// Keeps the calling thread on one of the processors that it may use. Two that share one would not write at once, and
/// neither would wait for the other.
fn stay_on(nth: usize) -> Result<(), String> {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: a set of processors is plain words; the calls read and write no more than one.
    let done = unsafe {
        let mut all: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size, &raw mut all) != 0 {
            return Err(std::io::Error::last_os_error().to_string());
        }
        let mut usable = (0..libc::CPU_SETSIZE as usize).filter(|n| libc::CPU_ISSET(*n, &all));
        let Some(cpu) = usable.nth(nth) else {
            return Err(format!("{} processors are needed", nth + 1));
        };
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut one);
        libc::sched_setaffinity(0, size, &raw const one)
    };
    match done {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().to_string()),
    }
}

/// Runs a program, that returns how many records of two words it wrote (the second the complement of the first), on
/// that many threads for some rounds.
pub fn ring_by_threads(
    subject: &Subject,
    threads: usize,
    rounds: u64,
    gauge: &Gauge,
) -> Result<ByThreads, String> {
    let options = Options {
        cpus: threads,
        ..Options::default()
    };
    let instance = Instance::new(subject.verified.clone(), options).map_err(|e| e.to_string())?;
    let instance = Arc::new(instance);
    let jit = Jit::new(instance.clone()).map_err(|e| e.to_string())?;
    let start = Barrier::new(threads + 1);
    let end = Barrier::new(threads + 1);
    let totals = Mutex::new(Totals::default());
    let awake = AtomicU64::new(0);
    let mut result = ByThreads {
        written: 0,
        read: 0,
        whole: true,
        rounds: Vec::new(),
    };
    std::thread::scope(|scope| {
        for cpu in 0..threads {
            let (jit, start, end, totals, awake) = (&jit, &start, &end, &totals, &awake);
            scope.spawn(move || {
                let placed = stay_on(cpu);
                let context = Context::xdp(&subject.input).map_err(|e| e.to_string());
                let entry = jit.entry(subject.index, cpu).map_err(|e| e.to_string());
                let mut both = placed.and(context).and_then(|c| Ok((entry?, c)));
                for round in 1..=rounds {
                    start.wait();
                    let mut calm = gauge.is_calm();
                    // Who waits is woken sooner or later.
                    awake.fetch_add(1, Relaxed);
                    while awake.load(Relaxed) < round * threads as u64 {
                        std::thread::yield_now();
                    }
                    let from = Instant::now();
                    let mut written = 0;
                    let mut failed = None;
                    let took = clock::batch(RUNS, || match &mut both {
                        Ok((entry, context)) => match entry.call(context) {
                            Ok(outcome) => written += outcome.ret,
                            Err(e) => failed = Some(e.to_string()),
                        },
                        Err(e) => failed = Some(e.clone()),
                    });
                    let to = Instant::now();
                    calm &= gauge.is_calm();
                    if let Ok(mut totals) = totals.lock() {
                        totals.written += written;
                        totals.writers_ns += took.as_nanos() as u64;
                        let (first, last) = totals.between.unwrap_or((from, to));
                        totals.between = Some((first.min(from), last.max(to)));
                        totals.disturbed |= !calm;
                        totals.failed = totals.failed.take().or(failed);
                    }
                    end.wait();
                }
            });
        }
        for _ in 0..rounds {
            start.wait();
            end.wait();
            if let Ok(mut totals) = totals.lock() {
                result.rounds.push(totals.end_round());
            }
            for map in instance.maps() {
                let Some(ring) = map.ring() else {
                    continue;
                };
                ring.consume(|record| {
                    result.read += 1;
                    result.whole &= is_whole(record);
                    true
                });
            }
        }
    });
    let totals = totals.into_inner().map_err(|e| e.to_string())?;
    result.written = totals.written;
    result.whole &= result.read == result.written;
    match totals.failed {
        Some(why) => Err(why),
        None => Ok(result),
    }
}

/// A word and its complement in 32 bits, as `ringbuf_64` writes them.
fn is_whole(record: &[u8]) -> bool {
    match record.as_chunks::<8>() {
        ([low, high], []) => {
            let (low, high) = (u64::from_ne_bytes(*low), u64::from_ne_bytes(*high));
            low as u32 == !(high as u32)
        }
        _ => false,
    }
}
