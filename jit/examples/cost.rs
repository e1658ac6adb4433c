//! What compilation costs: `cost [--runs N] [--cache DIR] [--without LOWERINGS] FILE.o|FILE.s…`, or with `--diamonds N` in
//! the place of a file, so many branches in one function. LOWERINGS are names, with commas between.
//! With `--each`, every program of an object by itself; with `--plain`, without Cranelift's optimisation of any function.
//!
//! One line a file: instructions, least and median microseconds of a compilation (with a cache: of
//! a start from there), least nanoseconds an instruction, and the least microseconds of verification.

use std::sync::Arc;
use std::time::Instant;

use probity_jit::{Cache, Jit, Lowerings};
use probity_objfile::Object;
use probity_platform::{Platform, Policy};
use probity_runtime::{Context, Instance, platform};
use probity_verifier::{Options, verify};

fn main() {
    let platform = Arc::new(platform(None));
    let mut runs = 20;
    let mut cache = None;
    let mut each = false;
    let mut options = probity_jit::Options::default();
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
            "--each" => each = true,
            "--plain" => options.optimise = false,
            "--without" => {
                for name in args.next().expect("names of lowerings").split(',') {
                    let found = Lowerings::NAMES.iter().find(|(n, _)| *n == name);
                    let (_, lowering) = found.unwrap_or_else(|| panic!("{name} is no lowering"));
                    options.lowerings = options.lowerings.without(*lowering);
                }
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
                    &options,
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
                    &options,
                );
            }
            file => {
                let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{file}: {e}"));
                let object =
                    probity_objfile::open(file, &bytes).unwrap_or_else(|e| panic!("{file}: {e}"));
                if !each {
                    cost(&platform, file, &object, runs, cache.as_ref(), &options);
                    continue;
                }
                for program in &object.programs {
                    let what = format!("{file} {}", program.name);
                    let mut alone = object.clone();
                    alone.programs = vec![program.clone()];
                    cost(&platform, &what, &alone, runs, cache.as_ref(), &options);
                }
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

fn cost(
    platform: &Arc<Platform>,
    what: &str,
    object: &Object,
    runs: usize,
    cache: Option<&Cache>,
    options: &probity_jit::Options,
) {
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
        Some(cache) => Jit::with_cache(instance.clone(), options, cache),
        None => Jit::with_options(instance.clone(), options),
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
    let run = make().ok().and_then(|jit| call(&jit, what));
    let run = run.map_or_else(String::new, |ns| format!("; a call {ns:.1} ns"));
    println!(
        "{what}: {insns} instructions, {} us least, {} us median, {} ns an instruction; verification {verification} us{run}",
        ns[0] / 1000,
        ns[ns.len() / 2] / 1000,
        ns[0] / insns.max(1) as u128
    );
}

/// Least nanoseconds of a call of the first program, on a packet of the file beside the object.
fn call(jit: &Jit, what: &str) -> Option<f64> {
    let input = std::fs::read(std::path::Path::new(what).with_extension("in")).ok()?;
    let mut ctx = Context::xdp(&input).ok()?;
    let entry = jit.entry(0, 0).ok()?;
    let mut least = f64::INFINITY;
    for _ in 0..200 {
        let start = Instant::now();
        for _ in 0..1000 {
            entry.call(&mut ctx).ok()?;
        }
        least = least.min(start.elapsed().as_nanos() as f64 / 1000.0);
    }
    Some(least)
}
