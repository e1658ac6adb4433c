//! Which numbers a verdict depended on: a graph from each number to the numbers it was made from.
//!
//! Every number carries an [`Origin`]. When a state is stored, each number in it gets a node of its
//! own; what is computed later leads back to these nodes. A use that depends on the value (an offset,
//! a size, a decided branch, a return value) marks the nodes it leads back to. A stored number whose
//! node is unmarked once everything after the state was explored was never needed: any number does.
//!
//! **Invariant:** whatever narrows a number by another one makes the other one a parent too.

use crate::numbered::Numbered;

/// A node, or [`Origin::NONE`] for numbers that depend on nothing stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Origin(u32);

impl Origin {
    pub(crate) const NONE: Origin = Origin(0);

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
    needed: bool,
    /// It has further parents.
    more: bool,
}

pub(crate) struct Origins {
    nodes: Vec<Node>,
    /// Further parents.
    more: Numbered<Origin, Vec<Origin>>,
    work: Vec<Origin>,
    /// Attempts under way, and what was marked since the first began.
    attempts: usize,
    marked: Vec<Origin>,
}

impl Origins {
    pub(crate) fn new() -> Origins {
        // Node 0 is NONE: needed already, so marking stops there.
        let none = Node {
            parents: [Origin::NONE; 2],
            needed: true,
            more: false,
        };
        Origins {
            nodes: vec![none],
            more: Numbered::default(),
            work: Vec::new(),
            attempts: 0,
            marked: Vec::new(),
        }
    }

    /// How many origins there are, with [`Origin::NONE`].
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
        self.nodes.push(Node {
            parents,
            needed: false,
            more: false,
        });
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
        self.work.push(of);
        while let Some(at) = self.work.pop() {
            if let Some(node) = self.nodes.get_mut(at.0 as usize)
                && !node.needed
            {
                node.needed = true;
                self.work.extend(node.parents);
                if self.attempts > 0 {
                    self.marked.push(at);
                }
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
        if self.is_needed(of) {
            self.need(too);
        } else if !self.is_needed(too)
            && let Some(node) = self.nodes.get_mut(of.index())
        {
            node.more = true;
            self.more.entry(of).or_default().push(too);
        }
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
        for at in self.marked.drain(marks.min(self.marked.len())..) {
            if let Some(node) = self.nodes.get_mut(at.index()) {
                node.needed = false;
            }
        }
    }

    /// Whether the value of a stored number mattered so far.
    pub(crate) fn is_needed(&self, of: Origin) -> bool {
        self.nodes.get(of.0 as usize).is_none_or(|n| n.needed)
    }
}
