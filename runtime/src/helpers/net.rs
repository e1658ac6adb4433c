//! Helpers on packets: loads and stores, room, checksums, redirection; and sockets, of which there are none here.

use probity_isa::Size;
use probity_platform::linux::kinds;

use super::map::map;
use super::{Entry, bytes, entry, err, write};
use crate::context::{
    self, BUFFER, BUFFER_END, DATA, DATA_END, DATA_META, REDIRECT, REDIRECT_FLAGS,
};
use crate::{Call, arena};

pub(super) const ENTRIES: &[Entry] = &[
    entry(9, "skb_store_bytes", skb_store_bytes),
    entry(10, "l3_csum_replace", l3_csum_replace),
    entry(11, "l4_csum_replace", l4_csum_replace),
    entry(23, "redirect", redirect),
    entry(26, "skb_load_bytes", skb_load_bytes),
    entry(28, "csum_diff", csum_diff),
    entry(34, "get_hash_recalc", get_hash_recalc),
    entry(38, "skb_change_tail", skb_change_tail),
    entry(39, "skb_pull_data", skb_pull_data),
    entry(40, "csum_update", csum_update),
    entry(41, "set_hash_invalid", set_hash_invalid),
    entry(43, "skb_change_head", skb_change_head),
    entry(44, "xdp_adjust_head", xdp_adjust_head),
    entry(46, "get_socket_cookie", no_socket),
    entry(51, "redirect_map", redirect_map),
    entry(54, "xdp_adjust_meta", xdp_adjust_meta),
    entry(65, "xdp_adjust_tail", xdp_adjust_tail),
    entry(68, "skb_load_bytes_relative", skb_load_bytes_relative),
    entry(69, "fib_lookup", fib_lookup),
    entry(84, "sk_lookup_tcp", no_socket),
    entry(85, "sk_lookup_udp", no_socket),
    entry(86, "sk_release", no_socket),
    entry(95, "sk_fullsock", no_socket),
    entry(96, "tcp_sock", no_socket),
    entry(98, "get_listener_sock", no_socket),
    entry(99, "skc_lookup_tcp", no_socket),
    entry(122, "get_netns_cookie", get_netns_cookie),
    entry(152, "redirect_neigh", redirect_neigh),
    entry(155, "redirect_peer", redirect_peer),
    entry(188, "xdp_get_buff_len", xdp_get_buff_len),
    entry(189, "xdp_load_bytes", xdp_load_bytes),
    entry(190, "xdp_store_bytes", xdp_store_bytes),
];

const ETHERNET_HEADER: u64 = 14;
/// What an XDP frame keeps for itself at the start of its headroom.
const XDP_FRAME: u64 = 40;
const MAX_META: u64 = 255;
/// `ENOTSUPP`, which has no name outside of the kernel.
const ENOTSUPP: i32 = 524;
/// Of `hash` in `struct __sk_buff`.
const SKB_HASH: u64 = 44;

/// Bounds of the packet.
#[derive(Clone, Copy)]
struct Packet {
    ctx: u64,
    data: u64,
    end: u64,
}

impl Packet {
    /// # Safety
    /// `ctx` is the call's context.
    unsafe fn of(ctx: u64) -> Packet {
        // SAFETY: by the contract.
        unsafe {
            Packet {
                ctx,
                data: context::header(ctx, DATA),
                end: context::header(ctx, DATA_END),
            }
        }
    }

    fn len(&self) -> u64 {
        self.end - self.data
    }

    /// Address of `len` bytes at `offset`, when they lie in the packet.
    fn at(&self, offset: u64, len: u64) -> Option<u64> {
        (offset <= self.len() && len <= self.len() - offset).then_some(self.data + offset)
    }

