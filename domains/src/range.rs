//! Unsigned and signed bounds of a number of `bits` bits, kept as one interval on each side of zero.
//!
//! An unsigned interval `[umin, umax]` and a signed one `[smin, smax]` together say exactly: the
//! non-negative members lie in `pos`, the negative ones in `neg`, each an interval of bit patterns.
//! Kept so, the two are always reduced against each other, and a transfer function works on
//! intervals in which signed and unsigned order agree.
//!
//! - **Element:** `(pos, neg)`, either may be empty. **Top:** `[0, 2^(bits-1) - 1]` and `[2^(bits-1), 2^bits - 1]`.
//!   **Bottom:** both empty.
//! - **Order:** inclusion on each side. **Join:** the hull on each side. **Meet:** the intersection on each side.
//! - **Transfer:** results are windows of consecutive numbers modulo `2^bits`, cut at both zeros and joined;
//!   a window that reaches around is top.
//!
//! **Invariant:** an empty side is [`Span::EMPTY`], and bits above `bits` are 0, so equal sets are equal values.

use crate::tnum::{Tnum, low_mask};

/// An interval of bit patterns in unsigned order, or empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Span {
    pub(crate) lo: u64,
    pub(crate) hi: u64,
}

impl Span {
    /// No number. Its bounds are neutral to [`Span::hull`].
    pub const EMPTY: Span = Span {
        lo: u64::MAX,
        hi: 0,
    };

    /// `lo..=hi`, empty when `lo > hi`.
    #[inline]
    pub const fn new(lo: u64, hi: u64) -> Span {
        if lo <= hi {
            Span { lo, hi }
        } else {
            Span::EMPTY
        }
    }

    /// Whether there is no member.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.lo > self.hi
    }

    #[inline]
    pub(crate) const fn contains(self, x: u64) -> bool {
        self.lo <= x && x <= self.hi
    }

    #[inline]
    pub(crate) const fn includes(self, other: Span) -> bool {
        other.is_empty() || (self.lo <= other.lo && other.hi <= self.hi)
    }

    #[inline]
    pub(crate) fn meet(self, other: Span) -> Span {
        Span::new(self.lo.max(other.lo), self.hi.min(other.hi))
    }

    #[inline]
    pub(crate) fn hull(self, other: Span) -> Span {
        Span {
            lo: self.lo.min(other.lo),
            hi: self.hi.max(other.hi),
        }
    }

    /// The number of members less one; not for an empty span.
    #[inline]
    pub(crate) const fn length(self) -> u64 {
        self.hi - self.lo
    }

    /// The hull of the members that `tnum` holds too.
    #[inline]
    fn clip(self, tnum: Tnum) -> Span {
        match (tnum.at_least(self.lo), tnum.at_most(self.hi)) {
            // An empty span's nearest members, if any, are in the wrong order too.
            (Some(lo), Some(hi)) => Span::new(lo, hi),
            _ => Span::EMPTY,
        }
    }
}

/// A set of numbers of some bits, known by unsigned and signed bounds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Range {
    pub(crate) pos: Span,
    pub(crate) neg: Span,
}

impl Range {
    pub(crate) const EMPTY: Range = Range {
        pos: Span::EMPTY,
        neg: Span::EMPTY,
    };

    /// All numbers of `bits` bits.
    #[inline]
    pub const fn full(bits: u32) -> Range {
        let sign = 1 << (bits - 1);
        Range {
            pos: Span {
                lo: 0,
                hi: sign - 1,
            },
            neg: Span {
                lo: sign,
                hi: low_mask(bits),
            },
        }
    }

    /// The numbers from `lo` to `hi`, unsigned.
    #[inline]
    pub fn unsigned(lo: u64, hi: u64, bits: u32) -> Range {
        let whole = Range::full(bits);
        let span = Span::new(lo, hi);
        Range {
            pos: whole.pos.meet(span),
            neg: whole.neg.meet(span),
        }
    }

