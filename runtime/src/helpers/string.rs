//! Helpers on strings and numbers, and the spin lock.

use std::sync::atomic::{AtomicU32, Ordering::*};

use probity_isa::Size;

use super::{Entry, Inline, bytes, c_string, entry, err, write};
use crate::{Call, arena};

pub(super) const ENTRIES: &[Entry] = &[
    entry(93, "spin_lock", spin_lock),
    entry(94, "spin_unlock", spin_unlock),
    entry(105, "strtol", strtol),
    entry(106, "strtoul", strtoul),
    Entry {
        inline: Some(Inline::Compare),
        ..entry(182, "strncmp", strncmp)
    },
];

unsafe extern "C" fn spin_lock(_: *mut Call<'_>, lock: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: the row promises an aligned 32-bit lock in a map value.
    let lock = unsafe { AtomicU32::from_ptr(lock as *mut u32) };
    let mut turns = 0u32;
    while lock.compare_exchange_weak(0, 1, Acquire, Relaxed).is_err() {
        turns += 1;
        if turns.is_multiple_of(64) {
            std::thread::yield_now()
        } else {
            std::hint::spin_loop()
        }
    }
    0
}

unsafe extern "C" fn spin_unlock(
    _: *mut Call<'_>,
    lock: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: as for `spin_lock`.
    unsafe { AtomicU32::from_ptr(lock as *mut u32) }.store(0, Release);
    0
}

unsafe extern "C" fn strncmp(_: *mut Call<'_>, s1: u64, size: u64, s2: u64, _: u64, _: u64) -> u64 {
    // SAFETY: the row promises a constant string.
    let b = unsafe { c_string(s2) };
    // The first byte that differs decides, and a NUL in one that is none in the other differs.
    let size = (size as u32 as usize).min(b.len() + 1);
    for n in 0..size {
        // SAFETY: the row promises `size` readable bytes.
        let x = unsafe { arena::load((s1 as usize + n) as *const u8, Size::B) } as u8;
        let y = b.get(n).copied().unwrap_or(0);
        if x != y {
            return if x < y { -1i64 as u64 } else { 1 };
        }
    }
    0
}

unsafe extern "C" fn strtol(
    _: *mut Call<'_>,
    s: u64,
    size: u64,
    flags: u64,
    to: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises `size` readable bytes and 8 writable ones.
    unsafe {
        match parse(&bytes(s, size as u32 as u64), flags) {
            Ok((magnitude, negative, used)) => {
                let limit = i64::MAX as u64 + u64::from(negative);
                if magnitude > limit {
                    return err(libc::ERANGE);
                }
                let v = if negative {
                    magnitude.wrapping_neg()
                } else {
                    magnitude
                };
                write(to, &v.to_ne_bytes());
                used as u64
            }
            Err(errno) => err(errno),
        }
    }
}

unsafe extern "C" fn strtoul(
    _: *mut Call<'_>,
    s: u64,
    size: u64,
    flags: u64,
    to: u64,
    _: u64,
) -> u64 {
    // SAFETY: the row promises `size` readable bytes and 8 writable ones.
    unsafe {
        match parse(&bytes(s, size as u32 as u64), flags) {
            Ok((_, true, _)) => err(libc::EINVAL),
            Ok((v, false, used)) => {
                write(to, &v.to_ne_bytes());
                used as u64
            }
            Err(errno) => err(errno),
        }
    }
}

/// Magnitude, sign and number of bytes read; or an error number.
fn parse(s: &[u8], flags: u64) -> Result<(u64, bool, usize), i32> {
    /// Digits beyond these are not looked at.
    const LONGEST: usize = 63;
    if !matches!(flags, 0 | 8 | 10 | 16) {
        return Err(libc::EINVAL);
    }
    let spaces = s
        .iter()
        .take_while(|b| b.is_ascii_whitespace() || **b == 0x0b)
        .count();
    let rest = &s[spaces..];
    let negative = rest.first() == Some(&b'-');
    let rest = &rest[usize::from(negative)..];
    if rest.is_empty() {
        return Err(libc::EINVAL);
    }
    let rest = &rest[..rest.len().min(LONGEST)];
    let hex =
        rest.len() > 2 && rest[0] == b'0' && rest[1] | 0x20 == b'x' && rest[2].is_ascii_hexdigit();
    let base = match flags {
        0 if hex => 16,
        0 if rest[0] == b'0' => 8,
        0 => 10,
        n => n as u32,
    };
    let prefix = if base == 16 && rest.len() > 1 && rest[0] == b'0' && rest[1] | 0x20 == b'x' {
        2
    } else {
        0
    };
    let mut v: u64 = 0;
    let mut digits = 0;
    for d in rest[prefix..]
        .iter()
        .map_while(|b| char::from(*b).to_digit(base))
    {
        v = v
            .checked_mul(u64::from(base))
            .and_then(|v| v.checked_add(u64::from(d)))
            .ok_or(libc::ERANGE)?;
        digits += 1;
    }
    if digits == 0 {
        return Err(libc::EINVAL);
    }
    Ok((
        v,
        negative,
        spaces + usize::from(negative) + prefix + digits,
    ))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn numbers_are_read_as_linux_reads_them() {
        assert_eq!(parse(b"42 rest", 0), Ok((42, false, 2)));
        assert_eq!(parse(b" \t-17", 0), Ok((17, true, 5)));
        assert_eq!(parse(b"0x1fz", 0), Ok((31, false, 4)));
        assert_eq!(parse(b"017", 0), Ok((15, false, 3)));
        assert_eq!(parse(b"0", 0), Ok((0, false, 1)));
        assert_eq!(parse(b"0xff", 16), Ok((255, false, 4)));
        assert_eq!(parse(b"ff", 10), Err(libc::EINVAL));
        assert_eq!(parse(b"", 0), Err(libc::EINVAL));
        assert_eq!(parse(b"-", 0), Err(libc::EINVAL));
        assert_eq!(parse(b"1", 7), Err(libc::EINVAL));
        assert_eq!(parse(b"99999999999999999999", 0), Err(libc::ERANGE));
    }
}
