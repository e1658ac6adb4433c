//! Where a register's upper half is 0 on every way → 32-bit copies that need no zero-extension.
//!
//! What a block computes, it knows of itself ([`crate::registers`]); this is what it knows when it is entered: of
//! results of 32 bits, narrow loads, masks and shifts, and of numbers that a comparison left below 2³².
//!
//! It follows from the instructions and from which of them the proof reaches, not from the ranges that the verifier saw:
//! those need not hold on a path that was not walked to its end because it was like another.
//!
//! **Invariant:** what is said of an instruction holds on every way to it that the proof has.

use std::ops::Range;

use probity_isa::{AluOp, AtomicOp, Imm64, Insn, JmpOp, Pc, Reg, Size, Src, Width};
use probity_runtime::hidden_word;
use probity_verifier::{Region, VerifiedProgram};

use crate::flow::{reached, successors};

/// Registers, a bit each.
pub(crate) type Halves = u16;

/// Functions longer than this are left alone.
const MAX_FOLLOWED: usize = 1 << 16;

/// Before each instruction of a function, registers whose upper halves are 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges {
    start: Pc,
    known: Vec<Halves>,
}

fn bit(r: Reg) -> Halves {
    1 << r.index()
}

impl Ranges {
    pub fn at(&self, pc: Pc) -> Halves {
        let n = pc.checked_sub(self.start);
        n.and_then(|n| self.known.get(n)).copied().unwrap_or(0)
    }

    /// `tables` is where jumps through registers may go.
    pub fn of(p: &VerifiedProgram, range: &Range<Pc>, tables: &[Pc]) -> Ranges {
        if range.is_empty() || range.len() > MAX_FOLLOWED {
            return Ranges::default();
        }
        // Nothing else asks.
        let copy = |insn: &Insn| {
            matches!(
                insn,
                Insn::Mov {
                    width: Width::W32,
                    src: Src::Reg(_),
                    ..
                }
            )
        };
        if !p.insns()[range.clone()].iter().any(copy) {
            return Ranges::default();
        }
        // What no way was found to yet is anything; each way takes something off.
        let mut known: Vec<Option<Halves>> = vec![None; range.len()];
        known[0] = Some(0);
        let mut work = vec![range.start];
        while let Some(pc) = work.pop() {
            let Some(before) = known[pc - range.start].filter(|_| reached(p, pc)) else {
                continue;
            };
            let mut go = |to: Pc, now: Halves| {
                let place = to.checked_sub(range.start).and_then(|n| known.get_mut(n));
                let Some(place) = place else { return };
                let joined = place.map_or(now, |old| old & now);
                if *place != Some(joined) {
                    *place = Some(joined);
                    work.push(to);
                }
            };
            let insn = &p.insns()[pc];
            let now = after(p, pc, insn, before);
            if let Insn::JumpReg { .. } = insn {
                tables.iter().for_each(|to| go(*to, now));
            }
            let taken = insn.jump_target(pc).and_then(|to| usize::try_from(to).ok());
            let next = pc + insn.slots();
            for to in successors(p, pc) {
                let more = match (taken == Some(to), next == to) {
                    (true, false) => compared(insn, before, true),
                    (false, true) => compared(insn, before, false),
                    _ => 0,
                };
                go(to, now | more);
            }
        }
        Ranges {
            start: range.start,
            known: known.into_iter().map(|k| k.unwrap_or(0)).collect(),
        }
    }
}

/// Whether an operand's upper half is 0; immediates are sign-extended.
fn narrow(src: Src, known: Halves) -> bool {
    match src {
        Src::Imm(i) => i >= 0,
        Src::Reg(r) => known & bit(r) != 0,
    }
}

fn after(p: &VerifiedProgram, pc: Pc, insn: &Insn, known: Halves) -> Halves {
    let holds = match *insn {
        Insn::Alu {
            width: Width::W32, ..
        }
        | Insn::Neg {
            width: Width::W32, ..
        }
        | Insn::Mov {
            width: Width::W32, ..
        }
        | Insn::MovSx {
            width: Width::W32, ..
        } => true,
        Insn::Alu { op, dst, src, .. } => {
            let (x, y) = (known & bit(dst) != 0, narrow(src, known));
            match op {
                AluOp::And => x || y,
                AluOp::Or | AluOp::Xor => x && y,
                // Not above the dividend; without a divisor 0, or the dividend.
                AluOp::Div | AluOp::Mod => x,
                AluOp::Rsh => x || matches!(src, Src::Imm(32..=63)),
                _ => false,
            }
        }
        Insn::Mov { src, .. } => narrow(src, known),
        Insn::Swap { bits, .. } => bits <= 32,
        Insn::LoadImm64 {
            imm: Imm64::Value(v),
            ..
        } => v <= u64::from(u32::MAX),
        Insn::Load { size, signed, .. } => {
            let access = p.facts().get(pc).and_then(|f| f.access);
            // Some fields of 32 bits are read as addresses.
            let plain = match access.map(|a| a.region) {
                Some(Region::Context(kind)) => hidden_word(kind).is_none(),
                Some(Region::Socket) | None => false,
                Some(_) => true,
            };
            plain && !signed && size != Size::DW
        }
        Insn::LoadAcquire { size, .. } => size != Size::DW,
        Insn::Atomic { op, size, .. } => {
            (op.fetches() || matches!(op, AtomicOp::Cmpxchg)) && size == Size::W
        }
        _ => false,
    };
    let written = insn.defs().iter().fold(0, |all, r| all | bit(r));
    match holds {
        true => known | written,
        false => known & !written,
    }
}

/// What a comparison says of a register when it is taken, or not.
fn compared(insn: &Insn, known: Halves, taken: bool) -> Halves {
    let Insn::JumpIf {
        op,
        width: Width::W64,
        dst,
        src,
        ..
    } = *insn
    else {
        return 0;
    };
    let below = match op {
        JmpOp::Eq | JmpOp::Lt | JmpOp::Le => taken,
        JmpOp::Ne | JmpOp::Gt | JmpOp::Ge => !taken,
        _ => false,
    };
    match below && narrow(src, known) {
        true => bit(dst),
        false => 0,
    }
}
