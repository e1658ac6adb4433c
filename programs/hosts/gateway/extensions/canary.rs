//! Some clients get the new version: upstream 1 in the place of 0, one client in sixteen, and each client always the same.
//!
//! A client stays with its version as long as it is remembered (LRU map), whatever share of the clients is given later.
//! Written in Rust: `core` only, no panics, no crates.
//! SPDX-License-Identifier: MIT OR Apache-2.0
#![no_std]
#![no_main]
#![allow(non_camel_case_types, non_upper_case_globals)]

use core::ffi::c_void;
use core::mem::transmute;

/// As the gateway's header has it, up to the fields that are used.
#[repr(C)]
pub struct request {
    target: u32,
    target_end: u32,
    client: [u8; 16],
    port: u16,
    method: u8,
    __pad0: [u8; 1],
    status: u16,
    __pad1: [u8; 2],
    upstream: u32,
}

/// `struct bpf_map_def` of the `maps` section: kind, key, value, entries, flags.
#[repr(C)]
pub struct Map {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

const LRU_HASH: u32 = 9;

#[unsafe(link_section = "maps")]
#[unsafe(no_mangle)]
pub static mut chosen: Map = Map { kind: LRU_HASH, key_size: 16, value_size: 4, max_entries: 16384, flags: 0 };

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static license_text: [u8; 13] = *b"Dual MIT/GPL\0";

// Helpers are called by number: a call of a constant address.
#[inline(always)]
unsafe fn lookup(map: *const Map, key: *const [u64; 2]) -> *mut u32 {
    let f: extern "C" fn(*const c_void, *const c_void) -> *mut c_void = unsafe { transmute(1usize) };
    f(map.cast(), key.cast()).cast()
}

#[inline(always)]
unsafe fn update(map: *const Map, key: *const [u64; 2], value: *const u32) {
    let f: extern "C" fn(*const c_void, *const c_void, *const c_void, u64) -> i64 = unsafe { transmute(2usize) };
    f(map.cast(), key.cast(), value.cast(), 0);
}

#[inline(always)]
fn random() -> u32 {
    let f: extern "C" fn() -> u64 = unsafe { transmute(7usize) };
    f() as u32
}

/// # Safety
/// Called by the gateway with a request.
#[unsafe(link_section = "hook/request@1")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn canary(ctx: *mut request) -> i32 {
    unsafe {
        let words = (&raw const (*ctx).client).cast::<u64>();
        let client = [*words, *words.add(1)];
        let known = lookup(&raw const chosen, &client);
        let upstream = if known.is_null() {
            let upstream = (random() % 16 == 0) as u32;
            update(&raw const chosen, &client, &upstream);
            upstream
        } else {
            *known
        };
        (*ctx).upstream = upstream & 1;
    }
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
