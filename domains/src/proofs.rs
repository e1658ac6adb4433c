//! What is proved of the operators, as functions that have to answer true for every input.
//!
//! `cargo xtask prove` compiles this crate with the feature `proofs`, reads each `extern "C"` function
//! here from LLVM's code for it, and asks an SMT solver for an input for which it answers false. So
//! what is proved is what runs, after the optimiser.
//!
//! An input is two abstract numbers, a member of each, and small numbers such as a count. An obligation
//! is vacuous where the abstract numbers are not well formed (unlike in the crate at large they need
//! not be reduced, so more is proved than is needed), or where what should be members are none.
//! It holds where the concrete result is a member of the abstract one and that is well formed.
//!
//! Operators are proved by their parts at 64 and 32 bits, tnums apart from ranges and ranges for each
//! pair of sides (the join over the sides holds each), and whole at 8 bits.
//! Reduction is proved apart: one step keeps every member of any three parts, so any number of steps does;
//! with the feature on, `from_parts` puts the parts together as they are.
//!
//! **Invariant:** nothing here is compiled without the feature.

use crate::branch::Comparison;
use crate::range::{Range, Span, sign_extend};
use crate::scalar::Product;
use crate::shift::Counts;
use crate::tnum::{Tnum, low_mask};
use crate::{arith, logic, shift};

/// Where an input is read from.
struct Input<'a> {
    words: &'a [u64; 32],
    next: usize,
}

impl Input<'_> {
    #[inline(always)]
    fn word(&mut self) -> u64 {
        let word = self.words[self.next];
        self.next += 1;
        word
    }

    /// A number of `bits` bits; a solver sees at once that the rest is 0.
    #[inline(always)]
    fn narrow(&mut self, bits: u32) -> u64 {
        self.word() & low_mask(bits)
    }

    #[inline(always)]
    fn tnum(&mut self) -> Tnum {
        Tnum::unchecked(self.word(), self.word())
    }

    #[inline(always)]
    fn span(&mut self) -> Span {
        Span {
            lo: self.word(),
            hi: self.word(),
        }
    }

    #[inline(always)]
    fn range(&mut self) -> Range {
        Range {
            pos: self.span(),
            neg: self.span(),
        }
    }

    /// A range, either side of it empty or not.
    #[inline(always)]
    fn range_of(&mut self, bits: u32) -> Range {
        if bits == 64 {
            return self.range();
        }
        // A bit beyond the width says which.
        let mut span = || {
            let (lo, hi) = (self.word(), self.narrow(bits));
            match lo >> bits & 1 {
                0 => Span {
                    lo: lo & low_mask(bits),
                    hi,
                },
                _ => Span::EMPTY,
            }
        };
        Range {
            pos: span(),
            neg: span(),
        }
    }

    /// A tnum and a member, of `bits` bits.
    #[inline(always)]
    fn bits(&mut self, bits: u32) -> Option<(Tnum, u64)> {
        let (tnum, x) = (
            Tnum::unchecked(self.narrow(bits), self.narrow(bits)),
            self.word(),
        );
        (is_tnum(tnum, bits) & (x & !tnum.mask() == tnum.value())).then_some((tnum, x))
    }

    /// A range with one side, and a member: given by the distances between these, so that sums of
    /// them cancel.
    #[inline(always)]
    fn side(&mut self, negative: bool, bits: u32) -> Option<(Range, u64)> {
        let (lo, before, after) = (self.narrow(bits), self.narrow(bits), self.narrow(bits));
        let most = match negative {
            true => low_mask(bits),
            false => low_mask(bits) >> 1,
        };
        let formed = (lo <= most) & (before <= most - lo) & (after <= most - lo - before);
        let sign = (lo >> (bits - 1) != 0) == negative;
        let span = Span {
            lo,
            hi: lo + before + after,
        };
        let range = match negative {
            false => Range {
                pos: span,
                neg: Span::EMPTY,
            },
            true => Range {
                pos: Span::EMPTY,
                neg: span,
            },
        };
        (formed & sign).then_some((range, lo + before))
    }

    /// A range and a member.
    #[inline(always)]
    fn within(&mut self, bits: u32) -> Option<(Range, u64)> {
        let (range, x) = (self.range_of(bits), self.narrow(bits));
        (is_range(range, bits) & in_range(range, x)).then_some((range, x))
    }

    /// A small number.
    #[inline(always)]
    fn count(&mut self, least: u64, most: u64) -> Option<u32> {
        let k = self.word();
        ((least <= k) & (k <= most)).then_some(k as u32)
    }

    /// An abstract number and a member, if they are that.
    #[inline(always)]
    fn product<const BITS: u32>(&mut self) -> Option<(Product<BITS>, u64)> {
        let (tnum, wide, low, x) = self.parts::<BITS>()?;
        Some((Product::raw(tnum, wide, low), x))
    }

    #[inline(always)]
    fn parts<const BITS: u32>(&mut self) -> Option<(Tnum, Range, Range, u64)> {
        let tnum = Tnum::unchecked(self.narrow(BITS), self.narrow(BITS));
        let (wide, low) = (self.range_of(BITS), self.range_of(BITS / 2));
        let x = self.narrow(BITS);
        (are_formed::<BITS>(tnum, wide, low) & holds::<BITS>(tnum, wide, low, x))
            .then_some((tnum, wide, low, x))
    }
}

