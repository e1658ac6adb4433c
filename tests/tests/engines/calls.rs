//! What takes more than one program or a large one: tail calls, dumps, size.

use std::sync::Arc;

use probity_jit::Jit;
use probity_runtime::{Context, Engine, FaultKind, Instance, Options};

use crate::harness::{Pair, assemble, context, in_process, prove};

fn pair(text: &str) -> Pair {
    let platform = in_process();
    let object = assemble(&platform, "calls", text).unwrap_or_else(|e| panic!("{e}"));
    let verified = prove(&platform, &object).unwrap_or_else(|e| panic!("{e}"));
    Pair::new(verified).unwrap_or_else(|e| panic!("{e}"))
}

const CHAIN: &str = r#"
.license "GPL"
.map jumps kind=prog_array key=4 value=4 max_entries=4
.map counts kind=array key=4 value=8 max_entries=1
.section xdp
.globl first
first:
    r6 = r1
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map counts ll
    call bpf_map_lookup_elem
    if r0 == 0 goto none
    r7 = r0
    r1 = *(u64 *)(r7 + 0)
    r1 += 1
    *(u64 *)(r7 + 0) = r1
    r1 = r6
    r2 = map jumps ll
    r3 = 0
    call bpf_tail_call
    r0 = *(u64 *)(r7 + 0)
    exit
none:
    r0 = 0
    exit
.section xdp.frags
.globl second
second:
    r2 = map jumps ll
    r3 = 1
    call bpf_tail_call
    r0 = 77
    exit
.section xdp.frags/devmap
.globl third
third:
    r2 = *(u32 *)(r1 + 4)
    r1 = *(u32 *)(r1 + 0)
    r0 = r2
    r0 -= r1
    r0 += 1000
    exit
"#;

/// Sets the same slot for both engines.
fn insert(pair: &Pair, slot: u32, program: &str) {
    for instance in [pair.interp.instance(), pair.jit.instance()] {
        let index = instance.program_index(program).expect("a program");
        instance
            .insert_program("jumps", slot, index)
            .expect("a slot");
    }
}

#[test]
fn tail_calls_go_where_the_array_says() {
    let p = pair(CHAIN);
    let index = |name: &str| p.jit.instance().program_index(name).expect("a program");
    let run = |program: &str| {
        let (i, j) = p.call(index(program), &|| context(6, &[], &[1, 2, 3]), 0);
        assert_eq!(i, j, "{program}");
        i.result
    };
    // Nothing is there: the call falls through.
    assert_eq!(run("second"), Ok(77));
    assert_eq!(run("first"), Ok(1));
    // To itself: until 33 calls were made.
    insert(&p, 0, "first");
    assert_eq!(run("first"), Ok(1 + 34));
    // Two hops, and the last one's result.
    insert(&p, 0, "second");
    insert(&p, 1, "third");
    assert_eq!(run("first"), Ok(1003));
}

#[test]
fn who_makes_tail_calls_needs_the_context_that_they_may_lead_to() {
    let p = pair(CHAIN);
    insert(&p, 0, "second");
    insert(&p, 1, "third");
    let second = p.jit.instance().program_index("second").expect("a program");
    // `second` itself reads nothing of its context; `third` does.
    let (i, j) = p.call(second, &|| Context::bytes(&[]).expect("a context"), 0);
    assert!(i.result.is_err(), "{i:?}");
    assert_eq!(i, j);
}

#[test]
fn calls_that_cannot_be_made_are_faults() {
    let p = pair(CHAIN);
    let mut ctx = context(6, &[], &[]);
    let kind = |r: Result<_, probity_runtime::Fault>| r.map(|_| ()).map_err(|f| f.kind);
    assert_eq!(kind(p.jit.call(9, &mut ctx, 0)), Err(FaultKind::NoProgram));
    assert_eq!(kind(p.jit.call(0, &mut ctx, 2)), Err(FaultKind::NoCpu));
    let third = p.jit.instance().program_index("third").expect("a program");
    let mut short = Context::bytes(&[0; 4]).expect("a context");
    assert_eq!(
        kind(p.jit.call(third, &mut short, 0)),
        Err(FaultKind::Context)
    );
}

#[test]
fn both_stages_can_be_looked_at() {
    let p = pair(CHAIN);
    let clif = p.jit.clif(0).expect("IR");
    assert!(
        clif.contains("; first") && clif.contains("function"),
        "{clif}"
    );
    // The lookup was compiled in place and its key needs no memory.
    assert!(!clif.contains("explicit_slot"), "{clif}");
    let assembly = p.jit.assembly(0).expect("assembly");
    assert!(assembly.contains("ret"), "{assembly}");
    assert!(p.jit.clif(99).is_err());
}

#[test]
fn threads_share_a_compiled_instance_and_dropping_it_frees_it() {
    let p = Arc::new(pair(CHAIN));
    insert(&p, 0, "third");
    let threads: Vec<_> = (0..4usize)
        .map(|n| {
            let p = p.clone();
            std::thread::spawn(move || {
                for _ in 0..1000 {
                    let mut ctx = context(6, &[], &vec![0; n]);
                    let got = p.jit.call(0, &mut ctx, n % 2).map(|o| o.ret);
                    assert_eq!(got, Ok(1000 + n as u64));
                }
            })
        })
        .collect();
    for t in threads {
        t.join().expect("a thread");
    }
}

