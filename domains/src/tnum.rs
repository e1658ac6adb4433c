//! Tristate numbers: each bit is 0, 1 or unknown.
//!
//! - **Element:** `(value, mask)`; bit *i* is unknown where `mask` has a 1, else it is bit *i* of `value`.
//!   It stands for the set `{ x | x & !mask == value }`.
//! - **Top:** `(0, MAX)`. **Bottom** is not represented: [`Tnum::intersect`] answers `None`.
//! - **Order:** `a.includes(b)` when every known bit of `a` is known in `b`, with the same value.
//! - **Join:** bits known and equal in both stay known. **Meet:** known bits of both, if they agree.
//! - **Transfer:** `and or xor` bitwise; `add sub neg` exact, by comparing the sums of least and of greatest
//!   members; `mul` by long multiplication, joining at each unknown bit of the multiplier, either way round;
//!   shifts by a constant move value and mask; `cast` and `sign_extend` change the width.
//! - **With an interval:** [`Tnum::at_least`] and [`Tnum::at_most`] find the nearest member,
//!   [`Tnum::narrow`] the best tnum for the members between two members.
//!
//! **Invariant:** `value & mask == 0`, so equal sets are equal values.
//!
//! Source: H. Vishwanathan, M. Shachnai, S. Narayana, S. Nagarakatte, "Sound, Precise, and Fast
//! Abstract Interpretation with Tristate Numbers", CGO 2022.

/// A set of 64-bit numbers in which each bit is 0, 1 or unknown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tnum {
    value: u64,
    mask: u64,
}

impl Tnum {
    /// All numbers.
    pub const UNKNOWN: Tnum = Tnum {
        value: 0,
        mask: u64::MAX,
    };

    /// The known bits of `value` outside `mask`; bits of `mask` are unknown.
    #[inline]
    pub const fn new(value: u64, mask: u64) -> Tnum {
        Tnum {
            value: value & !mask,
            mask,
        }
    }

    /// The parts as they are.
    #[cfg(feature = "proofs")]
    #[inline(always)]
    pub(crate) const fn unchecked(value: u64, mask: u64) -> Tnum {
        Tnum { value, mask }
    }

    /// Only `value`.
    #[inline]
    pub const fn constant(value: u64) -> Tnum {
        Tnum { value, mask: 0 }
    }

    /// All numbers of `bits` bits.
    #[inline]
    pub const fn unknown(bits: u32) -> Tnum {
        Tnum {
            value: 0,
            mask: low_mask(bits),
        }
    }

    /// The smallest tnum that holds all of `min..=max`, unsigned.
    #[inline]
    pub const fn range(min: u64, max: u64) -> Tnum {
        let below = smear(min ^ max);
        Tnum {
            value: min & !below,
            mask: below,
        }
    }

    /// The bits known to be 1.
    #[inline]
    pub const fn value(self) -> u64 {
        self.value
    }

    /// The unknown bits.
    #[inline]
    pub const fn mask(self) -> u64 {
        self.mask
    }

    /// The one member, when there is only one.
    #[inline]
    pub const fn as_constant(self) -> Option<u64> {
        if self.mask == 0 {
            Some(self.value)
        } else {
            None
        }
    }

    /// Whether `x` is a member.
    #[inline]
    pub const fn contains(self, x: u64) -> bool {
        x & !self.mask == self.value
    }

    /// Whether every member of `other` is a member of `self`.
    #[inline]
    pub const fn includes(self, other: Tnum) -> bool {
        other.mask & !self.mask == 0 && other.value & !self.mask == self.value
    }

    /// The least member, unsigned.
    #[inline]
    pub const fn umin(self) -> u64 {
        self.value
    }

    /// The greatest member, unsigned.
    #[inline]
    pub const fn umax(self) -> u64 {
        self.value | self.mask
    }

    /// The least member, as a signed 64-bit number.
    #[inline]
    pub const fn smin(self) -> i64 {
        (self.value | self.mask & SIGN) as i64
    }

    /// The greatest member, as a signed 64-bit number.
    #[inline]
    pub const fn smax(self) -> i64 {
        (self.value | self.mask & !SIGN) as i64
    }

    /// Whether every member is a multiple of `size`, a power of two (0 and 1 align everything).
    #[inline]
    pub const fn is_aligned(self, size: u64) -> bool {
        self.umax() & size.saturating_sub(1) == 0
    }

