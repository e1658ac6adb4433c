//! Random programs given to our verifier and to the running kernel: what we accept and it refuses
//! must have a reason in [`EXPLAINED`].
//!
//! `TEST_SEED=N` runs others than the usual ones, `TEST_PROGRAMS=N` says how many. The usual ones are always the
//! same: of some thousand programs one is refused because we know a range that Linux does not, which wants a reader.

mod generate;

use std::collections::BTreeMap;
use std::sync::Arc;

use generate::{KINDS, Rng, program};
use probity_objfile::{Map, ObjectBuilder, ProgramDef};
use probity_platform::{Platform, Policy, Version};
use probity_tests::{kernel, skip};
use probity_verifier::{Options, Verdict, VerifiedProgram, verify};

/// Part of what Linux says when it refuses a program that we accept, and why that is safe.
const EXPLAINED: &[(&str, &str)] = &[
    (
        "is not allowed in subprogs without BTF",
        "we walk on in the caller with what a tail call or a short packet returns; Linux asks for a type",
    ),
    (
        "The sequence of 8193 jumps is too complex",
        "a limit of Linux's on its own work",
    ),
    (
        "BPF program is too large",
        "a limit of Linux's on its own work; where we prune earlier",
    ),
    (
        "infinite loop detected",
        "the loop ends for us: we know the flags of a comparison that Linux does not",
    ),
];

/// Why an acceptance that Linux does not share is safe all the same.
fn explained(log: &str, p: &VerifiedProgram) -> Option<&'static str> {
    let reached = |pc: usize| p.facts().get(pc).is_some_and(|f| f.reached);
    if let Some((_, why)) = EXPLAINED.iter().find(|(part, _)| log.contains(part)) {
        return Some(why);
    }
    // The last instruction that Linux looked at: `12: (0f) r1 += r2`.
    let at = log.lines().rev().find_map(|l| {
        let (pc, rest) = l.split_once(": (")?;
        let hex = rest.get(..2)?;
        u8::from_str_radix(hex, 16).ok()?;
        pc.split_whitespace().last()?.parse::<usize>().ok()
    });
    at.filter(|pc| !reached(*pc))
        .map(|_| "no way leads there: a branch that we decide and Linux does not")
}

fn maps() -> Vec<Map> {
    let map = |name: &str, kind, key_size, value_size, max_entries| Map {
        name: name.to_string(),
        kind,
        key_size,
        value_size,
        max_entries,
        flags: 0,
        map_extra: 0,
        numa_node: None,
        pinned: false,
        key_type: None,
        value_type: None,
        data: None,
        inner: None,
        initial: Vec::new(),
    };
    vec![
        map("array", 2, 4, 16, 1),
        map("hash", 1, 4, 16, 4),
        map("ring", 27, 0, 0, 4096),
        map("programs", 3, 4, 4, 4),
        map("events", 4, 4, 4, 1),
    ]
}

/// The line of the kernel's log that tells why.
fn telling(log: &str) -> &str {
    log.lines()
        .rev()
        .find(|l| !l.is_empty() && !l.starts_with("processed ") && !l.contains("(os error"))
        .or_else(|| log.lines().last())
        .unwrap_or_default()
}

#[test]
fn linux_accepts_what_we_accept() {
    if let Err(why) = kernel::available() {
        return skip(&format!("the kernel does not take programs from us: {why}"));
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    let seed = number("TEST_SEED").unwrap_or(8);
    let programs = number("TEST_PROGRAMS").unwrap_or(1000);
    println!("TEST_SEED={seed}");
    let mut fds = Vec::new();
    for map in maps() {
        match kernel::create(&map) {
            Ok(fd) => fds.push(fd),
            Err(e) => return skip(&format!("map {} cannot be made: {e}", map.name)),
        }
    }
    let platform = Arc::new(Platform::linux(Version(6, 18), None));
    let policy = Policy {
        max_processed: Some(20_000),
        ..Policy::default()
    };
    let mut r = Rng(seed);
    // Accepted by both, by neither, by us only, by Linux only.
    let (mut both, mut neither, mut ours, mut theirs) = (0, 0, 0, 0);
    let mut reasons = BTreeMap::new();
    let mut wrong = Vec::new();
    for n in 0..programs {
        let kind = r.of(KINDS);
        let made = program(&mut r, kind);
        let mut def = ProgramDef::new("main", kind.section, &made.code).expect("encodes");
        def.subprogs = made.subprogs;
        let mut builder = ObjectBuilder::new("random");
        builder.license("GPL");
        for map in maps() {
            builder.add_map(map);
        }
        builder.add_program(def).expect("a program");
        let object = builder.build().expect("an object");
        let report = verify(&object, &platform, &policy, &Options::default()).expect("a report");
        let object = &report.relocated().object;
        let program = &object.programs[0];
        let kind_of = program.prog_type().expect("a known section");
        let mine = &report.programs[0].verdict;
        // An array of programs belongs to the first kind of program that uses it.
        match kernel::create(&maps()[3]) {
            Ok(fd) => fds[3] = fd,
            Err(e) => return skip(&format!("map programs cannot be made: {e}")),
        }
        let linux = kernel::verdict_with(object, program, kind_of, &fds);
        match (mine, linux) {
            (Verdict::Accept(_), kernel::Verdict::Accept) => both += 1,
            (Verdict::Reject(_), kernel::Verdict::Reject { .. }) => neither += 1,
            (Verdict::Reject(why), kernel::Verdict::Accept) => {
                theirs += 1;
                if std::env::var_os("TEST_LIST").is_some() {
                    println!("program {n} [{}]: only Linux accepts: {why}", kind.section);
                }
            }
            (Verdict::Accept(p), kernel::Verdict::Reject { log }) => {
                ours += 1;
                if let Some(why) = explained(&log, p) {
                    *reasons.entry(why).or_insert(0u64) += 1;
                    continue;
                }
                let text: Vec<String> = made
                    .code
                    .iter()
                    .enumerate()
                    .map(|(pc, i)| format!("{pc:4}: {i}"))
                    .collect();
                let end: Vec<&str> = log.lines().rev().take(12).collect();
                let end: Vec<&str> = end.into_iter().rev().collect();
                wrong.push(format!(
                    "program {n} [{}]: we accept, Linux refuses: {}\n{}\n{}",
                    kind.section,
                    telling(&log),
                    text.join("\n"),
                    end.join("\n")
                ));
            }
            (_, kernel::Verdict::NoVerdict(why)) => panic!("no verdict from Linux: {why}"),
        }
    }
    println!(
        "{programs} programs: accepted by both {both}, by neither {neither}, by us only {ours}, by Linux only {theirs}"
    );
    for (why, count) in &reasons {
        println!("{count:6} {why}");
    }
    assert!(
        both * 20 > programs,
        "too few programs are accepted to prove anything: {both} of {programs}"
    );
    assert!(
        wrong.is_empty(),
        "TEST_SEED={seed}, {} programs:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}
