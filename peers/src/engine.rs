//! What can be measured, on what, and what comes of a call.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use probity_verifier::Verified;

use crate::Source;

/// Engines, in the order of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// The C source for this machine, by clang -O2.
    Native,
    /// The same without vectors and unrolled loops: what a bytecode without vectors can hope for.
    Scalar,
    Jit,
    Interp,
    /// The running kernel, through `BPF_PROG_TEST_RUN`.
    Linux,
    /// rbpf's compiler for x86-64, unchecked.
    Rbpf,
    /// rbpf's compiler by Cranelift, checked.
    RbpfCranelift,
    /// Solana's compiler in its default configuration, checked and metered.
    SolanaSbpf,
    /// The C source as WebAssembly.
    Wasmtime,
}

impl Engine {
    pub const ALL: [Engine; 9] = [
        Engine::Native,
        Engine::Scalar,
        Engine::Jit,
        Engine::Interp,
        Engine::Linux,
        Engine::Rbpf,
        Engine::RbpfCranelift,
        Engine::SolanaSbpf,
        Engine::Wasmtime,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Engine::Native => "native",
            Engine::Scalar => "scalar",
            Engine::Jit => "jit",
            Engine::Interp => "interp",
            Engine::Linux => "linux",
            Engine::Rbpf => "rbpf",
            Engine::RbpfCranelift => "rbpf-cranelift",
            Engine::SolanaSbpf => "solana-sbpf",
            Engine::Wasmtime => "wasmtime",
        }
    }

    pub fn from_name(name: &str) -> Option<Engine> {
        Engine::ALL.into_iter().find(|e| e.name() == name)
    }

    /// Does it take the C source, and so only programs that have one of the shape of `bench.h`?
    pub fn wants_source(self) -> bool {
        !matches!(self, Engine::Jit | Engine::Interp | Engine::Linux)
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One program and its input.
#[derive(Clone)]
pub struct Subject {
    pub name: String,
    pub verified: Arc<Verified>,
    /// Index into [`Verified::programs`].
    pub index: usize,
    /// The packet, or the context of programs that see none.
    pub input: Vec<u8>,
    /// For engines that do not run the object itself.
    pub source: Option<Source>,
    /// Makes a fresh set of maps for it what it expects: `NAME_setup`, by index.
    pub setup: Option<usize>,
}

/// What a call gave: 32 bits of what was returned, and the memory as it was left.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    pub ret: u32,
    pub memory: Vec<u8>,
}

/// A program on an engine, with its input.
pub trait Function {
    /// One run on a fresh input.
    fn once(&mut self) -> Result<Answer, String>;
    /// That many runs, and the CPU time they took.
    fn batch(&mut self, runs: u64) -> Result<Duration, String>;
    /// Runs of a batch, at most.
    fn most(&self) -> u64 {
        1 << 30
    }
}

/// A function whose batches are no longer than another's.
pub struct AtMost(pub Box<dyn Function>, pub u64);

impl Function for AtMost {
    fn once(&mut self) -> Result<Answer, String> {
        self.0.once()
    }
    fn batch(&mut self, runs: u64) -> Result<Duration, String> {
        self.0.batch(runs)
    }
    fn most(&self) -> u64 {
        self.1.min(self.0.most())
    }
}

/// A function, and what it took to make it.
pub struct Ready {
    pub engine: Engine,
    pub function: Box<dyn Function>,
    pub compile_us: f64,
    /// The same when it was compiled before and kept, where the engine keeps code.
    pub cached_us: Option<f64>,
}

/// Whether two engines gave the same; otherwise what differs.
pub fn agree(expected: &Answer, given: &Answer) -> Result<(), String> {
    if expected.ret != given.ret {
        return Err(format!(
            "it gives {:#x}, not {:#x}",
            given.ret, expected.ret
        ));
    }
    let (a, b) = (&expected.memory, &given.memory);
    if a.len() != b.len() {
        return Err(format!("it leaves {} bytes, not {}", b.len(), a.len()));
    }
    match a.iter().zip(b).position(|(a, b)| a != b) {
        Some(at) => Err(format!("the memory it leaves differs from byte {at} on")),
        None => Ok(()),
    }
}
