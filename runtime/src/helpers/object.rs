//! Helpers on structures that programs allocate: pointers to them in map values, and the parts that CPUs have of them.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::AcqRel;

use super::{Entry, entry};
use crate::objects::Objects;
use crate::{Call, Holding};

pub(super) const ENTRIES: &[Entry] = &[
    entry(153, "per_cpu_ptr", per_cpu_ptr),
    entry(154, "this_cpu_ptr", this_cpu_ptr),
    entry(194, "kptr_xchg", kptr_xchg),
];

unsafe extern "C" fn per_cpu_ptr(
    call: *mut Call<'_>,
    p: u64,
    cpu: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    let cpu = cpu as u32 as usize;
    // SAFETY: `call` is valid. Kernel variables do not exist here, so that this is a structure that each CPU has.
    unsafe {
        if cpu >= (*call).instance().cpus() {
            return 0;
        }
        Objects::part(p, cpu)
    }
}

unsafe extern "C" fn this_cpu_ptr(
    call: *mut Call<'_>,
    p: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: as for `per_cpu_ptr`; the call's CPU exists.
    unsafe { Objects::part(p, (*call).cpu as usize) }
}

unsafe extern "C" fn kptr_xchg(
    call: *mut Call<'_>,
    field: u64,
    new: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid; the row promises a pointer field, which only helpers write, aligned.
    unsafe {
        let old = AtomicU64::from_ptr(field as *mut u64).swap(new, AcqRel);
        if new != 0 {
            (*call).note(Holding::Less, 0);
        }
        (*call).note(Holding::MoreUnlessNull, old);
        old
    }
}
