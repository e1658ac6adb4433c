//! Programs of one subprogram that only go forward, which most small ones are: checked and marked in one pass.
//!
//! What leads to an instruction stands before it then, so that all is known of it when it is come to.
//!
//! **Invariant:** it finds what [`Cfg::check`] finds, or nothing.

use probity_isa::{CallTarget, Imm64, Insn};
use probity_objfile::Subprog;

use super::{Cfg, Marks, subprog};
use crate::env::SHORT;

/// Paths through as many are few.
const FEW_BRANCHES: usize = 3;

/// What a program that only goes forward has.
#[derive(Default)]
struct Forward {
    branches: usize,
    wide: bool,
    calls: bool,
}

impl Cfg {
    /// In one pass, what [`Cfg::divide`] and [`Cfg::check`] find of a program of one subprogram without a jump
    /// backwards: most are. `false`, and nothing is marked: it is another, or is not well formed.
    pub(super) fn goes_forward(&mut self, given: &[Subprog]) -> bool {
        let found = match given.iter().all(|s| s.start == 0) {
            true => self.forward(),
            false => None,
        };
        match found {
            Some(Forward {
                branches,
                wide,
                calls,
            }) => {
                self.subprogs = vec![subprog(given, 0, self.insns.len())];
                (self.wide, self.calls) = (wide, calls);
                self.plain = branches <= FEW_BRANCHES && self.insns.len() <= SHORT;
                self.meets = self.marks.iter().any(|m| m.has(Marks::MERGE));
                true
            }
            None => {
                self.marks.fill(Marks::default());
                false
            }
        }
    }

    /// What such a program has.
    fn forward(&mut self) -> Option<Forward> {
        let (insns, marks) = (&self.insns[..], &mut self.marks[..]);
        let mut found = Forward::default();
        marks.first_mut()?.add_way();
        let mut pc = 0;
        while let Some(insn) = insns.get(pc) {
            // What leads here stands before.
            let here = marks.get_mut(pc)?;
            if !here.has(Marks::WAY) {
                return None;
            }
            here.add(Marks::REACHED);
            let (next, target) = match *insn {
                Insn::JumpIf { rel, .. } => (Some(pc + 1), Some(i32::from(rel))),
                Insn::Jump { rel, .. } => (None, Some(rel)),
                Insn::Exit => (None, None),
                Insn::JumpReg { .. } | Insn::MayGoto { .. } => return None,
                Insn::Call(CallTarget::Subprog { .. }) => return None,
                Insn::LoadImm64 {
                    imm: Imm64::Func { .. },
                    ..
                } => return None,
                Insn::LoadImm64 { .. } => {
                    found.wide = true;
                    (Some(pc + 2), None)
                }
                Insn::Call(_) => {
                    found.calls = true;
                    (Some(pc + 1), None)
                }
                Insn::LoadPacket { .. } => {
                    found.branches += 1;
                    (Some(pc + 1), None)
                }
                _ => (Some(pc + 1), None),
            };
            if let Some(next) = next {
                if next >= insns.len() {
                    return None;
                }
                marks.get_mut(next)?.add_way();
            }
            if let Some(rel) = target {
                let at = usize::try_from(rel).ok()? + pc + 1;
                if matches!(insns.get(at)?, Insn::Imm64High) {
                    return None;
                }
                found.branches += usize::from(next.is_some());
                marks.get_mut(at)?.add_way();
            }
            pc += insn.slots();
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use probity_isa::RawInsn;

    use super::super::{Cfg, Marks};

    /// A slot: opcode, offset, immediate.
    fn slot(opcode: u8, off: i16, imm: i32) -> RawInsn {
        RawInsn {
            opcode,
            off,
            imm,
            ..RawInsn::default()
        }
    }

    /// All programs of up to five of these, well formed or not, beside the general checks.
    #[test]
    fn one_pass_finds_what_the_general_checks_find() {
        let wide = [slot(0x18, 0, 1), slot(0, 0, 0)];
        let alphabet: [&[RawInsn]; 9] = [
            &[slot(0xb7, 0, 0)],
            &[slot(0x85, 0, 5)],
            &[slot(0x95, 0, 0)],
            &[slot(0x05, 0, 0)],
            &[slot(0x05, 1, 0)],
            &[slot(0x15, 1, 0)],
            &[slot(0x15, 2, 0)],
            &[slot(0x15, -2, 0)],
            &wide,
        ];
        let (mut forward, mut other) = (0, 0);
        for length in 1..=5u32 {
            for which in 0..alphabet.len().pow(length) {
                let letter = |at: u32| alphabet[which / alphabet.len().pow(at) % alphabet.len()];
                let raw: Vec<RawInsn> = (0..length).flat_map(letter).copied().collect();
                let decoded = || Cfg::decoded(&raw).expect("they decode");
                let (mut fast, mut slow) = (decoded(), decoded());
                let divided = slow.divide(&[], &|_| false);
                let checked = divided.and_then(|()| slow.check(8));
                let loops = slow.marks.iter().any(|m| m.has(Marks::LOOPING));
                assert_eq!(fast.goes_forward(&[]), checked.is_ok() && !loops, "{raw:?}");
                if checked.is_ok() && !loops {
                    assert_eq!(fast.marks, slow.marks, "{raw:?}");
                    assert_eq!(fast.subprogs, slow.subprogs, "{raw:?}");
                    assert!(slow.backs.is_empty() && slow.spans.is_empty() && !slow.may_goto);
                    forward += 1;
                } else {
                    assert!(fast.marks.iter().all(|m| *m == Marks::default()));
                    other += 1;
                }
            }
        }
        assert!(forward > 500 && other > 500, "{forward} and {other}");
    }
}
