//! The type of a map's values → where they hold fields that nobody may copy: locks, timers, kernel pointers, lists, trees.
//!
//! **Invariant:** bytes of such a field are written by helpers alone; a new value starts with zeros there, and with its lock
//! as who still has a pointer to its memory left it.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::*;

use probity_platform::Managed;
use probity_verifier::SpecialField;

use crate::arena;
use crate::objects::Objects;
use crate::objects::fields::{Field, Fields};

/// Fields that [`Fields::end`] leaves as a new value has them; whoever still has a pointer to the value may be using them.
const ENDED: &[Managed] = &[
    Managed::SpinLock,
    Managed::ResSpinLock,
    Managed::Kptr,
    Managed::PercpuKptr,
    Managed::ListHead,
    Managed::RbRoot,
];

/// Fields of a value that are managed, by offset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(Option<Arc<Fields>>);

impl Values {
    /// Of values whose managed fields these are.
    pub fn of(found: &[SpecialField]) -> Values {
        Values((!found.is_empty()).then(|| Arc::new(Fields::of(found))))
    }

    /// Nothing but locks is managed.
    pub fn is_portable(&self) -> bool {
        let mut fields = self.fields().iter();
        fields.all(|f| f.kind == Some(Managed::SpinLock))
    }

    /// The same is managed at the same places.
    pub fn same(&self, other: &Values) -> bool {
        let (a, b) = (self.fields(), other.fields());
        let same = |(a, b): (&Field, &Field)| a.at == b.at && a.kind == b.kind;
        a.len() == b.len() && a.iter().zip(b).all(same)
    }

    fn fields(&self) -> &[Field] {
        self.0.as_deref().map(Fields::all).unwrap_or_default()
    }

    /// No field of a value is managed: it is bytes.
    pub fn are_plain(&self) -> bool {
        self.0.is_none()
    }

    /// Offset of the spin lock.
    pub fn lock(&self) -> Option<usize> {
        self.0.as_deref()?.find(Managed::SpinLock)
    }

    /// Writes a new value: the bytes at `from`, with zeros for managed fields.
    ///
    /// # Safety
    /// `to` is a value's memory, of zeros or of a value that has left its map, and `from` readable for `size` bytes, the value's size.
    #[inline(always)]
    pub unsafe fn init(&self, to: *mut u8, from: *const u8, size: usize) {
        // SAFETY: by the contract.
        unsafe {
            if self.0.is_none() {
                arena::copy(to, from, size);
            } else {
                self.release(to);
                self.apart(to, from, size, true);
            }
        }
    }

    /// Changes a value in place; managed fields stay as they are.
    ///
    /// # Safety
    /// As for [`Values::init`].
    #[inline(always)]
    pub unsafe fn update(&self, to: *mut u8, from: *const u8, size: usize) {
        // SAFETY: by the contract.
        unsafe {
            if self.0.is_none() {
                arena::copy(to, from, size);
            } else {
                self.apart(to, from, size, false);
            }
        }
    }

    /// [`Values::update`] with the value's own lock held.
    ///
    /// # Safety
    /// As for [`Values::init`]; there is a lock at that offset.
    pub unsafe fn update_locked(&self, to: *mut u8, from: *const u8, size: usize, lock: usize) {
        // SAFETY: by the contract.
        unsafe {
            let lock = AtomicU32::from_ptr(to.add(lock).cast());
            let mut turns = 0;
            while lock.compare_exchange_weak(0, 1, Acquire, Relaxed).is_err() {
                super::pause(&mut turns);
            }
            self.update(to, from, size);
            lock.store(0, Release);
        }
    }

    /// Ends the timers of a value that has left its map, and frees what it owns.
    ///
    /// # Safety
    /// `value` is one of the map's.
    #[inline(always)]
    pub unsafe fn release(&self, value: *mut u8) {
        if let Some(fields) = &self.0 {
            // SAFETY: by the contract.
            unsafe { end(fields, value) };
        }
    }

    /// Puts zeros into a copy where managed fields are, as the host gets it.
    pub fn clear(&self, copy: &mut [u8]) {
        for f in self.fields() {
            let end = f.at.end.min(copy.len());
            if let Some(bytes) = copy.get_mut(f.at.start..end) {
                bytes.fill(0);
            }
        }
    }

    /// # Safety
    /// As for [`Values::init`].
    #[cold]
    unsafe fn apart(&self, to: *mut u8, from: *const u8, size: usize, zero: bool) {
        let mut at = 0;
        // SAFETY: every range lies below `size`.
        unsafe {
            for f in self.fields() {
                let (start, end) = (f.at.start.min(size), f.at.end.min(size));
                if start > at {
                    arena::copy(to.add(at), from.add(at), start - at);
                }
                let ended = f.kind.is_some_and(|k| ENDED.contains(&k));
                if zero && end > start && !ended {
                    arena::zero(to.add(start), end - start);
                }
                at = at.max(end);
            }
            if at < size {
                arena::copy(to.add(at), from.add(at), size - at);
            }
        }
    }
}

/// # Safety
/// `value` is one with these fields.
#[cold]
unsafe fn end(fields: &Fields, value: *mut u8) {
    let mut owned = Vec::new();
    // SAFETY: by the contract; what fields own was allocated for programs.
    unsafe {
        fields.end(value, &mut owned);
        for object in owned {
            Objects::release(object);
        }
    }
}
