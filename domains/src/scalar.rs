//! The reduced product: what is known of a register that holds a number.
//!
//! - **Element:** a [`Tnum`], a [`Range`] of the whole number and a [`Range`] of its low half.
//!   It stands for the numbers that all three hold.
//! - **Top:** [`Product::unknown`]. **Bottom** is not represented: what may be empty answers `None`.
//! - **Order, join, meet, widening:** part by part, then reduced (see `lattice`).
//! - **Reduction** (`from_parts`) repeats until nothing changes:
//!   1. each bound of the whole moves to the nearest member of the tnum, and the tnum keeps only what
//!      occurs between the bounds (both are the best possible for one tnum and one interval);
//!   2. the low half meets the low bits of the whole's intervals, where these are shorter than the half;
//!   3. the same as 1 for the low half and the low half of the tnum;
//!   4. each bound of the whole moves to the nearest number whose low half is in its range.
//!
//! At the fixed point every bound of the whole is a member of all three parts, so no deduction could
//! better it; what Linux's `reg_bounds_sync` deduces for the low half and the tnum follows from 1 to 3.
//! A further round needs a bit that became known or an interval that became short, so rounds are few.
//!
//! **Invariant:** every value is reduced and has a member; equal values are equal fields.
//!
//! **Invariant:** `BITS` is 64 outside the tests, which run the same code at widths where all sets can be tried.
//! Functions named `…64` work on the whole number, those named `…32` on the low half, zero-extended.

use crate::range::{Range, Span};
use crate::tnum::{Tnum, low_mask};

/// What is known of a 64-bit number.
pub type Scalar = Product<64>;

/// What is known of a number of `BITS` bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Product<const BITS: u32> {
    pub(crate) tnum: Tnum,
    pub(crate) wide: Range,
    low: Low,
}

/// A [`Range`] of the low half, in half the space.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Low {
    pos: (u32, u32),
    neg: (u32, u32),
}

impl<const BITS: u32> Product<BITS> {
    pub(crate) const HALF: u32 = BITS / 2;

    /// Any number.
    #[inline]
    pub const fn unknown() -> Self {
        Product {
            tnum: Tnum::unknown(BITS),
            wide: Range::full(BITS),
            low: Low::new(Range::full(Self::HALF)),
        }
    }

    /// Any number of `bits` bits, from 1 up: what an unsigned load gives.
    #[inline]
    pub fn any_of(bits: u32) -> Self {
        let bits = bits.clamp(1, BITS);
        let low = bits.min(Self::HALF);
        Product {
            tnum: Tnum::unknown(bits),
            wide: Range::unsigned(0, low_mask(bits), BITS),
            low: Low::new(Range::unsigned(0, low_mask(low), Self::HALF)),
        }
    }

    /// Only `x`.
    #[inline]
    pub fn constant(x: u64) -> Self {
        let x = x & low_mask(BITS);
        let low = x & low_mask(Self::HALF);
        Product {
            tnum: Tnum::constant(x),
            wide: Range::unsigned(x, x, BITS),
            low: Low::new(Range::unsigned(low, low, Self::HALF)),
        }
    }

    /// The numbers from `min` to `max`, unsigned; `None` when `min > max`.
    pub fn from_unsigned(min: u64, max: u64) -> Option<Self> {
        Self::from_parts(
            Tnum::unknown(BITS),
            Range::unsigned(min, max, BITS),
            Range::full(Self::HALF),
        )
    }

    /// The numbers from `min` to `max`, signed; `None` when `min > max`.
    pub fn from_signed(min: i64, max: i64) -> Option<Self> {
        Self::from_parts(
            Tnum::unknown(BITS),
            Range::signed(min, max, BITS),
            Range::full(Self::HALF),
        )
    }

    /// The numbers within an unsigned and a signed interval; `None` when there are none.
    pub fn from_bounds(umin: u64, umax: u64, smin: i64, smax: i64) -> Option<Self> {
        let wide = Range::unsigned(umin, umax, BITS).meet(Range::signed(smin, smax, BITS));
        Self::from_parts(Tnum::unknown(BITS), wide, Range::full(Self::HALF))
    }

    /// The numbers whose low half is within an unsigned and a signed interval; `None` when there are none.
    pub fn from_low_bounds(u32_min: u32, u32_max: u32, s32_min: i32, s32_max: i32) -> Option<Self> {
        let half = Self::HALF;
        let unsigned = Range::unsigned(u32_min.into(), u32_max.into(), half);
        let low = unsigned.meet(Range::signed(s32_min.into(), s32_max.into(), half));
        Self::from_parts(Tnum::unknown(BITS), Range::full(BITS), low)
    }

    /// The members of `tnum`; `None` when none has `BITS` bits.
    pub fn from_tnum(tnum: Tnum) -> Option<Self> {
        let tnum = tnum.intersect(Tnum::unknown(BITS))?;
        Self::from_parts(tnum, Range::full(BITS), Range::full(Self::HALF))
    }

    /// The numbers that are in `tnum`, in `wide`, and whose low half is in `low`, with everything
    /// deduced that one part says about another; `None` when there are none.
    #[inline]
    pub(crate) fn from_parts(mut tnum: Tnum, mut wide: Range, mut low: Range) -> Option<Self> {
        if cfg!(feature = "proofs") {
            return Some(Self::raw(tnum, wide, low));
        }
        loop {
            let done;
            (tnum, wide, low, done) = Self::step(tnum, wide, low)?;
            if done {
                return Some(Self::raw(tnum, wide, low));
            }
        }
    }