#[inline(always)]
fn is_span(span: Span, lo: u64, hi: u64) -> bool {
    (span == Span::EMPTY) | ((lo <= span.lo) & (span.lo <= span.hi) & (span.hi <= hi))
}

#[inline(always)]
fn is_range(range: Range, bits: u32) -> bool {
    let (mask, smax) = (low_mask(bits), low_mask(bits) >> 1);
    is_span(range.pos, 0, smax) & is_span(range.neg, smax + 1, mask)
}

#[inline(always)]
fn is_tnum(tnum: Tnum, bits: u32) -> bool {
    (tnum.value() & tnum.mask() == 0) & ((tnum.value() | tnum.mask()) & !low_mask(bits) == 0)
}

#[inline(always)]
fn are_formed<const BITS: u32>(tnum: Tnum, wide: Range, low: Range) -> bool {
    is_tnum(tnum, BITS) & is_range(wide, BITS) & is_range(low, BITS / 2)
}

#[inline(always)]
fn in_span(span: Span, x: u64) -> bool {
    (span.lo <= x) & (x <= span.hi)
}

#[inline(always)]
fn in_range(range: Range, x: u64) -> bool {
    in_span(range.pos, x) | in_span(range.neg, x)
}

#[inline(always)]
fn holds<const BITS: u32>(tnum: Tnum, wide: Range, low: Range, x: u64) -> bool {
    (x & !tnum.mask() == tnum.value()) & in_range(wide, x) & in_range(low, x & low_mask(BITS / 2))
}

/// Well formed, and `x` is a member.
#[inline(always)]
fn is<const BITS: u32>(result: &Product<BITS>, x: u64) -> bool {
    let (tnum, wide, low) = (result.tnum, result.wide, result.low());
    are_formed::<BITS>(tnum, wide, low) & holds::<BITS>(tnum, wide, low, x & low_mask(BITS))
}

/// Functions by name, true for every input.
macro_rules! obligations {
    ($($name:ident($input:ident) $body:block)*) => {
        $(
            #[unsafe(no_mangle)]
            pub extern "C" fn $name(words: &[u64; 32]) -> bool {
                let mut input = Input { words, next: 0 };
                let $input = &mut input;
                let holds = || -> Option<bool> { Some($body) };
                // An input that is none asks for nothing.
                let mut holds = holds;
                holds().unwrap_or(true)
            }
        )*
    };
}

const fn half(x: u64, bits: u32) -> u64 {
    x & low_mask(bits / 2)
}

const fn signed(x: u64, bits: u32) -> i64 {
    sign_extend(x, bits)
}

