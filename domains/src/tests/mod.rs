//! Oracles: dumber implementations that every operation is held against.

mod bits;
mod bounds;
mod corners;
mod cves;
mod exhaustive;
mod interesting;
mod laws;
mod linux;
mod random;
mod small;
mod text;
mod words;

/// Random numbers; prints the seed, which `TEST_SEED` sets.
pub struct Random(u64);

impl Random {
    pub fn new() -> Random {
        let seed = match std::env::var("TEST_SEED") {
            Ok(text) => text.parse().expect("TEST_SEED is a number"),
            Err(_) => std::time::UNIX_EPOCH
                .elapsed()
                .map_or(1, |time| time.as_nanos() as u64),
        };
        println!("TEST_SEED={seed}");
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// `count`, times what `TEST_ROUNDS` says: a second in passing, a night for the thorough.
pub fn rounds(count: usize) -> usize {
    let times = std::env::var("TEST_ROUNDS")
        .map_or(1, |text| text.parse().expect("TEST_ROUNDS is a number"));
    count * times
}
