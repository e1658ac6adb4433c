//! Linked lists of structures that programs allocate.

use super::{Entry, entry};
use crate::helpers::err;
use crate::objects::Objects;
use crate::objects::list::{self, End};
use crate::{Call, Holding};

pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "bpf_list_push_front_impl",
        "int (struct bpf_list_head *head, struct bpf_list_node *node, void *meta__ign, u64 off)",
        push_front,
    ),
    entry(
        "bpf_list_push_back_impl",
        "int (struct bpf_list_head *head, struct bpf_list_node *node, void *meta__ign, u64 off)",
        push_back,
    ),
    entry(
        "bpf_list_pop_front",
        "struct bpf_list_node *(struct bpf_list_head *head)",
        pop_front,
    ),
    entry(
        "bpf_list_pop_back",
        "struct bpf_list_node *(struct bpf_list_head *head)",
        pop_back,
    ),
    entry(
        "bpf_list_front",
        "struct bpf_list_node *(struct bpf_list_head *head)",
        front,
    ),
    entry(
        "bpf_list_back",
        "struct bpf_list_node *(struct bpf_list_head *head)",
        back,
    ),
];

/// # Safety
/// As the declarations and the proof promise: a list whose lock is held, and a node whose structure the program owns.
unsafe fn push(call: *mut Call<'_>, head: u64, node: u64, end: End) -> u64 {
    // SAFETY: by the contract.
    unsafe {
        (*call).note(Holding::Less, 0);
        if list::push(head, node, end) {
            return 0;
        }
        // Another owner has put it into a list or tree; the program's own reference ends all the same.
        Objects::release(Objects::around(node));
    }
    err(libc::EINVAL)
}

/// # Safety
/// As for [`push`].
unsafe fn pop(call: *mut Call<'_>, head: u64, end: End) -> u64 {
    // SAFETY: by the contract.
    unsafe {
        let node = list::pop(head, end);
        (*call).note(Holding::MoreUnlessNull, node);
        node
    }
}

unsafe extern "C" fn push_front(
    call: *mut Call<'_>,
    head: u64,
    node: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: by the declaration and the proof.
    unsafe { push(call, head, node, End::Front) }
}

unsafe extern "C" fn push_back(
    call: *mut Call<'_>,
    head: u64,
    node: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: by the declaration and the proof.
    unsafe { push(call, head, node, End::Back) }
}

unsafe extern "C" fn pop_front(
    call: *mut Call<'_>,
    head: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: by the declaration and the proof.
    unsafe { pop(call, head, End::Front) }
}

unsafe extern "C" fn pop_back(
    call: *mut Call<'_>,
    head: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: by the declaration and the proof.
    unsafe { pop(call, head, End::Back) }
}

unsafe extern "C" fn front(_: *mut Call<'_>, head: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: by the declaration and the proof.
    unsafe { list::peek(head, End::Front) }
}

unsafe extern "C" fn back(_: *mut Call<'_>, head: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: by the declaration and the proof.
    unsafe { list::peek(head, End::Back) }
}
