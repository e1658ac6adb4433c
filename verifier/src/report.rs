//! Verdicts: what is proved about a program, or why it is not.

use std::fmt;
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
    /// The state before each instruction visited, in order, when [`crate::Options::log_states`] asks for it.
    pub log: Vec<(Pc, String)>,
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
    /// Most instructions that one run of an accepted program executes, as far as they can be counted:
    /// loops by their laps, what it calls and what helpers call on its behalf with it, helpers themselves not.
    pub worst_case_insns: Option<u64>,
    /// Why there is no such number.
    pub worst_case_why: Option<NoBound>,
    /// Nanoseconds.
    pub time_ns: u64,
    /// Paths were gathered.
    pub(crate) gathered: bool,
}

impl Stats {
    /// What it took before, to no end.
    pub(crate) fn add(&mut self, before: Stats) {
        self.processed += before.processed;
        self.states += before.states;
        self.peak_states = self.peak_states.max(before.peak_states);
    }
}

/// What ends by itself, after how many laps nobody knows in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBound {
    /// An iterator over what the kernel has.
    Iterator,
    /// `may_goto`, where it counts time.
    MayGoto,
    /// A helper or kernel function that calls a subprogram as often as it likes.
    Callback,
    /// Some other loop that was proved to end, or loops within loops with more laps than 64 bits count.
    Loop,
}

impl NoBound {
    /// One word: `worst_case_why` in JSON.
    pub fn name(self) -> &'static str {
        match self {
            NoBound::Iterator => "iterator",
            NoBound::MayGoto => "may_goto",
            NoBound::Callback => "callback",
            NoBound::Loop => "loop",
        }
    }

    pub(crate) fn explained(self) -> &'static str {
        match self {
            NoBound::Iterator => {
                "a loop takes as many laps as the kernel has elements for its iterator"
            }
            NoBound::MayGoto => "a loop ends when its `may_goto` has taken too long",
            NoBound::Callback => "what is called decides how often it calls a subprogram",
            NoBound::Loop => "the laps of a loop are not counted, or too many to be counted",
        }
    }
}

impl Stats {
    /// Microseconds, rounded up: 0 only where nothing was measured.
    pub fn time_us(&self) -> u64 {
        self.time_ns.div_ceil(1000)
    }
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
    /// What the verifier holds true of its own data does not hold: a mistake of the verifier; never an acceptance.
    Internal,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    pub region: Region,
    /// Byte offset from the start of the region (for the stack: from the frame pointer, negative), when it is one constant.
    pub offset: Option<i64>,
    /// Of a load: on every path it gives a pointer that the kernel promises is not NULL. So must it be where there is no
    /// kernel, since comparisons with NULL are decided.
    pub promised: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// A field of `struct bpf_sock` and its like: the engine knows where it is.
    Socket,
    /// A kernel structure: a read that may fault and then gives 0. (Of a call: it is handed one.)
    Kernel,
    /// The program's arena, at the low 32 bits of the address.
    Arena,
    /// Different regions on different paths; all of them plain memory.
    Mixed,
}

impl Rule {
    pub const ALL: &[Rule] = &[
        Rule::Malformed,
        Rule::Uninitialised,
        Rule::OutOfBounds,
        Rule::Misaligned,
        Rule::BadPointer,
        Rule::NullDereference,
        Rule::PointerArithmetic,
        Rule::PointerLeak,
        Rule::ReadOnly,
        Rule::ContextAccess,
        Rule::CallNotAllowed,
        Rule::BadArgument,
        Rule::ReturnValue,
        Rule::Unbounded,
        Rule::TooComplex,
        Rule::Reference,
        Rule::Lock,
        Rule::StackDepth,
        Rule::CallDepth,
        Rule::Recursion,
        Rule::MapKind,
        Rule::ProgramKind,
        Rule::License,
        Rule::Policy,
        Rule::FailedRelocation,
        Rule::Unsupported,
        Rule::Internal,
    ];

