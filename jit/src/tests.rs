//! What is compiled is data: the same for every instance, without an address of this process.

use std::sync::Arc;

use probity_platform::{Platform, Policy};
use probity_runtime::{Instance, platform};
use probity_verifier::Verified;

use crate::Options;
use crate::compile::{self, Stage};
use crate::target::Target;

pub(crate) fn assemble(platform: &Platform, name: &str, text: &str) -> probity_objfile::Object {
    let helper = |name: &str| {
        let name = name.strip_prefix("bpf_").unwrap_or(name);
        let row = platform.helpers.iter().find(|h| h.name == name);
        row.map(|h| h.id)
    };
    probity_objfile::assemble(name, text, &helper).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The proofs of the engine suite's cases that are accepted, by file name.
pub(crate) fn suite() -> Vec<(String, Arc<Verified>)> {
    let platform = Arc::new(platform(None));
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/engine");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the engine suite")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "s"))
        .collect();
    files.sort();
    let mut out = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(&file).expect("a text");
        // Kernel functions are called by type ids, which the suite over both engines puts in.
        if text.lines().any(|l| l.trim().starts_with("kfunc ")) {
            continue;
        }
        if let Some(v) = prove(&platform, &name, &text) {
            out.push((name.into_owned(), v));
        }
    }
    assert!(out.len() > 10, "{} cases are accepted", out.len());
    out
}

pub(crate) fn prove(platform: &Arc<Platform>, name: &str, text: &str) -> Option<Arc<Verified>> {
    let object = assemble(platform, name, text);
    let options = probity_verifier::Options::default();
    let report = probity_verifier::verify(&object, platform, &Policy::default(), &options);
    let (verified, _) = report
        .unwrap_or_else(|e| panic!("{name}: {e}"))
        .into_partial();
    (!verified.programs().is_empty()).then(|| Arc::new(verified))
}

pub(crate) fn instance(verified: &Arc<Verified>) -> Arc<Instance> {
    seeded(verified, 0)
}

/// An instance whose maps hash differently.
fn seeded(verified: &Arc<Verified>, seed: u64) -> Arc<Instance> {
    let options = probity_runtime::Options {
        seed,
        ..Default::default()
    };
    Arc::new(Instance::new(verified.clone(), options).expect("an instance"))
}

#[test]
fn code_is_the_same_for_every_instance() {
    let target = Target::host(&Options::default()).expect("a target");
    for (name, verified) in suite() {
        let (one, two) = (seeded(&verified, 1), seeded(&verified, 2));
        let one = compile::compile(&one, &target).expect("code");
        let two = compile::compile(&two, &target).expect("code");
        assert_eq!(one, two, "{name}");
    }
}

#[test]
fn code_holds_no_address_of_this_process() {
    let target = Target::host(&Options::default()).expect("a target");
    let cases: Vec<_> = suite()
        .into_iter()
        .map(|(name, v)| (name, instance(&v)))
        .collect();
    let maps = std::fs::read_to_string("/proc/self/maps").expect("procfs");
    let ranges: Vec<(u64, u64)> = maps
        .lines()
        .filter_map(|l| l.split_once(' ')?.0.split_once('-'))
        .map(|(s, e)| (number(s), number(e)))
        .collect();
    let mut constants = 0;
    for (name, instance) in &cases {
        for n in 0..instance.programs().len() {
            let clif = compile::dump(instance, &target, n, Stage::Clif).expect("a text");
            for word in clif.split("iconst.i64 ").skip(1) {
                let digits: String = word
                    .split_whitespace()
                    .next()
                    .unwrap_or("")
                    .replace('_', "");
                let Some(hex) = digits.strip_prefix("0x") else {
                    continue;
                };
                let v = number(hex);
                constants += 1;
                assert!(
                    !ranges.iter().any(|(s, e)| (*s..*e).contains(&v)),
                    "{name}: {v:#x} is an address"
                );
            }
        }
    }
    println!("{constants} constants of {} cases", cases.len());
    assert!(constants > 0);
}

fn number(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).unwrap_or(0)
}

#[test]
fn a_function_that_is_too_large_is_an_error() {
    let text = |n: usize| {
        let body = "r0 += r1\n".repeat(n);
        format!(
            ".section raw_tracepoint\n.globl main\nmain:\nr1 = *(u64 *)(r1 + 0)\nr0 = 1\n{body}exit\n"
        )
    };
    let platform = Arc::new(platform(None));
    let verified = prove(&platform, "large", &text(200_000)).expect("accepted");
    let refused = crate::Jit::new(instance(&verified)).err();
    let why = refused.map_or_else(String::new, |e| e.to_string());
    assert!(why.contains("200003 instructions are more than"), "{why}");
}

