//! Copies between the host's memory and what a program hands to a host's function.
//!
//! **Invariant:** what programs hand over is never a slice: other threads may be writing it (a map's value), and
//! two arguments may be the same bytes.

use crate::arena;

/// # Safety
/// `address` is readable for `out.len()` bytes, as memory that a verified program hands to a function is.
#[inline]
pub unsafe fn read(address: u64, out: &mut [u8]) {
    // SAFETY: by the contract.
    unsafe { arena::read_into(address as *const u8, out) }
}

/// # Safety
/// `address` is readable for `bytes.len()` bytes.
#[inline]
pub unsafe fn same(address: u64, bytes: &[u8]) -> bool {
    // SAFETY: by the contract.
    unsafe { arena::same(address as *const u8, bytes) }
}

/// # Safety
/// `address` is writable for `bytes.len()` bytes.
#[inline]
pub unsafe fn write(address: u64, bytes: &[u8]) {
    // SAFETY: by the contract; a slice is readable for its length.
    unsafe { arena::copy(address as *mut u8, bytes.as_ptr(), bytes.len()) }
}

/// # Safety
/// `address` is writable for `len` bytes.
#[inline]
pub unsafe fn zero(address: u64, len: usize) {
    // SAFETY: by the contract.
    unsafe { arena::zero(address as *mut u8, len) }
}
