//! A script's text → tokens, on demand, from any offset.
//!
//! **Invariant:** no input makes it fail to advance: a token other than `End` is at least one byte long.

use crate::ast::IntLit;
use crate::diagnostics::Diagnostic;
use crate::source::Span;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tok {
    Ident(String),
    /// `$name`.
    Var(String),
    /// `@name`; the name may be empty.
    Map(String),
    /// `$1`.
    Param(u32),
    /// `$#`.
    ParamCount,
    Int(IntLit),
    Str(Vec<u8>),
    Punct(&'static str),
    End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub tok: Tok,
    pub span: Span,
}

/// Longest first.
const PUNCTS: [&str; 53] = [
    "<<=", ">>=", "...", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "++", "--", "+=", "-=",
    "*=", "/=", "%=", "&=", "|=", "^=", "->", "..", "?:", "{", "}", "(", ")", "[", "]", ";", ",",
    ".", ":", "?", "+", "-", "*", "/", "%", "&", "|", "^", "!", "~", "<", ">", "=", "_=", "#", "`",
    "\\", "'",
];

/// Where a run of blanks and comments that starts at `pos` ends.
pub fn skip_blank(text: &str, mut pos: usize) -> Result<usize, Diagnostic> {
    let b = text.as_bytes();
    loop {
        match b.get(pos) {
            Some(c) if c.is_ascii_whitespace() => pos += 1,
            Some(b'/') if b.get(pos + 1) == Some(&b'/') => {
                while pos < b.len() && b[pos] != b'\n' {
                    pos += 1;
                }
            }
            Some(b'/') if b.get(pos + 1) == Some(&b'*') => {
                let rest = &b[pos + 2..];
                match rest.windows(2).position(|w| w == b"*/") {
                    Some(n) => pos += n + 4,
                    None => {
                        return Err(Diagnostic::error(
                            Span::new(pos as u32, pos as u32 + 2),
                            "this comment is never closed",
                        )
                        .hint("end it with `*/`"));
                    }
                }
            }
            _ => return Ok(pos),
        }
    }
}

/// The token at or after `pos`.
pub fn token(text: &str, pos: usize) -> Result<Token, Diagnostic> {
    let start = skip_blank(text, pos)?;
    let b = text.as_bytes();
    let at = |end: usize, tok: Tok| Token {
        tok,
        span: Span::new(start as u32, end as u32),
    };
    let Some(&c) = b.get(start) else {
        return Ok(at(start, Tok::End));
    };
    match c {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
            let end = word_end(b, start);
            Ok(at(end, Tok::Ident(text[start..end].to_owned())))
        }
        b'$' => {
            if b.get(start + 1) == Some(&b'#') {
                return Ok(at(start + 2, Tok::ParamCount));
            }
            let end = word_end(b, start + 1);
            let name = &text[start + 1..end];
            let span = Span::new(start as u32, end.max(start + 1) as u32);
            if name.is_empty() {
                return Err(Diagnostic::error(
                    span,
                    "`$` must be followed by a name or a number",
                ));
            }
            if name.as_bytes()[0].is_ascii_digit() {
                return match name.parse::<u32>() {
                    Ok(n) if n > 0 => Ok(at(end, Tok::Param(n))),
                    _ => Err(Diagnostic::error(
                        span,
                        format!("`${name}` is not a positional parameter"),
                    )
                    .hint("positional parameters are `$1`, `$2` …")),
                };
            }
            Ok(at(end, Tok::Var(name.to_owned())))
        }
        b'@' => {
            let end = word_end(b, start + 1);
            Ok(at(end, Tok::Map(text[start + 1..end].to_owned())))
        }
        b'0'..=b'9' => number(text, start),
        b'"' => string(text, start),
        _ => {
            let rest = &text[start..];
            for p in PUNCTS {
                if p != "_=" && rest.starts_with(p) {
                    return Ok(at(start + p.len(), Tok::Punct(p)));
                }
            }
            let ch = rest.chars().next().unwrap_or('?');
            Err(Diagnostic::error(
                Span::new(start as u32, (start + ch.len_utf8()) as u32),
                format!("a script cannot contain the character {ch:?} here"),
            ))
        }
    }
}

/// A whole text that is one number, with its sign.
pub fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    match token(digits, 0) {
        Ok(Token {
            tok: Tok::Int(i),
            span,
        }) if span.start == 0 && span.end as usize == digits.len() => {
            let v = i.value as i64;
            Some(if negative { v.wrapping_neg() } else { v })
        }
        _ => None,
    }
}

fn word_end(b: &[u8], mut pos: usize) -> usize {
    while b
        .get(pos)
        .is_some_and(|c| c.is_ascii_alphanumeric() || *c == b'_')
    {
        pos += 1;
    }
    pos
}