/// The concrete operations, of numbers of `bits` bits; only the low ones of the result count.
mod exact {
    use super::signed;

    pub const fn div(x: u64, y: u64, _: u32) -> u64 {
        match y {
            0 => 0,
            _ => x / y,
        }
    }
    pub const fn rem(x: u64, y: u64, _: u32) -> u64 {
        match y {
            0 => x,
            _ => x % y,
        }
    }
    pub const fn sdiv(x: u64, y: u64, bits: u32) -> u64 {
        match y {
            0 => 0,
            _ => signed(x, bits).wrapping_div(signed(y, bits)) as u64,
        }
    }
    pub const fn srem(x: u64, y: u64, bits: u32) -> u64 {
        match y {
            0 => x,
            _ => signed(x, bits).wrapping_rem(signed(y, bits)) as u64,
        }
    }
    pub const fn arsh(x: u64, k: u32, bits: u32) -> u64 {
        (signed(x, bits) >> k) as u64
    }
}

#[inline(always)]
fn bits_hold(tnum: Tnum, x: u64, bits: u32) -> bool {
    is_tnum(tnum, bits) & (x & low_mask(bits) & !tnum.mask() == tnum.value())
}

#[inline(always)]
fn range_holds(range: Range, x: u64, bits: u32) -> bool {
    is_range(range, bits) & in_range(range, x & low_mask(bits))
}

