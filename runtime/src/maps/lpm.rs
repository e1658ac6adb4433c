//! Longest-prefix matching: keys are a prefix length in bits and that many bits of data.
//!
//! Values lie in the slots of a pool, so that they stay where they are; an ordered index by
//! (prefix length, masked data) finds them, longest prefix first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::RwLock;

use crate::Error;
use crate::arena::{self, Arena};
use crate::maps::{Span, Spec, Store, err, flags};

struct Lpm {
    values: Arena,
    index: RwLock<Index>,
    data_size: usize,
    value_size: usize,
    max_entries: usize,
}

#[derive(Default)]
struct Index {
    /// For each prefix length in use: masked data → slot.
    lengths: BTreeMap<u32, BTreeMap<Box<[u8]>, u32>>,
    count: usize,
    free: VecDeque<u32>,
    fresh: u32,
}

pub(crate) fn trie(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    if !(5..=4 + 256).contains(&spec.key_size) {
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
    // One slot more, so that a replaced value stays as it was for those who hold it.
    let bytes = spec
        .value_size
        .next_multiple_of(8)
        .checked_mul(spec.max_entries + 1);
    Ok(Box::new(Lpm {
        values: bytes.and_then(Arena::new).ok_or_else(|| spec.no_memory())?,
        index: RwLock::default(),
        data_size: spec.key_size - 4,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
    }))
}

impl Lpm {
    /// Prefix length and data of a key; `None` when the length exceeds the data.
    ///
    /// # Safety
    /// `key` is readable for the key's size.
    unsafe fn key(&self, key: *const u8) -> Option<(u32, Vec<u8>)> {
        // SAFETY: by the contract.
        let bytes = unsafe { arena::read_vec(key, 4 + self.data_size) };
        let (len, data) = bytes.split_first_chunk::<4>()?;
        let len = u32::from_ne_bytes(*len);
        (len as usize <= self.data_size * 8).then(|| (len, data.to_vec()))
    }

    fn value(&self, slot: u32) -> *mut u8 {
        self.values
            .at(slot as usize * self.value_size.next_multiple_of(8))
    }
}

impl Store for Lpm {
    unsafe fn lookup(&self, _cpu: usize, key: *const u8) -> *mut u8 {
        // SAFETY: by the contract.
        let Some((len, mut data)) = (unsafe { self.key(key) }) else {
            return std::ptr::null_mut();
        };
        let index = self.index.read().unwrap_or_else(|e| e.into_inner());
        for (prefix, entries) in index.lengths.range(..=len).rev() {
            mask(&mut data, *prefix);
            if let Some(slot) = entries.get(&*data) {
                return self.value(*slot);
            }
        }
        std::ptr::null_mut()
    }

    unsafe fn update(&self, _cpu: usize, key: *const u8, value: *const u8, how: u64) -> i64 {
        if how > flags::EXIST {
            return err(libc::EINVAL);
        }
        // SAFETY: by the contract.
        let Some((len, mut data)) = (unsafe { self.key(key) }) else {
            return err(libc::EINVAL);
        };
        mask(&mut data, len);
        let mut index = self.index.write().unwrap_or_else(|e| e.into_inner());
        let index = &mut *index;
        let old = index.lengths.get(&len).and_then(|m| m.get(&*data)).copied();
        match old {
            Some(_) if how == flags::NOEXIST => return err(libc::EEXIST),
            None if how == flags::EXIST => return err(libc::ENOENT),
            None if index.count >= self.max_entries => return err(libc::ENOSPC),
            _ => {}
        }
        let slot = index.free.pop_front().unwrap_or_else(|| {
            index.fresh += 1;
            index.fresh - 1
        });
        // SAFETY: at most `max_entries` slots are in use beside this one.
        unsafe { arena::copy(self.value(slot), value, self.value_size) };
        index
            .lengths
            .entry(len)
            .or_default()
            .insert(data.into(), slot);
        match old {
            Some(old) => index.free.push_back(old),
            None => index.count += 1,
        }
        0
    }

    unsafe fn delete(&self, key: *const u8) -> i64 {
        // SAFETY: by the contract.
        let Some((len, mut data)) = (unsafe { self.key(key) }) else {
            return err(libc::EINVAL);
        };
        mask(&mut data, len);
        let mut index = self.index.write().unwrap_or_else(|e| e.into_inner());
        let index = &mut *index;
        let Some(entries) = index.lengths.get_mut(&len) else {
            return err(libc::ENOENT);
        };
        let Some(slot) = entries.remove(&*data) else {
            return err(libc::ENOENT);
        };
        if entries.is_empty() {
            index.lengths.remove(&len);
        }
        index.free.push_back(slot);
        index.count -= 1;
        0
    }

    fn for_each(&self, _cpu: usize, f: &mut dyn FnMut(*const u8, *mut u8) -> bool) -> i64 {
        let all: Vec<(Vec<u8>, u32)> = {
            let index = self.index.read().unwrap_or_else(|e| e.into_inner());
            let entries = index
                .lengths
                .iter()
                .flat_map(|(len, m)| m.iter().map(move |(data, slot)| (len, data, slot)));
            entries
                .map(|(len, data, slot)| ([&len.to_ne_bytes()[..], data].concat(), *slot))
                .collect()
        };
        for (key, slot) in &all {
            if !f(key.as_ptr(), self.value(*slot)) {
                break;
            }
        }
        all.len() as i64
    }

    fn extents(&self) -> Vec<(u64, u64)> {
        vec![(
            self.values.address(),
            self.values.address() + self.values.len() as u64,
        )]
    }

    fn span(&self, address: u64) -> Option<Span> {
        let at = address
            .checked_sub(self.values.address())
            .filter(|n| *n < self.values.len() as u64)?;
        let start = address - at % self.value_size.next_multiple_of(8) as u64;
        Some(Span {
            start,
            end: start + self.value_size as u64,
            writable: true,
        })
    }
}

/// Clears all bits after the first `len`, the most significant bit of a byte being its first.
fn mask(data: &mut [u8], len: u32) {
    for (n, byte) in data.iter_mut().enumerate() {
        let kept = (len as usize).saturating_sub(n * 8).min(8);
        *byte &= !(0xffu16 >> kept) as u8;
    }
}
