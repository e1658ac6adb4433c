//! The type of a map's values → where they hold fields that nobody may copy: locks, timers, kernel pointers, lists, trees.
//!
//! **Invariant:** bytes of such a field are written by helpers alone; a new value starts with zeros there.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;
use std::sync::atomic::{AtomicU32, AtomicU64};

use probity_btf::{Btf, Type, TypeId};
use probity_platform::{Managed, ManagedField};

use crate::arena;

/// Deepest structure in a structure that is looked at; the verifier refuses maps with deeper fields.
const DEPTH: u32 = 32;
/// Most elements of an array that are looked at; the verifier allows fewer fields.
const ELEMENTS: u32 = 64;

/// Fields of a value that are managed, by offset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(Option<Arc<[Field]>>);

#[derive(Clone, Debug)]
struct Field {
    at: Range<usize>,
    kind: Managed,
}

impl Values {
    /// Of a value of type `id`. What is managed is what the platform's rows name.
    pub fn of(btf: &Btf, id: TypeId, rows: &[ManagedField]) -> Values {
        let mut fields = Vec::new();
        collect(btf, id, 0, rows, DEPTH, &mut fields);
        fields.sort_by_key(|f: &Field| f.at.start);
        Values((!fields.is_empty()).then(|| fields.into()))
    }

    /// Nothing but locks is managed.
    pub fn is_portable(&self) -> bool {
        self.fields().iter().all(|f| f.kind == Managed::SpinLock)
    }

    /// The same is managed at the same places.
    pub fn same(&self, other: &Values) -> bool {
        let (a, b) = (self.fields(), other.fields());
        let same = |(a, b): (&Field, &Field)| a.at == b.at && a.kind == b.kind;
        a.len() == b.len() && a.iter().zip(b).all(same)
    }

    fn fields(&self) -> &[Field] {
        self.0.as_deref().unwrap_or_default()
    }

    /// No field of a value is managed: it is bytes.
    pub fn are_plain(&self) -> bool {
        self.0.is_none()
    }

    /// Offset of the spin lock.
    pub fn lock(&self) -> Option<usize> {
        let mut locks = self.fields().iter();
        locks
            .find(|f| f.kind == Managed::SpinLock)
            .map(|f| f.at.start)
    }

    /// Offsets of the fields of a kind.
    fn all(&self, kind: Managed) -> impl Iterator<Item = usize> {
        let of = move |f: &&Field| f.kind == kind;
        self.fields().iter().filter(of).map(|f| f.at.start)
    }

    /// Writes a new value: the bytes at `from`, with zeros for managed fields.
    ///
    /// # Safety
    /// `to` is writable and `from` readable for `size` bytes, the value's size.
    #[inline(always)]
    pub unsafe fn init(&self, to: *mut u8, from: *const u8, size: usize) {
        // SAFETY: by the contract.
        unsafe {
            if self.0.is_none() {
                arena::copy(to, from, size);
            } else {
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

    /// Ends the timers of a value that has left its map.
    ///
    /// # Safety
    /// `value` is one of the map's, not per-CPU.
    #[inline(always)]
    pub unsafe fn release(&self, value: *mut u8) {
        if self.0.is_some() {
            // SAFETY: by the contract.
            unsafe { self.end(value) };
        }
    }

    /// # Safety
    /// As for [`Values::release`].
    #[cold]
    unsafe fn end(&self, value: *mut u8) {
        for at in self.all(Managed::Timer) {
            // SAFETY: by the contract a timer lies there, aligned.
            unsafe { AtomicU64::from_ptr(value.add(at).cast()) }.store(0, Release);
        }
    }

    /// Puts zeros into a copy where managed fields are, as the host gets it.
    pub fn clear(&self, copy: &mut [u8]) {
        for f in self.fields() {
            if let Some(bytes) = copy.get_mut(f.at.clone()) {
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
                if zero && end > start {
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

fn collect(
    btf: &Btf,
    id: TypeId,
    offset: usize,
    rows: &[ManagedField],
    depth: u32,
    out: &mut Vec<Field>,
) {
    let mut found = |row: &ManagedField, size: usize| {
        out.push(Field {
            at: offset..offset.saturating_add(size),
            kind: row.kind,
        });
    };
    let id = btf.resolve(id);
    match btf.ty(id) {
        Some(Type::Ptr(to)) => {
            let tag = match btf.ty(to) {
                Some(Type::TypeTag { value, .. }) => value,
                _ => return,
            };
            if let Some(row) = rows.iter().find(|r| r.tag && r.name == tag) {
                found(row, 8);
            }
        }
        Some(Type::Struct(_)) => {
            let name = btf.name(id);
            if let Some(row) = rows.iter().find(|r| !r.tag && r.name == name) {
                return found(row, row.size as usize);
            }
            if depth == 0 {
                return;
            }
            for m in btf.members(id).iter() {
                let at = offset.saturating_add(m.bit_offset as usize / 8);
                collect(btf, m.ty, at, rows, depth - 1, out);
            }
        }
        Some(Type::Array { elem, len, .. }) if depth != 0 => {
            let Some(size) = btf.size_of(elem) else {
                return;
            };
            for n in 0..len.min(ELEMENTS) {
                let at = offset.saturating_add(n as usize * size as usize);
                let before = out.len();
                collect(btf, elem, at, rows, depth - 1, out);
                // The others are alike.
                if out.len() == before {
                    break;
                }
            }
        }
        _ => {}
    }
}