    /// The number of low bits known to be 0; 64 for the constant 0.
    #[inline]
    pub const fn trailing_zeros(self) -> u32 {
        self.umax().trailing_zeros()
    }

    /// The numbers in both; `None` when there are none.
    #[inline]
    pub const fn intersect(self, other: Tnum) -> Option<Tnum> {
        if (self.value ^ other.value) & !self.mask & !other.mask != 0 {
            return None;
        }
        let mask = self.mask & other.mask;
        Some(Tnum {
            value: self.value | other.value,
            mask,
        })
    }

    /// The smallest tnum that holds both.
    #[inline]
    pub const fn join(self, other: Tnum) -> Tnum {
        let mask = self.mask | other.mask | (self.value ^ other.value);
        Tnum {
            value: self.value & !mask,
            mask,
        }
    }

    /// Sums, modulo 2^64.
    #[inline]
    pub const fn add(self, other: Tnum) -> Tnum {
        let least = self.value.wrapping_add(other.value);
        let greatest = least.wrapping_add(self.mask).wrapping_add(other.mask);
        // A bit is unknown where its own addends are, or where the carry into it depends on unknown bits.
        Tnum::new(least, (least ^ greatest) | self.mask | other.mask)
    }

    /// Differences, modulo 2^64.
    #[inline]
    pub const fn sub(self, other: Tnum) -> Tnum {
        let middle = self.value.wrapping_sub(other.value);
        let greatest = middle.wrapping_add(self.mask);
        let least = middle.wrapping_sub(other.mask);
        Tnum::new(middle, (least ^ greatest) | self.mask | other.mask)
    }

    /// Negations, modulo 2^64.
    #[inline]
    pub const fn neg(self) -> Tnum {
        Tnum::constant(0).sub(self)
    }

    /// Bitwise complements.
    #[inline]
    pub const fn not(self) -> Tnum {
        Tnum::new(!self.value, self.mask)
    }

    /// Bitwise conjunctions.
    #[inline]
    pub const fn and(self, other: Tnum) -> Tnum {
        let ones = self.value & other.value;
        Tnum::new(ones, self.umax() & other.umax() & !ones)
    }

    /// Bitwise disjunctions.
    #[inline]
    pub const fn or(self, other: Tnum) -> Tnum {
        let ones = self.value | other.value;
        Tnum::new(ones, (self.mask | other.mask) & !ones)
    }

    /// Bitwise exclusive disjunctions.
    #[inline]
    pub const fn xor(self, other: Tnum) -> Tnum {
        Tnum::new(self.value ^ other.value, self.mask | other.mask)
    }

    /// Products, modulo 2^64.
    pub const fn mul(self, other: Tnum) -> Tnum {
        if self.mask | other.mask == 0 {
            return Tnum::constant(self.value.wrapping_mul(other.value));
        }
        // Either may be the multiplier; neither order is always the better one.
        let (product, exchanged) = (self.multiply(other), other.multiply(self));
        match product.intersect(exchanged) {
            Some(both) => both,
            None => product,
        }
    }

    /// Long multiplication: the addend, once for each possible bit of the multiplier.
    const fn multiply(self, mut addend: Tnum) -> Tnum {
        let mut multiplier = self;
        let mut product = Tnum::constant(0);
        while multiplier.umax() != 0 {
            let skip = multiplier.trailing_zeros();
            multiplier = multiplier.rsh(skip);
            addend = addend.lsh(skip);
            let free = addend.trailing_zeros();
            if free > 63 || !product.mask >> free == 0 {
                // What is still to be added changes only bits that are unknown already.
                break;
            }
            let sum = product.add(addend);
            product = if multiplier.value & 1 != 0 {
                sum
            } else {
                product.join(sum)
            };
            multiplier = Tnum {
                value: multiplier.value & !1,
                mask: multiplier.mask & !1,
            };
        }
        product
    }

    /// Shifted left by `count` below 64.
    #[inline]
    pub const fn lsh(self, count: u32) -> Tnum {
        Tnum {
            value: self.value << count,
            mask: self.mask << count,
        }
    }

    /// Shifted right by `count` below 64, zeros coming in.
    #[inline]
    pub const fn rsh(self, count: u32) -> Tnum {
        Tnum {
            value: self.value >> count,
            mask: self.mask >> count,
        }
    }

