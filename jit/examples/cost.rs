//! What compilation costs: `cost [--runs N] [--cache DIR] FILE.o|FILE.s…`, or with `--diamonds N` in
//! the place of a file, so many branches in one function.
//!
//! One line a file: instructions, least and median microseconds of a compilation (with a cache: of
//! a start from there), least nanoseconds an instruction, and the least microseconds of verification.

use std::sync::Arc;
use std::time::Instant;

use probity_jit::{Cache, Jit};
use probity_objfile::Object;
use probity_platform::{Platform, Policy};
use probity_runtime::{Instance, platform};
use probity_verifier::{Options, verify};

fn main() {
    let platform = Arc::new(platform(None));
    let mut runs = 20;
    let mut cache = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let number = |text: Option<String>| -> usize {
            let text = text.expect("an option is followed by a number");
            text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
        };
        match arg.as_str() {
            "--runs" => runs = number(args.next()),
            "--cache" => {
                let directory = args.next().expect("a directory");
                cache = Some(Cache::open(directory).unwrap_or_else(|e| panic!("{e}")));
            }
            "--diamonds" => {
                let n = number(args.next());
                let object = assemble(&platform, "diamonds", &diamonds(n));
                cost(
                    &platform,
                    &format!("{n} diamonds"),
                    &object,
                    runs,
                    cache.as_ref(),
                );
            }
            file if file.ends_with(".s") => {
                let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
                cost(
                    &platform,
                    file,
                    &assemble(&platform, file, &text),
                    runs,
                    cache.as_ref(),
                );
            }
            file => {
                let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{file}: {e}"));
                let object =
                    probity_objfile::open(file, &bytes).unwrap_or_else(|e| panic!("{file}: {e}"));
                cost(&platform, file, &object, runs, cache.as_ref());
            }
        }
    }
}

/// A ladder of branches on unknown values, each of which changes a register that the next reads.
fn diamonds(n: usize) -> String {
    let mut text = String::from(
        ".section raw_tracepoint\n.globl main\nmain:\nr6 = r1\nr7 = 0\nr8 = *(u64 *)(r1 + 0)\n",
    );
    for i in 0..n {
        let at = i % 12 * 8;
        text += &format!(
            "r1 = *(u64 *)(r6 + {at})\nr1 ^= r8\nif r1 > {i} goto l{i}\nr7 += r1\nr8 += {i}\nl{i}:\n"
        );
    }
    text + "r0 = r7\nexit\n"
}

fn assemble(platform: &Platform, name: &str, text: &str) -> Object {
    let helper = |name: &str| {
        let name = name.strip_prefix("bpf_").unwrap_or(name);
        platform
            .helpers
            .iter()
            .find(|h| h.name == name)
            .map(|h| h.id)
    };
    probity_objfile::assemble(name, text, &helper).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn cost(platform: &Arc<Platform>, what: &str, object: &Object, runs: usize, cache: Option<&Cache>) {
    let mut verification = u128::MAX;
    for _ in 0..runs.max(1) {
        let start = Instant::now();
        let done = verify(object, platform, &Policy::default(), &Options::default());
        verification = verification.min(start.elapsed().as_micros());
        drop(done);
    }
    let report = verify(object, platform, &Policy::default(), &Options::default())
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    let (verified, rest) = report.into_partial();
    for p in rest {
        println!("{what}: {} is not accepted", p.name);
    }
    let insns: usize = verified.programs().iter().map(|p| p.insns().len()).sum();
    let instance = match Instance::new(Arc::new(verified), Default::default()) {
        Ok(i) => Arc::new(i),
        Err(e) => return println!("{what}: {e}"),
    };
    let make = || match cache {
        Some(cache) => Jit::with_cache(instance.clone(), &Default::default(), cache),
        None => Jit::new(instance.clone()),
    };
    // The first start fills the cache.
    drop(make());
    let mut ns: Vec<u128> = (0..runs.max(1))
        .map(|_| {
            let start = Instant::now();
            let jit = make().unwrap_or_else(|e| panic!("{what}: {e}"));
            let ns = start.elapsed().as_nanos();
            drop(jit);
            ns
        })
        .collect();
    ns.sort_unstable();
    println!(
        "{what}: {insns} instructions, {} us least, {} us median, {} ns an instruction; verification {verification} us",
        ns[0] / 1000,
        ns[ns.len() / 2] / 1000,
        ns[0] / insns.max(1) as u128
    );
}