    /// Sets new bounds, and the context's length field where it has one.
    ///
    /// # Safety
    /// The bounds lie in the buffer, in order, and `call` is valid.
    unsafe fn set(self, call: *mut Call<'_>, data: u64, end: u64) {
        // SAFETY: by the contract; the length field lies in the context.
        unsafe {
            context::set_header(self.ctx, DATA, data);
            context::set_header(self.ctx, DATA_END, end);
            if let Some(at) = (*call).length_at() {
                arena::store((self.ctx + at) as *mut u8, Size::W, end - data);
            }
        }
    }
}

/// # Safety
/// `ctx` is the call's context, `to` writable for `len` bytes.
unsafe fn load(ctx: u64, offset: u64, to: u64, len: u64) -> u64 {
    // SAFETY: by the contract; `at` gives packet bytes.
    unsafe {
        match Packet::of(ctx)
            .at(offset, len)
            .filter(|_| offset <= i32::MAX as u64)
        {
            Some(from) => {
                let copy = bytes(from, len);
                write(to, &copy);
                0
            }
            None => {
                arena::zero(to as *mut u8, len as usize);
                err(libc::EFAULT)
            }
        }
    }
}

/// # Safety
/// `ctx` is the call's context, `from` readable for `len` bytes.
unsafe fn store(ctx: u64, offset: u64, from: u64, len: u64) -> u64 {
    // SAFETY: by the contract; `at` gives packet bytes.
    unsafe {
        match Packet::of(ctx)
            .at(offset, len)
            .filter(|_| offset <= i32::MAX as u64)
        {
            Some(to) => {
                let copy = bytes(from, len);
                write(to, &copy);
                0
            }
            None => err(libc::EFAULT),
        }
    }
}

unsafe extern "C" fn skb_load_bytes(
    _: *mut Call<'_>,
    ctx: u64,
    offset: u64,
    to: u64,
    len: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises the context and `len` writable bytes.
    unsafe { load(ctx, u64::from(offset as u32), to, u64::from(len as u32)) }
}

unsafe extern "C" fn skb_load_bytes_relative(
    _: *mut Call<'_>,
    ctx: u64,
    offset: u64,
    to: u64,
    len: u64,
    from: u64,
) -> u64 {
    let base = match from as u32 {
        // From the link-layer header, from the network header.
        0 => 0,
        1 => ETHERNET_HEADER,
        _ => u64::from(u32::MAX),
    };
    // SAFETY: the row promises the context and `len` writable bytes.
    unsafe {
        load(
            ctx,
            u64::from(offset as u32) + base,
            to,
            u64::from(len as u32),
        )
    }
}

unsafe extern "C" fn skb_store_bytes(
    _: *mut Call<'_>,
    ctx: u64,
    offset: u64,
    from: u64,
    len: u64,
    flags: u64,
) -> u64 {
    /// Recompute the checksum, invalidate the hash: there is neither here.
    const FLAGS: u64 = 3;
    if flags & !FLAGS != 0 {
        return err(libc::EINVAL);
    }
    // SAFETY: the row promises the context and `len` readable bytes.
    unsafe { store(ctx, u64::from(offset as u32), from, u64::from(len as u32)) }
}

unsafe extern "C" fn xdp_load_bytes(
    _: *mut Call<'_>,
    ctx: u64,
    offset: u64,
    to: u64,
    len: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises the context and `len` writable bytes.
    unsafe {
        let (offset, len) = (u64::from(offset as u32), u64::from(len as u32));
        match Packet::of(ctx).at(offset, len) {
            Some(_) => load(ctx, offset, to, len),
            None => err(libc::EINVAL),
        }
    }
}

unsafe extern "C" fn xdp_store_bytes(
    _: *mut Call<'_>,
    ctx: u64,
    offset: u64,
    from: u64,
    len: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises the context and `len` readable bytes.
    unsafe {
        let (offset, len) = (u64::from(offset as u32), u64::from(len as u32));
        match Packet::of(ctx).at(offset, len) {
            Some(_) => store(ctx, offset, from, len),
            None => err(libc::EINVAL),
        }
    }
}

