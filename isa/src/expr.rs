//! Tokens → constant expressions, possibly with one symbol added and one subtracted.
//!
//! **Invariant:** depth is bounded, and a value out of range is an error, never wrapped.

use crate::lex::{Tok, Token};

/// `value + plus - minus`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expr {
    pub value: i128,
    pub plus: Option<String>,
    pub minus: Option<String>,
}

/// Why a text is not what was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// Index of the token to point at.
    pub at: usize,
    /// How many tokens were understood; the reading that came furthest is reported.
    pub reach: usize,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Expected this very text.
    Literal(&'static str),
    /// Expected something of this description.
    Expected(&'static str),
    /// A whole message.
    Message(String),
}

impl Mismatch {
    pub fn literal(at: usize, text: &'static str) -> Mismatch {
        Mismatch {
            at,
            reach: at,
            what: What::Literal(text),
        }
    }

    pub fn expected(at: usize, what: &'static str) -> Mismatch {
        Mismatch {
            at,
            reach: at,
            what: What::Expected(what),
        }
    }

    pub fn message(at: usize, reach: usize, what: impl Into<String>) -> Mismatch {
        Mismatch {
            at,
            reach,
            what: What::Message(what.into()),
        }
    }
}

/// Tokens being read; peeking past the last one gives the last one, which is an `End`.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'t, 'a> {
    pub tokens: &'t [Token<'a>],
    pub at: usize,
}

impl<'t, 'a> Cursor<'t, 'a> {
    pub fn peek(&self) -> Option<&'t Token<'a>> {
        self.tokens.get(self.at)
    }

    pub fn is(&self, text: &str) -> bool {
        self.peek().is_some_and(|t| is_text(t, text))
    }

    pub fn take(&mut self, text: &str) -> bool {
        let found = self.is(text);
        if found {
            self.at += 1;
        }
        found
    }

    pub fn take_if(&mut self, tok: Tok) -> Option<&'t Token<'a>> {
        let token = self.peek().filter(|t| t.tok == tok)?;
        self.at += 1;
        Some(token)
    }
}

/// A word or mark reads `text`; numbers compare by their spelling.
pub(crate) fn is_text(token: &Token<'_>, text: &str) -> bool {
    !matches!(token.tok, Tok::Str | Tok::End) && token.text == text
}

/// Nested parentheses and signs at most.
const DEPTH: u32 = 32;

const BINARY: &[(&str, u8)] = &[
    ("|", 1),
    ("^", 2),
    ("&", 3),
    ("<<", 4),
    (">>", 4),
    ("+", 5),
    ("-", 5),
    ("*", 6),
    ("/", 6),
    ("%", 6),
];

/// Reads the longest expression; `constant` knows names that stand for numbers.
pub(crate) fn expr(
    cursor: &mut Cursor<'_, '_>,
    constant: &dyn Fn(&str) -> Option<i64>,
) -> Result<Expr, Mismatch> {
    binary(cursor, constant, 1, DEPTH)
}

fn binary(
    cursor: &mut Cursor<'_, '_>,
    constant: &dyn Fn(&str) -> Option<i64>,
    level: u8,
    depth: u32,
) -> Result<Expr, Mismatch> {
    let mut left = unary(cursor, constant, depth)?;
    while let Some((op, precedence)) = BINARY
        .iter()
        .find(|(op, precedence)| *precedence >= level && cursor.is(op))
    {
        let at = cursor.at;
        cursor.at += 1;
        let depth = depth.checked_sub(1).ok_or_else(|| too_deep(at))?;
        let right = binary(cursor, constant, precedence + 1, depth)?;
        left = combine(op, left, right).map_err(|e| Mismatch::message(at, cursor.at, e))?;
    }
    Ok(left)
}

fn too_deep(at: usize) -> Mismatch {
    Mismatch::message(at, at, "expression is nested too deeply")
}

fn unary(
    cursor: &mut Cursor<'_, '_>,
    constant: &dyn Fn(&str) -> Option<i64>,
    depth: u32,
) -> Result<Expr, Mismatch> {
    let at = cursor.at;
    let inner_depth = depth.checked_sub(1).ok_or_else(|| too_deep(at))?;
    if cursor.take("+") {
        return unary(cursor, constant, inner_depth);
    }
    if cursor.take("-") {
        let inner = unary(cursor, constant, inner_depth)?;
        return combine("-", Expr::default(), inner)
            .map_err(|e| Mismatch::message(at, cursor.at, e));
    }
    if cursor.take("~") {
        let inner = unary(cursor, constant, inner_depth)?;
        // !x is -1 - x.
        let minus_one = Expr {
            value: -1,
            ..Expr::default()
        };
        return combine("-", minus_one, inner).map_err(|e| Mismatch::message(at, cursor.at, e));
    }
    if cursor.take("(") {
        let inner = binary(cursor, constant, 1, inner_depth)?;
        if !cursor.take(")") {
            return Err(Mismatch::literal(cursor.at, ")"));
        }
        return Ok(inner);
    }
    let Some(token) = cursor.peek() else {
        return Err(Mismatch::expected(at, "a number"));
    };
    let value = match token.tok {
        Tok::Number(n) => Expr {
            value: n.into(),
            ..Expr::default()
        },
        Tok::Ident if is_register(token.text) => {
            return Err(Mismatch::expected(at, "a number"));
        }
        Tok::Ident => match constant(token.text) {
            Some(n) => Expr {
                value: n.into(),
                ..Expr::default()
            },
            None => Expr {
                plus: Some(token.text.to_owned()),
                ..Expr::default()
            },
        },
        Tok::Huge => {
            let message = format!("{} does not fit 64 bits", token.text);
            return Err(Mismatch::message(at, at + 1, message));
        }
        _ => return Err(Mismatch::expected(at, "a number")),
    };
    cursor.at += 1;
    Ok(value)
}

