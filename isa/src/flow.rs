//! What an instruction reads, writes and leads to: facts that need no program around them.

use std::fmt;

use crate::encode::row_and_operands;
use crate::table::{CpuVersion, Since};
use crate::{AtomicOp, CallTarget, Imm64, Insn, Pc, Reg, Src};

/// A set of registers, one bit each.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RegSet(u16);

impl RegSet {
    pub const EMPTY: RegSet = RegSet(0);
    /// r0 to r10.
    pub const ALL: RegSet = RegSet(0x7ff);
    /// r1 to r5, the arguments of a call.
    pub const ARGUMENTS: RegSet = RegSet(0x3e);
    /// r0 to r5, which a call writes or leaves unusable.
    pub const CALLER_SAVED: RegSet = RegSet(0x3f);
    /// r6 to r9, which a call preserves.
    pub const CALLEE_SAVED: RegSet = RegSet(0x3c0);

    pub const fn of(reg: Reg) -> RegSet {
        RegSet(1 << reg.index())
    }

    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Bits above r10 are dropped.
    pub const fn from_bits(bits: u16) -> RegSet {
        RegSet(bits & RegSet::ALL.0)
    }

    pub const fn contains(self, reg: Reg) -> bool {
        self.0 & (1 << reg.index()) != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub const fn union(self, other: RegSet) -> RegSet {
        RegSet(self.0 | other.0)
    }

    pub const fn intersection(self, other: RegSet) -> RegSet {
        RegSet(self.0 & other.0)
    }

    /// Those of `self` that are not in `other`.
    pub const fn without(self, other: RegSet) -> RegSet {
        RegSet(self.0 & !other.0)
    }

    pub fn insert(&mut self, reg: Reg) {
        *self = self.union(RegSet::of(reg));
    }

    pub fn remove(&mut self, reg: Reg) {
        *self = self.without(RegSet::of(reg));
    }

    /// In ascending order.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = Reg> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let reg = Reg::new(left.trailing_zeros() as u8)?;
            left &= left - 1;
            Some(reg)
        })
    }
}

impl std::ops::BitOr for RegSet {
    type Output = RegSet;
    fn bitor(self, other: RegSet) -> RegSet {
        self.union(other)
    }
}

impl std::ops::BitOrAssign for RegSet {
    fn bitor_assign(&mut self, other: RegSet) {
        *self = self.union(other);
    }
}

impl std::ops::BitAnd for RegSet {
    type Output = RegSet;
    fn bitand(self, other: RegSet) -> RegSet {
        self.intersection(other)
    }
}

impl std::ops::Sub for RegSet {
    type Output = RegSet;
    fn sub(self, other: RegSet) -> RegSet {
        self.without(other)
    }
}

impl FromIterator<Reg> for RegSet {
    fn from_iter<I: IntoIterator<Item = Reg>>(regs: I) -> RegSet {
        regs.into_iter()
            .fold(RegSet::EMPTY, |set, r| set | RegSet::of(r))
    }
}

impl fmt::Display for RegSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, reg) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{reg}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for RegSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Src {
    /// The register, if the operand is one.
    pub const fn reg(self) -> Option<Reg> {
        match self {
            Src::Reg(r) => Some(r),
            Src::Imm(_) => None,
        }
    }

    const fn uses(self) -> RegSet {
        match self {
            Src::Reg(r) => RegSet::of(r),
            Src::Imm(_) => RegSet::EMPTY,
        }
    }
}

impl AtomicOp {
    /// Whether the old value goes to a register (r0 for `Cmpxchg`, else the source register).
    pub const fn fetches(self) -> bool {
        match self {
            AtomicOp::Add { fetch }
            | AtomicOp::Or { fetch }
            | AtomicOp::And { fetch }
            | AtomicOp::Xor { fetch } => fetch,
            AtomicOp::Xchg | AtomicOp::Cmpxchg => true,
        }
    }
}

