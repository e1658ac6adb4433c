//! A thousand replacements while threads call: no call lost, none on half a generation, counts exact, memory flat.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use common::*;
use probity_host::{Call, Fallback, HookBuilder, Host, Load, function};
use probity_objfile::Object;

/// Two programs on two hooks that both give the generation's number, and count into one map.
fn generation(n: u32) -> Object {
    let body = |out: &str| {
        format!(
            "*(u32 *)(r10 - 4) = 0\nr6 = r1\nr1 = map counts ll\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\n\
             if r0 == 0 goto {out}\nr1 = 1\nlock *(u64 *)(r0 + 0) += r1\n*(u32 *)(r6 + 8) = {n}\n{out}:\nr0 = {n}\nexit\n"
        )
    };
    let text = format!(
        ".map counts kind=array key=4 value=8 max_entries=1\n.section \"hook/request\"\n.globl first\nfirst:\n{}\
         .section \"hook/answer\"\n.globl second\nsecond:\n{}",
        body("a"),
        body("b")
    );
    assemble(&text)
}

fn host() -> Host {
    let hook = |name| {
        HookBuilder::new::<Request>(name)
            .returns(0..=100_000)
            .absent(Fallback::Open(0))
    };
    Host::builder("busy")
        .hook(hook("request"))
        .hook(hook("answer"))
        .build()
        .unwrap()
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

#[test]
fn a_thousand_replacements_under_load() {
    const ROUNDS: u32 = 1000;
    const THREADS: usize = 3;
    let host = host();
    host.load_object("e", &generation(1), &Load::default())
        .unwrap();
    // Generations that may be seen: from the last that was complete to the last that was begun.
    let (done, begun) = (AtomicU64::new(1), AtomicU64::new(1));
    let (over, made) = (AtomicBool::new(false), AtomicU64::new(0));
    let objects: Vec<Object> = (0..8).map(|n| generation(n + 2)).collect();
    let mut early = 0;
    std::thread::scope(|s| {
        for thread in 0..THREADS {
            let (host, done, begun, over, made) = (&host, &done, &begun, &over, &made);
            s.spawn(move || {
                let hook = ["request", "answer"][thread % 2];
                let mut caller = host
                    .hook::<Request>(hook)
                    .unwrap()
                    .caller(Request::default());
                while !over.load(SeqCst) {
                    let before = done.load(SeqCst);
                    let result = caller.call().expect("no call is lost") as u64;
                    let after = begun.load(SeqCst);
                    // What it returned and what it wrote is of one generation.
                    let wrote = u32::from_ne_bytes(caller.notes[..4].try_into().unwrap());
                    assert_eq!(u64::from(wrote), result);
                    // Numbers repeat every eight; a generation seen is one between the two.
                    let fine = (before..=after.min(before + 8)).any(|g| number(g) == result);
                    assert!(fine, "{result} of {before} to {after}");
                    made.fetch_add(1, SeqCst);
                }
            });
        }
        for round in 0..ROUNDS {
            let g = u64::from(round) + 2;
            begun.store(g, SeqCst);
            let object = &objects[(g % 8) as usize];
            let replaced = host.replace_object("e", object, &Load::default()).unwrap();
            assert_eq!(replaced.kept, ["counts"]);
            done.store(g, SeqCst);
            assert!(replaced.retirement.wait(Duration::from_secs(60)));
            if round == ROUNDS / 4 {
                early = resident();
            }
        }
        over.store(true, SeqCst);
    });
    let made = made.load(SeqCst);
    let counts = host
        .map("e", "counts")
        .unwrap()
        .lookup(&0u32.to_ne_bytes())
        .unwrap();
    assert_eq!(counts, made.to_ne_bytes(), "the map has counted each call");
    let info = host.extensions().remove(0);
    let counted: u64 = info.programs.iter().map(|p| p.counters.calls).sum();
    assert_eq!(counted, made, "and so have the counters");
    assert_eq!(info.generation, u64::from(ROUNDS) + 1);
    let late = resident();
    println!("{made} calls, {ROUNDS} replacements, {early} then {late} bytes");
    assert!(late < early + (24 << 20), "{early} then {late} bytes");
}

/// What the programs of a generation return.
fn number(generation: u64) -> u64 {
    if generation == 1 {
        1
    } else {
        generation % 8 + 2
    }
}

/// Elements are copied while nobody calls: none of the counts of calls before, between and after is lost.
#[test]
fn migrations_under_load_lose_nothing() {
    let grown = |n: u32| {
        assemble(&format!(
            ".map counts kind=array key=4 value=8 max_entries={n}\n.section \"hook/request\"\n.globl first\nfirst:\n\
             *(u32 *)(r10 - 4) = 0\nr1 = map counts ll\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\n\
             if r0 == 0 goto out\nr1 = 1\nlock *(u64 *)(r0 + 0) += r1\nout:\nr0 = {n}\nexit\n"
        ))
    };
    let host = host();
    host.load_object("e", &grown(1), &Load::default()).unwrap();
    let (over, made) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|s| {
        for _ in 0..3 {
            let mut caller = host
                .hook::<Request>("request")
                .unwrap()
                .caller(Request::default());
            let (over, made) = (&over, &made);
            s.spawn(move || {
                let mut last = 0;
                while !over.load(SeqCst) {
                    let n = caller.call().expect("no call is lost");
                    assert!(n >= last, "{n} after {last}");
                    last = n;
                    made.fetch_add(1, SeqCst);
                }
            });
        }
        for n in 2..60 {
            let replaced = host
                .replace_object("e", &grown(n), &Load::default())
                .unwrap();
            assert_eq!(replaced.migrated, ["counts"]);
        }
        over.store(true, SeqCst);
    });
    let counts = host.map("e", "counts").unwrap();
    let first = counts.lookup(&0u32.to_ne_bytes()).unwrap();
    assert_eq!(first, made.load(SeqCst).to_ne_bytes());
    assert_eq!(counts.max_entries(), 59);
}

#[test]
fn a_generation_stays_until_its_last_caller_has_left() {
    // A function of the host holds a call open until the test lets it go.
    #[function]
    fn hold(call: &mut Call<'_>) -> i64 {
        let Some((inside, go)) =
            call.data::<(std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<()>)>()
        else {
            return -1;
        };
        inside.send(()).unwrap();
        go.recv().unwrap();
        0
    }
    let host = Host::builder("slow")
        .hook(
            HookBuilder::new::<Request>("request")
                .returns(0..=1)
                .function::<hold>(),
        )
        .build()
        .unwrap();
    host.load("slow", &object("slow"), &Load::default())
        .unwrap();
    let (inside, is_inside) = std::sync::mpsc::channel::<()>();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|s| {
        let calling = s.spawn(|| {
            let mut caller = host
                .hook::<Request>("request")
                .unwrap()
                .caller(Request::default());
            caller.call_with(&mut (inside, gone))
        });
        is_inside.recv().unwrap();
        let retirement = host.unload("slow").unwrap();
        assert!(!retirement.is_over());
        assert!(!retirement.wait(Duration::from_millis(50)));
        go.send(()).unwrap();
        assert!(retirement.wait(Duration::from_secs(10)));
        assert_eq!(calling.join().unwrap(), Ok(1));
    });
}
