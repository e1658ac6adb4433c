use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};

use probity_objfile as objfile;

use super::*;
use crate::{Options, arena};

mod threads;

fn def(kind: u32, key: u32, value: u32, entries: u32) -> objfile::Map {
    objfile::Map {
        name: "m".into(),
        kind,
        key_size: key,
        value_size: value,
        max_entries: entries,
        flags: 0,
        map_extra: 0,
        numa_node: None,
        pinned: false,
        key_type: None,
        value_type: None,
        data: None,
        inner: None,
        initial: Vec::new(),
    }
}

fn try_make(def: &objfile::Map, cpus: usize) -> Result<Map, Error> {
    let options = Options {
        cpus,
        perf_bytes: 4096,
        ..Options::default()
    };
    Map::new(
        def,
        &options,
        Values::default(),
        &mut options.max_map_bytes.clone(),
    )
}

fn make(kind: u32, key: u32, value: u32, entries: u32) -> Map {
    try_make(&def(kind, key, value, entries), 2).unwrap()
}

fn errno(result: Result<(), Error>) -> i32 {
    match result {
        Err(Error::Refused { errno, .. }) => errno,
        other => panic!("{other:?}"),
    }
}

fn k(n: u32) -> [u8; 4] {
    n.to_ne_bytes()
}

fn v(n: u64) -> [u8; 8] {
    n.to_ne_bytes()
}

/// A small generator, seeded by `TEST_SEED`.
struct Random(u64);

impl Random {
    fn new() -> Random {
        let seed = std::env::var("TEST_SEED")
            .ok()
            .and_then(|s| s.parse().ok())
            .unwrap_or(1);
        println!("TEST_SEED={seed}");
        Random(seed)
    }
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % below
    }
}

#[test]
fn array_elements_exist_from_the_start_and_cannot_be_deleted() {
    let m = make(2, 4, 8, 3);
    assert_eq!(m.lookup(&k(2)), Some(v(0).to_vec()));
    assert_eq!(m.lookup(&k(3)), None);
    m.update(&k(1), &v(7), 0).unwrap();
    assert_eq!(m.lookup(&k(1)), Some(v(7).to_vec()));
    assert_eq!(errno(m.update(&k(3), &v(7), 0)), libc::E2BIG);
    assert_eq!(errno(m.update(&k(1), &v(7), flags::NOEXIST)), libc::EEXIST);
    assert_eq!(errno(m.update(&k(1), &v(7), 9)), libc::EINVAL);
    assert_eq!(errno(m.delete(&k(1))), libc::EINVAL);
    assert_eq!(errno(m.update(&[0; 3], &v(7), 0)), libc::EINVAL);
    let a = m.array().unwrap();
    // SAFETY: the layout says where element 1 is.
    assert_eq!(unsafe { *((a.base + a.stride as u64) as *const u64) }, 7);
    assert_eq!(m.keys().len(), 3);
}

#[test]
fn per_cpu_elements_are_separate() {
    for kind in [5, 6, 10] {
        let m = make(kind, 4, 8, 2);
        m.update_percpu(&k(1), &[&v(10), &v(20)], 0).unwrap();
        assert_eq!(
            m.lookup_percpu(&k(1)),
            Some(vec![v(10).to_vec(), v(20).to_vec()]),
            "kind {kind}"
        );
        // A program on CPU 1 changes its own element only.
        // SAFETY: key and value have the map's sizes.
        let done = unsafe { m.store().update(1, k(1).as_ptr(), v(5).as_ptr(), 0) };
        assert_eq!(done, 0);
        assert_eq!(
            m.lookup_percpu(&k(1)),
            Some(vec![v(10).to_vec(), v(5).to_vec()]),
            "kind {kind}"
        );
        m.update(&k(1), &v(3), 0).unwrap();
        assert_eq!(
            m.lookup_percpu(&k(1)),
            Some(vec![v(3).to_vec(), v(3).to_vec()]),
            "kind {kind}"
        );
    }
    // A new element made on one CPU has zeros on the others.
    let m = make(5, 4, 8, 2);
    // SAFETY: key and value have the map's sizes.
    let done = unsafe { m.store().update(1, k(9).as_ptr(), v(5).as_ptr(), 0) };
    assert_eq!(done, 0);
    assert_eq!(
        m.lookup_percpu(&k(9)),
        Some(vec![v(0).to_vec(), v(5).to_vec()])
    );
}

