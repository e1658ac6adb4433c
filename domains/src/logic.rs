//! Conjunction, disjunction and exclusive disjunction of bits.
//!
//! The tnum is exact. The bounds are exact for each pair of a side of one operand and a side of the
//! other: the least and the greatest result of two intervals, found from the top bit down. Reduction
//! brings the two together. The low half is computed from the low halves as well.
//!
//! Source: H. S. Warren, "Hacker's Delight", 2nd edition, section 4-3.

use crate::range::{Range, Span};
use crate::scalar::Product;
use crate::tnum::{Tnum, low_mask, smear};

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

pub(crate) fn and(a: Range, b: Range, bits: u32) -> Range {
    a.pairwise(b, |a, b| {
        Range::unsigned(min_and(a, b), max_and(a, b), bits)
    })
}

pub(crate) fn or(a: Range, b: Range, bits: u32) -> Range {
    // By De Morgan: the complement of the conjunction of the complements.
    let max = low_mask(bits);
    a.pairwise(b, |a, b| {
        let (a, b) = (complement(a, max), complement(b, max));
        Range::unsigned(max - max_and(a, b), max - min_and(a, b), bits)
    })
}

pub(crate) fn xor(a: Range, b: Range, bits: u32) -> Range {
    // The greatest exclusive disjunction is the complement of the least with one operand complemented.
    let max = low_mask(bits);
    a.pairwise(b, |a, b| {
        Range::unsigned(min_xor(a, b), max - min_xor(a, complement(b, max)), bits)
    })
}

/// The least conjunction: the highest bit that is 0 in both and can be 1 in one, made 1 there,
/// frees the bits below to be 0.
fn min_and(a: Span, b: Span) -> u64 {
    let bits = !(a.lo | b.lo) & (smear(a.lo ^ a.hi) | smear(b.lo ^ b.hi));
    if bits == 0 {
        return a.lo & b.lo;
    }
    // Where an interval reaches a bit that its least member has not, the bit can be raised in it.
    let bit = highest(bits);
    match (raise(a, bit), raise(b, bit)) {
        (Some(raised), _) => raised & b.lo,
        (None, Some(raised)) => raised & a.lo,
        (None, None) => 0,
    }
}

/// The greatest conjunction: the highest bit that only one has and can do without, made 0 there,
/// frees the bits below to be 1.
fn max_and(a: Span, b: Span) -> u64 {
    let mut bits = (a.hi ^ b.hi) & (smear(a.lo ^ a.hi) | smear(b.lo ^ b.hi));
    while bits != 0 {
        let bit = highest(bits);
        let (with, without) = if a.hi & bit != 0 { (a, b) } else { (b, a) };
        let lowered = (with.hi & !bit) | (bit - 1);
        if lowered >= with.lo {
            return lowered & without.hi;
        }
        bits ^= bit;
    }
    a.hi & b.hi
}

/// The least exclusive disjunction: from the top, each bit in which they differ is made equal where it can be.
fn min_xor(mut a: Span, mut b: Span) -> u64 {
    let reach = smear(a.lo ^ a.hi) | smear(b.lo ^ b.hi);
    let mut bits = (a.lo ^ b.lo) & reach;
    while bits != 0 {
        let bit = highest(bits);
        // Where one operand takes any value, it takes the other's.
        let below = bit | (bit - 1);
        if is_free(a, below) || is_free(b, below) {
            return (a.lo ^ b.lo) & !below;
        }
        let other = if a.lo & bit == 0 { &mut a } else { &mut b };
        if let Some(raised) = raise(*other, bit) {
            other.lo = raised;
        }
        bits = (a.lo ^ b.lo) & reach & (bit - 1);
    }
    a.lo ^ b.lo
}

/// The least member above `lo` with `bit`, 0 in `lo`, and nothing below it set.
#[inline]
fn raise(span: Span, bit: u64) -> Option<u64> {
    let raised = (span.lo | bit) & bit.wrapping_neg();
    (raised <= span.hi).then_some(raised)
}

/// Whether the bits of `below`, all from one down, take any value while those above stay as in `lo`.
#[inline]
fn is_free(span: Span, below: u64) -> bool {
    span.lo & below == 0 && span.lo | below <= span.hi
}

#[inline]
fn highest(bits: u64) -> u64 {
    1 << (63 - bits.leading_zeros())
}

#[inline]
fn complement(span: Span, max: u64) -> Span {
    Span {
        lo: max - span.hi,
        hi: max - span.lo,
    }
}
