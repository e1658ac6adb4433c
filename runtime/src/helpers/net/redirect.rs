//! Helpers that send packets elsewhere: what they ask for is kept for the host.

use probity_isa::Size;
use probity_platform::linux::kinds;

use crate::context::{self, REDIRECT, REDIRECT_FLAGS};
use crate::helpers::map::map;
use crate::helpers::net::Packet;
use crate::helpers::{Entry, entry, err};
use crate::{Call, arena};

pub(in crate::helpers) const ENTRIES: &[Entry] = &[
    entry(23, "redirect", redirect),
    entry(51, "redirect_map", redirect_map),
    entry(69, "fib_lookup", fib_lookup),
    entry(163, "check_mtu", check_mtu),
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

/// Whether the packet, or one of another length, fits what an interface of the environment takes. A packet is never one
/// that is cut into segments later.
unsafe extern "C" fn check_mtu(
    call: *mut Call<'_>,
    ctx: u64,
    interface: u64,
    mtu_len: u64,
    len_diff: u64,
    flags: u64,
) -> u64 {
    const ETHERNET_HEADER: i32 = 14;
    const CHK_SEGS: u64 = 1;
    const FRAG_NEEDED: u64 = 1;
    /// Where contexts have the number of the packet's own interface: an `xdp_md`, an `__sk_buff`.
    const OWN: [u64; 2] = [12, 40];
    let diff = len_diff as i32;
    // SAFETY: `call` is valid, `ctx` its context; the row promises 4 bytes to read and write.
    unsafe {
        let xdp = (*call).kind() == kinds::XDP;
        let given = arena::load(mtu_len as *const u8, Size::W) as i32;
        let known = if xdp { 0 } else { CHK_SEGS };
        if flags & !known != 0 || flags & CHK_SEGS != 0 && (diff != 0 || given != 0) {
            return err(libc::EINVAL);
        }
        let own = OWN[usize::from(!xdp)];
        let interface = match interface as u32 {
            0 if (*call).ctx_size() >= own + 4 => {
                arena::load((ctx + own) as *const u8, Size::W) as u32
            }
            n => n,
        };
        let Some(mtu) = (*call).env().mtu(interface) else {
            return err(libc::ENODEV);
        };
        let len = match given {
            0 => Packet::of(ctx).len() as i32,
            n => n.wrapping_add(ETHERNET_HEADER),
        };
        arena::store(mtu_len as *mut u8, Size::W, u64::from(mtu));
        let most = (mtu as i32).wrapping_add(ETHERNET_HEADER);
        if len.wrapping_add(diff) <= most {
            0
        } else {
            FRAG_NEEDED
        }
    }
}
