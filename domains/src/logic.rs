//! Conjunction, disjunction and exclusive disjunction of bits.
//!
//! The tnum is exact; reduction brings its bounds. What it cannot see, with `[a]` and `[b]` a side of each operand:
//! - **and:** at most `min(a.hi, b.hi)`, at least `a.lo + b.lo - MAX`, because `a & b == a + b - (a | b)`.
//! - **or:** at least `max(a.lo, b.lo)`, at most `a.hi + b.hi`.
//! - **xor:** complementing an operand complements the result, so both are taken non-negative;
//!   then at most `a.hi + b.hi` and at least their distance.
//!
//! The low half is computed from the low halves as well.

use crate::range::{Range, Span};
use crate::scalar::Product;
use crate::tnum::{Tnum, low_mask};

impl<const BITS: u32> Product<BITS> {
    /// Bitwise conjunctions.
    #[inline]
    pub fn and64(&self, other: &Self) -> Self {
        self.closed(other, Tnum::and, and, |a, b| a & b)
    }

    /// Bitwise conjunctions of the low halves, zero-extended.
    #[inline]
    pub fn and32(&self, other: &Self) -> Self {
        self.low_only(other, Tnum::and, and, |a, b| a & b)
    }

    /// Bitwise disjunctions.
    #[inline]
    pub fn or64(&self, other: &Self) -> Self {
        self.closed(other, Tnum::or, or, |a, b| a | b)
    }

    /// Bitwise disjunctions of the low halves, zero-extended.
    #[inline]
    pub fn or32(&self, other: &Self) -> Self {
        self.low_only(other, Tnum::or, or, |a, b| a | b)
    }

    /// Bitwise exclusive disjunctions.
    #[inline]
    pub fn xor64(&self, other: &Self) -> Self {
        self.closed(other, Tnum::xor, xor, |a, b| a ^ b)
    }

    /// Bitwise exclusive disjunctions of the low halves, zero-extended.
    #[inline]
    pub fn xor32(&self, other: &Self) -> Self {
        self.low_only(other, Tnum::xor, xor, |a, b| a ^ b)
    }
}

fn and(a: Range, b: Range, bits: u32) -> Range {
    let max = low_mask(bits);
    a.pairwise(b, |a, b| {
        Range::unsigned(a.lo.saturating_sub(max - b.lo), a.hi.min(b.hi), bits)
    })
}

fn or(a: Range, b: Range, bits: u32) -> Range {
    let max = low_mask(bits);
    a.pairwise(b, |a, b| {
        Range::unsigned(a.lo.max(b.lo), a.hi.saturating_add(b.hi).min(max), bits)
    })
}

fn xor(a: Range, b: Range, bits: u32) -> Range {
    let max = low_mask(bits);
    a.pairwise(b, |a, b| {
        let (a_negative, b_negative) = (a.lo >> (bits - 1) != 0, b.lo >> (bits - 1) != 0);
        let a = if a_negative { complement(a, max) } else { a };
        let b = if b_negative { complement(b, max) } else { b };
        // Both are below the sign bit, so the sum fits.
        let apart = a.lo.saturating_sub(b.hi).max(b.lo.saturating_sub(a.hi));
        let result = Span {
            lo: apart,
            hi: (a.hi + b.hi).min(max >> 1),
        };
        let result = if a_negative != b_negative {
            complement(result, max)
        } else {
            result
        };
        Range::unsigned(result.lo, result.hi, bits)
    })
}

fn complement(span: Span, max: u64) -> Span {
    Span {
        lo: max - span.hi,
        hi: max - span.lo,
    }
}
