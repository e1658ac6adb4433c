//! What a call of each subprogram may do that its caller must know without walking it: the call graph,
//! closed over calls and functions whose address is taken.
//!
//! **Invariant:** dead code counts; what is found here is never less than what a walk finds.

use probity_isa::{CallTarget, Insn};
use probity_platform::{Helper, Kfunc, KfuncFlag, KfuncSpecial, Platform};

use crate::cfg::Cfg;
use crate::dynptr;
use crate::kfunc::{self, Rows};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Packet pointers are invalid afterwards.
    pub changes_packet: bool,
    pub sleeps: bool,
    /// May end the program without returning to its caller.
    pub throws: bool,
}

/// Those of a subprogram.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EffectsOf {
    /// Of itself.
    pub own: Effects,
    /// With what it calls.
    pub all: Effects,
}

impl Effects {
    fn join(self, other: Effects) -> Effects {
        Effects {
            changes_packet: self.changes_packet | other.changes_packet,
            sleeps: self.sleeps | other.sleeps,
            throws: self.throws | other.throws,
        }
    }

    fn of(insn: &Insn, platform: &Platform, rows: &Rows<'_>, prog_kind: u32) -> Effects {
        match insn {
            Insn::Call(CallTarget::Helper(id)) => platform
                .helper(*id)
                .map_or_else(Effects::default, |h| Effects::of_helper(h, prog_kind)),
            Insn::Call(CallTarget::Kfunc { id, .. }) => rows
                .get(*id)
                .map_or_else(Effects::default, Effects::of_kfunc),
            _ => Effects::default(),
        }
    }

    fn of_helper(helper: &Helper, prog_kind: u32) -> Effects {
        let effects = helper.prototype(prog_kind).effects;
        Effects {
            // Where the program is replaced, the replacement may change the packet.
            changes_packet: effects.changes_packet || effects.may_not_return,
            sleeps: effects.sleeps,
            throws: false,
        }
    }

    fn of_kfunc(kfunc: &Kfunc) -> Effects {
        Effects {
            changes_packet: kfunc.special == Some(KfuncSpecial::ChangesPacket),
            sleeps: kfunc.has(KfuncFlag::Sleepable),
            throws: kfunc.special == Some(KfuncSpecial::Throw),
        }
    }
}

/// Whether the instruction throws: nothing need come after it.
pub(crate) fn throws(insn: &Insn, platform: &Platform) -> bool {
    kfunc::row(insn, platform).is_some_and(|row| Effects::of_kfunc(row).throws)
}

/// The effects of each subprogram.
pub(crate) fn compute(
    cfg: &Cfg,
    platform: &Platform,
    rows: &Rows<'_>,
    prog_kind: u32,
) -> Vec<EffectsOf> {
    let n = cfg.subprogs.len();
    let mut found = vec![EffectsOf::default(); n];
    if !cfg.has_calls() && !cfg.has_wide() {
        return found;
    }
    // One subprogram calls none.
    let mut callees: Vec<Vec<usize>> = vec![Vec::new(); if n > 1 { n } else { 0 }];
    // Writing through a dynptr moves a packet only where there are dynptrs of packets.
    let packets = !rows.is_empty() && cfg.insns.iter().any(|i| dynptr::of_packet(i, rows));
    for (s, subprog) in cfg.subprogs.iter().enumerate() {
        for pc in subprog.start..subprog.end {
            let insn = &cfg.insns[pc];
            if !matches!(insn, Insn::Call(_) | Insn::LoadImm64 { .. }) {
                continue;
            }
            let own = &mut found[s].own;
            *own = own.join(Effects::of(insn, platform, rows, prog_kind));
            own.changes_packet |= packets && dynptr::writes(insn, platform, prog_kind);
            if let Some(callees) = callees.get_mut(s) {
                callees.extend(insn.subprog_target(pc).and_then(|t| cfg.subprog_entry(t)));
            }
        }
        if let Some(callees) = callees.get_mut(s) {
            callees.sort_unstable();
            callees.dedup();
        }
        found[s].all = found[s].own;
    }
    if callees.iter().all(Vec::is_empty) {
        return found;
    }
    // Each pass but the last adds an effect somewhere, so there are few.
    loop {
        let mut changed = false;
        for s in 0..n {
            let known = found[s].all;
            let joined = callees[s].iter().fold(known, |e, &c| e.join(found[c].all));
            changed |= joined != known;
            found[s].all = joined;
        }
        if !changed {
            return found;
        }
    }
}
