//! What is managed in a value or an allocated structure, and how it ends when that does.
//!
//! Structures that a field owns are taken out of it first, under the lock beside it where it is a list or a tree, and freed by who asked.

use std::ops::Range;
use std::sync::atomic::Ordering::*;
use std::sync::atomic::{AtomicU32, AtomicU64};

use probity_platform::Managed;
use probity_verifier::{Holds, SpecialField};

use super::{list, tree};
use crate::maps::pause;

/// A managed field.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub at: Range<usize>,
    /// `None`: nobody touches it.
    pub kind: Option<Managed>,
    pub holds: Holds,
}

/// Managed fields of a value or a structure, ascending.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Box<[Field]>);

impl Fields {
    pub fn of(found: &[SpecialField]) -> Fields {
        let field = |f: &SpecialField| {
            let start = usize::try_from(f.offset).unwrap_or(usize::MAX);
            let size = usize::try_from(f.size).unwrap_or(usize::MAX);
            Field {
                at: start..start.saturating_add(size),
                kind: f.kind,
                holds: f.holds,
            }
        };
        Fields(found.iter().map(field).collect())
    }

    pub fn all(&self) -> &[Field] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Offset of the first field of a kind.
    pub fn find(&self, kind: Managed) -> Option<usize> {
        let mut of = self.0.iter().filter(|f| f.kind == Some(kind));
        of.next().map(|f| f.at.start)
    }

    /// Ends what is under way in a value that nothing leads to any more, and adds to `owned` the structures that it owned.
    ///
    /// # Safety
    /// `value` is a live value or structure with these fields, aligned to 8 bytes.
    #[cold]
    pub unsafe fn end(&self, value: *mut u8, owned: &mut Vec<u64>) {
        for f in self.all() {
            let Some(kind) = f.kind else { continue };
            // SAFETY: by the contract the field lies there, aligned as Linux wants it; what is in it only helpers wrote.
            unsafe {
                let field = value.add(f.at.start);
                match (kind, f.holds) {
                    (Managed::Timer, _) => {
                        AtomicU64::from_ptr(field.cast()).store(0, Release);
                    }
                    (Managed::Kptr | Managed::PercpuKptr, Holds::Local { .. }) => {
                        let old = AtomicU64::from_ptr(field.cast()).swap(0, AcqRel);
                        owned.extend((old != 0).then_some(old));
                    }
                    (Managed::ListHead, Holds::Nodes { offset, .. }) => {
                        self.locked(value, || list::empty(field as u64, offset, owned));
                    }
                    (Managed::RbRoot, Holds::Nodes { offset, .. }) => {
                        self.locked(value, || tree::empty(field as u64, offset, owned));
                    }
                    _ => {}
                }
            }
        }
    }

    /// With the lock beside a list or tree held: who still has a pointer to the value may hold it.
    ///
    /// # Safety
    /// As for [`Fields::end`].
    unsafe fn locked(&self, value: *mut u8, f: impl FnOnce()) {
        let lock = self.find(Managed::SpinLock);
        let Some(at) = lock.or_else(|| self.find(Managed::ResSpinLock)) else {
            return;
        };
        // SAFETY: by the contract a lock lies there.
        let lock = unsafe { AtomicU32::from_ptr(value.add(at).cast()) };
        let mut turns = 0;
        while lock.compare_exchange_weak(0, 1, Acquire, Relaxed).is_err() {
            pause(&mut turns);
        }
        f();
        lock.store(0, Release);
    }
}