unsafe extern "C" fn xdp_get_buff_len(
    _: *mut Call<'_>,
    ctx: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises the context.
    unsafe { Packet::of(ctx) }.len()
}

unsafe extern "C" fn xdp_adjust_head(
    call: *mut Call<'_>,
    ctx: u64,
    delta: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises the context; new bounds are checked against the buffer's.
    unsafe {
        let p = Packet::of(ctx);
        let meta = context::header(ctx, DATA_META);
        let meta_len = p.data - meta;
        let data = p.data.wrapping_add_signed(i64::from(delta as i32));
        let first = context::header(ctx, BUFFER) + XDP_FRAME + meta_len;
        if data < first || data > p.end.saturating_sub(ETHERNET_HEADER) || p.len() < ETHERNET_HEADER
        {
            return err(libc::EINVAL);
        }
        // Metadata stays right before the packet.
        let copy = bytes(meta, meta_len);
        write(data - meta_len, &copy);
        context::set_header(ctx, DATA_META, data - meta_len);
        p.set(call, data, p.end);
    }
    0
}

unsafe extern "C" fn xdp_adjust_tail(
    call: *mut Call<'_>,
    ctx: u64,
    delta: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises the context; new bounds are checked against the buffer's.
    unsafe {
        let p = Packet::of(ctx);
        let end = p.end.wrapping_add_signed(i64::from(delta as i32));
        if end > context::header(ctx, BUFFER_END) || end < p.data + ETHERNET_HEADER {
            return err(libc::EINVAL);
        }
        if end > p.end {
            arena::zero(p.end as *mut u8, (end - p.end) as usize);
        }
        p.set(call, p.data, end);
    }
    0
}

unsafe extern "C" fn xdp_adjust_meta(
    _: *mut Call<'_>,
    ctx: u64,
    delta: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises the context; the new bound is checked against the buffer's.
    unsafe {
        let p = Packet::of(ctx);
        let meta = context::header(ctx, DATA_META).wrapping_add_signed(i64::from(delta as i32));
        if meta < context::header(ctx, BUFFER) + XDP_FRAME || meta > p.data {
            return err(libc::EINVAL);
        }
        let len = p.data - meta;
        if !len.is_multiple_of(4) || len > MAX_META {
            return err(libc::EACCES);
        }
        context::set_header(ctx, DATA_META, meta);
    }
    0
}

unsafe extern "C" fn skb_pull_data(
    _: *mut Call<'_>,
    ctx: u64,
    len: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises the context.
    let packet = unsafe { Packet::of(ctx) };
    // The packet is in one piece already.
    if u64::from(len as u32) > packet.len() {
        err(libc::ENOMEM)
    } else {
        0
    }
}

unsafe extern "C" fn skb_change_tail(
    call: *mut Call<'_>,
    ctx: u64,
    len: u64,
    flags: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises the context; new bounds are checked against the buffer's.
    unsafe {
        let p = Packet::of(ctx);
        let len = u64::from(len as u32);
        if flags != 0 || len < ETHERNET_HEADER || len > context::MAX_PACKET as u64 {
            return err(libc::EINVAL);
        }
        let end = p.data + len;
        if end > context::header(ctx, BUFFER_END) {
            return err(libc::ENOMEM);
        }
        if end > p.end {
            arena::zero(p.end as *mut u8, (end - p.end) as usize);
        }
        p.set(call, p.data, end);
    }
    0
}

unsafe extern "C" fn skb_change_head(
    call: *mut Call<'_>,
    ctx: u64,
    room: u64,
    flags: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises the context; new bounds are checked against the buffer's.
    unsafe {
        let p = Packet::of(ctx);
        let room = u64::from(room as u32);
        if flags != 0 || p.len() + room > context::MAX_PACKET as u64 {
            return err(libc::EINVAL);
        }
        if p.data - room.min(p.data) < context::header(ctx, BUFFER) {
            return err(libc::ENOMEM);
        }
        let data = p.data - room;
        arena::zero(data as *mut u8, room as usize);
        context::set_header(ctx, DATA_META, data);
        p.set(call, data, p.end);
    }
    0
}

