//! Helpers that read memory which may not be there.

use super::{Entry, entry, err, write};
use crate::memory::{own_end, own_memory};
use crate::{Call, Space};

pub(super) const ENTRIES: &[Entry] = &[
    entry(4, "probe_read", probe_read_kernel),
    entry(45, "probe_read_str", probe_read_kernel_str),
    entry(112, "probe_read_user", probe_read_user),
    entry(113, "probe_read_kernel", probe_read_kernel),
    entry(114, "probe_read_user_str", probe_read_user_str),
    entry(115, "probe_read_kernel_str", probe_read_kernel_str),
    entry(148, "copy_from_user", copy_from_user),
    entry(191, "copy_from_user_task", copy_from_user_task),
];

/// Reads what the environment has at `address`, and for the kernel's memory also what the call itself owns.
pub(super) fn read(call: &Call<'_>, space: Space, address: u64, out: &mut [u8]) -> bool {
    out.is_empty()
        || call.env().read(space, address, out)
        || (space == Space::Kernel && own_memory(call, address, out))
}

/// A string without its NUL, at most `limit` bytes; `None` when a byte before its end cannot be read.
/// The second value says whether the NUL was met.
pub(super) fn read_string(
    call: &Call<'_>,
    space: Space,
    mut address: u64,
    limit: usize,
) -> Option<(Vec<u8>, bool)> {
    const STEP: usize = 64;
    let mut out = Vec::new();
    while out.len() < limit {
        let mut chunk = [0u8; STEP];
        let want = STEP.min(limit - out.len());
        let mut len = want;
        if !read(call, space, address, &mut chunk[..want]) {
            // Near the end of readable memory: what the call owns is known to its end, the rest is tried byte by byte.
            let own = (space == Space::Kernel).then(|| own_end(call, address));
            len = match own.flatten() {
                Some(end) => want.min((end - address) as usize),
                None => 1,
            };
            if !read(call, space, address, &mut chunk[..len]) {
                return None;
            }
        }
        match chunk[..len].iter().position(|b| *b == 0) {
            Some(end) => {
                out.extend_from_slice(&chunk[..end]);
                return Some((out, true));
            }
            None => out.extend_from_slice(&chunk[..len]),
        }
        address = address.wrapping_add(len as u64);
    }
    Some((out, false))
}

/// # Safety
/// `to` is writable for `size` bytes; `call` is valid.
unsafe fn probe(call: *mut Call<'_>, space: Space, to: u64, size: u64, from: u64) -> u64 {
    let size = size as u32 as usize;
    // Most reads are of a few bytes.
    let (mut few, mut many) = ([0; 256], Vec::new());
    let out = match few.get_mut(..size) {
        Some(out) => out,
        None => {
            many.resize(size, 0);
            &mut many[..]
        }
    };
    // SAFETY: by the contract.
    unsafe {
        let ok = read(&*call, space, from, out);
        if !ok {
            out.fill(0);
        }
        write(to, out);
        if ok { 0 } else { err(libc::EFAULT) }
    }
}

/// # Safety
/// As for [`probe`].
unsafe fn probe_str(call: *mut Call<'_>, space: Space, to: u64, size: u64, from: u64) -> u64 {
    let size = size as u32 as usize;
    if size == 0 {
        return 0;
    }
    // SAFETY: by the contract.
    unsafe {
        match read_string(&*call, space, from, size) {
            Some((mut s, whole)) => {
                if !whole {
                    s.truncate(size - 1);
                }
                s.push(0);
                write(to, &s);
                s.len() as u64
            }
            None => {
                write(to, &vec![0; size]);
                err(libc::EFAULT)
            }
        }
    }
}

unsafe extern "C" fn probe_read_kernel(
    call: *mut Call<'_>,
    to: u64,
    size: u64,
    from: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid, the row promises `size` writable bytes.
    unsafe { probe(call, Space::Kernel, to, size, from) }
}

unsafe extern "C" fn probe_read_user(
    call: *mut Call<'_>,
    to: u64,
    size: u64,
    from: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid, the row promises `size` writable bytes.
    unsafe { probe(call, Space::User, to, size, from) }
}

unsafe extern "C" fn probe_read_kernel_str(
    call: *mut Call<'_>,
    to: u64,
    size: u64,
    from: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid, the row promises `size` writable bytes.
    unsafe { probe_str(call, Space::Kernel, to, size, from) }
}

unsafe extern "C" fn probe_read_user_str(
    call: *mut Call<'_>,
    to: u64,
    size: u64,
    from: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid, the row promises `size` writable bytes.
    unsafe { probe_str(call, Space::User, to, size, from) }
}

unsafe extern "C" fn copy_from_user(
    call: *mut Call<'_>,
    to: u64,
    size: u64,
    from: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid, the row promises `size` writable bytes.
    unsafe { probe(call, Space::User, to, size, from) }
}

/// Of whatever task: the environment has one memory of the user's.
unsafe extern "C" fn copy_from_user_task(
    call: *mut Call<'_>,
    to: u64,
    size: u64,
    from: u64,
    _task: u64,
    flags: u64,
) -> u64 {
    // SAFETY: `call` is valid, the row promises `size` writable bytes.
    unsafe {
        if flags != 0 {
            write(to, &vec![0; size as u32 as usize]);
            return err(libc::EINVAL);
        }
        probe(call, Space::User, to, size, from)
    }
}
