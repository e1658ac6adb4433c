//! Helpers on Internet checksums.

use probity_isa::Size;

use super::packet::Packet;
use crate::helpers::{Entry, bytes, entry, err};
use crate::{Call, arena};

pub(in crate::helpers) const ENTRIES: &[Entry] = &[
    entry(10, "l3_csum_replace", l3_csum_replace),
    entry(11, "l4_csum_replace", l4_csum_replace),
    entry(28, "csum_diff", csum_diff),
    entry(40, "csum_update", csum_update),
];

/// `ENOTSUPP`, which has no name outside of the kernel.
const ENOTSUPP: i32 = 524;

/// No packet here carries a checksum of its whole.
unsafe extern "C" fn csum_update(
    _: *mut Call<'_>,
    _ctx: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    err(ENOTSUPP)
}

unsafe extern "C" fn l3_csum_replace(
    _: *mut Call<'_>,
    ctx: u64,
    offset: u64,
    from: u64,
    to: u64,
    flags: u64,
) -> u64 {
    const FIELD: u64 = 0xf;
    let offset = u64::from(offset as u32);
    if flags & !FIELD != 0 {
        return err(libc::EINVAL);
    }
    if offset > 0xffff || offset & 1 != 0 {
        return err(libc::EFAULT);
    }
    // SAFETY: the row promises the context; `at` gives packet bytes.
    unsafe {
        let Some(at) = Packet::of(ctx).at(offset, 2) else {
            return err(libc::EFAULT);
        };
        let sum = arena::load(at as *const u8, Size::H) as u16;
        let new = match flags & FIELD {
            0 if from != 0 => return err(libc::EINVAL),
            0 => replace_by_diff(sum, to as u32),
            2 => replace16(sum, from as u16, to as u16),
            4 => replace32(sum, from as u32, to as u32),
            _ => return err(libc::EINVAL),
        };
        arena::store(at as *mut u8, Size::H, u64::from(new));
    }
    0
}

unsafe extern "C" fn l4_csum_replace(
    _: *mut Call<'_>,
    ctx: u64,
    offset: u64,
    from: u64,
    to: u64,
    flags: u64,
) -> u64 {
    const FIELD: u64 = 0xf;
    /// The pseudo header is concerned; a zero sum means none; compute one all the same; IPv6.
    const PSEUDO: u64 = 0x10;
    const MANGLED_0: u64 = 0x20;
    const ENFORCE: u64 = 0x40;
    const IPV6: u64 = 0x80;
    let offset = u64::from(offset as u32);
    if flags & !(FIELD | PSEUDO | MANGLED_0 | ENFORCE | IPV6) != 0 {
        return err(libc::EINVAL);
    }
    if offset > 0xffff || offset & 1 != 0 {
        return err(libc::EFAULT);
    }
    // SAFETY: the row promises the context; `at` gives packet bytes.
    unsafe {
        let Some(at) = Packet::of(ctx).at(offset, 2) else {
            return err(libc::EFAULT);
        };
        let sum = arena::load(at as *const u8, Size::H) as u16;
        if flags & MANGLED_0 != 0 && flags & ENFORCE == 0 && sum == 0 {
            return 0;
        }
        let mut new = match flags & FIELD {
            0 if from != 0 => return err(libc::EINVAL),
            0 => replace_by_diff(sum, to as u32),
            2 => replace32(sum, u32::from(from as u16), u32::from(to as u16)),
            4 => replace32(sum, from as u32, to as u32),
            _ => return err(libc::EINVAL),
        };
        if flags & MANGLED_0 != 0 && new == 0 {
            new = 0xffff;
        }
        arena::store(at as *mut u8, Size::H, u64::from(new));
    }
    0
}

unsafe extern "C" fn csum_diff(
    _: *mut Call<'_>,
    from: u64,
    from_size: u64,
    to: u64,
    to_size: u64,
    seed: u64,
) -> u64 {
    let (from_size, to_size, seed) = (
        u64::from(from_size as u32),
        u64::from(to_size as u32),
        seed as u32,
    );
    if !from_size.is_multiple_of(4) || !to_size.is_multiple_of(4) {
        return err(libc::EINVAL);
    }
    // SAFETY: the row promises readable bytes of these sizes.
    let (from, to) = unsafe { (bytes(from, from_size), bytes(to, to_size)) };
    let sum = match (from.is_empty(), to.is_empty()) {
        (true, true) => seed,
        (true, false) => partial(&to, seed),
        (false, true) => !partial(&from, !seed),
        (false, false) => add32(partial(&to, seed), !partial(&from, 0)),
    };
    u64::from(fold(sum))
}

/// Sum in ones' complement with the carry brought round.
fn add32(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(u32::from(carry))
}

/// 32-bit sum of 16-bit words (`bytes` has an even number).
fn partial(bytes: &[u8], seed: u32) -> u32 {
    bytes.chunks_exact(4).fold(seed, |sum, w| {
        add32(sum, u32::from_ne_bytes(w.try_into().unwrap_or_default()))
    })
}

/// A 32-bit sum brought down to 16 bits.
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

fn replace_by_diff(sum: u16, diff: u32) -> u16 {
    !fold(add32(diff, !u32::from(sum)))
}

fn replace32(sum: u16, from: u32, to: u32) -> u16 {
    !fold(add32(add32(!u32::from(sum), !from), to))
}

pub(super) fn replace16(sum: u16, from: u16, to: u16) -> u16 {
    let add = |a: u16, b: u16| {
        let (sum, carry) = a.overflowing_add(b);
        sum.wrapping_add(u16::from(carry))
    };
    !add(add(!sum, !from), to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Internet checksum, computed from scratch.
    fn checksum(bytes: &[u8]) -> u16 {
        !fold(partial(bytes, 0))
    }

    #[test]
    fn replacing_a_field_gives_the_sum_of_the_changed_header() {
        let seed = std::env::var("TEST_SEED")
            .ok()
            .and_then(|s| s.parse().ok())
            .unwrap_or(7u64);
        println!("TEST_SEED={seed}");
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 32) as u32
        };
        for _ in 0..500 {
            let mut header = [0u8; 20];
            for b in &mut header {
                *b = next() as u8;
            }
            header[10] = 0;
            header[11] = 0;
            let sum = checksum(&header);
            let old = u32::from_ne_bytes(header[12..16].try_into().unwrap());
            let new = next();
            header[12..16].copy_from_slice(&new.to_ne_bytes());
            assert_eq!(replace32(sum, old, new), checksum(&header));
            assert_eq!(replace_by_diff(sum, add32(new, !old)), checksum(&header));
            let (old, new) = (u16::from_ne_bytes([header[2], header[3]]), next() as u16);
            let sum = checksum(&header);
            header[2..4].copy_from_slice(&new.to_ne_bytes());
            assert_eq!(replace16(sum, old, new), checksum(&header));
        }
    }
}
