//! Structures that programs allocate, of their own types: `bpf_obj_new` and what becomes of it.
//!
//! Each type has a pool, which grows by chunks and gives freed structures out again, the last one first; so a structure's address
//! stays memory of its type for as long as the instance lives. Linux keeps what readers may still see until they are done; here
//! such a reader may see the type's next structure, as the reader of a deleted map value may see the next value.
//!
//! A chunk lies at a multiple of its alignment and begins with its pool's address, so that a structure's address leads to its type.
//!
//! **Invariant:** what a list, a tree or a pointer field holds is alive: it counts as an owner.
//!
//! **Invariant:** a structure is zeros when a program gets it, but for its count of owners, which is 1.

pub(crate) mod fields;
pub(crate) mod list;
#[cfg(test)]
mod tests;
pub(crate) mod tree;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::*;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use probity_btf::TypeId;
use probity_platform::Managed;
use probity_verifier::Verified;

use crate::Span;
use crate::arena::{self, Arena};
use fields::Fields;

/// Where chunks begin, and the bytes of one unless each CPU has its part.
const CHUNK: usize = 1 << 16;
/// Bytes of a chunk before its first structure.
const HEADER: usize = 64;
/// Longest structure; Linux's allocator has none longer, with the word that it needs.
const LONGEST: usize = 4096 - 8;
/// Least bytes of one CPU's part of a chunk: several of the longest structures that CPUs have parts of.
const PART: usize = 4096;

/// The pools of an instance.
pub(crate) struct Objects {
    verified: Arc<Verified>,
    cpus: usize,
    /// Bytes that chunks may still take.
    left: Arc<AtomicU64>,
    /// Two for each type of the object's: of structures, and of those that each CPU has.
    pools: OnceLock<Box<[OnceLock<Option<Box<Pool>>>]>>,
    /// First address of each chunk, its end, and the size of a structure there and what lies between two.
    chunks: RwLock<BTreeMap<u64, Chunk>>,
    any: AtomicBool,
}

/// Structures of one type.
struct Pool {
    /// Bytes of a structure.
    size: usize,
    /// Bytes from one to the next.
    stride: usize,
    /// Bytes from one CPU's part to the next one's; 0 of structures that all share.
    part: usize,
    fields: Fields,
    /// Offset of the count of owners.
    count: Option<usize>,
    free: Mutex<Free>,
}

#[derive(Default)]
struct Free {
    structures: Vec<u64>,
    chunks: Vec<Arena>,
}

#[derive(Clone, Copy)]
struct Chunk {
    end: u64,
    size: u64,
    stride: u64,
    part: u64,
}

impl Chunk {
    /// Start of the structure that an address of this chunk lies in, and whether it is what programs know it by.
    fn structure(&self, start: u64, address: u64) -> Option<(u64, bool)> {
        let in_part = match self.part {
            0 => address - start,
            part => (address - start) % part,
        };
        let (at, part) = (in_part.checked_sub(HEADER as u64)?, address - in_part);
        let from = at - at % self.stride;
        let whole = match self.part {
            0 => self.end - start,
            part => part,
        };
        let fits = HEADER as u64 + from + self.stride <= whole && at - from < self.size;
        fits.then_some((part + HEADER as u64 + from, part == start))
    }
}

impl Objects {
    /// `left`: bytes that structures may take.
    pub fn new(verified: Arc<Verified>, cpus: usize, left: Arc<AtomicU64>) -> Objects {
        Objects {
            verified,
            cpus,
            left,
            pools: OnceLock::new(),
            chunks: RwLock::default(),
            any: AtomicBool::new(false),
        }
    }

    fn pool(&self, type_id: u32, percpu: bool) -> Option<&Pool> {
        let types = || self.verified.relocated().object.btf.as_ref();
        let pools = self.pools.get_or_init(|| {
            let many = types().map_or(0, |btf| btf.len() as usize + 1);
            (0..2 * many).map(|_| OnceLock::new()).collect()
        });
        let at = 2 * type_id as usize + usize::from(percpu);
        let made = pools.get(at)?.get_or_init(|| {
            let size = types()?.size_of(TypeId(type_id))? as usize;
            let fields = Fields::of(&self.verified.structure_fields(type_id));
            (1..=LONGEST).contains(&size).then(|| {
                let part = CHUNK / self.cpus.next_power_of_two();
                Box::new(Pool {
                    size,
                    stride: size.next_multiple_of(8),
                    part: if percpu { part.max(PART) } else { 0 },
                    count: fields.find(Managed::Refcount),
                    fields,
                    free: Mutex::default(),
                })
            })
        });
        made.as_deref()
    }

    /// A new structure of the object's type; 0 when there is no memory for it.
    pub fn allocate(&self, type_id: u32, percpu: bool) -> u64 {
        let Some(pool) = self.pool(type_id, percpu) else {
            return 0;
        };
        let Some(at) = self.take(pool) else {
            return 0;
        };
        let parts = if percpu { self.cpus } else { 1 };
        for cpu in 0..parts {
            // SAFETY: a structure of the pool's has so many bytes in each part.
            unsafe { arena::zero((at as usize + cpu * pool.part) as *mut u8, pool.size) };
        }
        if let Some(count) = pool.count {
            // SAFETY: the count is 4 bytes of the structure, aligned.
            unsafe { AtomicU32::from_ptr((at as usize + count) as *mut u32) }.store(1, Release);
        }
        at
    }