    /// The numbers from `lo` to `hi`, signed.
    #[inline]
    pub fn signed(lo: i64, hi: i64, bits: u32) -> Range {
        if lo > hi {
            return Range::EMPTY;
        }
        let smin = -1 << (bits - 1);
        let smax = !smin;
        let (lo, hi) = (lo.max(smin), hi.min(smax));
        let mask = low_mask(bits);
        let pos = if hi < 0 {
            Span::EMPTY
        } else {
            Span::new(lo.max(0) as u64, hi as u64)
        };
        let neg = if lo >= 0 {
            Span::EMPTY
        } else {
            Span::new(lo as u64 & mask, hi.min(-1) as u64 & mask)
        };
        Range { pos, neg }
    }

    /// The `length + 1` numbers that follow `lo`, modulo `2^bits`; cut at both zeros.
    #[inline]
    pub(crate) fn window(lo: u64, length: u64, bits: u32) -> Range {
        let mask = low_mask(bits);
        if length >= mask {
            return Range::full(bits);
        }
        let lo = lo & mask;
        let hi = lo.wrapping_add(length) & mask;
        if lo <= hi && hi <= mask >> 1 {
            return Range {
                pos: Span { lo, hi },
                neg: Span::EMPTY,
            };
        }
        Range::full(bits).clip_arc(lo, hi, mask)
    }

    /// The hull of the members met going up from `lo` to `hi`, around `mask` if `lo > hi`.
    #[inline]
    fn clip_arc(self, lo: u64, hi: u64, mask: u64) -> Range {
        if lo <= hi {
            self.clip_span(Span { lo, hi })
        } else {
            self.clip_span(Span { lo: 0, hi })
                .join(self.clip_span(Span { lo, hi: mask }))
        }
    }

    #[inline]
    fn clip_span(self, span: Span) -> Range {
        Range {
            pos: self.pos.meet(span),
            neg: self.neg.meet(span),
        }
    }

    /// Whether there is no member.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.pos.is_empty() && self.neg.is_empty()
    }

    /// Whether `x`, with no bits above the range's, is a member.
    #[inline]
    pub const fn contains(self, x: u64) -> bool {
        self.pos.contains(x) || self.neg.contains(x)
    }

    /// Whether every member of `other` is a member of `self`.
    #[inline]
    pub const fn includes(self, other: Range) -> bool {
        self.pos.includes(other.pos) && self.neg.includes(other.neg)
    }

    /// The smallest range that holds both.
    #[inline]
    pub fn join(self, other: Range) -> Range {
        Range {
            pos: self.pos.hull(other.pos),
            neg: self.neg.hull(other.neg),
        }
    }

    /// The numbers in both; may be empty.
    #[inline]
    pub fn meet(self, other: Range) -> Range {
        Range {
            pos: self.pos.meet(other.pos),
            neg: self.neg.meet(other.neg),
        }
    }

    /// The least member, unsigned.
    #[inline]
    pub fn umin(self) -> u64 {
        self.pos.lo.min(self.neg.lo)
    }

    /// The greatest member, unsigned.
    #[inline]
    pub fn umax(self) -> u64 {
        self.pos.hi.max(self.neg.hi)
    }

    /// The least member, signed.
    #[inline]
    pub fn smin(self, bits: u32) -> i64 {
        if self.neg.is_empty() {
            self.pos.lo as i64
        } else {
            sign_extend(self.neg.lo, bits)
        }
    }

    /// The greatest member, signed.
    #[inline]
    pub fn smax(self, bits: u32) -> i64 {
        if self.pos.is_empty() {
            sign_extend(self.neg.hi, bits)
        } else {
            self.pos.hi as i64
        }
    }

    /// The join of `f` over the sides that have members.
    #[inline]
    pub(crate) fn each(self, f: impl Fn(Span) -> Range) -> Range {
        // Written out, because a loop over the sides would keep them in memory.
        let side = |span: Span| match span.is_empty() {
            true => Range::EMPTY,
            false => f(span),
        };
        side(self.pos).join(side(self.neg))
    }

    /// The join of `f` over all pairs of sides.
    #[inline]
    pub(crate) fn pairwise(self, other: Range, f: impl Fn(Span, Span) -> Range) -> Range {
        // Most numbers are known to be non-negative.
        if self.neg.is_empty() && other.neg.is_empty() {
            return f(self.pos, other.pos);
        }
        self.each(|a| other.each(|b| f(a, b)))
    }

    /// The low `to` bits of numbers of at least as many bits.
    #[inline]
    pub(crate) fn truncate(self, to: u32) -> Range {
        Range::full(to).clip_truncated(self, to)
    }

    /// The hull of the members of `self`, of `to` bits, that are the low bits of some member of `wide`.
    #[inline]
    pub(crate) fn clip_truncated(self, wide: Range, to: u32) -> Range {
        let mask = low_mask(to);
        wide.each(|span| {
            if span.length() >= mask {
                self
            } else {
                self.clip_arc(span.lo & mask, span.hi & mask, mask)
            }
        })
    }

    /// The hull of the members whose `low_bits` low bits are in `low`, which has members.
    #[inline]
    pub(crate) fn clip_low(self, low: Range, low_bits: u32) -> Range {
        Range {
            pos: clip_span_low(self.pos, low, low_bits),
            neg: clip_span_low(self.neg, low, low_bits),
        }
    }

    /// The hull of the members that `tnum` holds too, on each side.
    #[inline]
    pub(crate) fn clip_tnum(self, tnum: Tnum) -> Range {
        Range {
            pos: self.pos.clip(tnum),
            neg: self.neg.clip(tnum),
        }
    }

    /// The smallest tnum that holds the members common to `self` and `tnum`; every bound is a member of `tnum`.
    #[inline]
    pub(crate) fn narrow_tnum(self, tnum: Tnum) -> Tnum {
        if self.neg.is_empty() {
            tnum.narrow(self.pos.lo, self.pos.hi)
        } else if self.pos.is_empty() {
            tnum.narrow(self.neg.lo, self.neg.hi)
        } else {
            tnum.narrow(self.pos.lo, self.pos.hi)
                .join(tnum.narrow(self.neg.lo, self.neg.hi))
        }
    }

    /// The same members without `x`, where `x` is a bound.
    #[inline]
    pub(crate) fn without(self, x: u64) -> Range {
        let cut = |span: Span| match span {
            Span { lo, hi } if lo == x && hi == x => Span::EMPTY,
            Span { lo, hi } if lo == x && lo < hi => Span { lo: lo + 1, hi },
            Span { lo, hi } if hi == x && lo < hi => Span { lo, hi: hi - 1 },
            span => span,
        };
        Range {
            pos: cut(self.pos),
            neg: cut(self.neg),
        }
    }
}

