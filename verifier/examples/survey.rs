//! Verdicts on object files: `survey [--btf FILE] [--why] FILE.o…`, one line a program.

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_btf::Btf;
use probity_objfile::open;
use probity_platform::{Platform, Policy, Version};
use probity_verifier::{Options, Verdict, verify};

fn main() {
    let mut args = std::env::args().skip(1).peekable();
    let mut btf = None;
    let mut why = false;
    let mut files = Vec::new();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--btf" => btf = args.next(),
            "--why" => why = true,
            _ => files.push(arg),
        }
    }
    let types = btf.map(|path| {
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        Arc::new(Btf::parse(&bytes).unwrap_or_else(|e| panic!("{path}: {e}")))
    });
    let platform = Arc::new(Platform::linux(Version(6, 18), types));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files {
        let object = match std::fs::read(&file).map_err(|e| e.to_string()).and_then(|b| open(&file, &b).map_err(|e| e.to_string())) {
            Ok(object) => object,
            Err(e) => {
                println!("{file}: not opened: {e}");
                continue;
            }
        };
        let report = match verify(&object, &platform, &Policy::default(), &Options::default()) {
            Ok(report) => report,
            Err(e) => {
                println!("{file}: {e}");
                continue;
            }
        };
        for p in &report.programs {
            *counts.entry(p.verdict.name()).or_default() += 1;
            let s = &p.stats;
            println!(
                "{:11} {file} {} [{}] {} insns, {} processed, {} states, {} bytes, {} us",
                p.verdict.name(), p.name, p.prog_type, p.insns, s.processed, s.states, s.stack_depth, s.time_us
            );
            if let Verdict::Reject(r) = &p.verdict
                && why
            {
                println!("{r}");
            }
        }
    }
    println!("{counts:?}");
}
