//! `fuzz-engines [--minutes N] [--seed N] [--programs N] [--jobs N] [--only SEED]`: random verified programs on the interpreter and
//! the compiler, for as long as one likes.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use probity_jit::{Jit, Lowerings, Options};
use probity_runtime::Engine;
use probity_tests::engines::{Setting, Tally, check_seed};
use probity_tests::generate::Rng;

const USAGE: &str =
    "usage: fuzz-engines [--minutes N] [--seed N] [--programs N] [--jobs N] [--only SEED]";

struct Args {
    time: Duration,
    seed: u64,
    programs: u64,
    jobs: usize,
    /// One program, over and over.
    only: Option<u64>,
}

fn args() -> Option<Args> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut args = Args {
        time: Duration::from_secs(60),
        seed: now.map_or(1, |d| d.as_nanos() as u64),
        programs: u64::MAX,
        jobs: 1,
        only: None,
    };
    let mut given = std::env::args().skip(1);
    while let Some(option) = given.next() {
        let value = given.next()?;
        match option.as_str() {
            "--minutes" => {
                let minutes: f64 = value.parse().ok()?;
                args.time = Duration::try_from_secs_f64(minutes * 60.0).ok()?;
            }
            "--seed" => args.seed = value.parse().ok()?,
            "--programs" => args.programs = value.parse().ok()?,
            "--only" => args.only = Some(value.parse().ok()?),
            "--jobs" => args.jobs = value.parse().ok().filter(|n| (1..=64).contains(n))?,
            _ => return None,
        }
    }
    Some(args)
}

/// One of the ways in which programs are compiled: half of all with everything, half with some lowerings only.
fn varied(draw: u64) -> Options {
    Options {
        optimise: !draw.is_multiple_of(8),
        lowerings: match draw >> 8 & 1 {
            0 => Lowerings::ALL,
            _ => Lowerings::drawn(draw >> 16),
        },
    }
}

/// Programs whose seeds one thread draws at a time.
const BATCH: u64 = 256;

fn main() -> ExitCode {
    let Some(args) = args() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    println!("--seed {}", args.seed);
    let start = Instant::now();
    // What a wrong program prints comes with its assembly; a panic's own text says little.
    std::panic::set_hook(Box::new(|_| {}));
    let setting = Setting::new(&probity_runtime::platform(None), 4);
    let make = |instance, draw| {
        let jit = Jit::with_options(instance, &varied(draw)).map_err(|e| e.to_string())?;
        Ok(Box::new(jit) as Box<dyn Engine>)
    };
    let (batches, broken) = (AtomicU64::new(0), AtomicBool::new(false));
    let total = Mutex::new(Tally::default());
    let work = || {
        while start.elapsed() < args.time && !broken.load(Relaxed) {
            // Program n has the same seed whatever thread takes it.
            let first = batches.fetch_add(1, Relaxed) * BATCH;
            if first >= args.programs {
                break;
            }
            let mut tally = Tally::default();
            let mut seeds = Rng(args.seed ^ first.wrapping_mul(0xd134_2543_de82_ef95));
            for _ in 0..BATCH.min(args.programs - first) {
                let seed = seeds.next();
                match check_seed(&setting, args.only.unwrap_or(seed), &make) {
                    Ok(checked) => tally.add(checked),
                    Err(b) => {
                        println!("{b}\n");
                        broken.store(true, Relaxed);
                        break;
                    }
                }
            }
            let mut total = total.lock().unwrap_or_else(|e| e.into_inner());
            let before = total.programs() / 10_000;
            *total += tally;
            if total.programs() / 10_000 > before {
                println!("{total}, {:.0} s", start.elapsed().as_secs_f64());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..args.jobs {
            scope.spawn(work);
        }
    });
    let total = total.into_inner().unwrap_or_else(|e| e.into_inner());
    let seconds = start.elapsed().as_secs_f64();
    let rate = total.programs() as f64 / seconds;
    println!("{total}; {seconds:.0} s, {rate:.0} programs a second");
    match broken.into_inner() {
        false => ExitCode::SUCCESS,
        true => ExitCode::FAILURE,
    }
}
