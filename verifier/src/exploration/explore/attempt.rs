//! A guess of a loop's state in all laps → what walking on from it shows: that it stands, or that it was wrong.
//!
//! Why a guess that stands is right is said in [`crate::guess`].
//!
//! **Invariant:** attempts are nested, and what fails is the innermost one's: all that was gathered below it is taken
//! back, and its path goes on as it was.

use crate::cover::{Mode, covers};
use crate::env::{Env, Slots};
use crate::guess::{self, Head, Laps, Pair};
use crate::journal::Mark;
use crate::reject::{Failure, internal};
use crate::state::State;
use crate::value::{Id, Value};
use crate::worst::{self, Edge};

use probity_isa::Pc;

use super::{Explorer, Visit, Waiting};

/// A guess on trial: a stored state that includes the path's, so that much may be cut by it.
/// When something fails below it, it was wrong, and the path is walked as it was.
pub(super) struct Attempt {
    /// The guess.
    pub(super) node: usize,
    /// The path as it is without it.
    pub(super) exact: Waiting,
    pub(super) tries: u32,
    /// What there was before.
    pub(super) waiting: usize,
    pub(super) backs: usize,
    pub(super) turns: usize,
    pub(super) mark: Mark,
    pub(super) worst: worst::Mark,
    pub(super) visits: Option<usize>,
    pub(super) processed: usize,
    pub(super) wasted: usize,
    /// Instructions that it may take, and when it has taken them.
    pub(super) worth: usize,
    pub(super) budget: usize,
}

/// Guesses at one time, each from what was wrong with the one before.
const MOST_TRIES: u32 = 4;
/// Any guess may take so many instructions.
const LEAST_WORTH: usize = 800;

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
        match guess::guess(env, path.pc, &laps, &compared, &mut known.counts) {
            Some(guess) => {
                // What walking all laps would take, and some more, since laps branch.
                let lap = (self.stats.processed - a.at) / 2;
                let laps = usize::try_from(guess.1.laps()).unwrap_or(usize::MAX);
                let worth = lap.saturating_mul(laps).saturating_mul(3);
                self.attempt(env, path, guess, 1, worth)
            }
            None => self.loops.entry(path.pc).or_default().dull += 1,
        }
    }

    /// The path goes on from a guess, until that is found wrong.
    pub(super) fn attempt(
        &mut self,
        env: &mut Env<'_>,
        path: &mut Waiting,
        (state, head): (State, Head),
        tries: u32,
        worth: usize,
    ) {
        let pc = path.pc;
        let exact = Waiting {
            pc,
            state: path.state.clone(),
            parent: path.parent,
            history: path.history,
            place: path.place,
            back: false,
            met: true,
            way: path.way,
            compared: None,
        };
        let mark = env.begin_attempt();
        let worst = env.worst.mark();
        self.leads(env, path, self.nodes.len(), Edge::To);
        let n = self.store(env, pc, Some(path.parent), state);
        let left = self
            .budget
            .saturating_sub(self.stats.processed - self.wasted);
        let worth = worth.max(LEAST_WORTH).min(left / 4);
        let node = &mut self.nodes[n];
        node.head = Some(Box::new(head));
        node.open = 1;
        path.state = node.state.clone();
        path.parent = n;
        self.at[pc].push(n);
        self.attempts.push(Attempt {
            node: n,
            exact,
            tries,
            waiting: self.waiting.len(),
            backs: self.backs.len(),
            turns: self.turns.len(),
            mark,
            worst,
            visits: env.recorder.as_ref().map(|r| r.len()),
            processed: self.stats.processed,
            wasted: self.wasted,
            worth,
            budget: self.stats.processed + worth,
        });
        self.jumps = 0;
        self.insns = 0;
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
            &node.reads,
            Mode::Within,
            &env.origins,
            env.uninit_ok(),
            &node.failed,
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

    /// The innermost guess was wrong: as if it had not been made.
    pub(super) fn fall_back(&mut self, env: &mut Env<'_>) -> Option<Waiting> {
        let attempt = self.attempts.pop()?;
        let mut path = attempt.exact;
        self.wasted = attempt.wasted + (self.stats.processed - attempt.processed);
        env.undo_attempt(attempt.mark);
        env.worst.undo(attempt.worst, attempt.node);
        env.reads = Slots::default();
        if let (Some(r), Some(visits)) = (&mut env.recorder, attempt.visits) {
            r.truncate(visits, attempt.node, path.place);
        }
        self.waiting.truncate(attempt.waiting);
        self.backs.truncate(attempt.backs);
        self.turns.truncate(attempt.turns);
        for node in self.nodes.drain(attempt.node..) {
            if let Some(list) = self.at.get_mut(node.pc) {
                while list.last().is_some_and(|n| *n >= attempt.node) {
                    list.pop();
                }
            }
        }
        self.jumps = 0;
        self.insns = 0;
        match self.refined.take() {
            Some(guess) if attempt.tries < MOST_TRIES => {
                self.attempt(env, &mut path, guess, attempt.tries + 1, attempt.worth);
                path.met = true;
            }
            _ => self.loops.entry(path.pc).or_default().failed += 1,
        }
        Some(path)
    }

    /// Everything below a guess was walked, and went well.
    pub(super) fn succeed(&mut self, env: &mut Env<'_>, n: usize) {
        self.attempts.pop();
        env.keep_attempt();
        let relational = self.nodes[n].head.as_ref().is_some_and(|h| h.relational());
        if !relational {
            return;
        }
        // States on the way back to the head say less than what was used of them: how values are related.
        for m in n..self.nodes.len() {
            if m == n || !self.nodes[m].tied.is_empty() {
                let pc = self.nodes[m].pc;
                self.at[pc].retain(|k| *k != m);
            }
        }
    }
}
