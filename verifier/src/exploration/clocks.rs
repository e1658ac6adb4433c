//! What ends by itself, and how far it is: iterators, calls of a subprogram by a helper, `may_goto` in a frame.
//!
//! Each has a clock that ticks with every lap: an element that an iterator gives, a call of the subprogram,
//! a `may_goto` that goes on. A clock ticks finitely often, so a loop ends when every way around it ticks one
//! that was there before the loop, and starts none of these anew. A loop may do both: an outer iterator ticks,
//! and an inner one is started again. What counts then is the *oldest* clock that changed, as clocks are
//! ordered by age: laps go down in the lexicographic order of what is left of each clock, oldest first.
//!
//! **Invariant:** ids ascend with age, and are never used again; clocks are sorted by them.

use crate::seldom::Seldom;
use crate::value::Id;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    pub id: Id,
    pub ticks: u32,
}

/// The clocks that run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clocks(Seldom<Vec<Clock>>);

impl Clocks {
    /// `id` is younger than all others.
    pub(crate) fn start(&mut self, id: Id) {
        debug_assert!(self.0.last().is_none_or(|c| c.id < id));
        self.0.push(Clock { id, ticks: 0 });
    }

    pub(crate) fn stop(&mut self, id: Id) {
        if self.runs(id) {
            self.0.retain(|c| c.id != id);
        }
    }

    pub(crate) fn runs(&self, id: Id) -> bool {
        self.ticks(id).is_some()
    }

    pub(crate) fn tick(&mut self, id: Id) {
        if let Ok(at) = self.0.binary_search_by_key(&id, |c| c.id) {
            self.0[at].ticks = self.0[at].ticks.saturating_add(1);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (Id, u32)> {
        self.0.iter().map(|c| (c.id, c.ticks))
    }

    /// Clocks that ran before and have ticked since.
    pub(crate) fn ticked_since(&self, before: &Clocks) -> impl Iterator<Item = Id> {
        let ticked = |c: &&Clock| self.ticks(c.id).is_some_and(|t| t > c.ticks);
        before.0.iter().filter(ticked).map(|c| c.id)
    }

    fn ticks(&self, id: Id) -> Option<u32> {
        let at = self.0.binary_search_by_key(&id, |c| c.id).ok()?;
        Some(self.0[at].ticks)
    }

    /// Whether a lap was made since `start`: the oldest clock of `start` that changed has ticked.
    pub(crate) fn lap_since(&self, start: &Clocks) -> bool {
        for c in start.0.iter() {
            match self.ticks(c.id) {
                Some(t) if t > c.ticks => return true,
                Some(t) if t == c.ticks => {}
                _ => return false,
            }
        }
        false
    }

    /// Whether these are at least as far on the way from `start` as `other` is: what ends a loop that leads from
    /// `other` back to `start` then ends the one that leads from here too.
    pub(crate) fn as_far_as(&self, other: &Clocks, start: &Clocks) -> bool {
        for c in start.0.iter() {
            match (self.ticks(c.id), other.ticks(c.id)) {
                // Something older has ticked on the way back to `start`, and still does.
                (_, None) => return true,
                (Some(a), Some(b)) if a > b => return true,
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Clocks};

    fn clocks(list: &[(u32, u32)]) -> Clocks {
        let mut clocks = Clocks::default();
        for &(id, ticks) in list {
            clocks.0.push(Clock { id, ticks });
        }
        clocks
    }

    #[test]
    fn the_oldest_change_decides() {
        let start = clocks(&[(1, 4), (5, 2)]);
        assert!(!clocks(&[(1, 4), (5, 2)]).lap_since(&start));
        assert!(clocks(&[(1, 4), (5, 3)]).lap_since(&start));
        // The inner one was started anew: fine only when the outer one ticked.
        assert!(clocks(&[(1, 5), (9, 0)]).lap_since(&start));
        assert!(!clocks(&[(1, 4), (9, 7)]).lap_since(&start));
        assert!(!clocks(&[(5, 3)]).lap_since(&start));
        assert!(!clocks(&[]).lap_since(&clocks(&[])));
    }

    #[test]
    fn a_way_that_ticked_less_does_not_end_what_the_other_ends() {
        let start = clocks(&[(1, 0), (2, 0)]);
        let ticked = clocks(&[(1, 0), (2, 1)]);
        assert!(!start.as_far_as(&ticked, &start));
        assert!(ticked.as_far_as(&start, &start));
        assert!(ticked.as_far_as(&ticked, &start));
        // The other ticked the older one; only the younger one ticked here, and may be started anew behind it.
        let older = clocks(&[(1, 1), (2, 0)]);
        assert!(!ticked.as_far_as(&older, &start));
        assert!(older.as_far_as(&ticked, &start));
        // A clock started after `start` says nothing.
        assert!(
            clocks(&[(1, 0), (2, 0), (8, 0)]).as_far_as(&clocks(&[(1, 0), (2, 0), (7, 3)]), &start)
        );
    }
}
