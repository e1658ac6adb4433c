//! Helpers on XDP packets.

use super::packet::{ETHERNET_HEADER, Packet, load, store};
use crate::context::{self, BUFFER, BUFFER_END, DATA_META};
use crate::helpers::{Entry, bytes, entry, err, write};
use crate::{Call, arena};

pub(in crate::helpers) const ENTRIES: &[Entry] = &[
    entry(44, "xdp_adjust_head", xdp_adjust_head),
    entry(54, "xdp_adjust_meta", xdp_adjust_meta),
    entry(65, "xdp_adjust_tail", xdp_adjust_tail),
    entry(188, "xdp_get_buff_len", xdp_get_buff_len),
    entry(189, "xdp_load_bytes", xdp_load_bytes),
    entry(190, "xdp_store_bytes", xdp_store_bytes),
];

/// What an XDP frame keeps for itself at the start of its headroom.
const XDP_FRAME: u64 = 40;
const MAX_META: u64 = 255;

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
