//! Packets and bytes of each IPv4 source; those that send more than a share in a second are dropped until it is over.
//!
//! Written in Rust: `core` only, no panics, no crates.
//! SPDX-License-Identifier: MIT OR Apache-2.0
#![no_std]
#![no_main]
#![allow(non_camel_case_types, non_upper_case_globals)]

use core::ffi::c_void;
use core::mem::transmute;

/// As the packet filter's header has it, up to the fields that are used.
#[repr(C)]
pub struct frame {
    data: u32,
    data_end: u32,
    length: u32,
    link: u32,
    time: u64,
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

#[repr(C)]
pub struct Source {
    packets: u64,
    bytes: u64,
    second: u64,
    bytes_this_second: u64,
}

const LRU_HASH: u32 = 9;
const ETHERNET: u32 = 1;
const SHARE: u64 = 10_000_000;

#[unsafe(link_section = "maps")]
#[unsafe(no_mangle)]
pub static mut sources: Map = Map { kind: LRU_HASH, key_size: 4, value_size: 32, max_entries: 4096, flags: 0 };

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static license_text: [u8; 13] = *b"Dual MIT/GPL\0";

// Helpers are called by number: a call of a constant address.
#[inline(always)]
unsafe fn lookup(map: *const Map, key: *const u32) -> *mut Source {
    let f: extern "C" fn(*const c_void, *const c_void) -> *mut c_void = unsafe { transmute(1usize) };
    f(map.cast(), key.cast()).cast()
}

#[inline(always)]
unsafe fn update(map: *const Map, key: *const u32, value: *const Source) {
    let f: extern "C" fn(*const c_void, *const c_void, *const c_void, u64) -> i64 = unsafe { transmute(2usize) };
    f(map.cast(), key.cast(), value.cast(), 0);
}

/// # Safety
/// Called by the packet filter with a packet.
#[unsafe(link_section = "hook/packet@1")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meter(ctx: *mut frame) -> i32 {
    unsafe {
        let data = (*ctx).data as u64 as *const u8;
        let end = (*ctx).data_end as u64 as *const u8;
        if (*ctx).link != ETHERNET || data.wrapping_add(34) > end {
            return 1;
        }
        if *data.add(12) != 8 || *data.add(13) != 0 {
            return 1;
        }
        let source = data.add(26).cast::<u32>().read_unaligned();
        let bytes = (*ctx).length as u64;
        let second = (*ctx).time / 1_000_000_000;
        let known = lookup(&raw const sources, &source);
        if known.is_null() {
            let fresh = Source { packets: 1, bytes, second, bytes_this_second: bytes };
            update(&raw const sources, &source, &fresh);
            return 1;
        }
        (*known).packets += 1;
        (*known).bytes += bytes;
        if (*known).second != second {
            (*known).second = second;
            (*known).bytes_this_second = 0;
        }
        (*known).bytes_this_second += bytes;
        ((*known).bytes_this_second <= SHARE) as i32
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
