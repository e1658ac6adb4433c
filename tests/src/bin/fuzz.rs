//! `fuzz containment|objfile|bundle [--minutes N] [--seed N] [--features NAME]`: the checks of the fuzz targets on inputs
//! made here, for as long as one likes, with a stable compiler.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use probity_tests::containment::{Setting, Tally, check_seed, settings};
use probity_tests::generate::Rng;
use probity_tests::root;

const USAGE: &str =
    "usage: fuzz containment|objfile|bundle [--minutes N] [--seed N] [--features NAME]";

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
        "objfile" => {
            let corpus = corpus(&root().join("objfile/tests/data"));
            mutations("objfile", corpus, &args, end, |b| {
                probity_objfile::fuzzing::check(b);
            })
        }
        "bundle" => mutations("bundle", packages(), &args, end, |b| {
            probity_bundle::fuzzing::check(b);
        }),
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

/// Mutations of what is good.
fn mutations(
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

/// Packages of the repository's programs, bare and as images, a manifest, a keyring and a log.
fn packages() -> Vec<Vec<u8>> {
    use probity_bundle::{SecretKey, Vendor, log::Log, oci, seal};
    let manifest = "name = \"fuzz\"\nversion = \"1.0.0\"\n[dependencies]\nbase = \"^1\"\n";
    let key = SecretKey::from_seed("fuzz", &[1; 32]).expect("a name");
    let vendor = Vendor::from_toml(manifest).expect("a manifest");
    let platform = std::sync::Arc::new(probity_platform::Platform::linux(
        probity_platform::NEWEST,
        None,
    ));
    let line = Log::default().append(probity_bundle::Time(0), "fuzz", serde_json::Map::new());
    let mut all = vec![
        manifest.as_bytes().to_vec(),
        format!("fuzz {}\n", key.public()).into_bytes(),
        line.expect("an empty log").bytes,
    ];
    for name in ["xdp-firewall", "tc-meter", "port-counter"] {
        let path = root().join(format!("programs/{name}/{name}.o"));
        let object = std::fs::read(path).ok();
        let object = object.and_then(|b| probity_objfile::open(name, &b).ok());
        let report = object.and_then(|o| {
            probity_verifier::verify(&o, &platform, &Default::default(), &Default::default()).ok()
        });
        let verified = report.and_then(|r| r.into_verified().ok());
        let data = [("table".to_owned(), vec![7; 100])].into();
        let sealed = verified.and_then(|v| seal(&v, &vendor, data).ok());
        let Some(package) = sealed.map(|s| s.sign(&key, None)) else {
            continue;
        };
        all.push(package.to_bytes());
        all.extend(oci::layout_tar(&package).ok());
    }
    all
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
