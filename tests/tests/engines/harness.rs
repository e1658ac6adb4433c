//! Text or object → the same instance twice, one under each engine.

use std::sync::{Arc, OnceLock};

use probity_btf::{BtfBuilder, FuncLinkage, IntEncoding, Kind, TypeId};
use probity_interp::Interp;
use probity_jit::{Jit, Lowerings};
use probity_objfile::{Object, StructOps};
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

/// Assembles against a platform. `kfunc NAME` calls a kernel function of its types, and
/// `# exception NAME` names the program's exception callback, a function of a number;
/// `# implements STRUCTURE.MEMBER` says what a program `main` of the section `struct_ops` is.
pub fn assemble(platform: &Platform, name: &str, text: &str) -> Result<Object, String> {
    let types = platform.types.as_deref().ok_or("no types")?;
    let mut with_ids = String::new();
    for line in text.lines() {
        match line.trim().strip_prefix("kfunc ") {
            Some(name) => {
                let id = types.find(name.trim(), Kind::Func);
                let id = id.ok_or_else(|| format!("no kernel function {name}"))?;
                with_ids += &format!("call kfunc[{}, 0]\n", id.0);
            }
            None => with_ids = with_ids + line + "\n",
        }
    }
    let mut object = assemble_text(platform, name, &with_ids)?;
    let named = text.lines().find_map(|l| l.strip_prefix("# exception "));
    if let Some(callback) = named {
        exception_callback(&mut object, callback.trim())?;
    }
    let implements = text.lines().find_map(|l| l.strip_prefix("# implements "));
    if let Some((structure, member)) = implements.and_then(|l| l.trim().split_once('.')) {
        object.struct_ops.push(StructOps {
            name: "variable".into(),
            type_name: structure.into(),
            link: true,
            optional: false,
            type_id: TypeId::VOID,
            bytes: Vec::new(),
            members: vec![(member.into(), "main".into())],
        });
    }
    Ok(object)
}

/// Gives the function the type that an exception callback has, and makes it the first program's.
fn exception_callback(object: &mut Object, name: &str) -> Result<(), String> {
    let mut types = match &object.btf {
        Some(btf) => BtfBuilder::from_btf(btf),
        None => BtfBuilder::new(),
    };
    let number = types.int("unsigned long", 8, IntEncoding::UNSIGNED);
    let proto = types.func_proto(number, &[("cookie", number)]);
    let func = types.func(name, proto, FuncLinkage::Global);
    object.btf = Some(Arc::new(types.build().map_err(|e| e.to_string())?));
    let program = object.programs.first_mut().ok_or("no program")?;
    let at = program.subprogs.iter().position(|s| s.name == name);
    let at = at.ok_or_else(|| format!("no function {name}"))?;
    program.subprogs[at].func = Some(func);
    program.subprogs[at].global = true;
    program.exception_cb = Some(at);
    Ok(())
}

fn assemble_text(platform: &Platform, name: &str, text: &str) -> Result<Object, String> {
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
    pub metadata: Vec<u8>,
    pub maps: Vec<(String, Vec<(Vec<u8>, Option<Vec<Vec<u8>>>)>)>,
    /// Of ring buffers, which are empty then.
    pub records: Vec<Vec<u8>>,
}

fn options() -> Options {
    // Fixed surroundings: both engines see the same times and random numbers.
    // The loopback interface is there, as in Linux's test runs.
    let sample = Sample {
        mtus: vec![(1, 65536)],
        ..Sample::default()
    };
    Options {
        cpus: 2,
        perf_bytes: 1 << 12,
        env: Arc::new(sample),
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
    let mut records = Vec::new();
    for ring in instance.maps().filter_map(|m| m.ring()) {
        ring.consume(|record| {
            records.push(record.to_vec());
            true
        });
    }
    Left {
        result: result.map(|o| o.ret).map_err(|f| f.to_string()),
        maps: maps.collect(),
        records,
        ctx: ctx.read(),
        packet: ctx.packet(),
        metadata: ctx.metadata(),
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
