//! Verified programs run, and do what they say.

mod common;

use std::sync::Arc;

use probity_interp::Interp;
use probity_runtime::{Context, Engine, FaultKind, Options, Sample};

fn interp(text: &str) -> Interp {
    Interp::new(common::instance(
        text,
        Options {
            cpus: 2,
            ..Options::default()
        },
    ))
}

fn run(engine: &Interp, ctx: &mut Context) -> u64 {
    engine.call(0, ctx, 0).unwrap().ret
}

#[test]
fn packets_are_read_and_changed() {
    let e = interp(
        r#"
        .section xdp
        .globl main
        main:
            r2 = *(u32 *)(r1 + 4)
            r1 = *(u32 *)(r1 + 0)
            r3 = r1
            r3 += 2
            if r3 > r2 goto short
            r4 = *(u8 *)(r1 + 0)
            *(u8 *)(r1 + 1) = r4
            r0 = 2
            exit
        short:
            r0 = 1
            exit
        "#,
    );
    let mut ctx = Context::xdp(&[9, 0, 7]).unwrap();
    assert_eq!(run(&e, &mut ctx), 2);
    assert_eq!(ctx.packet().unwrap(), [9, 9, 7]);
    assert_eq!(run(&e, &mut Context::xdp(&[9]).unwrap()), 1);
    assert_eq!(run(&e, &mut Context::xdp(&[]).unwrap()), 1);
    // A context that is too small is refused before anything runs.
    let fault = e
        .call(0, &mut Context::bytes(&[0; 4]).unwrap(), 0)
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Context);
    assert_eq!(
        e.call(1, &mut ctx, 0).unwrap_err().kind,
        FaultKind::NoProgram
    );
    assert_eq!(e.call(0, &mut ctx, 2).unwrap_err().kind, FaultKind::NoCpu);
}

#[test]
fn the_head_of_a_packet_moves() {
    let e = interp(
        r#"
        .section xdp
        .globl main
        main:
            r2 = 4
            call bpf_xdp_adjust_head
            if r0 != 0 goto bad
            r0 = 2
            exit
        bad:
            r0 = 0
            exit
        "#,
    );
    let mut ctx = Context::xdp(&(0..20).collect::<Vec<u8>>()).unwrap();
    assert_eq!(run(&e, &mut ctx), 2);
    assert_eq!(ctx.packet().unwrap(), (4..20).collect::<Vec<u8>>());
    // Fourteen bytes have to stay.
    assert_eq!(run(&e, &mut ctx), 0);
    assert_eq!(ctx.packet().unwrap().len(), 16);
}

#[test]
fn maps_count() {
    let e = interp(
        r#"
        .map counts kind=hash key=4 value=8 max_entries=4
        .map cells kind=percpu_array key=4 value=8 max_entries=2
        .section raw_tracepoint
        .globl main
        main:
            r6 = *(u64 *)(r1 + 0)
            *(u32 *)(r10 - 4) = r6
            r2 = r10
            r2 += -4
            r1 = map counts ll
            call bpf_map_lookup_elem
            if r0 == 0 goto new
            r1 = 1
            lock *(u64 *)(r0 + 0) += r1
            goto done
        new:
            *(u64 *)(r10 - 16) = 1
            r1 = map counts ll
            r2 = r10
            r2 += -4
            r3 = r10
            r3 += -16
            r4 = 1
            call bpf_map_update_elem
        done:
            *(u32 *)(r10 - 4) = 1
            r2 = r10
            r2 += -4
            r1 = map cells ll
            call bpf_map_lookup_elem
            if r0 == 0 goto out
            r1 = *(u64 *)(r0 + 0)
            r1 += r6
            *(u64 *)(r0 + 0) = r1
        out:
            r0 = 0
            exit
        "#,
    );
    for (n, cpu) in [(5, 0), (5, 1), (6, 0), (5, 1)] {
        e.call(0, &mut Context::words(&[n]).unwrap(), cpu).unwrap();
    }
    let counts = e.instance().map_by_name("counts").unwrap();
    assert_eq!(
        counts.lookup(&5u32.to_ne_bytes()).unwrap(),
        3u64.to_ne_bytes()
    );
    assert_eq!(
        counts.lookup(&6u32.to_ne_bytes()).unwrap(),
        1u64.to_ne_bytes()
    );
    let cells = e.instance().map_by_name("cells").unwrap();
    let sums = cells.lookup_percpu(&1u32.to_ne_bytes()).unwrap();
    assert_eq!(sums, [11u64.to_ne_bytes(), 10u64.to_ne_bytes()]);
}

