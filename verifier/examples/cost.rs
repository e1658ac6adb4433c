//! What verification costs: `cost [--btf FILE] [--runs N] [--program NAME] [--below VISITS] [--above VISITS] FILE.o|FILE.s…`.
//!
//! One line a program: least and median nanoseconds over the runs, instructions, visits, nanoseconds a visit;
//! one line an object: the least time that relocation took.
//! At the end the distribution over the programs that were listed.
//! Verdicts are not printed: a rejected program costs what it costs, and is marked.

use std::sync::Arc;
use std::time::Instant;

use probity_btf::Btf;
use probity_objfile::{Object, RelocTarget, open};
use probity_platform::{Platform, Policy, Version};
use probity_verifier::{Options, Verdict, verify};

struct Args {
    btf: Option<String>,
    runs: usize,
    program: Option<String>,
    below: usize,
    above: usize,
    files: Vec<String>,
}

struct Cost {
    what: String,
    insns: usize,
    visits: usize,
    /// Of each run, ascending.
    ns: Vec<u64>,
    accepted: bool,
}

impl Cost {
    fn least(&self) -> u64 {
        self.ns.first().copied().unwrap_or(0)
    }

    fn median(&self) -> u64 {
        self.ns.get(self.ns.len() / 2).copied().unwrap_or(0)
    }
}

fn args() -> Args {
    let mut args = std::env::args().skip(1);
    let mut given = Args {
        btf: None,
        runs: 20,
        program: None,
        below: usize::MAX,
        above: 0,
        files: Vec::new(),
    };
    let number = |text: Option<String>| -> usize {
        let text = text.expect("an option is followed by a number");
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--btf" => given.btf = args.next(),
            "--program" => given.program = args.next(),
            "--runs" => given.runs = number(args.next()).max(1),
            "--below" => given.below = number(args.next()),
            "--above" => given.above = number(args.next()),
            _ => given.files.push(arg),
        }
    }
    given
}

fn read(file: &str, platform: &Platform) -> Result<Object, String> {
    let bytes = std::fs::read(file).map_err(|e| e.to_string())?;
    match file.strip_suffix(".s") {
        Some(_) => {
            let helper = |name: &str| platform.helper_by_name(name).map(|h| h.id);
            let text = String::from_utf8_lossy(&bytes);
            probity_objfile::assemble(file, &text, &helper).map_err(|e| e.to_string())
        }
        None => open(file, &bytes).map_err(|e| e.to_string()),
    }
}

/// The least time that relocation takes, in nanoseconds.
fn relocation(object: &Object, platform: &Platform, runs: usize) -> u64 {
    let Version(major, minor) = platform.version;
    let target = RelocTarget {
        types: platform.types.as_deref(),
        kernel_version: u32::from(major) << 16 | u32::from(minor) << 8,
        kconfig: None,
        ksyms: None,
    };
    let one = |_| {
        let start = Instant::now();
        let relocated = probity_objfile::relocate(object, &target);
        let ns = start.elapsed().as_nanos();
        drop(relocated);
        u64::try_from(ns).unwrap_or(u64::MAX)
    };
    (0..runs).map(one).min().unwrap_or(0)
}

fn main() {
    let args = args();
    let types = args.btf.as_ref().map(|path| {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}"));
        Arc::new(Btf::parse(&bytes).unwrap_or_else(|e| panic!("{path}: {e}")))
    });
    let platform = Arc::new(Platform::linux(Version(6, 18), types));
    let options = Options {
        programs: args.program.clone().map(|p| vec![p]),
        ..Options::default()
    };
    let mut listed: Vec<Cost> = Vec::new();
    let mut relocations: Vec<u64> = Vec::new();
    for file in &args.files {
        let object = match read(file, &platform) {
            Ok(object) => object,
            Err(e) => {
                println!("{file}: {e}");
                continue;
            }
        };
        let mut costs: Vec<Cost> = Vec::new();
        for run in 0..args.runs {
            let report = match verify(&object, &platform, &Policy::default(), &options) {
                Ok(report) => report,
                Err(e) => {
                    println!("{file}: {e}");
                    break;
                }
            };
            for (i, p) in report.programs.iter().enumerate() {
                if run == 0 {
                    costs.push(Cost {
                        what: format!("{file} {}", p.name),
                        insns: p.insns,
                        visits: p.stats.processed,
                        ns: Vec::new(),
                        accepted: matches!(p.verdict, Verdict::Accept(_)),
                    });
                }
                costs[i].ns.push(p.stats.time_ns);
            }
        }
        if costs.is_empty() {
            continue;
        }
        let ns = relocation(&object, &platform, args.runs);
        println!("{file}: relocation {ns} ns");
        relocations.push(ns);
        for mut cost in costs {
            cost.ns.sort_unstable();
            if (args.above..args.below).contains(&cost.visits) {
                println!(
                    "{:9} ns least {:9} median {:5} insns {:8} visits {:7.0} ns/visit{} {}",
                    cost.least(),
                    cost.median(),
                    cost.insns,
                    cost.visits,
                    cost.least() as f64 / cost.visits.max(1) as f64,
                    if cost.accepted { "" } else { " refused" },
                    cost.what
                );
                listed.push(cost);
            }
        }
    }
    let least = listed.iter().map(Cost::least).collect();
    let median = listed.iter().map(Cost::median).collect();
    println!("{} programs listed", listed.len());
    distribution("least of the runs", least);
    distribution("median of the runs", median);
    distribution("relocation of an object", relocations);
}

fn distribution(what: &str, mut ns: Vec<u64>) {
    ns.sort_unstable();
    let at = |percent: usize| ns.get((ns.len() * percent / 100).min(ns.len().saturating_sub(1)));
    if let (Some(p50), Some(p90), Some(p99), Some(max)) = (at(50), at(90), at(99), ns.last()) {
        let sum: u64 = ns.iter().sum();
        println!("{what}: median {p50} p90 {p90} p99 {p99} max {max} sum {sum} ns");
    }
}
