//! Program arrays, arrays of maps and hashes of maps: elements that programs can follow but not write.

use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering::*};

use probity_isa::Size;

use crate::Error;
use crate::arena;
use crate::maps::{Spec, Store, err};

/// What an empty slot holds. It is neither a program's index nor a map's address.
const EMPTY: u64 = u64::MAX;

/// Longest array of references.
const MAX_ENTRIES: usize = 1 << 24;

/// Slots by index.
struct References {
    slots: Box<[AtomicU64]>,
    programs: bool,
}

/// Slots by key.
struct NamedMaps {
    maps: RwLock<HashMap<Box<[u8]>, u64>>,
    key_size: usize,
    max_entries: usize,
}

pub(crate) fn programs(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    references(spec, true)
}

pub(crate) fn array_of_maps(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    references(spec, false)
}

fn references(spec: &Spec, programs: bool) -> Result<Box<dyn Store>, Error> {
    check(spec)?;
    if spec.key_size != 4 {
        return Err(spec.error("keys must have 4 bytes"));
    }
    Ok(Box::new(References {
        slots: (0..spec.max_entries)
            .map(|_| AtomicU64::new(EMPTY))
            .collect(),
        programs,
    }))
}

pub(crate) fn hash_of_maps(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    check(spec)?;
    if spec.key_size == 0 || spec.key_size > 512 {
        return Err(spec.error("a key must have 1 to 512 bytes"));
    }
    Ok(Box::new(NamedMaps {
        maps: RwLock::default(),
        key_size: spec.key_size,
        max_entries: spec.max_entries,
    }))
}

fn check(spec: &Spec) -> Result<(), Error> {
    if spec.value_size != 4 {
        return Err(spec.error("values must have 4 bytes"));
    }
    if spec.max_entries == 0 || spec.max_entries > MAX_ENTRIES {
        return Err(spec.error(format!("there must be 1 to {MAX_ENTRIES} entries")));
    }
    Ok(())
}

impl References {
    fn slot(&self, key: &[u8]) -> Option<&AtomicU64> {
        self.slots
            .get(u32::from_ne_bytes(key.try_into().ok()?) as usize)
    }
}

impl Store for References {
    unsafe fn lookup(&self, _cpu: usize, key: *const u8) -> *mut u8 {
        if self.programs {
            return std::ptr::null_mut();
        }
        // SAFETY: keys have 4 bytes.
        let index = unsafe { arena::load(key, Size::W) } as usize;
        match self.slots.get(index).map_or(EMPTY, |s| s.load(Acquire)) {
            EMPTY => std::ptr::null_mut(),
            map => map as *mut u8,
        }
    }

    unsafe fn delete(&self, key: *const u8) -> i64 {
        // SAFETY: keys have 4 bytes.
        let index = unsafe { arena::load(key, Size::W) } as usize;
        match self.slots.get(index) {
            None => err(libc::E2BIG),
            Some(slot) if slot.swap(EMPTY, AcqRel) == EMPTY => err(libc::ENOENT),
            Some(_) => 0,
        }
    }

    fn set_reference(&self, key: &[u8], to: u64) -> i64 {
        match self.slot(key) {
            Some(slot) => {
                slot.store(to, Release);
                0
            }
            None => err(libc::E2BIG),
        }
    }

    fn references(&self) -> Vec<(Vec<u8>, u64)> {
        let set = self
            .slots
            .iter()
            .enumerate()
            .map(|(n, s)| ((n as u32).to_ne_bytes().to_vec(), s.load(Acquire)));
        set.filter(|(_, to)| *to != EMPTY).collect()
    }

    fn program(&self, index: u64) -> Option<u64> {
        let to = self.slots.get(usize::try_from(index).ok()?)?.load(Acquire);
        (self.programs && to != EMPTY).then_some(to)
    }
}

impl Store for NamedMaps {
    unsafe fn lookup(&self, _cpu: usize, key: *const u8) -> *mut u8 {
        // SAFETY: by the contract.
        let key = unsafe { arena::read_vec(key, self.key_size) };
        let maps = self.maps.read().unwrap_or_else(|e| e.into_inner());
        maps.get(&*key)
            .map_or(std::ptr::null_mut(), |map| *map as *mut u8)
    }

    unsafe fn delete(&self, key: *const u8) -> i64 {
        // SAFETY: by the contract.
        let key = unsafe { arena::read_vec(key, self.key_size) };
        let mut maps = self.maps.write().unwrap_or_else(|e| e.into_inner());
        if maps.remove(&*key).is_some() {
            0
        } else {
            err(libc::ENOENT)
        }
    }

    fn set_reference(&self, key: &[u8], to: u64) -> i64 {
        let mut maps = self.maps.write().unwrap_or_else(|e| e.into_inner());
        if maps.len() >= self.max_entries && !maps.contains_key(key) {
            return err(libc::E2BIG);
        }
        maps.insert(key.into(), to);
        0
    }

    fn references(&self) -> Vec<(Vec<u8>, u64)> {
        let maps = self.maps.read().unwrap_or_else(|e| e.into_inner());
        let mut all: Vec<_> = maps.iter().map(|(k, v)| (k.to_vec(), *v)).collect();
        all.sort();
        all
    }
}
