//! Every program of the repository, unsafe ones too, given to the running kernel and to us: whatever we accept and it
//! refuses is in the table of what is explained, and it accepts nothing that we reject.

use std::path::PathBuf;
use std::time::Duration;

use probity_tests::agree::explained::Table;
use probity_tests::agree::{Oracle, Outcome, Settings, files, json, run, text};
use probity_tests::{kernel, programs, skip};

fn everything() -> Vec<PathBuf> {
    let mut all = Vec::new();
    for dir in ["", "unsafe"] {
        all.extend(programs(dir, "o"));
        all.extend(programs(dir, "s"));
    }
    all
}

fn outcome(oracle: Oracle, table: Table) -> Outcome {
    let settings = Settings {
        oracle,
        cache: None,
        program: None,
        feature: None,
        limit: Duration::from_secs(60),
        progress: false,
        table,
        summaries: true,
        joins: true,
    };
    let sources = files(&everything()).expect("the files are there");
    run(&sources, &settings).expect("an outcome")
}

#[test]
fn programs_of_the_repository() {
    if let Err(why) = kernel::available() {
        return skip(&format!("the kernel does not take programs from us: {why}"));
    }
    let outcome = outcome(Oracle::Kernel, Table::ours().expect("the table reads"));
    let report = text(&outcome);
    println!("{report}");
    let count = |verdict: &str| {
        let cases = outcome.cases.iter();
        cases.filter(|c| c.linux.verdict == verdict).count()
    };
    assert!(
        count("accept") >= 10,
        "too few programs that Linux accepts:\n{report}"
    );
    assert!(
        count("reject") >= 30,
        "too few programs that Linux rejects:\n{report}"
    );
    assert!(outcome.unopened.is_empty(), "{:?}", outcome.unopened);
    let wrong: Vec<_> = outcome
        .cases
        .iter()
        .filter(|c| c.is_unsound() || c.disagrees() && c.explained.is_none())
        .map(|c| format!("{} {}", c.object, c.program))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}\n{report}");
    let value: serde_json::Value = serde_json::from_str(&json(&outcome)).expect("JSON");
    assert_eq!(
        value["cases"].as_array().map(Vec::len),
        Some(outcome.cases.len())
    );
}

#[test]
fn without_a_kernel_the_report_says_so() {
    let outcome = outcome(Oracle::Annotations, Table::default());
    assert!(!outcome.cases.is_empty());
    // No program of ours carries annotations.
    assert!(outcome.cases.iter().all(|c| c.linux.verdict == "none"));
    assert!(text(&outcome).contains("The kernel was not asked"));
}
