//! Verdicts: what is proved about a program, or why it is not.

use std::sync::Arc;

use probity_isa::{Insn, Pc, RawInsn};
use probity_objfile::{Line, ProgType, Relocated, Subprog};
use probity_platform::{FieldKind, Platform, Policy};

/// Verdicts on all programs of an object.
#[derive(Clone, Debug)]
pub struct Report {
    pub programs: Vec<ProgramReport>,
    relocated: Arc<Relocated>,
    platform: Arc<Platform>,
    policy: Arc<Policy>,
}

/// The verdict on one program.
#[derive(Clone, Debug)]
pub struct ProgramReport {
    pub name: String,
    pub section: String,
    /// Name of the program kind; empty when unknown.
    pub prog_type: String,
    /// Slots, subprograms included.
    pub insns: usize,
    pub stats: Stats,
    pub verdict: Verdict,
}

#[derive(Clone, Debug)]
pub enum Verdict {
    Accept(Arc<VerifiedProgram>),
    Reject(Box<Rejection>),
}

/// What verification took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instructions visited.
    pub processed: usize,
    /// States stored in all, and at most at one instruction.
    pub states: usize,
    pub peak_states: usize,
    /// Bytes, over the deepest chain of calls.
    pub stack_depth: usize,
    /// Microseconds.
    pub time_us: u64,
}

/// Why a program is not accepted: an answer, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// `None` when it concerns the whole program (its kind, its size, its licence).
    pub pc: Option<Pc>,
    /// The instruction there, as text.
    pub insn: Option<String>,
    pub line: Option<Line>,
    pub rule: Rule,
    /// What must hold.
    pub must: String,
    /// What is known there.
    pub known: String,
    /// How it came to be: earlier instructions that matter, oldest first.
    pub trail: Vec<Step>,
    /// What to write instead, when a rule of thumb applies.
    pub hint: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub pc: Pc,
    pub line: Option<Line>,
    pub what: String,
}

/// Names of the rules; `kind` in JSON is the snake-case form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Reserved or malformed instruction, jump into the middle or out of the program, unreachable code, fall off the end.
    Malformed,
    /// Read of a register or of stack bytes that were never written.
    Uninitialised,
    /// Access outside of an object's bounds.
    OutOfBounds,
    Misaligned,
    /// Access through something that is no pointer, or may be NULL.
    BadPointer,
    NullDereference,
    /// Arithmetic that a pointer does not allow.
    PointerArithmetic,
    /// A pointer would become visible as a number.
    PointerLeak,
    /// Write to memory that is read-only, to r10, to a context field.
    ReadOnly,
    /// Context field that does not exist or may not be accessed so.
    ContextAccess,
    /// Helper or kfunc unknown, not allowed here, or not by policy.
    CallNotAllowed,
    /// Argument of a call.
    BadArgument,
    /// r0 at exit.
    ReturnValue,
    /// A loop for which no bound is found, or too much to walk.
    Unbounded,
    TooComplex,
    /// Reference not released, or released twice.
    Reference,
    Lock,
    StackDepth,
    CallDepth,
    Recursion,
    MapKind,
    ProgramKind,
    License,
    Policy,
    /// CO-RE relocation failed at an instruction that can be reached.
    FailedRelocation,
    /// A feature that the verifier does not model yet; never an acceptance. `must` names it.
    Unsupported,
}

/// Proof that every program in it is safe on `platform` under `policy`.
/// Only [`Report::into_verified`] makes one.
#[derive(Clone, Debug)]
pub struct Verified {
    relocated: Arc<Relocated>,
    platform: Arc<Platform>,
    policy: Arc<Policy>,
    programs: Vec<Arc<VerifiedProgram>>,
}

/// A program proved safe, with what was proved.
#[derive(Clone, Debug)]
pub struct VerifiedProgram {
    pub(crate) name: String,
    pub(crate) index: usize,
    pub(crate) prog_type: ProgType,
    pub(crate) raw: Vec<RawInsn>,
    pub(crate) insns: Vec<Insn>,
    pub(crate) subprogs: Vec<Subprog>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) stats: Stats,
}

/// What holds at an instruction on every path to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fact {
    /// Some path reaches it. The rest is dead code and need not be translated.
    pub reached: bool,
    /// For loads, stores and atomics.
    pub access: Option<Access>,
    /// For calls that take a map: the map, when it is the same on every path.
    pub map: Option<usize>,
    /// For conditional jumps: only this side is ever taken.
    pub decided: Option<bool>,
}

/// Where a memory access goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub region: Region,
    /// Byte offset from the start of the region (for the stack: from the frame pointer, negative), when it is one constant.
    pub offset: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// The current function's own frame.
    Stack,
    /// A caller's frame.
    OuterStack,
    /// The context: the field's kind says whether the load must be converted.
    Context(FieldKind),
    Packet,
    /// Index into the object's maps.
    MapValue(usize),
    /// Memory of some map, of a helper, of a callback argument.
    Memory,
    /// A kernel structure: a read that may fault and then gives 0.
    Kernel,
    /// Different regions on different paths; all of them plain memory.
    Mixed,
}

impl Report {
    #[expect(dead_code, reason = "used by the engine")]
    pub(crate) fn new(
        programs: Vec<ProgramReport>,
        relocated: Arc<Relocated>,
        platform: Arc<Platform>,
        policy: Arc<Policy>,
    ) -> Report {
        Report { programs, relocated, platform, policy }
    }

    /// The proof, when every program is accepted; otherwise the report back.
    pub fn into_verified(self) -> Result<Verified, Report> {
        let mut programs = Vec::new();
        for p in &self.programs {
            match &p.verdict {
                Verdict::Accept(v) => programs.push(v.clone()),
                Verdict::Reject(_) => return Err(self),
            }
        }
        Ok(Verified {
            relocated: self.relocated,
            platform: self.platform,
            policy: self.policy,
            programs,
        })
    }
}

impl Verified {
    /// The object with relocations applied. Programs outside of [`Verified::programs`] are not proved.
    pub fn relocated(&self) -> &Relocated {
        &self.relocated
    }
    pub fn platform(&self) -> &Arc<Platform> {
        &self.platform
    }
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
    pub fn programs(&self) -> &[Arc<VerifiedProgram>] {
        &self.programs
    }
    pub fn program(&self, name: &str) -> Option<&Arc<VerifiedProgram>> {
        self.programs.iter().find(|p| p.name == name)
    }
}

impl VerifiedProgram {
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Index into the object's programs.
    pub fn index(&self) -> usize {
        self.index
    }
    pub fn prog_type(&self) -> ProgType {
        self.prog_type
    }
    pub fn raw(&self) -> &[RawInsn] {
        &self.raw
    }
    pub fn insns(&self) -> &[Insn] {
        &self.insns
    }
    pub fn subprogs(&self) -> &[Subprog] {
        &self.subprogs
    }
    /// One per slot.
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}
