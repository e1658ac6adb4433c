//! Red-black trees of the shape that Linux's have: the same insertions and removals lead to the same tree.
//!
//! After Cormen, Leiserson, Rivest and Stein, "Introduction to Algorithms", with addresses of zero for leaves.
//! A root is the address of the top node and that of the leftmost; a node is its parent's address with its colour
//! in the lowest bit, and its right and left child.
//! Who uses a tree holds the lock beside it; a node's owner alone is read without it.

use std::sync::atomic::Ordering::*;

use super::list::{TAKEN, get, owner, set};

/// Offsets in a root.
const TOP: u64 = 0;
const LEFTMOST: u64 = 8;
/// Offsets in a node.
const PARENT: u64 = 0;
const RIGHT: u64 = 8;
const LEFT: u64 = 16;
/// The root of the tree that it is in.
const OWNER: u64 = 24;

const BLACK: u64 = 1;

/// One side of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

impl Side {
    fn at(self) -> u64 {
        match self {
            Side::Left => LEFT,
            Side::Right => RIGHT,
        }
    }
    fn other(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }
}

/// A tree whose lock is held.
///
/// **Invariant:** all its words lead to nodes of live structures.
#[derive(Clone, Copy)]
pub(crate) struct Tree(u64);

impl Tree {
    /// # Safety
    /// The root of a tree whose lock is held while this is used.
    pub unsafe fn new(root: u64) -> Tree {
        Tree(root)
    }

    pub fn top(self) -> u64 {
        // SAFETY: a live root.
        unsafe { get(self.0, TOP) }
    }

    pub fn leftmost(self) -> u64 {
        // SAFETY: as above.
        unsafe { get(self.0, LEFTMOST) }
    }

    /// Whether a node is in this tree.
    ///
    /// # Safety
    /// A node in a live structure.
    pub unsafe fn has(self, node: u64) -> bool {
        // SAFETY: by the contract.
        unsafe { owner(node, OWNER).load(Acquire) == self.0 }
    }

    /// The child of a node that is in this tree; 0 without one.
    ///
    /// # Safety
    /// As for [`Tree::has`].
    pub unsafe fn child(self, node: u64, side: Side) -> u64 {
        // SAFETY: by the contract.
        unsafe { get(node, side.at()) }
    }

    /// Adds a node below the last one of the way that `less` leads: left of those that it is less than.
    /// False when a list or tree has it already.
    ///
    /// # Safety
    /// A node in a live structure; `less` changes no tree.
    pub unsafe fn add(self, node: u64, mut less: impl FnMut(u64, u64) -> bool) -> bool {
        // SAFETY: by the contract, and the invariant.
        unsafe {
            if owner(node, OWNER)
                .compare_exchange(0, TAKEN, AcqRel, Relaxed)
                .is_err()
            {
                return false;
            }
            let (mut parent, mut side, mut leftmost) = (0, Side::Left, true);
            let mut at = self.top();
            while at != 0 {
                parent = at;
                side = if less(node, parent) {
                    Side::Left
                } else {
                    Side::Right
                };
                leftmost &= side == Side::Left;
                at = self.child(parent, side);
            }
            set(node, PARENT, parent);
            set(node, LEFT, 0);
            set(node, RIGHT, 0);
            match parent {
                0 => set(self.0, TOP, node),
                _ => set(parent, side.at(), node),
            }
            if leftmost {
                set(self.0, LEFTMOST, node);
            }
            self.balance_added(node);
            owner(node, OWNER).store(self.0, Release);
        }
        true
    }

    /// Takes a node out; false when it is not in this tree.
    ///
    /// # Safety
    /// As for [`Tree::has`].
    pub unsafe fn remove(self, node: u64) -> bool {
        // SAFETY: by the contract, and the invariant.
        unsafe {
            if !self.has(node) {
                return false;
            }
            if self.leftmost() == node {
                set(self.0, LEFTMOST, self.successor(node));
            }
            self.unlink(node);
            set(node, PARENT, node);
            owner(node, OWNER).store(0, Release);
        }
        true
    }

    fn parent(self, node: u64) -> u64 {
        // SAFETY: by the invariant.
        unsafe { get(node, PARENT) & !BLACK }
    }

    fn is_black(self, node: u64) -> bool {
        // SAFETY: by the invariant. Leaves are black.
        node == 0 || unsafe { get(node, PARENT) } & BLACK != 0
    }

    fn set_parent(self, node: u64, parent: u64) {
        // SAFETY: by the invariant.
        unsafe { set(node, PARENT, parent | get(node, PARENT) & BLACK) }
    }

    fn colour(self, node: u64, black: bool) {
        // SAFETY: by the invariant.
        unsafe {
            set(
                node,
                PARENT,
                self.parent(node) | if black { BLACK } else { 0 },
            )
        }
    }

    fn on(self, node: u64, side: Side) -> u64 {
        // SAFETY: by the invariant.
        unsafe { get(node, side.at()) }
    }

    /// On which side of its parent a node is.
    fn side(self, parent: u64, node: u64) -> Side {
        match self.on(parent, Side::Left) == node {
            true => Side::Left,
            false => Side::Right,
        }
    }

