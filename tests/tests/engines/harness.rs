//! Text or object → the same instance twice, one under each engine.

use std::sync::{Arc, OnceLock};

use probity_interp::Interp;
use probity_jit::{Jit, Lowerings};
use probity_objfile::Object;
use probity_platform::{Platform, Policy};
use probity_runtime::{Context, Engine, Instance, Options, Sample, platform};
use probity_verifier::{Verified, verify};

/// The in-process platform, with the kernel's types where there are any.
pub fn in_process() -> Arc<Platform> {
    static PLATFORM: OnceLock<Arc<Platform>> = OnceLock::new();
    let make = || {
        let types = std::fs::read("/sys/kernel/btf/vmlinux").ok();
        let types = types.and_then(|b| probity_btf::Btf::parse(&b).ok());
        Arc::new(platform(types.map(Arc::new)))
    };
    PLATFORM.get_or_init(make).clone()
}

/// Assembles against the in-process platform.
pub fn assemble(platform: &Platform, name: &str, text: &str) -> Result<Object, String> {
    let helper = |name: &str| {
        let name = name.strip_prefix("bpf_").unwrap_or(name);
        platform
            .helpers
            .iter()
            .find(|h| h.name == name)
            .map(|h| h.id)
    };
    probity_objfile::assemble(name, text, &helper).map_err(|e| e.to_string())
}

/// The proof of what is accepted; `Err` says why nothing is.
pub fn prove(platform: &Arc<Platform>, object: &Object) -> Result<Verified, String> {
    let options = probity_verifier::Options::default();
    let report =
        verify(object, platform, &Policy::default(), &options).map_err(|e| e.to_string())?;
    let (verified, rest) = report.into_partial();
    if verified.programs().is_empty() {
        let why = rest.iter().map(|p| match &p.verdict {
            probity_verifier::Verdict::Reject(r) => format!("{}: {r}", p.name),
            v => format!("{}: {}", p.name, v.name()),
        });
        return Err(why.collect::<Vec<_>>().join("\n"));
    }
    Ok(verified)
}

/// Both engines, each over an instance of its own.
pub struct Pair {
    pub interp: Interp,
    pub jit: Jit,
}

/// What a call left behind.
#[derive(Debug, PartialEq, Eq)]
pub struct Left {
    pub result: Result<u64, String>,
    pub ctx: Vec<u8>,
    pub packet: Option<Vec<u8>>,
    pub maps: Vec<(String, Vec<(Vec<u8>, Option<Vec<Vec<u8>>>)>)>,
}

fn options() -> Options {
    // Fixed surroundings: both engines see the same times and random numbers.
    Options {
        cpus: 2,
        perf_bytes: 1 << 12,
        env: Arc::new(Sample::default()),
        ..Options::default()
    }
}

impl Pair {
    pub fn new(verified: Verified) -> Result<Pair, probity_runtime::Error> {
        Pair::with(Arc::new(verified), Lowerings::ALL)
    }

    /// With some of the compiler's lowerings only.
    pub fn with(
        verified: Arc<Verified>,
        lowerings: Lowerings,
    ) -> Result<Pair, probity_runtime::Error> {
        let compiled = probity_jit::Options {
            lowerings,
            ..Default::default()
        };
        let one = Arc::new(Instance::new(verified.clone(), options())?);
        let two = Arc::new(Instance::new(verified, options())?);
        Ok(Pair {
            interp: Interp::new(one).with_limit(100_000_000),
            jit: Jit::with_options(two, &compiled).expect("a verified program compiles"),
        })
    }

    /// Calls a program on both and gives what each left.
    pub fn call(&self, program: usize, ctx: &dyn Fn() -> Context, cpu: usize) -> (Left, Left) {
        (
            call(&self.interp, self.interp.instance(), program, ctx(), cpu),
            call(&self.jit, self.jit.instance(), program, ctx(), cpu),
        )
    }
}

fn call(
    engine: &dyn Engine,
    instance: &Instance,
    program: usize,
    mut ctx: Context,
    cpu: usize,
) -> Left {
    let result = engine.call(program, &mut ctx, cpu);
    let maps = instance.maps().map(|m| {
        let mut entries: Vec<_> = m
            .keys()
            .into_iter()
            .map(|k| {
                let v = m.lookup_percpu(&k);
                (k, v)
            })
            .collect();
        entries.sort();
        // Addresses of maps inside of maps differ between instances.
        if matches!(m.kind(), 12 | 13) {
            entries.iter_mut().for_each(|e| e.1 = None);
        }
        (m.name().to_string(), entries)
    });
    Left {
        result: result.map(|o| o.ret).map_err(|f| f.to_string()),
        maps: maps.collect(),
        ctx: ctx.read(),
        packet: ctx.packet(),
    }
}

/// A context of a program's kind over a packet or words.
pub fn context(prog_type: u32, words: &[u64], packet: &[u8]) -> Context {
    match prog_type {
        6 => Context::xdp(packet),
        1 | 3 | 4 | 8 => Context::skb(packet),
        _ => {
            let mut words = words.to_vec();
            words.resize(words.len().max(64), 0);
            Context::words(&words)
        }
    }
    .expect("a context")
}
