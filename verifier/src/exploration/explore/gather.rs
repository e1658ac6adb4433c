//! Paths that part and meet again → one state for all at each merge point, from a state on from which they are many.
//!
//! Where a path comes to a merge point that others came to before, and the program was walked over many times, what
//! follows some state above is walked once more, as an attempt ([`super::attempt`]): a path that comes to a merge point
//! is *held* until all others that parted from it behind the branch above ([`Meets`]) have come or ended. Then
//! the first goes on from the join of their states, and the others *follow* when all of that is walked: it covers them.
//! When all is walked, the path that was walked before goes on where it was, and is covered too.
//!
//! - The state above is further away each time, four times as far: what is walked again is part of what is walked then.
//! - When something fails, the join nearest above is not made again; the next time two, then four.
//!
//! Paths are no longer walked depth first, so an open node need not be above the current path ([`Explorer::is_above`]).
//! Attempts stay nested: a path is held below the innermost one only.
//!
//! **Invariant:** a join is gone on from only in place of a path whose state it includes, by [`crate::cover`]'s judgement.

use probity_isa::Pc;

use super::attempt::Kind;
use super::joins;
use super::nodes::Entry;
use super::{Explorer, Waiting};
use crate::env::Env;
use crate::meets::Meets;
use crate::shared::push;
use crate::worst::{Edge, Way};

/// A branch behind which paths are gathered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parting {
    before: u32,
    pc: Pc,
    frames: usize,
    /// Paths that waited when it was passed.
    waiting: usize,
}

/// A path at a merge point.
pub(super) struct Held {
    path: Waiting,
    /// It waits until no more paths wait than these.
    waiting: usize,
}

/// Paths held at one time; more go on alone.
const MOST_HELD: usize = 512;
/// Partings looked through for the branch above a merge point.
const MOST_PARTINGS: usize = 64;
/// Nodes above a path that are looked at for the state to start from.
const MOST_ABOVE: usize = 1 << 14;

