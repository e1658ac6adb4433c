//! The packet of a context: its bounds, and what of it is read and written.

use super::super::{bytes, err, write};
use crate::context::{self, DATA, DATA_END};
use crate::{Call, arena};
use probity_isa::Size;

pub(super) const ETHERNET_HEADER: u64 = 14;

/// Bounds of the packet.
#[derive(Clone, Copy)]
pub(crate) struct Packet {
    pub ctx: u64,
    pub data: u64,
    pub end: u64,
}

impl Packet {
    /// # Safety
    /// `ctx` is the call's context.
    pub unsafe fn of(ctx: u64) -> Packet {
        // SAFETY: by the contract.
        unsafe {
            Packet {
                ctx,
                data: context::header(ctx, DATA),
                end: context::header(ctx, DATA_END),
            }
        }
    }

    pub fn len(&self) -> u64 {
        self.end - self.data
    }

    /// Address of `len` bytes at `offset`, when they lie in the packet.
    pub fn at(&self, offset: u64, len: u64) -> Option<u64> {
        (offset <= self.len() && len <= self.len() - offset).then_some(self.data + offset)
    }

    /// Sets new bounds, and the context's length field where it has one.
    ///
    /// # Safety
    /// The bounds lie in the buffer, in order, and `call` is valid.
    pub unsafe fn set(self, call: *mut Call<'_>, data: u64, end: u64) {
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
pub(super) unsafe fn load(ctx: u64, offset: u64, to: u64, len: u64) -> u64 {
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
pub(super) unsafe fn store(ctx: u64, offset: u64, from: u64, len: u64) -> u64 {
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
