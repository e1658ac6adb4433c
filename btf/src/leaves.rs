//! An access to a structure → the members that cover it, kept once it was asked for.
//!
//! Programs read the same few members again and again, on one path after the other.
//!
//! **Invariant:** what is kept follows from the types alone, so whoever asks first, the answers are the same; and it is
//! bounded, whatever is asked.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use crate::{Leaf, TypeId};

/// Type, offset and size.
pub(crate) type Access = (TypeId, u64, u64);

/// Most accesses that are kept.
const MOST: usize = 1 << 14;

#[derive(Debug, Default)]
pub(crate) struct Leaves(RwLock<HashMap<Access, Arc<[Leaf]>>>);

impl Clone for Leaves {
    fn clone(&self) -> Self {
        Leaves::default()
    }
}

impl Leaves {
    pub(crate) fn get(&self, access: &Access) -> Option<Arc<[Leaf]>> {
        self.0.read().ok()?.get(access).cloned()
    }

    pub(crate) fn keep(&self, access: Access, there: &Arc<[Leaf]>) {
        if let Ok(mut known) = self.0.write()
            && known.len() < MOST
        {
            known.insert(access, there.clone());
        }
    }
}
