//! Verdicts on object files: `survey [--btf FILE] [--why] [--expect] [--program NAME] [--states N] FILE.o|FILE.s…`, one line a program.
//!
//! `--expect` compares them with the declaration tags of the kernel's selftests
//! (`comment:test_expect_success`, `comment:test_expect_failure`) and tells about disagreements only.

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_btf::{Btf, Type, TypeId};
use probity_objfile::open;
use probity_platform::{Platform, Policy, Version};
use probity_verifier::{Options, Verdict, verify};

fn main() {
    let mut args = std::env::args().skip(1).peekable();
    let mut btf = None;
    let mut why = false;
    let mut expect = false;
    let mut only = None;
    let mut states = 0;
    let (mut summaries, mut joins) = (true, true);
    let mut matrix: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut missing: BTreeMap<String, usize> = BTreeMap::new();
    let mut files = Vec::new();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--btf" => btf = args.next(),
            "--why" => why = true,
            "--no-summaries" => summaries = false,
            "--no-joins" => joins = false,
            "--expect" => expect = true,
            "--program" => only = args.next(),
            "--states" => states = args.next().and_then(|n| n.parse().ok()).unwrap_or(100),
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
        let helper = |name: &str| platform.helper_by_name(name).map(|h| h.id);
        let read = std::fs::read(&file).map_err(|e| e.to_string());
        let opened = read.and_then(|b| match file.strip_suffix(".s") {
            Some(_) => {
                let text = String::from_utf8_lossy(&b);
                probity_objfile::assemble(&file, &text, &helper).map_err(|e| e.to_string())
            }
            None => open(&file, &b).map_err(|e| e.to_string()),
        });
        let object = match opened {
            Ok(object) => object,
            Err(e) => {
                println!("{file}: not opened: {e}");
                continue;
            }
        };
        let options = Options {
            programs: only.clone().map(|p| vec![p]),
            log_states: states,
            summaries,
            joins,
            ..Options::default()
        };
        let report = match verify(&object, &platform, &Policy::default(), &options) {
            Ok(report) => report,
            Err(e) => {
                println!("{file}: {e}");
                continue;
            }
        };
        for p in &report.programs {
            *counts.entry(p.verdict.name()).or_default() += 1;
            let s = &p.stats;
            for (pc, state) in &p.log {
                println!("{pc:5}:{state}");
            }
            if let Verdict::Reject(r) = &p.verdict
                && p.verdict.name() == "unsupported"
            {
                *missing.entry(r.must.clone()).or_default() += 1;
            }
            if expect {
                let expected = expectation(&object, &p.name);
                *matrix.entry((expected, p.verdict.name())).or_default() += 1;
                if !matches!(
                    (expected, p.verdict.name()),
                    ("failure", "accept") | ("success", "reject")
                ) {
                    continue;
                }
                print!("expected {expected}: ");
            }
            println!(
                "{:11} {file} {} [{}] {} insns, {} processed, {} states, {} bytes, {}, {} us",
                p.verdict.name(),
                p.name,
                p.prog_type,
                p.insns,
                s.processed,
                s.states,
                s.stack_depth,
                match (s.worst_case_insns, s.worst_case_why) {
                    (Some(n), _) => format!("at most {n} executed"),
                    (None, why) => format!("no bound ({})", why.map_or("-", |why| why.name())),
                },
                s.time_us()
            );
            if let Verdict::Reject(r) = &p.verdict
                && why
            {
                println!("{r}");
            }
        }
    }
    println!("{counts:?}\n{matrix:?}");
    let mut missing: Vec<_> = missing.into_iter().collect();
    missing.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    for (what, n) in missing.iter().take(60) {
        println!("{n:6} {what}");
    }
}

/// What the program's declaration tags say of its verdict.
fn expectation(object: &probity_objfile::Object, name: &str) -> &'static str {
    let Some(btf) = object.btf.as_deref() else {
        return "nothing";
    };
    let Some(func) = btf.find_func(name) else {
        return "nothing";
    };
    let mut found = "nothing";
    for id in 1..btf.len() {
        if let Some(Type::DeclTag { target, value, .. }) = btf.ty(TypeId(id))
            && target == func
        {
            match value {
                v if v.ends_with("test_expect_success") => found = "success",
                v if v.ends_with("test_expect_failure") => found = "failure",
                _ => {}
            }
        }
    }
    found
}
