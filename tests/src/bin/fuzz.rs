//! `fuzz containment|objfile [--minutes N] [--seed N] [--features NAME]`: the checks of the fuzz targets on inputs
//! made here, for as long as one likes, with a stable compiler.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use probity_tests::containment::{Setting, Tally, check_seed, settings};
use probity_tests::generate::Rng;
use probity_tests::root;

const USAGE: &str = "usage: fuzz containment|objfile [--minutes N] [--seed N] [--features NAME]";

struct Args {
    what: String,
    time: Duration,
    seed: u64,
    features: Option<String>,
}

fn args() -> Option<Args> {
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

fn main() -> ExitCode {
    let Some(args) = args() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    println!("--seed {}", args.seed);
    let end = Instant::now() + args.time;
    match args.what.as_str() {
        "containment" => containment(&args, end),
        "objfile" => objfile(&args, end),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn containment(args: &Args, end: Instant) -> ExitCode {
    let setting = Setting::new(8);
    let mut rows = settings();
    if let Some(name) = &args.features {
        rows.retain(|r| r.0 == *name);
        if rows.is_empty() {
            let names: Vec<String> = settings().into_iter().map(|r| r.0).collect();
            eprintln!("no features `{name}`; there are {}", names.join(", "));
            return ExitCode::from(2);
        }
    }
    let mut r = Rng(args.seed);
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut broken = 0;
    // What a wrong program prints comes with its assembly; a panic's own text says little.
    std::panic::set_hook(Box::new(|_| {}));
    while Instant::now() < end && broken < 10 {
        for (name, features) in &rows {
            match check_seed(&setting, r.next(), *features) {
                Ok(checked) => tallies.entry(name.as_str()).or_default().add(&checked),
                Err(b) => {
                    broken += 1;
                    println!("{b}\n");
                }
            }
        }
    }
    for (name, _) in &rows {
        if let Some(tally) = tallies.get(name.as_str()) {
            println!("{name:<22}{tally}");
        }
    }
    println!("{broken} programs broke their proofs");
    match broken {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Mutations of the committed objects.
fn objfile(args: &Args, end: Instant) -> ExitCode {
    let corpus = corpus(&root().join("objfile/tests/data"));
    if corpus.is_empty() {
        eprintln!("no objects to start from");
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
        let result = std::panic::catch_unwind(|| probity_objfile::fuzzing::check(&input));
        if result.is_err() {
            let path = std::env::temp_dir().join(format!("objfile-{}", r.0));
            let kept = std::fs::write(&path, &bytes);
            println!("broken by {} ({kept:?})", path.display());
            return ExitCode::FAILURE;
        }
        tried += 1;
    }
    println!("{tried} objects");
    ExitCode::SUCCESS
}

fn corpus(dir: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.is_file())
        .collect();
    paths.sort();
    let files = paths.iter().filter_map(|p| std::fs::read(p).ok());
    files.filter(|b| b.starts_with(b"\x7fELF")).collect()
}

fn mutate(r: &mut Rng, bytes: &mut Vec<u8>) {
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
