//! Structures that programs allocate: made, freed, given one more owner. [`crate::objects`] has their memory.
//!
//! Linux's verifier hands on what it knows of the type as the last argument; here the structure's address leads to it.

use super::{Entry, entry};
use crate::objects::Objects;
use crate::{Call, Holding};

pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "bpf_obj_new_impl",
        "void *(u64 local_type_id__k, void *meta__ign)",
        new,
    ),
    entry(
        "bpf_obj_drop_impl",
        "void (void *p__alloc, void *meta__ign)",
        drop,
    ),
    entry(
        "bpf_percpu_obj_new_impl",
        "void *(u64 local_type_id__k, void *meta__ign)",
        percpu_new,
    ),
    entry(
        "bpf_percpu_obj_drop_impl",
        "void (void *p__alloc, void *meta__ign)",
        drop,
    ),
    entry(
        "bpf_refcount_acquire_impl",
        "void *(void *p__refcounted_kptr, void *meta__ign)",
        acquire,
    ),
];

/// # Safety
/// `call` is valid.
unsafe fn allocate(call: *mut Call<'_>, type_id: u64, percpu: bool) -> u64 {
    // SAFETY: by the contract.
    let call = unsafe { &mut *call };
    let made = match u32::try_from(type_id) {
        Ok(id) => call.instance().objects().allocate(id, percpu),
        Err(_) => 0,
    };
    call.note(Holding::MoreUnlessNull, made);
    made
}

unsafe extern "C" fn new(call: *mut Call<'_>, type_id: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { allocate(call, type_id, false) }
}

unsafe extern "C" fn percpu_new(
    call: *mut Call<'_>,
    type_id: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { allocate(call, type_id, true) }
}

unsafe extern "C" fn drop(call: *mut Call<'_>, p: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: `call` is valid; a structure that the program owns, by the declaration.
    unsafe {
        (*call).note(Holding::Less, 0);
        Objects::release(p);
    }
    0
}

unsafe extern "C" fn acquire(call: *mut Call<'_>, p: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: `call` is valid; a structure that counts its owners, by the declaration and the proof.
    unsafe {
        let given = if Objects::acquire(p) { p } else { 0 };
        (*call).note(Holding::MoreUnlessNull, given);
        given
    }
}
