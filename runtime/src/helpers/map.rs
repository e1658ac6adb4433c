//! Helpers on maps, and the calls that go through maps.

use super::{Entry, entry, err};
use crate::call::MAX_TAIL_CALLS;
use crate::{Call, Map};

pub(super) const ENTRIES: &[Entry] = &[
    entry(1, "map_lookup_elem", map_lookup_elem),
    entry(2, "map_update_elem", map_update_elem),
    entry(3, "map_delete_elem", map_delete_elem),
    entry(12, "tail_call", tail_call),
    entry(87, "map_push_elem", map_push_elem),
    entry(88, "map_pop_elem", map_pop_elem),
    entry(89, "map_peek_elem", map_peek_elem),
    entry(164, "for_each_map_elem", for_each_map_elem),
    entry(181, "loop", bpf_loop),
    entry(195, "map_lookup_percpu_elem", map_lookup_percpu_elem),
];

/// Most turns of `bpf_loop`.
const MAX_LOOPS: u32 = 8 * 1024 * 1024;

/// # Safety
/// `address` is what [`Map::address`] gave.
pub(super) unsafe fn map<'a>(address: u64) -> &'a Map {
    // SAFETY: maps live as long as their instance, which the call borrows.
    unsafe { &*(address as *const Map) }
}

unsafe extern "C" fn map_lookup_elem(
    call: *mut Call<'_>,
    m: u64,
    key: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises a map and a key.
    unsafe {
        map(m)
            .store()
            .lookup((*call).cpu as usize, key as *const u8) as u64
    }
}

unsafe extern "C" fn map_lookup_percpu_elem(
    call: *mut Call<'_>,
    m: u64,
    key: u64,
    cpu: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises a map and a key; the CPU is checked here.
    unsafe {
        let cpu = cpu as u32 as usize;
        if cpu >= (*call).instance().cpus() {
            return 0;
        }
        map(m).store().lookup(cpu, key as *const u8) as u64
    }
}

unsafe extern "C" fn map_update_elem(
    call: *mut Call<'_>,
    m: u64,
    key: u64,
    value: u64,
    flags: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises a map, a key and a value.
    unsafe {
        if map(m).frozen() {
            return err(libc::EPERM);
        }
        map(m).store().update(
            (*call).cpu as usize,
            key as *const u8,
            value as *const u8,
            flags,
        ) as u64
    }
}

unsafe extern "C" fn map_delete_elem(
    _call: *mut Call<'_>,
    m: u64,
    key: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises a map and a key.
    unsafe { map(m).store().delete(key as *const u8) as u64 }
}

unsafe extern "C" fn map_push_elem(
    _call: *mut Call<'_>,
    m: u64,
    value: u64,
    flags: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises a map and a value.
    unsafe { map(m).store().push(value as *const u8, flags) as u64 }
}

unsafe extern "C" fn map_pop_elem(
    _call: *mut Call<'_>,
    m: u64,
    value: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises a map and room for a value.
    unsafe { map(m).store().pop(value as *mut u8, true) as u64 }
}

unsafe extern "C" fn map_peek_elem(
    _call: *mut Call<'_>,
    m: u64,
    value: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises a map and room for a value.
    unsafe { map(m).store().pop(value as *mut u8, false) as u64 }
}

unsafe extern "C" fn tail_call(
    call: *mut Call<'_>,
    _ctx: u64,
    m: u64,
    index: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid, the row promises a map.
    let (call, map) = unsafe { (&mut *call, map(m)) };
    // The index is a u32 to Linux; the result is never seen when the call succeeds.
    let target = map.store().program(u64::from(index as u32));
    match target {
        // The context was held to what any program needs that the first one may lead to.
        Some(program) if call.tail_calls < MAX_TAIL_CALLS => {
            call.go_on_with(program);
            0
        }
        _ => Call::NO_TAIL_CALL,
    }
}

unsafe extern "C" fn for_each_map_elem(
    call: *mut Call<'_>,
    m: u64,
    func: u64,
    ctx: u64,
    flags: u64,
    _: u64,
) -> u64 {
    if flags != 0 {
        return err(libc::EINVAL);
    }
    // SAFETY: `call` is valid, the row promises a map and a callback.
    let (call, map) = unsafe { (&mut *call, map(m)) };
    let (cpu, lent) = (call.cpu as usize, call.lent());
    let done = map.store().for_each(cpu, &mut |key, value| {
        call.lend((key as u64, map.key_size() as u64));
        // SAFETY: these are the callback's arguments.
        unsafe { call.reenter(func, [m, key as u64, value as u64, ctx]) == 0 }
    });
    call.lend(lent);
    done as u64
}

unsafe extern "C" fn bpf_loop(
    call: *mut Call<'_>,
    turns: u64,
    func: u64,
    ctx: u64,
    flags: u64,
    _: u64,
) -> u64 {
    let turns = turns as u32;
    if flags != 0 {
        return err(libc::EINVAL);
    }
    if turns > MAX_LOOPS {
        return err(libc::E2BIG);
    }
    // SAFETY: `call` is valid.
    let call = unsafe { &mut *call };
    for n in 0..turns {
        // SAFETY: the row promises a callback; these are its arguments.
        if unsafe { call.reenter(func, [u64::from(n), ctx, 0, 0]) } != 0 {
            return u64::from(n) + 1;
        }
    }
    u64::from(turns)
}