// Tnums.
obligations! {
    tnum_add_at_64(input) { let ((a, x), (b, y)) = (input.bits(64)?, input.bits(64)?); bits_hold(a.add(b), x.wrapping_add(y), 64) }
    tnum_sub_at_64(input) { let ((a, x), (b, y)) = (input.bits(64)?, input.bits(64)?); bits_hold(a.sub(b), x.wrapping_sub(y), 64) }
    tnum_and_at_64(input) { let ((a, x), (b, y)) = (input.bits(64)?, input.bits(64)?); bits_hold(a.and(b), x & y, 64) }
    tnum_or_at_64(input) { let ((a, x), (b, y)) = (input.bits(64)?, input.bits(64)?); bits_hold(a.or(b), x | y, 64) }
    tnum_xor_at_64(input) { let ((a, x), (b, y)) = (input.bits(64)?, input.bits(64)?); bits_hold(a.xor(b), x ^ y, 64) }
    tnum_neg_at_64(input) { let (a, x) = input.bits(64)?; bits_hold(a.neg(), x.wrapping_neg(), 64) }
    tnum_not_at_64(input) { let (a, x) = input.bits(64)?; bits_hold(a.not(), !x, 64) }
    tnum_mul_at_8(input) { let ((a, x), (b, y)) = (input.bits(8)?, input.bits(8)?); bits_hold(a.mul(b).cast(8), x.wrapping_mul(y), 8) }
    tnum_mul_at_6(input) { let ((a, x), (b, y)) = (input.bits(6)?, input.bits(6)?); bits_hold(a.mul(b).cast(6), x.wrapping_mul(y), 6) }
    tnum_lsh_at_64(input) { let (a, x) = input.bits(64)?; let k = input.count(0, 63)?; bits_hold(a.lsh(k), x << k, 64) }
    tnum_rsh_at_64(input) { let (a, x) = input.bits(64)?; let k = input.count(0, 63)?; bits_hold(a.rsh(k), x >> k, 64) }
    tnum_arsh_at_64(input) { let (a, x) = input.bits(64)?; let k = input.count(0, 63)?; bits_hold(a.arsh(k, 64), exact::arsh(x, k, 64), 64) }
    tnum_arsh_at_32(input) { let (a, x) = input.bits(32)?; let k = input.count(0, 31)?; bits_hold(a.arsh(k, 32), exact::arsh(x, k, 32), 32) }
    tnum_cast_at_64(input) { let (a, x) = input.bits(64)?; let k = input.count(1, 64)?; bits_hold(a.cast(k), x & low_mask(k), k) }
    tnum_sign_extend_at_64(input) { let (a, x) = input.bits(64)?; let k = input.count(1, 64)?; bits_hold(a.sign_extend(k, 64), signed(x, k) as u64, 64) }
    tnum_sign_extend_at_32(input) { let (a, x) = input.bits(64)?; let k = input.count(1, 32)?; bits_hold(a.sign_extend(k, 32), signed(x, k) as u64, 32) }
    tnum_bswap_16_at_64(input) { let (a, x) = input.bits(64)?; bits_hold(a.swap_bytes(2), u64::from((x as u16).swap_bytes()), 64) }
    tnum_bswap_32_at_64(input) { let (a, x) = input.bits(64)?; bits_hold(a.swap_bytes(4), u64::from((x as u32).swap_bytes()), 64) }
    tnum_bswap_64_at_64(input) { let (a, x) = input.bits(64)?; bits_hold(a.swap_bytes(8), x.swap_bytes(), 64) }
    tnum_join_at_64(input) { let ((a, x), (b, y)) = (input.bits(64)?, input.bits(64)?); let j = a.join(b); bits_hold(j, x, 64) & bits_hold(j, y, 64) }
    tnum_intersect_at_64(input) {
        let ((a, x), b) = (input.bits(64)?, input.tnum());
        let in_b = is_tnum(b, 64) & (x & !b.mask() == b.value());
        !in_b || a.intersect(b).is_some_and(|both| bits_hold(both, x, 64))
    }
    tnum_includes_at_64(input) {
        let (a, (b, y)) = (input.tnum(), input.bits(64)?);
        !(is_tnum(a, 64) && a.includes(b)) || (y & !a.mask() == a.value())
    }
    tnum_range_at_64(input) { let (lo, x, hi) = (input.word(), input.word(), input.word()); !(lo <= x && x <= hi) || bits_hold(Tnum::range(lo, hi), x, 64) }
    tnum_at_least_at_64(input) {
        let ((a, x), from) = (input.bits(64)?, input.word());
        // The least one: itself a member, and no member comes before it.
        from > x || a.at_least(from).is_some_and(|y| (y <= x) & (from <= y) & (y & !a.mask() == a.value()))
    }
    tnum_at_most_at_64(input) {
        let ((a, x), to) = (input.bits(64)?, input.word());
        to < x || a.at_most(to).is_some_and(|y| (x <= y) & (y <= to) & (y & !a.mask() == a.value()))
    }
    tnum_narrow_at_64(input) {
        let ((a, x), lo, hi) = (input.bits(64)?, input.word(), input.word());
        let members = (lo & !a.mask() == a.value()) & (hi & !a.mask() == a.value());
        !(members & (lo <= x) & (x <= hi)) || bits_hold(a.narrow(lo, hi), x, 64)
    }
}

/// A binary operation of ranges: of the width, for each pair of sides.
macro_rules! ranges {
    ($($name:ident $bits:literal $a:literal $b:literal |$a_range:ident, $b_range:ident, $x:ident, $y:ident| $range:expr, $exact:expr;)*) => {
        obligations! { $($name(input) {
            let (($a_range, $x), ($b_range, $y)) = (input.side($a, $bits)?, input.side($b, $bits)?);
            range_holds($range, $exact, $bits)
        })* }
    };
}

/// A sum or a difference of ranges: a window, which `window_at_…` proves to hold what is no further
/// from its start than its length, and the concrete result is not.
macro_rules! windows {
    ($($name:ident $bits:literal $op:ident $wrapping:ident $end:ident $a:literal $b:literal;)*) => {
        obligations! { $($name(input) {
            let ((a, x), (b, y)) = (input.side($a, $bits)?, input.side($b, $bits)?);
            let only = |of: Range, negative: bool| if negative { of.neg } else { of.pos };
            let (a_span, b_span) = (only(a, $a), only(b, $b));
            let lo = a_span.lo.$wrapping(b_span.$end);
            let length = a_span.length().saturating_add(b_span.length());
            (x.$wrapping(y).wrapping_sub(lo) <= length)
                & (arith::$op(a, b, $bits) == Range::window(lo, length, $bits))
        })* }
    };
}

