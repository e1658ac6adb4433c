//! Helpers on what a socket buffer says beside its bytes: type, hash, time stamp, congestion, checksum level.

use probity_isa::Size;

use super::checksum::replace16;
use super::packet::{ETHERNET_HEADER, Packet};
use crate::helpers::{Entry, entry, err};
use crate::{Call, arena};

pub(in crate::helpers) const ENTRIES: &[Entry] = &[
    entry(32, "skb_change_type", skb_change_type),
    entry(34, "get_hash_recalc", get_hash_recalc),
    entry(41, "set_hash_invalid", set_hash_invalid),
    entry(47, "get_socket_uid", get_socket_uid),
    entry(48, "set_hash", set_hash),
    entry(97, "skb_ecn_set_ce", skb_ecn_set_ce),
    entry(135, "csum_level", csum_level),
    entry(192, "skb_set_tstamp", skb_set_tstamp),
];

/// Offsets inside of `struct __sk_buff`.
pub(super) mod field {
    pub const PKT_TYPE: u64 = 4;
    pub const PROTOCOL: u64 = 16;
    pub const VLAN_PRESENT: u64 = 20;
    pub const VLAN_TCI: u64 = 24;
    pub const VLAN_PROTO: u64 = 28;
    pub const HASH: u64 = 68;
    pub const TSTAMP: u64 = 152;
    pub const TSTAMP_TYPE: u64 = 180;
}

/// A field of the call's context, when the context is as long.
///
/// # Safety
/// `call` is valid.
pub(super) unsafe fn get(call: *mut Call<'_>, at: u64, size: Size) -> u64 {
    // SAFETY: by the contract; checked to lie in the context.
    unsafe {
        if (*call).ctx_size() < at + size.bytes() as u64 {
            return 0;
        }
        arena::load(((*call).ctx + at) as *const u8, size)
    }
}

/// # Safety
/// `call` is valid.
pub(super) unsafe fn set(call: *mut Call<'_>, at: u64, size: Size, value: u64) {
    // SAFETY: by the contract; checked to lie in the context.
    unsafe {
        if (*call).ctx_size() >= at + size.bytes() as u64 {
            arena::store(((*call).ctx + at) as *mut u8, size, value);
        }
    }
}

unsafe extern "C" fn skb_change_type(
    call: *mut Call<'_>,
    _ctx: u64,
    to: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    /// `PACKET_OTHERHOST`, the last that may be changed.
    const OTHERHOST: u64 = 3;
    let to = u64::from(to as u32);
    // SAFETY: `call` is valid.
    unsafe {
        if to > OTHERHOST || get(call, field::PKT_TYPE, Size::W) > OTHERHOST {
            return err(libc::EINVAL);
        }
        set(call, field::PKT_TYPE, Size::W, to);
    }
    0
}

/// The context's hash: the host's, or what the program set. None is computed from the packet's addresses.
unsafe extern "C" fn get_hash_recalc(
    call: *mut Call<'_>,
    _ctx: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { get(call, field::HASH, Size::W) }
}

unsafe extern "C" fn set_hash_invalid(
    call: *mut Call<'_>,
    _ctx: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { set(call, field::HASH, Size::W, 0) };
    0
}

unsafe extern "C" fn set_hash(
    call: *mut Call<'_>,
    _ctx: u64,
    hash: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { set(call, field::HASH, Size::W, hash) };
    0
}

/// Without a socket its owner is `overflowuid`.
unsafe extern "C" fn get_socket_uid(
    _: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    65534
}

/// Marks an IP packet that allows it as having met congestion: 1 when it is marked now.
unsafe extern "C" fn skb_ecn_set_ce(
    call: *mut Call<'_>,
    ctx: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    const IPV4: u64 = 0x0800;
    const IPV6: u64 = 0x86dd;
    const CE: u64 = 3;
    // SAFETY: `call` is valid, the row promises the context; `at` gives packet bytes.
    unsafe {
        let protocol = get(call, field::PROTOCOL, Size::H) as u16;
        let (v4, len) = match u64::from(u16::from_be(protocol)) {
            IPV4 => (true, 20),
            IPV6 => (false, 40),
            _ => return 0,
        };
        let Some(header) = Packet::of(ctx).at(ETHERNET_HEADER, len) else {
            return 0;
        };
        let first = arena::load(header as *const u8, Size::H) as u16;
        // The traffic class is the second byte of IPv4, and in IPv6 the four bits to each side of the first byte's end.
        let shift = if v4 { 0 } else { 4 };
        let word = u64::from(u16::from_be(first));
        match word >> shift & 3 {
            0 => return 0,
            CE => return 1,
            _ => {}
        }
        let marked = ((word | CE << shift) as u16).to_be();
        arena::store(header as *mut u8, Size::H, u64::from(marked));
        if v4 {
            let sum = (header + 10) as *mut u8;
            let old = arena::load(sum, Size::H) as u16;
            arena::store(sum, Size::H, u64::from(replace16(old, first, marked)));
        }
    }
    1
}

/// No packet here was checked by a device.
unsafe extern "C" fn csum_level(
    _: *mut Call<'_>,
    _ctx: u64,
    level: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    /// Query, increase, decrease, reset.
    const QUERY: u64 = 0;
    const RESET: u64 = 3;
    match level {
        QUERY => err(libc::EACCES),
        n if n <= RESET => 0,
        _ => err(libc::EINVAL),
    }
}

unsafe extern "C" fn skb_set_tstamp(
    call: *mut Call<'_>,
    _ctx: u64,
    time: u64,
    clock: u64,
    _: u64,
    _: u64,
) -> u64 {
    /// Clocks: of the wall, monotonic, atomic.
    const REAL: u32 = 0;
    const TAI: u32 = 2;
    // SAFETY: `call` is valid.
    unsafe {
        let protocol = get(call, field::PROTOCOL, Size::H) as u16;
        if !matches!(u16::from_be(protocol), 0x0800 | 0x86dd) {
            return err(libc::EOPNOTSUPP);
        }
        let clock = clock as u32;
        if clock > TAI || (clock == REAL) != (time == 0) {
            return err(libc::EINVAL);
        }
        set(call, field::TSTAMP, Size::DW, time);
        set(call, field::TSTAMP_TYPE, Size::B, u64::from(clock));
    }
    0
}
