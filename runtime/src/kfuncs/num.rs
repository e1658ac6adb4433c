//! The open-coded iterator over numbers: `bpf_iter_num_new`, `_next`, `_destroy`.
//!
//! Its 8 bytes are the number last given and the one past the last, as Linux lays them out.

use super::{Entry, entry};
use crate::helpers::err;
use crate::{Call, arena};

pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "bpf_iter_num_new",
        "int (struct bpf_iter_num *it, int start, int end)",
        new,
    ),
    entry("bpf_iter_num_next", "int *(struct bpf_iter_num *it)", next),
    entry(
        "bpf_iter_num_destroy",
        "void (struct bpf_iter_num *it)",
        destroy,
    ),
];

/// `BPF_MAX_LOOPS`.
const MOST: i64 = 8 * 1024 * 1024;

/// # Safety
/// 8 bytes of memory.
unsafe fn set(it: u64, current: i32, end: i32) {
    let words = u64::from(current as u32) | u64::from(end as u32) << 32;
    // SAFETY: by the contract.
    unsafe { arena::store(it as *mut u8, probity_isa::Size::DW, words) }
}

unsafe extern "C" fn new(_: *mut Call<'_>, it: u64, start: u64, end: u64, _: u64, _: u64) -> u64 {
    let (start, end) = (start as i32, end as i32);
    let (turns, mut result) = (i64::from(end) - i64::from(start), 0);
    if turns < 0 {
        result = err(libc::EINVAL);
    } else if turns > MOST {
        result = err(libc::E2BIG);
    }
    let (current, end) = match result {
        0 => (start.wrapping_sub(1), end),
        _ => (0, 0),
    };
    // SAFETY: an iterator, by the declaration.
    unsafe { set(it, current, end) };
    result
}

unsafe extern "C" fn next(_: *mut Call<'_>, it: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: an iterator, by the declaration.
    unsafe {
        let words = arena::load(it as *const u8, probity_isa::Size::DW);
        let (current, end) = ((words as i32).wrapping_add(1), (words >> 32) as i32);
        if current >= end {
            set(it, 0, 0);
            return 0;
        }
        set(it, current, end);
    }
    it
}

unsafe extern "C" fn destroy(_: *mut Call<'_>, it: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: an iterator, by the declaration.
    unsafe { set(it, 0, 0) };
    0
}
