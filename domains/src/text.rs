//! Scalars as text, in the manner of the kernel's verifier log, and back.
//!
//! A constant is a number, `()` is unknown, and else facts stand in parentheses, each only where the ones
//! before it do not imply it: `(umin=1,umax=8)`, `(smin=-5,smax=3)`, `(umax=248,var_off=(0x0; 0xf8))`.
//! The facts are `umin umax smin smax var_off` and, of the low half, `umin32 umax32 smin32 smax32`;
//! numbers are decimal, or hexadecimal with `0x`.
//!
//! **Invariant:** parsing what was printed gives the same value.

use std::fmt;
use std::str::FromStr;

use crate::range::Range;
use crate::scalar::{Product, Scalar};
use crate::tnum::Tnum;

/// Why a text is no scalar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseScalarError {
    /// A number is missing or does not fit.
    #[error("not a number: `{0}`")]
    Number(String),
    /// A name that is no fact of a scalar.
    #[error(
        "unknown fact `{0}`: expected umin, umax, smin, smax, umin32, umax32, smin32, smax32 or var_off"
    )]
    Fact(String),
    /// Something other than `name=number` or `var_off=(value; mask)`.
    #[error("expected `name=number` between the parentheses, found `{0}`")]
    Form(String),
    /// The facts contradict each other.
    #[error("no number has all of `{0}`")]
    Empty(String),
}

/// One thing that can be said of a scalar.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fact {
    Umin(u64),
    Umax(u64),
    Smin(i64),
    Smax(i64),
    Umin32(u64),
    Umax32(u64),
    Smin32(i64),
    Smax32(i64),
    VarOff(Tnum),
}

impl<const BITS: u32> Product<BITS> {
    /// All that can be said, in the order in which it is printed.
    fn facts(&self) -> [Fact; 9] {
        let unsigned = [Fact::Umin(self.umin()), Fact::Umax(self.umax())];
        let signed = [Fact::Smin(self.smin()), Fact::Smax(self.smax())];
        let [[f1, f2], [f3, f4]] = if self.smin() < 0 {
            [signed, unsigned]
        } else {
            [unsigned, signed]
        };
        let low = self.low();
        let unsigned = [Fact::Umin32(low.umin()), Fact::Umax32(low.umax())];
        let signed = [
            Fact::Smin32(low.smin(Self::HALF)),
            Fact::Smax32(low.smax(Self::HALF)),
        ];
        let [[f6, f7], [f8, f9]] = if self.s32_min() < 0 {
            [signed, unsigned]
        } else {
            [unsigned, signed]
        };
        [f1, f2, f3, f4, Fact::VarOff(self.tnum), f6, f7, f8, f9]
    }

    /// The members of which `fact` is true.
    fn with(&self, fact: Fact) -> Option<Self> {
        let (mut tnum, mut wide, mut low) = (self.tnum, self.wide, self.low());
        match fact {
            Fact::Umin(x) => wide = wide.meet(Range::unsigned(x, u64::MAX, BITS)),
            Fact::Umax(x) => wide = wide.meet(Range::unsigned(0, x, BITS)),
            Fact::Smin(x) => wide = wide.meet(Range::signed(x, i64::MAX, BITS)),
            Fact::Smax(x) => wide = wide.meet(Range::signed(i64::MIN, x, BITS)),
            Fact::Umin32(x) => low = low.meet(Range::unsigned(x, u64::MAX, Self::HALF)),
            Fact::Umax32(x) => low = low.meet(Range::unsigned(0, x, Self::HALF)),
            Fact::Smin32(x) => low = low.meet(Range::signed(x, i64::MAX, Self::HALF)),
            Fact::Smax32(x) => low = low.meet(Range::signed(i64::MIN, x, Self::HALF)),
            Fact::VarOff(x) => tnum = tnum.intersect(x)?,
        }
        Self::from_parts(tnum, wide, low)
    }
}

impl<const BITS: u32> fmt::Display for Product<BITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(x) = self.as_constant() {
            return Signed(x as i64).fmt(f);
        }
        f.write_str("(")?;
        let mut known = Self::unknown();
        let mut separator = "";
        for (index, fact) in self.facts().into_iter().enumerate() {
            // Both have their facts in their own order; the one of the same kind is compared.
            let implied = known.facts().contains(&fact) || known == *self;
            if !implied {
                write!(f, "{separator}{fact}")?;
                separator = ",";
                known = known.with(fact).unwrap_or(known);
            }
            debug_assert!(
                index < 8 || known == *self,
                "the facts do not make up the value"
            );
        }
        f.write_str(")")
    }
}

