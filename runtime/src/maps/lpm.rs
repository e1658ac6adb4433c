//! Longest-prefix matching: keys are a prefix length in bits and that many bits of data.
//!
//! A hash map by (prefix length, masked data), asked once for each length in use, longest first; so lookups take no lock either.
//! After each value stands its key as it was given, which is what the host gets back.

use std::sync::atomic::{AtomicU32, Ordering::*};

use crate::Error;
use crate::arena;
use crate::maps::{Span, Spec, Store, err, flags, hash};

/// Longest data, and the length before it.
const MAX_DATA: usize = 256;
const LENGTH: usize = 4;

struct Lpm {
    elements: Box<dyn Store>,
    /// Elements of each prefix length: never fewer than there are.
    lengths: Box<[AtomicU32]>,
    data_size: usize,
    value_size: usize,
    /// From a value to the key after it, and the bytes of both.
    key_at: usize,
    whole: usize,
}

/// A key's bytes, as they are stored: without the bits after the prefix.
struct Key {
    bytes: [u8; LENGTH + MAX_DATA],
    len: usize,
}

pub(crate) fn trie(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    if !(LENGTH + 1..=LENGTH + MAX_DATA).contains(&spec.key_size) {
        return Err(spec.error("a key must have 5 to 260 bytes"));
    }
    if spec.value_size == 0
        || spec.value_size > 1 << 24
        || spec.max_entries == 0
        || spec.max_entries > 1 << 28
    {
        return Err(spec.error("there must be values and entries"));
    }
    if spec.flags & flags::NO_PREALLOC == 0 {
        return Err(spec.error("BPF_F_NO_PREALLOC must be set"));
    }
    let data_size = spec.key_size - LENGTH;
    let key_at = spec.value_size.next_multiple_of(8);
    let whole = key_at + spec.key_size;
    Ok(Box::new(Lpm {
        elements: hash::plain(&Spec {
            value_size: whole,
            values: spec.values.clone(),
            ..*spec
        })?,
        value_size: spec.value_size,
        key_at,
        whole,
        lengths: (0..=data_size * 8).map(|_| AtomicU32::new(0)).collect(),
        data_size,
    }))
}

impl Key {
    /// # Safety
    /// `key` is readable for the length and `data_size` bytes.
    unsafe fn read(key: *const u8, data_size: usize) -> Option<Key> {
        let mut bytes = [0; LENGTH + MAX_DATA];
        // SAFETY: by the contract; a definition's keys are no longer.
        unsafe { arena::read_into(key, &mut bytes[..LENGTH + data_size]) };
        let len = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
        (len <= data_size * 8).then_some(Key { bytes, len })
    }

    /// Shortens the prefix to `len` bits, the most significant bit of a byte being its first.
    fn cut(&mut self, len: usize, data_size: usize) {
        self.len = len;
        self.bytes[..LENGTH].copy_from_slice(&(len as u32).to_ne_bytes());
        let first = LENGTH + len / 8;
        let end = LENGTH + data_size;
        if first < end {
            self.bytes[first] &= !(0xff >> (len % 8)) as u8;
            self.bytes[first + 1..end].fill(0);
        }
    }

    fn address(&self) -> *const u8 {
        self.bytes.as_ptr()
    }
}

impl Lpm {
    /// The element of the longest prefix of `key`.
    ///
    /// # Safety
    /// As for [`Store::lookup`].
    unsafe fn longest(&self, key: *const u8, cpu: usize) -> Option<(Key, *mut u8)> {
        // SAFETY: by the contract.
        let mut key = unsafe { Key::read(key, self.data_size) }?;
        for len in (0..=key.len).rev() {
            if self.lengths[len].load(Acquire) == 0 {
                continue;
            }
            key.cut(len, self.data_size);
            // SAFETY: the key has the map's size.
            let value = unsafe { self.elements.lookup(cpu, key.address()) };
            if !value.is_null() {
                return Some((key, value));
            }
        }
        None
    }
}

