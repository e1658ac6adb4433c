//! Maps: definitions → memory that programs, threads and the host share.
//!
//! **Invariant:** a value's address stays valid memory of that map for as long as the instance
//! lives; a deleted element's slot may be reused, as in Linux, but is never freed.
//!
//! **Invariant:** any number of threads may use any map through programs and through [`Map`]'s methods.
//!
//! # How long a value is valid
//!
//! A program that looked a value up may read and write its bytes until it returns, whatever others do meanwhile: they are memory
//! of the map, and nothing else will ever lie there. What they hold is another question, with Linux's answer:
//!
//! - While the element stays, they are the element's value, and updates in place (arrays, per-CPU values, `BPF_F_LOCK`) are seen.
//! - After the element was replaced or deleted they are its last value, until the slot is used for a new element; then they are
//!   that element's. Linux's preallocated hash maps do the same, and since it keeps freed elements for reuse, so do the others.
//! - A replaced slot is the next to be used by a replacement in the same sixty-fourth of the buckets; a deleted one by the next new element.
//!
//! A host gets copies. Those of hash maps without per-CPU values are of one element at one moment; in others a writer may be seen halfway,
//! word by word, as by Linux's system call.

mod array;
mod bloom;
mod bpf_arena;
mod hash;
mod host;
mod lpm;
mod map;
mod perf;
mod queue;
mod reference;
pub(crate) mod ringbuf;
mod stack;
mod storage;
mod store;
mod targets;
mod typed;
mod user_ring;
mod values;

#[cfg(test)]
mod tests;

use crate::Error;

pub use array::ArrayLayout;
pub use bpf_arena::{BpfArena, arena_has_fn};
pub(crate) use map::ARENA;
pub use map::Map;
pub use perf::PerfArray;
pub use reference::Slots;
pub use ringbuf::RingBuf;
pub use store::{Direct, Operation, Span};
pub(crate) use store::{Spec, Store};
pub use typed::{Described, Plain, Typed, TypedQueue, TypedRing, Update};
pub use user_ring::{SendError, UserRing};
pub(crate) use values::Values;

/// `BPF_ANY`, `BPF_NOEXIST`, `BPF_EXIST` of updates, and flags of map creation.
pub mod flags {
    pub const ANY: u64 = 0;
    pub const NOEXIST: u64 = 1;
    pub const EXIST: u64 = 2;
    /// The value has a spin lock that is to be held.
    pub const LOCK: u64 = 4;
    pub const NO_PREALLOC: u32 = 1;
    pub const NO_COMMON_LRU: u32 = 1 << 1;
    pub const NUMA_NODE: u32 = 1 << 2;
    pub const RDONLY: u32 = 1 << 3;
    pub const WRONLY: u32 = 1 << 4;
    pub const RDONLY_PROG: u32 = 1 << 7;
    pub const WRONLY_PROG: u32 = 1 << 8;
    pub const MMAPABLE: u32 = 1 << 10;
    pub const INNER_MAP: u32 = 1 << 12;
}

/// Makes the store of a kind.
type Make = fn(&Spec) -> Result<Box<dyn Store>, Error>;

/// Kinds by number, with their constructors.
const KINDS: &[(u32, Make)] = &[
    (1, hash::plain),
    (2, array::plain),
    (3, reference::programs),
    (4, perf::array),
    (5, hash::percpu),
    (6, array::percpu),
    (7, stack::stacks),
    (8, targets::targets),
    (9, hash::lru),
    (10, hash::lru_percpu),
    (11, lpm::trie),
    (12, reference::array_of_maps),
    (13, reference::hash_of_maps),
    (14, targets::targets),
    (16, targets::targets),
    (17, targets::targets),
    (19, storage::attached),
    (21, storage::attached_percpu),
    (22, queue::queue),
    (23, queue::stack),
    (24, storage::objects),
    (25, hash::plain),
    (27, ringbuf::ring),
    (28, storage::objects),
    (29, storage::objects),
    (30, bloom::filter),
    (31, user_ring::ring),
    (32, storage::objects),
    (ARENA, bpf_arena::arena),
];

/// Whether maps of this kind exist in process.
pub fn supported(kind: u32) -> bool {
    maker(kind).is_some()
}

/// What makes maps of a kind.
fn maker(kind: u32) -> Option<Make> {
    KINDS.iter().find(|k| k.0 == kind).map(|k| k.1)
}

/// Waits for another thread to let go of a lock; `turns` counts.
pub(crate) fn pause(turns: &mut u32) {
    *turns = turns.wrapping_add(1);
    if turns.is_multiple_of(64) {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

/// `-errno` as helpers return it.
pub(crate) const fn err(errno: i32) -> i64 {
    -(errno as i64)
}