    fn take(&self, pool: &Pool) -> Option<u64> {
        let mut free = pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = free.structures.pop() {
            return Some(at);
        }
        let bytes = match pool.part {
            0 => CHUNK,
            part => part * self.cpus,
        };
        let spend = |left: u64| left.checked_sub(bytes as u64);
        self.left.fetch_update(Relaxed, Relaxed, spend).ok()?;
        let Some(chunk) = Arena::aligned(bytes, CHUNK) else {
            self.left.fetch_add(bytes as u64, Relaxed);
            return None;
        };
        let start = chunk.address();
        // SAFETY: the header is the pool's alone; the pool, which is boxed, lives as long as its chunks.
        unsafe {
            arena::store(
                chunk.base(),
                probity_isa::Size::DW,
                std::ptr::from_ref(pool) as u64,
            );
        }
        let each = match pool.part {
            0 => CHUNK,
            part => part,
        };
        let many = (each - HEADER) / pool.stride;
        let at = |n: usize| start + (HEADER + n * pool.stride) as u64;
        free.structures.extend((0..many).rev().map(at));
        free.chunks.push(chunk);
        let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
        chunks.insert(
            start,
            Chunk {
                end: start + bytes as u64,
                size: pool.size as u64,
                stride: pool.stride as u64,
                part: pool.part as u64,
            },
        );
        self.any.store(true, Release);
        free.structures.pop()
    }

    /// # Safety
    /// A pointer into a structure that [`Objects::allocate`] gave, into the first CPU's part where each has one.
    unsafe fn pool_of<'a>(at: u64) -> &'a Pool {
        let chunk = at & !(CHUNK as u64 - 1);
        // SAFETY: by the contract a chunk begins there, with the address of its pool, which lives as long as the instance.
        unsafe { &*(arena::load(chunk as *const u8, probity_isa::Size::DW) as *const Pool) }
    }

    /// The structure that one of its fields lies in.
    ///
    /// # Safety
    /// As for [`Objects::pool_of`].
    pub unsafe fn around(at: u64) -> u64 {
        // SAFETY: by the contract.
        let stride = unsafe { Self::pool_of(at) }.stride as u64;
        let first = (at & !(CHUNK as u64 - 1)) + HEADER as u64;
        at - (at - first) % stride
    }

    /// One owner less of a structure, which is freed without any, with what it owns.
    ///
    /// # Safety
    /// The address is what [`Objects::allocate`] gave, and its owner uses it no more.
    pub unsafe fn release(at: u64) {
        let mut owned = Vec::new();
        let mut next = Some(at);
        while let Some(at) = next {
            // SAFETY: by the contract; what a structure owned was allocated likewise.
            unsafe { Self::release_one(at, &mut owned) };
            next = owned.pop();
        }
    }

    /// # Safety
    /// As for [`Objects::release`].
    unsafe fn release_one(at: u64, owned: &mut Vec<u64>) {
        // SAFETY: by the contract.
        let pool = unsafe { Self::pool_of(at) };
        if let Some(count) = pool.count {
            // SAFETY: the count is 4 bytes of the structure, aligned.
            let count = unsafe { AtomicU32::from_ptr((at as usize + count) as *mut u32) };
            if count.fetch_sub(1, AcqRel) != 1 {
                return;
            }
        }
        if !pool.fields.is_empty() {
            // SAFETY: a structure of the pool's has its fields.
            unsafe { pool.fields.end(at as *mut u8, owned) };
        }
        let mut free = pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.structures.push(at);
    }

    /// One owner more of a structure that counts them; false when it has none any more.
    ///
    /// # Safety
    /// As for [`Objects::pool_of`]; the structure's first byte.
    pub unsafe fn acquire(at: u64) -> bool {
        // SAFETY: by the contract.
        let Some(count) = (unsafe { Self::pool_of(at) }).count else {
            return false;
        };
        // SAFETY: the count is 4 bytes of the structure, aligned.
        let count = unsafe { AtomicU32::from_ptr((at as usize + count) as *mut u32) };
        let more = |n: u32| if n == 0 { None } else { n.checked_add(1) };
        count.fetch_update(AcqRel, Relaxed, more).is_ok()
    }

    /// The part of a CPU, which exists, of a structure that each CPU has.
    ///
    /// # Safety
    /// As for [`Objects::pool_of`].
    pub unsafe fn part(at: u64, cpu: usize) -> u64 {
        // SAFETY: by the contract.
        at + (cpu * unsafe { Self::pool_of(at) }.part) as u64
    }

    fn find(&self, address: u64) -> Option<(u64, u64, bool)> {
        if !self.any.load(Acquire) {
            return None;
        }
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        let (start, chunk) = chunks.range(..=address).next_back()?;
        if address >= chunk.end {
            return None;
        }
        let (at, first) = chunk.structure(*start, address)?;
        Some((at, at + chunk.size, first))
    }

    /// The bounds of the structure that an address lies in.
    pub fn span(&self, address: u64) -> Option<Span> {
        let (start, end, _) = self.find(address)?;
        Some(Span {
            start,
            end,
            writable: true,
        })
    }

    /// Whether an address is what programs know a structure by.
    pub fn is_object(&self, address: u64) -> bool {
        let found = self.find(address);
        found.is_some_and(|(start, _, first)| first && start == address)
    }

    /// Structures that are allocated.
    pub fn live(&self) -> usize {
        let pools = self.pools.get().into_iter().flatten();
        let live = |p: &Pool| {
            let free = p.free.lock().unwrap_or_else(PoisonError::into_inner);
            let each = if p.part == 0 { CHUNK } else { p.part };
            free.chunks.len() * ((each - HEADER) / p.stride) - free.structures.len()
        };
        pools.filter_map(|p| p.get()?.as_deref()).map(live).sum()
    }
}
