//! States where laps of a loop that ends by itself start ([`crate::clocks`]) → a larger one for those that follow.
//!
//! - Numbers that changed since the last lap, and that nothing needed so far, become unknown for good.
//! - Where the others change lap for lap, they become unknown *on trial* ([`Kind::Wide`]): a counter that the loop holds
//!   against a bound where it uses it need not be walked through all its values. When something fails below, the
//!   laps are walked one by one.
//!
//! Nothing is claimed of the larger state but that it includes the path's. That it stands for other laps too is
//! found as for any open node: another lap comes back to it, and lies within it.

use probity_domains::Scalar;
use probity_isa::{Pc, Reg};

use super::attempt::Kind;
use super::nodes::Entry;
use super::{Explorer, Waiting};
use crate::env::Env;
use crate::state::State;
use crate::value::{Number, Value};

/// Laps that are walked first.
const FIRST_LAPS: usize = 4;
/// How many times what one of these took a trial may take.
const WORTH: usize = 64;

/// Whether a lap of a loop that ends by itself starts here.
pub(super) fn starts(env: &Env<'_>, pc: Pc, state: &State) -> bool {
    let frame = state.frame();
    env.cfg.is_lap(pc) || frame.callback.is_some() && env.cfg.subprogs[frame.subprog].start == pc
}

impl Explorer<'_> {
    /// States that were stored above where laps started, the last one first. `list`: the entries there.
    pub(super) fn laps_above(&self, list: &[Entry], path: &Waiting) -> Vec<usize> {
        let before = |n: &usize| {
            let node = &self.nodes[*n];
            node.open > 0 && path.state.clocks.lap_since(&node.state.clocks) && self.is_above(*n)
        };
        let nodes = list.iter().rev().map(|e| e.node);
        nodes.filter(before).take(FIRST_LAPS).collect()
    }

    /// Numbers that changed since the last lap, and that nothing needed so far, become unknown.
    pub(super) fn widen(&self, env: &Env<'_>, state: &mut State, n: usize) {
        let needed = |n: &Number| env.origins.is_needed(n.origin);
        forget(&self.nodes[n].state, state, |n| !needed(n));
    }

    /// The state for all laps that follow, if it is worth a trial: numbers that changed are unknown in it.
    pub(super) fn wide(&self, env: &Env<'_>, path: &Waiting, above: &[usize]) -> Option<State> {
        let [last, .., first] = above else {
            return None;
        };
        let alike = |n: &usize| self.nodes[*n].state.alike(&path.state);
        if !env.options.summaries
            || self.gathering > 0
            || above.len() < FIRST_LAPS
            || self.lap_by_lap.contains_key(&path.pc)
            || !above.iter().all(alike)
        {
            return None;
        }
        // What changed in the last lap alone is not what laps differ in.
        let needed = |n: &Number| env.origins.is_needed(n.origin);
        let changed = |n: usize, state: &mut State| forget(&self.nodes[n].state, state, needed);
        let mut state = path.state.clone();
        let steadily = changed(*first, &mut path.state.clone()) && changed(*last, &mut state);
        steadily.then_some(state)
    }

    /// The path goes on from the larger state, on trial; its node.
    pub(super) fn try_wide(
        &mut self,
        env: &mut Env<'_>,
        path: &mut Waiting,
        wide: State,
        above: &[usize],
    ) -> usize {
        let since = above.last().map_or(0, |n| self.nodes[*n].at);
        let worth = (self.stats.processed - since) / FIRST_LAPS * WORTH;
        let back = path.back;
        let n = self.attempt(env, path, Kind::Wide, wide, 1, worth);
        if let Some(attempt) = self.attempts.last_mut() {
            // Without it the state is stored all the same.
            attempt.exact.met = false;
            attempt.exact.back = back;
        }
        n
    }
}

/// Numbers of `state` that are not within the old ones become unknown, where these are `wanted`; whether any did.
fn forget(old: &State, state: &mut State, wanted: impl Fn(&Number) -> bool) -> bool {
    if old.frames.len() != state.frames.len() {
        return false;
    }
    let widened = |a: &Value, b: &Value| match (a, b) {
        (Value::Number(a), Value::Number(b)) => !a.set.includes(&b.set) && wanted(a),
        _ => false,
    };
    let mut any = false;
    for (a, b) in old.frames.iter().zip(&mut state.frames) {
        let regs: Vec<usize> = (0..Reg::COUNT)
            .filter(|r| widened(&a.regs.get(*r), &b.regs.get(*r)))
            .collect();
        let slots: Vec<(usize, usize)> = (0..a.stack.len().min(b.stack.len()))
            .filter_map(|s| {
                let (a, b) = (a.stack.slot(s), b.stack.slot(s));
                let bytes = b.spilled();
                let both = bytes > 0 && a.spilled() == bytes;
                (both && widened(&a.value(), &b.value())).then_some((s, bytes))
            })
            .collect();
        if regs.is_empty() && slots.is_empty() {
            continue;
        }
        any = true;
        let b = std::rc::Rc::make_mut(b);
        for r in regs {
            b.regs[r] = Value::unknown();
        }
        for (s, bytes) in slots {
            let any = Scalar::unknown().zero_extend(8 * bytes as u32);
            b.stack.set_spill(s, Value::number(any));
        }
    }
    any
}
