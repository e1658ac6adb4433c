//! Doubly linked lists as Linux has them: a head and nodes in structures, each a next and a previous address.
//!
//! A head of zeros is an empty list. Who uses a list holds the lock beside it; a node's owner alone is read without it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::*;

use probity_isa::Size;

use crate::arena;

/// Offsets in a head and in a node.
const NEXT: u64 = 0;
const PREVIOUS: u64 = 8;
/// In a node: the head of the list that it is in.
const OWNER: u64 = 16;

/// Owner of a node on its way into a list or tree, and of one whose list or tree has ended: none can be made its owner.
pub(super) const TAKEN: u64 = 1;

/// Which end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Front,
    Back,
}

impl End {
    /// From a head to the node at this end.
    fn inwards(self) -> u64 {
        match self {
            End::Front => NEXT,
            End::Back => PREVIOUS,
        }
    }
    fn outwards(self) -> u64 {
        match self {
            End::Front => PREVIOUS,
            End::Back => NEXT,
        }
    }
}

/// # Safety
/// A live word.
pub(super) unsafe fn get(at: u64, offset: u64) -> u64 {
    // SAFETY: by the contract.
    unsafe { arena::load((at + offset) as *const u8, Size::DW) }
}

/// # Safety
/// As for [`get`].
pub(super) unsafe fn set(at: u64, offset: u64, to: u64) {
    // SAFETY: by the contract.
    unsafe { arena::store((at + offset) as *mut u8, Size::DW, to) }
}

/// The owner of a node.
///
/// # Safety
/// A live, aligned word at the offset.
pub(super) unsafe fn owner<'a>(node: u64, offset: u64) -> &'a AtomicU64 {
    // SAFETY: by the contract; structures live as long as the instance.
    unsafe { AtomicU64::from_ptr((node + offset) as *mut u64) }
}

/// Adds a node at one end; false when a list or tree has it already.
///
/// # Safety
/// A list whose lock is held, and a node in a live structure.
pub(crate) unsafe fn push(head: u64, node: u64, end: End) -> bool {
    // SAFETY: by the contract; what the words of a list lead to are its nodes.
    unsafe {
        if owner(node, OWNER)
            .compare_exchange(0, TAKEN, AcqRel, Relaxed)
            .is_err()
        {
            return false;
        }
        let (inwards, outwards) = (end.inwards(), end.outwards());
        let mut first = get(head, inwards);
        if first == 0 {
            first = head;
        }
        set(node, inwards, first);
        set(node, outwards, head);
        set(first, outwards, node);
        set(head, inwards, node);
        owner(node, OWNER).store(head, Release);
    }
    true
}

/// Takes the node at one end out of the list; 0 from an empty one.
///
/// # Safety
/// A list whose lock is held.
pub(crate) unsafe fn pop(head: u64, end: End) -> u64 {
    // SAFETY: as for `push`.
    unsafe {
        let node = peek(head, end);
        if node == 0 {
            return 0;
        }
        let (next, previous) = (get(node, NEXT), get(node, PREVIOUS));
        set(previous, NEXT, next);
        set(next, PREVIOUS, previous);
        set(node, NEXT, node);
        set(node, PREVIOUS, node);
        owner(node, OWNER).store(0, Release);
        node
    }
}

/// The node at one end; 0 of an empty list.
///
/// # Safety
/// A list whose lock is held.
pub(crate) unsafe fn peek(head: u64, end: End) -> u64 {
    // SAFETY: by the contract.
    match unsafe { get(head, end.inwards()) } {
        node if node == head => 0,
        node => node,
    }
}

/// Takes all nodes out for good; the structures that they are in, `offset` bytes before them, are added to `owned`.
///
/// # Safety
/// A list whose lock is held.
pub(super) unsafe fn empty(head: u64, offset: u64, owned: &mut Vec<u64>) {
    // SAFETY: as for `push`.
    unsafe {
        loop {
            let node = pop(head, End::Front);
            if node == 0 {
                return;
            }
            owner(node, OWNER).store(TAKEN, Release);
            owned.push(node - offset);
        }
    }
}
