//! Which numbers a verdict depended on: a graph from each number to the numbers it was made from.
//!
//! Every number carries an [`Origin`]. When a state is stored, each number in it gets a node of its
//! own; what is computed later leads back to these nodes. A use that depends on the value (an offset,
//! a size, a decided branch, a return value) marks the nodes it leads back to. A stored number whose
//! node is unmarked once everything after the state was explored was never needed: any number does.
//!
//! What would become the same of any number (by a mask, or by a comparison with a constant that is not decided) has
//! no parent: from whatever is given instead, it lies within.
//!
//! **Invariant:** whatever narrows a number by another one makes the other one a parent too; so a number that is related
//! to others stays a parent of what a comparison leaves of it.

use crate::numbered::Numbered;
use crate::shared::push;

/// A node, or [`Origin::NONE`] for numbers that depend on nothing stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Origin(u32);

impl Origin {
    pub(crate) const NONE: Origin = Origin(0);
    /// Of a number that stands for any that nothing needs: it is never marked, since nothing is made from it.
    pub(crate) const IDLE: Origin = Origin(1);

    pub(crate) fn at(index: usize) -> Origin {
        Origin(u32::try_from(index).unwrap_or(0))
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Copy)]
struct Node {
    parents: [Origin; 2],
    needed: Needed,
    /// It has further parents.
    more: bool,
}

/// How much a number matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Needed {
    Not,
    /// At an end of a subprogram that is walked on its own: whether its callers need it is not known.
    AtAnEnd,
    /// Something depended on it.
    Yes,
}

pub(crate) struct Origins {
    nodes: Vec<Node>,
    /// Further parents.
    more: Numbered<Origin, Vec<Origin>>,
    work: Vec<Origin>,
    /// Attempts under way, and what was marked since the first began.
    attempts: usize,
    marked: Vec<(Origin, Needed)>,
}

impl Origins {
    pub(crate) fn new() -> Origins {
        // Node 0 is NONE: needed already, so marking stops there.
        let none = Node {
            parents: [Origin::NONE; 2],
            needed: Needed::Yes,
            more: false,
        };
        let idle = Node {
            needed: Needed::Not,
            ..none
        };
        // Small programs have few more.
        let mut nodes = Vec::with_capacity(16);
        nodes.extend([none, idle]);
        Origins {
            nodes,
            more: Numbered::default(),
            work: Vec::new(),
            attempts: 0,
            marked: Vec::new(),
        }
    }

    /// How many origins there are, with [`Origin::NONE`] and [`Origin::IDLE`].
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn parents(&self, of: Origin) -> [Origin; 2] {
        self.nodes
            .get(of.index())
            .map_or([Origin::NONE; 2], |n| n.parents)
    }

    fn push(&mut self, parents: [Origin; 2]) -> Origin {
        // Instructions are bounded by the budget, so u32 is enough; when it is not, everything
        // behind it counts as needed, which is sound.
        let Ok(at) = u32::try_from(self.nodes.len()) else {
            self.need(parents[0]);
            self.need(parents[1]);
            return Origin::NONE;
        };
        let node = Node {
            parents,
            needed: Needed::Not,
            more: false,
        };
        push(&mut self.nodes, node);
        Origin(at)
    }

    /// A node for a stored number that came from `of`.
    pub(crate) fn stored(&mut self, of: Origin) -> Origin {
        self.push([of, Origin::NONE])
    }

    /// The origin of a number that depends on both.
    pub(crate) fn both(&mut self, a: Origin, b: Origin) -> Origin {
        if a == b || b == Origin::NONE {
            a
        } else if a == Origin::NONE {
            b
        } else {
            self.push([a, b])
        }
    }

    /// The value matters.
    pub(crate) fn need(&mut self, of: Origin) {
        self.mark(of, Needed::Yes);
    }

    /// The value is given back by a subprogram that is walked on its own.
    pub(crate) fn need_at_end(&mut self, of: Origin) {
        self.mark(of, Needed::AtAnEnd);
    }

    fn mark(&mut self, of: Origin, needed: Needed) {
        let marked = |n: &Node| n.needed >= needed;
        if self.nodes.get(of.index()).is_none_or(marked) {
            return;
        }
        self.work.push(of);
        while let Some(at) = self.work.pop() {
            if let Some(node) = self.nodes.get_mut(at.0 as usize)
                && node.needed < needed
            {
                if self.attempts > 0 {
                    self.marked.push((at, node.needed));
                }
                node.needed = needed;
                self.work.extend(node.parents);
                // The edges stay: the mark may be taken back.
                if node.more
                    && let Some(more) = self.more.get(&at)
                {
                    self.work.extend(more);
                }
            }
        }
    }

    /// When `of` is needed, now or later, `too` is.
    pub(crate) fn also(&mut self, of: Origin, too: Origin) {
        let level = |o: Origin| self.nodes.get(o.index()).map_or(Needed::Yes, |n| n.needed);
        let (needed, known) = (level(of), level(too));
        self.mark(too, needed);
        if needed < Needed::Yes
            && known < Needed::Yes
            && let Some(node) = self.nodes.get_mut(of.index())
        {
            node.more = true;
            self.more.entry(of).or_default().push(too);
        }
    }

    /// Which of these the number was made from, one bit each. They are older than all that was made from them.
    pub(crate) fn made_from(&self, of: Origin, targets: &[Origin; 5]) -> u8 {
        let known = targets.iter().filter(|t| **t != Origin::NONE);
        let Some(oldest) = known.min_by_key(|t| t.index()) else {
            return 0;
        };
        let mut found = 0;
        let mut seen: Numbered<Origin, ()> = Numbered::default();
        let mut work = vec![of];
        while let Some(at) = work.pop() {
            if at == Origin::NONE || at.index() < oldest.index() || seen.insert(at, ()).is_some() {
                continue;
            }
            for (i, t) in targets.iter().enumerate() {
                found |= u8::from(*t == at) << i;
            }
            work.extend(self.parents(at));
            work.extend(self.more.get(&at).into_iter().flatten());
        }
        found
    }

    /// Marks made from now on may be taken back; how many there are before them.
    pub(crate) fn begin_attempt(&mut self) -> usize {
        self.attempts += 1;
        self.marked.len()
    }

    pub(crate) fn end_attempt(&mut self) {
        self.attempts = self.attempts.saturating_sub(1);
        if self.attempts == 0 {
            self.marked.clear();
        }
    }

    /// Takes marks back: what they were made for is forgotten. The nodes and edges stay, and lead nowhere wrong.
    pub(crate) fn undo_attempt(&mut self, marks: usize) {
        for (at, was) in self.marked.drain(marks.min(self.marked.len())..).rev() {
            if let Some(node) = self.nodes.get_mut(at.index()) {
                node.needed = was;
            }
        }
    }

    /// Marks that there are now are never taken back.
    #[inline]
    pub(crate) fn is_final(&self) -> bool {
        self.attempts == 0
    }

    /// Whether the value of a stored number mattered so far.
    #[inline]
    pub(crate) fn is_needed(&self, of: Origin) -> bool {
        let node = self.nodes.get(of.0 as usize);
        node.is_none_or(|n| n.needed > Needed::Not)
    }

    /// Whether something depended on it, other than what a subprogram gives back.
    pub(crate) fn decided(&self, of: Origin) -> bool {
        let node = self.nodes.get(of.0 as usize);
        node.is_none_or(|n| n.needed == Needed::Yes)
    }
}
