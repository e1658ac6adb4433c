//! `docs/rejections.md`: every rule has a section, every example breaks its rule and gives the message shown.
//!
//! `PROBITY_WRITE_DOCS=1 cargo test -p probity-verifier --test rejections` writes the messages anew.

use std::fmt::Write as _;
use std::sync::Arc;

use probity_objfile::assemble;
use probity_platform::{NEWEST, Platform, Policy};
use probity_verifier::{Options, Rule, Verdict, verify};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rejections.md");

/// What assembly alone cannot break.
const WITHOUT_EXAMPLE: &[Rule] = &[
    Rule::FailedRelocation,
    Rule::Lock,
    Rule::Unsupported,
    Rule::Internal,
];

#[test]
fn every_rule_is_explained_by_an_example_that_breaks_it() {
    let page = std::fs::read_to_string(PAGE).expect("the page");
    let written = rewritten(&page);
    if std::env::var_os("PROBITY_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, &written).expect("the page is written");
    } else {
        for (at, (have, want)) in page.lines().zip(written.lines()).enumerate() {
            assert_eq!(
                have,
                want,
                "line {} (PROBITY_WRITE_DOCS=1 rewrites it)",
                at + 1
            );
        }
        assert_eq!(page, written);
    }
    for rule in Rule::ALL {
        let heading = format!("### `{rule}`\n");
        let section = page.split(&heading).nth(1);
        let section = section.unwrap_or_else(|| panic!("{rule} is not explained"));
        let section = section.split("\n### ").next().unwrap_or_default();
        let example = section.contains("```asm");
        assert_eq!(
            example,
            !WITHOUT_EXAMPLE.contains(rule),
            "example of {rule}"
        );
    }
}

/// The page with the message of each example behind it.
fn rewritten(page: &str) -> String {
    let mut out = String::new();
    let mut rule = String::new();
    let mut policy = Policy::default();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let _ = writeln!(out, "{line}");
        if let Some(name) = line.strip_prefix("### ") {
            rule = name.trim_matches('`').to_string();
            policy = Policy::default();
        }
        let fenced = match line {
            "```asm" | "```toml" => {
                let block: Vec<&str> = lines.by_ref().take_while(|l| *l != "```").collect();
                let block = block.join("\n");
                let _ = writeln!(out, "{block}\n```");
                block
            }
            _ => continue,
        };
        if line == "```toml" {
            policy = Policy::from_toml(&fenced).expect("a policy");
            continue;
        }
        // The message that stands there already.
        let mut rest = lines.clone();
        if rest.next() == Some("") && rest.next() == Some("```text") {
            rest.by_ref().find(|l| *l == "```");
            lines = rest;
        }
        let _ = writeln!(out, "\n```text\n{}\n```", message(&fenced, &rule, &policy));
    }
    out
}

fn message(text: &str, rule: &str, policy: &Policy) -> String {
    let platform = Arc::new(Platform::linux(NEWEST, None));
    let helper = |name: &str| platform.helper_by_name(name).map(|h| h.id);
    let object = assemble("example", text, &helper)
        .unwrap_or_else(|e| panic!("the example of {rule} does not assemble: {e}\n{text}"));
    let report = verify(&object, &platform, policy, &Options::default()).expect("a report");
    let program = report.programs.first().expect("a program");
    match &program.verdict {
        Verdict::Accept(_) => panic!("the example of {rule} is accepted\n{text}"),
        Verdict::Reject(r) => {
            assert_eq!(r.rule.name(), rule, "{r}\n{text}");
            // Without the lines of the example itself.
            let mut r = (**r).clone();
            r.line = None;
            r.trail.iter_mut().for_each(|s| s.line = None);
            r.to_string()
        }
    }
}
