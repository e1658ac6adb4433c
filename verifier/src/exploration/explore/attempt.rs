//! A state larger than the path's → what walking on from it shows: that it stands, or that it was wrong.
//!
//! It is a *guess* for all laps of a loop ([`crate::induction`] says why one that stands is right); a state that was
//! walked before, from which paths are *gathered* ([`super::gather`]): what follows is walked with larger states; or one
//! end for several of a subprogram ([`super::own`]).
//! When something fails, the innermost attempt is taken back and its path walked as it was; when the same fails again
//! behind calls, that one was not to blame alone, and twice as many of these are taken back.
//!
//! **Invariant:** attempts are nested, and a failed one leaves nothing behind: no node, no path that waits, no mark, no
//! fact. What it processed does not count against the program's budget.

use crate::cover::{Mode, covers};
use crate::env::{Env, Slots};
use crate::guess::{self, Laps, Pair};
use crate::journal::Mark;
use crate::numbered::Numbered;
use crate::reject::{Failure, internal};
use crate::report::Rule;
use crate::state::State;
use crate::value::{Id, Value};
use crate::worst::{self, Edge};

use std::cell::Cell;
use std::ops::RangeInclusive;

use probity_isa::Pc;

use super::nodes::Entry;
use super::own::Own;
use super::{Explorer, Known, Visit, Waiting, pressure};

/// What an attempt tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A guess for all laps of a loop.
    Loop,
    /// What follows a state, once more, with one state for all that come to each merge point ([`super::gather`]).
    Gather,
    /// One end for several of a subprogram.
    Call,
    /// The state as it is; paths below it may be cut provisionally ([`super::provisional`]).
    Laps,
    /// A state for all laps of a loop that ends by itself ([`super::laps`]).
    Wide,
}

/// What is known of loops, and what was counted since a state was stored, when paths began to be gathered.
struct Before {
    loops: Numbered<Pc, Known>,
    compared: Numbered<Pc, Pair>,
    counts: [u32; 2],
}

/// On trial: a stored state that includes the path's, so that much may be cut by it.
/// When something fails below it, it was wrong, and the path is walked as it was.
pub(super) struct Attempt {
    pub(super) kind: Kind,
    /// The larger state.
    pub(super) node: usize,
    /// The path as it is without it.
    pub(super) exact: Waiting,
    pub(super) tries: u32,
    /// What there was before.
    pub(super) waiting: usize,
    pub(super) backs: usize,
    pub(super) turns: usize,
    pub(super) held: usize,
    pub(super) followers: usize,
    pub(super) partings: usize,
    pub(super) missed: usize,
    pub(super) provisional: usize,
    /// Where it starts, and is recorded from.
    pub(super) place: crate::recorded::Place,
    pub(super) mark: Mark,
    /// Ends of the subprogram that is walked on its own.
    pub(super) ends: Vec<usize>,
    pub(super) worst: worst::Mark,
    pub(super) visits: Option<usize>,
    pub(super) processed: usize,
    pub(super) wasted: usize,
    pub(super) pressure: pressure::Mark,
    before: Option<Box<Before>>,
    /// Instructions that it may take: a join without what attempts below it take.
    pub(super) worth: usize,
    /// When it has failed, with all that is below it.
    pub(super) end: usize,
    /// Instructions of attempts that were over before.
    pub(super) elsewhere: usize,
    /// Those outside of the loop that the attempt around it guesses.
    pub(super) outside: usize,
    /// The loop that is guessed, and how many frames there are in it.
    pub(super) extent: Option<(RangeInclusive<Pc>, usize)>,
    /// Nodes below it where the loop is entered anew, ascending.
    pub(super) entries: Vec<usize>,
}

/// Guesses at one time, each from what was wrong with the one before.
const MOST_TRIES: u32 = 4;
/// The same where they took fewer instructions than these.
const MOST_SMALL_TRIES: u32 = 12;
const SMALL_TRY: usize = 200;
/// Any guess may take so many instructions.
const LEAST_WORTH: usize = 800;
/// What follows a guessed loop may take so many instructions.
const LOOP_MAY_TAKE: usize = 16_000;
/// What follows joined ends of a call may take four times as many instructions as all before it, and so many more.
const CALL_MAY_TAKE: usize = 4_000;

