//! Red-black trees of structures that programs allocate.

use super::{Entry, entry};
use crate::helpers::err;
use crate::objects::Objects;
use crate::objects::tree::{Side, Tree};
use crate::{Call, Holding};

pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "bpf_rbtree_add_impl",
        "int (struct bpf_rb_root *root, struct bpf_rb_node *node, \
         bool (less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta__ign, u64 off)",
        add,
    ),
    entry(
        "bpf_rbtree_remove",
        "struct bpf_rb_node *(struct bpf_rb_root *root, struct bpf_rb_node *node)",
        remove,
    ),
    entry(
        "bpf_rbtree_first",
        "struct bpf_rb_node *(struct bpf_rb_root *root)",
        first,
    ),
    entry(
        "bpf_rbtree_root",
        "struct bpf_rb_node *(struct bpf_rb_root *root)",
        top,
    ),
    entry(
        "bpf_rbtree_left",
        "struct bpf_rb_node *(struct bpf_rb_root *root, struct bpf_rb_node *node)",
        left,
    ),
    entry(
        "bpf_rbtree_right",
        "struct bpf_rb_node *(struct bpf_rb_root *root, struct bpf_rb_node *node)",
        right,
    ),
];

unsafe extern "C" fn add(
    call: *mut Call<'_>,
    root: u64,
    node: u64,
    less: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: by the declaration and the proof: a tree whose lock is held, a node whose structure the program owns,
    // and a callback that compares two nodes and changes no tree.
    unsafe {
        let call = &mut *call;
        let added = Tree::new(root).add(node, |a, b| call.reenter(less, [a, b, 0, 0]) != 0);
        call.note(Holding::Less, 0);
        if added {
            return 0;
        }
        // Another owner has put it into a list or tree; the program's own reference ends all the same.
        Objects::release(Objects::around(node));
    }
    err(libc::EINVAL)
}

unsafe extern "C" fn remove(
    call: *mut Call<'_>,
    root: u64,
    node: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: by the declaration and the proof.
    unsafe {
        let removed = match Tree::new(root).remove(node) {
            true => node,
            false => 0,
        };
        (*call).note(Holding::MoreUnlessNull, removed);
        removed
    }
}

unsafe extern "C" fn first(_: *mut Call<'_>, root: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: by the declaration and the proof.
    unsafe { Tree::new(root) }.leftmost()
}

unsafe extern "C" fn top(_: *mut Call<'_>, root: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: by the declaration and the proof.
    unsafe { Tree::new(root) }.top()
}

/// # Safety
/// As the declarations and the proof promise.
unsafe fn child(root: u64, node: u64, side: Side) -> u64 {
    // SAFETY: by the contract.
    unsafe {
        let tree = Tree::new(root);
        match tree.has(node) {
            true => tree.child(node, side),
            false => 0,
        }
    }
}

unsafe extern "C" fn left(_: *mut Call<'_>, root: u64, node: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: by the declaration and the proof.
    unsafe { child(root, node, Side::Left) }
}

unsafe extern "C" fn right(_: *mut Call<'_>, root: u64, node: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: by the declaration and the proof.
    unsafe { child(root, node, Side::Right) }
}