windows! {
    add_pp_at_64 64 add wrapping_add lo false false;
    add_pn_at_64 64 add wrapping_add lo false true;
    add_np_at_64 64 add wrapping_add lo true false;
    add_nn_at_64 64 add wrapping_add lo true true;
    add_pp_at_32 32 add wrapping_add lo false false;
    add_pn_at_32 32 add wrapping_add lo false true;
    add_np_at_32 32 add wrapping_add lo true false;
    add_nn_at_32 32 add wrapping_add lo true true;
    sub_pp_at_64 64 sub wrapping_sub hi false false;
    sub_pn_at_64 64 sub wrapping_sub hi false true;
    sub_np_at_64 64 sub wrapping_sub hi true false;
    sub_nn_at_64 64 sub wrapping_sub hi true true;
    sub_pp_at_32 32 sub wrapping_sub hi false false;
    sub_pn_at_32 32 sub wrapping_sub hi false true;
    sub_np_at_32 32 sub wrapping_sub hi true false;
    sub_nn_at_32 32 sub wrapping_sub hi true true;
}

/// The tnum of which nothing is known, at a width.
const fn any(bits: u32) -> Tnum {
    Tnum::unknown(bits)
}

ranges! {
    mul_pp_at_8 8 false false |a, b, x, y| arith::mul(a, b, 8), x.wrapping_mul(y);
    mul_pn_at_8 8 false true |a, b, x, y| arith::mul(a, b, 8), x.wrapping_mul(y);
    mul_nn_at_8 8 true true |a, b, x, y| arith::mul(a, b, 8), x.wrapping_mul(y);
    div_pp_at_8 8 false false |a, b, x, y| arith::div(any(8), a, any(8), b, 8).1, exact::div(x, y, 8);
    div_nn_at_8 8 true true |a, b, x, y| arith::div(any(8), a, any(8), b, 8).1, exact::div(x, y, 8);
    div_pn_at_8 8 false true |a, b, x, y| arith::div(any(8), a, any(8), b, 8).1, exact::div(x, y, 8);
    div_np_at_8 8 true false |a, b, x, y| arith::div(any(8), a, any(8), b, 8).1, exact::div(x, y, 8);
    sdiv_pn_at_8 8 false true |a, b, x, y| arith::sdiv(any(8), a, any(8), b, 8).1, exact::sdiv(x, y, 8);
    sdiv_np_at_8 8 true false |a, b, x, y| arith::sdiv(any(8), a, any(8), b, 8).1, exact::sdiv(x, y, 8);
    sdiv_nn_at_8 8 true true |a, b, x, y| arith::sdiv(any(8), a, any(8), b, 8).1, exact::sdiv(x, y, 8);
    rem_pp_at_8 8 false false |a, b, x, y| arith::rem(any(8), a, any(8), b, 8).1, exact::rem(x, y, 8);
    rem_pn_at_8 8 false true |a, b, x, y| arith::rem(any(8), a, any(8), b, 8).1, exact::rem(x, y, 8);
    rem_np_at_8 8 true false |a, b, x, y| arith::rem(any(8), a, any(8), b, 8).1, exact::rem(x, y, 8);
    rem_nn_at_8 8 true true |a, b, x, y| arith::rem(any(8), a, any(8), b, 8).1, exact::rem(x, y, 8);
    srem_pn_at_8 8 false true |a, b, x, y| arith::srem(any(8), a, any(8), b, 8).1, exact::srem(x, y, 8);
    srem_np_at_8 8 true false |a, b, x, y| arith::srem(any(8), a, any(8), b, 8).1, exact::srem(x, y, 8);
    srem_nn_at_8 8 true true |a, b, x, y| arith::srem(any(8), a, any(8), b, 8).1, exact::srem(x, y, 8);
    and_pp_at_5 5 false false |a, b, x, y| logic::and(a, b, 5), x & y;
    and_pp_at_8 8 false false |a, b, x, y| logic::and(a, b, 8), x & y;
    and_pn_at_5 5 false true |a, b, x, y| logic::and(a, b, 5), x & y;
    and_pn_at_8 8 false true |a, b, x, y| logic::and(a, b, 8), x & y;
    and_nn_at_5 5 true true |a, b, x, y| logic::and(a, b, 5), x & y;
    and_nn_at_8 8 true true |a, b, x, y| logic::and(a, b, 8), x & y;
    or_pp_at_5 5 false false |a, b, x, y| logic::or(a, b, 5), x | y;
    or_pp_at_8 8 false false |a, b, x, y| logic::or(a, b, 8), x | y;
    or_pn_at_5 5 false true |a, b, x, y| logic::or(a, b, 5), x | y;
    or_pn_at_8 8 false true |a, b, x, y| logic::or(a, b, 8), x | y;
    or_nn_at_5 5 true true |a, b, x, y| logic::or(a, b, 5), x | y;
    or_nn_at_8 8 true true |a, b, x, y| logic::or(a, b, 8), x | y;
    xor_pp_at_5 5 false false |a, b, x, y| logic::xor(a, b, 5), x ^ y;
    xor_pp_at_8 8 false false |a, b, x, y| logic::xor(a, b, 8), x ^ y;
    xor_pn_at_5 5 false true |a, b, x, y| logic::xor(a, b, 5), x ^ y;
    xor_pn_at_8 8 false true |a, b, x, y| logic::xor(a, b, 8), x ^ y;
    xor_nn_at_5 5 true true |a, b, x, y| logic::xor(a, b, 5), x ^ y;
    xor_nn_at_8 8 true true |a, b, x, y| logic::xor(a, b, 8), x ^ y;
}

