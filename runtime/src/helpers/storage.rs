//! Helpers on storage by object.

use super::map::map;
use super::{Entry, entry, err};
use crate::Call;
use crate::maps::flags::{ANY, NOEXIST};

pub(super) const ENTRIES: &[Entry] = &[
    entry(81, "get_local_storage", get_local_storage),
    entry(107, "sk_storage_get", get),
    entry(108, "sk_storage_delete", delete),
    entry(145, "inode_storage_get", get),
    entry(146, "inode_storage_delete", delete),
    entry(156, "task_storage_get", get),
    entry(157, "task_storage_delete", delete),
    entry(210, "cgrp_storage_get", get),
    entry(211, "cgrp_storage_delete", delete),
];

/// A value of zeros, or `value`, is made where there is none.
const CREATE: u64 = 1;

unsafe extern "C" fn get(
    call: *mut Call<'_>,
    m: u64,
    object: u64,
    value: u64,
    flags: u64,
    _: u64,
) -> u64 {
    if object == 0 || flags & !CREATE != 0 {
        return 0;
    }
    // SAFETY: the row promises a map of such a kind, whose keys are addresses, and a value or NULL; the call's CPU exists.
    unsafe {
        let (map, cpu) = (map(m), (*call).cpu as usize);
        let key = std::ptr::from_ref(&object).cast();
        let found = map.store().lookup(cpu, key);
        if !found.is_null() || flags & CREATE == 0 {
            return found as u64;
        }
        // Without memory, or when another thread was first, the lookup tells.
        if value != 0 {
            map.store().update(cpu, key, value as *const u8, NOEXIST);
        } else {
            let zeros = vec![0u8; map.value_size()];
            map.store().update(cpu, key, zeros.as_ptr(), NOEXIST);
        }
        map.store().lookup(cpu, key) as u64
    }
}

unsafe extern "C" fn delete(_: *mut Call<'_>, m: u64, object: u64, _: u64, _: u64, _: u64) -> u64 {
    if object == 0 {
        return err(libc::EINVAL);
    }
    // SAFETY: the row promises a map of such a kind, whose keys are addresses.
    unsafe { map(m).store().delete(std::ptr::from_ref(&object).cast()) as u64 }
}

/// The value of the cgroup that the program is attached to.
unsafe extern "C" fn get_local_storage(
    call: *mut Call<'_>,
    m: u64,
    _flags: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    let any = ANY;
    // SAFETY: the row promises a map of such a kind, which looks at no key; the call's CPU exists.
    unsafe {
        let cpu = (*call).cpu as usize;
        map(m).store().lookup(cpu, std::ptr::from_ref(&any).cast()) as u64
    }
}
