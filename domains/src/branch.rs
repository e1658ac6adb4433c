//! Comparisons: which way a branch goes, and what its direction says of both operands.
//!
//! With `a` and `b` the operands at the width of the comparison (the low halves at 32 bits):
//! - **decide:** `eq` is false where tnums and ranges have no number in common, true for equal
//!   constants; an order is decided where the bounds do not overlap; `set` is true where a bit is 1 in
//!   both, or where no member of one avoids the known ones of the other, false where no bit can be 1 in both.
//! - **refine:** `a == b`: both become the meet. `a != b`: a constant leaves the other's bounds.
//!   `a > b`: `a` starts above the least `b`, `b` ends below the greatest `a`; likewise signed, and `>=`.
//!   `a & b != 0`: the only bit that can be 1 in both is; both are at least the lowest such bit.
//!   `a & b == 0`: a bit known to be 1 in one is 0 in the other.
//!   Then each operand is reduced, which carries a 32-bit fact into the whole and back.
//!
//! **Invariant:** no pair of members for which the branch goes the given way is lost.
//!
//! **Invariant:** the operands are two registers; what follows from their being the same one is not considered.

use crate::range::Range;
use crate::scalar::Product;
use crate::tnum::{Tnum, low_mask};

/// A comparison of two numbers, true or false.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Comparison {
    /// `a == b`
    Eq,
    /// `a != b`
    Ne,
    /// `a > b`, unsigned
    Gt,
    /// `a >= b`, unsigned
    Ge,
    /// `a < b`, unsigned
    Lt,
    /// `a <= b`, unsigned
    Le,
    /// `a > b`, signed
    Sgt,
    /// `a >= b`, signed
    Sge,
    /// `a < b`, signed
    Slt,
    /// `a <= b`, signed
    Sle,
    /// `a & b != 0`
    Set,
}

/// The comparisons and negations that the others come down to, by negating and by exchanging operands.
#[derive(Clone, Copy)]
enum Relation {
    Equal,
    Unequal,
    Above,
    NotBelow,
    Greater,
    NotLess,
    Meets,
    Avoids,
}

/// An operand at the width of the comparison.
#[derive(Clone, Copy)]
struct View {
    tnum: Tnum,
    range: Range,
}

impl Comparison {
    /// All of them.
    pub const ALL: [Comparison; 11] = [
        Comparison::Eq,
        Comparison::Ne,
        Comparison::Gt,
        Comparison::Ge,
        Comparison::Lt,
        Comparison::Le,
        Comparison::Sgt,
        Comparison::Sge,
        Comparison::Slt,
        Comparison::Sle,
        Comparison::Set,
    ];

    /// Whether it holds of two 64-bit numbers.
    pub const fn holds64(self, a: u64, b: u64) -> bool {
        match self {
            Comparison::Eq => a == b,
            Comparison::Ne => a != b,
            Comparison::Gt => a > b,
            Comparison::Ge => a >= b,
            Comparison::Lt => a < b,
            Comparison::Le => a <= b,
            Comparison::Sgt => a as i64 > b as i64,
            Comparison::Sge => a as i64 >= b as i64,
            Comparison::Slt => (a as i64) < (b as i64),
            Comparison::Sle => a as i64 <= b as i64,
            Comparison::Set => a & b != 0,
        }
    }

    /// Whether it holds of the low 32 bits of two numbers.
    pub const fn holds32(self, a: u64, b: u64) -> bool {
        // Sign extension keeps both orders, equality, and whether a common bit is set.
        self.holds64(a as i32 as u64, b as i32 as u64)
    }

    /// The comparison that holds of `(b, a)` where this one holds of `(a, b)`.
    pub const fn exchanged(self) -> Comparison {
        match self {
            Comparison::Gt => Comparison::Lt,
            Comparison::Ge => Comparison::Le,
            Comparison::Lt => Comparison::Gt,
            Comparison::Le => Comparison::Ge,
            Comparison::Sgt => Comparison::Slt,
            Comparison::Sge => Comparison::Sle,
            Comparison::Slt => Comparison::Sgt,
            Comparison::Sle => Comparison::Sge,
            same => same,
        }
    }

    /// Whether it holds of all pairs of members (`Some(true)`), of none (`Some(false)`), or that is not known.
    #[inline]
    pub fn decide64<const BITS: u32>(self, a: &Product<BITS>, b: &Product<BITS>) -> Option<bool> {
        match self {
            Comparison::Eq => equal64(a, b),
            Comparison::Ne => equal64(a, b).map(|equal| !equal),
            Comparison::Set => meets64(a, b),
            _ => self.decide(whole(a), whole(b), BITS),
        }
    }

    /// The same of the low halves.
    #[inline]
    pub fn decide32<const BITS: u32>(self, a: &Product<BITS>, b: &Product<BITS>) -> Option<bool> {
        self.decide(half(a), half(b), Product::<BITS>::HALF)
    }

