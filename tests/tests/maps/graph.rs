//! Structures that a program allocates, in lists, trees and map values, under random operations: on both engines, and in Linux.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use probity_interp::Interp;
use probity_jit::Jit;
use probity_platform::Policy;
use probity_runtime::{Context, Engine, Instance, Options, platform};
use probity_tests::linux::{Loaded, allowed};
use probity_verifier::{Verdict, Verified, verify};

use crate::Random;

const OBJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/maps/objects/graph.o");
/// Operations of the program, by number.
const OPERATIONS: u64 = 23;
/// What empties the list and the tree, and forgets each value.
const POP: u8 = 2;
const TAKE_FIRST: u8 = 6;
const SET: u8 = 12;
const FORGET: u8 = 13;
const HOLD: u8 = 21;
const RELEASE: u8 = 22;

/// With the kernel's types where there are any, or with those of the functions here.
fn proved(kernel: bool) -> Option<Arc<Verified>> {
    let types = match kernel {
        true => {
            let bytes = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
            Some(Arc::new(probity_btf::Btf::parse(&bytes).ok()?))
        }
        false => None,
    };
    let platform = Arc::new(platform(types));
    let bytes = std::fs::read(OBJECT).expect("the object");
    let object = probity_objfile::open("graph", &bytes).expect("an object");
    let options = probity_verifier::Options::default();
    let report = verify(&object, &platform, &Policy::default(), &options).expect("a report");
    for p in &report.programs {
        if let Verdict::Reject(why) = &p.verdict {
            panic!("{}: {why}", p.name);
        }
    }
    Some(Arc::new(report.into_verified().expect("a proof")))
}

fn engines(verified: &Arc<Verified>, options: &Options) -> [(Box<dyn Engine>, Arc<Instance>); 2] {
    let make = || Arc::new(Instance::new(verified.clone(), options.clone()).expect("an instance"));
    let (one, two) = (make(), make());
    [
        (Box::new(Interp::new(one.clone())), one),
        (Box::new(Jit::new(two.clone()).expect("compiled")), two),
    ]
}

fn packet(operation: u8, argument: u8) -> [u8; 64] {
    let mut packet = [0; 64];
    packet[14] = operation;
    packet[15] = argument;
    packet
}

fn call(engine: &dyn Engine, operation: u8, argument: u8, cpu: usize) -> i32 {
    let mut ctx = Context::skb(&packet(operation, argument)).expect("a context");
    let done = engine.call(0, &mut ctx, cpu);
    let what = format!("{}: operation {operation}, {argument}", engine.name());
    done.unwrap_or_else(|f| panic!("{what}: {f}")).ret as i32
}

/// Takes everything out again; nothing is left allocated.
fn emptied(engine: &dyn Engine, instance: &Instance) {
    while call(engine, POP, 0, 0) != -1 {}
    while call(engine, TAKE_FIRST, 0, 0) != -1 {}
    for key in 0..8 {
        call(engine, FORGET, key, 0);
        call(engine, SET, 8 | key, 0);
        call(engine, RELEASE, key, 0);
        call(engine, RELEASE, 16 | key, 0);
    }
    // What left the values may have gone into the tree.
    while call(engine, TAKE_FIRST, 0, 0) != -1 {}
    assert_eq!(instance.allocated(), 0, "{}", engine.name());
}

fn operation(r: &mut Random) -> (u8, u8) {
    let operation = r.below(OPERATIONS);
    // Keys are few, so that they meet.
    let argument = match operation {
        7 | 8 => r.below(256),
        _ => r.below(32),
    };
    (operation as u8, argument as u8)
}

fn rounds() -> usize {
    let asked = std::env::var("TEST_OPERATIONS").ok();
    asked.and_then(|s| s.parse().ok()).unwrap_or(20_000)
}

