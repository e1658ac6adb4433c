//! Sums, products, quotients and remainders.
//!
//! With `[a]` a side of the first operand and `[b]` a side of the second, results joined over the sides:
//! - **add:** the window from `a.lo + b.lo` to `a.hi + b.hi`; **sub:** from `a.lo - b.hi`; **neg:** `0 - a`.
//! - **mul:** the window between the least and the greatest product, of the unsigned values met with of the signed ones.
//! - **div:** `[a.lo / b.hi, a.hi / b.lo]`, and 0 where `b` may be 0.
//! - **mod:** `a` itself where it is below `b` or `b` may be 0; `[a.lo % b, a.hi % b]` where the quotient
//!   is constant; else `[0, min(a.hi, b.hi - 1)]`.
//! - **sdiv, smod:** the same of the magnitudes, then the sign of the quotient or of the dividend.
//! - Division by a constant power of two moves bits; a remainder keeps the common factors of two.
//!
//! The low half of a sum, difference or product depends on the low halves only, and is computed from them as well.
//!
//! **Invariant:** `x / 0 == 0`, `x % 0 == x`, `MIN / -1 == MIN`, `MIN % -1 == 0`.
//!
//! Source: RFC 9669, section 4.1.

use crate::range::{Range, Span, sign_extend};
use crate::scalar::Product;
use crate::tnum::{Tnum, low_mask};

impl<const BITS: u32> Product<BITS> {
    /// Sums.
    #[inline]
    pub fn add64(&self, other: &Self) -> Self {
        self.closed(other, Tnum::add, add, u64::wrapping_add)
    }

    /// Sums of the low halves, zero-extended.
    #[inline]
    pub fn add32(&self, other: &Self) -> Self {
        self.low_only(other, Tnum::add, add, u64::wrapping_add)
    }

    /// Differences.
    #[inline]
    pub fn sub64(&self, other: &Self) -> Self {
        self.closed(other, Tnum::sub, sub, u64::wrapping_sub)
    }

    /// Differences of the low halves, zero-extended.
    #[inline]
    pub fn sub32(&self, other: &Self) -> Self {
        self.low_only(other, Tnum::sub, sub, u64::wrapping_sub)
    }

    /// Negations.
    #[inline]
    pub fn neg64(&self) -> Self {
        Self::constant(0).sub64(self)
    }

    /// Negations of the low half, zero-extended.
    #[inline]
    pub fn neg32(&self) -> Self {
        Self::constant(0).sub32(self)
    }

    /// Products.
    #[inline]
    pub fn mul64(&self, other: &Self) -> Self {
        self.closed(other, Tnum::mul, mul, u64::wrapping_mul)
    }

    /// Products of the low halves, zero-extended.
    #[inline]
    pub fn mul32(&self, other: &Self) -> Self {
        self.low_only(other, Tnum::mul, mul, u64::wrapping_mul)
    }

    /// Unsigned quotients.
    #[inline]
    pub fn div64(&self, other: &Self) -> Self {
        let (tnum, range) = div(self.tnum, self.wide, other.tnum, other.wide, BITS);
        Self::from_result(tnum, range, Range::full(Self::HALF))
    }

    /// Unsigned quotients of the low halves, zero-extended.
    #[inline]
    pub fn div32(&self, other: &Self) -> Self {
        let half = Self::HALF;
        let (tnum, range) = div(
            self.tnum.cast(half),
            self.low(),
            other.tnum.cast(half),
            other.low(),
            half,
        );
        Self::from_low(tnum, range)
    }

    /// Signed quotients.
    #[inline]
    pub fn sdiv64(&self, other: &Self) -> Self {
        let (tnum, range) = sdiv(self.tnum, self.wide, other.tnum, other.wide, BITS);
        Self::from_result(tnum, range, Range::full(Self::HALF))
    }

    /// Signed quotients of the low halves, zero-extended.
    #[inline]
    pub fn sdiv32(&self, other: &Self) -> Self {
        let half = Self::HALF;
        let (tnum, range) = sdiv(
            self.tnum.cast(half),
            self.low(),
            other.tnum.cast(half),
            other.low(),
            half,
        );
        Self::from_low(tnum, range)
    }

    /// Unsigned remainders.
    #[inline]
    pub fn mod64(&self, other: &Self) -> Self {
        let (tnum, range) = rem(self.tnum, self.wide, other.tnum, other.wide, BITS);
        Self::from_result(tnum, range, Range::full(Self::HALF))
    }

