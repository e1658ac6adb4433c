//! Dynptrs of map values and of ring buffer records.
//!
//! A dynptr is 16 bytes of the program's stack: the address of its memory, then size, kind and flags in a word, then
//! an offset, as Linux lays it out. An address of 0 is the empty one, whose every access fails.
//!
//! **Invariant:** only helpers write those bytes; that is what the verifier proves of programs.

use super::map::map;
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
const KIND_SHIFT: u32 = 28;
const MAX_SIZE: u64 = (1 << 24) - 1;

/// The dynptr of such memory; address 0: the empty one.
fn words(address: u64, size: u64, kind: u32) -> [u8; 16] {
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
unsafe fn set(dynptr: u64, words: [u8; 16]) {
    // SAFETY: by the contract.
    unsafe { arena::copy(dynptr as *mut u8, words.as_ptr(), words.len()) }
}

/// Address and size of what a dynptr is of; `None` for the empty one.
///
/// # Safety
/// A dynptr.
unsafe fn get(dynptr: u64) -> Option<(u64, u64)> {
    let mut words = [0; 16];
    // SAFETY: by the contract.
    unsafe { arena::read_into(dynptr as *const u8, &mut words) };
    let [address, rest] = [&words[..8], &words[8..]].map(|w| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(w);
        u64::from_ne_bytes(bytes)
    });
    let (size, offset) = (rest & MAX_SIZE, rest >> 32);
    (address != 0).then_some((address.wrapping_add(offset), size))
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
        match get(dynptr) {
            Some(memory) if flags == 0 => copied(within(memory, offset, len), |from| {
                move_bytes(dst, from, len);
            }),
            _ => err(libc::EINVAL),
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
    // SAFETY: the row promises `len` readable bytes and a dynptr.
    unsafe {
        match get(dynptr) {
            Some(memory) if flags == 0 => copied(within(memory, offset, len), |to| {
                move_bytes(to, src, len);
            }),
            _ => err(libc::EINVAL),
        }
    }
}

fn copied(place: Option<u64>, f: impl FnOnce(u64)) -> u64 {
    match place {
        Some(at) => {
            f(at);
            0
        }
        None => err(libc::E2BIG),
    }
}

/// # Safety
/// `len` bytes may be written and read there; they may overlap.
unsafe fn move_bytes(to: u64, from: u64, len: u64) {
    // SAFETY: by the contract.
    unsafe {
        let bytes = super::bytes(from, len);
        super::write(to, &bytes);
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
    let memory = unsafe { get(dynptr) };
    memory
        .and_then(|m| within(m, offset, len))
        .unwrap_or_default()
}
