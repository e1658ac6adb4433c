//! `fuzz containment|objfile|bundle [--minutes N] [--seed N] [--features NAME]`: the checks of the fuzz targets on inputs
//! made here, for as long as one likes, with a stable compiler.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use probity_bundle::{Keyring, Package, Time, Trust, Unsigned, Versions};
use probity_tests::containment::{Setting, Tally, check_seed, settings};
use probity_tests::fuzzing::{Args, mutations};
use probity_tests::generate::Rng;
use probity_tests::root;

const USAGE: &str =
    "usage: fuzz containment|objfile|bundle [--minutes N] [--seed N] [--features NAME]";

fn main() -> ExitCode {
    let Some(args) = Args::given() else {
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
        "bundle" => {
            let (corpus, ring) = packages();
            let good: Vec<Package> = corpus.iter().filter_map(|b| package(b)).collect();
            let trust = Trust {
                builtin: Keyring::parse(&ring).expect("a keyring"),
                unsigned: Unsigned::Taint,
                ..Trust::default()
            };
            let signed = |p: &Package| trust.judge(p, &Versions::default(), Time(0)).accepted;
            assert!(
                !good.is_empty() && good.iter().all(signed),
                "good ones are trusted"
            );
            mutations("bundle", corpus, &args, end, |b| {
                probity_bundle::fuzzing::check(b);
                // Whoever knows the key takes what was signed, and nothing else that says it was.
                if let Some(p) = package(b) {
                    let same = good.contains(&p) || p.signature().is_none();
                    assert!(same || !signed(&p), "a changed package is trusted");
                }
            })
        }
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

fn package(bytes: &[u8]) -> Option<Package> {
    let image = |_| probity_bundle::oci::open_tar(bytes);
    Package::open(bytes).or_else(image).ok()
}

/// Packages of the repository's programs, bare and as images, a manifest, a keyring and a log; and the keyring that trusts them.
fn packages() -> (Vec<Vec<u8>>, String) {
    use probity_bundle::{SecretKey, Vendor, log::Log, oci, seal};
    let manifest = "name = \"fuzz\"\nversion = \"1.0.0\"\n[dependencies]\nbase = \"^1\"\n";
    let key = SecretKey::from_seed("fuzz", &[1; 32]).expect("a name");
    let vendor = Vendor::from_toml(manifest).expect("a manifest");
    let platform = std::sync::Arc::new(probity_platform::Platform::linux(
        probity_platform::NEWEST,
        None,
    ));
    let line = Log::default().append(probity_bundle::Time(0), "fuzz", serde_json::Map::new());
    let ring = format!("fuzz {}\n", key.public());
    let mut all = vec![
        manifest.as_bytes().to_vec(),
        ring.clone().into_bytes(),
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
    (all, ring)
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