    /// Unsigned remainders of the low halves, zero-extended (also where the divisor is 0).
    #[inline]
    pub fn mod32(&self, other: &Self) -> Self {
        let half = Self::HALF;
        let (tnum, range) = rem(
            self.tnum.cast(half),
            self.low(),
            other.tnum.cast(half),
            other.low(),
            half,
        );
        Self::from_low(tnum, range)
    }

    /// Signed remainders.
    #[inline]
    pub fn smod64(&self, other: &Self) -> Self {
        let (tnum, range) = srem(self.tnum, self.wide, other.tnum, other.wide, BITS);
        Self::from_result(tnum, range, Range::full(Self::HALF))
    }

    /// Signed remainders of the low halves, zero-extended.
    #[inline]
    pub fn smod32(&self, other: &Self) -> Self {
        let half = Self::HALF;
        let (tnum, range) = srem(
            self.tnum.cast(half),
            self.low(),
            other.tnum.cast(half),
            other.low(),
            half,
        );
        Self::from_low(tnum, range)
    }

    /// An operation whose low half depends on the low halves only.
    #[inline]
    pub(crate) fn closed(
        &self,
        other: &Self,
        tnum: impl Fn(Tnum, Tnum) -> Tnum,
        range: impl Fn(Range, Range, u32) -> Range,
        concrete: impl Fn(u64, u64) -> u64,
    ) -> Self {
        if let (Some(a), Some(b)) = (self.as_constant(), other.as_constant()) {
            return Self::constant(concrete(a, b));
        }
        Self::from_result(
            tnum(self.tnum, other.tnum).cast(BITS),
            range(self.wide, other.wide, BITS),
            range(self.low(), other.low(), Self::HALF),
        )
    }

    /// The same operation on the low halves, the high half 0.
    #[inline]
    pub(crate) fn low_only(
        &self,
        other: &Self,
        tnum: impl Fn(Tnum, Tnum) -> Tnum,
        range: impl Fn(Range, Range, u32) -> Range,
        concrete: impl Fn(u64, u64) -> u64,
    ) -> Self {
        let half = Self::HALF;
        let (a, b) = (self.tnum.cast(half), other.tnum.cast(half));
        if let (Some(a), Some(b)) = (a.as_constant(), b.as_constant()) {
            return Self::constant(concrete(a, b) & low_mask(half));
        }
        Self::from_low(tnum(a, b), range(self.low(), other.low(), half))
    }
}

pub(crate) fn add(a: Range, b: Range, bits: u32) -> Range {
    a.pairwise(b, |a, b| {
        Range::window(
            a.lo.wrapping_add(b.lo),
            a.length().saturating_add(b.length()),
            bits,
        )
    })
}

pub(crate) fn sub(a: Range, b: Range, bits: u32) -> Range {
    a.pairwise(b, |a, b| {
        Range::window(
            a.lo.wrapping_sub(b.hi),
            a.length().saturating_add(b.length()),
            bits,
        )
    })
}

pub(crate) fn mul(a: Range, b: Range, bits: u32) -> Range {
    a.pairwise(b, |a, b| {
        let unsigned = window_between(
            u128::from(a.lo) * u128::from(b.lo),
            u128::from(a.hi) * u128::from(b.hi),
            bits,
        );
        let signed = |span: Span| {
            (
                i128::from(sign_extend(span.lo, bits)),
                i128::from(sign_extend(span.hi, bits)),
            )
        };
        let ((a_lo, a_hi), (b_lo, b_hi)) = (signed(a), signed(b));
        if a_lo >= 0 && b_lo >= 0 {
            return unsigned;
        }
        let corners = [a_lo * b_lo, a_lo * b_hi, a_hi * b_lo, a_hi * b_hi];
        let least = corners.into_iter().fold(i128::MAX, i128::min);
        let greatest = corners.into_iter().fold(i128::MIN, i128::max);
        unsigned.meet(window_between(least as u128, greatest as u128, bits))
    })
}

/// The numbers from `lo` to `hi`, themselves not reduced to `bits` bits.
fn window_between(lo: u128, hi: u128, bits: u32) -> Range {
    match u64::try_from(hi.wrapping_sub(lo)) {
        Ok(length) => Range::window(lo as u64, length, bits),
        Err(_) => Range::full(bits),
    }
}

