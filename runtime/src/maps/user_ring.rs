//! The user ring buffer: records from the host to programs, in the order in which they were sent.
//!
//! Records are laid out as in [`super::ringbuf`]; here the host writes them and programs read them where they lie.
//!
//! **Invariant:** `consumer <= producer <= consumer + size`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

use crate::Error;
use crate::arena::{self, Arena};
use crate::maps::{Span, Spec, Store};

/// Of a record.
const HEADER: u64 = 8;
const LENGTH: u32 = (1 << 30) - 1;
const MAX_SIZE: usize = 1 << 30;

/// A user ring buffer map, for the host's side: [`crate::Map::user_ring`].
pub struct UserRing {
    memory: Arena,
    size: u64,
    producer: AtomicU64,
    consumer: AtomicU64,
    sending: Mutex<()>,
    /// Set while a program drains.
    busy: AtomicU32,
}

/// Why a record was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("a record of {0} bytes is longer than the ring")]
    TooLong(usize),
    #[error("the ring is full")]
    Full,
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
    Ok(Box::new(UserRing {
        memory: Arena::new(2 * spec.max_entries).ok_or_else(|| spec.no_memory())?,
        size: spec.max_entries as u64,
        producer: AtomicU64::new(0),
        consumer: AtomicU64::new(0),
        sending: Mutex::new(()),
        busy: AtomicU32::new(0),
    }))
}

impl UserRing {
    fn at(&self, position: u64) -> *mut u8 {
        self.memory.at((position & (self.size - 1)) as usize)
    }

    /// Appends a record. Concurrent senders take turns.
    pub fn send(&self, record: &[u8]) -> Result<(), SendError> {
        let whole = (record.len() as u64 + HEADER).next_multiple_of(8);
        if record.len() > LENGTH as usize || whole > self.size {
            return Err(SendError::TooLong(record.len()));
        }
        let _turn = self.sending.lock().unwrap_or_else(|e| e.into_inner());
        let position = self.producer.load(Relaxed);
        if position + whole - self.consumer.load(Acquire) > self.size {
            return Err(SendError::Full);
        }
        let at = self.at(position);
        // SAFETY: header and record lie in the memory, which goes on beyond the ring's size; no program reads there before
        // the producer's position has moved.
        unsafe {
            arena::store(at, probity_isa::Size::W, record.len() as u64);
            arena::copy(at.add(HEADER as usize), record.as_ptr(), record.len());
        }
        self.producer.store(position + whole, Release);
        Ok(())
    }

    /// Bytes that wait to be read, with their headers.
    pub fn waiting(&self) -> u64 {
        let consumer = self.consumer.load(Acquire);
        self.producer.load(Acquire).saturating_sub(consumer)
    }

    /// Hands address and length of each record to `f` until it says false or `most` were read; `None` while another drains.
    pub(crate) fn drain(&self, most: u64, mut f: impl FnMut(u64, u64) -> bool) -> Option<u64> {
        self.busy.compare_exchange(0, 1, Acquire, Relaxed).ok()?;
        let mut seen = 0;
        while seen < most {
            let position = self.consumer.load(Relaxed);
            if position >= self.producer.load(Acquire) {
                break;
            }
            let at = self.at(position);
            // SAFETY: a header lies there.
            let len = unsafe { arena::load(at, probity_isa::Size::W) };
            seen += 1;
            let go_on = f(at as u64 + HEADER, len);
            let after = position + (len + HEADER).next_multiple_of(8);
            self.consumer.store(after, Release);
            if !go_on {
                break;
            }
        }
        self.busy.store(0, Release);
        Some(seen)
    }
}

impl Store for UserRing {
    fn user_ring(&self) -> Option<&UserRing> {
        Some(self)
    }

    fn extents(&self) -> Vec<(u64, u64)> {
        let start = self.memory.address();
        vec![(start, start + self.memory.len() as u64)]
    }

    fn span(&self, address: u64) -> Option<Span> {
        let start = self.memory.address();
        let end = start + self.memory.len() as u64;
        (start..end).contains(&address).then_some(Span {
            start,
            end,
            writable: true,
        })
    }
}
