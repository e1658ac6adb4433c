//! Programs by which verifiers were fooled (`verifier/tests/known-bugs.txt`): refused by us, and by the running kernel.

use std::sync::Arc;

use probity_objfile::{Object, assemble};
use probity_platform::{Platform, Policy, Version};
use probity_tests::{kernel, root, skip};
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

const MAPS: &str = "\
.license \"GPL\"
.map counts kind=array key=4 value=8 max_entries=4
.map ring kind=ringbuf max_entries=4096
.map programs kind=prog_array key=4 value=4 max_entries=4
.map bloom kind=bloom_filter value=8 max_entries=4
.rodata fixed
.quad 7
.data varying
.quad 7
";

struct Case {
    name: String,
    section: String,
    /// Rules that may reject it.
    rules: Vec<String>,
    unprivileged: bool,
    /// Why the kernel accepts it.
    explained: Option<String>,
    class: String,
    code: String,
}

fn cases() -> Vec<Case> {
    let path = root().join("verifier/tests/known-bugs.txt");
    let text = std::fs::read_to_string(path).expect("the programs");
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("== ") {
            let parts: Vec<&str> = head.split(" | ").collect();
            let [name, section, rules, rest @ ..] = &parts[..] else {
                panic!("`{line}` is no case")
            };
            cases.push(Case {
                name: (*name).to_string(),
                section: (*section).to_string(),
                rules: rules.split(' ').map(str::to_string).collect(),
                unprivileged: rest.contains(&"unprivileged"),
                explained: rest
                    .iter()
                    .find_map(|r| r.strip_prefix("kernel: "))
                    .map(str::to_string),
                class: String::new(),
                code: String::new(),
            });
        } else if let Some(case) = cases.last_mut() {
            if let Some(class) = line.strip_prefix("# ") {
                case.class = class.to_string();
                continue;
            }
            case.code.push_str(if line == "HEAD" { HEAD } else { line });
            case.code.push('\n');
        }
    }
    cases
}

fn platform(case: &Case) -> Arc<Platform> {
    let linux = Platform::linux(Version(6, 18), None);
    Arc::new(Platform {
        privileged: !case.unprivileged,
        ..linux
    })
}

fn object(case: &Case, platform: &Platform) -> Object {
    // Maps that the program does not name are left out: the kernel makes those that are there.
    let named = |line: &&str| {
        let Some(rest) = line.strip_prefix(".map ") else {
            return true;
        };
        let name = rest.split(' ').next().unwrap_or_default();
        let text = if case.code.contains(HEAD) { HEAD } else { "" };
        case.code.contains(&format!("map {name} ll")) || text.contains(name)
    };
    let maps: Vec<&str> = MAPS.lines().filter(named).collect();
    let helper = |name: &str| platform.helper_by_name(name).map(|h| h.id);
    let text = format!(
        "{}\n.section \"{}\"\nmain:\n{}",
        maps.join("\n"),
        case.section,
        case.code
    );
    assemble(&case.name, &text, &helper).unwrap_or_else(|e| panic!("{}: {e}", case.name))
}

#[test]
fn no_program_that_fooled_a_verifier_is_accepted() {
    let all = cases();
    let mut wrong = Vec::new();
    for case in &all {
        assert!(!case.class.is_empty(), "{} says no class", case.name);
        let platform = platform(case);
        let object = object(case, &platform);
        for store_often in [false, true] {
            let options = Options {
                store_often,
                ..Options::default()
            };
            let report = verify(&object, &platform, &Policy::default(), &options);
            let report = report.expect("a report");
            let verdict = report.programs.first().map(|p| &p.verdict);
            match verdict {
                Some(Verdict::Reject(r)) if case.rules.iter().any(|x| x == r.rule.name()) => {}
                Some(Verdict::Reject(r)) => wrong.push(format!("{}: {r}", case.name)),
                Some(Verdict::Accept(_)) => wrong.push(format!("{}: ACCEPTED", case.name)),
                None => wrong.push(format!("{}: no program", case.name)),
            }
        }
    }
    println!("{} programs", all.len());
    assert!(all.len() > 35, "programs are missing");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_running_kernel_refuses_them_too() {
    if let Err(why) = kernel::available() {
        return skip(&format!("the kernel does not take programs from us: {why}"));
    }
    let mut wrong = Vec::new();
    let (mut refused, mut explained) = (0, 0);
    for case in cases().iter().filter(|c| !c.unprivileged) {
        let platform = platform(case);
        let object = object(case, &platform);
        let report = verify(&object, &platform, &Policy::default(), &Options::default());
        let report = report.expect("a report");
        let object = &report.relocated().object;
        let program = &object.programs[0];
        let kind = program.prog_type().expect("a known section");
        match (kernel::verdict(object, program, kind), &case.explained) {
            (kernel::Verdict::Reject { .. }, None) => refused += 1,
            (kernel::Verdict::Accept, Some(_)) => explained += 1,
            (kernel::Verdict::Accept, None) => {
                wrong.push(format!("{}: Linux accepts it", case.name));
            }
            (kernel::Verdict::Reject { log }, Some(_)) => {
                wrong.push(format!("{}: Linux refuses it: {log}", case.name));
            }
            (kernel::Verdict::NoVerdict(why), _) => {
                wrong.push(format!("{}: no verdict: {why}", case.name));
            }
        }
    }
    println!("{refused} refused by Linux too, {explained} explained");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
