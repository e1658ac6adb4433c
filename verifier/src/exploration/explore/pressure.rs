//! What was walked so far → whether paths are gathered ([`super::gather`]), from how far back, and how long that may take.
//!
//! Of the instructions processed, some are walked *plainly*: outside of gatherings, and not below a guess that failed.
//! P are these, n the program's instructions. A gathering stands when all below it was walked and nothing failed. It was
//! *of use* when little was left then of what follows the state that it started from. Those of use took K instructions,
//! the others, with those that failed, L.
//!
//! - None starts before P ≥ [`ENOUGH`]·n: smaller programs are walked as they are.
//! - One may take what is left to K ≤ [`USEFUL`]·P, and to L ≤ max(P/[`FEW`], n + max(n, [`SPARE`])), or [`VOUCHED`] times
//!   what the last one took if that was of use, and a few. While nobody knows, it counts among L.
//! - So each one of use vouches for one that is not: L ≤ max(P/4, 4·n + 500) + 4·K, and with K ≤ 3·P all together take at
//!   most P + K + L ≤ 16·P + max(P/4, 4·n + 500) instructions, if each one that is of use is followed by one that is not.
//! - P is part of what is walked without gathering, but that states are looked at in another order: a program that would
//!   take more than the budget then is walked once more without ([`crate::verify`]).
//!
//! So they take a constant factor of plain walking, whatever fails; and where they are of use, plain walking ends early.
//! The walk's budget is for P alone: what path-by-path walking accepts within it is accepted.
//!
//! **Invariant:** instructions counted here are bounds of work, never facts about the program.

use probity_isa::Pc;

use crate::numbered::Numbered;

/// So many times the program's instructions are walked plainly first.
const ENOUGH: usize = 4;
/// How many times what is walked plainly those of use may take.
const USEFUL: usize = 3;
/// The part of what is walked plainly that those of no use may take; and so many instructions always.
const FEW: usize = 8;
const SPARE: usize = 250;
/// How many times what the last one took another may take.
const VOUCHED: usize = 4;
/// One that may take less is not worth it.
const LEAST: usize = 100;
/// How many times further back the next one starts when one stands.
const FURTHER: u64 = 4;
/// How far back the first one starts, in instructions of the path.
const REACH: u64 = 64;

#[derive(Debug, Default)]
pub(super) struct Pressure {
    given_up: bool,
    /// Instructions processed when the walk began.
    start: usize,
    /// Of those that stand; K and L of those of which it is known.
    stood: usize,
    kept: usize,
    lost: usize,
    /// States from which paths were gathered and that are not closed; what it took, and when it was done.
    pending: Vec<(usize, usize, usize)>,
    /// What the last one of use vouches for.
    vouched: usize,
    /// One that may take no more than the last, which took too long, would too.
    least: usize,
    reach: u64,
    /// How many failed in a row.
    streak: u32,
    /// Where joins turned out too large.
    apart: Numbered<Pc, ()>,
}

/// Of those that stand, and of those of use: what is counted of what an attempt takes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(usize, usize);

impl Pressure {
    pub(super) fn new(start: usize) -> Pressure {
        Pressure {
            start,
            reach: REACH,
            ..Pressure::default()
        }
    }

    /// No more are made.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
    }

    /// What all that stand took.
    pub(super) fn stood(&self) -> usize {
        self.stood
    }

    /// How many instructions a gathering may take now, if it is worth one. `useful`: processed, without what came to
    /// nothing; `eager`: also where little was walked.
    pub(super) fn allowance(&self, useful: usize, insns: usize, eager: bool) -> Option<usize> {
        let plain = useful.saturating_sub(self.start + self.stood);
        if self.given_up || !eager && plain < ENOUGH * insns {
            return None;
        }
        let pending: usize = self.pending.iter().map(|p| p.1).sum();
        let lost = (plain / FEW).max(insns + SPARE.max(insns));
        let lost = lost.saturating_sub(self.lost + pending).max(self.vouched);
        let kept = (USEFUL * plain).saturating_sub(self.kept + pending);
        Some(lost.min(kept)).filter(|n| *n >= self.least.max(LEAST))
    }

    /// How far above the path the state should be that it starts from.
    pub(super) fn reach(&self) -> u64 {
        self.reach
    }

    /// One started from there, and not all that follows is walked.
    pub(super) fn is_pending(&self, node: usize) -> bool {
        self.pending.iter().any(|p| p.0 == node)
    }

    /// States that come to `pc` are not joined.
    pub(super) fn apart(&self, pc: Pc) -> bool {
        self.apart.contains_key(&pc)
    }

    /// One stands, which started from `node`.
    pub(super) fn stands(&mut self, node: usize, spent: usize, now: usize) {
        self.stood += spent;
        self.pending.push((node, spent, now));
        self.vouched = 0;
        self.streak = 0;
        self.reach = self.reach.saturating_mul(FURTHER);
    }

    /// All from `node` on is walked.
    pub(super) fn closed(&mut self, node: usize, now: usize) {
        if let Some(at) = self.pending.iter().position(|p| p.0 == node) {
            let (_, spent, then) = self.pending.remove(at);
            match now - then <= spent / 2 + LEAST {
                true => {
                    self.kept += spent;
                    self.vouched = VOUCHED * spent + LEAST;
                }
                false => self.lost += spent,
            }
        }
    }

    /// One failed. Where it was `wrong`, ever more of the joins above what failed are not made again, the nearest
    /// first; else it took too long.
    pub(super) fn failed(&mut self, joined: &[Pc], wrong: bool, spent: usize) {
        self.lost += spent;
        self.vouched = 0;
        if !wrong {
            self.least = self.least.max(2 * spent);
            self.reach = REACH.max(self.reach / FURTHER);
            return;
        }
        let some = 1usize.checked_shl(self.streak).unwrap_or(usize::MAX);
        self.streak += 1;
        self.apart
            .extend(joined.iter().take(some).map(|pc| (*pc, ())));
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.stood, self.kept)
    }

    /// Nodes from here on are gone, with all that was processed since.
    pub(super) fn take_back(&mut self, mark: Mark, node: usize) {
        Mark(self.stood, self.kept) = mark;
        let gone = self.pending.iter().filter(|p| p.0 >= node);
        self.lost += gone.map(|p| p.1).sum::<usize>();
        self.pending.retain(|p| p.0 < node);
    }
}
