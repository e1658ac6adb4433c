//! Which registers may still be read: backwards data flow over the whole program, once, before exploration.
//!
//! - **Element:** a set of registers per instruction. **Join:** union. **Transfer:** `(out - defs) + uses`.
//! - A call of a helper uses its rows' arguments; a call of a subprogram uses what is live at its entry.
//!
//! **Invariant:** a register that is not live at an instruction is written before it is read on every path from there.

use probity_isa::{CallTarget, Insn, Pc, RegSet};
use probity_platform::Platform;

use crate::cfg::Cfg;

/// How often the whole program is gone through again, before what still changes is followed alone.
const SWEEPS: usize = 3;

#[derive(Clone, Debug)]
pub(crate) struct Liveness {
    at: Vec<RegSet>,
}

impl Liveness {
    /// Where no states are compared nobody asks: all may be read.
    pub(crate) fn unknown() -> Liveness {
        Liveness { at: Vec::new() }
    }

    pub(crate) fn compute(cfg: &Cfg, platform: &Platform) -> Liveness {
        let n = cfg.insns.len();
        let mut live = Liveness {
            at: vec![RegSet::EMPTY; n],
        };
        // From the end: what an instruction depends on is known, but for what leads back.
        let mut back: Vec<Pc> = Vec::new();
        for pc in (0..n).rev() {
            let (set, first) = live.before(cfg, platform, pc);
            live.at[pc] = set;
            if first.is_some_and(|on| on <= pc) {
                back.push(pc);
            }
        }
        // Most loops settle when they are gone through once more.
        for _ in 0..SWEEPS {
            let changes = |pc: &&Pc| live.before(cfg, platform, **pc).0 != live.at[**pc];
            // The highest.
            let Some(&last) = back.iter().find(changes) else {
                debug_assert!((0..n).all(|pc| live.before(cfg, platform, pc).0 == live.at[pc]));
                return live;
            };
            for pc in (0..=last).rev() {
                live.at[pc] = live.before(cfg, platform, pc).0;
            }
        }
        live.settle(cfg, platform, back);
        live
    }

    /// Until nothing changes, from those of `work` on; each set grows at most eleven times.
    fn settle(&mut self, cfg: &Cfg, platform: &Platform, mut work: Vec<Pc>) {
        let dependents = Dependents::of(cfg);
        let mut waits = vec![false; self.at.len()];
        for &pc in &work {
            waits[pc] = true;
        }
        while let Some(pc) = work.pop() {
            waits[pc] = false;
            let (live, _) = self.before(cfg, platform, pc);
            if live == self.at[pc] {
                continue;
            }
            self.at[pc] = live;
            for &p in dependents.on(pc) {
                if !waits[p] {
                    waits[p] = true;
                    work.push(p);
                }
            }
        }
    }

    /// The transfer: what is live before the instruction, by what is known so far of those it depends on; and the
    /// first of these, as they stand in the program.
    fn before(&self, cfg: &Cfg, platform: &Platform, pc: Pc) -> (RegSet, Option<Pc>) {
        let insn = &cfg.insns[pc];
        if insn.is_straight() {
            let live = self.at(pc + 1).without(insn.defs()) | insn.uses();
            return (live, Some(pc + 1));
        }
        let mut out = RegSet::EMPTY;
        let mut first_on: Option<Pc> = None;
        let mut on = |at: Pc| first_on = Some(first_on.map_or(at, |f| f.min(at)));
        let (next, target) = cfg.ways(pc);
        if let Some(next) = next {
            out |= self.at(next);
            on(next);
        }
        if let Some(target) = target {
            out |= self.at(target);
            on(target);
        }
        let first = |n: usize| RegSet::from_bits(RegSet::ARGUMENTS.bits() & ((2 << n.min(5)) - 1));
        let uses = match insn {
            Insn::Call(CallTarget::Helper(id)) => {
                let helper = platform.helper(*id);
                first(helper.map_or(5, |h| h.args.len().max(longest(h))))
            }
            Insn::Call(CallTarget::Kfunc { id, .. }) => {
                first(crate::kfunc::arguments(platform.types.as_deref(), *id))
            }
            Insn::Call(CallTarget::Subprog { .. }) => match insn.subprog_target(pc) {
                Some(to) if to >= 0 => {
                    on(to as usize);
                    self.at(to as usize) & RegSet::ARGUMENTS
                }
                _ => RegSet::ARGUMENTS,
            },
            _ => insn.uses(),
        };
        (out.without(insn.defs()) | uses, first_on)
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

/// Instructions whose sets an instruction's depends on.
fn depends_on(cfg: &Cfg, pc: Pc) -> impl Iterator<Item = Pc> + use<> {
    let callee = cfg.insns[pc].subprog_target(pc);
    let callee = callee.and_then(|t| usize::try_from(t).ok());
    cfg.successors(pc).chain(callee)
}

/// Instructions whose sets depend on an instruction's.
struct Dependents {
    /// Those on instruction `pc` are `all[starts[pc]..starts[pc + 1]]`.
    starts: Vec<usize>,
    all: Vec<Pc>,
}

impl Dependents {
    fn of(cfg: &Cfg) -> Dependents {
        let n = cfg.insns.len();
        let mut starts = vec![0; n + 1];
        let edges = || (0..n).flat_map(|pc| depends_on(cfg, pc).map(move |on| (on, pc)));
        let edges = || edges().filter(|(on, _)| *on < n);
        for (on, _) in edges() {
            starts[on] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        // Each place is filled from its end, which makes it a start.
        let mut all = vec![0; sum];
        for (on, pc) in edges() {
            starts[on] -= 1;
            all[starts[on]] = pc;
        }
        Dependents { starts, all }
    }

    fn on(&self, pc: Pc) -> &[Pc] {
        &self.all[self.starts[pc]..self.starts[pc + 1]]
    }
}
