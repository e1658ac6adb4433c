//! Maps of redirect targets (devices, CPUs, sockets): an array whose zero elements are absent.

use probity_isa::Size;

use crate::Error;
use crate::arena::{self, Arena};
use crate::maps::{Span, Spec, Store, err, flags};

struct Targets {
    memory: Arena,
    value_size: usize,
    entries: usize,
}

pub(crate) fn targets(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    if spec.key_size != 4 || !matches!(spec.value_size, 4 | 8) {
        return Err(spec.error("keys must have 4 bytes, values 4 or 8"));
    }
    if spec.max_entries == 0 {
        return Err(spec.error("there must be entries"));
    }
    let memory = spec
        .max_entries
        .checked_mul(8)
        .and_then(Arena::new)
        .ok_or_else(|| spec.no_memory())?;
    Ok(Box::new(Targets {
        memory,
        value_size: spec.value_size,
        entries: spec.max_entries,
    }))
}

impl Targets {
    /// # Safety
    /// `key` is readable for 4 bytes.
    unsafe fn slot(&self, key: *const u8) -> Option<*mut u8> {
        // SAFETY: by the contract.
        let index = unsafe { arena::load(key, Size::W) } as usize;
        (index < self.entries).then(|| self.memory.at(index * 8))
    }
}

impl Store for Targets {
    unsafe fn lookup(&self, _cpu: usize, key: *const u8) -> *mut u8 {
        // SAFETY: by the contract; a slot has 8 bytes.
        unsafe {
            match self.slot(key) {
                Some(p) if arena::load(p, Size::DW) != 0 => p,
                _ => std::ptr::null_mut(),
            }
        }
    }

    unsafe fn update(&self, _cpu: usize, key: *const u8, value: *const u8, how: u64) -> i64 {
        if how > flags::EXIST {
            return err(libc::EINVAL);
        }
        // SAFETY: by the contract; a slot has 8 bytes.
        unsafe {
            let Some(p) = self.slot(key) else {
                return err(libc::E2BIG);
            };
            if how == flags::NOEXIST {
                return err(libc::EEXIST);
            }
            arena::copy(p, value, self.value_size);
        }
        0
    }

    unsafe fn delete(&self, key: *const u8) -> i64 {
        // SAFETY: by the contract; a slot has 8 bytes.
        unsafe {
            let Some(p) = self.slot(key) else {
                return err(libc::EINVAL);
            };
            arena::store(p, Size::DW, 0);
        }
        0
    }

    fn for_each(&self, _cpu: usize, f: &mut dyn FnMut(*const u8, *mut u8) -> bool) -> i64 {
        let mut seen = 0;
        for index in 0..self.entries {
            let (key, p) = (index as u32, self.memory.at(index * 8));
            // SAFETY: a slot has 8 bytes.
            if unsafe { arena::load(p, Size::DW) } == 0 {
                continue;
            }
            seen += 1;
            if !f(std::ptr::from_ref(&key).cast(), p) {
                break;
            }
        }
        seen
    }

    fn extents(&self) -> Vec<(u64, u64)> {
        vec![(
            self.memory.address(),
            self.memory.address() + self.memory.len() as u64,
        )]
    }

    fn span(&self, address: u64) -> Option<Span> {
        let at = address
            .checked_sub(self.memory.address())
            .filter(|n| *n < self.entries as u64 * 8)?;
        let start = address - at % 8;
        Some(Span {
            start,
            end: start + self.value_size as u64,
            writable: false,
        })
    }
}
