//! What older versions of Linux lack is refused for them, and for them only.

use std::sync::Arc;

use probity_objfile::assemble;
use probity_platform::{NEWEST, Platform, Policy, Version};
use probity_verifier::{Options, Rule, Verdict, verify};

fn verdict(version: Version, section: &str, code: &str) -> Option<Rule> {
    let platform = Arc::new(Platform::linux(version, None));
    let newest = Platform::linux(NEWEST, None);
    let helper = |name: &str| newest.helper_by_name(name).map(|h| h.id);
    let text = format!(
        ".license \"GPL\"\n.map list kind=queue value=8 max_entries=4\n.section \"{section}\"\nmain:\n{code}"
    );
    let object = assemble("case", &text, &helper).expect("it assembles");
    let report = verify(&object, &platform, &Policy::default(), &Options::default());
    match &report.expect("a report").programs[0].verdict {
        Verdict::Accept(_) => None,
        Verdict::Reject(r) => Some(r.rule),
    }
}

#[test]
fn rows_and_instructions_have_a_first_version() {
    let comm = "r1 = r10\nr1 += -16\nr2 = 16\ncall bpf_get_current_comm\nr0 = 2\nexit";
    let cases = [
        // (section, code, first version that has it, why older ones refuse it)
        ("xdp", comm, Version(6, 18), Rule::CallNotAllowed),
        (
            "tracepoint/a/b",
            "r0 = *(s8 *)(r1 + 8)\nr0 = 0\nexit",
            Version(6, 6),
            Rule::Malformed,
        ),
        (
            "sockops",
            "r0 = *(u64 *)(r1 + 216)\nr0 = 0\nexit",
            Version(6, 2),
            Rule::ContextAccess,
        ),
        (
            "cgroup/connect_unix",
            "r0 = 0\nexit",
            Version(6, 7),
            Rule::ProgramKind,
        ),
        (
            "socket",
            "r0 = *(u64 *)(r10 - 8)\nr0 = 0\nexit",
            Version(6, 3),
            Rule::Uninitialised,
        ),
        (
            "netfilter",
            "r0 = 0\nexit",
            Version(6, 4),
            Rule::ProgramKind,
        ),
    ];
    for (section, code, first, rule) in cases {
        for version in [Version(6, 1), Version(6, 6), Version(6, 12), NEWEST] {
            let expected = (version < first).then_some(rule);
            // A return value that the section's kind takes.
            let code = match section {
                "cgroup/connect_unix" => code.replace("r0 = 0", "r0 = 1"),
                _ => code.to_string(),
            };
            assert_eq!(
                verdict(version, section, &code),
                expected,
                "{section} on {version}"
            );
        }
    }
}