impl Store for Lpm {
    unsafe fn lookup(&self, cpu: usize, key: *const u8) -> *mut u8 {
        // SAFETY: by the contract.
        let found = unsafe { self.longest(key, cpu) };
        found.map_or(std::ptr::null_mut(), |(_, value)| value)
    }

    unsafe fn copy_out(&self, cpu: usize, key: *const u8, out: &mut [u8]) -> bool {
        let mut both = vec![0; self.whole];
        // SAFETY: by the contract; the key found has the map's size.
        unsafe {
            while let Some((found, _)) = self.longest(key, cpu) {
                // Deleted meanwhile, a shorter one is the longest.
                if self.elements.copy_out(cpu, found.address(), &mut both) {
                    out.copy_from_slice(&both[..self.value_size]);
                    return true;
                }
            }
        }
        false
    }

    unsafe fn update(&self, cpu: usize, key: *const u8, value: *const u8, how: u64) -> i64 {
        if how > flags::EXIST {
            return err(libc::EINVAL);
        }
        // SAFETY: by the contract.
        let Some(mut key) = (unsafe { Key::read(key, self.data_size) }) else {
            return err(libc::EINVAL);
        };
        let mut both = vec![0; self.whole];
        both[self.key_at..].copy_from_slice(&key.bytes[..LENGTH + self.data_size]);
        // SAFETY: by the contract.
        unsafe { arena::read_into(value, &mut both[..self.value_size]) };
        key.cut(key.len, self.data_size);
        let put = |how| {
            // SAFETY: key and value have the elements' sizes.
            unsafe { self.elements.update(cpu, key.address(), both.as_ptr(), how) }
        };
        let count = &self.lengths[key.len];
        loop {
            if how != flags::EXIST {
                // Counted first, so that whoever sees the element sees the count.
                count.fetch_add(1, AcqRel);
                let done = put(flags::NOEXIST);
                if done == 0 {
                    return 0;
                }
                count.fetch_sub(1, AcqRel);
                if done == err(libc::E2BIG) {
                    return err(libc::ENOSPC);
                }
                if how == flags::NOEXIST || done != err(libc::EEXIST) {
                    return done;
                }
            }
            let done = put(flags::EXIST);
            // Another thread deleted it in between.
            if done == err(libc::ENOENT) && how == flags::ANY {
                continue;
            }
            return done;
        }
    }

    unsafe fn delete(&self, key: *const u8) -> i64 {
        // SAFETY: by the contract.
        let Some(mut key) = (unsafe { Key::read(key, self.data_size) }) else {
            return err(libc::EINVAL);
        };
        key.cut(key.len, self.data_size);
        // SAFETY: the key has the map's size.
        let done = unsafe { self.elements.delete(key.address()) };
        if done == 0 {
            self.lengths[key.len].fetch_sub(1, AcqRel);
        }
        done
    }

    fn for_each(&self, cpu: usize, f: &mut dyn FnMut(*const u8, *mut u8) -> bool) -> i64 {
        self.elements.for_each(cpu, f)
    }

    fn keys(&self, size: usize) -> Vec<Vec<u8>> {
        let mut both = vec![0; self.whole];
        let given = |key: Vec<u8>| {
            // SAFETY: the key has the map's size, `both` that of an element.
            let found = unsafe { self.elements.copy_out(0, key.as_ptr(), &mut both) };
            found.then(|| both[self.key_at..].to_vec())
        };
        let mut keys: Vec<_> = self
            .elements
            .keys(size)
            .into_iter()
            .filter_map(given)
            .collect();
        keys.sort();
        keys
    }

    fn extents(&self) -> Vec<(u64, u64)> {
        self.elements.extents()
    }

    fn span(&self, address: u64) -> Option<Span> {
        let span = self.elements.span(address)?;
        // Keys of the elements are found at addresses of their own.
        let end = span.start + self.value_size as u64;
        Some(Span {
            end: if span.writable { end } else { span.end },
            ..span
        })
    }
}
