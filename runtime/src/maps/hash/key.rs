//! Keys in memory → words to hash and compare, a shape for each size that is common.
//!
//! **Invariant:** a key is read once: what is hashed is what is compared and stored, also when its memory changes meanwhile.

use std::mem::MaybeUninit;

use probity_isa::Size;

use crate::arena;

/// Longest key. Linux has no such limit since keys may lie in map values: only key and value together.
pub(super) const MAX_KEY: usize = 4096;

/// How keys of a size become words.
pub(crate) trait Shape: Send + Sync + 'static {
    /// Words of the longest key.
    type Room;

    /// The key's words, the last one padded with zeros.
    ///
    /// # Safety
    /// `key` is readable for `size` bytes, which is the shape's size, at most [`MAX_KEY`].
    unsafe fn read(room: &mut MaybeUninit<Self::Room>, key: *const u8, size: usize) -> &[u64];
}

/// Four bytes.
pub(crate) struct Four;
/// Eight bytes.
pub(crate) struct Eight;
/// Sixteen bytes.
pub(crate) struct Sixteen;
/// Any size.
pub(crate) struct Any;

impl Shape for Four {
    type Room = [u64; 1];

    #[inline(always)]
    unsafe fn read(room: &mut MaybeUninit<[u64; 1]>, key: *const u8, _: usize) -> &[u64] {
        // SAFETY: by the contract.
        room.write([unsafe { arena::load(key, Size::W) }])
    }
}

impl Shape for Eight {
    type Room = [u64; 1];

    #[inline(always)]
    unsafe fn read(room: &mut MaybeUninit<[u64; 1]>, key: *const u8, _: usize) -> &[u64] {
        // SAFETY: by the contract.
        room.write([unsafe { arena::load(key, Size::DW) }])
    }
}

impl Shape for Sixteen {
    type Room = [u64; 2];

    #[inline(always)]
    unsafe fn read(room: &mut MaybeUninit<[u64; 2]>, key: *const u8, _: usize) -> &[u64] {
        // SAFETY: by the contract.
        room.write(unsafe {
            [
                arena::load(key, Size::DW),
                arena::load(key.add(8), Size::DW),
            ]
        })
    }
}

impl Shape for Any {
    type Room = [u64; MAX_KEY / 8];

    #[inline(always)]
    unsafe fn read(room: &mut MaybeUninit<Self::Room>, key: *const u8, size: usize) -> &[u64] {
        let words = size.div_ceil(8).min(MAX_KEY / 8);
        let first = room.as_mut_ptr().cast::<u64>();
        // SAFETY: the room has `words` words, of which `size` bytes are copied after the last one has been set; a key has 1 byte at
        // least, and at most as many as there is room for.
        unsafe {
            first.add(words - 1).write(0);
            arena::copy(first.cast(), key, size);
            std::slice::from_raw_parts(first, words)
        }
    }
}

/// A secret from which hashes are made: who does not know it cannot choose keys that meet in a bucket.
#[derive(Clone, Copy)]
pub(super) struct Secret {
    start: u64,
    by: u64,
}

impl Secret {
    pub fn new(seed: u64) -> Secret {
        let start = fold(seed ^ 0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93);
        Secret {
            start,
            // Odd and of both halves, so that no multiplication loses a key's bits.
            by: fold(start ^ seed, 0xa076_1d64_78bd_642f) | 1 << 63 | 1,
        }
    }

    /// Both halves of a product of key and secret, a pair of words at a time.
    #[inline(always)]
    pub fn hash(&self, key: &[u64]) -> u32 {
        let h = match key {
            [a] => fold(a ^ self.start, self.by),
            [a, b] => fold(fold(a ^ self.start, self.by) ^ b, self.by),
            _ => self.hash_long(key),
        };
        (h >> 32) as u32 ^ h as u32
    }

    fn hash_long(&self, key: &[u64]) -> u64 {
        let mut h = self.start ^ key.len() as u64;
        for w in key {
            h = fold(h ^ w, self.by);
        }
        h
    }
}

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let m = u128::from(a) * u128::from(b);
    m as u64 ^ (m >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys as programs have them: no bucket of a half-full table gets far more than its share.
    #[test]
    fn keys_of_every_pattern_spread() {
        const BUCKETS: u32 = 1 << 12;
        let patterns: [(&str, fn(u64) -> u64); 6] = [
            ("counting", |n| n),
            ("multiples of 4096", |n| n << 12),
            ("upper half", |n| n << 32),
            ("high bits", |n| n << 52),
            ("addresses", |n| 0xffff_8880_0000_0000 + n * 0x1c0),
            ("bit reversed", u64::reverse_bits),
        ];
        for seed in [0, 1, u64::MAX] {
            let secret = Secret::new(seed);
            for (name, make) in patterns {
                let mut load = vec![0u32; BUCKETS as usize];
                for n in 0..u64::from(BUCKETS) {
                    load[(secret.hash(&[make(n)]) & (BUCKETS - 1)) as usize] += 1;
                }
                let most = load.iter().max().copied().unwrap_or(0);
                assert!(most <= 12, "{name}, seed {seed}: {most} keys in one bucket");
                let mut load = vec![0u32; BUCKETS as usize];
                for n in 0..u64::from(BUCKETS) {
                    load[(secret.hash(&[7, make(n)]) & (BUCKETS - 1)) as usize] += 1;
                }
                let most = load.iter().max().copied().unwrap_or(0);
                assert!(most <= 12, "{name}, second word: {most} keys in one bucket");
            }
        }
    }
}