impl Insn {
    /// The registers that it may read. A call may read every argument register: how many it
    /// does read is the callee's affair.
    pub const fn uses(&self) -> RegSet {
        match *self {
            Insn::Alu { dst, src, .. } | Insn::JumpIf { dst, src, .. } => {
                RegSet::of(dst).union(src.uses())
            }
            Insn::Mov { src, .. } => src.uses(),
            Insn::Neg { dst, .. } | Insn::Swap { dst, .. } | Insn::JumpReg { dst } => {
                RegSet::of(dst)
            }
            Insn::MovSx { src, .. } | Insn::AddrSpaceCast { src, .. } => RegSet::of(src),
            Insn::Load { base, .. } | Insn::LoadAcquire { base, .. } => RegSet::of(base),
            Insn::Store { base, src, .. } => RegSet::of(base).union(src.uses()),
            Insn::StoreRelease { base, src, .. } => RegSet::of(base).union(RegSet::of(src)),
            Insn::Atomic { op, base, src, .. } => {
                let both = RegSet::of(base).union(RegSet::of(src));
                match op {
                    AtomicOp::Cmpxchg => both.union(RegSet::of(Reg::R0)),
                    _ => both,
                }
            }
            Insn::LoadPacket { index, .. } => match index {
                Some(r) => RegSet::of(Reg::R6).union(RegSet::of(r)),
                None => RegSet::of(Reg::R6),
            },
            Insn::Call(CallTarget::Reg(r)) => RegSet::ARGUMENTS.union(RegSet::of(r)),
            Insn::Call(_) => RegSet::ARGUMENTS,
            Insn::Exit => RegSet::of(Reg::R0),
            Insn::LoadImm64 { .. } | Insn::Imm64High | Insn::Jump { .. } | Insn::MayGoto { .. } => {
                RegSet::EMPTY
            }
        }
    }

    /// The registers whose old value is gone afterwards. A call and a packet load leave r1 to
    /// r5 unreadable, which counts.
    pub const fn defs(&self) -> RegSet {
        match *self {
            Insn::Alu { dst, .. }
            | Insn::Neg { dst, .. }
            | Insn::Mov { dst, .. }
            | Insn::MovSx { dst, .. }
            | Insn::Swap { dst, .. }
            | Insn::AddrSpaceCast { dst, .. }
            | Insn::LoadImm64 { dst, .. }
            | Insn::Load { dst, .. }
            | Insn::LoadAcquire { dst, .. } => RegSet::of(dst),
            Insn::Atomic { op, src, .. } => match op {
                AtomicOp::Cmpxchg => RegSet::of(Reg::R0),
                _ if op.fetches() => RegSet::of(src),
                _ => RegSet::EMPTY,
            },
            Insn::LoadPacket { .. } | Insn::Call(_) => RegSet::CALLER_SAVED,
            Insn::Imm64High
            | Insn::Store { .. }
            | Insn::StoreRelease { .. }
            | Insn::Jump { .. }
            | Insn::JumpIf { .. }
            | Insn::JumpReg { .. }
            | Insn::MayGoto { .. }
            | Insn::Exit => RegSet::EMPTY,
        }
    }

    /// Where a jump at `pc` may lead besides the next instruction; may lie outside of the
    /// program. `None` for other instructions, and for `gotox`, whose targets are in a table.
    pub fn jump_target(&self, pc: Pc) -> Option<i64> {
        match *self {
            Insn::Jump { rel, .. } => Some(target(pc, rel)),
            Insn::JumpIf { rel, .. } | Insn::MayGoto { rel } => Some(target(pc, rel.into())),
            _ => None,
        }
    }

    /// The subprogram that an instruction at `pc` calls or takes the address of; may lie
    /// outside of the program.
    pub fn subprog_target(&self, pc: Pc) -> Option<i64> {
        match *self {
            Insn::Call(CallTarget::Subprog { rel }) => Some(target(pc, rel)),
            Insn::LoadImm64 {
                imm: Imm64::Func { rel },
                ..
            } => Some(target(pc, rel)),
            _ => None,
        }
    }

    /// Whether it takes one slot, and execution can but go on to the next: no jump, call or `exit`.
    pub const fn is_straight(&self) -> bool {
        !matches!(
            self,
            Insn::Jump { .. }
                | Insn::JumpIf { .. }
                | Insn::JumpReg { .. }
                | Insn::MayGoto { .. }
                | Insn::Call(_)
                | Insn::Exit
                | Insn::LoadImm64 { .. }
                | Insn::Imm64High
        )
    }