/// Decimal, hex, octal, binary; `_` between digits; `1e6`; C suffixes; units of time.
fn number(text: &str, start: usize) -> Result<Token, Diagnostic> {
    let b = text.as_bytes();
    let end = word_end(b, start);
    let span = Span::new(start as u32, end as u32);
    let word: String = text[start..end].chars().filter(|c| *c != '_').collect();
    let bad = |why: &str| {
        Diagnostic::error(
            span,
            format!("`{}` is not a number{why}", &text[start..end]),
        )
    };
    let int = |value: u64, duration: bool| {
        Ok(Token {
            tok: Tok::Int(IntLit { value, duration }),
            span,
        })
    };
    let too_big = || bad(": it does not fit 64 bits");
    let lower = word.to_ascii_lowercase();
    let radix = |digits: &str, radix: u32| -> Result<u64, Diagnostic> {
        let digits = digits.trim_end_matches(['u', 'l']);
        if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
            return Err(bad(""));
        }
        u64::from_str_radix(digits, radix).map_err(|_| too_big())
    };
    if let Some(hex) = lower.strip_prefix("0x") {
        return int(radix(hex, 16)?, false);
    }
    if let Some(bin) = lower.strip_prefix("0b") {
        return int(radix(bin, 2)?, false);
    }
    let split = word
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(word.len());
    let (digits, suffix) = word.split_at(split);
    if digits.len() > 1
        && digits.starts_with('0')
        && matches!(suffix, "" | "u" | "l" | "ul" | "ull" | "ll")
    {
        return int(radix(digits, 8)?, false);
    }
    let value: u64 = digits.parse().map_err(|_| too_big())?;
    let unit = match suffix {
        "" => return int(value, false),
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        s if s.len() <= 3 && s.chars().all(|c| matches!(c, 'u' | 'U' | 'l' | 'L')) => {
            return int(value, false);
        }
        s if s.starts_with(['e', 'E']) => {
            let exp: u32 = s[1..].parse().map_err(|_| bad(""))?;
            let scale = 10u64.checked_pow(exp).ok_or_else(too_big)?;
            return int(value.checked_mul(scale).ok_or_else(too_big)?, false);
        }
        s => {
            return Err(bad("").hint(format!(
                "`{s}` is no unit of time; these are: ns us ms s m h d"
            )));
        }
    };
    int(value.checked_mul(unit).ok_or_else(too_big)?, true)
}

fn string(text: &str, start: usize) -> Result<Token, Diagnostic> {
    let b = text.as_bytes();
    let mut out = Vec::new();
    let mut pos = start + 1;
    loop {
        let Some(&c) = b.get(pos) else {
            let line_end = b[start..]
                .iter()
                .position(|c| *c == b'\n')
                .map_or(b.len(), |n| start + n);
            return Err(Diagnostic::error(
                Span::new(start as u32, line_end as u32),
                "this string is never closed",
            )
            .hint("end it with `\"`"));
        };
        pos += 1;
        match c {
            b'"' => break,
            b'\\' => {
                let Some(&e) = b.get(pos) else { continue };
                pos += 1;
                match e {
                    b'n' => out.push(b'\n'),
                    b't' => out.push(b'\t'),
                    b'r' => out.push(b'\r'),
                    b'\\' => out.push(b'\\'),
                    b'"' => out.push(b'"'),
                    b'a' => out.push(7),
                    b'b' => out.push(8),
                    b'e' => out.push(0x1b),
                    b'f' => out.push(12),
                    b'v' => out.push(11),
                    b'\n' => {}
                    b'0'..=b'7' => {
                        let digits = b[pos - 1..]
                            .iter()
                            .take(3)
                            .take_while(|d| (b'0'..=b'7').contains(*d))
                            .count();
                        let value = b[pos - 1..pos - 1 + digits]
                            .iter()
                            .fold(0u32, |v, d| v * 8 + u32::from(d - b'0'));
                        out.push(value as u8);
                        pos += digits - 1;
                    }
                    b'x' => {
                        let digits = b[pos..]
                            .iter()
                            .take(2)
                            .take_while(|d| d.is_ascii_hexdigit())
                            .count();
                        if digits == 0 {
                            return Err(Diagnostic::error(
                                Span::new(pos as u32 - 2, pos as u32),
                                "`\\x` must be followed by hexadecimal digits",
                            ));
                        }
                        let value = b[pos..pos + digits]
                            .iter()
                            .fold(0u32, |v, d| v * 16 + (*d as char).to_digit(16).unwrap_or(0));
                        out.push(value as u8);
                        pos += digits;
                    }
                    _ => {
                        let ch = text
                            .get(pos - 1..)
                            .and_then(|t| t.chars().next())
                            .unwrap_or('?');
                        return Err(Diagnostic::error(
                            Span::new(pos as u32 - 2, (pos - 1 + ch.len_utf8()) as u32),
                            format!("unknown escape `\\{ch}` in a string"),
                        )
                        .hint("escapes are \\n \\t \\r \\\\ \\\" \\a \\b \\e \\f \\v \\NNN (octal) and \\xNN"));
                    }
                }
            }
            c => out.push(c),
        }
    }
    Ok(Token {
        tok: Tok::Str(out),
        span: Span::new(start as u32, pos as u32),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Tok {
        token(text, 0).unwrap().tok
    }

    fn int(text: &str) -> u64 {
        match one(text) {
            Tok::Int(i) => i.value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(int("1_000"), 1000);
        assert_eq!(int("1e6"), 1_000_000);
        assert_eq!(int("0x1F"), 31);
        assert_eq!(int("0775"), 0o775);
        assert_eq!(int("5ms"), 5_000_000);
        assert_eq!(int("18446744073709551615"), u64::MAX);
        assert_eq!(int("1ULL"), 1);
        for bad in [
            "18446744073709551616",
            "09",
            "0x",
            "1q",
            "1e99",
            "99999999999d",
        ] {
            assert!(token(bad, 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn strings_and_names() {
        assert_eq!(one(r#""a\n\x41\101\0""#), Tok::Str(b"a\nAA\0".to_vec()));
        assert_eq!(one("/* x */ // y\n @foo"), Tok::Map("foo".into()));
        assert_eq!(one("$#"), Tok::ParamCount);
        assert_eq!(one("$2"), Tok::Param(2));
        for bad in ["\"abc", "/* ", "$", "$0", "é", "\"\\q\""] {
            assert!(token(bad, 0).is_err(), "{bad}");
        }
    }
}
