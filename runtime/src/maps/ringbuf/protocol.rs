//! How producers and the consumer of a ring share positions and records' headers.
//!
//! `model.rs` runs this file under a model checker: all it touches are the words that [`Ring`] names.
//!
//! **Invariant:** below the producer's position every record has a header, which is busy until its commit.

use std::sync::atomic::Ordering::{self, *};

pub(crate) const BUSY: u32 = 1 << 31;
pub(crate) const DISCARD: u32 = 1 << 30;
pub(crate) const LENGTH: u32 = DISCARD - 1;
/// Bytes of a record's header.
pub(crate) const HEADER: u64 = 8;

/// The words of a ring.
pub(crate) trait Ring {
    /// Bytes, a power of two.
    fn size(&self) -> u64;
    /// Takes the producers' lock.
    fn lock(&self);
    fn unlock(&self);
    fn produced(&self, order: Ordering) -> u64;
    fn set_produced(&self, position: u64, order: Ordering);
    fn consumed(&self, order: Ordering) -> u64;
    fn set_consumed(&self, position: u64, order: Ordering);
    /// Where the ring is full, by the consumer's position as producers last saw it; under their lock.
    fn room(&self) -> u64;
    fn set_room(&self, position: u64);
    /// The header of the record at an offset below [`Ring::size`].
    fn header(&self, at: u64, order: Ordering) -> u32;
    fn set_header(&self, at: u64, head: u32, order: Ordering);
}

/// Offset of a new, busy record's header; `None` without room for so many bytes.
#[inline(always)]
pub(crate) fn reserve<R: Ring>(ring: &R, len: u64) -> Option<u64> {
    if len > u64::from(LENGTH) {
        return None;
    }
    let whole = (len + HEADER).next_multiple_of(8);
    if whole > ring.size() {
        return None;
    }
    ring.lock();
    let position = ring.produced(Relaxed);
    let end = position + whole;
    let mut fits = end < ring.room();
    if !fits {
        // The consumer's line is asked for only now: it writes it for every record.
        // Acquire: what the consumer read there it has read.
        let room = ring.consumed(Acquire) + ring.size();
        ring.set_room(room);
        fits = end < room;
    }
    let at = position & (ring.size() - 1);
    if fits {
        // The header is there before the record can be seen.
        ring.set_header(at, len as u32 | BUSY, Relaxed);
        ring.set_produced(end, Release);
    }
    ring.unlock();
    fits.then_some(at)
}

/// What the consumer finds next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// No record, or one that is not finished.
    Nothing,
    /// Offset of its header and bytes of its own.
    Record { at: u64, len: u64, discarded: bool },
}

/// For one consumer at a time. `seen` is the producers' position as it last saw it, or anything lower: their line is
/// asked for only when all before that is read.
#[inline(always)]
pub(crate) fn next<R: Ring>(ring: &R, seen: &mut u64) -> Next {
    let position = ring.consumed(Relaxed);
    if position >= *seen {
        *seen = ring.produced(Acquire);
        if position >= *seen {
            return Next::Nothing;
        }
    }
    let at = position & (ring.size() - 1);
    let head = ring.header(at, Acquire);
    if head & BUSY != 0 {
        return Next::Nothing;
    }
    Next::Record {
        at,
        len: u64::from(head & LENGTH),
        discarded: head & DISCARD != 0,
    }
}

/// After the consumer has read a record of so many bytes.
#[inline(always)]
pub(crate) fn consumed<R: Ring>(ring: &R, len: u64) {
    let after = ring.consumed(Relaxed) + (len + HEADER).next_multiple_of(8);
    ring.set_consumed(after, Release);
}

/// A header of a finished record.
#[inline(always)]
pub(crate) const fn finished(head: u32, discard: bool) -> u32 {
    head & LENGTH | if discard { DISCARD } else { 0 }
}
