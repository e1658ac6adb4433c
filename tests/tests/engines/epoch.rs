//! Policies that demand `epoch_checks`: a host ends calls by the clock, and what they hold is not lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use probity_interp::Interp;
use probity_jit::Jit;
use probity_platform::Policy;
use probity_runtime::{Context, Engine, FaultKind, Instance, Options};
use probity_verifier::verify;

use crate::harness::{assemble, in_process};

fn instance(text: &str, epoch_checks: bool) -> Arc<Instance> {
    let platform = in_process();
    let object = assemble(&platform, "epoch", text).expect("assembles");
    let policy = Policy {
        epoch_checks,
        ..Policy::default()
    };
    let report = verify(&object, &platform, &policy, &Default::default()).expect("a report");
    let verified = match report.into_verified() {
        Ok(v) => v,
        Err(_) => panic!("not accepted:\n{text}"),
    };
    Arc::new(Instance::new(Arc::new(verified), Options::default()).expect("an instance"))
}

fn engines(text: &str, epoch_checks: bool) -> Vec<(Arc<Instance>, Box<dyn Engine>)> {
    let (one, two) = (instance(text, epoch_checks), instance(text, epoch_checks));
    vec![
        (one.clone(), Box::new(Interp::new(one))),
        (two.clone(), Box::new(Jit::new(two).expect("code"))),
    ]
}

/// Calls while another thread moves the epoch every few milliseconds.
fn call_with_clock(instance: &Instance, engine: &dyn Engine) -> Result<u64, FaultKind> {
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            while !done.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
                instance.epoch().advance();
            }
        });
        let mut ctx = Context::words(&[0; 64]).expect("a context");
        let result = engine.call(0, &mut ctx, 0);
        done.store(true, Relaxed);
        result.map(|o| o.ret).map_err(|f| f.kind)
    })
}

/// A loop of so many laps, which takes minutes in either engine when it is long.
fn counting(laps: u64) -> String {
    format!(
        ".section raw_tracepoint\n.globl main\nmain:\nr0 = 0\nr1 = 0\nagain:\nr0 += r1\nr0 ^= 7\nr1 += 1\n\
        if r1 < {laps} goto again\nr0 = 5\nexit\n"
    )
}

const LONG: u64 = 1 << 30;

#[test]
fn a_long_loop_ends_when_the_host_wants_it_to() {
    for (instance, engine) in engines(&counting(LONG), true) {
        for _ in 0..3 {
            let result = call_with_clock(&instance, &*engine);
            assert_eq!(result, Err(FaultKind::Epoch), "{}", engine.name());
        }
    }
}

#[test]
fn a_short_call_is_not_ended_and_each_has_a_period_of_its_own() {
    for (instance, engine) in engines(&counting(1000), true) {
        for _ in 0..100 {
            // However far the count is, it is the moves during a call that end it.
            instance.epoch().advance();
            let mut ctx = Context::words(&[0; 64]).expect("a context");
            let result = engine.call(0, &mut ctx, 0);
            assert_eq!(result.map(|o| o.ret), Ok(5), "{}", engine.name());
        }
    }
}

#[test]
fn without_the_policy_nothing_is_looked_at() {
    for (instance, engine) in engines(&counting(2_000_000), false) {
        let result = call_with_clock(&instance, &*engine);
        assert_eq!(result, Ok(5), "{}", engine.name());
    }
}

#[test]
fn the_end_comes_through_subprograms() {
    let text = format!(
        ".section raw_tracepoint\n.globl main\nmain:\nr6 = 0\ncall outer\nr0 = 5\nexit\n.text\n\
        outer:\nr6 = 0\nr7 = 0\nagain:\ncall inner\nr7 += r0\nr6 += 1\nif r6 < 1000 goto again\nr0 = r7\nexit\n\
        inner:\nr0 = 0\nr1 = 0\nlap:\nr0 += r1\nr1 += 1\nif r1 < {LONG} goto lap\nexit\n"
    );
    for (instance, engine) in engines(&text, true) {
        let result = call_with_clock(&instance, &*engine);
        assert_eq!(result, Err(FaultKind::Epoch), "{}", engine.name());
    }
}

#[test]
fn the_end_comes_through_callbacks() {
    // Eight million calls of a function without a loop, a thousand times.
    let text = ".section raw_tracepoint\n.globl main\nmain:\nr6 = 0\nagain:\nr1 = 8388608\nr2 = lap ll\nr3 = 0\nr4 = 0\ncall bpf_loop\n\
        r6 += 1\nif r6 < 1000 goto again\nr0 = 5\nexit\n.text\n\
        lap:\nr0 = 0\nexit\n";
    for (instance, engine) in engines(text, true) {
        let result = call_with_clock(&instance, &*engine);
        assert_eq!(result, Err(FaultKind::Epoch), "{}", engine.name());
    }
}

/// Reserves a record, works, submits it; again and again. Wherever it is ended, no record stays reserved.
#[test]
fn a_record_is_submitted_before_the_call_ends() {
    let text = format!(
        ".map ring kind=ringbuf max_entries=4096\n.section raw_tracepoint\n.globl main\nmain:\nr9 = 0\nagain:\n\
        r1 = ring ll\nr2 = 8\nr3 = 0\ncall bpf_ringbuf_reserve\nif r0 == 0 goto full\nr6 = r0\n\
        r1 = 0\nr2 = 0\nwork:\nr2 += r1\nr1 += 1\nif r1 < 100000 goto work\n\
        *(u64 *)(r6 + 0) = r2\nr1 = r6\nr2 = 0\ncall bpf_ringbuf_submit\n\
        r9 += 1\nif r9 < 100000 goto again\nr0 = 5\nexit\n\
        full:\nr1 = 0\nidle:\nr1 += 1\nif r1 < {LONG} goto idle\nr0 = 6\nexit\n"
    );
    for (instance, engine) in engines(&text, true) {
        for round in 0..4 {
            let result = call_with_clock(&instance, &*engine);
            assert_eq!(result, Err(FaultKind::Epoch), "{}", engine.name());
            let map = instance.map_by_name("ring").expect("the map");
            let ring = map.ring().expect("a ring buffer");
            let mut records = 0;
            ring.consume(|record| {
                let v = u64::from_ne_bytes(record.try_into().expect("eight bytes"));
                assert_eq!(v, 99_999 * 100_000 / 2, "a record that is not finished");
                records += 1;
                true
            });
            // A record that stayed reserved would hide all that follow.
            assert!(records > 0, "{}, round {round}", engine.name());
        }
    }
}
