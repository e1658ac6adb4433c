//! The kernel's own instruction-array cases, verdict against verdict: against what Linux 6.18 said of them, and,
//! where there is a kernel to ask, against what it says now.
//!
//! The cases are data from outside of the project: `PROBITY_SHARED` names the directory that holds
//! `data/verifier/arrays-dev.jsonl.gz`; without it the test says so and ends.
//! `PROBITY_ARRAYS_CASE=TEXT` tells all about the cases whose name holds TEXT; `PROBITY_ARRAYS_LIST=1` lists disagreements.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use probity_tests::agree::explained::Table;
use probity_tests::agree::{Judge, Oracle, Settings, text};
use probity_tests::arrays::{STRICT_ALIGNMENT, cases, object};
use probity_tests::kernel::{self, Machine};

#[test]
fn agrees_with_linux() {
    let Some(cases) = cases() else {
        eprintln!("skipped: PROBITY_SHARED does not name the directory of the cases");
        return;
    };
    let only = std::env::var("PROBITY_ARRAYS_CASE").ok();
    let list = std::env::var_os("PROBITY_ARRAYS_LIST").is_some() || only.is_some();
    let alive = kernel::available().is_ok();
    let settings = Settings {
        oracle: if alive {
            Oracle::Kernel
        } else {
            Oracle::Annotations
        },
        cache: None,
        program: None,
        feature: None,
        limit: Duration::from_secs(60),
        progress: false,
        table: Table::ours().expect("the table reads"),
        summaries: true,
        joins: true,
    };
    let machine = Machine::here();
    let mut judge = Judge::new(&machine, &settings, &[]).expect("a judge");
    let mut unfit: BTreeMap<String, usize> = BTreeMap::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap_or_default();
        if only.as_ref().is_some_and(|o| !name.contains(o.as_str())) {
            continue;
        }
        let object = match object(case, &judge.platform) {
            Ok(object) => object,
            Err(why) => {
                *unfit.entry(why).or_default() += 1;
                continue;
            }
        };
        judge.strict_alignment(case["pflags"].as_u64().unwrap_or(0) & STRICT_ALIGNMENT != 0);
        judge.object(name, &Arc::new(object));
        // What it said then counts where it says nothing now.
        if let Some(c) = judge.outcome.cases.last_mut()
            && c.object == name
            && c.linux.verdict == "none"
        {
            let said = case["linux_6_18"]["verdict"].as_str();
            c.linux.verdict = said.unwrap_or("none").to_string();
            c.linux.why = case["errstr"].as_str().unwrap_or_default().to_string();
        }
    }
    println!("not cases for us: {unfit:#?}");
    let report = text(&judge.outcome);
    match list {
        true => println!("{report}"),
        false => println!(
            "{}",
            report.rsplit("\n\n").take(2).collect::<Vec<_>>().join("\n")
        ),
    }
    let wrong: Vec<String> = judge
        .outcome
        .cases
        .iter()
        .filter(|c| c.is_unsound() || c.ours.verdict == "panic")
        .map(|c| format!("{}: {} ({})", c.object, c.linux.why, c.ours.verdict))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} cases accepted that Linux rejects:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    if only.is_none() {
        let of_accepted = judge
            .outcome
            .cases
            .iter()
            .filter(|c| c.linux.verdict == "accept");
        let (all, both) = of_accepted.fold((0, 0), |(all, both), c| {
            (all + 1, both + usize::from(c.ours.verdict == "accept"))
        });
        assert!(
            both * 100 >= all * 99,
            "of {all} cases that Linux accepts only {both} are accepted"
        );
    }
}