#[test]
fn data_sections_hold_their_bytes_and_rodata_is_frozen() {
    let mut d = def(2, 4, 12, 1);
    d.data = Some(objfile::DataSection {
        kind: objfile::DataKind::Rodata,
        section: ".rodata".into(),
        bytes: (1..=12).collect(),
        datasec: None,
    });
    let m = try_make(&d, 1).unwrap();
    assert_eq!(m.lookup(&k(0)), Some((1..=12).collect()));
    assert_eq!(errno(m.update(&k(0), &[0; 12], 0)), libc::EPERM);
    let at = m.direct_value(4).unwrap();
    assert_eq!(
        m.span(at).unwrap(),
        Span {
            start: at - 4,
            end: at + 8,
            writable: false
        }
    );
    assert_eq!(m.direct_value(12), None);
}

#[test]
fn hash_maps_agree_with_a_plain_map_over_random_operations() {
    let mut random = Random::new();
    for (kind, key_size) in [
        (1, 1),
        (1, 4),
        (1, 7),
        (1, 8),
        (1, 13),
        (1, 40),
        (1, 300),
        (5, 4),
    ] {
        let m = make(kind, key_size, 8, 50);
        let mut model = std::collections::BTreeMap::new();
        let key = |n: u64| {
            let mut key = vec![0xa5u8; key_size as usize];
            key[0] = n as u8;
            *key.last_mut().unwrap() ^= n as u8;
            key[0] = n as u8;
            key
        };
        for _ in 0..4000 {
            let n = random.next(80);
            let key = key(n);
            match random.next(4) {
                0 | 1 => {
                    let how = random.next(3);
                    let value = random.next(1000);
                    let expected = match (model.contains_key(&n), how) {
                        (true, flags::NOEXIST) => libc::EEXIST,
                        (false, flags::EXIST) => libc::ENOENT,
                        (false, _) if model.len() == 50 => libc::E2BIG,
                        _ => 0,
                    };
                    let got = m.update(&key, &v(value), how);
                    if expected == 0 {
                        got.unwrap();
                        model.insert(n, value);
                    } else {
                        assert_eq!(errno(got), expected);
                    }
                }
                2 => {
                    let got = m.delete(&key);
                    match model.remove(&n) {
                        Some(_) => got.unwrap(),
                        None => assert_eq!(errno(got), libc::ENOENT),
                    }
                }
                _ => assert_eq!(m.lookup(&key), model.get(&n).map(|n| v(*n).to_vec())),
            }
        }
        let mut keys: Vec<u64> = m.keys().iter().map(|k| u64::from(k[0])).collect();
        keys.sort_unstable();
        assert_eq!(keys, model.keys().copied().collect::<Vec<_>>());
    }
}

#[test]
fn whoever_holds_a_replaced_value_sees_the_old_one() {
    let m = make(1, 4, 8, 4);
    m.update(&k(1), &v(1), 0).unwrap();
    // SAFETY: the key has the map's size; the value stays readable.
    unsafe {
        let p = m.store().lookup(0, k(1).as_ptr()) as *const u64;
        m.update(&k(1), &v(2), 0).unwrap();
        assert_eq!(*p, 1);
        m.delete(&k(1)).unwrap();
        assert_eq!(*p, 1);
        let span = m.span(p as u64).unwrap();
        assert_eq!((span.end - span.start, span.writable), (8, true));
    }
}

#[test]
fn lru_maps_keep_what_is_used() {
    for kind in [9, 10] {
        let m = make(kind, 4, 8, 16);
        for n in 0..1000 {
            m.update(&k(n), &v(u64::from(n)), 0).unwrap();
            // A program uses key 0 all the time, so it stays.
            // SAFETY: the key has the map's size.
            let p = unsafe { m.store().lookup(0, k(0).as_ptr()) };
            assert!(!p.is_null(), "after {n} (kind {kind})");
        }
        assert_eq!(m.keys().len(), 16);
        assert!(m.lookup(&k(999)).is_some());
    }
}

