//! Files of small programs, each with the verdict that it must get.
//!
//! `== NAME | SECTION | EXPECTED [| WORD]…` begins a case; what follows is its code. Expected is `accept` or the
//! rule that rejects it. The word `worst N` says what a run executes at most, `worst WHY` why nobody knows.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::Arc;

use probity_objfile::{Error, Object};
use probity_platform::{Platform, Policy};
use probity_verifier::{Options, Verdict, verify};

pub struct Case {
    pub name: String,
    pub section: String,
    pub expected: String,
    /// What else stands in the head.
    pub words: Vec<String>,
    pub code: String,
}

pub fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("== ") {
            let mut parts = head.split(" | ").map(str::to_string);
            let mut part = || {
                parts
                    .next()
                    .unwrap_or_else(|| panic!("`{line}` is no case"))
            };
            cases.push(Case {
                name: part(),
                section: part(),
                expected: part(),
                words: parts.collect(),
                code: String::new(),
            });
        } else if let Some(case) = cases.last_mut() {
            case.code.push_str(line);
            case.code.push('\n');
        }
    }
    cases
}

impl Case {
    /// The whole text of the program, with the code as `line` spells each of its lines.
    pub fn text(&self, maps: &str, line: impl Fn(&str) -> String) -> String {
        let mut text = format!("{maps}.section \"{}\"\nmain:\n", self.section);
        for code in self.code.lines() {
            text.push_str(&line(code));
            text.push('\n');
        }
        text
    }
}

pub fn assemble(platform: &Platform, text: &str) -> Result<Object, Error> {
    probity_objfile::assemble("case", text, &|name| {
        platform.helper_by_name(name).map(|h| h.id)
    })
}

/// Every case gets its verdict, whether states are stored seldom or often, and joined or not.
pub fn judge(
    cases: &[Case],
    platform: impl Fn(&Case) -> Arc<Platform>,
    object: impl Fn(&Case, &Platform) -> Result<Object, Error>,
) {
    assert!(!cases.is_empty(), "no cases");
    let mut wrong = Vec::new();
    for case in cases {
        let (name, expected) = (&case.name, &case.expected);
        let platform = platform(case);
        let object = match object(case, &platform) {
            Ok(object) => object,
            Err(e) => {
                wrong.push(format!("{name}: does not assemble: {e}"));
                continue;
            }
        };
        for (store_often, joins) in [(false, true), (true, true), (true, false)] {
            let options = Options {
                store_often,
                joins,
                ..Options::default()
            };
            let report = verify(&object, &platform, &Policy::default(), &options);
            let report = report.expect("a report");
            let Some(p) = report.programs.first() else {
                wrong.push(format!("{name}: no program"));
                continue;
            };
            let (got, why) = match &p.verdict {
                Verdict::Accept(_) => ("accept", String::new()),
                Verdict::Reject(r) => (r.rule.name(), r.to_string()),
            };
            assert!(!why.contains("bpf_bpf_"), "{name}: {why}");
            let worst = match (p.stats.worst_case_insns, p.stats.worst_case_why) {
                (Some(n), _) => n.to_string(),
                (None, why) => why.map_or("unknown", |why| why.name()).to_string(),
            };
            let told = case.words.iter().find_map(|w| w.strip_prefix("worst "));
            if let Some(told) = told.filter(|told| *told != worst) {
                wrong.push(format!(
                    "{name}: expected at most {told} executed, got {worst}"
                ));
            }
            if got != expected {
                wrong.push(format!("{name}: expected {expected}, got {got}\n{why}"));
            }
        }
    }
    let (bad, of) = (wrong.len(), cases.len());
    assert!(
        wrong.is_empty(),
        "{bad} of {of} cases:\n{}",
        wrong.join("\n")
    );
}
