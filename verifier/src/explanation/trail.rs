//! The branches of a path → the instructions that made some registers what they are at its end.
//!
//! The path is walked again by its recorded turns, then backwards: an instruction that set a register of
//! interest is a step, and its operands become of interest; so do spills, arguments of subprograms and their
//! results. A branch that compared such a register is a step too.
//!
//! **Invariant:** for people only: a path that cannot be walked again gives no steps, never wrong ones.

use std::collections::BTreeSet;

use probity_isa::{CallTarget, Insn, Pc, Reg, Src};

use crate::explore::Turn;

/// A step of the trail: an instruction, and for a branch whether it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub pc: Pc,
    pub taken: Option<bool>,
}

/// Most instructions of a path that are walked again.
const LONGEST: usize = 1 << 20;

/// An instruction on the path, the depth of calls it ran at, and whether it jumped.
#[derive(Clone, Copy)]
struct Visit {
    pc: Pc,
    depth: i32,
    taken: Option<bool>,
}

/// What a value was found in: a register, or 8 bytes of stack, of the frame at a depth.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Reg(i32, usize),
    Slot(i32, i64),
}

/// The last `most` causes of what `regs` hold at `end`, oldest first.
pub(crate) fn causes(
    insns: &[Insn],
    starts: &[Pc],
    turns: &[Turn],
    end: Pc,
    regs: &[Reg],
    most: usize,
) -> Vec<Cause> {
    // What concerns no register, or no instruction, is not worth a walk.
    if regs.is_empty() || end >= insns.len() {
        return Vec::new();
    }
    let Some(path) = walk(insns, starts, turns, end) else {
        return Vec::new();
    };
    let depth = path.last().map_or(0, |v| v.depth);
    let mut wanted: BTreeSet<Place> = regs
        .iter()
        .filter(|r| **r != Reg::R10)
        .map(|r| Place::Reg(depth, r.index()))
        .collect();
    let mut causes = Vec::new();
    // The last one is where the path stopped.
    for visit in path.iter().rev().skip(1) {
        if wanted.is_empty() || causes.len() >= most {
            break;
        }
        if back(&insns[visit.pc], *visit, &mut wanted) {
            let cause = Cause {
                pc: visit.pc,
                taken: visit.taken,
            };
            // A loop says the same again and again.
            if !causes.contains(&cause) {
                causes.push(cause);
            }
        }
    }
    causes.reverse();
    causes
}

/// Follows the turns from the start of the program to `end`.
fn walk(insns: &[Insn], starts: &[Pc], turns: &[Turn], end: Pc) -> Option<Vec<Visit>> {
    let mut turns = turns.iter().peekable();
    let mut path = Vec::new();
    let mut callers: Vec<Pc> = Vec::new();
    let mut pc: Pc = 0;
    while path.len() < LONGEST {
        let insn = insns.get(pc)?;
        let depth = callers.len() as i32;
        if pc == end && turns.peek().is_none() {
            path.push(Visit {
                pc,
                depth,
                taken: None,
            });
            return Some(path);
        }
        let turn = turns.next_if(|t| t.pc == pc);
        let to = turn.map(|t| t.to);
        let mut taken = None;
        let next = match insn {
            Insn::JumpIf { .. } => {
                taken = Some(to? as i64 == insn.jump_target(pc)?);
                to?
            }
            Insn::Jump { .. } => usize::try_from(insn.jump_target(pc)?).ok()?,
            Insn::Call(CallTarget::Subprog { .. }) => {
                callers.push(pc + 1);
                usize::try_from(insn.subprog_target(pc)?).ok()?
            }
            Insn::Call(_) => match to {
                // The helper calls a subprogram.
                Some(to) if starts.contains(&to) => {
                    callers.push(pc + 1);
                    to
                }
                Some(to) => to,
                None => pc + 1,
            },
            Insn::Exit => match to {
                // Once more, called by the same helper.
                Some(to) if starts.contains(&to) => to,
                Some(to) => {
                    callers.pop()?;
                    to
                }
                None => callers.pop()?,
            },
            Insn::LoadImm64 { .. } => to.unwrap_or(pc + 2),
            _ => to.unwrap_or(pc + 1),
        };
        path.push(Visit { pc, depth, taken });
        pc = next;
    }
    None
}

