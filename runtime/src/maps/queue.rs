//! Queues and stacks: values without keys, first in first out or last in first out.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::Error;
use crate::arena;
use crate::maps::{Spec, Store, err, flags};

struct Queue {
    values: Mutex<VecDeque<Box<[u8]>>>,
    value_size: usize,
    max_entries: usize,
    last_first: bool,
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
    Ok(Box::new(Queue {
        values: Mutex::default(),
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        last_first,
    }))
}

impl Store for Queue {
    unsafe fn push(&self, value: *const u8, how: u64) -> i64 {
        let replace = how == flags::EXIST;
        if how != flags::ANY && !replace {
            return err(libc::EINVAL);
        }
        // SAFETY: by the contract.
        let value = unsafe { arena::read_vec(value, self.value_size) };
        let mut values = self.values.lock().unwrap_or_else(|e| e.into_inner());
        if values.len() >= self.max_entries {
            if !replace {
                return err(libc::E2BIG);
            }
            values.pop_front();
        }
        values.push_back(value.into());
        0
    }

    unsafe fn pop(&self, value: *mut u8, remove: bool) -> i64 {
        let mut values = self.values.lock().unwrap_or_else(|e| e.into_inner());
        let at = if self.last_first {
            values.len().wrapping_sub(1)
        } else {
            0
        };
        let found = values.get(at);
        // SAFETY: by the contract.
        unsafe {
            match found {
                Some(v) => arena::copy(value, v.as_ptr(), self.value_size),
                None => {
                    arena::zero(value, self.value_size);
                    return err(libc::ENOENT);
                }
            }
        }
        if remove {
            values.remove(at);
        }
        0
    }
}