#[test]
fn subprograms_share_their_callers_stack() {
    let e = interp(
        r#"
        .section raw_tracepoint
        .globl main
        main:
            r6 = 7
            r7 = *(u64 *)(r1 + 0)
            *(u64 *)(r10 - 8) = r7
            r1 = r10
            r1 += -8
            r2 = 3
            call twice
            r0 += r6
            r1 = *(u64 *)(r10 - 8)
            r0 += r1
            r0 &= 0xffff
            exit
        twice:
            r6 = *(u64 *)(r1 + 0)
            r6 += r6
            *(u64 *)(r1 + 0) = r6
            r0 = r2
            exit
        "#,
    );
    assert_eq!(run(&e, &mut Context::words(&[100]).unwrap()), 3 + 7 + 200);
}

#[test]
fn helpers_call_back() {
    let text = r#"
        .map cells kind=array key=4 value=8 max_entries=5
        .section raw_tracepoint
        .globl main
        main:
            *(u64 *)(r10 - 8) = 0
            r1 = 10
            r2 = turn ll
            r3 = r10
            r3 += -8
            r4 = 0
            call bpf_loop
            r6 = r0
            r1 = map cells ll
            r2 = visit ll
            r3 = r10
            r3 += -8
            r4 = 0
            call bpf_for_each_map_elem
            r0 <<= 8
            r0 |= r6
            r1 = *(u64 *)(r10 - 8)
            r1 <<= 16
            r0 |= r1
            exit
        turn:
            r3 = *(u64 *)(r2 + 0)
            r3 += r1
            *(u64 *)(r2 + 0) = r3
            r0 = 0
            if r1 != 6 goto go_on
            r0 = 1
        go_on:
            exit
        visit:
            r1 = *(u32 *)(r2 + 0)
            *(u64 *)(r3 + 0) = r1
            r1 = *(u64 *)(r4 + 0)
            r1 += 1
            *(u64 *)(r4 + 0) = r1
            r0 = 0
            exit
        "#;
    let instance = common::try_instance(text, Options::default()).expect("accepted");
    let e = Interp::new(instance);
    let ret = run(&e, &mut Context::words(&[0]).unwrap());
    // 0 + … + 6, then one for each of five elements; seven turns.
    assert_eq!(ret, (21 + 5) << 16 | 5 << 8 | 7);
    let cells = e.instance().map_by_name("cells").unwrap();
    assert_eq!(
        cells.lookup(&4u32.to_ne_bytes()).unwrap(),
        4u64.to_ne_bytes()
    );
}

const EFAULT: i64 = 14;

const TAIL_CALLS: &str = r#"
    .map jumps kind=prog_array key=4 value=4 max_entries=2
    .map count kind=array key=4 value=8 max_entries=1
    .section xdp/first
    .globl first
    first:
        r6 = r1
        *(u32 *)(r10 - 4) = 0
        r2 = r10
        r2 += -4
        r1 = map count ll
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r1 = *(u64 *)(r0 + 0)
        r1 += 1
        *(u64 *)(r0 + 0) = r1
        r1 = r6
        r2 = map jumps ll
        r3 = 0
        call bpf_tail_call
        r1 = r6
        r2 = map jumps ll
        r3 = 1
        call bpf_tail_call
    out:
        r0 = 1
        exit
    .section xdp/last
    .globl last
    last:
        r0 = 3
        exit
"#;