impl Attempt {
    /// Whether it took more than it is worth.
    pub(super) fn exhausted(&self, processed: usize, elsewhere: usize, outside: usize) -> bool {
        let own = processed - self.processed - (elsewhere - self.elsewhere);
        // What follows a loop would be walked anyway, more or less.
        processed >= self.end || own.saturating_sub(outside) >= self.worth
    }

    /// Whether another one at `pc` belongs to this one: what follows a guessed loop is on its own.
    fn is_around(&self, pc: Pc, state: &State) -> bool {
        self.kind != Kind::Loop || self.exact.pc != pc && !self.is_outside(pc, state)
    }

    /// Whether an instruction is none of the loop that is guessed, nor of what that calls.
    #[inline]
    pub(super) fn is_outside(&self, pc: Pc, state: &State) -> bool {
        let Some((insns, frames)) = &self.extent else {
            return false;
        };
        let at = match state.frames.get(*frames) {
            Some(called) => called.return_pc,
            None => pc,
        };
        state.frames.len() < *frames || !insns.contains(&at)
    }
}

impl Explorer<'_> {
    /// Comparisons kept since a time.
    pub(super) fn compared_since(&self, at: usize) -> Vec<(Pc, Pair)> {
        let recent = |p: &Pair| p[0].is_some_and(|c| c.at >= at);
        let mut all: Vec<(Pc, Pair)> = self
            .compared
            .iter()
            .filter(|(_, p)| recent(p))
            .map(|(pc, p)| (*pc, *p))
            .collect();
        all.sort_by_key(|(pc, _)| *pc);
        all
    }

    /// The path is at a loop's head, where `first` and `second` were stored one and two laps ago.
    pub(super) fn guess(
        &mut self,
        env: &mut Env<'_>,
        path: &mut Waiting,
        first: usize,
        second: usize,
    ) {
        let [a, b] = [first, second].map(|n| &self.nodes[n]);
        let compared = self.compared_since(b.at);
        let laps = Laps {
            states: [&a.state, &b.state],
            times: [a.at, b.at],
            now: &path.state,
        };
        let known = self.loops.entry(path.pc).or_default();
        let lean = known.failed == 0;
        match guess::guess(env, path.pc, &laps, &compared, &mut known.counts, lean) {
            Some(guess) => {
                // What walking all laps would take, and some more, since laps branch.
                let lap = (self.stats.processed - a.at) / 2;
                let laps = usize::try_from(guess.1.laps).unwrap_or(usize::MAX);
                let worth = lap.saturating_mul(laps).saturating_mul(3);
                let (state, head) = guess;
                let n = self.attempt(env, path, Kind::Loop, state, 1, worth);
                self.nodes[n].head = Some(Box::new(head));
            }
            None => self.miss_guess(path.pc, false),
        }
    }

    /// The path goes on from a larger state, until that is found wrong; its node.
    pub(super) fn attempt(
        &mut self,
        env: &mut Env<'_>,
        path: &mut Waiting,
        kind: Kind,
        state: State,
        tries: u32,
        worth: usize,
    ) -> usize {
        let pc = path.pc;
        let exact = Waiting {
            pc,
            state: path.state.clone(),
            parent: path.parent,
            history: path.history,
            place: path.place,
            back: false,
            met: true,
            entry: path.entry,
            alone: path.alone,
            way: path.way,
            compared: None,
        };
        self.begin(env, path, exact, kind, state, tries, worth)
    }

    /// The larger state is stored below the path's node, and walked from; `exact` is walked when that fails.
    pub(super) fn begin(
        &mut self,
        env: &mut Env<'_>,
        path: &mut Waiting,
        mut exact: Waiting,
        kind: Kind,
        state: State,
        tries: u32,
        worth: usize,
    ) -> usize {
        let pc = path.pc;
        if self.many(env) {
            exact.state.pack();
        }
        let mark = env.begin_attempt();
        let worst = env.worst.mark();
        self.leads(env, path, self.nodes.len(), Edge::To);
        let n = self.store(env, pc, Some(path.parent), state);
        let left = self
            .budget
            .saturating_sub(self.stats.processed - self.wasted);
        let least = match kind {
            Kind::Gather => 0,
            Kind::Loop | Kind::Call | Kind::Laps | Kind::Wide => LEAST_WORTH,
        };
        let worth = match kind {
            // It is what would be walked anyway, and less.
            Kind::Laps => usize::MAX,
            _ => worth.max(least).min(left / 4),
        };
        let processed = self.stats.processed;
        let before = (kind == Kind::Gather).then(|| {
            Box::new(Before {
                loops: self.loops.clone(),
                compared: self.compared.clone(),
                counts: [self.jumps, self.insns],
            })
        });
        let end = match kind {
            Kind::Loop => (processed + LOOP_MAY_TAKE).saturating_add(worth),
            Kind::Gather | Kind::Wide => processed + worth,
            Kind::Call => processed + 4 * (processed - self.wasted) + CALL_MAY_TAKE,
            Kind::Laps => usize::MAX,
        };
        let around = |a: &&Attempt| a.is_around(pc, &path.state);
        let outer = self.attempts.iter().rev().find(around);
        let outer = outer.map_or(usize::MAX, |a| a.end);
        let node = &mut self.nodes[n];
        node.open = 1;
        path.state = node.state.clone();
        path.parent = n;
        self.at[pc].push(Entry::new(n));
        self.attempts.push(Attempt {
            kind,
            node: n,
            exact,
            tries,
            waiting: self.waiting.len(),
            backs: self.cuts,
            turns: self.turns.len(),
            held: self.held.len(),
            followers: self.followers.len(),
            partings: self.partings.len(),
            missed: self.missed.len(),
            provisional: self.provisional.len(),
            place: path.place,
            mark,
            ends: self.own.as_ref().map(Own::mark).unwrap_or_default(),
            worst,
            visits: env.recorder.as_ref().map(|r| r.len()),
            processed: self.stats.processed,
            wasted: self.wasted,
            pressure: self.pressure.mark(),
            before,
            worth,
            end: end.min(outer),
            elsewhere: self.elsewhere,
            outside: std::mem::take(&mut self.outside),
            extent: (kind == Kind::Loop).then(|| (env.cfg.loop_at(pc), path.state.frames.len())),
            entries: Vec::new(),
        });
        self.jumps = 0;
        self.insns = 0;
        n
    }

    /// A path came back to the head of a loop, for all laps of which there is a guess.
    pub(super) fn lap(
        &mut self,
        env: &mut Env<'_>,
        path: &mut Waiting,
        n: usize,
    ) -> Result<Visit, Box<Failure>> {
        let pc = path.pc;
        let node = &mut self.nodes[n];
        let Some(head) = node.head.as_deref_mut() else {
            return Err(internal("a guess says what it claims"));
        };
        let covered = covers(
            &node.state,
            &path.state,
            env.live,
            pc,
            &node.reads.all(),
            Mode::Within,
            &env.origins,
            env.granted(),
            &Cell::default(),
            Some(head),
        );
        if !covered {
            let since = self.nodes[n].at;
            let compared = self.compared_since(since);
            let node = &self.nodes[n];
            if let Some(head) = &node.head
                && self.attempts.last().is_some_and(|a| a.node == n)
            {
                self.refined = guess::again(env, pc, &node.state, head, &path.state, &compared);
            }
            return Err(internal("a guess includes all laps"));
        }
        // That the loop ends depends on where the induction variables are.
        let links: Vec<Id> = head.inductions.iter().map(|i| i.link).collect();
        for v in self.nodes[n].state.values() {
            if let Value::Number(a) = v
                && links.contains(&a.link)
            {
                env.origins.need(a.origin);
            }
        }
        for v in path.state.values() {
            if let Value::Number(b) = v
                && links.contains(&b.link)
            {
                env.origins.need(b.origin);
            }
        }
        self.nodes[n].hits += 1;
        self.leads(env, path, n, Edge::Lap);
        self.bind(path.parent, &[n]);
        self.need(env, path, n, Mode::Within);
        if let Some(r) = &mut env.recorder {
            r.cut(pc, &path.state, path.parent, path.place, n);
        }
        Ok(Visit::Cut)
    }

    /// Something failed at `pc`, below the node `at`: the innermost attempt was wrong, and the path goes on as if it had
    /// not been made. When the same fails over and over, ever more ends of calls are given up at once.
    pub(super) fn fall_back(
        &mut self,
        env: &mut Env<'_>,
        failure: &Failure,
        pc: Pc,
        at: usize,
    ) -> Option<Waiting> {
        let wrong = !matches!(failure.rule, Rule::Internal | Rule::TooComplex);
        self.again = match self.again {
            (at, times) if at == pc => (pc, times.saturating_add(1)),
            _ => (pc, 0),
        };
        let most = match failure.rule {
            // Too much was tried.
            Rule::TooComplex => {
                self.pressure.give_up();
                usize::MAX
            }
            _ => 1usize.checked_shl(self.again.1).unwrap_or(usize::MAX),
        };
        let joined = self.joined_above(at);
        let mut taken = 0;
        loop {
            let attempt = self.attempts.pop()?;
            taken += 1;
            let kind = attempt.kind;
            let (tries, worth) = (attempt.tries, attempt.worth);
            let spent = self.stats.processed - attempt.processed;
            let mut path = self.take_back(env, attempt);
            let more =
                kind == Kind::Call && self.attempts.last().is_some_and(|a| a.kind == Kind::Call);
            if more && taken < most {
                continue;
            }
            // Where it is soon known what was wrong with it.
            let again = tries < MOST_TRIES || tries < MOST_SMALL_TRIES && spent < SMALL_TRY;
            match (kind, self.refined.take()) {
                (Kind::Loop, Some((state, head))) if again => {
                    let n = self.attempt(env, &mut path, Kind::Loop, state, tries + 1, worth);
                    self.nodes[n].head = Some(Box::new(head));
                    path.met = true;
                }
                (Kind::Loop, _) => self.miss_guess(path.pc, true),
                (Kind::Gather, _) => self.pressure.failed(&joined, wrong, spent),
                (Kind::Call, _) => self.walk_call(env, path.pc),
                (Kind::Laps, _) => {
                    self.exactly.insert(path.pc, ());
                }
                (Kind::Wide, _) => {
                    self.lap_by_lap.insert(path.pc, ());
                }
            }
            return Some(path);
        }
    }

    /// A guess for the loop at `pc` failed, or there was none.
    fn miss_guess(&mut self, pc: Pc, failed: bool) {
        let known = self.loops.entry(pc).or_default();
        match failed {
            true => known.failed += 1,
            false => known.dull += 1,
        }
        if !self.attempts.is_empty() {
            self.missed.push((pc, failed));
        }
    }

    /// The path, outside of the loop that an attempt guesses, enters it anew at this node.
    pub(super) fn enter_anew(&mut self, n: usize) {
        let pc = self.nodes[n].pc;
        let here = |a: &&mut Attempt| a.kind == Kind::Loop && a.exact.pc == pc;
        if let Some(attempt) = self.attempts.iter_mut().rev().find(here) {
            attempt.entries.push(n);
        }
    }

    /// Whether the path is outside of the loop that the innermost attempt guesses: it left it, and may have entered it anew.
    pub(super) fn is_outside(&mut self, pc: Pc, state: &State) -> bool {
        let nodes = &self.nodes;
        let Some(attempt) = self.attempts.last_mut() else {
            return false;
        };
        // All paths from nodes that are open end before others go on.
        while attempt
            .entries
            .pop_if(|n| nodes.get(*n).is_none_or(|node| node.open == 0))
            .is_some()
        {}
        !attempt.entries.is_empty() || attempt.is_outside(pc, state)
    }

    /// What is known of loops is as it was before paths were gathered.
    fn restore(&mut self, before: Option<Box<Before>>, spent: usize) {
        if let Some(before) = before {
            // That is no laps of a loop that is guessed.
            for outer in &mut self.attempts {
                outer.end = outer.end.saturating_add(spent);
            }
            self.loops = before.loops;
            self.compared = before.compared;
            [self.jumps, self.insns] = before.counts;
        }
    }

    /// As if the attempt had not been made.
    fn take_back(&mut self, env: &mut Env<'_>, attempt: Attempt) -> Waiting {
        let path = attempt.exact;
        let spent = self.stats.processed - attempt.processed;
        self.wasted = attempt.wasted + spent;
        self.elsewhere = attempt.elsewhere + spent;
        self.outside = attempt.outside;
        env.undo_attempt(attempt.mark);
        if let Some(own) = &mut self.own {
            own.undo(&attempt.ends);
        }
        env.worst.undo(attempt.worst, attempt.node);
        env.reads = Slots::default();
        if let (Some(r), Some(visits)) = (&mut env.recorder, attempt.visits) {
            r.truncate(visits, attempt.node, path.place);
            r.truncate(visits, attempt.node, attempt.place);
        }
        self.waiting.truncate(attempt.waiting);
        let backs = self.backs.partition_point(|b| b.at < attempt.backs);
        self.backs.truncate(backs);
        self.held.truncate(attempt.held);
        self.followers.truncate(attempt.followers);
        self.partings.truncate(attempt.partings);
        self.provisional.truncate(attempt.provisional);
        let missed = self.missed.split_off(attempt.missed.min(self.missed.len()));
        match attempt.kind {
            Kind::Loop | Kind::Laps | Kind::Wide => self.missed.extend(missed),
            // That may have been what was wrong with guesses too.
            Kind::Call => {
                for (pc, failed) in missed {
                    let known = self.loops.entry(pc).or_default();
                    match failed {
                        true => known.failed = known.failed.saturating_sub(1),
                        false => known.dull = known.dull.saturating_sub(1),
                    }
                }
            }
            Kind::Gather => {
                self.gathering -= 1;
                // The path that started again from there.
                if let Some(n) = self.nodes[attempt.node].parent {
                    self.nodes[n].open -= 1;
                }
            }
        }
        self.turns.truncate(attempt.turns);
        self.pressure.take_back(attempt.pressure, attempt.node);
        for node in self.nodes.drain(attempt.node..) {
            if let Some(list) = self.at.get_mut(node.pc) {
                while list.last().is_some_and(|e| e.node >= attempt.node) {
                    list.pop();
                }
            }
        }
        for outer in &mut self.attempts {
            outer.entries.retain(|n| *n < attempt.node);
        }
        // Others will have their numbers.
        self.packed = self.packed.min(attempt.node);
        self.above.retain(|n| *n < attempt.node);
        self.jumps = 0;
        self.insns = 0;
        self.restore(attempt.before, spent);
        path
    }

    /// Everything below an attempt was walked, and went well.
    pub(super) fn succeed(&mut self, env: &mut Env<'_>, n: usize) {
        env.keep_attempt();
        self.again = (Pc::MAX, 0);
        let Some(attempt) = self.attempts.pop() else {
            return;
        };
        self.elsewhere = attempt.elsewhere + self.stats.processed - attempt.processed;
        self.outside = attempt.outside;
        if attempt.kind == Kind::Gather {
            self.gathering -= 1;
            self.partings.truncate(attempt.partings);
            self.missed.truncate(attempt.missed);
            let spent = self.stats.processed - attempt.processed;
            self.restore(attempt.before, spent);
            if let Some(from) = self.nodes[n].parent {
                self.pressure.stands(from, spent, self.stats.processed);
            }
            // All that comes from there is covered now, if states are.
            self.waiting.push(attempt.exact);
            return;
        }
        // Guesses that stand make up for those that did not, where they save more than any may take.
        if attempt.kind == Kind::Loop
            && attempt.worth > LEAST_WORTH
            && let Some(known) = self.loops.get_mut(&attempt.exact.pc)
        {
            known.failed = known.failed.saturating_sub(1);
        }
        let relational = self.nodes[n].head.as_ref().is_some_and(|h| h.relational());
        if !relational {
            return;
        }
        // States on the way back to the head say less than what was used of them: how values are related.
        for m in n..self.nodes.len() {
            if m == n || !self.nodes[m].tied.is_empty() {
                let pc = self.nodes[m].pc;
                self.at[pc].retain(|e| e.node != m);
            }
        }
    }
}