/// Undoes one instruction on the set of wanted places; whether it had to do with them.
fn back(insn: &Insn, visit: Visit, wanted: &mut BTreeSet<Place>) -> bool {
    let d = visit.depth;
    let reg = |r: Reg| Place::Reg(d, r.index());
    match *insn {
        Insn::JumpIf { dst, src, .. } => {
            let other = match src {
                Src::Reg(r) => wanted.contains(&reg(r)),
                Src::Imm(_) => false,
            };
            wanted.contains(&reg(dst)) || other
        }
        // What the callee had as arguments, the caller had; what it left in r0, the callee had.
        Insn::Call(CallTarget::Subprog { .. }) => {
            let inner: Vec<Place> = wanted
                .iter()
                .copied()
                .filter(|p| matches!(p, Place::Reg(at, _) | Place::Slot(at, _) if *at > d))
                .collect();
            for place in inner {
                wanted.remove(&place);
                if let Place::Reg(at, r) = place
                    && at == d + 1
                    && (1..=5).contains(&r)
                {
                    wanted.insert(Place::Reg(d, r));
                }
            }
            false
        }
        Insn::Exit => {
            if d > 0 && wanted.remove(&Place::Reg(d - 1, 0)) {
                wanted.insert(Place::Reg(d, 0));
            }
            false
        }
        Insn::Store {
            base: Reg::R10,
            off,
            src,
            ..
        } => {
            let hit = wanted.remove(&Place::Slot(d, i64::from(off)));
            if let (true, Src::Reg(r)) = (hit, src) {
                wanted.insert(reg(r));
            }
            hit
        }
        Insn::Load {
            dst,
            base: Reg::R10,
            off,
            ..
        } => {
            let hit = wanted.remove(&reg(dst));
            if hit {
                wanted.insert(Place::Slot(d, i64::from(off)));
            }
            hit
        }
        _ => {
            let mut hit = false;
            for r in insn.defs().iter() {
                hit |= wanted.remove(&reg(r));
            }
            // What a helper gives comes from the helper.
            if hit && !matches!(insn, Insn::Call(_)) {
                wanted.extend(insn.uses().iter().filter(|r| *r != Reg::R10).map(reg));
            }
            hit
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str, turns: &[(Pc, Pc)], end: Pc, reg: Reg) -> Vec<(Pc, Option<bool>)> {
        let text = format!(".section socket\n.globl main\nmain:\n{text}");
        let sections = probity_isa::assemble(&text, &|_| None).unwrap().sections;
        let probity_isa::Content::Code { insns, .. } = &sections[0].content else {
            panic!("code");
        };
        let turns: Vec<Turn> = turns
            .iter()
            .map(|(pc, to)| Turn { pc: *pc, to: *to })
            .collect();
        causes(insns, &[0], &turns, end, &[reg], 8)
            .iter()
            .map(|c| (c.pc, c.taken))
            .collect()
    }

    #[test]
    fn operands_spills_and_comparisons_are_followed() {
        let text = "r7 = *(u32 *)(r1 + 0)\nr8 = 1\nif r7 > 5 goto +4\n*(u64 *)(r10 - 8) = r7\nr7 = 0\n\
                    r2 = *(u64 *)(r10 - 8)\nr2 += r8\nr0 = r2\nexit";
        let found = steps(text, &[(2, 3)], 7, Reg::R2);
        assert_eq!(
            found,
            [
                (0, None),
                (1, None),
                (2, Some(false)),
                (3, None),
                (5, None),
                (6, None)
            ]
        );
    }

    #[test]
    fn a_path_that_does_not_lead_there_says_nothing() {
        assert_eq!(steps("r0 = 0\nexit", &[(5, 6)], 1, Reg::R0), []);
        assert_eq!(steps("r0 = 0\nexit", &[], 9, Reg::R0), []);
    }
}
