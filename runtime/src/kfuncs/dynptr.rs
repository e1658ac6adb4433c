//! Dynptrs: of packets, parts of them, and pointers into them.
//!
//! A packet lies in one piece here, so that a slice is always a pointer to its bytes, and the buffer is never used.

use super::{Entry, entry};
use crate::Call;
use crate::helpers::dynptr::{Dynptr, MAX_SIZE, SKB, XDP, fill, move_bytes, set, words};
use crate::helpers::err;
use crate::helpers::net::Packet;

pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "bpf_dynptr_from_skb",
        "int (struct __sk_buff *s, u64 flags, struct bpf_dynptr *ptr__uninit)",
        from_skb,
    ),
    entry(
        "bpf_dynptr_from_xdp",
        "int (struct xdp_md *x, u64 flags, struct bpf_dynptr *ptr__uninit)",
        from_xdp,
    ),
    entry(
        "bpf_dynptr_slice",
        "void *(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk)",
        slice,
    ),
    entry(
        "bpf_dynptr_slice_rdwr",
        "void *(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk)",
        slice_rdwr,
    ),
    entry(
        "bpf_dynptr_adjust",
        "int (const struct bpf_dynptr *p, u32 start, u32 end)",
        adjust,
    ),
    entry(
        "bpf_dynptr_is_null",
        "bool (const struct bpf_dynptr *p)",
        is_null,
    ),
    entry(
        "bpf_dynptr_is_rdonly",
        "bool (const struct bpf_dynptr *p)",
        is_rdonly,
    ),
    entry("bpf_dynptr_size", "u32 (const struct bpf_dynptr *p)", size),
    entry(
        "bpf_dynptr_clone",
        "int (const struct bpf_dynptr *p, struct bpf_dynptr *clone__uninit)",
        clone,
    ),
    entry(
        "bpf_dynptr_copy",
        "int (struct bpf_dynptr *dst_ptr, u32 dst_off, struct bpf_dynptr *src_ptr, u32 src_off, u32 size)",
        copy,
    ),
    entry(
        "bpf_dynptr_memset",
        "int (struct bpf_dynptr *p, u32 offset, u32 size, u8 val)",
        memset,
    ),
];

/// # Safety
/// `ctx` is the call's context, `dynptr` a place for one.
unsafe fn of_packet(call: *mut Call<'_>, ctx: u64, flags: u64, dynptr: u64, kind: u32) -> u64 {
    // SAFETY: by the contract.
    unsafe {
        if flags != 0 {
            set(dynptr, words(0, 0, 0));
            return err(libc::EINVAL);
        }
        let len = Packet::of(ctx).len().min(MAX_SIZE);
        let written = (*call).instance().writes_packets((*call).kind());
        set(dynptr, Dynptr::packet(ctx, len, kind, !written).bytes());
    }
    0
}

unsafe extern "C" fn from_skb(
    call: *mut Call<'_>,
    ctx: u64,
    flags: u64,
    dynptr: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: what the declaration says.
    unsafe { of_packet(call, ctx, flags, dynptr, SKB) }
}

unsafe extern "C" fn from_xdp(
    call: *mut Call<'_>,
    ctx: u64,
    flags: u64,
    dynptr: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: what the declaration says.
    unsafe { of_packet(call, ctx, flags, dynptr, XDP) }
}

unsafe extern "C" fn slice(
    _: *mut Call<'_>,
    dynptr: u64,
    offset: u64,
    _buffer: u64,
    len: u64,
    _: u64,
) -> u64 {
    // SAFETY: a dynptr, by the declaration.
    let at = unsafe {
        Dynptr::of(dynptr).and_then(|d| d.at(u64::from(offset as u32), u64::from(len as u32)).ok())
    };
    at.unwrap_or_default()
}

unsafe extern "C" fn slice_rdwr(
    call: *mut Call<'_>,
    dynptr: u64,
    offset: u64,
    buffer: u64,
    len: u64,
    _: u64,
) -> u64 {
    // SAFETY: a dynptr, by the declaration; the rest is `slice`'s.
    unsafe {
        match Dynptr::of(dynptr) {
            Some(d) if !d.read_only => slice(call, dynptr, offset, buffer, len, 0),
            _ => 0,
        }
    }
}

unsafe extern "C" fn adjust(
    _: *mut Call<'_>,
    dynptr: u64,
    start: u64,
    end: u64,
    _: u64,
    _: u64,
) -> u64 {
    let (start, end) = (u64::from(start as u32), u64::from(end as u32));
    // SAFETY: a dynptr, by the declaration.
    unsafe {
        let Some(d) = Dynptr::of(dynptr).filter(|_| start <= end) else {
            return err(libc::EINVAL);
        };
        if end > d.size {
            return err(libc::ERANGE);
        }
        set(dynptr, d.part(start, end - start).bytes());
    }
    0
}

unsafe extern "C" fn is_null(_: *mut Call<'_>, dynptr: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: a dynptr, by the declaration.
    u64::from(unsafe { Dynptr::of(dynptr) }.is_none())
}

unsafe extern "C" fn is_rdonly(
    _: *mut Call<'_>,
    dynptr: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: a dynptr, by the declaration.
    u64::from(unsafe { Dynptr::of(dynptr) }.is_some_and(|d| d.read_only))
}

unsafe extern "C" fn size(_: *mut Call<'_>, dynptr: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: a dynptr, by the declaration.
    match unsafe { Dynptr::of(dynptr) } {
        Some(d) => d.size,
        // It is a number of 32 bits.
        None => u64::from(err(libc::EINVAL) as u32),
    }
}

unsafe extern "C" fn clone(
    _: *mut Call<'_>,
    dynptr: u64,
    clone: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: a dynptr and a place for one, by the declaration.
    unsafe {
        let Some(d) = Dynptr::of(dynptr) else {
            set(clone, words(0, 0, 0));
            return err(libc::EINVAL);
        };
        set(clone, d.bytes());
    }
    0
}

unsafe extern "C" fn copy(
    _: *mut Call<'_>,
    to: u64,
    to_off: u64,
    from: u64,
    from_off: u64,
    len: u64,
) -> u64 {
    let [to_off, from_off, len] = [to_off, from_off, len].map(|n| u64::from(n as u32));
    // SAFETY: dynptrs, by the declaration; what they give has room for so many bytes.
    unsafe {
        let (Some(to), Some(from)) = (Dynptr::of(to), Dynptr::of(from)) else {
            return err(libc::EINVAL);
        };
        if to.read_only {
            return err(libc::EINVAL);
        }
        match (from.at(from_off, len), to.at(to_off, len)) {
            (Ok(from), Ok(to)) => {
                move_bytes(to, from, len);
                0
            }
            (Err(e), _) | (_, Err(e)) => err(e),
        }
    }
}

unsafe extern "C" fn memset(
    _: *mut Call<'_>,
    dynptr: u64,
    offset: u64,
    len: u64,
    value: u64,
    _: u64,
) -> u64 {
    let (offset, len) = (u64::from(offset as u32), u64::from(len as u32));
    // SAFETY: a dynptr, by the declaration; what it gives has room for so many bytes.
    unsafe {
        let Some(d) = Dynptr::of(dynptr) else {
            // Nothing of nothing is filled.
            return if (offset, len) == (0, 0) {
                0
            } else {
                err(libc::E2BIG)
            };
        };
        if d.read_only {
            return err(libc::EINVAL);
        }
        match d.at(offset, len) {
            Ok(to) => {
                fill(to, len, value as u8);
                0
            }
            Err(e) => err(e),
        }
    }
}
