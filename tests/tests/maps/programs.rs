//! Programs that do one operation a call, on both engines and in Linux.
//!
//! A packet says what to do: the operation at 16, flags at 24, a key at 32, a value at 48; what was found goes to 64.

use probity_interp::Interp;
use probity_jit::Jit;
use probity_runtime::{Context, Engine, Instance, Options};
use std::sync::Arc;

use crate::{CASES, Case, Random, in_process, operations, prove};
use probity_tests::linux::{Loaded, Ring, Table, allowed, possible_cpus, stay_on_the_first_cpu};

const PACKET: usize = 128;

/// Key to r10 - 16, value to r10 - 32, operation in r8, flags in r9, the packet in r7.
const HEAD: &str = "
.license \"GPL\"
.section xdp
.globl main
main:
r7 = *(u32 *)(r1 + 0)
r2 = *(u32 *)(r1 + 4)
r3 = r7
r3 += 128
if r3 > r2 goto out
r8 = *(u64 *)(r7 + 16)
r9 = *(u64 *)(r7 + 24)
r1 = *(u64 *)(r7 + 32)
*(u64 *)(r10 - 16) = r1
r1 = *(u64 *)(r7 + 40)
*(u64 *)(r10 - 8) = r1
r1 = *(u64 *)(r7 + 48)
*(u64 *)(r10 - 32) = r1
r1 = *(u64 *)(r7 + 56)
*(u64 *)(r10 - 24) = r1
";

fn text(case: &Case) -> String {
    let key = "r2 = r10\nr2 += -16\n";
    // Copies the value at r6 to the packet.
    let out: String = (0..case.value / 8)
        .map(|n| {
            format!(
                "r1 = *(u64 *)(r6 + {0})\n*(u64 *)(r7 + {1}) = r1\n",
                n * 8,
                64 + n * 8
            )
        })
        .collect();
    let body = if case.keyless() {
        let pop = if case.kind == "bloom_filter" {
            ""
        } else {
            "if r8 == 3 goto pop\n"
        };
        let rest = if case.kind == "bloom_filter" {
            String::new()
        } else {
            "pop:\nr1 = map m ll\nr2 = r10\nr2 += -32\ncall bpf_map_pop_elem\ngoto found\n"
                .to_string()
        };
        format!(
            "if r8 == 1 goto peek\n{pop}\
             r1 = map m ll\nr2 = r10\nr2 += -32\nr3 = r9\ncall bpf_map_push_elem\nexit\n\
             peek:\nr1 = map m ll\nr2 = r10\nr2 += -32\ncall bpf_map_peek_elem\ngoto found\n{rest}\
             found:\nr8 = r0\nr6 = r10\nr6 += -32\n{out}r0 = r8\nexit\n"
        )
    } else {
        format!(
            "if r8 == 1 goto update\nif r8 == 2 goto delete\n\
             r1 = map m ll\n{key}call bpf_map_lookup_elem\nif r0 == 0 goto out\nr6 = r0\n{out}\
             if r8 != 3 goto keep\nr1 = 1\nlock *(u64 *)(r6 + 0) += r1\nkeep:\nr0 = 1\nexit\n\
             update:\nr1 = map m ll\n{key}r3 = r10\nr3 += -32\nr4 = r9\ncall bpf_map_update_elem\nexit\n\
             delete:\nr1 = map m ll\n{key}call bpf_map_delete_elem\nexit\n"
        )
    };
    format!("{}{HEAD}{body}out:\nr0 = 0\nexit\n", case.line("m"))
}

struct Three {
    interp: Interp,
    jit: Jit,
    linux: Loaded,
    tables: Vec<probity_tests::linux::Table>,
}

impl Three {
    fn new(text: &str) -> Three {
        let verified = prove(&in_process(), text);
        let instance = || {
            let options = Options {
                cpus: possible_cpus(),
                ..Options::default()
            };
            Arc::new(Instance::new(verified.clone(), options).expect("an instance"))
        };
        let tables = Table::all(&verified.relocated().object.maps).expect("maps in Linux");
        let program = verified.programs()[0].clone();
        Three {
            interp: Interp::new(instance()),
            jit: Jit::new(instance()).expect("compiled"),
            linux: Loaded::new(&program, &tables).unwrap_or_else(|e| panic!("{e}\n{text}")),
            tables,
        }
    }

