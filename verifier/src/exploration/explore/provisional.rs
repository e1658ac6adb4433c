//! A path in a loop that ends by itself, and a state that covers it by all that was needed so far → a cut on trial.
//!
//! What a closed node needs that leads back to an open head is not known before the head is closed. Compared by all
//! that they hold, states of such loops seldom cover each other: they differ in what nothing looks at. So a path may be
//! cut *provisionally*, by what was needed so far. When the head closes, all that each state needs is known, if these
//! cuts are right, and they are looked at once more: a path that is covered then was cut rightly, by the same argument
//! as one that a closed node cuts (whatever goes wrong from the smaller state goes wrong from the larger one, also by
//! way of cuts that lead back here). When one is not, none of them counts: they are an attempt ([`super::attempt`]),
//! begun at the outermost head, and the loop is walked again without them.
//!
//! That the loop ends does not depend on values: as for every cut by what is tied to a head, the path must be as far
//! on the way from it by its clocks.
//!
//! **Invariant:** there are provisional cuts only below the attempt that they belong to, and only by nodes that lead to
//! no head above it; so all is known of them when its node closes.
//!
//! **Invariant:** none is made below a guess or while paths are gathered: what these are compared by is more than values.

use probity_isa::Pc;

use super::attempt::Kind;
use super::{Explorer, Waiting};
use crate::cover::{Failed, Mode, covers};
use crate::env::{Env, Slots};
use crate::reject::{Outcome, internal};
use crate::state::State;

use std::cell::Cell;

/// A path that was cut by what was needed so far.
pub(super) struct Provisional {
    pc: Pc,
    state: State,
    by: usize,
}

/// Of one attempt.
const MOST: usize = 1 << 12;

impl Explorer<'_> {
    /// Whether paths below the state about to be stored, where a lap starts at `pc`, may be cut provisionally.
    pub(super) fn is_outermost_lap(&self, env: &Env<'_>, pc: Pc) -> bool {
        env.options.summaries
            && self.gathering == 0
            && !self.exactly.contains_key(&pc)
            && self.attempts.iter().all(|a| a.kind == Kind::Call)
    }

    /// The path's state is stored, as it is: the attempt is that paths below it are cut provisionally.
    pub(super) fn walk_laps(&mut self, env: &mut Env<'_>, path: &mut Waiting) -> usize {
        let (state, back) = (path.state.clone(), path.back);
        let n = self.attempt(env, path, Kind::Laps, state, 1, usize::MAX);
        if let Some(attempt) = self.attempts.last_mut() {
            // Without it the state is stored all the same.
            attempt.exact.met = false;
            attempt.exact.back = back;
        }
        n
    }

    /// Whether a path may be cut provisionally by a closed node that leads back to these open ones.
    pub(super) fn may_assume(&self, ties: &[usize]) -> bool {
        // Larger states say nothing but what they hold.
        let mut attempts = self.attempts.iter().rev();
        let Some(attempt) = attempts
            .find(|a| a.kind != Kind::Wide)
            .filter(|a| a.kind == Kind::Laps)
        else {
            return false;
        };
        self.gathering == 0
            && self.provisional.len() - attempt.provisional < MOST
            && ties.iter().all(|t| *t >= attempt.node)
    }

    /// Slots that are known to be read from `n` on, with what is read behind the heads that it leads back to.
    pub(super) fn reads_so_far(&self, n: usize, ties: &[usize]) -> Slots {
        let mut reads = self.nodes[n].reads.all();
        for t in ties {
            for (all, more) in reads.iter_mut().zip(self.nodes[*t].reads.all()) {
                all.0 |= more.0;
            }
        }
        reads
    }

    /// The state is cut by `n`, if that still covers it when all is known.
    pub(super) fn assume(&mut self, pc: Pc, state: &State, n: usize) {
        // It is looked at once more.
        self.nodes[n].lent = true;
        self.provisional.push(Provisional {
            pc,
            state: state.clone(),
            by: n,
        });
    }

    /// The node of the innermost attempt closes: what its states need is known, if the node is `settled`.
    /// Whether it covers what it was assumed to.
    pub(super) fn confirm(&mut self, env: &Env<'_>, node: usize, settled: bool) -> Outcome<()> {
        let Some(attempt) = self.attempts.last() else {
            return Ok(());
        };
        if attempt.kind != Kind::Laps || attempt.node != node {
            return Ok(());
        }
        let assumed = &self.provisional[attempt.provisional.min(self.provisional.len())..];
        let holds = |p: &Provisional| {
            let by = &self.nodes[p.by];
            covers(
                &by.state,
                &p.state,
                env.live,
                p.pc,
                &by.reads.all(),
                Mode::Needed,
                &env.origins,
                env.granted(),
                &Cell::<Failed>::default(),
                None,
            )
        };
        let stands = assumed.is_empty() || settled && assumed.iter().all(holds);
        if !stands {
            return Err(internal(
                "states cut provisionally are covered by all that is needed",
            ));
        }
        let first = attempt.provisional;
        self.provisional.truncate(first);
        Ok(())
    }
}