/// The signed value of a pattern of `bits` bits.
#[inline]
pub(crate) const fn sign_extend(x: u64, bits: u32) -> i64 {
    let up = 64 - bits;
    (x << up) as i64 >> up
}

#[inline]
fn clip_span_low(span: Span, low: Range, bits: u32) -> Span {
    if span.is_empty() {
        return Span::EMPTY;
    }
    let mask = low_mask(bits);
    let lo = match next_in(low, span.lo & mask) {
        Some(next) => Some(span.lo & !mask | next),
        None => (span.lo | mask)
            .checked_add(1)
            .map(|block| block | low.umin()),
    };
    let hi = match previous_in(low, span.hi & mask) {
        Some(previous) => Some(span.hi & !mask | previous),
        None => (span.hi & !mask)
            .checked_sub(1)
            .map(|block| block & !mask | low.umax()),
    };
    match (lo, hi) {
        (Some(lo), Some(hi)) => Span::new(lo, hi),
        _ => Span::EMPTY,
    }
}

/// The least member of `range` not below `x`.
#[inline]
fn next_in(range: Range, x: u64) -> Option<u64> {
    if x <= range.pos.hi && !range.pos.is_empty() {
        Some(x.max(range.pos.lo))
    } else if x <= range.neg.hi && !range.neg.is_empty() {
        Some(x.max(range.neg.lo))
    } else {
        None
    }
}

/// The greatest member of `range` not above `x`.
#[inline]
fn previous_in(range: Range, x: u64) -> Option<u64> {
    if x >= range.neg.lo && !range.neg.is_empty() {
        Some(x.min(range.neg.hi))
    } else if x >= range.pos.lo && !range.pos.is_empty() {
        Some(x.min(range.pos.hi))
    } else {
        None
    }
}