#[test]
fn both_engines_do_the_same_with_structures() {
    for kernel in [false, true] {
        let Some(verified) = proved(kernel) else {
            probity_tests::skip("the kernel's types are not there");
            continue;
        };
        let mut r = Random::seeded();
        let options = Options {
            cpus: 3,
            ..Options::default()
        };
        let [(interp, one), (jit, two)] = engines(&verified, &options);
        let mut most = 0;
        for n in 0..rounds() {
            let (operation, argument) = operation(&mut r);
            let cpu = r.below(3) as usize;
            let a = call(&*interp, operation, argument, cpu);
            let b = call(&*jit, operation, argument, cpu);
            assert_eq!(a, b, "call {n}: operation {operation}, {argument}");
            assert_eq!(
                one.allocated(),
                two.allocated(),
                "call {n}: operation {operation}"
            );
            most = most.max(one.allocated());
        }
        assert!(most > 20, "{most} at once");
        emptied(&*interp, &one);
        emptied(&*jit, &two);
    }
}

/// Pins what bpftool loads; removed again at the end.
struct Pins(PathBuf);

impl Pins {
    fn new() -> Option<Pins> {
        let dir = PathBuf::from(format!("/sys/fs/bpf/probity-graph-{}", std::process::id()));
        let mut load = Command::new("bpftool");
        let done = load.args(["prog", "loadall", OBJECT]).arg(&dir).output();
        let done = match done {
            Ok(done) => done,
            Err(e) => {
                probity_tests::skip(&format!("no bpftool: {e}"));
                return None;
            }
        };
        let text = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "Linux refuses the object: {text}");
        Some(Pins(dir))
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Test runs of Linux's move from processor to processor with the thread.
fn stay_on_one_cpu() {
    // SAFETY: the set is plain memory of the size that is said, on this thread's behalf.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set);
    }
}

#[test]
fn linux_does_the_same_with_structures() {
    if !allowed() {
        return;
    }
    let (Some(pins), Some(verified)) = (Pins::new(), proved(true)) else {
        return;
    };
    stay_on_one_cpu();
    let linux = Loaded::pinned(&pins.0.join("step")).expect("the program");
    let mut r = Random::seeded();
    let [(interp, _), (jit, _)] = engines(&verified, &Options::default());
    let mut told = Vec::new();
    for n in 0..rounds() {
        let (operation, mut argument) = operation(&mut r);
        // Which element an LRU map evicts, each decides for itself.
        if matches!(operation, HOLD | RELEASE) {
            argument |= 16;
        }
        let expected = linux.run(&[], &packet(operation, argument)).expect("a run");
        let expected = expected.0 as i32;
        told.push((operation, argument, expected));
        for engine in [&interp, &jit] {
            let got = call(&**engine, operation, argument, 0);
            let before = &told[told.len().saturating_sub(12)..];
            assert_eq!(got, expected, "{}, call {n}: {before:?}", engine.name());
        }
    }
}

/// Threads that put structures into one list, one tree and the same values, and take them out.
#[test]
fn threads_share_lists_and_trees() {
    let Some(verified) = proved(false) else {
        return;
    };
    let options = Options {
        cpus: 4,
        ..Options::default()
    };
    let [_, (jit, instance)] = engines(&verified, &options);
    std::thread::scope(|s| {
        for cpu in 0..4 {
            let engine = &*jit;
            s.spawn(move || {
                let mut r = Random(cpu as u64 + 1);
                for _ in 0..rounds() {
                    let (operation, argument) = operation(&mut r);
                    call(engine, operation, argument, cpu);
                }
            });
        }
    });
    emptied(&*jit, &instance);
}

/// Without memory left programs get NULL, and go on.
#[test]
fn structures_have_a_limit() {
    let Some(verified) = proved(false) else {
        return;
    };
    let options = Options {
        max_map_bytes: 400 << 10,
        ..Options::default()
    };
    for (engine, instance) in engines(&verified, &options) {
        let pushed = (0..20_000)
            .take_while(|_| call(&*engine, 0, 1, 0) == 0)
            .count();
        assert!((100..10_000).contains(&pushed), "{pushed}");
        emptied(&*engine, &instance);
        assert_eq!(call(&*engine, 0, 1, 0), 0, "there is room again");
    }
}
