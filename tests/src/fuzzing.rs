//! What fuzzers on a stable compiler share: their options, and the damage that they do to good input.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::generate::Rng;

/// What a fuzzer is told.
pub struct Args {
    pub what: String,
    pub time: Duration,
    pub seed: u64,
    pub features: Option<String>,
}

impl Args {
    /// Of the command line.
    pub fn given() -> Option<Args> {
        let mut given = std::env::args().skip(1);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let mut args = Args {
            what: given.next()?,
            time: Duration::from_secs(60),
            seed: now.map_or(1, |d| d.as_nanos() as u64),
            features: None,
        };
        while let Some(option) = given.next() {
            let value = given.next()?;
            match option.as_str() {
                "--minutes" => {
                    let minutes: f64 = value.parse().ok()?;
                    args.time = Duration::try_from_secs_f64(minutes * 60.0).ok()?;
                }
                "--seed" => args.seed = value.parse().ok()?,
                "--features" => args.features = Some(value),
                _ => return None,
            }
        }
        Some(args)
    }
}

/// Mutations of what is good.
pub fn mutations(
    what: &str,
    corpus: Vec<Vec<u8>>,
    args: &Args,
    end: Instant,
    check: impl Fn(&[u8]) + std::panic::RefUnwindSafe,
) -> ExitCode {
    if corpus.is_empty() {
        eprintln!("nothing to start from");
        return ExitCode::FAILURE;
    }
    let mut r = Rng(args.seed);
    let mut tried = 0u64;
    while Instant::now() < end {
        let mut bytes = corpus[r.below(corpus.len() as u64) as usize].clone();
        for _ in 0..1 + r.below(8) {
            mutate(&mut r, &mut bytes);
        }
        let input = bytes.clone();
        let result = std::panic::catch_unwind(|| check(&input));
        if result.is_err() {
            let path = std::env::temp_dir().join(format!("{what}-{}", r.0));
            let kept = std::fs::write(&path, &bytes);
            println!("broken by {} ({kept:?})", path.display());
            return ExitCode::FAILURE;
        }
        tried += 1;
    }
    println!("{tried} inputs");
    ExitCode::SUCCESS
}

/// A change of a byte or a few, a cut, a repetition.
pub fn mutate(r: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = r.below(bytes.len() as u64) as usize;
    match r.below(6) {
        0 => bytes[at] = r.next() as u8,
        1 => bytes[at] ^= 1 << r.below(8),
        2 => bytes.truncate(at),
        3 => {
            let word = r.word().to_le_bytes();
            let n = r.of(&[1, 2, 4, 8]).min(bytes.len() - at);
            bytes[at..at + n].copy_from_slice(&word[..n]);
        }
        4 => {
            let from = r.below(bytes.len() as u64) as usize;
            let n = (r.below(64) as usize).min(bytes.len() - at.max(from));
            bytes.copy_within(from..from + n, at);
        }
        _ => {
            let n = (r.below(16) as usize).min(bytes.len() - at);
            bytes.drain(at..at + n);
        }
    }
}
