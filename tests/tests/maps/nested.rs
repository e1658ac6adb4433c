//! Maps of maps: what programs find in them, in process and in Linux, while the host exchanges the inner maps.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use probity_interp::Interp;
use probity_jit::Jit;
use probity_runtime::{Context, Engine, Error, Instance, Map, Options};

use crate::{Random, in_process, operations, prove_with};
use probity_tests::linux::{Loaded, Table, allowed, stay_on_the_first_cpu};

const OUTER: u32 = 4;
const INNER: usize = 3;

/// A packet has the operation at 0, the outer key at 8, the inner key at 16 and a value at 24; what was found goes to 32.
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
r8 = *(u64 *)(r7 + 0)
r1 = *(u32 *)(r7 + 8)
*(u32 *)(r10 - 4) = r1
r1 = *(u64 *)(r7 + 16)
*(u64 *)(r10 - 16) = r1
r1 = *(u64 *)(r7 + 24)
*(u64 *)(r10 - 24) = r1
r1 = outer ll
r2 = r10
r2 += -4
call bpf_map_lookup_elem
if r0 == 0 goto none
r1 = r0
r2 = r10
r2 += -16
if r8 == 1 goto update
if r8 == 2 goto delete
call bpf_map_lookup_elem
if r0 == 0 goto out
r1 = *(u64 *)(r0 + 0)
*(u64 *)(r7 + 32) = r1
r1 += 1
*(u64 *)(r0 + 0) = r1
r0 = 1
exit
update:
r3 = r10
r3 += -24
r4 = 0
call bpf_map_update_elem
exit
delete:
call bpf_map_delete_elem
exit
none:
r0 = 77
exit
out:
r0 = 0
exit
";

/// An engine, its instance and the inner maps that are put into the outer one.
struct Ours {
    engine: Box<dyn Engine>,
    instance: Arc<Instance>,
    inner: Vec<Arc<Map>>,
}

fn errno(result: Result<(), Error>) -> Result<(), i32> {
    result.map_err(|e| match e {
        Error::Refused { errno, .. } => errno,
        other => panic!("{other}"),
    })
}

#[test]
fn maps_of_maps_lead_where_linux_ones_do() {
    if !allowed() {
        return;
    }
    stay_on_the_first_cpu();
    let mut r = Random::seeded();
    for (outer, inner) in [
        ("array_of_maps", "hash"),
        ("hash_of_maps", "lru_hash"),
        ("hash_of_maps", "hash"),
    ] {
        let text = format!(
            ".map outer kind={outer} key=4 value=4 max_entries={OUTER}\n\
             .map like kind={inner} key=8 value=8 max_entries=64\n{PROGRAM}"
        );
        let verified = prove_with(&in_process(), &text, |object| {
            object.maps[0].inner = Some(Box::new(object.maps[1].clone()));
        });
        let maps = &verified.relocated().object.maps;
        let tables = Table::all(maps).expect("maps in Linux");
        let theirs: Vec<Table> = (0..INNER)
            .map(|_| Table::new(&maps[1]).expect("an inner map in Linux"))
            .collect();
        let linux = Loaded::new(&verified.programs()[0].clone(), &tables).expect("loaded");
        let ours = [false, true].map(|compiled| {
            let instance = Instance::new(verified.clone(), Options::default());
            let instance = Arc::new(instance.expect("an instance"));
            let inner = || instance.make_inner("outer").expect("an inner map");
            Ours {
                inner: (0..INNER).map(|_| inner()).collect(),
                engine: match compiled {
                    true => Box::new(Jit::new(instance.clone()).expect("compiled")),
                    false => Box::new(Interp::new(instance.clone())),
                },
                instance,
            }
        });
        let mut found = 0;
        for n in 0..operations() {
            let key = (r.below(u64::from(OUTER) + 1) as u32).to_ne_bytes();
            let what = r.below(20);
            let told = || format!("{outer} of {inner}, operation {n} ({what}), key {key:?}");
            match what {
                0 | 1 => {
                    let which = r.below(INNER as u64) as usize;
                    let fd = theirs[which].fd.as_raw_fd().to_ne_bytes();
                    let linux = tables[0].update(&key, &fd, 0);
                    for o in &ours {
                        let inner = o.inner[which].clone();
                        let done = errno(o.instance.insert_inner("outer", &key, inner));
                        assert_eq!(done, linux, "{}", told());
                    }
                }
                2 => {
                    let linux = tables[0].delete(&key);
                    for o in &ours {
                        let outer = o.instance.find_map("outer").expect("the map");
                        assert_eq!(errno(outer.delete(&key)), linux, "{}", told());
                    }
                }
                _ => {
                    let mut packet = vec![0u8; 64];
                    packet[0] = r.below(4) as u8;
                    packet[8..12].copy_from_slice(&key);
                    packet[16] = r.below(6) as u8;
                    packet[24..32].copy_from_slice(&r.word().to_ne_bytes());
                    let linux = linux.run(&[], &packet).expect("a test run");
                    found += u32::from(linux.1[32..40] != [0; 8]);
                    for o in &ours {
                        let mut ctx = Context::xdp(&packet).expect("a context");
                        let ret = o.engine.call(0, &mut ctx, 0).expect("a call").ret as u32;
                        let bytes = ctx.packet().unwrap_or_default();
                        assert_eq!((ret, bytes), linux, "{}: {}", o.engine.name(), told());
                    }
                }
            }
        }
        println!(
            "{outer} of {inner}: {} operations alike, {found} values found",
            operations()
        );
        assert!(found > 20);
    }
}