// Ranges by a count or a width, and what ranges do with each other.
obligations! {
    lsh_at_64(input) { let (a, x) = input.within(64)?; let k = input.count(0, 63)?; range_holds(shift::lsh(a, k, 64), x << k, 64) }
    lsh_at_32(input) { let (a, x) = input.within(32)?; let k = input.count(0, 31)?; range_holds(shift::lsh(a, k, 32), x << k, 32) }
    rsh_at_64(input) { let (a, x) = input.within(64)?; let k = input.count(0, 63)?; range_holds(shift::rsh(a, k, 64), x >> k, 64) }
    rsh_at_32(input) { let (a, x) = input.within(32)?; let k = input.count(0, 31)?; range_holds(shift::rsh(a, k, 32), x >> k, 32) }
    arsh_at_64(input) { let (a, x) = input.within(64)?; let k = input.count(0, 63)?; range_holds(shift::arsh(a, k, 64), exact::arsh(x, k, 64), 64) }
    arsh_at_32(input) { let (a, x) = input.within(32)?; let k = input.count(0, 31)?; range_holds(shift::arsh(a, k, 32), exact::arsh(x, k, 32), 32) }
    window_at_64(input) { let (lo, length, d) = (input.word(), input.word(), input.word()); length < d || range_holds(Range::window(lo, length, 64), lo.wrapping_add(d), 64) }
    window_at_32(input) { let (lo, length, d) = (input.word(), input.word(), input.word()); length < d || range_holds(Range::window(lo, length, 32), lo.wrapping_add(d), 32) }
    range_join_at_64(input) { let ((a, x), (b, y)) = (input.within(64)?, input.within(64)?); let j = a.join(b); range_holds(j, x, 64) & range_holds(j, y, 64) }
    range_meet_at_64(input) { let ((a, x), b) = (input.within(64)?, input.range()); !(is_range(b, 64) & in_range(b, x)) || range_holds(a.meet(b), x, 64) }
    range_without_at_64(input) { let ((a, x), y) = (input.within(64)?, input.word()); x == y || range_holds(a.without(y), x, 64) }
    range_truncate_at_64(input) { let (a, x) = input.within(64)?; let k = input.count(1, 64)?; range_holds(a.truncate(k), x & low_mask(k), k) }
    range_clip_low_at_64(input) { let ((a, x), low) = (input.within(64)?, input.range()); !(is_range(low, 32) & in_range(low, half(x, 64))) || range_holds(a.clip_low(low, 32), x, 64) }
    counts_at_64(input) { let (b, y) = input.product::<64>()?; Counts::of(&b, 64).contains((y & 63) as u32) }
    counts_at_32(input) { let (b, y) = input.product::<64>()?; Counts::of(&b, 32).contains((y & 31) as u32) }
    reduction_at_64(input) {
        let (tnum, wide, low, x) = input.parts::<64>()?;
        Product::<64>::step(tnum, wide, low).is_some_and(|(tnum, wide, low, _)| are_formed::<64>(tnum, wide, low) & holds::<64>(tnum, wide, low, x))
    }
}

