//! A path at a merge point → whether it is cut by a state that was stored there, or its own state is stored and it goes on.
//!
//! **Invariant:** a path is cut by a closed node only where its marks and `reads` are final, else by inclusion of
//! everything, after a lap of a loop that ends ([`super`] says why that is right), or on trial ([`super::provisional`]).

use probity_isa::Pc;

use super::attempt::Kind;
use super::nodes::Entry;
use super::{Explorer, Waiting, laps};
use crate::cover::{Glance, Mode, covers};
use crate::env::{Env, Slots};
use crate::reject::{Failure, Outcome, fail};
use crate::report::Rule;
use crate::shared::push;
use crate::worst::Edge;

/// Loops of which so many guesses failed are walked.
const MOST_FAILED: u32 = 2;
const MOST_DULL: u32 = 8;
/// The lap after which a guess is made.
const GUESS_AT: u32 = 2;
/// Where states cut nothing, they are stored after so many jumps, at the head of a loop and elsewhere, or instructions.
const FAR_AT_HEAD: u32 = 5;
const FAR: u32 = 20;
const FAR_INSNS: u32 = 100;
/// Most states kept.
const MAX_STORED: usize = 1 << 18;

/// What a path does that came to a merge point.
pub(super) enum Visit {
    Go,
    Cut,
    /// The path waits for others.
    Hold,
    /// It starts again from elsewhere.
    Elsewhere,
}

/// The states stored at a point, beside the current one.
struct Found {
    /// The node that covers it, and how.
    cut: Option<(usize, Mode)>,
    /// Some cut nothing for long.
    any_idle: bool,
}