    /// The rule's name in snake case: `kind` in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Malformed => "malformed",
            Rule::Uninitialised => "uninitialised",
            Rule::OutOfBounds => "out_of_bounds",
            Rule::Misaligned => "misaligned",
            Rule::BadPointer => "bad_pointer",
            Rule::NullDereference => "null_dereference",
            Rule::PointerArithmetic => "pointer_arithmetic",
            Rule::PointerLeak => "pointer_leak",
            Rule::ReadOnly => "read_only",
            Rule::ContextAccess => "context_access",
            Rule::CallNotAllowed => "call_not_allowed",
            Rule::BadArgument => "bad_argument",
            Rule::ReturnValue => "return_value",
            Rule::Unbounded => "unbounded",
            Rule::TooComplex => "too_complex",
            Rule::Reference => "reference",
            Rule::Lock => "lock",
            Rule::StackDepth => "stack_depth",
            Rule::CallDepth => "call_depth",
            Rule::Recursion => "recursion",
            Rule::MapKind => "map_kind",
            Rule::ProgramKind => "program_kind",
            Rule::License => "license",
            Rule::Policy => "policy",
            Rule::FailedRelocation => "failed_relocation",
            Rule::Unsupported => "unsupported",
            Rule::Internal => "internal",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Verdict {
    /// `accept`, `reject` or `unsupported`.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Accept(_) => "accept",
            Verdict::Reject(r) if r.rule == Rule::Unsupported => "unsupported",
            Verdict::Reject(_) => "reject",
        }
    }
}

/// Several lines of plain text, without a final newline.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rule == Rule::Unsupported {
            write!(f, "unsupported: {}", self.must)?;
        } else {
            write!(f, "{}: {}", self.rule, self.must)?;
            write!(f, "\n  but {}", self.known)?;
        }
        if let (Some(pc), Some(insn)) = (self.pc, &self.insn) {
            write!(f, "\n  at {pc}: {insn}")?;
        }
        if let Some(line) = &self.line {
            write!(f, "\n  {}:{}", line.file, line.line)?;
            if !line.text.trim().is_empty() {
                write!(f, ": {}", line.text.trim())?;
            }
        }
        for step in &self.trail {
            write!(f, "\n    {:>5}  {}", step.pc, step.what)?;
            if let Some(line) = &step.line {
                write!(f, "  ({}:{})", line.file, line.line)?;
            }
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl Region {
    /// Accesses to it are ordinary loads and stores; different ones may meet at an instruction.
    pub fn is_plain(self) -> bool {
        !matches!(
            self,
            Region::Context(_) | Region::Socket | Region::Kernel | Region::Arena
        )
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Region::Stack => "the stack",
            Region::OuterStack => "a caller's stack",
            Region::Context(FieldKind::Scalar) => "the context",
            Region::Context(_) => "a pointer in the context",
            Region::Packet => "the packet",
            Region::MapValue(_) => "a map value",
            Region::Memory => "memory",
            Region::Socket => "a socket",
            Region::Kernel => "a kernel structure",
            Region::Arena => "the arena",
            Region::Mixed => "several kinds of memory",
        })
    }
}

impl Report {
    pub(crate) fn new(
        programs: Vec<ProgramReport>,
        relocated: Arc<Relocated>,
        platform: Arc<Platform>,
        policy: Arc<Policy>,
    ) -> Report {
        Report {
            programs,
            relocated,
            platform,
            policy,
        }
    }

    /// The proof of the accepted ones among the named programs only.
    /// `Err` names the first that was not verified or not accepted.
    pub fn into_verified_of(self, names: &[&str]) -> Result<Verified, String> {
        let mut programs = Vec::new();
        for name in names {
            let found = self.programs.iter().find(|p| p.name == *name);
            match found.map(|p| &p.verdict) {
                Some(Verdict::Accept(v)) => programs.push(v.clone()),
                _ => return Err((*name).to_string()),
            }
        }
        Ok(Verified {
            relocated: self.relocated,
            platform: self.platform,
            policy: self.policy,
            programs,
        })
    }

    /// The proof of whatever was accepted, and the rest of the verdicts.
    pub fn into_partial(self) -> (Verified, Vec<ProgramReport>) {
        let mut programs = Vec::new();
        let mut rest = Vec::new();
        for p in self.programs {
            match &p.verdict {
                Verdict::Accept(v) => programs.push(v.clone()),
                Verdict::Reject(_) => rest.push(p),
            }
        }
        (
            Verified {
                relocated: self.relocated,
                platform: self.platform,
                policy: self.policy,
                programs,
            },
            rest,
        )
    }

    /// The object with relocations applied, verified or not.
    pub fn relocated(&self) -> &Relocated {
        &self.relocated
    }

    /// The verdict on a program.
    pub fn program(&self, name: &str) -> Option<&ProgramReport> {
        self.programs.iter().find(|p| p.name == name)
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
    /// [`Stats::worst_case_insns`].
    pub fn worst_case_insns(&self) -> Option<u64> {
        self.stats.worst_case_insns
    }
}
