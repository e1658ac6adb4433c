//! What an engine is: something that calls a program of an instance with a context.

use std::fmt;

use probity_isa::Pc;

use crate::Context;
use crate::timers::Later;

/// Executes the programs of one [`crate::Instance`].
///
/// An engine may be called from several threads at once. `cpu` says which element of
/// per-CPU maps the call sees; it is below [`crate::Options::cpus`]. Calls with the same
/// `cpu` may overlap; then they share those elements as tasks on one CPU would.
pub trait Engine: Send + Sync {
    /// `interp`, `jit`.
    fn name(&self) -> &'static str;
    /// Calls a program by its index into [`crate::Instance::programs`].
    fn call(&self, program: usize, ctx: &mut Context, cpu: usize) -> Result<Outcome, Fault>;
    /// Calls a function that a program handed to a helper for later ([`crate::timers::fire`]); a fault where it is another engine's.
    fn call_later(&self, later: &Later, ctx: &mut Context, cpu: usize) -> Result<Outcome, Fault>;
}

/// What a call gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// r0.
    pub ret: u64,
}

/// A call that could not be carried out. On a verified program only [`FaultKind::NoProgram`],
/// [`FaultKind::NoCpu`] and [`FaultKind::Context`] can occur, and, where the policy demands checks, [`FaultKind::Epoch`]; anything else is a bug of ours,
/// caught before it could do harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Index of the program that was running.
    pub program: usize,
    pub pc: Pc,
    /// The address concerned, or 0.
    pub address: u64,
    /// Bytes concerned, or 0.
    pub size: u64,
    pub kind: FaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Load from memory that the program does not own.
    Load,
    /// Store to memory that it does not own or may only read.
    Store,
    Atomic,
    /// An argument of a helper that breaks its prototype.
    Argument(u8),
    /// Jump or fall out of the program, or into the middle of an instruction.
    Jump,
    /// An instruction that no verified program holds.
    Instruction,
    /// More frames than the platform allows.
    CallDepth,
    /// Ran for longer than the limit that was set.
    Budget,
    /// Ran until the host's epoch had moved on ([`crate::Epoch`]).
    Epoch,
    NoProgram,
    NoCpu,
    /// The context is not of the layout that the program was proved for.
    Context,
}

impl Fault {
    pub fn new(program: usize, pc: Pc, kind: FaultKind) -> Fault {
        Fault {
            program,
            pc,
            address: 0,
            size: 0,
            kind,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FaultKind::Load => "load from memory that is not the program's",
            FaultKind::Store => "store to memory that is not the program's to write",
            FaultKind::Atomic => "atomic operation on memory that is not the program's to write",
            FaultKind::Argument(n) => {
                return write!(
                    f,
                    "program {}, instruction {}: argument r{n} of the helper is {:#x} ({} bytes)",
                    self.program, self.pc, self.address, self.size
                );
            }
            FaultKind::Jump => "jump out of the program",
            FaultKind::Instruction => "instruction that cannot be executed",
            FaultKind::CallDepth => "too many nested calls",
            FaultKind::Budget => "more instructions than the limit allows",
            FaultKind::Epoch => "ended, as the host's epoch has moved on",
            FaultKind::NoProgram => return write!(f, "there is no program {}", self.program),
            FaultKind::NoCpu => return f.write_str("CPU out of range"),
            FaultKind::Context => {
                return f.write_str("the context does not fit the program's kind");
            }
        };
        write!(
            f,
            "program {}, instruction {}: {what}",
            self.program, self.pc
        )?;
        if self.size != 0 {
            write!(f, " ({} bytes at {:#x})", self.size, self.address)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