/// Waits for each thread by its own name. That the end of a scope waits for all is the standard library's doing, which
/// ThreadSanitizer does not see where that library is not compiled for it.
fn join(threads: Vec<std::thread::ScopedJoinHandle<'_, ()>>) {
    for thread in threads {
        thread.join().expect("the thread ends well");
    }
}

#[test]
fn threads_may_do_anything_to_hash_maps() {
    const THREADS: u64 = 4;
    for kind in [1, 9] {
        let entries = if kind == 1 { 64 } else { 24 };
        let m = make(kind, 4, 16, entries);
        let stop = AtomicBool::new(false);
        let done = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for t in 0..THREADS {
                let (m, stop, done) = (&m, &stop, &done);
                threads.push(scope.spawn(move || {
                    let mut random = Random(t + 1);
                    while !stop.load(Relaxed) {
                        let n = random.next(48) as u32;
                        match random.next(3) {
                            0 => {
                                // Both halves say which key they belong to.
                                let value = [v(u64::from(n)), v(u64::from(n))].concat();
                                let got = m.update(&k(n), &value, 0);
                                assert!(got.is_ok() || (kind == 9 && errno(got) == libc::ENOMEM));
                            }
                            1 => drop(m.delete(&k(n))),
                            _ => {
                                // SAFETY: the key has the map's size.
                                let p = unsafe { m.store().lookup(t as usize % 2, k(n).as_ptr()) };
                                // The element may have been reused since, but it is always an element.
                                if !p.is_null() {
                                    let span = m.span(p as u64).unwrap();
                                    assert_eq!((span.start, span.end - span.start), (p as u64, 16));
                                    // SAFETY: just seen to be a value.
                                    assert!(unsafe { arena::load(p, probity_isa::Size::DW) } < 48);
                                }
                            }
                        }
                        done.fetch_add(1, Relaxed);
                    }
                }));
            }
            std::thread::sleep(std::time::Duration::from_millis(250));
            stop.store(true, Relaxed);
            join(threads);
        });
        assert!(done.load(Relaxed) > 1000);
        // Nothing was lost: the keys are distinct, each leads to its value, and the pool is whole.
        let mut keys = m.keys();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), m.keys().len());
        for key in &keys {
            let value = m.lookup(key).unwrap();
            assert_eq!(value[..4], key[..]);
            m.delete(key).unwrap();
        }
        for n in 0..entries {
            m.update(&k(n), &[1; 16], 0).unwrap();
        }
        assert_eq!(m.keys().len(), entries as usize);
    }
}

#[test]
fn a_counter_in_a_map_loses_no_increment() {
    let m = make(1, 4, 8, 4);
    m.update(&k(1), &v(0), 0).unwrap();
    std::thread::scope(|scope| {
        let threads = (0..4).map(|_| {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    // SAFETY: the key has the map's size; the value is an aligned word.
                    unsafe {
                        let p = m.store().lookup(0, k(1).as_ptr());
                        AtomicU64::from_ptr(p.cast()).fetch_add(1, Relaxed);
                    }
                }
            })
        });
        join(threads.collect());
    });
    assert_eq!(m.lookup(&k(1)), Some(v(40_000).to_vec()));
}