pub(crate) fn div(a_tnum: Tnum, a: Range, b_tnum: Tnum, b: Range, bits: u32) -> (Tnum, Range) {
    let mut range = a.pairwise(b, |a, b| match (b.lo, b.hi) {
        (_, 0) => Range::EMPTY,
        (lo, hi) => Range::unsigned(a.lo / hi, a.hi / lo.max(1), bits),
    });
    if b.contains(0) {
        range = range.join(Range::unsigned(0, 0, bits));
    }
    let tnum = match b_tnum.as_constant() {
        Some(divisor) if divisor.is_power_of_two() => a_tnum.rsh(divisor.trailing_zeros()),
        _ => Tnum::unknown(bits),
    };
    (tnum, range)
}

pub(crate) fn sdiv(a_tnum: Tnum, a: Range, b_tnum: Tnum, b: Range, bits: u32) -> (Tnum, Range) {
    if a.neg.is_empty() && b.neg.is_empty() {
        return div(a_tnum, a, b_tnum, b, bits);
    }
    let sign = 1 << (bits - 1);
    let mut range = a.pairwise(b, |a, b| {
        if b.hi == 0 {
            return Range::EMPTY;
        }
        let opposite = (a.lo ^ b.lo) & sign != 0;
        let (a, b) = (magnitude(a, bits), magnitude(b, bits));
        let quotient = Span {
            lo: a.lo / b.hi,
            hi: a.hi / b.lo.max(1),
        };
        let lo = if opposite {
            quotient.hi.wrapping_neg()
        } else {
            quotient.lo
        };
        Range::window(lo, quotient.length(), bits)
    });
    if b.contains(0) {
        range = range.join(Range::unsigned(0, 0, bits));
    }
    (Tnum::unknown(bits), range)
}

pub(crate) fn rem(a_tnum: Tnum, a: Range, b_tnum: Tnum, b: Range, bits: u32) -> (Tnum, Range) {
    if a.umax() < b.umin() {
        return (a_tnum, a);
    }
    let mut range = a.pairwise(b, |a, b| match b.hi {
        0 => Range::EMPTY,
        _ => {
            let remainder = rem_span(a, b);
            Range::unsigned(remainder.lo, remainder.hi, bits)
        }
    });
    if b.contains(0) {
        range = range.join(a);
    }
    let tnum = match b_tnum.as_constant() {
        Some(divisor) if divisor.is_power_of_two() => a_tnum.and(Tnum::constant(divisor - 1)),
        _ => common_factor(a_tnum, b_tnum, bits),
    };
    (tnum, range)
}

pub(crate) fn srem(a_tnum: Tnum, a: Range, b_tnum: Tnum, b: Range, bits: u32) -> (Tnum, Range) {
    if a.neg.is_empty() && b.neg.is_empty() {
        return rem(a_tnum, a, b_tnum, b, bits);
    }
    let sign = 1 << (bits - 1);
    let mut range = a.pairwise(b, |a, b| {
        if b.hi == 0 {
            return Range::EMPTY;
        }
        let remainder = rem_span(magnitude(a, bits), magnitude(b, bits));
        let lo = if a.lo & sign != 0 {
            remainder.hi.wrapping_neg()
        } else {
            remainder.lo
        };
        Range::window(lo, remainder.length(), bits)
    });
    if b.contains(0) {
        range = range.join(a);
    }
    (common_factor(a_tnum, b_tnum, bits), range)
}

/// The remainders by the divisors in `b` that are not 0, of which there is one.
fn rem_span(a: Span, b: Span) -> Span {
    if a.hi < b.lo {
        return a;
    }
    if b.lo == b.hi && a.lo / b.lo == a.hi / b.lo {
        return Span {
            lo: a.lo % b.lo,
            hi: a.hi % b.lo,
        };
    }
    Span {
        lo: 0,
        hi: a.hi.min(b.hi - 1),
    }
}

/// A remainder is the dividend less a multiple of the divisor: powers of two that divide both divide it.
fn common_factor(a: Tnum, b: Tnum, bits: u32) -> Tnum {
    let zeros = a.trailing_zeros().min(b.trailing_zeros()).min(bits - 1);
    Tnum::unknown(bits - zeros).lsh(zeros)
}

/// The absolute values of one side.
fn magnitude(span: Span, bits: u32) -> Span {
    let mask = low_mask(bits);
    if span.lo >> (bits - 1) == 0 {
        span
    } else {
        Span {
            lo: span.hi.wrapping_neg() & mask,
            hi: span.lo.wrapping_neg() & mask,
        }
    }
}
