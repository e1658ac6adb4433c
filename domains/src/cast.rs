//! Changes of width and of byte order.
//!
//! - **zero_extend(n):** the low `n` bits of the tnum; the range's intervals modulo `2^n`, where they are shorter.
//! - **sign_extend(n):** the same, then each side goes to its side.
//! - **bswap:** the bytes of the tnum; bounds do not survive, except as what the tnum says.
//!
//! Source: RFC 9669, sections 4.1 and 4.2.

use crate::range::{Range, Span, sign_extend};
use crate::scalar::{Product, Scalar};
use crate::tnum::low_mask;

impl<const BITS: u32> Product<BITS> {
    /// The low `bits` bits, from 1 up, the rest 0: an unsigned load, or a truncation.
    #[inline]
    pub fn zero_extend(&self, bits: u32) -> Self {
        let bits = bits.clamp(1, BITS);
        if self.umax() <= low_mask(bits) {
            return *self;
        }
        let kept = self.lowest(bits);
        let wide = Range::unsigned(kept.umin(), kept.umax(), BITS);
        let low = if bits < Self::HALF {
            Range::unsigned(kept.umin(), kept.umax(), Self::HALF)
        } else {
            self.low()
        };
        Self::from_result(self.tnum.cast(bits), wide, low)
    }

    /// The low `bits` bits, from 1 up, and copies of the highest of them: a signed load.
    #[inline]
    pub fn sign_extend(&self, bits: u32) -> Self {
        let bits = bits.clamp(1, BITS);
        if bits == BITS {
            return *self;
        }
        let kept = self.lowest(bits);
        let low = if bits < Self::HALF {
            extend(kept, bits, Self::HALF)
        } else {
            self.low()
        };
        Self::from_result(
            self.tnum.sign_extend(bits, BITS),
            extend(kept, bits, BITS),
            low,
        )
    }

    /// A 32-bit move: the low half, zero-extended.
    #[inline]
    pub fn mov32(&self) -> Self {
        match self.as_constant() {
            Some(x) => Self::constant(x & low_mask(Self::HALF)),
            None => Self::from_low(self.tnum, self.low()),
        }
    }

    /// A 64-bit move with sign extension from `bits` bits.
    #[inline]
    pub fn movsx64(&self, bits: u32) -> Self {
        self.sign_extend(bits)
    }

    /// A 32-bit move with sign extension from `bits` bits; the high half becomes 0.
    #[inline]
    pub fn movsx32(&self, bits: u32) -> Self {
        let half = Self::HALF;
        let bits = bits.clamp(1, half);
        if bits == half {
            return self.mov32();
        }
        Self::from_low(
            self.tnum.sign_extend(bits, half),
            extend(self.lowest(bits), bits, half),
        )
    }

    /// The range of the low `bits` bits, fewer than `BITS`.
    #[inline]
    fn lowest(&self, bits: u32) -> Range {
        if bits > Self::HALF {
            self.wide.truncate(bits)
        } else {
            self.low().truncate(bits)
        }
    }
}

impl Scalar {
    /// The low `bits` bits (16, 32 or 64) with their bytes in the opposite order, the rest 0.
    pub fn bswap(&self, bits: u32) -> Self {
        let bytes = (bits / 8).clamp(1, 8);
        let tnum = self.tnum.swap_bytes(bytes);
        Self::from_result(tnum, Range::full(64), Range::full(32))
    }

    /// To little-endian on a little-endian machine: the low `bits` bits (16, 32 or 64), the rest 0.
    pub fn to_le(&self, bits: u32) -> Self {
        self.zero_extend(bits)
    }

    /// To big-endian on a little-endian machine: a byte swap of the low `bits` bits (16, 32 or 64).
    pub fn to_be(&self, bits: u32) -> Self {
        self.bswap(bits)
    }
}

pub(crate) fn extend(a: Range, from: u32, to: u32) -> Range {
    let mask = low_mask(to);
    let side = |span: Span| {
        if span.is_empty() {
            return span;
        }
        Span {
            lo: sign_extend(span.lo, from) as u64 & mask,
            hi: sign_extend(span.hi, from) as u64 & mask,
        }
    };
    Range {
        pos: side(a.pos),
        neg: side(a.neg),
    }
}
