//! How long system calls take, by number: calls, total and longest time in nanoseconds.
//!
//! Raw tracepoints sys_enter and sys_exit; a hash by thread holds the start, a hash by
//! number the totals. Written in Rust: `core` only, no panics, no crates.
//! SPDX-License-Identifier: MIT OR Apache-2.0
#![no_std]
#![no_main]
#![allow(non_camel_case_types, non_upper_case_globals)]

use core::ffi::c_void;
use core::mem::transmute;

/// `struct bpf_map_def` of the `maps` section: kind, key, value, entries, flags.
#[repr(C)]
pub struct Map {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

const HASH: u32 = 1;

#[repr(C)]
pub struct Totals {
    calls: u64,
    total_ns: u64,
    longest_ns: u64,
}

#[repr(C)]
pub struct Start {
    ns: u64,
    number: u64,
}

#[unsafe(link_section = "maps")]
#[unsafe(no_mangle)]
pub static mut starts: Map = Map { kind: HASH, key_size: 4, value_size: 16, max_entries: 10240, flags: 0 };

#[unsafe(link_section = "maps")]
#[unsafe(no_mangle)]
pub static mut totals: Map = Map { kind: HASH, key_size: 4, value_size: 24, max_entries: 512, flags: 0 };

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static license_text: [u8; 13] = *b"Dual MIT/GPL\0";

// Helpers are called by number: a call of a constant address.
#[inline(always)]
unsafe fn lookup<T>(map: *const Map, key: *const u32) -> *mut T {
    let f: extern "C" fn(*const c_void, *const c_void) -> *mut c_void = unsafe { transmute(1usize) };
    f(map.cast(), key.cast()).cast()
}

#[inline(always)]
unsafe fn update<T>(map: *const Map, key: *const u32, value: *const T) {
    let f: extern "C" fn(*const c_void, *const c_void, *const c_void, u64) -> i64 = unsafe { transmute(2usize) };
    f(map.cast(), key.cast(), value.cast(), 0);
}

#[inline(always)]
unsafe fn delete(map: *const Map, key: *const u32) {
    let f: extern "C" fn(*const c_void, *const c_void) -> i64 = unsafe { transmute(3usize) };
    f(map.cast(), key.cast());
}

#[inline(always)]
fn ktime_ns() -> u64 {
    let f: extern "C" fn() -> u64 = unsafe { transmute(5usize) };
    f()
}

#[inline(always)]
fn thread() -> u32 {
    let f: extern "C" fn() -> u64 = unsafe { transmute(14usize) };
    f() as u32
}

/// `args[0]`: the registers; `args[1]`: the system call's number.
///
/// # Safety
/// Called by the kernel with the tracepoint's arguments.
#[unsafe(link_section = "raw_tp/sys_enter")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall_enter(args: *const u64) -> i32 {
    let tid = thread();
    let start = Start { ns: ktime_ns(), number: unsafe { *args.add(1) } };
    unsafe { update(&raw const starts, &tid, &start) };
    0
}

/// `args[0]`: the registers; `args[1]`: the result.
///
/// # Safety
/// Called by the kernel with the tracepoint's arguments.
#[unsafe(link_section = "raw_tp/sys_exit")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall_exit(_args: *const u64) -> i32 {
    let tid = thread();
    unsafe {
        let start: *mut Start = lookup(&raw const starts, &tid);
        if start.is_null() {
            return 0;
        }
        let took = ktime_ns() - (*start).ns;
        let number = (*start).number as u32;
        delete(&raw const starts, &tid);
        let t: *mut Totals = lookup(&raw const totals, &number);
        if t.is_null() {
            update(&raw const totals, &number, &Totals { calls: 1, total_ns: took, longest_ns: took });
            return 0;
        }
        (*t).calls += 1;
        (*t).total_ns += took;
        if took > (*t).longest_ns {
            (*t).longest_ns = took;
        }
    }
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
