//! Bloom filters: sets of values that may say yes to one that was never added, and never no to one that was.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::*;

use crate::Error;
use crate::arena;
use crate::maps::{Spec, Store, err};

/// Hash functions where the definition names none.
const DEFAULT_HASHES: u32 = 5;
/// Bits of `map_extra` that name their number.
const HASHES: u64 = 15;
const MAX_VALUE: usize = 1 << 16;

struct Bloom {
    bits: Box<[AtomicU64]>,
    hashes: u32,
    value_size: usize,
    seed: u64,
}

pub(crate) fn filter(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    if spec.key_size != 0 || spec.value_size == 0 || spec.value_size > MAX_VALUE {
        return Err(spec.error("a bloom filter has values of 1 to 65536 bytes and no keys"));
    }
    if spec.max_entries == 0 || spec.max_entries > 1 << 28 || spec.extra & !HASHES != 0 {
        return Err(spec.error("there must be entries, and at most 15 hash functions"));
    }
    let hashes = match (spec.extra & HASHES) as u32 {
        0 => DEFAULT_HASHES,
        n => n,
    };
    // A bit is set with probability one half when the filter is as full as it was made for.
    let bits = (spec.max_entries * hashes as usize * 7 / 5)
        .next_power_of_two()
        .max(64);
    Ok(Box::new(Bloom {
        bits: (0..bits / 64).map(|_| AtomicU64::new(0)).collect(),
        hashes,
        value_size: spec.value_size,
        seed: spec.seed,
    }))
}

impl Bloom {
    /// The words and bits of a value.
    ///
    /// # Safety
    /// `value` is readable for the value's size.
    unsafe fn bits(&self, value: *const u8) -> impl Iterator<Item = (&AtomicU64, u64)> {
        // SAFETY: by the contract.
        let bytes = unsafe { arena::read_vec(value, self.value_size) };
        let (mut a, mut b) = (self.seed ^ 0x9e37_79b9_7f4a_7c15, !self.seed);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let word = u64::from_le_bytes(word);
            a = mix(a ^ word);
            b = mix(b.wrapping_add(word).rotate_left(32));
        }
        let count = self.bits.len() as u64 * 64;
        (0..u64::from(self.hashes)).map(move |n| {
            let bit = a.wrapping_add(n.wrapping_mul(b | 1)) & (count - 1);
            (&self.bits[(bit / 64) as usize], 1 << (bit % 64))
        })
    }
}

impl Store for Bloom {
    unsafe fn push(&self, value: *const u8, how: u64) -> i64 {
        if how != 0 {
            return err(libc::EINVAL);
        }
        // SAFETY: by the contract.
        for (word, bit) in unsafe { self.bits(value) } {
            word.fetch_or(bit, Relaxed);
        }
        0
    }

    /// Peeking asks for the value that is there.
    unsafe fn pop(&self, value: *mut u8, remove: bool) -> i64 {
        if remove {
            return err(libc::EOPNOTSUPP);
        }
        // SAFETY: by the contract.
        let mut bits = unsafe { self.bits(value) };
        if bits.all(|(word, bit)| word.load(Relaxed) & bit != 0) {
            0
        } else {
            err(libc::ENOENT)
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
