//! What a program has entered and must leave again: locks, RCU read sections, sections without preemption or interrupts.
//!
//! **Invariant:** states with different regions never cover each other.
//!
//! **Invariant:** a program ends, and a subprogram that is verified on its own returns, with the regions it began with.

use probity_isa::Pc;

use crate::value::{Id, MapRef};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Regions {
    /// Held, in the order in which they were taken.
    pub locks: Vec<Lock>,
    /// Depth of RCU read sections that the program entered itself.
    pub rcu: u32,
    /// Depth of sections without preemption.
    pub preempt: u32,
    /// Saved interrupt flags not restored yet, in order: the ids of the stack objects that hold them.
    pub irqs: Vec<Id>,
}

/// A lock that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    pub kind: LockKind,
    pub within: Within,
    /// The instruction that took it.
    pub pc: Pc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockKind {
    /// `bpf_spin_lock`: one at a time, no calls while it is held.
    Spin,
    /// `bpf_res_spin_lock`, with interrupts off or not.
    Resilient { irq: bool },
}

/// Whose lock it is. Two lookups of one map give values that may be different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    /// A map's value, as found by the lookup with this id; id 0: a value that is always the same one (global data).
    MapValue { map: MapRef, id: Id },
    /// An allocated structure, by the id of its pointers.
    Allocated { id: Id },
}

impl Regions {
    /// Nothing is to be left.
    pub(crate) fn is_empty(&self) -> bool {
        self.locks.is_empty() && self.rcu == 0 && self.preempt == 0 && self.irqs.is_empty()
    }

    /// What forbids to sleep, in words.
    pub(crate) fn unsleepable(&self) -> Option<String> {
        let entered = if !self.locks.is_empty() {
            "a lock is held"
        } else if self.rcu > 0 {
            "an RCU read section was entered"
        } else if self.preempt > 0 {
            "preemption is disabled"
        } else if !self.irqs.is_empty() {
            "interrupts are disabled"
        } else {
            return None;
        };
        Some(entered.to_string())
    }

    /// Whether what is right in these regions is right in the others; `same` compares ids.
    pub(crate) fn covers(&self, new: &Regions, same: &mut dyn FnMut(Id, Id) -> bool) -> bool {
        if self.is_empty() && new.is_empty() {
            return true;
        }
        let within = |a: Within, b: Within, same: &mut dyn FnMut(Id, Id) -> bool| match (a, b) {
            (Within::MapValue { map: m, id: a }, Within::MapValue { map: n, id: b }) => {
                m == n && same(a, b)
            }
            (Within::Allocated { id: a }, Within::Allocated { id: b }) => same(a, b),
            _ => false,
        };
        self.rcu == new.rcu
            && self.preempt == new.preempt
            && self.locks.len() == new.locks.len()
            && self.irqs.len() == new.irqs.len()
            && self
                .locks
                .iter()
                .zip(&new.locks)
                .all(|(a, b)| a.kind == b.kind && within(a.within, b.within, same))
            && self.irqs.iter().zip(&new.irqs).all(|(a, b)| same(*a, *b))
    }
}
