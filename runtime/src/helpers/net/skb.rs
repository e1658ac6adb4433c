//! Helpers on socket buffers: bytes, room, hash.

use super::packet::{ETHERNET_HEADER, Packet, load, store};
use crate::context::{self, BUFFER, BUFFER_END, DATA_META};
use crate::helpers::{Entry, entry, err};
use crate::{Call, arena};

pub(in crate::helpers) const ENTRIES: &[Entry] = &[
    entry(9, "skb_store_bytes", skb_store_bytes),
    entry(26, "skb_load_bytes", skb_load_bytes),
    entry(38, "skb_change_tail", skb_change_tail),
    entry(39, "skb_pull_data", skb_pull_data),
    entry(43, "skb_change_head", skb_change_head),
    entry(68, "skb_load_bytes_relative", skb_load_bytes_relative),
];

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
