//! Helpers that send packets elsewhere: what they ask for is kept for the host.

use probity_isa::Size;
use probity_platform::linux::kinds;

use crate::context::{self, REDIRECT, REDIRECT_FLAGS};
use crate::helpers::map::map;
use crate::helpers::{Entry, entry};
use crate::{Call, arena};

pub(in crate::helpers) const ENTRIES: &[Entry] = &[
    entry(23, "redirect", redirect),
    entry(51, "redirect_map", redirect_map),
    entry(69, "fib_lookup", fib_lookup),
    entry(152, "redirect_neigh", redirect_neigh),
    entry(155, "redirect_peer", redirect_peer),
];

const XDP_ABORTED: u64 = 0;
const XDP_REDIRECT: u64 = 4;
const TC_ACT_SHOT: u64 = 2;
const TC_ACT_REDIRECT: u64 = 7;

unsafe extern "C" fn redirect(
    call: *mut Call<'_>,
    target: u64,
    flags: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe {
        if (*call).kind() == kinds::XDP {
            if flags != 0 {
                return XDP_ABORTED;
            }
            note(call, target as u32, flags);
            return XDP_REDIRECT;
        }
        if flags & !1 != 0 {
            return TC_ACT_SHOT;
        }
        note(call, target as u32, flags);
    }
    TC_ACT_REDIRECT
}

/// The neighbour that a program may name is not looked at: the host delivers.
unsafe extern "C" fn redirect_neigh(
    call: *mut Call<'_>,
    target: u64,
    _: u64,
    len: u64,
    flags: u64,
    _: u64,
) -> u64 {
    /// Of `struct bpf_redir_neigh`.
    const PARAMS: u64 = 20;
    if flags != 0 || (len as u32 != 0 && u64::from(len as u32) < PARAMS) {
        return TC_ACT_SHOT;
    }
    // SAFETY: `call` is valid.
    unsafe { note(call, target as u32, flags) };
    TC_ACT_REDIRECT
}

unsafe extern "C" fn redirect_peer(
    call: *mut Call<'_>,
    target: u64,
    flags: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    if flags != 0 {
        return TC_ACT_SHOT;
    }
    // SAFETY: `call` is valid.
    unsafe { note(call, target as u32, flags) };
    TC_ACT_REDIRECT
}

unsafe extern "C" fn redirect_map(
    call: *mut Call<'_>,
    m: u64,
    key: u64,
    flags: u64,
    _: u64,
    _: u64,
) -> u64 {
    /// What to return for a missing key; to all targets; not to where it came from.
    const ACTION: u64 = 3;
    const BROADCAST: u64 = 1 << 3;
    const EXCLUDE_INGRESS: u64 = 1 << 4;
    if flags & !(ACTION | BROADCAST | EXCLUDE_INGRESS) != 0 {
        return XDP_ABORTED;
    }
    let key = (key as u32).to_ne_bytes();
    // SAFETY: `call` is valid; the row promises a map, whose keys have 4 bytes.
    unsafe {
        let map = map(m);
        if flags & BROADCAST != 0 {
            note(call, 0, flags);
            return XDP_REDIRECT;
        }
        let target = if map.key_size() == 4 {
            map.store().lookup(0, key.as_ptr())
        } else {
            std::ptr::null_mut()
        };
        if target.is_null() {
            return flags & ACTION;
        }
        note(call, arena::load(target, Size::W) as u32, flags);
    }
    XDP_REDIRECT
}

/// Keeps what was asked for, for the host.
///
/// # Safety
/// `call` is valid.
unsafe fn note(call: *mut Call<'_>, target: u32, flags: u64) {
    // SAFETY: by the contract.
    unsafe {
        context::set_header((*call).ctx, REDIRECT, 1 << 32 | u64::from(target));
        context::set_header((*call).ctx, REDIRECT_FLAGS, flags);
    }
}

/// There is no routing table here, so nothing is forwarded.
unsafe extern "C" fn fib_lookup(
    _: *mut Call<'_>,
    _ctx: u64,
    _params: u64,
    _len: u64,
    _flags: u64,
    _: u64,
) -> u64 {
    const NOT_FWDED: u64 = 4;
    NOT_FWDED
}
