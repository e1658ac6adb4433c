//! What an instruction demands before anything is known of a state, as data; whether it holds is `check`'s affair.
//!
//! Demands on memory and on arguments of calls are resolved where they are used: an access by
//! [`crate::memory::resolve`], an argument by its row.

use probity_isa::{AluOp, CallTarget, Insn, Reg, RegSet, Src, Width};

use crate::reject::{Explain, Outcome, fail};
use crate::report::Rule;
use crate::state::State;
use crate::value::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obligation {
    /// The register was written.
    Readable(Reg),
    /// The register may be written.
    Writable(Reg),
    /// A constant divisor is not 0.
    Divisor(i32),
    /// A constant shift is less than the width.
    Shift(i32, Width),
}

/// All demands of one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Obligations {
    constant: Option<Obligation>,
    readable: RegSet,
    writable: RegSet,
}

pub(crate) fn of(insn: &Insn) -> Obligations {
    let readable = match insn {
        // The callee's prototype says which arguments it reads; exit's r0 may be missing in a subprogram.
        Insn::Call(CallTarget::Reg(r)) => RegSet::of(*r),
        Insn::Call(_) | Insn::Exit => RegSet::EMPTY,
        _ => insn.uses(),
    };
    // A call's own registers are always writable.
    let writable = match insn {
        Insn::Call(_) | Insn::LoadPacket { .. } => RegSet::EMPTY,
        _ => insn.defs(),
    };
    let constant = match *insn {
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
    };
    Obligations {
        constant,
        readable,
        writable,
    }
}

impl Obligations {
    /// Whether all of them hold in a state.
    pub(crate) fn check(&self, state: &State) -> Outcome<()> {
        if let Some(o) = self.constant {
            check(state, o)?;
        }
        for r in self.readable.iter() {
            if !state.reg(r).is_init() {
                check(state, Obligation::Readable(r))?;
            }
        }
        match self.writable.contains(Reg::R10) {
            true => check(state, Obligation::Writable(Reg::R10)),
            false => Ok(()),
        }
    }
}

/// Whether an obligation holds in a state.
fn check(state: &State, obligation: Obligation) -> Outcome<()> {
    match obligation {
        Obligation::Readable(r) => match state.reg(r) {
            Value::Uninit => {
                let known = match state.set_at(r) {
                    Some(pc) => format!("its value was lost at instruction {pc}"),
                    None => "nothing wrote it on this path".to_string(),
                };
                Err(fail(Rule::Uninitialised, &format!("{r} is initialised"), &known).about(r))
            }
            _ => Ok(()),
        },
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
