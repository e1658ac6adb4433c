//! The host's operations on maps beside the system call's.

use probity_runtime::{Error, Instance, Map, Options};

use crate::{CASES, Case, Random, in_process, operations, prove};
use probity_tests::linux::{self, Table, allowed};

fn errno(result: Result<(), Error>) -> Result<(), i32> {
    result.map_err(|e| match e {
        Error::Refused { errno, .. } => errno,
        other => panic!("{other}"),
    })
}

/// All CPUs' values side by side, as the system call has them.
fn lookup(map: &Map, key: &[u8]) -> Result<Vec<u8>, i32> {
    let found = map.lookup_percpu(key).map(|all| all.concat());
    found.ok_or(libc::ENOENT)
}

fn update(map: &Map, case: &Case, key: &[u8], value: &[u8], flags: u64) -> Result<(), i32> {
    if case.keyless() {
        return errno(map.push(value, flags));
    }
    if !map.is_percpu() {
        return errno(map.update(key, value, flags));
    }
    let values: Vec<&[u8]> = value.chunks(case.value as usize).collect();
    errno(map.update_percpu(key, &values, flags))
}

fn compare(case: &Case, r: &mut Random, count: u64) {
    let text = case.line("m") + ".section xdp\n.globl main\nmain:\nr1 = map m ll\nr0 = 0\nexit\n";
    let verified = prove(&in_process(), &text);
    let options = Options {
        cpus: linux::possible_cpus(),
        ..Options::default()
    };
    let instance = Instance::new(verified.clone(), options).expect("an instance");
    let map = instance.map_by_name("m").expect("the map");
    let table: &Table = &Table::all(&verified.relocated().object.maps).expect("a map in Linux")[0];
    let parts = table.value_size() / case.value as usize;
    for n in 0..count {
        let key = case.key(r);
        let value: Vec<u8> = (0..parts).flat_map(|_| case.value(r)).collect();
        let what = r.below(10);
        let told = || format!("{case:?}, operation {n} ({what}), key {key:?}");
        match what {
            0..4 => {
                let flags = case.flags(r);
                let ours = update(map, case, &key, &value, flags);
                let theirs = table.update(&key, &value, flags);
                assert_eq!(ours, theirs, "update, flags {flags:#x}: {}", told());
            }
            4..7 if case.kind == "bloom_filter" => {
                let ours = if map.contains(&value) {
                    Ok(())
                } else {
                    Err(libc::ENOENT)
                };
                let theirs = table.contains(&value);
                // Each side hashes in its own way: neither may forget.
                if theirs != ours {
                    println!("false positive: {}", told());
                }
            }
            4..7 if case.keyless() => {
                let ours = map.peek().ok_or(libc::ENOENT);
                assert_eq!(ours, table.lookup(&key, 0), "peek: {}", told());
            }
            4..7 => {
                let theirs = table.lookup(&key, 0);
                assert_eq!(lookup(map, &key), theirs, "lookup: {}", told());
            }
            7 if case.is(&["queue", "stack"]) => {
                let ours = map.pop().ok_or(libc::ENOENT);
                assert_eq!(ours, table.take(&key, 0), "pop: {}", told());
            }
            7 | 8 if !case.keyless() => {
                let theirs = table.delete(&key);
                assert_eq!(errno(map.delete(&key)), theirs, "delete: {}", told());
            }
            9 if !case.keyless() && n % 10 == 0 => {
                let mut ours = map.keys();
                ours.sort();
                assert_eq!(ours, table.keys(), "keys: {}", told());
            }
            _ => {}
        }
    }
}

#[test]
fn the_host_sees_what_system_calls_give() {
    if !allowed() {
        return;
    }
    let mut r = Random::seeded();
    for case in CASES {
        compare(case, &mut r, operations());
        println!("{case:?}: {} operations alike", operations());
    }
}