/// Whether `word` names a register: r0 to r10, w0 to w10.
pub(crate) fn is_register(word: &str) -> bool {
    register(word, 'r').or(register(word, 'w')).is_some()
}

pub(crate) fn register(word: &str, letter: char) -> Option<crate::Reg> {
    let digits = word.strip_prefix(letter)?;
    if digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    crate::Reg::new(digits.parse().ok()?)
}

fn combine(op: &str, a: Expr, b: Expr) -> Result<Expr, String> {
    let absolute = [&a.plus, &a.minus, &b.plus, &b.minus]
        .iter()
        .all(|s| s.is_none());
    if !absolute && !matches!(op, "+" | "-") {
        return Err(format!("`{op}` needs numbers on both sides"));
    }
    let shift = || u32::try_from(b.value).ok().filter(|n| *n < 64);
    let value = match op {
        "|" => Some(a.value | b.value),
        "^" => Some(a.value ^ b.value),
        "&" => Some(a.value & b.value),
        "<<" => shift().and_then(|n| a.value.checked_mul(1 << n)),
        ">>" => shift().map(|n| a.value >> n),
        "+" => a.value.checked_add(b.value),
        "-" => a.value.checked_sub(b.value),
        "*" => a.value.checked_mul(b.value),
        "/" => a.value.checked_div(b.value),
        _ => a.value.checked_rem(b.value),
    };
    let value = value.ok_or_else(|| format!("`{op}` has no result here"))?;
    let (plus, minus) = match op {
        "-" => (one(a.plus, b.minus)?, one(a.minus, b.plus)?),
        _ => (one(a.plus, b.plus)?, one(a.minus, b.minus)?),
    };
    // A symbol less itself is nothing.
    let (plus, minus) = if plus == minus {
        (None, None)
    } else {
        (plus, minus)
    };
    Ok(Expr { value, plus, minus })
}

fn one(a: Option<String>, b: Option<String>) -> Result<Option<String>, String> {
    match (a, b) {
        (Some(a), Some(b)) => Err(format!("`{a}` and `{b}` cannot both be added")),
        (a, b) => Ok(a.or(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lex::lex;

    fn eval(text: &str) -> Result<Expr, Mismatch> {
        let tokens = lex(text).unwrap();
        let constant = |name: &str| (name == "C").then_some(10);
        let mut cursor = Cursor {
            tokens: &tokens,
            at: 0,
        };
        expr(&mut cursor, &constant)
    }

    #[test]
    fn values() {
        let value = |text| eval(text).unwrap().value;
        assert_eq!(value("1 + 2 * 3 - 4"), 3);
        assert_eq!(value("(1 | 6) << 2 & ~4"), 24);
        assert_eq!(value("-C - -C * 2"), 10);
        assert_eq!(value("0xffffffffffffffff"), u64::MAX.into());
        assert_eq!(value("1 - 2 - 3"), -4);
        assert_eq!(value("~0"), -1);
    }

    #[test]
    fn symbols() {
        let e = eval("end - start + 4").unwrap();
        assert_eq!(e.plus.as_deref(), Some("end"));
        assert_eq!(e.minus.as_deref(), Some("start"));
        assert_eq!(e.value, 4);
        assert_eq!(eval("a - a").unwrap(), Expr::default());
        for bad in [
            "a + b",
            "a * 2",
            "1 / 0",
            "18446744073709551616",
            "1 << 64",
            "1 +",
            "(1",
            "r1",
            ")",
        ] {
            assert!(eval(bad).is_err(), "{bad}");
        }
        assert!(eval(&"(".repeat(100_000)).is_err());
        assert!(eval(&"-".repeat(100_000)).is_err());
        assert!(eval(&"1 + ".repeat(1000)).is_err());
        let long = "1 + ".repeat(1000) + "1";
        assert_eq!(eval(&long).unwrap().value, 1001);
    }
}
