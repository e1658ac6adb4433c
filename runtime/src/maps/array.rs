//! Arrays and per-CPU arrays: values side by side, found by index.

use crate::Error;
use crate::arena::{self, Arena};
use crate::maps::{Span, Spec, Store, Values, err, flags};

/// Where an array's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrayLayout {
    /// Address of element 0 as CPU 0 sees it; fixed while the instance lives.
    pub base: u64,
    /// Bytes from one element to the next.
    pub stride: usize,
    /// Bytes from one CPU's elements to the next CPU's; 0 when all share them.
    pub cpu_stride: usize,
    pub entries: usize,
}

pub(crate) struct Array {
    memory: Arena,
    value_size: usize,
    stride: usize,
    cpu_stride: usize,
    entries: usize,
    cpus: usize,
    percpu: bool,
    values: Values,
}

pub(crate) fn plain(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    Ok(Box::new(Array::new(spec, false)?))
}

pub(crate) fn percpu(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    Ok(Box::new(Array::new(spec, true)?))
}

impl Array {
    fn new(spec: &Spec, percpu: bool) -> Result<Array, Error> {
        let cpus = if percpu { spec.cpus } else { 1 };
        if spec.key_size != 4 {
            return Err(spec.error("the keys of an array must have 4 bytes"));
        }
        if spec.value_size == 0 || spec.max_entries == 0 || spec.max_entries > u32::MAX as usize {
            return Err(spec.error("an array needs values and entries"));
        }
        let stride = spec.value_size.checked_next_multiple_of(8);
        let cpu_stride = stride.and_then(|s| s.checked_mul(spec.max_entries));
        let bytes = cpu_stride.and_then(|s| s.checked_mul(cpus));
        let (Some(stride), Some(cpu_stride), Some(bytes)) = (stride, cpu_stride, bytes) else {
            return Err(spec.no_memory());
        };
        let memory = Arena::new(bytes).ok_or_else(|| spec.no_memory())?;
        Ok(Array {
            memory,
            value_size: spec.value_size,
            stride,
            cpu_stride,
            entries: spec.max_entries,
            cpus,
            percpu,
            values: spec.values.clone(),
        })
    }

    fn value(&self, cpu: usize, index: usize) -> *mut u8 {
        let cpu = if self.cpus == 1 { 0 } else { cpu };
        self.memory.at(cpu * self.cpu_stride + index * self.stride)
    }
}

impl Store for Array {
    unsafe fn lookup(&self, cpu: usize, key: *const u8) -> *mut u8 {
        // SAFETY: the key has 4 bytes.
        let index = unsafe { arena::load(key, probity_isa::Size::W) } as usize;
        if index < self.entries {
            self.value(cpu, index)
        } else {
            std::ptr::null_mut()
        }
    }

    unsafe fn update(&self, cpu: usize, key: *const u8, value: *const u8, how: u64) -> i64 {
        let lock = how & flags::LOCK != 0;
        if how & !flags::LOCK > flags::EXIST {
            return err(libc::EINVAL);
        }
        // SAFETY: by the contract.
        let p = unsafe { self.lookup(cpu, key) };
        if p.is_null() {
            return err(libc::E2BIG);
        }
        if how & flags::NOEXIST != 0 {
            return err(libc::EEXIST);
        }
        // SAFETY: both sides are a value.
        unsafe {
            match (lock, self.values.lock()) {
                (false, _) => self.values.update(p, value, self.value_size),
                (true, Some(at)) => self.values.update_locked(p, value, self.value_size, at),
                (true, None) => return err(libc::EINVAL),
            }
            // As in Linux: what the value owned goes with the update.
            self.values.release(p);
        }
        0
    }

    unsafe fn delete(&self, _key: *const u8) -> i64 {
        err(libc::EINVAL)
    }

    fn for_each(&self, cpu: usize, f: &mut dyn FnMut(*const u8, *mut u8) -> bool) -> i64 {
        for index in 0..self.entries {
            let key = index as u32;
            if !f(std::ptr::from_ref(&key).cast(), self.value(cpu, index)) {
                return index as i64 + 1;
            }
        }
        self.entries as i64
    }

    fn extents(&self) -> Vec<(u64, u64)> {
        vec![(
            self.memory.address(),
            self.memory.address() + self.memory.len() as u64,
        )]
    }

    fn span(&self, address: u64) -> Option<Span> {
        let at = address.checked_sub(self.memory.address())? as usize;
        if at >= self.cpus * self.cpu_stride {
            return None;
        }
        let start = self.memory.address() + (at - at % self.stride) as u64;
        // Direct value addresses may walk over the elements of an array, as in Linux.
        Some(Span {
            start,
            end: start + self.value_size as u64,
            writable: true,
        })
    }

    fn key_at(&self, address: u64) -> Option<Vec<u8>> {
        let at = address.checked_sub(self.memory.address())? as usize;
        let index = at % self.cpu_stride / self.stride;
        Some((index as u32).to_ne_bytes().to_vec())
    }

    fn array(&self) -> Option<ArrayLayout> {
        Some(ArrayLayout {
            base: self.memory.address(),
            stride: self.stride,
            cpu_stride: if self.cpus == 1 { 0 } else { self.cpu_stride },
            entries: self.entries,
        })
    }

    fn percpu(&self) -> bool {
        self.percpu
    }
}