#[test]
fn a_long_program_compiles() {
    let mut text = String::from(
        ".license \"GPL\"\n.section raw_tracepoint\n.globl main\nmain:\nr0 = *(u64 *)(r1 + 0)\nr2 = *(u64 *)(r1 + 8)\n",
    );
    let insns = std::env::var("TEST_INSNS")
        .ok()
        .and_then(|s| s.parse().ok());
    let insns = insns.unwrap_or(20_000usize);
    for n in 0..insns {
        text += match n % 5 {
            0 => "r0 += r2\n",
            1 => "r2 ^= r0\n",
            2 => "*(u64 *)(r10 - 8) = r0\n",
            3 => "if r0 s> r2 goto +1\n",
            _ => "r0 <<= 1\n",
        };
    }
    text += "exit\n";
    let platform = in_process();
    let object = assemble(&platform, "long", &text).unwrap_or_else(|e| panic!("{e}"));
    let verified = Arc::new(prove(&platform, &object).unwrap_or_else(|e| panic!("{e}")));
    let instance = Arc::new(Instance::new(verified, Options::default()).expect("an instance"));
    let start = std::time::Instant::now();
    let jit = Jit::new(instance.clone()).expect("code");
    println!("{insns} instructions in {:?}", start.elapsed());
    let interp = probity_interp::Interp::new(instance);
    let mut ctx = context(17, &[3, 5], &[]);
    assert_eq!(jit.call(0, &mut ctx, 0), interp.call(0, &mut ctx, 0));
}

/// A subprogram that makes a tail call gives its caller what the program returns; and what was counted stays.
const SUBPROGRAM: &str = r#"
.license "GPL"
.map jumps kind=prog_array key=4 value=4 max_entries=4
.map counts kind=array key=4 value=8 max_entries=1
.section xdp
.globl main
main:
    r6 = r1
    r7 = 0
    r8 = 5
again:
    r1 = r6
    call hop
    r7 += r0
    r8 += -1
    if r8 != 0 goto again
    r0 = r7
    exit
hop:
    r6 = 3000
    r7 = 4000
    r8 = 5000
    r9 = 6000
    r2 = map jumps ll
    r3 = 1
    call bpf_tail_call
    r0 = 1
    exit
.section xdp.frags
.globl leaf
leaf:
    r6 = 7
    r7 = 8
    r8 = 9
    r9 = 10
    r0 = 100
    exit
.section xdp.frags/devmap
.globl more
more:
    r6 = r1
    r2 = map jumps ll
    r3 = 0
    call bpf_tail_call
    r1 = r6
    call other
    r0 += 1000
    exit
other:
    r2 = map jumps ll
    r3 = 0
    call bpf_tail_call
    r0 = 20
    exit
"#;

#[test]
fn subprograms_make_tail_calls_for_themselves_alone() {
    let p = pair(SUBPROGRAM);
    let main = p.jit.instance().program_index("main").expect("a program");
    let run = || {
        let (i, j) = p.call(main, &|| context(6, &[], &[1, 2, 3]), 0);
        assert_eq!(i, j);
        i.result
    };
    assert_eq!(run(), Ok(5));
    insert(&p, 1, "leaf");
    assert_eq!(run(), Ok(500));
    insert(&p, 1, "more");
    assert_eq!(run(), Ok(5 * 1020));
    // To itself, nested as deep as tail calls go: each of them once, whoever makes it.
    insert(&p, 1, "main");
    assert!(run().is_ok());
}

/// Every number of hops, by an index that is not a constant, in any of the array's slots and beyond them.
#[test]
fn indices_are_of_32_bits_and_end_with_the_array() {
    let text = r#"
.license "GPL"
.map jumps kind=prog_array key=4 value=4 max_entries=4
.section xdp
.globl main
main:
    r2 = *(u32 *)(r1 + 4)
    r3 = *(u32 *)(r1 + 0)
    r4 = r3
    r4 += 8
    if r4 > r2 goto out
    r3 = *(u64 *)(r3 + 0)
    r2 = map jumps ll
    call bpf_tail_call
    exit
out:
    r0 = 5
    exit
.section xdp.frags
.globl last
last:
    r0 = 77
    exit
"#;
    let text = text.replace("    exit\nout:", "    r0 = 6\n    exit\nout:");
    let p = pair(&text);
    insert(&p, 2, "last");
    let main = p.jit.instance().program_index("main").expect("a program");
    for (index, want) in [
        (2, 77),
        (2 | 1 << 32, 77),
        (1, 6),
        (4, 6),
        (u64::MAX, 6),
        (2 | 1 << 31, 6),
    ] {
        let (i, j) = p.call(main, &|| context(6, &[], &u64::to_ne_bytes(index)), 0);
        assert_eq!(i.result, Ok(want), "{index:#x}");
        assert_eq!(i, j, "{index:#x}");
    }
}

/// A host that replaces programs meanwhile: a call sees the one or the other, or none.
#[test]
fn slots_are_replaced_while_programs_run() {
    let p = pair(SUBPROGRAM);
    let instance = p.jit.instance();
    let index = |name: &str| instance.program_index(name).expect("a program");
    let (main, leaf, more) = (index("main"), index("leaf"), index("more"));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|s| {
        let host = s.spawn(|| {
            let jumps = instance.map_by_name("jumps").expect("a map");
            while !stop.load(order) {
                instance.insert_program("jumps", 1, leaf).expect("a slot");
                instance.insert_program("jumps", 1, more).expect("a slot");
                let _ = jumps.delete(&1u32.to_ne_bytes());
            }
        });
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..20_000 {
            let mut ctx = context(6, &[], &[1, 2, 3]);
            let mut r0 = p.jit.call(main, &mut ctx, 0).expect("a result").ret;
            seen.insert(r0);
            // Five calls, each of which gave 1, 100 or 1020.
            let (mut laps, mut rest) = (0, r0);
            for each in [1020, 100, 1] {
                laps += rest / each;
                rest %= each;
            }
            r0 = laps;
            assert_eq!(r0, 5, "{seen:?}");
        }
        stop.store(true, order);
        host.join().expect("the host");
        assert!(!seen.is_empty());
    });
}