    /// Whether it ends a basic block: any jump, or `exit`. Calls do not.
    pub const fn is_terminator(&self) -> bool {
        matches!(
            self,
            Insn::Jump { .. }
                | Insn::JumpIf { .. }
                | Insn::JumpReg { .. }
                | Insn::MayGoto { .. }
                | Insn::Exit
        )
    }

    /// Whether execution can go on with the next instruction.
    pub const fn falls_through(&self) -> bool {
        !matches!(self, Insn::Jump { .. } | Insn::JumpReg { .. } | Insn::Exit)
    }

    /// The first `-mcpu` of clang that emits it; `None` for a value without an encoding.
    /// The second slot of a 64-bit immediate counts as its first.
    pub fn cpu_version(&self) -> Option<CpuVersion> {
        self.since().map(|s| s.cpu)
    }

    /// What its row in [`crate::table`] is known by; `None` for a value without an encoding.
    pub fn kind(&self) -> Option<crate::table::Kind> {
        row_and_operands(*self).map(|(row, _)| row.kind)
    }

    /// Since when it exists; `None` for a value without an encoding.
    pub fn since(&self) -> Option<Since> {
        let insn = match *self {
            Insn::Imm64High => Insn::LoadImm64 {
                dst: Reg::R0,
                imm: Imm64::Value(0),
            },
            insn => insn,
        };
        row_and_operands(insn).map(|(row, _)| row.since)
    }
}

/// `pc` is a slot of a program in memory, so it is far below the limits of `i64`.
fn target(pc: Pc, rel: i32) -> i64 {
    (pc as i64).saturating_add(1).saturating_add(rel.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AluOp, Size, Width};

    fn set(regs: &[u8]) -> RegSet {
        regs.iter().filter_map(|n| Reg::new(*n)).collect()
    }

    #[test]
    fn uses_and_defs() {
        let (dst, src) = (Reg::R1, Reg::R2);
        let add = Insn::Alu {
            op: AluOp::Add,
            width: Width::W64,
            dst,
            src: Src::Reg(src),
        };
        assert_eq!((add.uses(), add.defs()), (set(&[1, 2]), set(&[1])));
        let atomic = |op| Insn::Atomic {
            op,
            size: Size::DW,
            base: dst,
            off: 0,
            src,
        };
        let plain = atomic(AtomicOp::Add { fetch: false });
        assert_eq!((plain.uses(), plain.defs()), (set(&[1, 2]), set(&[])));
        let fetch = atomic(AtomicOp::Add { fetch: true });
        assert_eq!((fetch.uses(), fetch.defs()), (set(&[1, 2]), set(&[2])));
        let cmpxchg = atomic(AtomicOp::Cmpxchg);
        assert_eq!(
            (cmpxchg.uses(), cmpxchg.defs()),
            (set(&[0, 1, 2]), set(&[0]))
        );
        let packet = Insn::LoadPacket {
            size: Size::B,
            index: Some(Reg::R7),
            imm: 0,
        };
        assert_eq!(
            (packet.uses(), packet.defs()),
            (set(&[6, 7]), RegSet::CALLER_SAVED)
        );
        let callx = Insn::Call(CallTarget::Reg(Reg::R8));
        assert_eq!(
            (callx.uses(), callx.defs()),
            (set(&[1, 2, 3, 4, 5, 8]), set(&[0, 1, 2, 3, 4, 5]))
        );
        assert_eq!(Insn::Exit.uses().to_string(), "{r0}");
    }

    #[test]
    fn targets() {
        let back = Insn::Jump {
            rel: -5,
            long: true,
        };
        assert_eq!(back.jump_target(3), Some(-1));
        assert_eq!(Insn::MayGoto { rel: 2 }.jump_target(3), Some(6));
        assert_eq!(Insn::Exit.jump_target(3), None);
        let call = Insn::Call(CallTarget::Subprog { rel: i32::MAX });
        assert_eq!(call.subprog_target(9), Some(10 + i64::from(i32::MAX)));
        assert!(call.falls_through() && !call.is_terminator());
        assert!(back.is_terminator() && !back.falls_through());
    }
}