#[test]
fn the_longest_prefix_wins() {
    let mut d = def(11, 8, 8, 4);
    assert!(
        matches!(try_make(&d, 1), Err(Error::Map { .. })),
        "BPF_F_NO_PREALLOC is demanded"
    );
    d.flags = flags::NO_PREALLOC;
    let m = try_make(&d, 1).unwrap();
    let key = |len: u32, a: [u8; 4]| [k(len), a].concat();
    m.update(&key(8, [10, 9, 9, 9]), &v(1), 0).unwrap();
    m.update(&key(20, [10, 1, 0xf0, 0]), &v(2), 0).unwrap();
    m.update(&key(32, [10, 1, 0xf1, 5]), &v(3), 0).unwrap();
    let look = |a| m.lookup(&key(32, a));
    assert_eq!(look([10, 2, 0, 0]), Some(v(1).to_vec()));
    assert_eq!(look([10, 1, 0xff, 0]), Some(v(2).to_vec()));
    assert_eq!(look([10, 1, 0xf1, 5]), Some(v(3).to_vec()));
    assert_eq!(look([11, 0, 0, 0]), None);
    m.update(&key(0, [0; 4]), &v(4), 0).unwrap();
    assert_eq!(look([11, 0, 0, 0]), Some(v(4).to_vec()));
    assert_eq!(errno(m.update(&key(9, [1; 4]), &v(5), 0)), libc::ENOSPC);
    assert_eq!(errno(m.update(&key(33, [1; 4]), &v(5), 0)), libc::EINVAL);
    m.update(&key(8, [10, 0, 0, 0]), &v(6), 0).unwrap();
    assert_eq!(look([10, 2, 0, 0]), Some(v(6).to_vec()));
    m.delete(&key(8, [10, 0, 0, 0])).unwrap();
    assert_eq!(look([10, 2, 0, 0]), Some(v(4).to_vec()));
    assert_eq!(errno(m.delete(&key(8, [10, 0, 0, 0]))), libc::ENOENT);
    assert_eq!(m.keys().len(), 3);
}

#[test]
fn queues_and_stacks_differ_in_their_order() {
    for (kind, order) in [(22, [1, 2]), (23, [2, 1])] {
        let m = make(kind, 0, 8, 2);
        m.push(&v(1), 0).unwrap();
        m.push(&v(2), 0).unwrap();
        assert_eq!(errno(m.push(&v(3), 0)), libc::E2BIG);
        assert_eq!(m.pop(), Some(v(order[0]).to_vec()));
        assert_eq!(m.pop(), Some(v(order[1]).to_vec()));
        assert_eq!(m.pop(), None);
    }
}

#[test]
fn ring_buffers_keep_order_and_whole_records_around_their_end() {
    let m = make(27, 0, 0, 4096);
    let ring = m.ring().unwrap();
    let mut random = Random::new();
    let (mut sent, mut seen) = (0u64, 0u64);
    for _ in 0..5000 {
        if random.next(3) != 0 {
            let record = vec![sent as u8; random.next(600) as usize + 8];
            // SAFETY: the record is readable.
            if unsafe { ring.output(record.as_ptr(), record.len() as u64) } {
                sent += 1;
            }
        } else {
            ring.consume(|r| {
                assert!(r.iter().all(|b| *b == seen as u8));
                seen += 1;
                true
            });
        }
    }
    ring.consume(|_| {
        seen += 1;
        true
    });
    assert_eq!(sent, seen);
    assert!(ring.lost() > 0 && sent > 1000);
    assert_eq!(ring.query(0), 0);
}

#[test]
fn ring_buffer_records_wait_for_their_commit() {
    let m = make(27, 0, 0, 4096);
    let ring = m.ring().unwrap();
    let a = ring.reserve(8).unwrap();
    let b = ring.reserve(8).unwrap();
    let c = ring.reserve(8).unwrap();
    // SAFETY: these are reserved records of 8 bytes.
    unsafe {
        *(b as *mut u64) = 2;
        *(c as *mut u64) = 3;
        ringbuf::commit(c, false);
        ringbuf::commit(b, false);
        assert_eq!(ring.consume(|_| true), 0, "the first is not finished");
        ringbuf::commit(a, true);
    }
    let mut got = Vec::new();
    ring.consume(|r| {
        got.push(r[0]);
        true
    });
    assert_eq!(got, [2, 3], "the first was discarded");
    assert_eq!(ring.reserve(4089), None);
    assert!(
        ring.reserve(4088).is_none(),
        "as in Linux, the last byte stays free"
    );
    assert!(ring.reserve(4080).is_some());
    assert_eq!(ring.reserve(1), None);
    assert_eq!(ring.lost(), 3);
}