    /// What is known of both operands where the comparison is `taken`; `None` when it never is.
    #[inline]
    pub fn refine64<const BITS: u32>(
        self,
        taken: bool,
        a: &Product<BITS>,
        b: &Product<BITS>,
    ) -> Option<(Product<BITS>, Product<BITS>)> {
        let (relation, exchange) = self.relation(taken);
        if let Relation::Equal = relation {
            let both = a.meet(b)?;
            return Some((both, both));
        }
        let (x, y) = if exchange { (b, a) } else { (a, b) };
        let (x_view, y_view) = relation.refine(whole(x), whole(y), BITS)?;
        let assemble =
            |of: &Product<BITS>, view: View| match view.range == of.wide && view.tnum == of.tnum {
                true => Some(*of),
                false => Product::from_parts(view.tnum, view.range, of.low()),
            };
        let (x, y) = (assemble(x, x_view)?, assemble(y, y_view)?);
        Some(if exchange { (y, x) } else { (x, y) })
    }

    /// The same where the comparison is of the low halves.
    #[inline]
    pub fn refine32<const BITS: u32>(
        self,
        taken: bool,
        a: &Product<BITS>,
        b: &Product<BITS>,
    ) -> Option<(Product<BITS>, Product<BITS>)> {
        let bits = Product::<BITS>::HALF;
        let (relation, exchange) = self.relation(taken);
        let (x, y) = if exchange { (b, a) } else { (a, b) };
        let (x_view, y_view) = relation.refine(half(x), half(y), bits)?;
        let assemble = |of: &Product<BITS>, view: View| match view.range == of.low()
            && view.tnum == of.tnum.cast(bits)
        {
            true => Some(*of),
            false => Product::from_parts(of.tnum.with_low(view.tnum, bits), of.wide, view.range),
        };
        let (x, y) = (assemble(x, x_view)?, assemble(y, y_view)?);
        Some(if exchange { (y, x) } else { (x, y) })
    }

    #[inline]
    fn decide(self, a: View, b: View, bits: u32) -> Option<bool> {
        let (relation, exchange) = self.relation(true);
        if exchange {
            relation.decide(b, a, bits)
        } else {
            relation.decide(a, b, bits)
        }
    }

    /// The relation that says that the comparison is `taken`, and whether of the operands exchanged.
    #[inline]
    const fn relation(self, taken: bool) -> (Relation, bool) {
        match (self, taken) {
            (Comparison::Eq, true) | (Comparison::Ne, false) => (Relation::Equal, false),
            (Comparison::Ne, true) | (Comparison::Eq, false) => (Relation::Unequal, false),
            (Comparison::Gt, true) | (Comparison::Le, false) => (Relation::Above, false),
            (Comparison::Lt, true) | (Comparison::Ge, false) => (Relation::Above, true),
            (Comparison::Ge, true) | (Comparison::Lt, false) => (Relation::NotBelow, false),
            (Comparison::Le, true) | (Comparison::Gt, false) => (Relation::NotBelow, true),
            (Comparison::Sgt, true) | (Comparison::Sle, false) => (Relation::Greater, false),
            (Comparison::Slt, true) | (Comparison::Sge, false) => (Relation::Greater, true),
            (Comparison::Sge, true) | (Comparison::Slt, false) => (Relation::NotLess, false),
            (Comparison::Sle, true) | (Comparison::Sgt, false) => (Relation::NotLess, true),
            (Comparison::Set, true) => (Relation::Meets, false),
            (Comparison::Set, false) => (Relation::Avoids, false),
        }
    }
}

impl Relation {
    #[inline]
    fn decide(self, a: View, b: View, bits: u32) -> Option<bool> {
        let of_order = |always: bool, never: bool| match (always, never) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        match self {
            Relation::Equal => equal(a, b),
            Relation::Unequal => equal(a, b).map(|equal| !equal),
            Relation::Above => of_order(
                a.range.umin() > b.range.umax(),
                a.range.umax() <= b.range.umin(),
            ),
            Relation::NotBelow => of_order(
                a.range.umin() >= b.range.umax(),
                a.range.umax() < b.range.umin(),
            ),
            Relation::Greater => of_order(
                a.range.smin(bits) > b.range.smax(bits),
                a.range.smax(bits) <= b.range.smin(bits),
            ),
            Relation::NotLess => of_order(
                a.range.smin(bits) >= b.range.smax(bits),
                a.range.smax(bits) < b.range.smin(bits),
            ),
            Relation::Meets => meets(a, b),
            Relation::Avoids => meets(a, b).map(|meets| !meets),
        }
    }

