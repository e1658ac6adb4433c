//! A host's side of maps, in bytes: what the system call is in Linux, with its error numbers.

use super::map::Map;
use super::perf::PerfArray;
use super::ringbuf::RingBuf;
use super::user_ring::UserRing;
use super::{err, flags};
use crate::{Error, arena};

impl Map {
    /// The consumer's side of a ring buffer.
    pub fn ring(&self) -> Option<&RingBuf> {
        self.store.ring()
    }
    /// The sender's side of a user ring buffer.
    pub fn user_ring(&self) -> Option<&UserRing> {
        self.store.user_ring()
    }
    /// The consumer's side of a perf event array.
    pub fn perf(&self) -> Option<&PerfArray> {
        self.store.perf()
    }
    /// Copies bytes out of an arena, from an address as programs have it. Pages that are not there yet come to be, as at a
    /// fault of a process that maps the arena; with `BPF_F_SEGV_ON_FAULT`, and outside of it, the error is `EFAULT`.
    pub fn read_arena(&self, address: u64, out: &mut [u8]) -> Result<(), Error> {
        let result = self.store.arena().map(|a| a.read(address, out));
        self.refused(result.unwrap_or(err(libc::ENOTSUP)))
    }
    /// Copies bytes into an arena, as [`Map::read_arena`] does out of it.
    pub fn write_arena(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        let result = self.store.arena().map(|a| a.write(address, bytes));
        self.refused(result.unwrap_or(err(libc::ENOTSUP)))
    }
    /// Adds to a queue or stack.
    pub fn push(&self, value: &[u8], flags: u64) -> Result<(), Error> {
        if value.len() != self.value_size {
            return self.refused(err(libc::EINVAL));
        }
        // SAFETY: the value's size was checked.
        self.refused(unsafe { self.store.push(value.as_ptr(), flags) })
    }
    /// What would be taken next from a queue or stack.
    pub fn peek(&self) -> Option<Vec<u8>> {
        let mut value = vec![0; self.value_size];
        // SAFETY: there is room for a value.
        (unsafe { self.store.pop(value.as_mut_ptr(), false) } == 0).then_some(value)
    }
    /// Whether a bloom filter may have a value.
    pub fn contains(&self, value: &[u8]) -> bool {
        let mut value = value.to_vec();
        // SAFETY: the value's size is checked first.
        value.len() == self.value_size && unsafe { self.store.pop(value.as_mut_ptr(), false) } == 0
    }
    /// Takes from a queue or stack.
    pub fn pop(&self) -> Option<Vec<u8>> {
        let mut value = vec![0; self.value_size];
        // SAFETY: there is room for a value.
        (unsafe { self.store.pop(value.as_mut_ptr(), true) } == 0).then_some(value)
    }

    pub(super) fn refused(&self, result: i64) -> Result<(), Error> {
        if result >= 0 {
            Ok(())
        } else {
            Err(Error::Refused {
                map: self.name.clone(),
                errno: -result as i32,
            })
        }
    }

    pub(super) fn sizes(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        let wrong = key.len() != self.key_size || value.is_some_and(|v| v.len() != self.value_size);
        if wrong {
            self.refused(-i64::from(libc::EINVAL))
        } else {
            Ok(())
        }
    }

    fn writable(&self) -> Result<(), Error> {
        if self.frozen {
            self.refused(-i64::from(libc::EPERM))
        } else {
            Ok(())
        }
    }

    /// The system call refuses `BPF_F_LOCK` without a lock before it looks at anything else.
    fn lockable(&self, how: u64) -> Result<(), Error> {
        let locks = how & flags::LOCK != 0 && self.values.lock().is_none();
        self.refused(if locks { err(libc::EINVAL) } else { 0 })
    }

    /// A copy of an element's value (of CPU 0 in per-CPU maps).
    pub fn lookup(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.lookup_cpu(key, 0)
    }

    fn lookup_cpu(&self, key: &[u8], cpu: usize) -> Option<Vec<u8>> {
        self.sizes(key, None).ok()?;
        let mut value = vec![0; self.value_size];
        // SAFETY: the key's size was checked, `cpu` is below the number of CPUs; there is room for a value.
        let found = unsafe { self.store.copy_out(cpu, key.as_ptr(), &mut value) };
        self.values.clear(&mut value);
        found.then_some(value)
    }

    /// The values of all CPUs (one for maps that are not per-CPU).
    pub fn lookup_percpu(&self, key: &[u8]) -> Option<Vec<Vec<u8>>> {
        let cpus = if self.is_percpu() { self.cpus } else { 1 };
        (0..cpus).map(|cpu| self.lookup_cpu(key, cpu)).collect()
    }

    /// Writes an element. In per-CPU maps every CPU gets the same value.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Error> {
        self.sizes(key, Some(value))?;
        self.writable()?;
        self.lockable(flags)?;
        // SAFETY: sizes were checked; CPU 0 exists.
        self.refused(unsafe { self.store.update(0, key.as_ptr(), value.as_ptr(), flags) })?;
        if self.is_percpu() {
            self.spread(key, &vec![value; self.cpus])?;
        }
        Ok(())
    }

    /// Writes one value a CPU.
    pub fn update_percpu(&self, key: &[u8], values: &[&[u8]], flags: u64) -> Result<(), Error> {
        let Some(first) = values
            .first()
            .filter(|_| self.is_percpu() && values.len() == self.cpus)
        else {
            return self.refused(-i64::from(libc::EINVAL));
        };
        for value in values {
            self.sizes(key, Some(value))?;
        }
        self.writable()?;
        self.lockable(flags)?;
        // SAFETY: sizes were checked; CPU 0 exists.
        self.refused(unsafe { self.store.update(0, key.as_ptr(), first.as_ptr(), flags) })?;
        self.spread(key, values)
    }

    fn spread(&self, key: &[u8], values: &[&[u8]]) -> Result<(), Error> {
        for (cpu, value) in values.iter().enumerate().take(self.cpus) {
            // SAFETY: sizes were checked by the callers; `cpu` is below the number of CPUs.
            let p = unsafe { self.store.peek(cpu, key.as_ptr()) };
            if !p.is_null() {
                // SAFETY: the value is `value_size` bytes.
                unsafe { arena::copy(p, value.as_ptr(), self.value_size) };
            }
        }
        Ok(())
    }

    pub fn delete(&self, key: &[u8]) -> Result<(), Error> {
        self.sizes(key, None)?;
        self.writable()?;
        // SAFETY: the key's size was checked.
        self.refused(unsafe { self.store.delete(key.as_ptr()) })
    }

    /// Keys at this moment, in the map's order; elements that come and go meanwhile may be missing.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.store.keys(self.key_size)
    }

    /// Keys with values (of CPU 0 in per-CPU maps).
    pub fn entries(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.keys()
            .into_iter()
            .filter_map(|k| self.lookup(&k).map(|v| (k, v)))
            .collect()
    }
}