impl Explorer<'_> {
    /// The path is at a point where states are compared: what it comes from is to be known to [`Explorer::is_above`].
    pub(super) fn trace(&mut self, path: &Waiting) {
        if self.gathering == 0 {
            self.above.clear();
            return;
        }
        // Parents are stored before their children, so both ways up only go down in number until they meet.
        let mut fresh = Vec::new();
        let mut at = Some(path.parent);
        while let Some(n) = at {
            while self.above.last().is_some_and(|last| *last > n) {
                self.above.pop();
            }
            if self.above.last() == Some(&n) {
                break;
            }
            fresh.push(n);
            at = self.nodes[n].parent;
        }
        if at.is_none() {
            self.above.clear();
        }
        self.above.extend(fresh.into_iter().rev());
    }

    /// Whether the path that was traced comes from `n`, an open node. Where none are held, every path does.
    pub(super) fn is_above(&self, n: usize) -> bool {
        self.gathering == 0 || self.above.binary_search(&n).is_ok()
    }

    /// The path is at an instruction: it may be one behind which paths are gathered.
    pub(super) fn enter(&mut self, path: &mut Waiting) {
        let opens = |d: &Meets| d.opens(path.pc);
        if !self.meets.as_ref().is_some_and(opens) {
            return;
        }
        self.partings.push(Parting {
            before: path.entry,
            pc: path.pc,
            frames: path.state.frames.len(),
            waiting: self.waiting.len(),
        });
        path.entry = u32::try_from(self.partings.len()).unwrap_or(0);
    }

    /// Whether the path waits at its merge point for others.
    pub(super) fn hold(&mut self, env: &mut Env<'_>, path: &mut Waiting) -> bool {
        let pc = path.pc;
        if self.gathering == 0
            || path.alone
            || env.cfg.is_head(pc)
            || env.cfg.is_lap(pc)
            || self.pressure.apart(pc)
        {
            return false;
        }
        let Some(above) = self.meets.as_ref().and_then(|d| d.above(pc)) else {
            return false;
        };
        let frames = path.state.frames.len();
        let (from, least) = match self.attempts.last() {
            Some(a) => (a.partings, a.waiting),
            None => return false,
        };
        let mut at = path.entry as usize;
        for _ in 0..MOST_PARTINGS {
            if at <= from {
                return false;
            }
            let entry = self.partings[at - 1];
            if entry.pc == above && entry.frames == frames {
                // There are no others.
                if self.waiting.len() <= entry.waiting && self.ready().next().is_none() {
                    return false;
                }
                let all = self.waiting.len() + self.followers.len();
                if entry.waiting < least
                    || self.held.len() >= MOST_HELD
                    || all >= super::MAX_WAITING
                {
                    return false;
                }
                self.flush(env, path.parent);
                let held = std::mem::replace(path, nowhere());
                self.held.push(Held {
                    path: held,
                    waiting: entry.waiting,
                });
                return true;
            }
            at = entry.before as usize;
        }
        false
    }

    /// Paths that need not wait any longer.
    fn ready(&self) -> impl Iterator<Item = &Held> {
        let first = self.attempts.last().map_or(0, |a| a.held);
        let here = self.waiting.len();
        self.held[first..].iter().filter(move |h| h.waiting >= here)
    }

    /// The path to walk next.
    pub(super) fn next_path(&mut self, env: &mut Env<'_>) -> Option<Waiting> {
        let first = self.attempts.last().map_or(0, |a| a.held);
        let here = self.waiting.len();
        let order = |h: &Held| {
            let order = self.meets.as_ref().map_or(0, |d| d.order(h.path.pc));
            // Callees first, and what comes first in them.
            (usize::MAX - h.path.state.frames.len(), order, h.path.pc)
        };
        let Some(key) = self.ready().map(order).min() else {
            return self.waiting.pop();
        };
        let mut group = Vec::new();
        let mut at = first;
        while at < self.held.len() {
            match self.held[at].waiting >= here && order(&self.held[at]) == key {
                true => group.push(self.held.remove(at).path),
                false => at += 1,
            }
        }
        self.release(env, group, here)
    }

    /// All that will come has come: one goes on from the join, the others follow.
    fn release(
        &mut self,
        env: &mut Env<'_>,
        mut group: Vec<Waiting>,
        waiting: usize,
    ) -> Option<Waiting> {
        let rest = group.split_off(1.min(group.len()));
        let mut path = group.pop()?;
        path.alone = true;
        let pc = path.pc;
        let mut state = path.state.clone();
        let mut others = Vec::new();
        for mut other in rest {
            match joins::join(env, pc, &other.state, &state) {
                Some(joined) => {
                    state = joined;
                    other.alone = true;
                    others.push(other);
                }
                // Of another kind: it waits for its like.
                None => self.held.push(Held {
                    path: other,
                    waiting,
                }),
            }
        }
        if others.is_empty() {
            return Some(path);
        }
        if !joins::includes(env, pc, &state, &path.state) {
            self.waiting.extend(others);
            return Some(path);
        }
        self.leads(env, &mut path, self.nodes.len(), Edge::To);
        let n = self.store(env, pc, Some(path.parent), state);
        let node = &mut self.nodes[n];
        node.open = 1;
        node.joined = true;
        path.state = node.state.clone();
        path.parent = n;
        path.met = true;
        path.alone = false;
        push(&mut self.at[pc], Entry::new(n));
        self.stats.peak_states = self.stats.peak_states.max(self.at[pc].len());
        self.jumps = 0;
        self.insns = 0;
        for mut other in others {
            if self.many(env) {
                other.state.pack();
            }
            self.followers.push((n, other));
        }
        Some(path)
    }

    /// The node is closed: those that it stands for may be walked.
    pub(super) fn follow(&mut self, node: usize) {
        let mut at = self.followers.len();
        while at > 0 {
            at -= 1;
            if self.followers[at].0 == node {
                let path = self.followers.remove(at).1;
                self.waiting.push(path);
            } else if self.followers[at].0 < node {
                break;
            }
        }
    }

    /// What follows a state above the path is walked once more, if that is worth it: whether the path starts there.
    pub(super) fn gather(&mut self, env: &mut Env<'_>, path: &mut Waiting) -> bool {
        let alone = self.gathering > 0 || path.alone || self.pressure.apart(path.pc);
        // A subprogram that is walked on its own is given up soon.
        if alone || !env.options.joins || self.own.is_some() {
            return false;
        }
        let useful = self.stats.processed - self.wasted;
        let (insns, eager) = (env.cfg.insns.len(), env.options.store_often);
        let Some(allowed) = self.pressure.allowance(useful, insns, eager) else {
            return false;
        };
        // Others came here before.
        let over = |e: &Entry| {
            let node = &self.nodes[e.node];
            node.open == 0 && node.tied.is_empty()
        };
        if !self.at[path.pc].iter().any(over) {
            return false;
        }
        self.meets.get_or_insert_with(|| Meets::of(env.cfg));
        // Where this says nothing, none are held.
        let known = self
            .meets
            .as_ref()
            .is_some_and(|m| m.above(path.pc).is_some());
        if path.back || !known || self.stats.processed < self.looked {
            return false;
        }
        let Some(n) = self.far_above(path) else {
            return false;
        };
        let Some((place, history)) = self.nodes[n].from else {
            return false;
        };
        // What is kept of a plain program's entry is no state to walk from.
        if self.nodes[n].state.frames.is_empty() {
            return false;
        }
        self.flush(env, path.parent);
        let mut exact = std::mem::replace(path, nowhere());
        exact.alone = true;
        *path = Waiting {
            pc: self.nodes[n].pc,
            state: self.nodes[n].state.clone(),
            parent: n,
            history,
            place,
            back: false,
            met: true,
            entry: 0,
            alone: false,
            way: Way::default(),
            compared: None,
        };
        self.nodes[n].open += 1;
        let state = path.state.clone();
        self.gathering += 1;
        self.stats.gathered = true;
        self.begin(env, path, exact, Kind::Gather, state, 1, allowed);
        path.met = true;
        true
    }

    /// A state to gather from: one as far above the path as is due, below all attempts.
    fn far_above(&mut self, path: &Waiting) -> Option<usize> {
        let least = self.attempts.last().map_or(0, |a| a.node + 1);
        let deep = self.nodes[path.parent].deep + path.way.insns;
        let mut found = None;
        let mut at = path.parent;
        for _ in 0..MOST_ABOVE {
            // Looking takes no more than walking.
            self.looked = self.looked.max(self.stats.processed) + 1;
            let node = &self.nodes[at];
            if at < least {
                break;
            }
            if node.lap > 0 {
                // A loop that is walked lap by lap: its laps are many because they differ.
                let deeper = path.state.frames.len() > node.state.frames.len();
                let meets = self.meets.as_ref();
                if deeper || meets.is_some_and(|d| d.in_loop(path.pc, node.pc)) {
                    return None;
                }
                break;
            }
            if self.pressure.is_pending(at) {
                return None;
            }
            if node.from.is_some() && node.head.is_none() {
                found = Some(at);
                if deep.saturating_sub(node.deep) >= self.pressure.reach() {
                    break;
                }
            }
            let Some(parent) = node.parent else {
                break;
            };
            at = parent;
        }
        found
    }

    /// Where the joins were made that a path below `node` comes from, since the innermost attempt; the nearest first.
    pub(super) fn joined_above(&self, node: usize) -> Vec<Pc> {
        let least = self.attempts.last().map_or(usize::MAX, |a| a.node);
        let mut all = Vec::new();
        let mut at = Some(node);
        while let Some(n) = at.filter(|n| *n > least) {
            let Some(node) = self.nodes.get(n) else {
                break;
            };
            if node.joined {
                all.push(node.pc);
            }
            at = node.parent;
        }
        all
    }
}

/// In place of a path that was taken away.
fn nowhere() -> Waiting {
    Waiting {
        pc: Pc::MAX,
        state: Default::default(),
        parent: 0,
        history: 0,
        place: Default::default(),
        back: false,
        met: false,
        entry: 0,
        alone: false,
        way: Way::default(),
        compared: None,
    }
}