    /// The next in order of a leftmost node.
    fn successor(self, node: u64) -> u64 {
        let mut at = self.on(node, Side::Right);
        if at == 0 {
            return self.parent(node);
        }
        loop {
            match self.on(at, Side::Left) {
                0 => return at,
                left => at = left,
            }
        }
    }

    /// Puts `new`, which may be 0, where `old` is below `parent`.
    fn put(self, parent: u64, old: u64, new: u64) {
        // SAFETY: by the invariant.
        unsafe {
            match parent {
                0 => set(self.0, TOP, new),
                _ => set(parent, self.side(parent, old).at(), new),
            }
        }
    }

    /// The child of `node` on the other side takes its place, and `node` becomes its child on this side.
    fn rotate(self, node: u64, side: Side) {
        let up = self.on(node, side.other());
        let (inner, parent) = (self.on(up, side), self.parent(node));
        // SAFETY: by the invariant.
        unsafe { set(node, side.other().at(), inner) };
        if inner != 0 {
            self.set_parent(inner, node);
        }
        self.put(parent, node, up);
        self.set_parent(up, parent);
        // SAFETY: by the invariant.
        unsafe { set(up, side.at(), node) };
        self.set_parent(node, up);
    }

    /// No red node has a red parent, after a red one was added.
    fn balance_added(self, mut node: u64) {
        loop {
            let parent = self.parent(node);
            if parent == 0 {
                return self.colour(node, true);
            }
            if self.is_black(parent) {
                return;
            }
            // A red node is not the top.
            let above = self.parent(parent);
            let side = self.side(above, parent);
            let uncle = self.on(above, side.other());
            if !self.is_black(uncle) {
                self.colour(parent, true);
                self.colour(uncle, true);
                self.colour(above, false);
                node = above;
                continue;
            }
            let mut parent = parent;
            if self.side(parent, node) != side {
                self.rotate(parent, side);
                parent = node;
            }
            self.colour(parent, true);
            self.colour(above, false);
            return self.rotate(above, side.other());
        }
    }

    fn unlink(self, node: u64) {
        let (left, right) = (self.on(node, Side::Left), self.on(node, Side::Right));
        let parent = self.parent(node);
        if left != 0 && right != 0 {
            let mut next = right;
            while self.on(next, Side::Left) != 0 {
                next = self.on(next, Side::Left);
            }
            let (below, black) = (self.on(next, Side::Right), self.is_black(next));
            let mut lost = self.parent(next);
            if lost == node {
                lost = next;
            } else {
                self.put(lost, next, below);
                if below != 0 {
                    self.set_parent(below, lost);
                }
                // SAFETY: by the invariant.
                unsafe { set(next, RIGHT, right) };
                self.set_parent(right, next);
            }
            self.put(parent, node, next);
            // SAFETY: by the invariant.
            unsafe {
                set(next, PARENT, get(node, PARENT));
                set(next, LEFT, left);
            }
            self.set_parent(left, next);
            if black {
                self.balance_removed(below, lost);
            }
            return;
        }
        let below = if left == 0 { right } else { left };
        let black = self.is_black(node);
        self.put(parent, node, below);
        if below != 0 {
            self.set_parent(below, parent);
        }
        if black {
            self.balance_removed(below, parent);
        }
    }

    /// All ways down have as many black nodes again, after those through `node`, below `parent`, have lost one.
    fn balance_removed(self, mut node: u64, mut parent: u64) {
        while parent != 0 && self.is_black(node) {
            // Where `node` is a leaf, the other child is none.
            let side = match self.on(parent, Side::Left) == node {
                true => Side::Left,
                false => Side::Right,
            };
            let mut sibling = self.on(parent, side.other());
            if !self.is_black(sibling) {
                self.colour(sibling, true);
                self.colour(parent, false);
                self.rotate(parent, side);
                sibling = self.on(parent, side.other());
            }
            let (near, far) = (self.on(sibling, side), self.on(sibling, side.other()));
            if self.is_black(near) && self.is_black(far) {
                self.colour(sibling, false);
                (node, parent) = (parent, self.parent(parent));
                continue;
            }
            if self.is_black(far) {
                self.colour(near, true);
                self.colour(sibling, false);
                self.rotate(sibling, side.other());
                sibling = self.on(parent, side.other());
            }
            self.colour(sibling, self.is_black(parent));
            self.colour(parent, true);
            self.colour(self.on(sibling, side.other()), true);
            self.rotate(parent, side);
            return;
        }
        if node != 0 {
            self.colour(node, true);
        }
    }
}

/// Takes all nodes out for good; the structures that they are in, `offset` bytes before them, are added to `owned`.
///
/// # Safety
/// A tree whose lock is held.
pub(super) unsafe fn empty(root: u64, offset: u64, owned: &mut Vec<u64>) {
    let first = owned.len();
    // SAFETY: by the contract; what the words of a tree lead to are its nodes.
    unsafe {
        let top = get(root, TOP);
        set(root, TOP, 0);
        set(root, LEFTMOST, 0);
        owned.extend((top != 0).then(|| top - offset));
        let mut at = first;
        while let Some(node) = owned.get(at).map(|o| o + offset) {
            let below = [get(node, LEFT), get(node, RIGHT)];
            owned.extend(below.into_iter().filter(|n| *n != 0).map(|n| n - offset));
            owner(node, OWNER).store(TAKEN, Release);
            at += 1;
        }
    }
}
