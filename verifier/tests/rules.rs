//! Small programs, each about one rule or one known kind of verifier bug: `rules.txt`.

use std::sync::Arc;

use probity_objfile::assemble;
use probity_platform::{Platform, Policy, Version};
use probity_verifier::{Options, Verdict, verify};

const HEAD: &str = "\
r6 = r1
*(u32 *)(r10 - 4) = 0
r2 = r10
r2 += -4
r1 = map counts ll
call bpf_map_lookup_elem
if r0 != 0 goto found
exit
found:
r7 = *(u64 *)(r0 + 0)
";

/// A dynptr of the 8 bytes of `counts` at fp-32; r6 points to these, r7 is an unknown number.
const DYNPTR: &str = "\
r6 = r0
r1 = r0
r2 = 8
r3 = 0
r4 = r10
r4 += -32
call bpf_dynptr_from_mem
";

/// A dynptr of a record of 8 bytes at fp-32.
const RINGPTR: &str = "\
r1 = map ring ll
r2 = 8
r3 = 0
r4 = r10
r4 += -32
call bpf_ringbuf_reserve_dynptr
";

const MAPS: &str = "\
.license \"GPL\"
.map counts kind=array key=4 value=8 max_entries=4
.map hashed kind=hash key=4 value=8 max_entries=4
.map ring kind=ringbuf max_entries=4096
.map inbox kind=user_ringbuf max_entries=4096
.map programs kind=prog_array key=4 value=4 max_entries=4
.map secret kind=array key=4 value=8 max_entries=1 flags=256
.rodata fixed
.quad 7
.data varying
.quad 7
";

struct Case {
    name: String,
    section: String,
    expected: String,
    unprivileged: bool,
    code: String,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in include_str!("rules.txt").lines() {
        if let Some(head) = line.strip_prefix("== ") {
            let parts: Vec<&str> = head.split(" | ").collect();
            let (name, section, expected, unprivileged) = match parts[..] {
                [name, section, expected] => (name, section, expected, false),
                [name, section, expected, "unprivileged"] => (name, section, expected, true),
                _ => panic!("`{line}` is no case"),
            };
            cases.push(Case {
                name: name.to_string(),
                section: section.to_string(),
                expected: expected.to_string(),
                unprivileged,
                code: String::new(),
            });
        } else if let Some(case) = cases.last_mut() {
            let parts: &[&str] = match line {
                "HEAD" => &[HEAD],
                "DYNPTR" => &[HEAD, DYNPTR],
                "RINGPTR" => &[RINGPTR],
                line => &[line],
            };
            for part in parts {
                case.code.push_str(part);
                case.code.push('\n');
            }
        }
    }
    cases
}

#[test]
fn every_rule() {
    let platform = Arc::new(Platform::linux(Version(6, 18), None));
    let unprivileged = Arc::new(Platform {
        privileged: false,
        ..Platform::linux(Version(6, 18), None)
    });
    let helper = |name: &str| platform.helper_by_name(name).map(|h| h.id);
    let mut wrong = Vec::new();
    let all = cases();
    for case in &all {
        let text = format!("{MAPS}.section \"{}\"\nmain:\n{}", case.section, case.code);
        let object = match assemble("case", &text, &helper) {
            Ok(object) => object,
            Err(e) => {
                wrong.push(format!("{}: does not assemble: {e}", case.name));
                continue;
            }
        };
        for store_often in [false, true] {
            let options = Options {
                store_often,
                ..Options::default()
            };
            let platform = match case.unprivileged {
                true => &unprivileged,
                false => &platform,
            };
            let report = verify(&object, platform, &Policy::default(), &options).expect("a report");
            let Some(p) = report.programs.first() else {
                wrong.push(format!("{}: no program", case.name));
                continue;
            };
            let (got, why) = match &p.verdict {
                Verdict::Accept(_) => ("accept", String::new()),
                Verdict::Reject(r) => (r.rule.name(), r.to_string()),
            };
            if got != case.expected {
                let expected = &case.expected;
                wrong.push(format!(
                    "{}: expected {expected}, got {got}\n{why}",
                    case.name
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        all.len(),
        wrong.join("\n")
    );
}
