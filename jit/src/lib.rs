//! [`Instance`] → the fast engine: machine code by Cranelift, with no checks that the proof made needless.
//!
//! Registers are SSA values; stack slots at proved offsets are too; map addresses are constants;
//! lookups in arrays are compiled in place; subprograms are direct calls; dead branches are gone.
//!
//! A call takes its stack from the calling thread: 8 frames of 512 bytes and what the compiler spills. A tail call leaves
//! no frame of its function behind, but the callers of a subprogram that makes one wait: at most 34 programs of a chain,
//! some 300 KiB.
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
mod arena;
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
mod frames;
mod generate;
mod in_place;
mod inline;
mod jitdump;
mod key;
mod kfunc;
mod link;
mod lowerings;
mod memory;
mod numbers;
mod options;
mod pages;
mod params;
mod placement;
mod prelink;
mod pressure;
mod ranges;
mod registers;
mod rotates;
mod selects;
mod sweep;
mod symbol;
mod tables;
mod tail;
mod target;
#[cfg(test)]
mod tests;
mod translate;
mod vectors;
mod words;

use std::fmt;
use std::sync::Arc;

use probity_runtime::timers::Later;
use probity_runtime::{
    Call, Context, Engine, Fault, FaultKind, HelperFn, Instance, Outcome, Prepared,
};

pub use cache::Cache;
pub use entry::{CallError, Entry};
pub use error::Error;
#[cfg(any(feature = "aarch64", target_arch = "aarch64"))]
pub use foreign::{Foreign, Reference, Referent};
pub use jitdump::JitDump;
pub use lowerings::Lowerings;
pub use options::Options;
pub use prelink::{MadeFor, Prelinked};

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
    /// Compiling takes some microseconds an instruction. Functions that are long, or have no loops, go without the code
    /// generator's own optimisation, of which they have little. Functions of thousands of branches get their
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
        if let Some(jit) = Jit::of_kept(&instance, cached, &target, options) {
            return Ok(jit);
        }
        let code = compile::compile(&instance, &target)?;
        let encoded = encode::encode(&code);
        let jit = Jit::link(instance, code, options, false)?;
        let _ = cache.store(&key, &encoded);
        Ok(jit)
    }

    /// Of code that was found under the instance's own key. What cannot be linked, though it is authentic, is compiled anew.
    fn of_kept(
        instance: &Arc<Instance>,
        code: Option<Code>,
        target: &Target,
        options: &Options,
    ) -> Option<Jit> {
        let programs = instance.programs().len();
        let code = code.filter(|c| c.arch == target.arch && c.mains.len() == programs)?;
        Jit::link(instance.clone(), code, options, true).ok()
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

    /// Its code was compiled earlier, and taken from a [`Cache`] or an image.
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

    /// A program's main function, and whether it does without the call's state.
    fn main(&self, program: usize) -> Option<(Main, bool)> {
        let entrance = self.linked.mains.get(program)?;
        // SAFETY: it is the address of code that was compiled with this signature.
        let main = unsafe { std::mem::transmute::<usize, Main>(entrance.address as usize) };
        Some((main, entrance.stateless))
    }

    /// The code of a global function that the instance exports ([`probity_runtime::Options::exports`]): programs of other
    /// instances call it as they call a function of the host. It is valid for as long as `self` is.
    ///
    /// What it does is what its own program may do; it is to be handed what its prototype was verified with.
    pub fn export(&self, name: &str) -> Option<HelperFn> {
        if !self.instance.exports().iter().any(|e| e == name) {
            return None;
        }
        let programs = self.instance.programs().iter().enumerate();
        let (program, function) = programs.into_iter().find_map(|(p, program)| {
            let mut all = program.verified().subprogs().iter();
            let n = all.position(|s| s.global && s.name == name)?;
            Some((p as u32, n as u32))
        })?;
        let mut placed = self.linked.functions.iter();
        let placed = placed.find(|f| (f.program, f.function) == (program, function))?;
        let (address, _) = self.linked.code(placed);
        // SAFETY: it is the address of a function that was compiled to be called from elsewhere, with this signature.
        Some(unsafe { std::mem::transmute::<usize, HelperFn>(address as usize) })
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

fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n & 15)]);
    let digits = bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]);
    digits.collect()
}

impl fmt::Debug for Jit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jit")
            .field("programs", &self.linked.mains.len())
            .field("code", &self.linked.extent())
            .finish_non_exhaustive()
    }
}