    /// A number of `bits` bits shifted right by `count` below `bits`, copies of its sign coming in.
    #[inline]
    pub const fn arsh(self, count: u32, bits: u32) -> Tnum {
        let up = 64 - bits;
        Tnum {
            value: (((self.value << up) as i64 >> count) as u64) >> up,
            mask: (((self.mask << up) as i64 >> count) as u64) >> up,
        }
        .cast(bits)
    }

    /// The low `bits` bits, the rest 0.
    #[inline]
    pub const fn cast(self, bits: u32) -> Tnum {
        Tnum {
            value: self.value & low_mask(bits),
            mask: self.mask & low_mask(bits),
        }
    }

    /// The low `from` bits, with copies of the highest of them up to bit `to - 1`, the rest 0.
    #[inline]
    pub const fn sign_extend(self, from: u32, to: u32) -> Tnum {
        let up = 64 - from;
        Tnum {
            value: ((self.value << up) as i64 >> up) as u64,
            mask: ((self.mask << up) as i64 >> up) as u64,
        }
        .cast(to)
    }

    /// The low 32 bits, the rest 0.
    #[inline]
    pub const fn subreg(self) -> Tnum {
        self.cast(32)
    }

    /// The high 32 bits, the low ones 0.
    #[inline]
    pub const fn clear_subreg(self) -> Tnum {
        self.clear_low(32)
    }

    /// The high 32 bits of `self` with the low 32 bits of `low`.
    #[inline]
    pub const fn with_subreg(self, low: Tnum) -> Tnum {
        self.with_low(low, 32)
    }

    /// The bits from `bits` up, the ones below 0.
    #[inline]
    pub(crate) const fn clear_low(self, bits: u32) -> Tnum {
        Tnum {
            value: self.value & !low_mask(bits),
            mask: self.mask & !low_mask(bits),
        }
    }

    #[inline]
    pub(crate) const fn with_low(self, low: Tnum, bits: u32) -> Tnum {
        let (high, low) = (self.clear_low(bits), low.cast(bits));
        Tnum {
            value: high.value | low.value,
            mask: high.mask | low.mask,
        }
    }

    /// The `bytes` low bytes in the opposite order, the rest 0.
    #[inline]
    pub const fn swap_bytes(self, bytes: u32) -> Tnum {
        let down = 64 - 8 * bytes;
        Tnum {
            value: self.value.swap_bytes() >> down,
            mask: self.mask.swap_bytes() >> down,
        }
    }

    /// The least member that is not below `x`.
    #[inline]
    pub const fn at_least(self, x: u64) -> Option<u64> {
        let wrong = (x ^ self.value) & !self.mask;
        if wrong == 0 {
            return Some(x);
        }
        // Above the highest bit that contradicts, the result is `x`; there and below, it is as small as it can be.
        let below = smear(wrong);
        if x & (below ^ (below >> 1)) == 0 {
            return Some((x & !below) | (self.value & below));
        }
        // `x` has a 1 where members have a 0: the next unknown 0 above has to become 1.
        let free = self.mask & !x & !below;
        let raised = free & free.wrapping_neg();
        if raised == 0 {
            return None;
        }
        Some((x & !(raised | (raised - 1))) | raised | (self.value & (raised - 1)))
    }

    /// The greatest member that is not above `x`.
    #[inline]
    pub const fn at_most(self, x: u64) -> Option<u64> {
        match self.not().at_least(!x) {
            Some(y) => Some(!y),
            None => None,
        }
    }

    /// The smallest tnum that holds the members from `min` to `max`, themselves members.
    #[inline]
    pub const fn narrow(self, min: u64, max: u64) -> Tnum {
        // The members are counted by their unknown bits; above the first that differs all are alike,
        // below it all combinations occur.
        let below = smear(min ^ max);
        Tnum {
            value: self.value | (min & self.mask & !below),
            mask: self.mask & below,
        }
    }
}

const SIGN: u64 = 1 << 63;

/// The `bits` low bits set, for 1 to 64.
#[inline]
pub(crate) const fn low_mask(bits: u32) -> u64 {
    u64::MAX >> (64 - bits)
}

/// All bits from the highest set one down.
#[inline]
pub(crate) const fn smear(x: u64) -> u64 {
    if x == 0 {
        0
    } else {
        u64::MAX >> x.leading_zeros()
    }
}