#[test]
fn tail_calls_go_on_until_there_are_too_many() {
    let e = interp(
        &TAIL_CALLS
            .replace("xdp/first", "xdp")
            .replace("xdp/last", "xdp.frags"),
    );
    let count = || {
        let c = e.instance().map_by_name("count").unwrap();
        let n = u64::from_ne_bytes(c.lookup(&[0; 4]).unwrap().try_into().unwrap());
        c.update(&[0; 4], &[0; 8], 0).unwrap();
        n
    };
    let mut ctx = Context::xdp(&[0; 20]).unwrap();
    assert_eq!(run(&e, &mut ctx), 1, "empty slots are passed over");
    assert_eq!(count(), 1);
    e.instance().insert_program("jumps", 1, 1).unwrap();
    assert_eq!(run(&e, &mut ctx), 3);
    assert_eq!(count(), 1);
    e.instance().insert_program("jumps", 0, 0).unwrap();
    assert_eq!(
        run(&e, &mut ctx),
        1,
        "the 34th tail call is refused, whichever it is"
    );
    assert_eq!(count(), 34);
    assert!(e.instance().insert_program("jumps", 2, 0).is_err());
    assert!(e.instance().insert_program("jumps", 0, 9).is_err());
}

#[test]
fn records_go_through_ring_buffers_and_perf_arrays() {
    let e = interp(
        r#"
        .map ring kind=ringbuf max_entries=4096
        .map events kind=perf_event_array key=4 value=4 max_entries=2
        .section raw_tracepoint
        .globl main
        main:
            r6 = r1
            r7 = *(u64 *)(r1 + 0)
            r1 = map ring ll
            r2 = 16
            r3 = 0
            call bpf_ringbuf_reserve
            if r0 == 0 goto full
            *(u64 *)(r0 + 0) = r7
            *(u64 *)(r0 + 8) = 1
            r1 = r0
            r2 = 0
            if r7 == 3 goto discard
            call bpf_ringbuf_submit
            goto output
        discard:
            call bpf_ringbuf_discard
        output:
            *(u64 *)(r10 - 8) = r7
            r1 = r6
            r2 = map events ll
            r3 = 0xffffffff ll
            r4 = r10
            r4 += -8
            r5 = 8
            call bpf_perf_event_output
            exit
        full:
            r0 = 1
            exit
        "#,
    );
    for n in 1..=4 {
        assert_eq!(
            e.call(0, &mut Context::words(&[n]).unwrap(), 1)
                .unwrap()
                .ret,
            0
        );
    }
    let mut seen = Vec::new();
    let ring = e.instance().map_by_name("ring").unwrap();
    ring.ring().unwrap().consume(|r| {
        seen.push(r[0]);
        r.len() == 16
    });
    assert_eq!(seen, [1, 2, 4]);
    let events = e
        .instance()
        .map_by_name("events")
        .unwrap()
        .perf()
        .unwrap()
        .drain();
    assert_eq!(events.len(), 4);
    assert_eq!(events[3], (1, 4u64.to_ne_bytes().to_vec()));
}

#[test]
fn every_atomic_gives_what_it_should() {
    let e = interp(
        r#"
        .map out kind=array key=4 value=64 max_entries=1
        .section raw_tracepoint
        .globl main
        main:
            *(u32 *)(r10 - 4) = 0
            r2 = r10
            r2 += -4
            r1 = map out ll
            call bpf_map_lookup_elem
            if r0 == 0 goto done
            r6 = r0
            r1 = 0x10
            *(u64 *)(r10 - 16) = r1
            r1 = 3
            r1 = atomic_fetch_add((u64 *)(r10 - 16), r1)
            *(u64 *)(r6 + 0) = r1
            r1 = 0x11
            r1 = atomic_fetch_and((u64 *)(r10 - 16), r1)
            *(u64 *)(r6 + 8) = r1
            r1 = 0x6
            r1 = atomic_fetch_or((u64 *)(r10 - 16), r1)
            *(u64 *)(r6 + 16) = r1
            r1 = 0xff
            r1 = atomic_fetch_xor((u64 *)(r10 - 16), r1)
            *(u64 *)(r6 + 24) = r1
            r1 = 0x1ffffffff ll
            r1 = xchg_64(r10 - 16, r1)
            *(u64 *)(r6 + 32) = r1
            r0 = 5
            r1 = 9
            r0 = cmpxchg_64(r10 - 16, r0, r1)
            *(u64 *)(r6 + 40) = r0
            w0 = w0
            w1 = 8
            w0 = cmpxchg32_32(r10 - 16, w0, w1)
            *(u64 *)(r6 + 48) = r0
            r1 = *(u64 *)(r10 - 16)
            *(u64 *)(r6 + 56) = r1
        done:
            r0 = 0
            exit
        "#,
    );
    run(&e, &mut Context::words(&[0]).unwrap());
    let out = e
        .instance()
        .map_by_name("out")
        .unwrap()
        .lookup(&[0; 4])
        .unwrap();
    let words: Vec<u64> = out
        .chunks(8)
        .map(|c| u64::from_ne_bytes(c.try_into().unwrap()))
        .collect();
    assert_eq!(
        words,
        [
            0x10,
            0x13,
            0x11,
            0x17,
            0xe8,
            0x1_ffff_ffff,
            0xffff_ffff,
            0x1_0000_0008
        ]
    );
}

