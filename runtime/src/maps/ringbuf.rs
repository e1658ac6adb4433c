//! The ring buffer: records of any size, in the order of their reservation, from many producers to one consumer.
//!
//! A record starts with 8 bytes, of which the first 4 are its length with the bits [`BUSY`] and
//! [`DISCARD`]. Memory goes on beyond the ring's size, so a record that begins before the end is
//! never split.
//!
//! **Invariant:** `consumer <= producer <= consumer + size`; what lies between holds whole records.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

use crate::Error;
use crate::arena::{self, Arena};
use crate::maps::{Spec, Store};

const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
const LENGTH: u32 = DISCARD - 1;
/// Of a record.
const HEADER: u64 = 8;

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
    /// Positions in bytes, ever growing.
    producer: AtomicU64,
    consumer: AtomicU64,
    reserving: AtomicU32,
    consuming: Mutex<()>,
    lost: AtomicU64,
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
        producer: AtomicU64::new(0),
        consumer: AtomicU64::new(0),
        reserving: AtomicU32::new(0),
        consuming: Mutex::new(()),
        lost: AtomicU64::new(0),
    }))
}

impl RingBuf {
    fn offset(&self, position: u64) -> usize {
        (position & (self.size - 1)) as usize
    }

    /// Address of `len` bytes for a record, or `None` when the ring is too full or too small.
    pub(crate) fn reserve(&self, len: u64) -> Option<u64> {
        let record = self.try_reserve(len);
        if record.is_none() {
            self.lost.fetch_add(1, Relaxed);
        }
        record
    }

    fn try_reserve(&self, len: u64) -> Option<u64> {
        if len > u64::from(LENGTH) {
            return None;
        }
        let whole = (len + HEADER).next_multiple_of(8);
        if whole > self.size {
            return None;
        }
        let mut turns = 0u32;
        while self
            .reserving
            .compare_exchange_weak(0, 1, Acquire, Relaxed)
            .is_err()
        {
            turns += 1;
            if turns.is_multiple_of(64) {
                std::thread::yield_now()
            } else {
                std::hint::spin_loop()
            }
        }
        let position = self.producer.load(Relaxed);
        let fits = position + whole - self.consumer.load(Acquire) <= self.size;
        if fits {
            let at = self.offset(position);
            self.memory.u32_at(at).store(len as u32 | BUSY, Relaxed);
            self.producer.store(position + whole, Release);
        }
        self.reserving.store(0, Release);
        fits.then(|| self.memory.at(self.offset(position) + HEADER as usize) as u64)
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
        let (producer, consumer) = (self.producer.load(Acquire), self.consumer.load(Acquire));
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
        let _turn = self.consuming.lock().unwrap_or_else(|e| e.into_inner());
        let mut seen = 0;
        let mut bytes = Vec::new();
        loop {
            let position = self.consumer.load(Relaxed);
            if position >= self.producer.load(Acquire) {
                return seen;
            }
            let at = self.offset(position);
            let head = self.memory.u32_at(at).load(Acquire);
            if head & BUSY != 0 {
                return seen;
            }
            let len = u64::from(head & LENGTH);
            let mut go_on = true;
            if head & DISCARD == 0 {
                bytes.resize(len as usize, 0);
                // SAFETY: a record of that length begins after the header.
                unsafe { arena::read_into(self.memory.at(at + HEADER as usize), &mut bytes) };
                seen += 1;
                go_on = f(&bytes);
            }
            self.consumer
                .store(position + (len + HEADER).next_multiple_of(8), Release);
            if !go_on {
                return seen;
            }
        }
    }

    /// Records that found no room so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

/// Ends a reservation: the record is seen by the consumer, or skipped.
///
/// # Safety
/// `record` is what [`RingBuf::reserve`] gave, not committed yet.
pub(crate) unsafe fn commit(record: u64, discard: bool) {
    let header = (record - HEADER) as *mut u32;
    // SAFETY: the header lies before each record.
    let head = unsafe { AtomicU32::from_ptr(header) };
    let len = head.load(Relaxed) & LENGTH;
    head.store(if discard { len | DISCARD } else { len }, Release);
}

impl Store for RingBuf {
    fn ring(&self) -> Option<&RingBuf> {
        Some(self)
    }
}
