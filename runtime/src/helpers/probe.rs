//! Helpers that read memory which may not be there.

use super::{Entry, Inline, entry, err, write};
use crate::memory::{own_end, own_memory};
use crate::{Call, HelperFn, Space};

const fn reads(id: u32, name: &'static str, function: HelperFn) -> Entry {
    Entry {
        inline: Some(Inline::Read),
        ..entry(id, name, function)
    }
}

pub(super) const ENTRIES: &[Entry] = &[
    reads(4, "probe_read", probe_read),
    entry(45, "probe_read_str", probe_read_str),
    entry(112, "probe_read_user", probe_read_user),
    reads(113, "probe_read_kernel", probe_read_kernel),
    entry(114, "probe_read_user_str", probe_read_user_str),
    entry(115, "probe_read_kernel_str", probe_read_kernel_str),
    entry(148, "copy_from_user", copy_from_user),
    entry(191, "copy_from_user_task", copy_from_user_task),
];

/// Reads what the environment has at `address`; of the kernel's memory, what the call itself owns comes first.
pub(super) fn read(call: &Call<'_>, space: Space, address: u64, out: &mut [u8]) -> bool {
    out.is_empty()
        || (space == Space::Kernel && own_memory(call, address, out))
        || call.env().read(space, address, out)
}

/// A string without its NUL, at most `limit` bytes; `None` when a byte before its end cannot be read.
/// The second value says whether the NUL was met.
pub(super) fn read_string(
    call: &Call<'_>,
    space: Space,
    address: u64,
    limit: usize,
) -> Option<(Vec<u8>, bool)> {
    let mut out = vec![0; limit];
    let len = read_string_into(call, space, address, &mut out)?;
    out.truncate(len);
    Some((out, len < limit))
}

/// Fills `out` up to a string's NUL, and gives its length: that of `out` when no NUL was met.
/// `None` when a byte before its end cannot be read.
fn read_string_into(
    call: &Call<'_>,
    space: Space,
    mut address: u64,
    out: &mut [u8],
) -> Option<usize> {
    const STEP: usize = 64;
    let mut done = 0;
    while done < out.len() {
        let want = STEP.min(out.len() - done);
        let chunk = out.get_mut(done..done + want)?;
        let mut len = want;
        if !read(call, space, address, chunk) {
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
        if let Some(end) = nul(&chunk[..len]) {
            return Some(done + end);
        }
        done += len;
        address = address.wrapping_add(len as u64);
    }
    Some(done)
}

/// Where the first NUL is.
fn nul(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let v = u64::from_le_bytes(*word);
        // The lowest bit that is set belongs to the first byte that is 0.
        let zeros = v.wrapping_sub(ONES) & !v & (ONES << 7);
        if zeros != 0 {
            return Some(8 * n + zeros.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|b| *b == 0)?;
    Some(8 * words.len() + at)
}

/// What Linux says of an address that cannot be read, where the kernel's are asked for: whether it could be one. The
/// lowest ones could not, nor those that no processor has; here all others may stand for the kernel's.
pub(crate) fn no_kernel_address(address: u64) -> i32 {
    const LOWEST: u64 = 1 << 16;
    let canonical = matches!(address >> 47, 0 | 0x1_ffff);
    match canonical && address >= LOWEST {
        true => libc::EFAULT,
        false => libc::ERANGE,
    }
}

/// `error` is what the program is told of memory that cannot be read.
///
/// # Safety
/// `to` is writable for `size` bytes; `call` is valid.
unsafe fn probe(
    call: *mut Call<'_>,
    space: Space,
    to: u64,
    size: u64,
    from: u64,
    error: i32,
) -> u64 {
    let size = size as u32 as usize;
    // SAFETY: by the contract.
    let through = |out: &mut [u8]| unsafe {
        let ok = read(&*call, space, from, out);
        if !ok {
            out.fill(0);
        }
        write(to, out);
        if ok { 0 } else { err(error) }
    };
    // Most reads are of a few bytes.
    match size {
        0..=16 => through(&mut [0; 16][..size]),
        17..=256 => through(&mut [0; 256][..size]),
        _ => through(&mut vec![0; size]),
    }
}

/// # Safety
/// As for [`probe`].
unsafe fn probe_str(
    call: *mut Call<'_>,
    space: Space,
    to: u64,
    size: u64,
    from: u64,
    error: i32,
) -> u64 {
    let size = size as u32 as usize;
    if size == 0 {
        return 0;
    }
    // Most strings are short.
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
        match read_string_into(&*call, space, from, out) {
            Some(len) => {
                // With its NUL, for which a byte of the room is kept.
                let len = len.min(size - 1);
                out[len] = 0;
                write(to, &out[..=len]);
                len as u64 + 1
            }
            None => {
                out.fill(0);
                write(to, out);
                err(error)
            }
        }
    }
}

// The two that came first take addresses of either space.
unsafe extern "C" fn probe_read(
    call: *mut Call<'_>,
    to: u64,
    size: u64,
    from: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid, the row promises `size` writable bytes.
    unsafe { probe(call, Space::Kernel, to, size, from, libc::EFAULT) }
}

unsafe extern "C" fn probe_read_str(
    call: *mut Call<'_>,
    to: u64,
    size: u64,
    from: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid, the row promises `size` writable bytes.
    unsafe { probe_str(call, Space::Kernel, to, size, from, libc::EFAULT) }
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
    unsafe { probe(call, Space::Kernel, to, size, from, no_kernel_address(from)) }
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
    unsafe { probe(call, Space::User, to, size, from, libc::EFAULT) }
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
    unsafe { probe_str(call, Space::Kernel, to, size, from, no_kernel_address(from)) }
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
    unsafe { probe_str(call, Space::User, to, size, from, libc::EFAULT) }
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
    unsafe { probe(call, Space::User, to, size, from, libc::EFAULT) }
}

/// A string with its NUL, at most as long as there is room; with the one flag that there is, what lies behind it becomes zeros.
///
/// # Safety
/// `call` is valid, `to` writable for `size` bytes.
pub(crate) unsafe fn copy_user_string(
    call: *mut Call<'_>,
    to: u64,
    size: u64,
    from: u64,
    flags: u64,
) -> u64 {
    /// `BPF_F_PAD_ZEROS`.
    const PAD_ZEROS: u64 = 1;
    let size = size as u32 as usize;
    if flags & !PAD_ZEROS != 0 {
        return err(libc::EINVAL);
    }
    if size == 0 {
        return 0;
    }
    let mut out = vec![0; size];
    // SAFETY: by the contract.
    unsafe {
        let Some(len) = read_string_into(&*call, Space::User, from, &mut out[..size - 1]) else {
            if flags & PAD_ZEROS != 0 {
                out.fill(0);
                write(to, &out);
            }
            return err(libc::EFAULT);
        };
        out[len..].fill(0);
        let written = if flags & PAD_ZEROS != 0 {
            size
        } else {
            len + 1
        };
        write(to, &out[..written]);
        len as u64 + 1
    }
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
        probe(call, Space::User, to, size, from, libc::EFAULT)
    }
}