#[test]
fn socket_filters_load_from_packets() {
    let e = interp(
        r#"
        .section socket
        .globl main
        main:
            r6 = r1
            r0 = *(u16 *)skb[12]
            r7 = r0
            r0 = *(u8 *)skb[r7 + 1]
            r0 += r7
            exit
        "#,
    );
    let mut packet = vec![0u8; 20];
    packet[13] = 8;
    packet[9] = 5;
    assert_eq!(run(&e, &mut Context::skb(&packet).unwrap()), 13);
    packet[12] = 1;
    assert_eq!(
        run(&e, &mut Context::skb(&packet).unwrap()),
        0,
        "outside of the packet"
    );
}

#[test]
fn the_surroundings_answer() {
    let e = interp(
        r#"
        .map out kind=array key=4 value=48 max_entries=1
        .section raw_tracepoint
        .globl main
        main:
            r8 = *(u64 *)(r1 + 0)
            *(u32 *)(r10 - 4) = 0
            r2 = r10
            r2 += -4
            r1 = map out ll
            call bpf_map_lookup_elem
            if r0 == 0 goto done
            r6 = r0
            call bpf_get_current_pid_tgid
            *(u64 *)(r6 + 0) = r0
            call bpf_ktime_get_ns
            *(u64 *)(r6 + 8) = r0
            r1 = r6
            r1 += 16
            r2 = 16
            call bpf_get_current_comm
            r1 = r6
            r1 += 32
            r2 = 8
            r3 = r8
            call bpf_probe_read_user_str
            *(u64 *)(r6 + 40) = r0
        done:
            r0 = 0
            exit
        "#,
    );
    let out = || {
        e.instance()
            .map_by_name("out")
            .unwrap()
            .lookup(&[0; 4])
            .unwrap()
    };
    let mut sample = Sample {
        pid_tgid: 7 << 32 | 8,
        monotonic_ns: 99,
        ..Sample::default()
    };
    sample.set_comm(b"a-name-that-is-too-long");
    sample.memory.push((0x7000, Arc::from(&b"path\0rest"[..])));
    let mut ctx = Context::words(&[0x7000])
        .unwrap()
        .with_env(Arc::new(sample));
    run(&e, &mut ctx);
    let bytes = out();
    assert_eq!(bytes[..8], (7u64 << 32 | 8).to_ne_bytes());
    assert_eq!(bytes[8..16], 99u64.to_ne_bytes());
    assert_eq!(&bytes[16..32], b"a-name-that-is-\0");
    assert_eq!(&bytes[32..37], b"path\0");
    assert_eq!(bytes[40..48], 5u64.to_ne_bytes());
    ctx.write(0, &0x9000u64.to_ne_bytes()).unwrap();
    run(&e, &mut ctx);
    assert_eq!(out()[40..48], (-EFAULT).to_ne_bytes());
}

#[test]
fn an_observer_sees_each_instruction_and_a_limit_ends_a_call() {
    let e = interp(
        r#"
        .section raw_tracepoint
        .globl main
        main:
            r0 = 0
            r1 = 100
        again:
            r0 += 2
            r1 += -1
            if r1 != 0 goto again
            exit
        "#,
    );
    let mut ctx = Context::words(&[0]).unwrap();
    let mut seen = 0;
    let run = e.run_observed(0, &mut ctx, 0, &mut |_: usize, _: usize, _: &[u64; 11]| {
        seen += 1
    });
    assert_eq!(
        (run.result.unwrap().ret, run.executed, seen),
        (200, 303, 303)
    );
    let e = e.with_limit(50);
    assert_eq!(e.call(0, &mut ctx, 0).unwrap_err().kind, FaultKind::Budget);
}