impl Explorer<'_> {
    /// Compares the current state with those stored at this point, and stores it when that is worth it.
    pub(super) fn meet(&mut self, env: &mut Env<'_>, path: &mut Waiting) -> Outcome<Visit> {
        let pc = path.pc;
        self.trace(path);
        let mut list = std::mem::take(&mut self.at[pc]);
        let before = self.lap_before(env, &list, path);
        if let Some(n) = before
            && let node = &self.nodes[n]
            && node.head.is_some()
            && (path.state.clocks == node.state.clocks
                || path.state.clocks.lap_since(&node.state.clocks))
        {
            self.at[pc] = list;
            return self.lap(env, path, n);
        }
        // States that cut nothing for long are forgotten.
        let patience = if env.cfg.is_looping(pc) { 64 } else { 8 };
        let found = self.find_cover(env, &mut list, path, patience);
        if let Some((n, mode)) = found.cut {
            self.at[pc] = list;
            if mode == Mode::Exact {
                let must = "every loop makes progress towards its end";
                let known = "the loop comes back to this instruction in the same state";
                return Err(Box::new(Failure {
                    pc: Some(pc),
                    ..*fail(Rule::Unbounded, must, known)
                }));
            }
            self.cut(env, path, n, mode);
            return Ok(Visit::Cut);
        }
        if found.any_idle {
            self.forget_idle(&mut list, patience);
        }
        let lap = laps::starts(env, pc, &path.state);
        let above = match lap {
            true => self.laps_above(&list, path),
            false => Vec::new(),
        };
        if let Some(last) = above.first() {
            self.widen(env, &mut path.state, *last);
        }
        let missed = list.last().is_some_and(|e| self.nodes[e.node].open == 0);
        self.at[pc] = list;
        if self.hold(env, path) {
            return Ok(Visit::Hold);
        }
        if self.gather(env, path) {
            return Ok(Visit::Elsewhere);
        }
        // The first laps of a loop are stored, to see what moves.
        let lap_count = match before {
            Some(n) => self.nodes[n].lap.saturating_add(1),
            None => 0,
        };
        let young = env.cfg.is_head(pc)
            && lap_count <= GUESS_AT
            && env.options.summaries
            && self.wasted < self.budget
            && !self.hopeless(pc);
        let entered = self.enters_anew(env, path);
        let worth = lap || young || entered || self.is_far_on(env, pc);
        if worth {
            if self.nodes.len() >= MAX_STORED {
                let must = format!("at most {MAX_STORED} states are kept");
                return Err(fail(Rule::TooComplex, &must, "there would be more"));
            }
            self.flush(env, path.parent);
            let n = if lap && self.is_outermost_lap(env, pc) {
                self.walk_laps(env, path)
            } else if let Some(wide) = self.wide(env, path, &above) {
                self.try_wide(env, path, wide, &above)
            } else {
                self.store_path(env, path)
            };
            self.at.stored(pc, missed);
            self.nodes[n].lap = lap_count;
            if entered {
                self.nodes[n].entered = true;
                self.enter_anew(n);
            }
            self.nodes[n].from = Some((path.place, path.history));
            self.stats.peak_states = self.stats.peak_states.max(self.at[pc].len());
        }
        if young {
            self.watch = self.stats.processed + 100_000;
            if lap_count == GUESS_AT
                && let Some(second) = before
                && let Some(first) = self.lap_before_that(pc, second)
            {
                self.guess(env, path, first, second);
            }
        }
        Ok(Visit::Go)
    }

    /// Whether enough was walked since a state was stored that one is worth it here.
    fn is_far_on(&self, env: &Env<'_>, pc: Pc) -> bool {
        if self.at.is_barren(pc) && !env.options.store_often {
            // Laps count from one head to the next ([`Explorer::far_above`]).
            let jumps = match env.cfg.is_head(pc) {
                true => FAR_AT_HEAD,
                false => FAR,
            };
            return self.jumps >= jumps || self.insns >= FAR_INSNS;
        }
        env.thorough()
            || self.jumps >= 2 && self.insns >= 8
            || env.cfg.is_looping(pc) && self.insns >= FAR_INSNS
    }

    /// At the head of a loop that the path is in: where its last lap started, in the same frames.
    fn lap_before(&self, env: &Env<'_>, list: &[Entry], path: &Waiting) -> Option<usize> {
        if !env.cfg.is_head(path.pc) || !path.back {
            return None;
        }
        list.iter().rev().map(|e| e.node).find(|n| {
            let node = &self.nodes[*n];
            node.open > 0 && node.state.alike(&path.state) && self.is_above(*n)
        })
    }

    /// The path left the loop and comes to its head again from elsewhere: laps from now on are none of the guess above.
    fn enters_anew(&self, env: &Env<'_>, path: &Waiting) -> bool {
        let guessed = |e: &Entry| self.nodes[e.node].on_trial() && self.is_above(e.node);
        env.cfg.is_head(path.pc)
            && !path.back
            && !self.attempts.is_empty()
            && self.at[path.pc].iter().any(guessed)
    }

    /// Where the lap started before the one that started at `second`.
    fn lap_before_that(&self, pc: Pc, second: usize) -> Option<usize> {
        let mut nodes = self.at[pc].iter().rev().map(|e| e.node);
        nodes
            .find(|n| *n < second && self.nodes[*n].open > 0 && self.is_above(*n))
            .filter(|first| self.nodes[*first].lap + 1 == self.nodes[second].lap)
    }

    /// The loop is walked.
    fn hopeless(&self, pc: Pc) -> bool {
        let known = self.loops.get(&pc);
        known.is_some_and(|k| k.failed >= MOST_FAILED || k.dull >= MOST_DULL)
    }

    /// The latest of the stored states that covers the path's.
    fn find_cover(
        &mut self,
        env: &Env<'_>,
        list: &mut [Entry],
        path: &Waiting,
        patience: u32,
    ) -> Found {
        let pc = path.pc;
        let clocks = &path.state.clocks;
        let granted = env.granted();
        let mut any_idle = false;
        // What is gathered says nothing of how useful states are elsewhere.
        let counted = match self.gathering {
            0 => 0,
            _ => {
                let mut gathered = self.attempts.iter().filter(|a| a.kind == Kind::Gather);
                gathered.next().map_or(0, |a| a.node)
            }
        };
        let mut glance = Glance::at(&path.state, &env.origins);
        for entry in list.iter_mut().rev() {
            if glance.rules_out(entry.failed.get_mut()) {
                any_idle |= entry.node >= counted && entry.miss(patience);
                continue;
            }
            let n = entry.node;
            let open = self.nodes[n].open > 0;
            if open && !self.is_above(n) {
                continue;
            }
            if !open && !self.nodes[n].tied.is_empty() {
                self.ties_of_closed(n);
            }
            let node = &self.nodes[n];
            let mut heads: &[usize] = &[];
            let mode = if !open {
                let as_far = |o: &usize| {
                    clocks.as_far_as(&node.state.clocks, &self.nodes[*o].state.clocks)
                        && self.is_above(*o)
                };
                match node.open_ties() {
                    [] => Mode::Needed,
                    ties if !ties.iter().all(as_far) => {
                        any_idle |= entry.idle(patience);
                        continue;
                    }
                    ties => {
                        heads = ties;
                        Mode::Within
                    }
                }
            } else if clocks.lap_since(&node.state.clocks) {
                Mode::Within
            } else {
                Mode::Exact
            };
            let covered = |reads: &Slots, mode: Mode| {
                covers(
                    &node.state,
                    &path.state,
                    env.live,
                    pc,
                    reads,
                    mode,
                    &env.origins,
                    granted,
                    &entry.failed,
                    None,
                )
            };
            let found = covered(&node.reads.all(), mode);
            if found
                || !heads.is_empty()
                    && self.may_assume(heads)
                    && covered(&self.reads_so_far(n, heads), Mode::Needed)
            {
                entry.hit(patience);
                if !found {
                    self.assume(pc, &path.state, n);
                }
                let cut = Some((n, mode));
                return Found { cut, any_idle };
            }
            any_idle |= entry.node >= counted && entry.miss(patience);
        }
        Found {
            cut: None,
            any_idle,
        }
    }

    /// The path ends where the node stands for it.
    fn cut(&mut self, env: &mut Env<'_>, path: &mut Waiting, n: usize, mode: Mode) {
        if self.nodes[n].hits == 0 {
            self.at.useful(path.pc);
        }
        self.nodes[n].hits += 1;
        let ties = match self.nodes[n].open {
            0 => self.ties_of_closed(n).to_vec(),
            _ => vec![n],
        };
        self.bind(path.parent, &ties);
        self.need(env, path, n, mode);
        let edge = match self.nodes[n].open {
            0 => Edge::To,
            _ => Edge::Back,
        };
        self.leads(env, path, n, edge);
        if let Some(r) = &mut env.recorder {
            r.cut(path.pc, &path.state, path.parent, path.place, n);
        }
    }

    fn forget_idle(&mut self, list: &mut Vec<Entry>, patience: u32) {
        let nodes = &mut self.nodes;
        list.retain(|entry| {
            if !entry.idle(patience) {
                return true;
            }
            let node = &mut nodes[entry.node];
            let keep = node.on_trial() || node.entered && node.open > 0;
            if !keep && node.open == 0 && !node.lent {
                // Nothing looks at it any more.
                node.state.frames.truncate(0);
            }
            keep
        });
    }

    /// The path's state is stored, and walked on from; its node.
    fn store_path(&mut self, env: &mut Env<'_>, path: &mut Waiting) -> usize {
        self.leads(env, path, self.nodes.len(), Edge::To);
        let state = std::mem::take(&mut path.state);
        let n = self.store(env, path.pc, Some(path.parent), state);
        self.nodes[n].open = 1;
        path.state = self.nodes[n].state.clone();
        self.pack_older(env);
        path.parent = n;
        self.jumps = 0;
        self.insns = 0;
        push(&mut self.at[path.pc], Entry::new(n));
        n
    }
}
