//! Programs → functions of every engine that they can be measured on, called alike and timed side by side.
//!
//! [`prepare`] makes a [`Function`] of a [`Subject`] for an [`Engine`], or says why there is none; [`measure`] times
//! functions in turns, so that what disturbs one disturbs all. [`set`] is what there is to measure without being told.
//!
//! **Invariant:** nothing is measured before its first answer was compared ([`agree`]).
//!
//! **Invariant:** an engine that is not there is said to be absent; nothing stands in for it.

mod clock;
pub mod engine;
mod gauge;
mod linux;
mod measure;
mod memory;
mod native;
mod ours;
#[cfg(feature = "others")]
mod rbpf;
#[cfg(feature = "others")]
mod sbpf;
pub mod set;
mod source;
mod threads;
#[cfg(feature = "others")]
mod wasm;

use probity_isa::{Imm64, Insn};

pub use clock::cpu_time;
pub use engine::{Answer, AtMost, Engine, Function, Ready, Subject, agree};
pub use gauge::{Gauge, Patience, Settled, Taken};
pub use measure::{Settings, Times, measure};
pub use source::{Source, Tools};
pub use threads::{ByThreads, Round, ring_by_threads};

/// Does a program refer to that map?
fn uses_map(program: &probity_verifier::VerifiedProgram, index: usize) -> bool {
    let refers = |insn: &Insn| match insn {
        Insn::LoadImm64 {
            imm: Imm64::MapIdx(map) | Imm64::MapIdxValue { index: map, .. },
            ..
        } => *map as usize == index,
        _ => false,
    };
    program.insns().iter().any(refers)
}

/// Makes a program callable on an engine; otherwise says why it is not.
pub fn prepare(engine: Engine, subject: &Subject, tools: &Tools) -> Result<Ready, String> {
    let ready = match engine {
        Engine::Jit => ours::jit(subject, tools),
        Engine::Interp => ours::interp(subject, tools),
        Engine::Linux => linux::prepare(subject),
        Engine::Native => native::prepare(subject, tools, source::Shape::Native),
        Engine::Scalar => native::prepare(subject, tools, source::Shape::Scalar),
        #[cfg(feature = "others")]
        Engine::Rbpf => rbpf::jit(subject, tools),
        #[cfg(feature = "others")]
        Engine::RbpfCranelift => rbpf::cranelift(subject, tools),
        #[cfg(feature = "others")]
        Engine::SolanaSbpf => sbpf::prepare(subject, tools),
        #[cfg(feature = "others")]
        Engine::Wasmtime => wasm::prepare(subject, tools),
        #[cfg(not(feature = "others"))]
        _ => Err("this command was built without engines of others (feature `others`)".into()),
    };
    let (function, compile) = ready?;
    let cached = match engine {
        Engine::Jit => Some(ours::second_start(subject, tools)?),
        _ => None,
    };
    Ok(Ready {
        engine,
        function,
        compile_us: compile.as_secs_f64() * 1e6,
        cached_us: cached.map(|c| c.as_secs_f64() * 1e6),
    })
}

/// What an engine's module makes of a subject, and how long that took.
type Prepared = Result<(Box<dyn Function>, std::time::Duration), String>;

/// The median of some runs of what can be made again, in CPU time: the calm ones, if there were some.
fn timed<T>(
    runs: usize,
    gauge: &Gauge,
    mut make: impl FnMut() -> Result<T, String>,
) -> Result<(T, std::time::Duration), String> {
    let mut times = Vec::new();
    let mut made = None;
    for _ in 0..runs.max(1) {
        times.push(gauge.calmly(|| {
            let start = cpu_time();
            made = Some(make()?);
            Ok::<_, String>(cpu_time().saturating_sub(start))
        })?);
    }
    let settled = Settled::of(&times).ok_or("not measured")?;
    Ok((made.ok_or("not made")?, settled.median))
}
