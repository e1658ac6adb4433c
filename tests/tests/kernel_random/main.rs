//! Random programs given to our verifier and to the running kernel: what we accept and it refuses is explained by
//! the table of `agree` (`tests/agree/explained.toml`), or, where Linux knows less of a value than we do, confirmed by
//! runs that come to the place and stay inside of what we proved.
//!
//! The seed is printed; `TEST_SEED=N` takes it back, `TEST_PROGRAMS=N` says how many, `TEST_LIST=1` lists disagreements.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use probity_objfile::Object;
use probity_platform::{Platform, Policy, Version};
use probity_tests::agree::explained::{Refusal, Table, stopped_at};
use probity_tests::containment::{self, Setting};
use probity_tests::generate::{Features, KINDS, Rng, maps, program};
use probity_tests::{kernel, skip};
use probity_verifier::{Options, Verdict, verify};

/// Of programs that only we accept and no class explains, the share that may stay unconfirmed because no run comes
/// to where Linux stopped: one in so many programs.
const UNCONFIRMED: u64 = 500;

/// Runs of a program that only we accept.
const RUNS: u64 = 300;

/// Runs a program that Linux refuses at an instruction for what it does not know of a value there. When every run stays
/// inside of the states that we proved, and some come to that instruction, we know more than Linux, and rightly.
/// `Ok(false)`: no run came there.
fn confirmed(object: &Object, log: &[String], seed: u64) -> Result<bool, String> {
    let setting = Setting {
        runs: RUNS,
        ..Setting::new(RUNS)
    };
    match containment::run(&setting, object, false, seed)? {
        Ok(ran) => Ok(stopped_at(log).is_some_and(|pc| ran.seen.get(pc) == Some(&true))),
        // What cannot run in process is not confirmed by it.
        Err(_) => Ok(false),
    }
}

/// What is left out: callbacks and allocated structures want types, and where we know a number that Linux takes for unknown (divisions, shifts by
/// registers, swapped bytes, a number less itself) most acceptances would have to be confirmed by runs.
fn features() -> Features {
    Features::ALL
        .without(Features::CALLBACK)
        .without(Features::STRUCTURE)
        .without(Features::ARENA)
        .without(Features::TEXT)
        .without(Features::DIVISION)
        .without(Features::SHIFT_BY_REGISTER)
        .without(Features::BYTE_SWAP)
        .without(Features::SAME_OPERAND)
}

#[test]
fn linux_accepts_what_we_accept() {
    if let Err(why) = kernel::available() {
        return skip(&format!("the kernel does not take programs from us: {why}"));
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    let seed = number("TEST_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(8, |d| d.as_nanos() as u64)
    });
    let programs = number("TEST_PROGRAMS").unwrap_or(3000);
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
    let table = Table::ours().expect("the table reads");
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    let mut unconfirmed = Vec::new();
    let mut wrong = Vec::new();
    for n in 0..programs {
        let kind = r.of(KINDS);
        let made = program(&mut r, kind, features());
        let Some(object) = made.object() else {
            neither += 1;
            continue;
        };
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
                let lines: Vec<String> = log.lines().map(str::to_owned).collect();
                let why = kernel::telling(&log).unwrap_or(&log);
                let refusal = Refusal {
                    object: "random",
                    program: "main",
                    why,
                    log: &lines,
                    reached: &|pc| p.facts().get(pc).is_some_and(|f| f.reached),
                };
                let found = match table.explain(&refusal) {
                    Some(class) => Ok(class.name.clone()),
                    None => match confirmed(object, &lines, seed ^ n) {
                        Ok(true) => Ok("precision: runs stay inside of what is proved".into()),
                        Ok(false) => Err("no run comes there".to_string()),
                        Err(broken) => Err(broken),
                    },
                };
                let broken = match found {
                    Ok(class) => {
                        *reasons.entry(class).or_default() += 1;
                        continue;
                    }
                    Err(why) => why,
                };
                let end = &lines[lines.len().saturating_sub(12)..];
                let text = format!(
                    "program {n} [{}]: we accept, Linux refuses: {why}; {broken}\n{}\n{}",
                    kind.section,
                    made.text(&platform),
                    end.join("\n")
                );
                match broken == "no run comes there" {
                    true => unconfirmed.push(text),
                    false => wrong.push(text),
                }
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
    println!("{:6} unconfirmed", unconfirmed.len());
    if std::env::var_os("TEST_LIST").is_some() || unconfirmed.len() as u64 > programs / UNCONFIRMED
    {
        println!("{}", unconfirmed.join("\n\n"));
    }
    assert!(
        unconfirmed.len() as u64 <= programs / UNCONFIRMED,
        "TEST_SEED={seed}: {} programs that only we accept are not explained",
        unconfirmed.len()
    );
    assert!(
        wrong.is_empty(),
        "TEST_SEED={seed}, {} programs:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}
