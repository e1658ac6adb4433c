//! A control flow graph → for each merge point the last branch before it that no way to it avoids.
//!
//! Subprogram by subprogram, where calls are steps to what follows them.
//!
//! **Invariant:** what this says decides in which order paths are walked, and never what they prove.

use probity_isa::{Insn, Pc};

use crate::cfg::Cfg;
use crate::dominators::{Dominators, Search};

const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Meets {
    /// By instruction: the closest other one that dominates it.
    above: Vec<u32>,
    /// By instruction: its place in an order in which, loops aside, nothing comes before what leads to it.
    order: Vec<u32>,
    /// A merge point has it as its closest dominator.
    opens: Vec<bool>,
    /// By instruction that jumps lead back to: the last that does.
    last: Vec<u32>,
}

impl Meets {
    pub(crate) fn of(cfg: &Cfg) -> Meets {
        let n = cfg.insns.len();
        let mut all = Meets {
            above: vec![NONE; n],
            order: vec![0; n],
            opens: vec![false; n],
            last: vec![0; n],
        };
        for pc in (0..n).filter(|pc| !matches!(cfg.insns[*pc], Insn::Imm64High)) {
            for next in cfg.successors(pc).filter(|next| *next <= pc) {
                all.last[next] = pc as u32;
            }
        }
        for s in &cfg.subprogs {
            let search = Search::of(s.start, s.end, |pc| cfg.successors(pc));
            let Some(dominators) = Dominators::of(&search) else {
                continue;
            };
            for at in 0..s.end - s.start {
                all.order[s.start + at] = search.place(at).unwrap_or(0);
                let Some(above) = dominators.closest(at) else {
                    continue;
                };
                all.above[s.start + at] = (s.start + above) as u32;
                all.opens[s.start + above] |= cfg.merges(s.start + at);
            }
        }
        all
    }

    /// The last instruction that no way to `pc` avoids.
    pub(crate) fn above(&self, pc: Pc) -> Option<Pc> {
        let above = *self.above.get(pc)?;
        (above != NONE).then_some(above as usize)
    }

    /// Paths part here that meet again.
    pub(crate) fn opens(&self, pc: Pc) -> bool {
        self.opens.get(pc).copied().unwrap_or(false)
    }

    /// Whether `pc` is in the loop whose laps start at `head`, where it lies between that and the last jump back.
    pub(crate) fn in_loop(&self, pc: Pc, head: Pc) -> bool {
        let last = self.last.get(head).map_or(0, |l| *l as usize);
        (head..=last).contains(&pc)
    }

    pub(crate) fn order(&self, pc: Pc) -> u32 {
        self.order.get(pc).copied().unwrap_or(0)
    }
}
