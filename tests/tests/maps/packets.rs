//! Helpers that change packets, in random order, in process and in the kernel's test runs: what they give, what the context says
//! afterwards, and the bytes.
//!
//! The kernel remembers where the network header began, the runtime takes it for behind the Ethernet header: what asks for it is
//! not called once bytes were put before it.

use std::sync::Arc;

use probity_interp::Interp;
use probity_jit::Jit;
use probity_runtime::{Context, Engine, Instance, Options};

use crate::{Random, in_process, operations, prove};
use probity_tests::linux::{Loaded, Table, allowed, stay_on_the_first_cpu};

/// Fields of `struct __sk_buff` that are noted after each call: length, protocol, whether there is a tag, the tag, its protocol.
const NOTED: [u32; 5] = [0, 16, 20, 24, 28];
/// Words noted of a call: its result, a word of the stack, the fields.
const WORDS: usize = 2 + NOTED.len();
const CALLS: usize = 4;

/// Notes r7.
fn note(n: usize) -> String {
    format!(
        "*(u32 *)(r10 - 4) = {n}\nr1 = map log ll\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\n\
         if r0 == 0 goto out\n*(u64 *)(r0 + 0) = r7\n"
    )
}

/// One call, which leaves its result in r0; whether bytes before the network header may have come or gone.
fn operation(r: &mut Random, moved: bool) -> (String, bool) {
    let place = r.of(&[0u64, 1, 6, 12, 14, 20, 33, 40, 100, 300, 0x7fff_ffff]);
    let len = r.of(&[1u64, 2, 4, 6, 8, 16]);
    let size = r.of(&[0u64, 10, 13, 14, 15, 34, 60, 61, 90, 128, 400]);
    let flags = r.of(&[0u64, 0, 0, 0, 1, 2, 3, 4, 8]);
    let stack = "r3 = r10\nr3 += -32\n";
    match r.below(8) {
        0 => {
            let protocol = r.of(&[0x81u64, 0xa888, 0, 0x3412]);
            let tci = r.of(&[0u64, 5, 0xfff, 0x1001, 0xe00a]);
            let text = format!("r2 = {protocol}\nr3 = {tci}\ncall bpf_skb_vlan_push\n");
            (text, true)
        }
        1 => ("call bpf_skb_vlan_pop\n".into(), true),
        2 if !moved => {
            let text = format!("r2 = {size}\nr3 = {flags}\ncall bpf_skb_change_tail\n");
            (text, false)
        }
        3 => {
            let room = r.of(&[0u64, 1, 4, 14, 32]);
            let text = format!("r2 = {room}\nr3 = {flags}\ncall bpf_skb_change_head\n");
            (text, true)
        }
        4 => (format!("r2 = {size}\ncall bpf_skb_pull_data\n"), moved),
        5 if !moved => {
            let from = r.of(&[0u64, 1]);
            let text = format!(
                "r2 = {place}\n{stack}r4 = {len}\nr5 = {from}\ncall bpf_skb_load_bytes_relative\n"
            );
            (text, false)
        }
        6 => {
            let text = format!(
                "r2 = {place}\n{stack}r4 = {len}\nr5 = {flags}\ncall bpf_skb_store_bytes\n"
            );
            (text, moved)
        }
        _ => {
            let text = format!("r2 = {place}\n{stack}r4 = {len}\ncall bpf_skb_load_bytes\n");
            (text, moved)
        }
    }
}

fn program(r: &mut Random) -> String {
    let mut text = format!(
        ".map log kind=array key=4 value=8 max_entries={}\n.license \"GPL\"\n.section tc\n.globl main\nmain:\n\
         r6 = r1\nr1 = {} ll\n*(u64 *)(r10 - 32) = r1\nr1 = {} ll\n*(u64 *)(r10 - 24) = r1\n",
        CALLS * WORDS,
        r.word() >> 1,
        r.word() >> 1
    );
    let mut moved = false;
    for n in 0..CALLS {
        let (call, moves) = operation(r, moved);
        moved |= moves;
        text += &format!("r1 = r6\n{call}r7 = r0\n{}", note(n * WORDS));
        text += &format!("r7 = *(u64 *)(r10 - 32)\n{}", note(n * WORDS + 1));
        for (i, at) in NOTED.iter().enumerate() {
            text += &format!("r7 = *(u32 *)(r6 + {at})\n{}", note(n * WORDS + 2 + i));
        }
    }
    text + "r0 = 1\nexit\nout:\nr0 = 0\nexit\n"
}

/// Addresses, up to two tags, a protocol, and bytes.
fn packet(r: &mut Random) -> Vec<u8> {
    let mut packet: Vec<u8> = (0..12).map(|n| n + 1).collect();
    for _ in 0..r.below(3) {
        packet.extend(r.of(&[[0x81u8, 0], [0x88, 0xa8]]));
        packet.extend((r.below(1 << 16) as u16).to_be_bytes());
    }
    packet.extend(r.of(&[[8u8, 6], [0x12, 0x34]]));
    let rest = 30 + r.below(60);
    packet.extend((0..rest).map(|_| r.word() as u8));
    packet
}

#[test]
fn packets_are_changed_as_linux_changes_them() {
    if !allowed() {
        return;
    }
    stay_on_the_first_cpu();
    let mut r = Random::seeded();
    let (mut refused, mut done) = (0, 0);
    for n in 0..operations() / 8 {
        let text = program(&mut r);
        let verified = prove(&in_process(), &text);
        let tables = Table::all(&verified.relocated().object.maps).expect("maps in Linux");
        let linux = Loaded::new(&verified.programs()[0].clone(), &tables)
            .unwrap_or_else(|e| panic!("{e}\n{text}"));
        let packet = packet(&mut r);
        let (ret, bytes) = linux.run(&[], &packet).expect("a test run");
        let word = |n: usize| {
            let key = (n as u32).to_ne_bytes();
            tables[0].lookup(&key, 0).expect("an element")
        };
        let noted: Vec<Vec<u8>> = (0..CALLS * WORDS).map(word).collect();
        for call in noted.chunks(WORDS) {
            match call[0][7] {
                0 => done += 1,
                _ => refused += 1,
            }
        }
        let instance = || {
            let made = Instance::new(verified.clone(), Options::default());
            Arc::new(made.expect("an instance"))
        };
        let (a, b) = (instance(), instance());
        let engines: [(&Instance, Box<dyn Engine>); 2] = [
            (&a, Box::new(Interp::new(a.clone()))),
            (&b, Box::new(Jit::new(b.clone()).expect("compiled"))),
        ];
        for (instance, engine) in engines {
            let mut ctx = Context::skb(&packet).expect("a context");
            let ours = engine.call(0, &mut ctx, 0).expect("a call").ret as u32;
            let map = instance.map_by_name("log").expect("the map");
            let told = || {
                format!(
                    "{}, program {n}, packet {packet:02x?}:\n{text}",
                    engine.name()
                )
            };
            assert_eq!(ours, ret, "{}", told());
            for (i, theirs) in noted.iter().enumerate() {
                let ours = map.lookup(&(i as u32).to_ne_bytes());
                let (call, what) = (i / WORDS, i % WORDS);
                assert_eq!(
                    ours.as_ref(),
                    Some(theirs),
                    "call {call}, word {what}: {}",
                    told()
                );
            }
            assert_eq!(ctx.packet(), Some(bytes.clone()), "{}", told());
        }
    }
    println!("{done} calls done, {refused} refused, alike");
    assert!(done > 100 && refused > 20);
}
