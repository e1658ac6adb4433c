//! All walks of one program: its main function, each global function that live code calls, each function
//! that is called later on its own. Each starts from a state of its own, and all must end well.
//!
//! **Invariant:** an entry is walked once: entries that are the same are told apart by nothing that a walk depends on.

use probity_isa::{Pc, Reg};

use crate::call::ARGS;
use crate::env::Env;
use crate::exception;
use crate::explore::{Stopped, explore};
use crate::report::Stats;
use crate::state::State;
use crate::value::Value;

/// What a walk starts from.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub subprog: usize,
    pub role: Role,
    pub sleepable: bool,
    pub args: [Value; 5],
}

impl Entry {
    /// The walks would be the same: ids are only names.
    fn same(&self, other: &Entry) -> bool {
        let args = self.args.iter().zip(&other.args);
        self.subprog == other.subprog
            && self.role == other.role
            && self.sleepable == other.sleepable
            && args.into_iter().all(|pair| match pair {
                (Value::Pointer(a), Value::Pointer(b)) => a.to == b.to && a.null == b.null,
                (a, b) => a == b,
            })
    }
}

/// What becomes of the result of a walk's outermost function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The program's.
    Main,
    /// A global function's: any number.
    Global,
    /// A function called later, by nobody of the program: a number from the first to the second.
    Later(i64, i64),
    /// Of the exception callback: the program's.
    Exception,
}

/// Entries, walked and not.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: Vec<Entry>,
    /// Entries before this one are walked.
    next: usize,
}

impl Queue {
    /// To be walked, unless it was or will be.
    pub(crate) fn add(&mut self, entry: Entry) {
        if !self.entries.iter().any(|e| e.same(&entry)) {
            // Most programs have one.
            self.entries
                .reserve_exact(usize::from(self.entries.is_empty()));
            self.entries.push(entry);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets the walks planned last.
    pub(crate) fn truncate(&mut self, planned: usize) {
        self.entries.truncate(planned.max(self.next));
    }

    /// Whether a walk starts at the subprogram in this role.
    pub(crate) fn has(&self, subprog: usize, role: Role) -> bool {
        self.entries
            .iter()
            .any(|e| e.subprog == subprog && e.role == role)
    }

    /// Subprograms that are called later on their own.
    pub(crate) fn later(&self) -> impl Iterator<Item = usize> {
        self.entries
            .iter()
            .filter(|e| matches!(e.role, Role::Later(..) | Role::Exception))
            .map(|e| e.subprog)
    }
}

/// The program's exception callback among its subprograms.
fn exception_callback(env: &Env<'_>) -> Option<usize> {
    let given = env.program.subprogs.get(env.program.exception_cb?)?;
    env.cfg.subprogs.iter().position(|s| s.start == given.start)
}

/// Walks from the program's entry and from all that this leads to.
pub(crate) fn all(
    env: &mut Env<'_>,
    context: Value,
    budget: usize,
    stats: &mut Stats,
    trace: &mut dyn FnMut(Pc, &State),
) -> Result<(), Box<Stopped>> {
    let mut args = [Value::Uninit; 5];
    args[0] = context;
    env.context = context;
    env.queue.add(Entry {
        subprog: 0,
        role: Role::Main,
        sleepable: env.program.hook.sleepable,
        args,
    });
    if let Some(callback) = exception_callback(env) {
        exception::plan(env, callback).map_err(Stopped::early)?;
    }
    while let Some(entry) = env.queue.entries.get(env.queue.next).cloned() {
        env.queue.next += 1;
        env.role = entry.role;
        env.sleeps = entry.sleepable;
        env.summaries.clear();
        let mut state = State::entry(entry.subprog);
        for (r, value) in ARGS.into_iter().zip(&entry.args) {
            if value.is_init() {
                state.frame_mut().regs[r.index()] = *value;
            }
        }
        debug_assert!(state.reg(Reg::R10).is_init());
        if entry.role == Role::Main {
            crate::typed::enter(env, &mut state);
        }
        explore(env, state, budget, stats, trace)?;
        env.worst.ended(entry.role, entry.subprog);
    }
    Ok(())
}
