//! What verdicts take: on every object of `programs/` and `benches/programs/`, and on generated families at a few sizes.
//!
//! A benchmark begins with the parsed object and ends with the report, relocation included.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use probity_btf::Btf;
use probity_objfile::Object;
use probity_platform::{Platform, Policy, Version};
use probity_tests::families::{self, Scales};
use probity_verifier::{Options, verify};

/// Sizes of the families that are measured: one that is small, and the largest of these that the family has.
const LARGEST: u64 = 1_000;

fn judge(object: &Object, platform: &Arc<Platform>) -> usize {
    let report = verify(object, platform, &Policy::default(), &Options::default());
    report.expect("a report").programs.len()
}

/// Every built object, with its name. `programs/unsafe` is in: rejections take their time too.
fn objects() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut open = vec![root.join("programs"), root.join("benches/programs")];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        let entries = std::fs::read_dir(&directory).into_iter().flatten();
        for path in entries.flatten().map(|e| e.path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|x| x == "o") {
                let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
                found.push((stem.unwrap_or_default(), path));
            }
        }
    }
    found.sort();
    found
}

fn programs(c: &mut Criterion) {
    let types = std::fs::read("/sys/kernel/btf/vmlinux").ok();
    let types = types.and_then(|b| Btf::parse(&b).ok()).map(Arc::new);
    let platform = Arc::new(Platform::linux(Version(6, 18), types));
    let mut group = c.benchmark_group("programs");
    for (name, path) in objects() {
        let bytes = std::fs::read(&path).expect("the object");
        let object = probity_objfile::open(&name, &bytes).expect("an object");
        let slots: usize = object.programs.iter().map(|p| p.insns.len()).sum();
        group.throughput(Throughput::Elements(slots as u64));
        group.bench_function(name.as_str(), |b| {
            b.iter(|| judge(black_box(&object), &platform))
        });
    }
    group.finish();
}

fn generated(c: &mut Criterion) {
    let platform = families::platform();
    let mut group = c.benchmark_group("families");
    group.sample_size(10);
    for family in families::all() {
        let smallest = family.sizes.first().copied();
        let largest = match family.scales {
            Scales::Size => family.sizes.iter().rfind(|n| **n <= LARGEST).copied(),
            Scales::Trips => family.sizes.last().copied(),
        };
        for n in [smallest, largest.filter(|n| Some(*n) != smallest)] {
            let Some((n, object)) = n.and_then(|n| Some((n, family.object(n, &platform)?))) else {
                continue;
            };
            group.throughput(Throughput::Elements(object.programs[0].insns.len() as u64));
            group.bench_function(BenchmarkId::new(family.name, n), |b| {
                b.iter(|| judge(black_box(&object), &platform))
            });
        }
    }
    group.finish();
}

criterion_group!(benches, programs, generated);
criterion_main!(benches);
