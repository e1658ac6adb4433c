//! Instructions → the registers whose numbers are below 2^32 there, on every run: forwards data flow over the whole program.
//!
//! - **Element:** a set of registers per instruction. **Join:** intersection. At the start of a subprogram: none.
//! - **Transfer:** arithmetic and moves of 32 bits, and loads of 4 bytes and less, extend with zeros; copies keep that.
//!
//! **Invariant:** a register in the set of an instruction holds less than 2^32 in every run that is there, if it holds a number.

use probity_isa::{Insn, Pc, RegSet, Size, Src, Width};

use crate::cfg::Cfg;

#[derive(Debug)]
pub(crate) struct Extended {
    at: Vec<RegSet>,
}

impl Extended {
    pub(crate) fn of(cfg: &Cfg) -> Extended {
        let n = cfg.insns.len();
        // Where jumps by register lead is not known here.
        if cfg.insns.iter().any(|i| matches!(i, Insn::JumpReg { .. })) {
            return Extended { at: Vec::new() };
        }
        let mut at: Vec<Option<RegSet>> = vec![None; n];
        let starts = cfg.subprogs.iter().map(|s| s.start);
        let mut work: Vec<Pc> = starts.filter(|start| *start < n).collect();
        for &start in &work {
            at[start] = Some(RegSet::EMPTY);
        }
        // Each set shrinks at most eleven times.
        while let Some(pc) = work.pop() {
            let after = after(&cfg.insns[pc], at[pc].unwrap_or(RegSet::EMPTY));
            for next in cfg.successors(pc) {
                let Some(set) = at.get_mut(next) else {
                    continue;
                };
                let meet = set.map_or(after, |known| known & after);
                if *set != Some(meet) {
                    *set = Some(meet);
                    work.push(next);
                }
            }
        }
        let at = at.into_iter().map(|s| s.unwrap_or(RegSet::EMPTY));
        Extended { at: at.collect() }
    }

    /// Those before the instruction.
    pub(crate) fn at(&self, pc: Pc) -> RegSet {
        self.at.get(pc).copied().unwrap_or(RegSet::EMPTY)
    }
}

/// Those behind the instruction.
fn after(insn: &Insn, before: RegSet) -> RegSet {
    let rest = before.without(insn.defs());
    let (dst, extends) = match *insn {
        Insn::Alu { width, dst, .. } | Insn::Neg { width, dst } => (dst, width == Width::W32),
        Insn::Mov { width, dst, src } => {
            let kept = match src {
                Src::Reg(src) => before.contains(src),
                Src::Imm(imm) => imm >= 0,
            };
            (dst, width == Width::W32 || kept)
        }
        Insn::Load {
            size, signed, dst, ..
        } => (dst, size != Size::DW && !signed),
        _ => return rest,
    };
    match extends {
        true => rest | RegSet::of(dst),
        false => rest,
    }
}

#[cfg(test)]
mod tests {
    use probity_isa::{AluOp, Reg};

    use super::*;

    #[test]
    fn copies_keep_it_and_wide_arithmetic_does_not() {
        let (r1, r2) = (Reg::R1, Reg::R2);
        let mov = |width, dst, src| Insn::Mov { width, dst, src };
        let low = after(&mov(Width::W32, r1, Src::Reg(r1)), RegSet::EMPTY);
        assert!(low.contains(r1));
        let copy = after(&mov(Width::W64, r2, Src::Reg(r1)), low);
        assert!(copy.contains(r1) && copy.contains(r2));
        let wide = Insn::Alu {
            op: AluOp::Add,
            width: Width::W64,
            dst: r1,
            src: Src::Imm(1),
        };
        assert_eq!(after(&wide, copy), RegSet::of(r2));
        assert!(after(&mov(Width::W64, r1, Src::Imm(-1)), copy) == RegSet::of(r2));
        assert!(after(&mov(Width::W64, r2, Src::Reg(r1)), RegSet::EMPTY).is_empty());
    }
}