// Whole abstract numbers: lattice, casts.
obligations! {
    includes_at_64(input) { let (b, y) = input.product::<64>()?; let (tnum, wide, low) = (input.tnum(), input.range(), input.range()); let a = Product::<64>::raw(tnum, wide, low); !are_formed::<64>(tnum, wide, low) || !a.includes(&b) || holds::<64>(tnum, wide, low, y) }
    join_at_64(input) { let ((a, x), (b, y)) = (input.product::<64>()?, input.product::<64>()?); let j = a.join(&b); is(&j, x) & is(&j, y) }
    meet_at_64(input) { let ((a, x), (tnum, wide, low)) = (input.product::<64>()?, (input.tnum(), input.range(), input.range())); !(are_formed::<64>(tnum, wide, low) & holds::<64>(tnum, wide, low, x)) || a.meet(&Product::raw(tnum, wide, low)).is_some_and(|both| is(&both, x)) }
    widen_at_64(input) { let ((a, x), (b, y)) = (input.product::<64>()?, input.product::<64>()?); let w = a.widen(&b, &[input.word()]); is(&w, x) & is(&w, y) }
    zero_extend_at_64(input) { let (a, x) = input.product::<64>()?; let k = input.count(1, 64)?; is(&a.zero_extend(k), x & low_mask(k)) }
    sign_extend_at_64(input) { let (a, x) = input.product::<64>()?; let k = input.count(1, 64)?; is(&a.sign_extend(k), signed(x, k) as u64) }
    movsx32_at_64(input) { let (a, x) = input.product::<64>()?; let k = input.count(1, 32)?; is(&a.movsx32(k), half(signed(x, k) as u64, 64)) }
    mov32_at_64(input) { let (a, x) = input.product::<64>()?; is(&a.mov32(), half(x, 64)) }
    bswap_at_64(input) { let (a, x) = input.product::<64>()?; is(&a.bswap(64), x.swap_bytes()) }
}

/// Whole operators at 8 bits, where also the halves of 4 bits and what holds the parts together are seen.
macro_rules! whole {
    ($($name:ident $method:ident |$x:ident, $y:ident| $exact:expr;)*) => {
        obligations! { $($name(input) {
            let ((a, $x), (b, $y)) = (input.product::<8>()?, input.product::<8>()?);
            is(&a.$method(&b), $exact)
        })* }
    };
}

