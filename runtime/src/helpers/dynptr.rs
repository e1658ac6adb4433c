//! Dynptrs of map values, of ring buffer records and of packets.
//!
//! A dynptr is 16 bytes of the program's stack: the address of its memory, then size, kind and flags in a word, then
//! an offset, as Linux lays it out. An address of 0 is the empty one, whose every access fails.
//! That of a packet is the context's, as the packet may move and shrink: where it is, each access asks anew.
//!
//! **Invariant:** only helpers write those bytes; that is what the verifier proves of programs.

use probity_isa::Size;

use super::map::map;
use super::net::Packet;
use super::{Entry, entry, err};
use crate::maps::ringbuf;
use crate::{Call, arena};

pub(super) const ENTRIES: &[Entry] = &[
    entry(197, "dynptr_from_mem", dynptr_from_mem),
    entry(198, "ringbuf_reserve_dynptr", ringbuf_reserve_dynptr),
    entry(199, "ringbuf_submit_dynptr", ringbuf_submit_dynptr),
    entry(200, "ringbuf_discard_dynptr", ringbuf_discard_dynptr),
    entry(201, "dynptr_read", dynptr_read),
    entry(202, "dynptr_write", dynptr_write),
    entry(203, "dynptr_data", dynptr_data),
];

const LOCAL: u32 = 1;
const RINGBUF: u32 = 2;
pub(crate) const SKB: u32 = 3;
pub(crate) const XDP: u32 = 4;
const KIND_SHIFT: u32 = 28;
const KIND_MASK: u32 = 7;
/// Its memory is not written.
pub(crate) const READ_ONLY: u32 = 1 << 31;
pub(crate) const MAX_SIZE: u64 = (1 << 24) - 1;

/// Offsets and lengths in an XDP packet that are any at all.
const MAX_XDP: u64 = 0xffff;

/// Bytes that are filled at once.
const FILLED: usize = 256;

/// A dynptr that is not empty.
#[derive(Clone, Copy)]
pub(crate) struct Dynptr {
    /// Of its memory, or of the context.
    address: u64,
    /// Bytes from the offset on.
    pub size: u64,
    kind: u32,
    pub read_only: bool,
    offset: u64,
}

impl Dynptr {
    /// Reads one; `None` for the empty one.
    ///
    /// # Safety
    /// A dynptr.
    pub unsafe fn of(dynptr: u64) -> Option<Dynptr> {
        // SAFETY: by the contract.
        let (address, word, offset) = unsafe {
            (
                arena::load(dynptr as *const u8, Size::DW),
                arena::load((dynptr + 8) as *const u8, Size::W) as u32,
                arena::load((dynptr + 12) as *const u8, Size::W),
            )
        };
        (address != 0).then_some(Dynptr {
            address,
            size: u64::from(word) & MAX_SIZE,
            kind: word >> KIND_SHIFT & KIND_MASK,
            read_only: word & READ_ONLY != 0,
            offset,
        })
    }

    /// That of a packet, with its context.
    pub fn packet(ctx: u64, len: u64, kind: u32, read_only: bool) -> Dynptr {
        Dynptr {
            address: ctx,
            size: len,
            kind,
            read_only,
            offset: 0,
        }
    }

    /// Without so many bytes at the start, and so many long.
    pub fn part(self, start: u64, size: u64) -> Dynptr {
        Dynptr {
            offset: self.offset + start,
            size,
            ..self
        }
    }

    pub fn bytes(self) -> [u8; 16] {
        let mut out = words(self.address, self.size, self.kind);
        if self.read_only {
            out[11] |= (READ_ONLY >> 24) as u8;
        }
        out[12..].copy_from_slice(&(self.offset as u32).to_ne_bytes());
        out
    }

    pub fn is_packet(self) -> bool {
        matches!(self.kind, SKB | XDP)
    }

    /// Where `len` of its bytes are: an error where they are none of its, or of the packet's no longer.
    ///
    /// # Safety
    /// The context, where there is one, is the call's.
    pub unsafe fn at(self, offset: u64, len: u64) -> Result<u64, i32> {
        let Some(place) = within((self.offset, self.size), offset, len) else {
            return Err(libc::E2BIG);
        };
        if !self.is_packet() {
            return Ok(self.address.wrapping_add(place));
        }
        // SAFETY: by the contract.
        let packet = unsafe { Packet::of(self.address) };
        let gone = match self.kind {
            XDP if place <= MAX_XDP && len <= MAX_XDP => libc::EINVAL,
            _ => libc::EFAULT,
        };
        packet.at(place, len).ok_or(gone)
    }
}

/// The dynptr of such memory; address 0: the empty one.
pub(crate) fn words(address: u64, size: u64, kind: u32) -> [u8; 16] {
    let mut words = [0; 16];
    if address != 0 {
        words[..8].copy_from_slice(&address.to_ne_bytes());
        words[8..12].copy_from_slice(&(size as u32 | kind << KIND_SHIFT).to_ne_bytes());
    }
    words
}

/// A dynptr in the host's memory, for a callback; aligned as dynptrs are.
#[repr(C, align(8))]
pub(super) struct Local([u8; 16]);

/// The dynptr of memory that a helper lends to a callback.
pub(super) fn local(address: u64, size: u64) -> Local {
    Local(words(address, size.min(MAX_SIZE), LOCAL))
}

/// # Safety
/// A place for a dynptr.
pub(crate) unsafe fn set(dynptr: u64, words: [u8; 16]) {
    // SAFETY: by the contract.
    unsafe { arena::copy(dynptr as *mut u8, words.as_ptr(), words.len()) }
}

