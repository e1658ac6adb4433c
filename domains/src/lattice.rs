//! Order, join, meet and widening of the reduced product.
//!
//! - **Order** ([`Product::includes`]): part by part. Sound: what is included has no other members.
//! - **Join:** the least upper bound of each part. **Meet:** the numbers in both, reduced.
//! - **Widening** ([`Product::widen`]): each bound that moved goes on to the next threshold, or to
//!   where its side ends; the lowest bit that became unknown takes with it all bits above, because sums
//!   carry upwards. The end of the low half is a threshold and stops bits too: a 32-bit counter stays
//!   zero-extended. A caller that joins before it widens keeps what settles by itself, such as flags.
//!
//! **Invariant:** `a.widen(b)` includes both, and a sequence `x = x.widen(y)` with any `y` stops
//! changing: each step that changes anything moves a bound past a threshold, which are finitely
//! many, or loses a known bit.

use crate::range::{Range, Span};
use crate::scalar::Product;
use crate::tnum::{Tnum, low_mask};

impl<const BITS: u32> Product<BITS> {
    /// Whether everything that is known of `self` is known of `other`: its members are all members of `self`.
    #[inline]
    pub fn includes(&self, other: &Self) -> bool {
        self.tnum.includes(other.tnum)
            && self.wide.includes(other.wide)
            && self.low().includes(other.low())
    }

    /// What is known of both.
    #[inline]
    pub fn join(&self, other: &Self) -> Self {
        if self == other {
            return *self;
        }
        Self::from_result(
            self.tnum.join(other.tnum),
            self.wide.join(other.wide),
            self.low().join(other.low()),
        )
    }

    /// The numbers in both; `None` when there are none.
    #[inline]
    pub fn meet(&self, other: &Self) -> Option<Self> {
        let tnum = self.tnum.intersect(other.tnum)?;
        Self::from_parts(
            tnum,
            self.wide.meet(other.wide),
            self.low().meet(other.low()),
        )
    }

    /// A value above `self` and `next`, in so few different steps that a loop's states settle.
    /// Bounds stop at `thresholds`, bit patterns in any order (the constants a loop compares with).
    pub fn widen(&self, next: &Self, thresholds: &[u64]) -> Self {
        if self.includes(next) {
            return *self;
        }
        let half = Self::HALF;
        let ends = [low_mask(half), !low_mask(half), !low_mask(half - 1)];
        Self::from_result(
            widen_tnum(self.tnum, next.tnum, BITS),
            widen_range(self.wide, next.wide, BITS, thresholds, &ends),
            widen_range(self.low(), next.low(), half, thresholds, &[]),
        )
    }
}

fn widen_tnum(before: Tnum, next: Tnum, bits: u32) -> Tnum {
    let joined = before.join(next);
    let lost = joined.mask() & !before.mask();
    if lost == 0 {
        return joined;
    }
    let lowest = lost & lost.wrapping_neg();
    let end = if lost <= low_mask(bits / 2) {
        bits / 2
    } else {
        bits
    };
    Tnum::new(
        joined.value(),
        joined.mask() | (lowest.wrapping_neg() & low_mask(end)),
    )
}

fn widen_range(before: Range, next: Range, bits: u32, thresholds: &[u64], ends: &[u64]) -> Range {
    let full = Range::full(bits);
    let side = |before: Span, next: Span, full: Span| {
        let hull = before.hull(next);
        if before.is_empty() {
            return hull;
        }
        let mut wide = Span {
            lo: if hull.lo < before.lo {
                full.lo
            } else {
                hull.lo
            },
            hi: if hull.hi > before.hi {
                full.hi
            } else {
                hull.hi
            },
        };
        for t in thresholds.iter().chain(ends).map(|t| t & low_mask(bits)) {
            if wide.lo < t && t <= hull.lo {
                wide.lo = t;
            }
            if hull.hi <= t && t < wide.hi {
                wide.hi = t;
            }
        }
        wide
    };
    Range {
        pos: side(before.pos, next.pos, full.pos),
        neg: side(before.neg, next.neg, full.neg),
    }
}