    /// r0 as 32 bits and the packet afterwards, the same of all three.
    fn call(&self, packet: &[u8], told: &dyn Fn() -> String) -> (u32, Vec<u8>) {
        let linux = self.linux.run(&[], packet).expect("a test run");
        for engine in [&self.interp as &dyn Engine, &self.jit] {
            let mut ctx = Context::xdp(packet).expect("a context");
            let ret = engine.call(0, &mut ctx, 0).expect("a call").ret as u32;
            let ours = (ret, ctx.packet().unwrap_or_default());
            assert_eq!(
                ours.0 as i32,
                linux.0 as i32,
                "{}: {}",
                engine.name(),
                told()
            );
            assert_eq!(ours.1, linux.1, "{}: {}", engine.name(), told());
        }
        linux
    }
}

fn packet(operation: u64, flags: u64, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut packet = vec![0u8; PACKET];
    packet[16..24].copy_from_slice(&operation.to_ne_bytes());
    packet[24..32].copy_from_slice(&flags.to_ne_bytes());
    packet[32..][..key.len()].copy_from_slice(key);
    packet[48..][..value.len()].copy_from_slice(value);
    packet
}

#[test]
fn programs_see_what_linux_gives() {
    if !allowed() {
        return;
    }
    stay_on_the_first_cpu();
    let mut r = Random::seeded();
    for case in CASES {
        let three = Three::new(&text(case));
        for n in 0..operations() {
            let (key, value) = (case.key(&mut r), case.value(&mut r));
            // A bloom filter's false positives are each side's own.
            let operation = match r.below(4) {
                1 if case.kind == "bloom_filter" => 0,
                o => o,
            };
            let flags = case.flags(&mut r);
            let bytes = packet(operation, flags, &key, &value);
            three.call(&bytes, &|| {
                format!("{case:?}, call {n}: {operation}, flags {flags:#x}, key {key:?}")
            });
        }
        println!("{case:?}: {} calls alike", operations());
    }
}

#[test]
fn ring_buffers_are_full_when_linux_is() {
    if !allowed() {
        return;
    }
    stay_on_the_first_cpu();
    const SIZE: usize = 4096;
    // The size of a record at 40, what to ask the ring for at 32.
    let text = format!(
        ".map ring kind=ringbuf max_entries={SIZE}\n{HEAD}\
         if r8 == 1 goto query\nif r8 == 2 goto reserve\nif r8 == 3 goto discard\n\
         r3 = *(u64 *)(r10 - 8)\nr3 &= 31\n\
         r1 = map ring ll\nr2 = r10\nr2 += -32\nr4 = r9\ncall bpf_ringbuf_output\nexit\n\
         query:\nr1 = map ring ll\nr2 = *(u64 *)(r10 - 16)\ncall bpf_ringbuf_query\nexit\n\
         reserve:\nr1 = map ring ll\nr2 = 24\nr3 = r9\ncall bpf_ringbuf_reserve\nif r0 == 0 goto out\n\
         r2 = *(u64 *)(r10 - 8)\n*(u64 *)(r0 + 0) = r2\n*(u64 *)(r0 + 8) = r2\n*(u64 *)(r0 + 16) = r2\n\
         r1 = r0\nr2 = 1\ncall bpf_ringbuf_submit\nr0 = 1\nexit\n\
         discard:\nr1 = map ring ll\nr2 = 40\nr3 = r9\ncall bpf_ringbuf_reserve\nif r0 == 0 goto out\n\
         r1 = r0\nr2 = 0\ncall bpf_ringbuf_discard\nr0 = 1\nexit\n\
         out:\nr0 = 0\nexit\n"
    );
    let three = Three::new(&text);
    let ring = Ring::of(&three.tables[0], SIZE).expect("a mapping");
    let mut r = Random::seeded();
    let mut records = 0;
    for n in 0..4 * operations() {
        let operation = r.below(4);
        let flags = r.of(&[0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
        let mut bytes = packet(operation, flags, &r.below(6).to_ne_bytes(), &[]);
        bytes[40..48].copy_from_slice(&r.word().to_ne_bytes());
        three.call(&bytes, &|| format!("call {n}: {operation}, flags {flags}"));
        if r.below(150) == 0 {
            let most = r.below(200) as usize;
            let theirs = ring.consume(most);
            for instance in [three.interp.instance(), three.jit.instance()] {
                let map = instance.map_by_name("ring").and_then(|m| m.ring());
                let mut ours = Vec::new();
                if most > 0 {
                    map.expect("a ring").consume(|record| {
                        ours.push(record.to_vec());
                        ours.len() < most
                    });
                }
                assert_eq!(ours, theirs, "after call {n}");
            }
            records += theirs.len();
        }
    }
    println!("{records} records alike");
    assert!(records > 100);
}
