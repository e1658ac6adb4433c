//! What a map kind does: the interface between [`Map`](super::Map) and its kinds.
//!
//! Some kinds hand out more than every kind has (an array's layout, a ring's consumer): others answer `None` there.

use super::array::ArrayLayout;
use super::bpf_arena::BpfArena;
use super::perf::PerfArray;
use super::reference::Slots;
use super::ringbuf::RingBuf;
use super::stack::Stacks;
use super::user_ring::UserRing;
use super::values::Values;
use crate::{Error, HelperFn, arena};

/// What a map kind does. Pointers are to `key_size` and `value_size` bytes; results are 0 or a
/// negative error number.
pub(crate) trait Store: Send + Sync {
    /// The value as `cpu` sees it, or null.
    ///
    /// # Safety
    /// `key` is readable for the map's key size; `cpu` is below the number of CPUs.
    unsafe fn lookup(&self, _cpu: usize, _key: *const u8) -> *mut u8 {
        std::ptr::null_mut()
    }
    /// The host's lookup, which leaves no trace of use.
    ///
    /// # Safety
    /// As for `lookup`.
    unsafe fn peek(&self, cpu: usize, key: *const u8) -> *mut u8 {
        // SAFETY: by the contract.
        unsafe { self.lookup(cpu, key) }
    }
    /// # Safety
    /// As for `lookup`; `value` is readable for the map's value size.
    unsafe fn update(&self, _cpu: usize, _key: *const u8, _value: *const u8, _flags: u64) -> i64 {
        -i64::from(libc::ENOTSUP)
    }
    /// # Safety
    /// As for `lookup`.
    unsafe fn delete(&self, _key: *const u8) -> i64 {
        -i64::from(libc::ENOTSUP)
    }
    /// # Safety
    /// `value` is readable for the map's value size.
    unsafe fn push(&self, _value: *const u8, _flags: u64) -> i64 {
        -i64::from(libc::ENOTSUP)
    }
    /// # Safety
    /// `value` is writable for the map's value size.
    unsafe fn pop(&self, _value: *mut u8, _remove: bool) -> i64 {
        -i64::from(libc::ENOTSUP)
    }
    /// Visits elements until `f` says false; `f` may change the map.
    fn for_each(&self, _cpu: usize, _f: &mut dyn FnMut(*const u8, *mut u8) -> bool) -> i64 {
        -i64::from(libc::ENOTSUP)
    }
    /// First address and one past the last of the memory that values lie in.
    fn extents(&self) -> Vec<(u64, u64)> {
        Vec::new()
    }
    /// The key or value that `address` lies in.
    fn span(&self, _address: u64) -> Option<Span> {
        None
    }
    /// A copy of a value for the host, whole as it was at one moment where the kind can tell; false without such a key.
    ///
    /// # Safety
    /// As for `lookup`; `out` has the value's size.
    unsafe fn copy_out(&self, cpu: usize, key: *const u8, out: &mut [u8]) -> bool {
        // SAFETY: by the contract.
        unsafe {
            let p = self.peek(cpu, key);
            if !p.is_null() {
                arena::read_into(p, out);
            }
            !p.is_null()
        }
    }
    /// Keys at this moment.
    fn keys(&self, size: usize) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        self.for_each(0, &mut |key, _| {
            // SAFETY: `for_each` hands out pointers to whole keys.
            keys.push(unsafe { arena::read_vec(key, size) });
            true
        });
        keys
    }
    /// A helper's own code for this map.
    fn direct(&self, _operation: Operation) -> Option<Direct> {
        None
    }
    /// The key of the element whose value an address lies in.
    fn key_at(&self, _address: u64) -> Option<Vec<u8>> {
        None
    }
    fn array(&self) -> Option<ArrayLayout> {
        None
    }
    /// The slots of a kind whose elements programs follow but do not write.
    fn slots(&self) -> Option<Slots> {
        None
    }
    fn arena(&self) -> Option<&BpfArena> {
        None
    }
    fn percpu(&self) -> bool {
        false
    }
    fn ring(&self) -> Option<&RingBuf> {
        None
    }
    fn user_ring(&self) -> Option<&UserRing> {
        None
    }
    fn perf(&self) -> Option<&PerfArray> {
        None
    }
    fn stacks(&self) -> Option<&Stacks> {
        None
    }
    /// Kinds whose elements are programs or maps: sets one, by the program's index or the map's address.
    fn set_reference(&self, _key: &[u8], _to: u64) -> i64 {
        -i64::from(libc::ENOTSUP)
    }
    /// The elements that are set.
    fn references(&self) -> Vec<(Vec<u8>, u64)> {
        Vec::new()
    }
    /// The program that a tail call through `index` goes to.
    fn program(&self, _index: u64) -> Option<u64> {
        None
    }
}

/// What a map is made from.
pub(crate) struct Spec<'a> {
    pub name: &'a str,
    pub kind: u32,
    pub key_size: usize,
    pub value_size: usize,
    pub max_entries: usize,
    pub flags: u32,
    pub cpus: usize,
    pub seed: u64,
    /// Of each CPU's part of perf event arrays.
    pub perf_bytes: usize,
    pub values: Values,
    /// `map_extra`.
    pub extra: u64,
}

impl Spec<'_> {
    pub(super) fn error(&self, what: impl Into<String>) -> Error {
        Error::Map {
            map: self.name.to_string(),
            what: what.into(),
        }
    }

    pub(super) fn no_memory(&self) -> Error {
        self.error("the system has no memory for it")
    }
}

/// The bounds of one value or key that an address lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: u64,
    pub end: u64,
    pub writable: bool,
}

/// A helper on maps that has code of its own for some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Lookup,
    Update,
    Delete,
    Reserve,
}

impl Operation {
    /// By the number of its helper.
    pub fn of(helper: u32) -> Option<Operation> {
        match helper {
            1 => Some(Operation::Lookup),
            2 => Some(Operation::Update),
            3 => Some(Operation::Delete),
            131 => Some(Operation::Reserve),
            _ => None,
        }
    }
}

/// A helper's code for one map.
#[derive(Clone, Copy, Debug)]
pub struct Direct {
    pub function: HelperFn,
    /// To be handed on in the place of the map's address.
    pub map: u64,
}
