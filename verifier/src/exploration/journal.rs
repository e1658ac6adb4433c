//! What exploration gathered besides states, and how it is put back when an attempt fails.
//!
//! **Invariant:** while an attempt lasts, whatever changes is written down first; putting it back in reverse order
//! gives what was known when the attempt began.

use probity_isa::Pc;

use crate::env::Env;
use crate::report::Access;

enum Undo {
    Reached(Pc),
    Access(Pc, Option<Access>),
    Ways(Pc, u8),
    Depth(usize, i64),
    Callback(usize),
    CallMap(Pc, Option<Option<usize>>),
    /// A summary of the subprogram was kept.
    Summary(usize),
    /// So many walks were planned.
    Walks(usize),
}

#[derive(Default)]
pub(crate) struct Journal {
    /// Attempts under way.
    attempts: usize,
    entries: Vec<Undo>,
}

impl Journal {
    fn write(&mut self, undo: Undo) {
        if self.attempts > 0 {
            self.entries.push(undo);
        }
    }

    pub(crate) fn reached(&mut self, pc: Pc) {
        self.write(Undo::Reached(pc));
    }

    pub(crate) fn access(&mut self, pc: Pc, was: Option<Access>) {
        self.write(Undo::Access(pc, was));
    }

    pub(crate) fn ways(&mut self, pc: Pc, was: u8) {
        self.write(Undo::Ways(pc, was));
    }

    pub(crate) fn depth(&mut self, subprog: usize, was: i64) {
        self.write(Undo::Depth(subprog, was));
    }

    pub(crate) fn callback(&mut self, subprog: usize) {
        self.write(Undo::Callback(subprog));
    }

    pub(crate) fn summary(&mut self, subprog: usize) {
        self.write(Undo::Summary(subprog));
    }

    pub(crate) fn call_map(&mut self, pc: Pc, was: Option<Option<usize>>) {
        self.write(Undo::CallMap(pc, was));
    }
}

/// Where an attempt began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    entries: usize,
    origins: usize,
}

impl Env<'_> {
    pub(crate) fn begin_attempt(&mut self) -> Mark {
        self.journal.attempts += 1;
        let mark = Mark {
            entries: self.journal.entries.len(),
            origins: self.origins.begin_attempt(),
        };
        self.journal.write(Undo::Walks(self.queue.len()));
        mark
    }

    /// The attempt is over, and what it gathered stays.
    pub(crate) fn keep_attempt(&mut self) {
        self.journal.attempts = self.journal.attempts.saturating_sub(1);
        self.origins.end_attempt();
        if self.journal.attempts == 0 {
            self.journal.entries.clear();
        }
    }

    /// The attempt failed: nothing that it gathered stays.
    pub(crate) fn undo_attempt(&mut self, mark: Mark) {
        while self.journal.entries.len() > mark.entries {
            match self.journal.entries.pop() {
                Some(Undo::Reached(pc)) => self.facts.set_reached(pc, false),
                Some(Undo::Access(pc, was)) => self.facts.set_access(pc, was),
                Some(Undo::Ways(pc, was)) => self.facts.set_ways(pc, was),
                Some(Undo::Depth(subprog, was)) => {
                    if let Some(depth) = self.stack_depth.get_mut(subprog) {
                        *depth = was;
                    }
                }
                Some(Undo::Callback(subprog)) => {
                    self.callbacks.remove(&subprog);
                }
                Some(Undo::Summary(subprog)) => {
                    if let Some(calls) = self.summaries.get_mut(&subprog) {
                        calls.forget_last();
                    }
                }
                Some(Undo::CallMap(pc, Some(was))) => {
                    self.call_maps.insert(pc, was);
                }
                Some(Undo::CallMap(pc, None)) => {
                    self.call_maps.remove(pc);
                }
                Some(Undo::Walks(planned)) => self.queue.truncate(planned),
                None => break,
            }
        }
        self.origins.undo_attempt(mark.origins);
        self.keep_attempt();
    }
}
