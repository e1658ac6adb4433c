//! Helpers on control groups: those of the environment, none of sockets, since there are no sockets here, and what a judged operation returns.

use probity_isa::Size;
use probity_platform::linux::kinds;

use super::map::map;
use super::{Entry, entry, env, err};
use crate::context::{RETVAL, header, set_header};
use crate::{Call, arena};

pub(super) const ENTRIES: &[Entry] = &[
    entry(17, "get_cgroup_classid", nothing),
    entry(24, "get_route_realm", nothing),
    entry(33, "skb_under_cgroup", skb_under_cgroup),
    entry(37, "current_task_under_cgroup", current_task_under_cgroup),
    entry(79, "skb_cgroup_id", nothing),
    entry(83, "skb_ancestor_cgroup_id", nothing),
    entry(
        123,
        "get_current_ancestor_cgroup_id",
        get_current_ancestor_cgroup_id,
    ),
    entry(151, "skb_cgroup_classid", nothing),
    entry(186, "get_retval", get_retval),
    entry(187, "set_retval", set_retval),
];

/// No class, realm or group: what Linux gives without a socket.
unsafe extern "C" fn nothing(_: *mut Call<'_>, _: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    0
}

unsafe extern "C" fn skb_under_cgroup(
    _: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    err(libc::ENOENT)
}

/// The map's elements are cgroups' ids, as the host put them there.
unsafe extern "C" fn current_task_under_cgroup(
    call: *mut Call<'_>,
    m: u64,
    index: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    let key = index as u32;
    // SAFETY: `call` is valid; the row promises a map of such a kind, whose keys have 4 bytes and whose slots 8.
    unsafe {
        let map = map(m);
        if key as usize >= map.max_entries() {
            return err(libc::E2BIG);
        }
        let slot = map.store().lookup(0, std::ptr::from_ref(&key).cast());
        if slot.is_null() {
            return err(libc::EAGAIN);
        }
        u64::from(env(call).under_cgroup(arena::load(slot, Size::DW)))
    }
}

unsafe extern "C" fn get_current_ancestor_cgroup_id(
    call: *mut Call<'_>,
    level: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { env(call) }.ancestor_cgroup_id(level as u32)
}

/// Where the context itself has a field for what the operation returns: in a `struct bpf_sockopt`, which may be cut short.
///
/// # Safety
/// `call` is valid.
unsafe fn retval_field(call: *mut Call<'_>) -> Option<u64> {
    const RETVAL_AT: u64 = 36;
    // SAFETY: by the contract.
    let call = unsafe { &*call };
    (call.kind() == kinds::CGROUP_SOCKOPT && call.ctx_size() >= RETVAL_AT + 4)
        .then_some(call.ctx + RETVAL_AT)
}

unsafe extern "C" fn get_retval(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid, and the field lies in its context.
    let retval = unsafe {
        match retval_field(call) {
            Some(at) => arena::load(at as *const u8, Size::W),
            None => header((*call).ctx, RETVAL),
        }
    };
    i64::from(retval as i32) as u64
}

unsafe extern "C" fn set_retval(
    call: *mut Call<'_>,
    retval: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid, and the field lies in its context.
    unsafe {
        match retval_field(call) {
            Some(at) => arena::store(at as *mut u8, Size::W, retval),
            None => set_header((*call).ctx, RETVAL, retval),
        }
    }
    0
}
