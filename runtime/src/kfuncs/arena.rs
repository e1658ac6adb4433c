//! Pages of arenas: `bpf_arena_alloc_pages`, `_reserve_pages`, `_free_pages`.

use super::{Entry, entry};
use crate::helpers::err;
use crate::{BpfArena, Call};

pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "bpf_arena_alloc_pages",
        "void *(void *p__map, void *addr__ign, u32 page_cnt, int node_id, u64 flags)",
        alloc_pages,
    ),
    entry(
        "bpf_arena_reserve_pages",
        "int (void *p__map, void *ptr__ign, u32 page_cnt)",
        reserve_pages,
    ),
    entry(
        "bpf_arena_free_pages",
        "void (void *p__map, void *ptr__ign, u32 page_cnt)",
        free_pages,
    ),
];

/// The arena that a map's address stands for, when it is one.
///
/// # Safety
/// `call` is valid.
unsafe fn arena<'a>(call: *mut Call<'a>, map: u64) -> Option<&'a BpfArena> {
    // SAFETY: by the contract.
    let instance = unsafe { (*call).instance() };
    instance.maps().find(|m| m.address() == map)?.arena()
}

unsafe extern "C" fn alloc_pages(
    call: *mut Call<'_>,
    map: u64,
    address: u64,
    count: u64,
    _node: u64,
    flags: u64,
) -> u64 {
    // SAFETY: an engine's call.
    match unsafe { arena(call, map) } {
        Some(arena) if flags == 0 => arena.allocate(address, count as u32),
        _ => 0,
    }
}

unsafe extern "C" fn reserve_pages(
    call: *mut Call<'_>,
    map: u64,
    address: u64,
    count: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: an engine's call.
    match unsafe { arena(call, map) } {
        Some(arena) => arena.reserve(address, count as u32) as u64,
        None => err(libc::EINVAL),
    }
}

unsafe extern "C" fn free_pages(
    call: *mut Call<'_>,
    map: u64,
    address: u64,
    count: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: an engine's call.
    if let Some(arena) = unsafe { arena(call, map) }.filter(|_| address != 0) {
        arena.release(address, count as u32);
    }
    0
}