    /// The operands where the relation holds of them; what is left may still turn out to be empty.
    #[inline]
    fn refine(self, a: View, b: View, bits: u32) -> Option<(View, View)> {
        let max = low_mask(bits);
        let smax = (max >> 1) as i64;
        let cut = |a_range: Range, b_range: Range| {
            Some((
                View {
                    range: a.range.meet(a_range),
                    ..a
                },
                View {
                    range: b.range.meet(b_range),
                    ..b
                },
            ))
        };
        match self {
            Relation::Equal => {
                let both = View {
                    tnum: a.tnum.intersect(b.tnum)?,
                    range: a.range.meet(b.range),
                };
                Some((both, both))
            }
            Relation::Unequal => {
                let without = |of: View, other: View| match other.tnum.as_constant() {
                    Some(x) => View {
                        range: of.range.without(x),
                        ..of
                    },
                    None => of,
                };
                Some((without(a, b), without(b, a)))
            }
            Relation::Above => cut(
                Range::unsigned(b.range.umin().checked_add(1)?, max, bits),
                Range::unsigned(0, a.range.umax().checked_sub(1)?, bits),
            ),
            Relation::NotBelow => cut(
                Range::unsigned(b.range.umin(), max, bits),
                Range::unsigned(0, a.range.umax(), bits),
            ),
            Relation::Greater => cut(
                Range::signed(b.range.smin(bits).checked_add(1)?, smax, bits),
                Range::signed(!smax, a.range.smax(bits).checked_sub(1)?, bits),
            ),
            Relation::NotLess => cut(
                Range::signed(b.range.smin(bits), smax, bits),
                Range::signed(!smax, a.range.smax(bits), bits),
            ),
            Relation::Meets => {
                let common = a.tnum.umax() & b.tnum.umax();
                let lowest = common & common.wrapping_neg();
                if common == 0 {
                    return None;
                }
                let known = if common == lowest {
                    Tnum::new(common, !common)
                } else {
                    Tnum::UNKNOWN
                };
                let least = Range::unsigned(lowest, max, bits);
                let set = |of: View| {
                    Some(View {
                        tnum: of.tnum.intersect(known)?,
                        range: of.range.meet(least),
                    })
                };
                Some((set(a)?, set(b)?))
            }
            Relation::Avoids => Some((avoid(a, b)?, avoid(b, a)?)),
        }
    }
}

/// Exact: the meet is empty only where no number is in both.
#[inline]
fn equal64<const BITS: u32>(a: &Product<BITS>, b: &Product<BITS>) -> Option<bool> {
    let possible = match (a.as_constant(), b.as_constant()) {
        (Some(x), Some(y)) => return Some(x == y),
        (Some(x), None) => b.contains(x),
        (None, Some(y)) => a.contains(y),
        (None, None) => a.meet(b).is_some(),
    };
    if possible { None } else { Some(false) }
}

#[inline]
fn meets64<const BITS: u32>(a: &Product<BITS>, b: &Product<BITS>) -> Option<bool> {
    let avoidable = |of: &Product<BITS>, other: &Product<BITS>| match avoid(whole(of), whole(other))
    {
        Some(left) if left.tnum == of.tnum => true,
        Some(left) => Product::<BITS>::from_parts(left.tnum, of.wide, of.low()).is_some(),
        None => false,
    };
    meets_unless(whole(a), whole(b), avoidable(a, b) && avoidable(b, a))
}

#[inline]
fn equal(a: View, b: View) -> Option<bool> {
    if let (Some(x), Some(y)) = (a.tnum.as_constant(), b.tnum.as_constant()) {
        return Some(x == y);
    }
    let common = a
        .tnum
        .intersect(b.tnum)
        .map(|tnum| a.range.meet(b.range).clip_tnum(tnum));
    if common.is_none_or(Range::is_empty) {
        Some(false)
    } else {
        None
    }
}

#[inline]
fn meets(a: View, b: View) -> Option<bool> {
    let avoidable = |of, other| {
        avoid(of, other).is_some_and(|left| !left.range.clip_tnum(left.tnum).is_empty())
    };
    meets_unless(a, b, avoidable(a, b) && avoidable(b, a))
}

#[inline]
fn meets_unless(a: View, b: View, avoidable: bool) -> Option<bool> {
    if a.tnum.umax() & b.tnum.umax() == 0 {
        Some(false)
    } else if avoidable {
        None
    } else {
        Some(true)
    }
}

/// The members of `of` without the bits that all members of `other` have.
#[inline]
fn avoid(of: View, other: View) -> Option<View> {
    let tnum = of.tnum.intersect(Tnum::new(0, !other.tnum.value()))?;
    Some(View { tnum, ..of })
}

#[inline]
fn whole<const BITS: u32>(of: &Product<BITS>) -> View {
    View {
        tnum: of.tnum,
        range: of.wide,
    }
}

#[inline]
fn half<const BITS: u32>(of: &Product<BITS>) -> View {
    View {
        tnum: of.tnum.cast(Product::<BITS>::HALF),
        range: of.low(),
    }
}
