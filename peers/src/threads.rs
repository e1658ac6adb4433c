//! A program that writes records → several threads that run it at once, and whether all records came out.

use std::sync::{Arc, Barrier, Mutex};

use probity_jit::Jit;
use probity_runtime::{Context, Instance, Options};

use crate::{Subject, clock};

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
    /// The same of the thread that took longest: what passed while all wrote, each on a processor of its own.
    pub elapsed_ns: u64,
}

/// Runs a program, that returns how many records of two words it wrote (the second the complement of the first), on
/// that many threads for some rounds.
pub fn ring_by_threads(
    subject: &Subject,
    threads: usize,
    rounds: u64,
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
    let totals = Mutex::new((0u64, Round::default(), None));
    let mut result = ByThreads {
        written: 0,
        read: 0,
        whole: true,
        rounds: Vec::new(),
    };
    std::thread::scope(|scope| {
        for cpu in 0..threads {
            let (jit, start, end, totals) = (&jit, &start, &end, &totals);
            scope.spawn(move || {
                let context = Context::xdp(&subject.input).map_err(|e| e.to_string());
                let entry = jit.entry(subject.index, cpu).map_err(|e| e.to_string());
                let mut both = context.and_then(|c| Ok((entry?, c)));
                for _ in 0..rounds {
                    start.wait();
                    let mut written = 0;
                    let mut failed = None;
                    let took = clock::batch(RUNS, || match &mut both {
                        Ok((entry, context)) => match entry.call(context) {
                            Ok(outcome) => written += outcome.ret,
                            Err(e) => failed = Some(e.to_string()),
                        },
                        Err(e) => failed = Some(e.clone()),
                    });
                    let took = took.as_nanos() as u64;
                    if let Ok(mut totals) = totals.lock() {
                        let (all, round, why) = &mut *totals;
                        *all += written;
                        round.writers_ns += took;
                        round.elapsed_ns = round.elapsed_ns.max(took);
                        *why = why.take().or(failed);
                    }
                    end.wait();
                }
            });
        }
        for _ in 0..rounds {
            start.wait();
            end.wait();
            if let Ok(mut totals) = totals.lock() {
                result.rounds.push(std::mem::take(&mut totals.1));
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
    let (written, _, failed) = totals.into_inner().map_err(|e| e.to_string())?;
    result.written = written;
    result.whole &= result.read == written;
    match failed {
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