impl<const BITS: u32> fmt::Debug for Product<BITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fact::Umin(x) => write!(f, "umin={}", Unsigned(x)),
            Fact::Umax(x) => write!(f, "umax={}", Unsigned(x)),
            Fact::Smin(x) => write!(f, "smin={}", Signed(x)),
            Fact::Smax(x) => write!(f, "smax={}", Signed(x)),
            Fact::Umin32(x) => write!(f, "umin32={}", Unsigned(x)),
            Fact::Umax32(x) => write!(f, "umax32={}", Unsigned(x)),
            Fact::Smin32(x) => write!(f, "smin32={}", Signed(x)),
            Fact::Smax32(x) => write!(f, "smax32={}", Signed(x)),
            Fact::VarOff(x) => write!(f, "var_off={x}"),
        }
    }
}

impl fmt::Display for Tnum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:#x}; {:#x})", self.value(), self.mask())
    }
}

/// Decimal while a person can read it.
struct Unsigned(u64);
struct Signed(i64);

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 <= 1 << 20 {
            write!(f, "{}", self.0)
        } else {
            write!(f, "{:#x}", self.0)
        }
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", Unsigned(self.0.unsigned_abs()))
    }
}

impl FromStr for Scalar {
    type Err = ParseScalarError;

    fn from_str(text: &str) -> Result<Scalar, ParseScalarError> {
        let text = text.trim();
        let Some(inner) = text
            .strip_prefix('(')
            .and_then(|text| text.strip_suffix(')'))
        else {
            return Ok(Scalar::constant(number(text)? as u64));
        };
        let empty = || ParseScalarError::Empty(text.to_owned());
        let mut scalar = Scalar::unknown();
        let mut rest = inner.trim();
        while !rest.is_empty() {
            let (name, after) = rest
                .split_once('=')
                .ok_or_else(|| ParseScalarError::Form(rest.to_owned()))?;
            let end = if after.starts_with('(') {
                after.find(')').map(|at| at + 1)
            } else {
                after.find(',')
            };
            let (value, after) = after.split_at(end.unwrap_or(after.len()));
            scalar = scalar
                .with(fact(name.trim(), value.trim())?)
                .ok_or_else(empty)?;
            rest = match after.trim().strip_prefix(',') {
                Some(after) => after.trim(),
                None if after.trim().is_empty() => "",
                None => return Err(ParseScalarError::Form(after.to_owned())),
            };
        }
        Ok(scalar)
    }
}

fn fact(name: &str, value: &str) -> Result<Fact, ParseScalarError> {
    let out_of_range = |_| ParseScalarError::Number(value.to_owned());
    let unsigned = || number(value).and_then(|x| u64::try_from(x).map_err(out_of_range));
    let signed = || number(value).and_then(|x| i64::try_from(x).map_err(out_of_range));
    Ok(match name {
        "umin" => Fact::Umin(unsigned()?),
        "umax" => Fact::Umax(unsigned()?),
        "smin" => Fact::Smin(signed()?),
        "smax" => Fact::Smax(signed()?),
        "umin32" => Fact::Umin32(unsigned()?),
        "umax32" => Fact::Umax32(unsigned()?),
        "smin32" => Fact::Smin32(signed()?),
        "smax32" => Fact::Smax32(signed()?),
        "var_off" => {
            let form = || ParseScalarError::Form(value.to_owned());
            let inner = value
                .strip_prefix('(')
                .and_then(|text| text.strip_suffix(')'))
                .ok_or_else(form)?;
            let (value, mask) = inner.split_once(';').ok_or_else(form)?;
            Fact::VarOff(Tnum::new(number(value)? as u64, number(mask)? as u64))
        }
        _ => return Err(ParseScalarError::Fact(name.to_owned())),
    })
}

/// A decimal or hexadecimal number that fits 64 bits, signed or unsigned.
fn number(text: &str) -> Result<i128, ParseScalarError> {
    let error = || ParseScalarError::Number(text.to_owned());
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let magnitude = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse::<u64>(),
    };
    let magnitude = i128::from(magnitude.map_err(|_| error())?);
    match negative {
        true if magnitude > 1 << 63 => Err(error()),
        true => Ok(-magnitude),
        false => Ok(magnitude),
    }
}
