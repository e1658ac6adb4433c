//! Shifts, by constant and by unknown counts.
//!
//! - The count is masked to the width first; each count that remains is tried and the results joined.
//! - **lsh** by `k`: of `bits` bits only the low `bits - k` matter, and of those each interval is scaled exactly.
//! - **rsh** by `k`: `[lo >> k, hi >> k]` of each side, unsigned; **arsh**: the same, signed.
//!
//! Source: RFC 9669, section 4.1.

use crate::range::{Range, Span, sign_extend};
use crate::scalar::Product;
use crate::tnum::{Tnum, low_mask};

impl<const BITS: u32> Product<BITS> {
    /// Shifted left.
    #[inline]
    pub fn lsh64(&self, count: &Self) -> Self {
        let tnum = |k| self.tnum.lsh(k).cast(BITS);
        self.shift(count, tnum, |k| {
            if k < Self::HALF {
                (lsh(self.wide, k, BITS), lsh(self.low(), k, Self::HALF))
            } else {
                // Only low bits of the low half survive, of which its own range may know more.
                let wide = lsh(self.wide, k, BITS).meet(scale(self.low().truncate(BITS - k), k));
                (wide, Range::unsigned(0, 0, Self::HALF))
            }
        })
    }

    /// The low half shifted left, zero-extended.
    #[inline]
    pub fn lsh32(&self, count: &Self) -> Self {
        let half = Self::HALF;
        self.shift_low(
            count,
            |k| self.tnum.lsh(k).cast(half),
            |k| lsh(self.low(), k, half),
        )
    }

    /// Shifted right, zeros coming in.
    #[inline]
    pub fn rsh64(&self, count: &Self) -> Self {
        self.shift(
            count,
            |k| self.tnum.rsh(k),
            |k| (rsh(self.wide, k, BITS), self.low_moved_by(k)),
        )
    }

    /// The low half shifted right, zeros coming in, zero-extended.
    #[inline]
    pub fn rsh32(&self, count: &Self) -> Self {
        let half = Self::HALF;
        self.shift_low(
            count,
            |k| self.tnum.cast(half).rsh(k),
            |k| rsh(self.low(), k, half),
        )
    }

    /// Shifted right, copies of the sign coming in.
    #[inline]
    pub fn arsh64(&self, count: &Self) -> Self {
        self.shift(
            count,
            |k| self.tnum.arsh(k, BITS),
            |k| (arsh(self.wide, k, BITS), self.low_moved_by(k)),
        )
    }

    /// The low half shifted right, copies of its sign coming in, zero-extended.
    #[inline]
    pub fn arsh32(&self, count: &Self) -> Self {
        let half = Self::HALF;
        self.shift_low(
            count,
            |k| self.tnum.cast(half).arsh(k, half),
            |k| arsh(self.low(), k, half),
        )
    }

    /// The low half after a shift right: its own range says something only where nothing moves in.
    #[inline]
    fn low_moved_by(&self, k: u32) -> Range {
        if k == 0 {
            self.low()
        } else {
            Range::full(Self::HALF)
        }
    }

    #[inline]
    fn shift(
        &self,
        count: &Self,
        tnum: impl Fn(u32) -> Tnum,
        ranges: impl Fn(u32) -> (Range, Range),
    ) -> Self {
        let counts = Counts::of(count, BITS);
        let bits = counts.join(tnum, Tnum::join);
        if let Some(x) = bits.as_constant() {
            return Self::constant(x);
        }
        let (wide, low) = counts.join(ranges, |(wide, low), (w, l)| (wide.join(w), low.join(l)));
        Self::from_result(bits, wide, low)
    }

    #[inline]
    fn shift_low(
        &self,
        count: &Self,
        tnum: impl Fn(u32) -> Tnum,
        range: impl Fn(u32) -> Range,
    ) -> Self {
        let counts = Counts::of(count, Self::HALF);
        let bits = counts.join(tnum, Tnum::join);
        if let Some(x) = bits.as_constant() {
            return Self::constant(x);
        }
        Self::from_low(bits, counts.join(range, Range::join))
    }
}

/// The counts that remain after masking: the least one, and the others as a set of bits.
pub(crate) struct Counts {
    least: u32,
    others: u64,
}

impl Counts {
    #[inline]
    pub(crate) fn of<const BITS: u32>(count: &Product<BITS>, bits: u32) -> Counts {
        let masked = u64::from(bits - 1);
        let tnum = count.tnum.and(Tnum::constant(masked));
        if let Some(k) = tnum.as_constant() {
            return Counts {
                least: k as u32,
                others: 0,
            };
        }
        // Bounds say something of the count only where the masking changes none.
        let half = Product::<BITS>::HALF;
        let range = if count.low().umax() <= masked {
            count.low()
        } else {
            Range::full(half)
        };
        let all = (0..=masked)
            .filter(|&k| tnum.contains(k) && range.contains(k))
            .fold(0, |all, k| all | 1 << k);
        Counts {
            least: u64::trailing_zeros(all),
            others: all & (all - 1),
        }
    }

    #[cfg(feature = "proofs")]
    #[inline(always)]
    pub(crate) fn contains(&self, k: u32) -> bool {
        (self.least == k) | (self.others >> k & 1 != 0)
    }

    /// The join of `by` over all counts.
    #[inline]
    fn join<T>(&self, by: impl Fn(u32) -> T, join: impl Fn(T, T) -> T) -> T {
        let mut all = by(self.least);
        let mut others = self.others;
        while others != 0 {
            all = join(all, by(others.trailing_zeros()));
            others &= others - 1;
        }
        all
    }
}

pub(crate) fn lsh(a: Range, k: u32, bits: u32) -> Range {
    scale(a.truncate(bits - k), k)
}

/// The numbers of `a`, of `k` bits fewer, times `2^k`: each side goes to the same side.
pub(crate) fn scale(a: Range, k: u32) -> Range {
    let scaled = |span: Span| {
        if span.is_empty() {
            span
        } else {
            Span {
                lo: span.lo << k,
                hi: span.hi << k,
            }
        }
    };
    Range {
        pos: scaled(a.pos),
        neg: scaled(a.neg),
    }
}

pub(crate) fn rsh(a: Range, k: u32, bits: u32) -> Range {
    a.each(|span| Range::unsigned(span.lo >> k, span.hi >> k, bits))
}

pub(crate) fn arsh(a: Range, k: u32, bits: u32) -> Range {
    let shifted = |x: u64| (sign_extend(x, bits) >> k) as u64 & low_mask(bits);
    let side = |span: Span| {
        if span.is_empty() {
            span
        } else {
            Span {
                lo: shifted(span.lo),
                hi: shifted(span.hi),
            }
        }
    };
    Range {
        pos: side(a.pos),
        neg: side(a.neg),
    }
}
