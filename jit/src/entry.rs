//! [`Jit`] × program × CPU → [`Entry`]: a compiled program as a function that the host calls.
//!
//! What can be checked once is checked when the entry is made: that the program and the CPU exist, and
//! where its code is. A call compares the context's size, writes eight words on the stack and jumps.
//! Of those words nothing is written where the program does not use them: what calls no helper and no subprogram, and
//! looks nothing up by the processor's number, seldom does. A processor stores one word a cycle, so they are most of what
//! a call costs.
//!
//! **Invariant:** a call takes no lock, allocates nothing and sets up no thread; its state lies on the
//! caller's stack, so that calls nest (a host function that a helper leads to may call again) and
//! any number of threads use one entry at once.

use std::fmt;
use std::hint::cold_path;
use std::ptr;

use probity_runtime::{Context, Fault, FaultKind, Outcome, Prepared};

use crate::{Jit, Main, enter};

/// A compiled program on one CPU, ready to be called.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use probity_jit::Jit;
/// use probity_runtime::{Context, Instance, Options, platform};
/// # use probity_platform::Policy;
/// # let text = ".section raw_tracepoint\n.globl sum\nsum:\nr0 = *(u64 *)(r1 + 0)\n\
/// #     r1 = *(u64 *)(r1 + 8)\nr0 += r1\nexit\n";
/// # let object = probity_objfile::assemble("sum", text, &|_| None)?;
///
/// // `object` was opened with `probity_objfile::open`.
/// let platform = Arc::new(platform(None));
/// let report = probity_verifier::verify(&object, &platform, &Policy::default(), &Default::default())?;
/// let (verified, _) = report.into_partial();
/// let jit = Jit::new(Arc::new(Instance::new(Arc::new(verified), Options::default())?))?;
///
/// // Once for each program and CPU:
/// let sum = jit.entry(jit.instance().program_index("sum").expect("it was accepted"), 0)?;
/// // as often as the host likes, with one context or many:
/// let mut ctx = Context::words(&[40, 2])?;
/// assert_eq!(sum.call(&mut ctx)?.ret, 42);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    prepared: Prepared<'a>,
    main: Main,
    /// `main` does not use the call's state.
    stateless: bool,
    program: usize,
}

impl Jit {
    /// The entry of a program, by its index into [`probity_runtime::Instance::programs`], for calls on `cpu`.
    pub fn entry(&self, program: usize, cpu: usize) -> Result<Entry<'_>, Fault> {
        let prepared = Prepared::new(self.instance(), program, cpu, Some(enter))?;
        let prepared = prepared.owned_by(self.id);
        let no_program = || Fault::new(program, 0, FaultKind::NoProgram);
        let (main, stateless) = self.main(program).ok_or_else(no_program)?;
        Ok(Entry {
            prepared,
            main,
            stateless,
            program,
        })
    }
}

impl Entry<'_> {
    /// Calls the program.
    #[inline]
    pub fn call(&self, ctx: &mut Context) -> Result<Outcome, CallError> {
        if self.stateless {
            return self.without_state(ctx);
        }
        if self.prepared.is_watched() {
            cold_path();
            return self.run(ctx, &mut 0);
        }
        let Some(mut call) = self.prepared.call(ctx) else {
            return Err(CallError::Context);
        };
        let r1 = call.ctx;
        // SAFETY: as in `run`.
        let ret = unsafe { (self.main)(&mut call, r1) };
        Ok(Outcome { ret })
    }

    #[inline(always)]
    fn without_state(&self, ctx: &mut Context) -> Result<Outcome, CallError> {
        let Some(r1) = self.prepared.context(ctx) else {
            return Err(CallError::Context);
        };
        // SAFETY: as in `run`; what is not used may be null. Without it no call ends by an epoch.
        let ret = unsafe { (self.main)(ptr::null_mut(), r1) };
        Ok(Outcome { ret })
    }

    /// `at` is the instruction at which the call was ended, when it was.
    #[inline(never)]
    pub(crate) fn run(&self, ctx: &mut Context, at: &mut usize) -> Result<Outcome, CallError> {
        if self.stateless {
            return self.without_state(ctx);
        }
        let Some(mut call) = self.prepared.call(ctx) else {
            return Err(CallError::Context);
        };
        let r1 = call.ctx;
        // SAFETY: the code lives as long as the `Jit` that `prepared` borrows from, and was compiled
        // with this signature; the program was proved safe for any context of its kind, to whose
        // size `ctx` was just held.
        let ret = unsafe { (self.main)(&mut call, r1) };
        if let Some(pc) = call.ended() {
            *at = pc;
            return Err(CallError::Epoch);
        }
        Ok(Outcome { ret })
    }

    /// Index of the program.
    pub fn program(&self) -> usize {
        self.program
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// Why a call gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The context is shorter than the program reads; nothing was run.
    Context,
    /// The host's epoch has moved on, and the policy demands that loops look at it
    /// ([`probity_runtime::Epoch`]).
    Epoch,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CallError::Context => "the context does not fit the program's kind",
            CallError::Epoch => "ended, as the host's epoch has moved on",
        })
    }
}

impl std::error::Error for CallError {}
