//! The engines side by side: `jit`, `interp`, and rbpf's x86-64 compiler, which checks nothing,
//! on the same bytes where it can run them.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use probity_interp::Interp;
use probity_jit::Jit;
use probity_platform::Policy;
use probity_runtime::{Context, Engine, Instance, Options, platform};
use probity_verifier::Verified;

/// The context that all are called with.
const WORDS: [u64; 12] = [0x1234_5678_9abc_def1, 77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn verified() -> Arc<Verified> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/engines.o");
    let bytes = std::fs::read(path).expect("the object");
    let object = probity_objfile::open("engines", &bytes).expect("an object");
    let platform = Arc::new(platform(None));
    let options = probity_verifier::Options::default();
    let report = probity_verifier::verify(&object, &platform, &Policy::default(), &options)
        .expect("verification");
    let (verified, rest) = report.into_partial();
    for p in rest {
        if let probity_verifier::Verdict::Reject(r) = &p.verdict {
            println!("{} is not measured: {r}", p.name);
        }
    }
    Arc::new(verified)
}

fn instance(verified: &Arc<Verified>) -> Arc<Instance> {
    let made = Instance::new(verified.clone(), Options::default()).expect("an instance");
    if let Some(hash) = made.map_by_name("hash") {
        for key in 0..256u32 {
            hash.update(&key.to_ne_bytes(), &1u64.to_ne_bytes(), 0)
                .expect("an update");
        }
    }
    Arc::new(made)
}

fn calls(c: &mut Criterion) {
    let verified = verified();
    let jit = Jit::new(instance(&verified)).expect("a compiler");
    let interp = Interp::new(instance(&verified));
    for (index, p) in verified.programs().iter().enumerate() {
        let mut group = c.benchmark_group(p.name());
        let mut ctx = Context::words(&WORDS).expect("a context");
        let want = interp.call(index, &mut ctx, 0).expect("a call").ret;
        let got = jit.call(index, &mut ctx, 0).expect("a call").ret;
        assert_eq!(got, want, "{}", p.name());
        group.bench_function("jit", |b| {
            b.iter(|| black_box(jit.call(index, black_box(&mut ctx), 0)))
        });
        group.bench_function("interp", |b| {
            b.iter(|| black_box(interp.call(index, black_box(&mut ctx), 0)))
        });
        // rbpf knows no maps.
        if p.name().contains("lookups") {
            continue;
        }
        let code = probity_isa::to_bytes(p.raw());
        let mut vm = rbpf::EbpfVmRaw::new(Some(&code)).expect("rbpf takes it");
        if cfg!(target_arch = "x86_64") && vm.jit_compile().is_ok() {
            let mut mem: Vec<u8> = WORDS.iter().flat_map(|w| w.to_ne_bytes()).collect();
            // SAFETY: the program was verified: it stays inside of its context and its stack.
            let got = unsafe { vm.execute_program_jit(&mut mem) }.expect("a call");
            assert_eq!(got, want, "rbpf: {}", p.name());
            group.bench_function("rbpf", |b| {
                b.iter(|| {
                    // SAFETY: as above.
                    black_box(unsafe { vm.execute_program_jit(black_box(&mut mem)) })
                })
            });
        }
        group.finish();
    }
}

fn compilation(c: &mut Criterion) {
    let verified = verified();
    let instance = instance(&verified);
    c.bench_function("compile/engines.o", |b| {
        b.iter(|| Jit::new(black_box(instance.clone())).expect("a compiler"))
    });
}

criterion_group!(benches, calls, compilation);
criterion_main!(benches);
