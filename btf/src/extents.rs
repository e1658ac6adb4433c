//! A structure → where each of its members begins and ends, kept once it was asked for.
//!
//! Kernel structures have hundreds of members; of one that covers some bytes the others need not be looked at.
//!
//! **Invariant:** what is kept follows from the types alone, so whoever asks first, the answers are the same.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use crate::records::Unnamed;
use crate::{Btf, Member, Records, Type, TypeId};

/// Bytes `start..end` from the start of the structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    start: u64,
    /// `u64::MAX`: a flexible array, which reaches as far as one likes.
    end: u64,
}

impl Extent {
    /// Whether the bytes `from..to` lie in it.
    pub(crate) fn covers(self, from: u64, to: Option<u64>) -> bool {
        from >= self.start && (self.end == u64::MAX || to.is_some_and(|to| to <= self.end))
    }

    /// Whether the byte `at` lies in it, or it is of no size and begins before.
    pub(crate) fn may_hold(self, at: u64) -> bool {
        at >= self.start && (at < self.end || self.start == self.end)
    }
}

/// Extents of members by structure.
#[derive(Debug, Default)]
pub(crate) struct Extents(RwLock<HashMap<TypeId, Arc<[Extent]>>>);

impl Clone for Extents {
    fn clone(&self) -> Self {
        Extents::default()
    }
}

impl Btf {
    /// Of each member of structure or union `id`, in order.
    pub(crate) fn extents(&self, id: TypeId, members: Records<'_, Member<'_>>) -> Arc<[Extent]> {
        if let Ok(known) = self.extents.0.read()
            && let Some(found) = known.get(&id)
        {
            return found.clone();
        }
        let found: Arc<[Extent]> = members.unnamed().map(|m| self.extent(m)).collect();
        if let Ok(mut known) = self.extents.0.write() {
            known.insert(id, found.clone());
        }
        found
    }

    fn extent(&self, m: Unnamed) -> Extent {
        let Some(field) = self.member_field(&m.unnamed()) else {
            // Of no size: nothing lies in it.
            return Extent {
                start: u64::MAX,
                end: 0,
            };
        };
        let start = field.byte_offset();
        let array = || matches!(self.resolved(field.ty), Some(Type::Array { len: 0, .. }));
        let flexible = field.bit_size == 0 && !field.bitfield && array();
        let end = match flexible {
            true => u64::MAX,
            false => start + field.byte_size(),
        };
        Extent { start, end }
    }
}