whole! {
    whole_add64_at_8 add64 |x, y| x.wrapping_add(y);
    whole_add32_at_8 add32 |x, y| half(x.wrapping_add(y), 8);
    whole_sub64_at_8 sub64 |x, y| x.wrapping_sub(y);
    whole_sub32_at_8 sub32 |x, y| half(x.wrapping_sub(y), 8);
    whole_mul32_at_8 mul32 |x, y| half(half(x, 8).wrapping_mul(half(y, 8)), 8);
    whole_div64_at_8 div64 |x, y| exact::div(x, y, 8);
    whole_div32_at_8 div32 |x, y| exact::div(half(x, 8), half(y, 8), 4);
    whole_sdiv32_at_8 sdiv32 |x, y| half(exact::sdiv(half(x, 8), half(y, 8), 4), 8);
    whole_mod64_at_8 mod64 |x, y| exact::rem(x, y, 8);
    whole_mod32_at_8 mod32 |x, y| exact::rem(half(x, 8), half(y, 8), 4);
    whole_smod32_at_8 smod32 |x, y| half(exact::srem(half(x, 8), half(y, 8), 4), 8);
    whole_and32_at_8 and32 |x, y| half(x & y, 8);
    whole_or32_at_8 or32 |x, y| half(x | y, 8);
    whole_xor32_at_8 xor32 |x, y| half(x ^ y, 8);
}

/// Comparisons: what is decided, and that both ways keep the members that go them.
macro_rules! comparisons {
    ($($decide:ident $refine:ident $decide64:ident $refine64:ident $holds:ident $op:ident;)*) => {
        obligations! { $(
            $decide(input) {
                let ((a, x), (b, y)) = (input.product::<64>()?, input.product::<64>()?);
                Comparison::$op.$decide64(&a, &b).is_none_or(|d| d == Comparison::$op.$holds(x, y))
            }
            $refine(input) {
                let ((a, x), (b, y)) = (input.product::<64>()?, input.product::<64>()?);
                // Each way by itself, so that which operand is which is known to the compiler.
                let refined = match Comparison::$op.$holds(x, y) {
                    true => Comparison::$op.$refine64(true, &a, &b),
                    false => Comparison::$op.$refine64(false, &a, &b),
                };
                refined.is_some_and(|(a, b)| is(&a, x) & is(&b, y))
            }
        )* }
    };
}

comparisons! {
    decide64_eq_at_64 refine64_eq_at_64 decide64 refine64 holds64 Eq;
    decide64_ne_at_64 refine64_ne_at_64 decide64 refine64 holds64 Ne;
    decide64_gt_at_64 refine64_gt_at_64 decide64 refine64 holds64 Gt;
    decide64_ge_at_64 refine64_ge_at_64 decide64 refine64 holds64 Ge;
    decide64_lt_at_64 refine64_lt_at_64 decide64 refine64 holds64 Lt;
    decide64_le_at_64 refine64_le_at_64 decide64 refine64 holds64 Le;
    decide64_sgt_at_64 refine64_sgt_at_64 decide64 refine64 holds64 Sgt;
    decide64_sge_at_64 refine64_sge_at_64 decide64 refine64 holds64 Sge;
    decide64_slt_at_64 refine64_slt_at_64 decide64 refine64 holds64 Slt;
    decide64_sle_at_64 refine64_sle_at_64 decide64 refine64 holds64 Sle;
    decide64_set_at_64 refine64_set_at_64 decide64 refine64 holds64 Set;
    decide32_eq_at_64 refine32_eq_at_64 decide32 refine32 holds32 Eq;
    decide32_ne_at_64 refine32_ne_at_64 decide32 refine32 holds32 Ne;
    decide32_gt_at_64 refine32_gt_at_64 decide32 refine32 holds32 Gt;
    decide32_ge_at_64 refine32_ge_at_64 decide32 refine32 holds32 Ge;
    decide32_lt_at_64 refine32_lt_at_64 decide32 refine32 holds32 Lt;
    decide32_le_at_64 refine32_le_at_64 decide32 refine32 holds32 Le;
    decide32_sgt_at_64 refine32_sgt_at_64 decide32 refine32 holds32 Sgt;
    decide32_sge_at_64 refine32_sge_at_64 decide32 refine32 holds32 Sge;
    decide32_slt_at_64 refine32_slt_at_64 decide32 refine32 holds32 Slt;
    decide32_sle_at_64 refine32_sle_at_64 decide32 refine32 holds32 Sle;
    decide32_set_at_64 refine32_set_at_64 decide32 refine32 holds32 Set;
}
