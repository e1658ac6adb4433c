//! What an LRU map keeps: elements that programs look up, as Linux's do, while new ones come by the thousand.
//!
//! The order of eviction is each side's own; so what is compared is what it is for.

use std::sync::Arc;

use probity_interp::Interp;
use probity_jit::Jit;
use probity_runtime::{Context, Engine, Instance, Options};

use crate::{in_process, prove};
use probity_tests::linux::{Loaded, Table, allowed, possible_cpus, stay_on_the_first_cpu};

const ENTRIES: u64 = 1024;
const HOT: u64 = 32;

/// A packet says what to do with the key at 8: look it up, or else update it. r0 is 1 when it was found.
const PROGRAM: &str = "
.license \"GPL\"
.section xdp
.globl main
main:
r7 = *(u32 *)(r1 + 0)
r2 = *(u32 *)(r1 + 4)
r3 = r7
r3 += 64
if r3 > r2 goto out
r1 = *(u64 *)(r7 + 8)
*(u64 *)(r10 - 8) = r1
*(u64 *)(r10 - 16) = r1
r2 = r10
r2 += -8
r1 = map m ll
r3 = *(u64 *)(r7 + 0)
if r3 == 1 goto update
call bpf_map_lookup_elem
if r0 == 0 goto out
r0 = 1
exit
update:
r3 = r10
r3 += -16
r4 = 0
call bpf_map_update_elem
exit
out:
r0 = 0
exit
";

/// Puts hot keys in, then four times as many others as there is room for, looking at the hot ones now and then; how many stayed,
/// and how many elements there are.
fn stay(call: &mut dyn FnMut(u64, u64) -> u32, count: &dyn Fn() -> usize) -> (u64, usize) {
    for key in 0..HOT {
        assert_eq!(call(1, key), 0);
    }
    for n in 0..4 * ENTRIES {
        assert_eq!(call(1, 1 << 20 | n), 0, "an LRU map is never full");
        if n % 4 == 0 {
            call(0, n / 4 % HOT);
        }
    }
    let kept = (0..HOT).filter(|key| call(0, *key) == 1).count();
    (kept as u64, count())
}

fn packet(operation: u64, key: u64) -> Vec<u8> {
    let mut packet = vec![0; 64];
    packet[..8].copy_from_slice(&operation.to_ne_bytes());
    packet[8..16].copy_from_slice(&key.to_ne_bytes());
    packet
}

#[test]
fn lru_maps_keep_what_programs_use_as_linux_does() {
    if !allowed() {
        return;
    }
    stay_on_the_first_cpu();
    for kind in ["lru_hash", "lru_percpu_hash"] {
        let text = format!(".map m kind={kind} key=8 value=8 max_entries={ENTRIES}\n{PROGRAM}");
        let verified = prove(&in_process(), &text);
        let tables = Table::all(&verified.relocated().object.maps).expect("maps in Linux");
        let linux = Loaded::new(&verified.programs()[0].clone(), &tables).expect("loaded");
        let mut run = |operation, key| {
            linux
                .run(&[], &packet(operation, key))
                .expect("a test run")
                .0
        };
        let (theirs, there) = stay(&mut run, &|| tables[0].keys().len());
        let instance = || {
            let options = Options {
                cpus: possible_cpus(),
                ..Options::default()
            };
            Arc::new(Instance::new(verified.clone(), options).expect("an instance"))
        };
        let (a, b) = (instance(), instance());
        let engines: [(&Instance, Box<dyn Engine>); 2] = [
            (&a, Box::new(Interp::new(a.clone()))),
            (&b, Box::new(Jit::new(b.clone()).expect("compiled"))),
        ];
        for (instance, engine) in engines {
            let map = instance.map_by_name("m").expect("the map");
            let mut run = |operation, key| {
                let mut ctx = Context::xdp(&packet(operation, key)).expect("a context");
                engine.call(0, &mut ctx, 0).expect("a call").ret as u32
            };
            let (ours, here) = stay(&mut run, &|| map.keys().len());
            println!(
                "{kind}, {}: {ours} of {HOT} stay in {here} elements; in Linux {theirs} in {there}",
                engine.name()
            );
            assert!(
                ours >= theirs && ours == HOT,
                "{kind}: {ours} of {HOT} stay"
            );
            assert_eq!(
                here as u64, ENTRIES,
                "{kind}: nothing goes while there is room"
            );
        }
    }
}
