//! The engines side by side on the programs of `programs/bench`, as `probity bench run` has them, by criterion.
//!
//! Other engines are there with the feature `peers`; native code with a clang, Linux as root.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use probity_jit::Jit;
use probity_peers::{Engine, Ready, Source, Subject, Tools, agree, set};
use probity_platform::Policy;
use probity_runtime::{Instance, Options, platform};
use probity_verifier::Verified;

fn verified(shipped: &set::Shipped) -> Arc<Verified> {
    let object = probity_objfile::open(shipped.name, shipped.object).expect("an object");
    let platform = Arc::new(platform(None));
    let options = probity_verifier::Options::default();
    let report = probity_verifier::verify(&object, &platform, &Policy::default(), &options);
    let verified = report.expect("verification").into_verified();
    Arc::new(verified.expect("all programs are accepted"))
}

fn subjects(shipped: &set::Shipped) -> Vec<Subject> {
    let verified = verified(shipped);
    let index_of = |name: &str| verified.programs().iter().position(|p| p.name() == name);
    let programs = verified.programs().iter().enumerate();
    let measured = programs.filter(|(_, p)| !set::is_part(p.name()));
    measured
        .map(|(index, p)| Subject {
            name: p.name().to_string(),
            verified: verified.clone(),
            index,
            input: shipped.input.to_vec(),
            source: Source::of(p.name(), shipped.source),
            setup: index_of(&format!("{}_setup", p.name())),
        })
        .collect()
}

/// As many runs as criterion wants, in batches as large as the function takes.
fn batches(ready: &mut Ready, mut runs: u64) -> std::time::Duration {
    let mut took = std::time::Duration::ZERO;
    while runs > 0 {
        let batch = runs.min(ready.function.most());
        took += ready.function.batch(batch).expect("a batch");
        runs -= batch;
    }
    took
}

fn calls(c: &mut Criterion) {
    let tools = Tools::find().expect("a directory for what clang makes");
    let mut said = BTreeSet::new();
    for subject in set::ALL.iter().flat_map(subjects) {
        let mut group = c.benchmark_group(&subject.name);
        let mut expected = None;
        for engine in Engine::ALL {
            if engine.wants_source() && subject.source.is_none() {
                continue;
            }
            let mut ready = match probity_peers::prepare(engine, &subject, &tools) {
                Ok(ready) => ready,
                Err(why) => {
                    if said.insert((engine, why.clone())) {
                        println!("not measured: {engine}: {why}");
                    }
                    continue;
                }
            };
            let answer = ready.function.once().expect("an answer");
            let expected = expected.get_or_insert_with(|| answer.clone());
            if let Err(why) = agree(expected, &answer) {
                let ours = matches!(engine, Engine::Jit | Engine::Interp);
                assert!(!ours, "{engine}: {}: {why}", subject.name);
                println!("not measured: {engine}: {}: {why}", subject.name);
                continue;
            }
            group.bench_function(engine.name(), |b| {
                b.iter_custom(|runs| batches(&mut ready, runs))
            });
        }
        group.finish();
    }
}

fn compilation(c: &mut Criterion) {
    for shipped in set::ALL {
        let made = Instance::new(verified(shipped), Options::default());
        let instance = Arc::new(made.expect("an instance"));
        c.bench_function(&format!("compile/{}", shipped.name), |b| {
            b.iter(|| Jit::new(black_box(instance.clone())).expect("a compiler"))
        });
    }
}

criterion_group!(benches, calls, compilation);
criterion_main!(benches);