    /// One round of reduction, and whether another changes nothing; `None` when there are no members.
    #[inline]
    pub(crate) fn step(tnum: Tnum, wide: Range, low: Range) -> Option<(Tnum, Range, Range, bool)> {
        let half = Self::HALF;
        if wide.neg.is_empty() && wide.pos.hi <= low_mask(half) >> 1 {
            // The most frequent case: small numbers are their own low halves, and one step is enough.
            let both = Range {
                pos: wide.pos.meet(low.pos),
                neg: Span::EMPTY,
            }
            .clip_tnum(tnum);
            if both.is_empty() {
                return None;
            }
            return Some((both.narrow_tnum(tnum), both, both, true));
        }
        let clipped = wide.clip_tnum(tnum);
        if clipped.is_empty() {
            return None;
        }
        let narrow = clipped.narrow_tnum(tnum);
        if let Some(x) = narrow.as_constant() {
            let low_x = x & low_mask(half);
            return low.contains(low_x).then(|| {
                let only = Range::unsigned(low_x, low_x, half);
                (narrow, Range::unsigned(x, x, BITS), only, true)
            });
        }
        let cut = low.clip_truncated(clipped, half);
        let low = cut.clip_tnum(narrow.cast(half));
        if low.is_empty() {
            return None;
        }
        let narrowed = narrow.with_low(low.narrow_tnum(narrow.cast(half)), half);
        let lifted = clipped.clip_low(low, half);
        let done = cut == low && narrowed == narrow && lifted == clipped;
        Some((narrowed, lifted, low, done))
    }

    /// The parts as they are.
    #[inline]
    pub(crate) const fn raw(tnum: Tnum, wide: Range, low: Range) -> Self {
        Product {
            tnum,
            wide,
            low: Low::new(low),
        }
    }

    /// The result of a transfer function, which has a member because its inputs have.
    #[inline]
    pub(crate) fn from_result(tnum: Tnum, wide: Range, low: Range) -> Self {
        let result = Self::from_parts(tnum, wide, low);
        debug_assert!(result.is_some(), "a transfer function lost every member");
        result.unwrap_or(Self::unknown())
    }

    /// A number of the low half, the high half 0.
    #[inline]
    pub(crate) fn from_low(tnum: Tnum, low: Range) -> Self {
        let tnum = tnum.cast(Self::HALF);
        Self::from_result(tnum, Range::unsigned(low.umin(), low.umax(), BITS), low)
    }

    /// The one member, when there is only one.
    #[inline]
    pub const fn as_constant(&self) -> Option<u64> {
        self.tnum.as_constant()
    }

    /// Whether nothing is known.
    #[inline]
    pub fn is_unknown(&self) -> bool {
        *self == Self::unknown()
    }

    /// Whether `x` is a member.
    #[inline]
    pub fn contains(&self, x: u64) -> bool {
        self.tnum.contains(x)
            && self.wide.contains(x)
            && self.low().contains(x & low_mask(Self::HALF))
    }

    /// What is known of each bit.
    #[inline]
    pub const fn tnum(&self) -> Tnum {
        self.tnum
    }

    /// The range of the low half.
    #[inline]
    pub(crate) const fn low(&self) -> Range {
        self.low.range()
    }

    /// The least member, unsigned.
    #[inline]
    pub fn umin(&self) -> u64 {
        self.wide.umin()
    }

    /// The greatest member, unsigned.
    #[inline]
    pub fn umax(&self) -> u64 {
        self.wide.umax()
    }

    /// The least member, signed.
    #[inline]
    pub fn smin(&self) -> i64 {
        self.wide.smin(BITS)
    }

    /// The greatest member, signed.
    #[inline]
    pub fn smax(&self) -> i64 {
        self.wide.smax(BITS)
    }

    /// The least low half, unsigned.
    #[inline]
    pub fn u32_min(&self) -> u32 {
        self.low().umin() as u32
    }

    /// The greatest low half, unsigned.
    #[inline]
    pub fn u32_max(&self) -> u32 {
        self.low().umax() as u32
    }

    /// The least low half, signed.
    #[inline]
    pub fn s32_min(&self) -> i32 {
        self.low().smin(Self::HALF) as i32
    }

    /// The greatest low half, signed.
    #[inline]
    pub fn s32_max(&self) -> i32 {
        self.low().smax(Self::HALF) as i32
    }

    /// The one low half, when there is only one.
    #[inline]
    pub const fn low_constant(&self) -> Option<u32> {
        match self.tnum.cast(Self::HALF).as_constant() {
            Some(x) => Some(x as u32),
            None => None,
        }
    }
}

impl Low {
    #[inline]
    const fn new(range: Range) -> Low {
        Low {
            pos: (range.pos.lo as u32, range.pos.hi as u32),
            neg: (range.neg.lo as u32, range.neg.hi as u32),
        }
    }

    #[inline]
    const fn range(self) -> Range {
        Range {
            pos: Span::new(self.pos.0 as u64, self.pos.1 as u64),
            neg: Span::new(self.neg.0 as u64, self.neg.1 as u64),
        }
    }
}
