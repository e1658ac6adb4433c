//! What holds while other threads write: keys that stay are found, copies are whole, iteration misses nothing that stays.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::time::Duration;

use super::{Random, join, make, v};
use crate::maps::flags;

/// A key of a map's size.
fn key(n: u64, size: usize) -> Vec<u8> {
    let mut key = n.to_ne_bytes().repeat(3);
    key.truncate(size);
    key
}

#[test]
fn threads_never_miss_a_key_that_stays() {
    const STAY: u64 = 8;
    for (key_size, entries) in [(4, 24), (8, 24), (16, 24), (20, 24)] {
        let m = make(1, key_size, 16, entries);
        let size = key_size as usize;
        for n in 0..STAY {
            m.update(&key(n, size), &[v(0), v(0)].concat(), 0).unwrap();
        }
        let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let mut threads = Vec::new();
            // Replaces those that stay, and moves the others' slots from chain to chain.
            for t in 0..2u64 {
                let (m, stop) = (&m, &stop);
                threads.push(scope.spawn(move || {
                    let mut random = Random(t + 10);
                    while !stop.load(Relaxed) {
                        let n = random.next(16);
                        let value = [v(n), v(n)].concat();
                        if n < STAY {
                            m.update(&key(n, size), &value, flags::EXIST).unwrap();
                        } else {
                            let _ = m.update(&key(n + t * 100, size), &value, 0);
                            let _ = m.delete(&key(random.next(8) + STAY + t * 100, size));
                        }
                    }
                }));
            }
            for t in 0..2u64 {
                let (m, stop, reads) = (&m, &stop, &reads);
                threads.push(scope.spawn(move || {
                    let mut random = Random(t + 20);
                    while !stop.load(Relaxed) {
                        let n = random.next(STAY);
                        let value = m.lookup(&key(n, size)).expect("the key stays");
                        assert_eq!(value[..8], value[8..], "a value of one moment");
                        let read = u64::from_ne_bytes(value[..8].try_into().unwrap());
                        assert!(read == 0 || read == n, "{n} has {read}");
                        // SAFETY: the key has the map's size.
                        let p = unsafe { m.store().lookup(0, key(n, size).as_ptr()) };
                        assert!(!p.is_null(), "a program finds it too");
                        if reads.fetch_add(1, Relaxed).is_multiple_of(64) {
                            let mut keys = m.keys();
                            keys.sort();
                            let all = keys.len();
                            keys.dedup();
                            assert_eq!(keys.len(), all, "a key twice");
                            for n in 0..STAY {
                                assert!(keys.binary_search(&key(n, size)).is_ok(), "{n} is missed");
                            }
                        }
                    }
                }));
            }
            std::thread::sleep(Duration::from_millis(150));
            stop.store(true, Relaxed);
            join(threads);
        });
        assert!(reads.load(Relaxed) > 100);
    }
}

#[test]
fn threads_fill_and_empty_a_map_to_the_last_slot() {
    const ENTRIES: u32 = 64;
    let m = make(1, 8, 8, ENTRIES);
    let rounds = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for t in 0..4u64 {
            let (m, rounds) = (&m, &rounds);
            threads.push(scope.spawn(move || {
                for _ in 0..200 {
                    // A quarter of the map is each thread's.
                    let keys = (0..u64::from(ENTRIES) / 4).map(|n| v(t << 32 | n));
                    for key in keys.clone() {
                        m.update(&key, &key, flags::NOEXIST).expect("room for all");
                    }
                    for key in keys {
                        assert_eq!(m.lookup(&key).as_deref(), Some(&key[..]));
                        m.delete(&key).expect("it is there");
                    }
                    rounds.fetch_add(1, Relaxed);
                }
            }));
        }
        join(threads);
    });
    assert_eq!((rounds.load(Relaxed), m.keys().len()), (800, 0));
}