unsafe extern "C" fn get_hash_recalc(
    call: *mut Call<'_>,
    ctx: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises the context, whose size is known.
    unsafe {
        if (*call).ctx_size() < SKB_HASH + 4 {
            return 0;
        }
        arena::load((ctx + SKB_HASH) as *const u8, Size::W)
    }
}

unsafe extern "C" fn set_hash_invalid(
    call: *mut Call<'_>,
    ctx: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises the context, whose size is known.
    unsafe {
        if (*call).ctx_size() >= SKB_HASH + 4 {
            arena::store((ctx + SKB_HASH) as *mut u8, Size::W, 0);
        }
    }
    0
}

/// No packet here carries a checksum of its whole.
unsafe extern "C" fn csum_update(
    _: *mut Call<'_>,
    _ctx: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    err(ENOTSUPP)
}

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
        if (*call).kind == kinds::XDP {
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

/// The first network namespace's cookie.
unsafe extern "C" fn get_netns_cookie(
    _: *mut Call<'_>,
    _ctx: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    1
}

const XDP_ABORTED: u64 = 0;
const XDP_REDIRECT: u64 = 4;
const TC_ACT_SHOT: u64 = 2;
const TC_ACT_REDIRECT: u64 = 7;

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

/// NULL, or 0: there are no sockets here.
unsafe extern "C" fn no_socket(_: *mut Call<'_>, _: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    0
}

unsafe extern "C" fn l3_csum_replace(
    _: *mut Call<'_>,
    ctx: u64,
    offset: u64,
    from: u64,
    to: u64,
    flags: u64,
) -> u64 {
    const FIELD: u64 = 0xf;
    let offset = u64::from(offset as u32);
    if flags & !FIELD != 0 {
        return err(libc::EINVAL);
    }
    if offset > 0xffff || offset & 1 != 0 {
        return err(libc::EFAULT);
    }
    // SAFETY: the row promises the context; `at` gives packet bytes.
    unsafe {
        let Some(at) = Packet::of(ctx).at(offset, 2) else {
            return err(libc::EFAULT);
        };
        let sum = arena::load(at as *const u8, Size::H) as u16;
        let new = match flags & FIELD {
            0 if from != 0 => return err(libc::EINVAL),
            0 => replace_by_diff(sum, to as u32),
            2 => replace16(sum, from as u16, to as u16),
            4 => replace32(sum, from as u32, to as u32),
            _ => return err(libc::EINVAL),
        };
        arena::store(at as *mut u8, Size::H, u64::from(new));
    }
    0
}

unsafe extern "C" fn l4_csum_replace(
    _: *mut Call<'_>,
    ctx: u64,
    offset: u64,
    from: u64,
    to: u64,
    flags: u64,
) -> u64 {
    const FIELD: u64 = 0xf;
    /// The pseudo header is concerned; a zero sum means none; compute one all the same; IPv6.
    const PSEUDO: u64 = 0x10;
    const MANGLED_0: u64 = 0x20;
    const ENFORCE: u64 = 0x40;
    const IPV6: u64 = 0x80;
    let offset = u64::from(offset as u32);
    if flags & !(FIELD | PSEUDO | MANGLED_0 | ENFORCE | IPV6) != 0 {
        return err(libc::EINVAL);
    }
    if offset > 0xffff || offset & 1 != 0 {
        return err(libc::EFAULT);
    }
    // SAFETY: the row promises the context; `at` gives packet bytes.
    unsafe {
        let Some(at) = Packet::of(ctx).at(offset, 2) else {
            return err(libc::EFAULT);
        };
        let sum = arena::load(at as *const u8, Size::H) as u16;
        if flags & MANGLED_0 != 0 && flags & ENFORCE == 0 && sum == 0 {
            return 0;
        }
        let mut new = match flags & FIELD {
            0 if from != 0 => return err(libc::EINVAL),
            0 => replace_by_diff(sum, to as u32),
            2 => replace32(sum, u32::from(from as u16), u32::from(to as u16)),
            4 => replace32(sum, from as u32, to as u32),
            _ => return err(libc::EINVAL),
        };
        if flags & MANGLED_0 != 0 && new == 0 {
            new = 0xffff;
        }
        arena::store(at as *mut u8, Size::H, u64::from(new));
    }
    0
}

unsafe extern "C" fn csum_diff(
    _: *mut Call<'_>,
    from: u64,
    from_size: u64,
    to: u64,
    to_size: u64,
    seed: u64,
) -> u64 {
    let (from_size, to_size, seed) = (
        u64::from(from_size as u32),
        u64::from(to_size as u32),
        seed as u32,
    );
    if !from_size.is_multiple_of(4) || !to_size.is_multiple_of(4) {
        return err(libc::EINVAL);
    }
    // SAFETY: the row promises readable bytes of these sizes.
    let (from, to) = unsafe { (bytes(from, from_size), bytes(to, to_size)) };
    let sum = match (from.is_empty(), to.is_empty()) {
        (true, true) => seed,
        (true, false) => partial(&to, seed),
        (false, true) => !partial(&from, !seed),
        (false, false) => add32(partial(&to, seed), !partial(&from, 0)),
    };
    u64::from(fold(sum))
}

/// Sum in ones' complement with the carry brought round.
fn add32(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(u32::from(carry))
}

/// 32-bit sum of 16-bit words (`bytes` has an even number).
fn partial(bytes: &[u8], seed: u32) -> u32 {
    bytes.chunks_exact(4).fold(seed, |sum, w| {
        add32(sum, u32::from_ne_bytes(w.try_into().unwrap_or_default()))
    })
}

/// A 32-bit sum brought down to 16 bits.
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

fn replace_by_diff(sum: u16, diff: u32) -> u16 {
    !fold(add32(diff, !u32::from(sum)))
}

fn replace32(sum: u16, from: u32, to: u32) -> u16 {
    !fold(add32(add32(!u32::from(sum), !from), to))
}

fn replace16(sum: u16, from: u16, to: u16) -> u16 {
    let add = |a: u16, b: u16| {
        let (sum, carry) = a.overflowing_add(b);
        sum.wrapping_add(u16::from(carry))
    };
    !add(add(!sum, !from), to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Internet checksum, computed from scratch.
    fn checksum(bytes: &[u8]) -> u16 {
        !fold(partial(bytes, 0))
    }

    #[test]
    fn replacing_a_field_gives_the_sum_of_the_changed_header() {
        let seed = std::env::var("TEST_SEED")
            .ok()
            .and_then(|s| s.parse().ok())
            .unwrap_or(7u64);
        println!("TEST_SEED={seed}");
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 32) as u32
        };
        for _ in 0..500 {
            let mut header = [0u8; 20];
            for b in &mut header {
                *b = next() as u8;
            }
            header[10] = 0;
            header[11] = 0;
            let sum = checksum(&header);
            let old = u32::from_ne_bytes(header[12..16].try_into().unwrap());
            let new = next();
            header[12..16].copy_from_slice(&new.to_ne_bytes());
            assert_eq!(replace32(sum, old, new), checksum(&header));
            assert_eq!(replace_by_diff(sum, add32(new, !old)), checksum(&header));
            let (old, new) = (u16::from_ne_bytes([header[2], header[3]]), next() as u16);
            let sum = checksum(&header);
            header[2..4].copy_from_slice(&new.to_ne_bytes());
            assert_eq!(replace16(sum, old, new), checksum(&header));
        }
    }
}