/// In a child that may map little: an error says so.
#[test]
fn without_address_space_there_is_an_error() {
    const CHILD: &str = "PROBITY_TEST_NO_ADDRESS_SPACE";
    if std::env::var_os(CHILD).is_none() {
        let me = std::env::current_exe().expect("this program");
        let done = std::process::Command::new(me)
            .args(["--exact", "tests::without_address_space_there_is_an_error"])
            .args(["--nocapture", "--test-threads", "1"])
            .env(CHILD, "1")
            .output()
            .expect("a child");
        let text = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{text}");
        assert!(text.contains("refused: 536870912 bytes"), "{text}");
        return;
    }
    let limit = libc::rlimit {
        rlim_cur: 256 << 20,
        rlim_max: 256 << 20,
    };
    // SAFETY: `limit` is readable; the process is this test's own.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    match crate::pages::Pages::new(512 << 20, 1 << 40, |_, _| Ok(())) {
        Err(e) => println!("refused: {e}"),
        Ok(_) => panic!("more than the limit"),
    }
}

/// So many branches that registers are allocated in one pass: this crate's tests have the allocation checked.
#[test]
fn a_function_of_many_branches_compiles() {
    let mut text = String::from(
        ".section raw_tracepoint\n.globl main\nmain:\nr6 = r1\nr7 = 0\nr8 = *(u64 *)(r1 + 0)\n",
    );
    for n in 0..800 {
        let at = n % 12 * 8;
        text += &format!(
            "r1 = *(u64 *)(r6 + {at})\nr1 ^= r8\nif r1 > {n} goto l{n}\nr7 += r1\nr8 += {n}\nl{n}:\n"
        );
    }
    let platform = Arc::new(platform(None));
    let verified = prove(&platform, "branches", &(text + "r0 = r7\nexit\n")).expect("accepted");
    crate::Jit::new(instance(&verified)).expect("code");
}

/// Whether a program is entered without a call's state, and what it gives for a context of the words 40 and 2.
fn entered(text: &str, lowerings: crate::Lowerings) -> (bool, u64) {
    let platform = Arc::new(platform(None));
    let verified = prove(&platform, "entered", text).expect("accepted");
    let options = Options {
        lowerings,
        ..Options::default()
    };
    let jit = crate::Jit::with_options(instance(&verified), &options).expect("code");
    let mut ctx = probity_runtime::Context::words(&[40, 2]).expect("a context");
    let entry = jit.entry(0, 0).expect("an entry");
    let ret = entry.call(&mut ctx).expect("a call").ret;
    (jit.linked.mains[0].stateless, ret)
}

#[test]
fn what_uses_no_state_is_entered_without() {
    use crate::Lowerings;
    let program = |body: &str| format!(".section raw_tracepoint\n.globl main\nmain:\n{body}exit\n");
    let sum = program("r0 = *(u64 *)(r1 + 0)\nr1 = *(u64 *)(r1 + 8)\nr0 += r1\n");
    assert_eq!(entered(&sum, Lowerings::ALL), (true, 42));
    for left_out in [Lowerings::STATELESS, Lowerings::SWEEP] {
        let lowerings = Lowerings::ALL.without(left_out);
        assert_eq!(entered(&sum, lowerings), (false, 42), "{left_out:?}");
    }
    // A helper gets it, wherever it is called.
    let helper = program("r6 = *(u64 *)(r1 + 0)\ncall bpf_ktime_get_ns\nr0 = r6\n");
    assert_eq!(entered(&helper, Lowerings::ALL), (false, 40));
    let some = program(
        "r6 = *(u64 *)(r1 + 0)\nif r6 == 40 goto l\ncall bpf_ktime_get_ns\nr6 = 1\nl:\nr0 = r6\n",
    );
    assert_eq!(entered(&some, Lowerings::ALL), (false, 40));
}

/// What is not written is not asked for: no program of the suite that is entered without a state reads it.
#[test]
fn what_is_entered_without_state_reads_none() {
    let mut seen = 0;
    for (name, verified) in suite() {
        let jit = crate::Jit::new(instance(&verified)).expect("code");
        let mains = jit.linked.mains.iter().enumerate();
        for (n, _) in mains.filter(|(_, main)| main.stateless) {
            let clif = jit.clif(n).expect("a text");
            let main = clif.split("\n; ").next().unwrap_or_default();
            let uses = main.lines().filter(|l| !l.contains("block0(v0: i64"));
            let uses_v0 = |l: &str| {
                l.split(|c: char| !c.is_alphanumeric())
                    .any(|word| word == "v0")
            };
            let mut uses = uses.filter(|l| uses_v0(l));
            assert_eq!(uses.next(), None, "{name}:\n{main}");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen} programs are entered without a state");
}
