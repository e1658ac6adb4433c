//! The ring buffer: records of any size, in the order of their reservation, from many producers to one consumer.
//!
//! A record starts with 8 bytes, of which the first 4 are its length with the bits [`protocol::BUSY`] and
//! [`protocol::DISCARD`]. Memory goes on beyond the ring's size, so a record that begins before the end is
//! never split.
//!
//! **Invariant:** `consumer <= producer < consumer + size`; what lies between holds whole records. As in Linux the ring is never
//! filled to its last byte, so a record of the whole ring's size never fits.

#[cfg(test)]
mod model;
mod protocol;
mod turns;

use std::sync::Mutex;
use std::sync::atomic::Ordering::{self, *};
use std::sync::atomic::{AtomicU32, AtomicU64};

use protocol::{HEADER, Next, Ring};
use turns::Turns;

use crate::Call;
use crate::Error;
use crate::arena::{self, Arena};
use crate::maps::{Direct, Operation, Spec, Store};

const MAX_SIZE: usize = 1 << 30;

/// What `ringbuf_query` asks for.
mod query {
    pub const AVAIL_DATA: u64 = 0;
    pub const RING_SIZE: u64 = 1;
    pub const CONS_POS: u64 = 2;
    pub const PROD_POS: u64 = 3;
}

/// A ring buffer map, for the host's side: [`crate::Map::ring`].
pub struct RingBuf {
    memory: Arena,
    size: u64,
    producing: Producing,
    consuming: Consuming,
    turn: Mutex<()>,
    lost: AtomicU64,
}

/// What producers write: on a cache line of its own, without the next one, which processors fetch along.
/// Positions are in bytes, ever growing.
#[derive(Default)]
#[repr(align(128))]
struct Producing {
    lock: Turns,
    position: AtomicU64,
    /// Where the ring is full, as far as producers know.
    room: AtomicU64,
}

/// What consumers write.
#[derive(Default)]
#[repr(align(128))]
struct Consuming {
    position: AtomicU64,
}

pub(crate) fn ring(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    if spec.key_size != 0 || spec.value_size != 0 {
        return Err(spec.error("a ring buffer has neither keys nor values"));
    }
    if !spec.max_entries.is_power_of_two() || spec.max_entries < 4096 || spec.max_entries > MAX_SIZE
    {
        return Err(
            spec.error("the size of a ring buffer must be a power of two from 4 KiB to 1 GiB")
        );
    }
    let memory = Arena::new(2 * spec.max_entries).ok_or_else(|| spec.no_memory())?;
    Ok(Box::new(RingBuf {
        memory,
        size: spec.max_entries as u64,
        producing: Producing {
            room: AtomicU64::new(spec.max_entries as u64),
            ..Producing::default()
        },
        consuming: Consuming::default(),
        turn: Mutex::new(()),
        lost: AtomicU64::new(0),
    }))
}

impl RingBuf {
    /// Address of `len` bytes for a record, or `None` when the ring is too full or too small.
    #[inline(always)]
    pub(crate) fn reserve(&self, len: u64) -> Option<u64> {
        let Some(at) = protocol::reserve(self, len) else {
            self.lost.fetch_add(1, Relaxed);
            return None;
        };
        Some(self.memory.address() + at + HEADER)
    }

    #[inline(always)]
    fn word(&self, at: u64) -> &AtomicU32 {
        debug_assert!(at.is_multiple_of(8) && at < self.size);
        // SAFETY: offsets are below the size, the memory goes on beyond it, and records start at multiples of 8.
        unsafe { AtomicU32::from_ptr(self.memory.base().add(at as usize).cast()) }
    }

    /// `ringbuf_reserve` of this ring.
    unsafe extern "C" fn direct_reserve(
        _: *mut Call<'_>,
        this: u64,
        size: u64,
        flags: u64,
        _: u64,
        _: u64,
    ) -> u64 {
        if flags != 0 {
            return 0;
        }
        // SAFETY: `this` is what `direct` gave.
        unsafe { &*(this as *const RingBuf) }
            .reserve(size)
            .unwrap_or(0)
    }

