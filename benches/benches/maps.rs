//! What an operation on a map costs a compiled program: a call does each 64 times; `nothing` is the loop alone.
//!
//! The last group is two threads writing at once.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use probity_jit::Jit;
use probity_platform::Policy;
use probity_runtime::{Context, Engine, Instance, Options, platform};

const OPERATIONS: u64 = 64;

fn jit() -> Jit {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/maps.o");
    let bytes = std::fs::read(path).expect("the object");
    let object = probity_objfile::open("maps", &bytes).expect("an object");
    let platform = Arc::new(platform(None));
    let options = probity_verifier::Options::default();
    let report = probity_verifier::verify(&object, &platform, &Policy::default(), &options)
        .expect("verification");
    let verified = report
        .into_verified()
        .unwrap_or_else(|_| panic!("a program is refused"));
    let instance = Instance::new(
        Arc::new(verified),
        Options {
            cpus: 2,
            ..Options::default()
        },
    )
    .expect("an instance");
    for n in 0..256u32 {
        for map in instance.maps().filter(|m| matches!(m.kind(), 1 | 5 | 9)) {
            let mut key = u64::from(n).to_ne_bytes().to_vec();
            key.extend(u64::from(n).to_ne_bytes());
            key.truncate(map.key_size());
            map.update(&key, &1u64.to_ne_bytes(), 0).expect("an update");
        }
    }
    Jit::new(Arc::new(instance)).expect("a compiler")
}

fn operations(c: &mut Criterion) {
    let jit = jit();
    let instance = jit.instance().clone();
    let ring = instance.map_by_name("ring").and_then(|m| m.ring());
    for (index, p) in instance.programs().iter().enumerate() {
        let mut ctx = Context::words(&[0, 1 << 20]).expect("a context");
        let mut group = c.benchmark_group("maps");
        group.throughput(Throughput::Elements(OPERATIONS));
        let writes = p.name().contains("ring");
        group.bench_function(p.name(), |b| {
            let mut calls = 0u32;
            b.iter(|| {
                // 1 KiB a call.
                calls += 1;
                if writes && calls.is_multiple_of(512) {
                    ring.expect("a ring").consume(|_| true);
                }
                black_box(jit.call(index, black_box(&mut ctx), 0))
            });
        });
        group.finish();
    }
}

fn two_writers(c: &mut Criterion) {
    let jit = jit();
    let instance = jit.instance().clone();
    for name in ["hash4_update", "lru4_evict", "hash4_insert_delete"] {
        let index = instance.program_index(name).expect("a program");
        let mut group = c.benchmark_group("maps, two writers");
        group.throughput(Throughput::Elements(OPERATIONS));
        group.bench_function(name, |b| {
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut ctx = Context::words(&[128, 1 << 30]).expect("a context");
                    while !stop.load(Ordering::Relaxed) {
                        let _ = black_box(jit.call(index, &mut ctx, 1));
                    }
                });
                let mut ctx = Context::words(&[0, 1 << 20]).expect("a context");
                b.iter(|| black_box(jit.call(index, black_box(&mut ctx), 0)));
                stop.store(true, Ordering::Relaxed);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, operations, two_writers);
criterion_main!(benches);
