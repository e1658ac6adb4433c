//! Helpers on ring buffers: records to the host and from it.

use super::dynptr;
use super::map::map;
use super::{Entry, Inline, entry, err};
use crate::maps::ringbuf;
use crate::{Call, HelperFn};

pub(super) const ENTRIES: &[Entry] = &[
    entry(130, "ringbuf_output", ringbuf_output),
    entry(131, "ringbuf_reserve", ringbuf_reserve),
    finish(132, "ringbuf_submit", ringbuf_submit, false),
    finish(133, "ringbuf_discard", ringbuf_discard, true),
    entry(134, "ringbuf_query", ringbuf_query),
    entry(209, "user_ringbuf_drain", user_ringbuf_drain),
];

/// Ends a reservation.
const fn finish(id: u32, name: &'static str, function: HelperFn, discard: bool) -> Entry {
    let (keep, set) = ringbuf::FINISH[discard as usize];
    Entry {
        inline: Some(Inline::Finish {
            before: ringbuf::BEFORE,
            keep,
            set,
        }),
        ..entry(id, name, function)
    }
}

/// Wake the consumer always, or never: here it looks by itself.
const WAKEUPS: u64 = 3;
/// Most records of one `user_ringbuf_drain`.
const MAX_SAMPLES: u64 = 128 * 1024;

unsafe extern "C" fn ringbuf_output(
    _: *mut Call<'_>,
    m: u64,
    data: u64,
    size: u64,
    flags: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises a map and `size` readable bytes.
    unsafe {
        let Some(ring) = map(m).ring() else {
            return err(libc::EINVAL);
        };
        if flags & !WAKEUPS != 0 {
            return err(libc::EINVAL);
        }
        if ring.output(data as *const u8, size) {
            0
        } else {
            err(libc::EAGAIN)
        }
    }
}

unsafe extern "C" fn ringbuf_reserve(
    _: *mut Call<'_>,
    m: u64,
    size: u64,
    flags: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises a map.
    let ring = unsafe { map(m) }.ring();
    ring.filter(|_| flags == 0)
        .and_then(|r| r.reserve(size))
        .unwrap_or(0)
}

unsafe extern "C" fn ringbuf_submit(
    _: *mut Call<'_>,
    record: u64,
    _flags: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises a reserved record.
    unsafe { ringbuf::commit(record, false) };
    0
}

unsafe extern "C" fn ringbuf_discard(
    _: *mut Call<'_>,
    record: u64,
    _flags: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises a reserved record.
    unsafe { ringbuf::commit(record, true) };
    0
}

unsafe extern "C" fn ringbuf_query(
    _: *mut Call<'_>,
    m: u64,
    what: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises a map.
    unsafe { map(m) }.ring().map_or(0, |r| r.query(what))
}

unsafe extern "C" fn user_ringbuf_drain(
    call: *mut Call<'_>,
    m: u64,
    func: u64,
    ctx: u64,
    flags: u64,
    _: u64,
) -> u64 {
    if flags & !WAKEUPS != 0 {
        return err(libc::EINVAL);
    }
    // SAFETY: `call` is valid, the row promises a map and a callback.
    unsafe {
        let Some(ring) = map(m).user_ring() else {
            return err(libc::EINVAL);
        };
        let drained = ring.drain(MAX_SAMPLES, |address, len| {
            let record = dynptr::local(address, len);
            let args = [std::ptr::from_ref(&record) as u64, ctx, 0, 0];
            (*call).reenter(func, args) == 0
        });
        drained.unwrap_or(err(libc::EBUSY))
    }
}
