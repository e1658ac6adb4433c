//! What an instruction demands before anything is known of a state, as data; whether it holds is
//! [`Obligations::check`]'s affair.
//!
//! Demands on memory and on arguments of calls are resolved where they are used: an access by
//! [`crate::memory::resolve`], an argument by its row.

use probity_isa::{AluOp, CallTarget, Insn, Reg, RegSet, Src, Width};

use crate::reject::{Explain, Outcome, fail};
use crate::report::Rule;
use crate::state::State;

/// A demand other than that a register that is read was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obligation {
    /// The register may be written.
    Writable(Reg),
    /// A constant divisor is not 0.
    Divisor(i32),
    /// A constant shift is less than the width.
    Shift(i32, Width),
}

/// All demands of one instruction; small, since every visit looks at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Obligations {
    readable: RegSet,
    /// One of the others does not hold, whatever the state.
    broken: bool,
}

/// The demands of every instruction of a program.
pub(crate) fn all(insns: &[Insn]) -> Vec<Obligations> {
    let of = |insn| Obligations {
        readable: readable(insn),
        broken: writable(insn).contains(Reg::R10)
            || constant(insn).is_some_and(|o| check_other(o).is_err()),
    };
    insns.iter().map(of).collect()
}

fn readable(insn: &Insn) -> RegSet {
    match insn {
        // The callee's prototype says which arguments it reads; exit's r0 may be missing in a subprogram.
        Insn::Call(CallTarget::Reg(r)) => RegSet::of(*r),
        Insn::Call(_) | Insn::Exit => RegSet::EMPTY,
        _ => insn.uses(),
    }
}

/// What does not depend on a state.
fn others(insn: &Insn) -> impl Iterator<Item = Obligation> {
    let writable = writable(insn);
    constant(insn)
        .into_iter()
        .chain(writable.iter().map(Obligation::Writable))
}

fn writable(insn: &Insn) -> RegSet {
    match insn {
        // A call's own registers are always writable.
        Insn::Call(_) | Insn::LoadPacket { .. } => RegSet::EMPTY,
        _ => insn.defs(),
    }
}

fn constant(insn: &Insn) -> Option<Obligation> {
    match *insn {
        Insn::Alu {
            op: AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod,
            src: Src::Imm(i),
            ..
        } => Some(Obligation::Divisor(i)),
        Insn::Alu {
            op: AluOp::Lsh | AluOp::Rsh | AluOp::Arsh,
            width,
            src: Src::Imm(i),
            ..
        } => Some(Obligation::Shift(i, width)),
        _ => None,
    }
}

impl Obligations {
    /// Whether all of them hold of the instruction in a state.
    #[inline]
    pub(crate) fn check(self, state: &State, insn: &Insn) -> Outcome<()> {
        let mut hold = !self.broken;
        for r in self.readable.iter() {
            hold &= state.reg(r).is_init();
        }
        if hold { Ok(()) } else { failing(state, insn) }
    }
}

/// What is wrong: constants first, then what is read, then what is written.
#[cold]
fn failing(state: &State, insn: &Insn) -> Outcome<()> {
    let constant = |o: &Obligation| !matches!(o, Obligation::Writable(_));
    others(insn).filter(constant).try_for_each(check_other)?;
    for r in readable(insn).iter() {
        if !state.reg(r).is_init() {
            let known = match state.set_at(r) {
                Some(pc) => format!("its value was lost at instruction {pc}"),
                None => "nothing wrote it on this path".to_string(),
            };
            let must = format!("{r} is initialised");
            return Err(fail(Rule::Uninitialised, &must, &known).about(r));
        }
    }
    others(insn).try_for_each(check_other)
}

fn check_other(obligation: Obligation) -> Outcome<()> {
    match obligation {
        Obligation::Writable(Reg::R10) => Err(fail(
            Rule::ReadOnly,
            "the frame pointer r10 is never written",
            "this instruction writes it",
        )),
        Obligation::Writable(_) => Ok(()),
        Obligation::Divisor(0) => Err(fail(
            Rule::Malformed,
            "a constant divisor is not 0",
            "it is 0",
        )),
        Obligation::Divisor(_) => Ok(()),
        Obligation::Shift(by, width) => {
            if (0..width.bits() as i32).contains(&by) {
                return Ok(());
            }
            let must = format!("a constant shift is by 0 to {}", width.bits() - 1);
            Err(fail(Rule::Malformed, &must, &format!("it is by {by}")))
        }
    }
}