    /// Copies a record in; false when there is no room.
    ///
    /// # Safety
    /// `from` is readable for `len` bytes.
    pub(crate) unsafe fn output(&self, from: *const u8, len: u64) -> bool {
        let Some(record) = self.reserve(len) else {
            return false;
        };
        // SAFETY: the record has `len` bytes.
        unsafe {
            arena::copy(record as *mut u8, from, len as usize);
            commit(record, false);
        }
        true
    }

    pub(crate) fn query(&self, what: u64) -> u64 {
        let consumer = self.consuming.position.load(Acquire);
        let producer = self.producing.position.load(Acquire);
        match what {
            query::AVAIL_DATA => producer.saturating_sub(consumer),
            query::RING_SIZE => self.size,
            query::CONS_POS => consumer,
            query::PROD_POS => producer,
            _ => 0,
        }
    }

    /// Hands every finished record to `f`, oldest first, until one is still being written or
    /// `f` says false; gives how many there were. Concurrent consumers take turns.
    pub fn consume(&self, mut f: impl FnMut(&[u8]) -> bool) -> usize {
        let _turn = self.turn.lock().unwrap_or_else(|e| e.into_inner());
        let mut seen = 0;
        let mut bytes = Vec::new();
        let mut produced = 0;
        while let Next::Record { at, len, discarded } = protocol::next(self, &mut produced) {
            let mut go_on = true;
            if !discarded {
                bytes.resize(len as usize, 0);
                // SAFETY: a record of that length begins after the header.
                unsafe { arena::read_into(self.memory.at((at + HEADER) as usize), &mut bytes) };
                seen += 1;
                go_on = f(&bytes);
            }
            protocol::consumed(self, len);
            if !go_on {
                break;
            }
        }
        seen
    }

    /// Records that found no room so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

/// Bytes from a record's header to what a program is handed.
pub(crate) const BEFORE: u32 = HEADER as u32;
/// What becomes of a header in [`commit`]: bits that it keeps, and bits that are set; of a discarded record the second.
pub(crate) const FINISH: [(u32, u32); 2] = [
    (protocol::LENGTH, protocol::finished(0, false)),
    (protocol::LENGTH, protocol::finished(0, true)),
];

/// Ends a reservation: the record is seen by the consumer, or skipped.
///
/// # Safety
/// `record` is what [`RingBuf::reserve`] gave, not committed yet.
pub(crate) unsafe fn commit(record: u64, discard: bool) {
    let header = (record - HEADER) as *mut u32;
    // SAFETY: the header lies before each record.
    let head = unsafe { AtomicU32::from_ptr(header) };
    head.store(protocol::finished(head.load(Relaxed), discard), Release);
}

impl Ring for RingBuf {
    #[inline(always)]
    fn size(&self) -> u64 {
        self.size
    }
    #[inline(always)]
    fn lock(&self) {
        self.producing.lock.lock(&self.producing.position);
    }
    #[inline(always)]
    fn unlock(&self) {
        self.producing.lock.unlock();
    }
    #[inline(always)]
    fn produced(&self, order: Ordering) -> u64 {
        self.producing.position.load(order)
    }
    #[inline(always)]
    fn set_produced(&self, position: u64, order: Ordering) {
        self.producing.position.store(position, order);
    }
    #[inline(always)]
    fn consumed(&self, order: Ordering) -> u64 {
        self.consuming.position.load(order)
    }
    #[inline(always)]
    fn set_consumed(&self, position: u64, order: Ordering) {
        self.consuming.position.store(position, order);
    }
    #[inline(always)]
    fn room(&self) -> u64 {
        self.producing.room.load(Relaxed)
    }
    #[inline(always)]
    fn set_room(&self, position: u64) {
        self.producing.room.store(position, Relaxed);
    }
    #[inline(always)]
    fn header(&self, at: u64, order: Ordering) -> u32 {
        self.word(at).load(order)
    }
    #[inline(always)]
    fn set_header(&self, at: u64, head: u32, order: Ordering) {
        self.word(at).store(head, order);
    }
}

impl Store for RingBuf {
    fn ring(&self) -> Option<&RingBuf> {
        Some(self)
    }

    fn direct(&self, operation: Operation) -> Option<Direct> {
        (operation == Operation::Reserve).then(|| Direct {
            function: Self::direct_reserve,
            map: std::ptr::from_ref(self) as u64,
        })
    }
}
