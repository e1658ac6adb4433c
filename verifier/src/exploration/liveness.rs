//! Which registers may still be read: backwards data flow over the whole program, once, before exploration.
//!
//! - **Element:** a set of registers per instruction. **Join:** union. **Transfer:** `(out - defs) + uses`.
//! - A call of a helper uses its rows' arguments; a call of a subprogram uses what is live at its entry.
//!
//! **Invariant:** a register that is not live at an instruction is written before it is read on every path from there.

use probity_isa::{CallTarget, Insn, Pc, RegSet};
use probity_platform::Platform;

use crate::cfg::Cfg;

#[derive(Clone, Debug)]
pub(crate) struct Liveness {
    at: Vec<RegSet>,
}

impl Liveness {
    pub(crate) fn compute(cfg: &Cfg, platform: &Platform) -> Liveness {
        let n = cfg.insns.len();
        let mut at = vec![RegSet::EMPTY; n];
        // Whose sets depend on an instruction's; each set grows at most eleven times.
        let mut before: Vec<Vec<Pc>> = vec![Vec::new(); n];
        for pc in 0..n {
            let callee = cfg.insns[pc]
                .subprog_target(pc)
                .and_then(|t| usize::try_from(t).ok());
            for next in cfg.successors(pc).chain(callee) {
                if let Some(list) = before.get_mut(next) {
                    list.push(pc);
                }
            }
        }
        let mut work: Vec<Pc> = (0..n).collect();
        let mut waits = vec![true; n];
        while let Some(pc) = work.pop() {
            waits[pc] = false;
            let insn = &cfg.insns[pc];
            let mut out = RegSet::EMPTY;
            for next in cfg.successors(pc) {
                out |= at.get(next).copied().unwrap_or(RegSet::ALL);
            }
            let uses = match insn {
                Insn::Call(CallTarget::Helper(id)) => {
                    let n = platform
                        .helper(*id)
                        .map_or(5, |h| h.args.len().max(longest(h)));
                    RegSet::from_bits(RegSet::ARGUMENTS.bits() & ((2u16 << n.min(5)) - 1))
                }
                Insn::Call(CallTarget::Kfunc { id, .. }) => {
                    let n = crate::kfunc::arguments(platform.types.as_deref(), *id);
                    RegSet::from_bits(RegSet::ARGUMENTS.bits() & ((2u16 << n.min(5)) - 1))
                }
                Insn::Call(CallTarget::Subprog { .. }) => match insn.subprog_target(pc) {
                    Some(to) if to >= 0 => {
                        let entry = at.get(to as usize).copied().unwrap_or(RegSet::ALL);
                        entry & RegSet::ARGUMENTS
                    }
                    _ => RegSet::ARGUMENTS,
                },
                _ => insn.uses(),
            };
            let live = out.without(insn.defs()) | uses;
            if live != at[pc] {
                at[pc] = live;
                for &p in &before[pc] {
                    if !waits[p] {
                        waits[p] = true;
                        work.push(p);
                    }
                }
            }
        }
        Liveness { at }
    }

    /// Live before the instruction.
    pub(crate) fn at(&self, pc: Pc) -> RegSet {
        self.at.get(pc).copied().unwrap_or(RegSet::ALL)
    }

    /// Live in a caller while the callee runs that returns to `pc`.
    pub(crate) fn across_call(&self, pc: Pc) -> RegSet {
        self.at(pc).without(RegSet::CALLER_SAVED)
    }
}

/// Arguments of the longest other prototype.
fn longest(h: &probity_platform::Helper) -> usize {
    h.variants.iter().map(|v| v.args.len()).max().unwrap_or(0)
}
