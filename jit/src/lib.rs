//! [`Instance`] → the fast engine: machine code by Cranelift, with no checks that the proof made needless.
//!
//! Registers are SSA values; stack slots at proved offsets are too; map addresses are constants;
//! lookups in arrays are compiled in place; subprograms are direct calls; dead branches are gone.
//!
//! A call takes its stack from the calling thread: at most 34 programs of a chain of tail calls,
//! each with 8 frames of 512 bytes and what the compiler spills, some 300 KiB.
//!
//! **Invariant:** what is compiled is verified: an [`Instance`] is made from a proof only.
//!
//! **Invariant:** maps, helpers and memory are those of `runtime`, so that the engines differ
//! only in how instructions execute.
//!
//! **Invariant:** what is compiled is position-independent data until it is linked: no address of a
//! helper or a map is in it but by name ([`symbol`]), and memory is never writable and executable at once.
//!
//! **Invariant:** nothing here knows of ELF, and no helper or map kind by name.

mod alu;
mod cache;
mod call;
mod code;
mod compile;
mod counters;
mod encode;
mod entry;
mod epoch;
mod error;
mod flow;
#[cfg(any(feature = "aarch64", target_arch = "aarch64"))]
mod foreign;
mod frame;
mod generate;
mod inline;
mod jitdump;
mod key;
mod kfunc;
mod link;
mod lowerings;
mod memory;
mod options;
mod pages;
mod params;
mod placement;
mod symbol;
mod tables;
mod target;
#[cfg(test)]
mod tests;
mod translate;
mod vectors;
mod words;

use std::fmt;
use std::sync::Arc;

use probity_runtime::timers::Later;
use probity_runtime::{Call, Context, Engine, Fault, FaultKind, Instance, Outcome, Prepared};

pub use cache::Cache;
pub use entry::{CallError, Entry};
pub use error::Error;
#[cfg(any(feature = "aarch64", target_arch = "aarch64"))]
pub use foreign::{Foreign, Reference, Referent};
pub use jitdump::JitDump;
pub use lowerings::Lowerings;
pub use options::Options;

use code::Code;
use compile::Stage;
use link::Linked;
use target::Target;

/// Compiled programs of one instance.
pub struct Jit {
    instance: Arc<Instance>,
    /// Of functions that programs hand to helpers.
    id: u64,
    linked: Linked,
    options: Options,
    from_cache: bool,
}