/// The address of `len` bytes at `offset`.
fn within((address, size): (u64, u64), offset: u64, len: u64) -> Option<u64> {
    let fits = len <= size && offset <= size - len;
    fits.then(|| address.wrapping_add(offset))
}

unsafe extern "C" fn dynptr_from_mem(
    _: *mut Call<'_>,
    data: u64,
    size: u64,
    flags: u64,
    dynptr: u64,
    _: u64,
) -> u64 {
    let error = match (size > MAX_SIZE, flags) {
        (true, _) => libc::E2BIG,
        (_, 0) => 0,
        _ => libc::EINVAL,
    };
    let address = if error == 0 { data } else { 0 };
    // SAFETY: the row promises a place for a dynptr.
    unsafe { set(dynptr, words(address, size, LOCAL)) };
    if error == 0 { 0 } else { err(error) }
}

unsafe extern "C" fn ringbuf_reserve_dynptr(
    _: *mut Call<'_>,
    m: u64,
    size: u64,
    flags: u64,
    dynptr: u64,
    _: u64,
) -> u64 {
    let size = u64::from(size as u32);
    // SAFETY: the row promises a map and a place for a dynptr.
    unsafe {
        let reserved = match (flags, size > MAX_SIZE) {
            (0, false) => map(m).ring().and_then(|r| r.reserve(size)),
            _ => None,
        };
        set(dynptr, words(reserved.unwrap_or(0), size, RINGBUF));
        match (reserved, flags == 0 && size > MAX_SIZE) {
            (Some(_), _) => 0,
            (None, true) => err(libc::E2BIG),
            (None, false) => err(libc::EINVAL),
        }
    }
}

/// # Safety
/// A dynptr that [`ringbuf_reserve_dynptr`] made.
unsafe fn end(dynptr: u64, discard: bool) -> u64 {
    // SAFETY: by the contract; its offset may have moved, its address is the record's.
    unsafe {
        let mut address = [0; 8];
        arena::read_into(dynptr as *const u8, &mut address);
        match u64::from_ne_bytes(address) {
            0 => {}
            record => ringbuf::commit(record, discard),
        }
        set(dynptr, words(0, 0, 0));
    }
    0
}

unsafe extern "C" fn ringbuf_submit_dynptr(
    _: *mut Call<'_>,
    dynptr: u64,
    _flags: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises such a dynptr.
    unsafe { end(dynptr, false) }
}

unsafe extern "C" fn ringbuf_discard_dynptr(
    _: *mut Call<'_>,
    dynptr: u64,
    _flags: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises such a dynptr.
    unsafe { end(dynptr, true) }
}

unsafe extern "C" fn dynptr_read(
    _: *mut Call<'_>,
    dst: u64,
    len: u64,
    dynptr: u64,
    offset: u64,
    flags: u64,
) -> u64 {
    // SAFETY: the row promises `len` writable bytes and a dynptr.
    unsafe {
        let Some(from) = Dynptr::of(dynptr).filter(|_| flags == 0) else {
            return err(libc::EINVAL);
        };
        let (len, offset) = (u64::from(len as u32), u64::from(offset as u32));
        match from.at(offset, len) {
            Ok(at) => {
                move_bytes(dst, at, len);
                0
            }
            Err(e) => {
                if from.kind == SKB && e != libc::E2BIG {
                    arena::zero(dst as *mut u8, len as usize);
                }
                err(e)
            }
        }
    }
}

unsafe extern "C" fn dynptr_write(
    _: *mut Call<'_>,
    dynptr: u64,
    offset: u64,
    src: u64,
    len: u64,
    flags: u64,
) -> u64 {
    /// Recompute the checksum, invalidate the hash: of a packet with neither they mean nothing.
    const PACKET_FLAGS: u64 = 3;
    // SAFETY: the row promises `len` readable bytes and a dynptr.
    unsafe {
        let Some(to) = Dynptr::of(dynptr).filter(|d| !d.read_only) else {
            return err(libc::EINVAL);
        };
        let (len, offset) = (u64::from(len as u32), u64::from(offset as u32));
        let allowed = if to.kind == SKB { PACKET_FLAGS } else { 0 };
        match to.at(offset, len) {
            Err(libc::E2BIG) => err(libc::E2BIG),
            _ if flags & !allowed != 0 => err(libc::EINVAL),
            Ok(at) => {
                move_bytes(at, src, len);
                0
            }
            Err(e) => err(e),
        }
    }
}

/// # Safety
/// `len` bytes may be written and read there; they may overlap.
pub(crate) unsafe fn move_bytes(to: u64, from: u64, len: u64) {
    // SAFETY: by the contract.
    unsafe {
        let bytes = super::bytes(from, len);
        super::write(to, &bytes);
    }
}

/// # Safety
/// `len` bytes may be written there.
pub(crate) unsafe fn fill(to: u64, len: u64, value: u8) {
    let bytes = [value; FILLED];
    for at in (0..len).step_by(FILLED) {
        let n = (len - at).min(FILLED as u64) as usize;
        // SAFETY: by the contract.
        unsafe { super::write(to + at, &bytes[..n]) }
    }
}

unsafe extern "C" fn dynptr_data(
    _: *mut Call<'_>,
    dynptr: u64,
    offset: u64,
    len: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises a dynptr.
    unsafe {
        let (offset, len) = (u64::from(offset as u32), u64::from(len as u32));
        let of = Dynptr::of(dynptr);
        // A packet may move, so that what points into it is asked for by other functions.
        let of = of.filter(|d| !d.is_packet() && !d.read_only);
        of.and_then(|d| d.at(offset, len).ok()).unwrap_or_default()
    }
}
