//! Numbers as words, for who keeps many: most of the words are 0.
//!
//! The words are the parts as they are, told apart from those of 0: what is the same as of the constant 0 is 0, so
//! that whoever leaves such words out keeps few of a number of which little, or much, is known.

use crate::range::{Range, Span};
use crate::scalar::Scalar;
use crate::tnum::Tnum;

/// How many words there are of a number.
const WORDS: usize = 16;

impl Scalar {
    /// What [`Scalar::from_words`] makes this number of.
    pub fn words(&self) -> [u32; WORDS] {
        let (wide, low) = (self.wide, self.low());
        let halves = [
            self.tnum().value(),
            self.tnum().mask(),
            wide.pos.lo,
            wide.pos.hi,
            !wide.neg.lo,
            wide.neg.hi,
        ];
        let mut words = [0; WORDS];
        for (i, x) in halves.into_iter().enumerate() {
            words[2 * i] = x as u32;
            words[2 * i + 1] = (x >> 32) as u32;
        }
        // Bounds of a half, or of an empty one, are no more than a half.
        words[12] = low.pos.lo as u32;
        words[13] = low.pos.hi as u32;
        words[14] = !low.neg.lo as u32;
        words[15] = low.neg.hi as u32;
        words
    }

    /// The number of which these are the words.
    pub fn from_words(words: &[u32; WORDS]) -> Scalar {
        let whole = |i: usize| u64::from(words[i]) | u64::from(words[i + 1]) << 32;
        let half = |lo: u32, hi: u32| Span::new(lo.into(), hi.into());
        Scalar::raw(
            Tnum::new(whole(0), whole(2)),
            Range {
                pos: Span::new(whole(4), whole(6)),
                neg: Span::new(!whole(8), whole(10)),
            },
            Range {
                pos: half(words[12], words[13]),
                neg: half(!words[14], words[15]),
            },
        )
    }
}
