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
        self.shift(count, BITS, |k| {
            if k < Self::HALF {
                (
                    self.tnum.lsh(k).cast(BITS),
                    lsh(self.wide, k, BITS),
                    lsh(self.low(), k, Self::HALF),
                )
            } else {
                // Only low bits of the low half survive, of which its own range may know more.
                let wide = lsh(self.wide, k, BITS).meet(scale(self.low().truncate(BITS - k), k));
                (
                    self.tnum.lsh(k).cast(BITS),
                    wide,
                    Range::unsigned(0, 0, Self::HALF),
                )
            }
        })
    }

    /// The low half shifted left, zero-extended.
    #[inline]
    pub fn lsh32(&self, count: &Self) -> Self {
        let half = Self::HALF;
        self.shift_low(count, |k| (self.tnum.lsh(k), lsh(self.low(), k, half)))
    }

    /// Shifted right, zeros coming in.
    #[inline]
    pub fn rsh64(&self, count: &Self) -> Self {
        self.shift(count, BITS, |k| {
            (
                self.tnum.rsh(k),
                rsh(self.wide, k, BITS),
                Range::full(Self::HALF),
            )
        })
    }

    /// The low half shifted right, zeros coming in, zero-extended.
    #[inline]
    pub fn rsh32(&self, count: &Self) -> Self {
        let half = Self::HALF;
        self.shift_low(count, |k| {
            (self.tnum.cast(half).rsh(k), rsh(self.low(), k, half))
        })
    }

    /// Shifted right, copies of the sign coming in.
    #[inline]
    pub fn arsh64(&self, count: &Self) -> Self {
        self.shift(count, BITS, |k| {
            (
                self.tnum.arsh(k, BITS),
                arsh(self.wide, k, BITS),
                Range::full(Self::HALF),
            )
        })
    }

    /// The low half shifted right, copies of its sign coming in, zero-extended.
    #[inline]
    pub fn arsh32(&self, count: &Self) -> Self {
        let half = Self::HALF;
        self.shift_low(count, |k| {
            (
                self.tnum.cast(half).arsh(k, half),
                arsh(self.low(), k, half),
            )
        })
    }

    #[inline]
    fn shift(&self, count: &Self, bits: u32, by: impl Fn(u32) -> (Tnum, Range, Range)) -> Self {
        let (tnum, wide, low) = over_counts(count, bits, by, |(t, w, l), (tnum, wide, low)| {
            (t.join(tnum), w.join(wide), l.join(low))
        });
        Self::from_result(tnum, wide, low)
    }

    #[inline]
    fn shift_low(&self, count: &Self, by: impl Fn(u32) -> (Tnum, Range)) -> Self {
        let (tnum, low) = over_counts(count, Self::HALF, by, |(t, l), (tnum, low)| {
            (t.join(tnum), l.join(low))
        });
        Self::from_low(tnum, low)
    }
}

/// The join of `by` over the counts below `bits` that `count` allows.
#[inline]
fn over_counts<T: Copy, const BITS: u32>(
    count: &Product<BITS>,
    bits: u32,
    by: impl Fn(u32) -> T,
    join: impl Fn(T, T) -> T,
) -> T {
    let masked = u64::from(bits - 1);
    let tnum = count.tnum.and(Tnum::constant(masked));
    let least = tnum.value() as u32;
    let mut all = by(least);
    if tnum.mask() == 0 {
        return all;
    }
    // Bounds say something of the count only where the masking changes none.
    let half = Product::<BITS>::HALF;
    let range = if count.low().umax() <= masked {
        count.low()
    } else {
        Range::full(half)
    };
    if !range.contains(u64::from(least)) {
        all = by(range.umin() as u32);
    }
    for k in least + 1..bits {
        if tnum.contains(u64::from(k)) && range.contains(u64::from(k)) {
            all = join(all, by(k));
        }
    }
    all
}

fn lsh(a: Range, k: u32, bits: u32) -> Range {
    scale(a.truncate(bits - k), k)
}

/// The numbers of `a`, of `k` bits fewer, times `2^k`: each side goes to the same side.
fn scale(a: Range, k: u32) -> Range {
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

fn rsh(a: Range, k: u32, bits: u32) -> Range {
    let mut all = Range::EMPTY;
    for span in a.spans() {
        all = all.join(Range::unsigned(span.lo >> k, span.hi >> k, bits));
    }
    all
}

fn arsh(a: Range, k: u32, bits: u32) -> Range {
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