#[test]
fn ring_buffers_take_records_from_many_threads() {
    let m = make(27, 0, 0, 4096);
    let (sent, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut seen = [0u64; 3];
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..3u64)
            .map(|t| {
                let (m, sent) = (&m, &sent);
                scope.spawn(move || {
                    for n in 0..5000u64 {
                        let record = [v(t), v(n)].concat();
                        // SAFETY: the record is readable.
                        if unsafe { m.ring().unwrap().output(record.as_ptr(), 16) } {
                            sent.fetch_add(1, Relaxed);
                        }
                    }
                })
            })
            .collect();
        let consumer = scope.spawn(|| {
            let (mut last, mut count) = ([None; 3], [0u64; 3]);
            loop {
                let stopping = stop.load(Acquire);
                let n = m.ring().unwrap().consume(|r| {
                    let t = r[0] as usize;
                    let n = u64::from_ne_bytes(r[8..].try_into().unwrap());
                    assert!(last[t].is_none_or(|l| l < n), "out of order");
                    last[t] = Some(n);
                    count[t] += 1;
                    true
                });
                if stopping && n == 0 {
                    return count;
                }
            }
        });
        join(producers);
        stop.store(true, Release);
        seen = consumer.join().unwrap();
    });
    assert_eq!(seen.iter().sum::<u64>(), sent.load(Relaxed));
    assert_eq!(sent.load(Relaxed) + m.ring().unwrap().lost(), 15_000);
}

#[test]
fn perf_arrays_count_what_they_lose() {
    let m = make(4, 4, 4, 8);
    let perf = m.perf().unwrap();
    assert_eq!(perf.output(1, vec![1; 10]), 0);
    assert_eq!(perf.output(0, vec![2; 10]), 0);
    assert_eq!(
        perf.output(2, vec![]),
        -i64::from(libc::ENOENT),
        "there is no CPU 2"
    );
    assert_eq!(perf.output(8, vec![]), -i64::from(libc::E2BIG));
    assert_eq!(perf.output(0, vec![0; 5000]), -i64::from(libc::ENOSPC));
    assert_eq!(perf.lost(), 1);
    assert_eq!(perf.drain(), [(0, vec![2; 10]), (1, vec![1; 10])]);
    assert_eq!(perf.drain(), []);
}

#[test]
fn equal_stacks_have_one_number() {
    let m = make(7, 4, 16, 8);
    let stacks = m.store().stacks().unwrap();
    let id = stacks.id(&[1, 2, 3], 0);
    assert!(id >= 0);
    assert_eq!(stacks.id(&[1, 2], 0), id, "a value holds two frames");
    let value = m.lookup(&k(id as u32)).unwrap();
    assert_eq!(value, [v(1), v(2)].concat());
    assert_eq!(m.keys(), [k(id as u32).to_vec()]);
    assert!(m.lookup(&k(id as u32 ^ 1)).is_none());
    assert_eq!(stacks.id(&[], 0), -i64::from(libc::EFAULT));
}

#[test]
fn absurd_definitions_are_refused() {
    for d in [
        def(2, 4, u32::MAX, u32::MAX),
        def(1, 4, 1 << 24, 1 << 28),
        def(1, 4, 8, u32::MAX),
        def(27, 0, 0, u32::MAX),
        def(6, 4, u32::MAX, 1 << 20),
        def(3, 4, 4, u32::MAX),
    ] {
        assert!(
            matches!(
                try_make(&d, 1024),
                Err(Error::MapMemory { .. } | Error::Map { .. })
            ),
            "{d:?}"
        );
    }
    for d in [
        def(2, 8, 8, 1),
        def(1, 0, 8, 1),
        def(1, 4, 0, 1),
        def(2, 4, 8, 0),
        def(27, 0, 0, 5000),
        def(99, 4, 4, 1),
    ] {
        assert!(matches!(try_make(&d, 1), Err(Error::Map { .. })), "{d:?}");
    }
}
