//! Ids of two states → which stand for the same in both.
//!
//! Ids are names: of NULL checks, packet bases, references, objects. States are compared, or joined, through a map from
//! one's names to the other's.
//!
//! **Invariant:** the map is one to one, and 0, which names nothing, stands for itself.

use crate::state::Frame;
use crate::value::Id;

/// Names of an old state, and of a new one.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<(Id, Id)>);

impl Names {
    /// Whether `a` can be the old name of what is called `b` now; then it is.
    pub(crate) fn same(&mut self, a: Id, b: Id) -> bool {
        if a == 0 || b == 0 {
            return a == b;
        }
        match self.0.iter().find(|(x, y)| *x == a || *y == b) {
            Some(pair) => *pair == (a, b),
            None => {
                self.0.push((a, b));
                true
            }
        }
    }

    /// Whether the same objects are on both frames' stacks, and the same is lent of them.
    pub(crate) fn objects(&mut self, a: &Frame, b: &Frame) -> bool {
        let lent = a.lent.len() == b.lent.len()
            && a.lent
                .iter()
                .zip(b.lent.iter())
                .all(|(x, y)| x.low == y.low && x.end == y.end && self.same(x.slice, y.slice));
        if !lent {
            return false;
        }
        let (a, b) = (a.stack.objects(), b.stack.objects());
        a.len() == b.len()
            && a.iter().zip(b).all(|((i, x), (j, y))| {
                i == j
                    && x.kind == y.kind
                    && x.part == y.part
                    && x.parts == y.parts
                    && self.same(x.id, y.id)
                    && self.same(x.reference, y.reference)
            })
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
