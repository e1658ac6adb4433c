//! Queues and stacks: values without keys, first in first out or last in first out.

use std::sync::Mutex;

use crate::Error;
use crate::arena::{self, Arena};
use crate::maps::{Spec, Store, err, flags};

struct Queue {
    /// Places for values, used round and round.
    places: Arena,
    used: Mutex<Used>,
    value_size: usize,
    max_entries: usize,
    last_first: bool,
}

/// The places that hold values: `count` of them from `first`, the oldest.
#[derive(Default)]
struct Used {
    first: usize,
    count: usize,
}

pub(crate) fn queue(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    make(spec, false)
}

pub(crate) fn stack(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    make(spec, true)
}

fn make(spec: &Spec, last_first: bool) -> Result<Box<dyn Store>, Error> {
    if spec.key_size != 0 || spec.value_size == 0 || spec.max_entries == 0 {
        return Err(spec.error("queues and stacks have values, entries and no keys"));
    }
    let bytes = spec
        .value_size
        .checked_next_multiple_of(8)
        .and_then(|n| n.checked_mul(spec.max_entries));
    Ok(Box::new(Queue {
        places: bytes.and_then(Arena::new).ok_or_else(|| spec.no_memory())?,
        used: Mutex::default(),
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        last_first,
    }))
}

impl Queue {
    fn place(&self, n: usize) -> *mut u8 {
        let at = n % self.max_entries * self.value_size.next_multiple_of(8);
        self.places.at(at)
    }
}

impl Store for Queue {
    unsafe fn push(&self, value: *const u8, how: u64) -> i64 {
        let replace = how == flags::EXIST;
        if how != flags::ANY && !replace {
            return err(libc::EINVAL);
        }
        let mut used = self.used.lock().unwrap_or_else(|e| e.into_inner());
        if used.count == self.max_entries {
            if !replace {
                return err(libc::E2BIG);
            }
            used.first = (used.first + 1) % self.max_entries;
            used.count -= 1;
        }
        // SAFETY: a place has a value's size, and so has `value`.
        unsafe { arena::copy(self.place(used.first + used.count), value, self.value_size) };
        used.count += 1;
        0
    }

    unsafe fn pop(&self, value: *mut u8, remove: bool) -> i64 {
        let mut used = self.used.lock().unwrap_or_else(|e| e.into_inner());
        // SAFETY: by the contract; a place has a value's size.
        unsafe {
            if used.count == 0 {
                arena::zero(value, self.value_size);
                return err(libc::ENOENT);
            }
            let at = if self.last_first {
                used.first + used.count - 1
            } else {
                used.first
            };
            arena::copy(value, self.place(at), self.value_size);
        }
        if remove {
            used.count -= 1;
            if !self.last_first {
                used.first = (used.first + 1) % self.max_entries;
            }
        }
        0
    }
}
