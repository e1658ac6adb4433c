//! Program arrays, arrays of maps and hashes of maps: elements that programs can follow but not write.

use std::sync::atomic::{AtomicU64, Ordering::*};

use probity_isa::Size;

use crate::Error;
use crate::arena;
use crate::maps::{Spec, Store, err, flags, hash};

/// What an empty slot holds. It is neither a program's index nor a map's address.
const EMPTY: u64 = u64::MAX;

/// Slots as compiled code reads them: 64-bit words side by side, each loaded with acquire, as hosts replace them meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Address of slot 0; fixed while the instance lives.
    pub base: u64,
    pub entries: usize,
    /// Slots hold indices of the instance's programs, otherwise addresses of maps.
    pub programs: bool,
}

impl Slots {
    /// What an empty slot holds.
    pub const EMPTY: u64 = EMPTY;
}

/// Longest array of references.
const MAX_ENTRIES: usize = 1 << 24;

/// Slots by index.
struct References {
    slots: Box<[AtomicU64]>,
    programs: bool,
}

/// Addresses by key, and a key's bytes.
struct NamedMaps(Box<dyn Store>, usize);

/// Bytes of an address.
const ADDRESS: usize = 8;

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
    Ok(Box::new(NamedMaps(
        hash::plain(&Spec {
            value_size: ADDRESS,
            values: spec.values.clone(),
            ..*spec
        })?,
        spec.key_size,
    )))
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

    fn slots(&self) -> Option<Slots> {
        Some(Slots {
            base: self.slots.as_ptr() as u64,
            entries: self.slots.len(),
            programs: self.programs,
        })
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
    unsafe fn lookup(&self, cpu: usize, key: *const u8) -> *mut u8 {
        let mut address = [0; ADDRESS];
        // SAFETY: by the contract; a copy, as another element's address may come to where this one's is.
        if unsafe { self.0.copy_out(cpu, key, &mut address) } {
            u64::from_ne_bytes(address) as *mut u8
        } else {
            std::ptr::null_mut()
        }
    }

    unsafe fn delete(&self, key: *const u8) -> i64 {
        // SAFETY: by the contract.
        unsafe { self.0.delete(key) }
    }

    fn set_reference(&self, key: &[u8], to: u64) -> i64 {
        let to = to.to_ne_bytes();
        // SAFETY: the map checked the key's size; values are addresses.
        unsafe { self.0.update(0, key.as_ptr(), to.as_ptr(), flags::ANY) }
    }

    fn references(&self) -> Vec<(Vec<u8>, u64)> {
        let mut all = Vec::new();
        for key in self.0.keys(self.1) {
            let mut address = [0; ADDRESS];
            // SAFETY: the key has the map's size.
            if unsafe { self.0.copy_out(0, key.as_ptr(), &mut address) } {
                all.push((key, u64::from_ne_bytes(address)));
            }
        }
        all.sort();
        all
    }
}