/// A program's main function: the call's state and r1.
type Main = unsafe extern "C" fn(*mut Call<'_>, u64) -> u64;
/// A subprogram whose address was taken.
type Callback = unsafe extern "C" fn(*mut Call<'_>, u64, u64, u64, u64, u64) -> u64;

impl Jit {
    /// Compiles every program of the instance.
    ///
    /// Compiling takes some microseconds an instruction. Functions of thousands of branches get their
    /// registers in one pass, which makes slower code; one of more than 131,072 instructions is
    /// an error, as is one that the code generator cannot cope with.
    pub fn new(instance: Arc<Instance>) -> Result<Jit, Error> {
        Jit::with_options(instance, &Options::default())
    }

    pub fn with_options(instance: Arc<Instance>, options: &Options) -> Result<Jit, Error> {
        let target = Target::host(options)?;
        let code = compile::compile(&instance, &target)?;
        Jit::link(instance, code, options, false)
    }

    /// Takes the code from the cache, when it is there; otherwise compiles and leaves it there.
    /// That it cannot be left there is no error.
    pub fn with_cache(
        instance: Arc<Instance>,
        options: &Options,
        cache: &Cache,
    ) -> Result<Jit, Error> {
        let target = Target::host(options)?;
        let key = key::key(&instance, &target, options, cache.digests());
        let cached = cache.load(&key).and_then(|bytes| encode::decode(&bytes));
        let programs = instance.programs().len();
        if let Some(code) = cached.filter(|c| c.arch == target.arch && c.mains.len() == programs) {
            // What cannot be linked, though it is authentic, is compiled anew.
            if let Ok(jit) = Jit::link(instance.clone(), code, options, true) {
                return Ok(jit);
            }
        }
        let code = compile::compile(&instance, &target)?;
        let encoded = encode::encode(&code);
        let jit = Jit::link(instance, code, options, false)?;
        let _ = cache.store(&key, &encoded);
        Ok(jit)
    }

    fn link(
        instance: Arc<Instance>,
        code: Code,
        options: &Options,
        from_cache: bool,
    ) -> Result<Jit, Error> {
        let linked = Linked::new(code, &instance)?;
        Ok(Jit {
            id: instance.engine_id(),
            instance,
            linked,
            options: options.clone(),
            from_cache,
        })
    }

    /// Its code was compiled earlier, and taken from a [`Cache`].
    pub fn from_cache(&self) -> bool {
        self.from_cache
    }

    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// A program's functions as Cranelift's IR, before optimisation.
    pub fn clif(&self, program: usize) -> Result<String, Error> {
        self.dump(program, Stage::Clif)
    }

    /// A program's functions as this machine's assembly.
    pub fn assembly(&self, program: usize) -> Result<String, Error> {
        self.dump(program, Stage::Assembly)
    }

    /// A program's main function.
    fn main(&self, program: usize) -> Option<Main> {
        let address = self.linked.mains.get(program).copied()?;
        // SAFETY: it is the address of code that was compiled with this signature.
        Some(unsafe { std::mem::transmute::<usize, Main>(address as usize) })
    }

    fn dump(&self, program: usize, stage: Stage) -> Result<String, Error> {
        compile::dump(
            &self.instance,
            &Target::host(&self.options)?,
            program,
            stage,
        )
    }
}

impl Engine for Jit {
    fn name(&self) -> &'static str {
        "jit"
    }

    fn call(&self, program: usize, ctx: &mut Context, cpu: usize) -> Result<Outcome, Fault> {
        let entry = self.entry(program, cpu)?;
        let mut pc = 0;
        let called = entry.run(ctx, &mut pc);
        called.map_err(|e| match e {
            CallError::Context => Fault::new(program, 0, FaultKind::Context),
            CallError::Epoch => Fault::new(program, pc, FaultKind::Epoch),
        })
    }

    fn call_later(&self, later: &Later, ctx: &mut Context, cpu: usize) -> Result<Outcome, Fault> {
        let Some((func, [r1, r2, r3, r4])) = later.of(self.id) else {
            return Err(Fault::new(0, 0, FaultKind::NoProgram));
        };
        let prepared = Prepared::later(&self.instance, later, cpu, Some(enter))?;
        let mut call = prepared.call_later(ctx);
        // SAFETY: the address is that of a function of ours, which the program handed to a helper to be called with these
        // arguments; its code lives as long as `self`.
        let ret = unsafe { enter(&mut call, func, r1, r2, r3, r4) };
        match call.ended() {
            Some(pc) => Err(Fault::new(0, pc, FaultKind::Epoch)),
            None => Ok(Outcome { ret }),
        }
    }
}

/// The [`probity_runtime::ReenterFn`] of compiled code: `func` is an address.
unsafe extern "C" fn enter(
    call: *mut Call<'_>,
    func: u64,
    r1: u64,
    r2: u64,
    r3: u64,
    r4: u64,
) -> u64 {
    // SAFETY: by the helper's contract `func` is what a program's `Imm64::Func` gave, which is the
    // address of a function compiled with this signature; the arguments are the callback's.
    unsafe {
        let f: Callback = std::mem::transmute::<usize, Callback>(func as usize);
        f(call, r1, r2, r3, r4, 0)
    }
}

impl fmt::Debug for Jit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jit")
            .field("programs", &self.linked.mains.len())
            .field("code", &self.linked.extent())
            .finish_non_exhaustive()
    }
}
