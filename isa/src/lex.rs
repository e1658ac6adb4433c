//! Assembly text → tokens, each with its place; comments are gone and statements end in `End`.
//!
//! **Invariant:** linear in the text; every byte of it is a token, white space or a comment,
//! or the text is refused.

use crate::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tok {
    Ident,
    Number(u64),
    /// A number of more than 64 bits, which no instruction has but `.file` does.
    Huge,
    /// `1f` or `1b`: the next or the last label of that number.
    Local {
        number: u64,
        forward: bool,
    },
    /// Text in quotes; the quotes and escapes are still in it.
    Str,
    Punct,
    /// End of a statement: of a line, or `;`.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub tok: Tok,
    pub text: &'a str,
    /// Byte offset in the source.
    pub at: usize,
    /// From 1.
    pub line: u32,
}

/// Longest first.
const PUNCTUATION: &[&str] = &[
    "<<=", ">>=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "==", "!=", "<=", ">=", "<<",
    ">>", "<", ">", "=", "+", "-", "*", "/", "%", "&", "|", "^", "~", "(", ")", "[", "]", ",", ":",
    "@", "?",
];

/// An error at byte `at` of `source`.
pub(crate) fn error_at(source: &str, at: usize, message: impl Into<String>) -> Error {
    let before = source.get(..at).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.get(line_start..).unwrap_or("").chars().count() + 1;
    Error::Text {
        line,
        column,
        message: message.into(),
    }
}

/// Ends with an `End` token always.
pub(crate) fn lex(source: &str) -> Result<Vec<Token<'_>>, Error> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let (mut at, mut line, mut line_is_empty) = (0, 1, true);
    while let Some(rest) = source.get(at..)
        && let Some(c) = rest.chars().next()
    {
        let (tok, len) = if c == '\n' {
            (Some(Tok::End), 1)
        } else if c.is_ascii_whitespace() {
            (None, 1)
        } else if c == '#' || rest.starts_with("//") || (c == ';' && line_is_empty) {
            (None, rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            let len = rest
                .find("*/")
                .ok_or_else(|| error_at(source, at, "comment is not closed by `*/`"))?;
            (None, len + 2)
        } else if c == ';' {
            (Some(Tok::End), 1)
        } else if is_ident_start(c) {
            let len = rest.find(|c| !is_ident(c)).unwrap_or(rest.len());
            (Some(Tok::Ident), len)
        } else if c.is_ascii_digit() {
            let len = rest.find(|c| !is_ident(c)).unwrap_or(rest.len());
            let number = number(&rest[..len]).map_err(|e| error_at(source, at, e))?;
            (Some(number), len)
        } else if c == '"' {
            let len = string_len(rest)
                .ok_or_else(|| error_at(source, at, "string is not closed on its line"))?;
            (Some(Tok::Str), len)
        } else if let Some(p) = PUNCTUATION.iter().find(|p| rest.starts_with(**p)) {
            (Some(Tok::Punct), p.len())
        } else {
            let message = format!("{c:?} has no meaning here");
            return Err(error_at(source, at, message));
        };
        let text = &rest[..len];
        if let Some(tok) = tok {
            tokens.push(Token {
                tok,
                text,
                at,
                line,
            });
            line_is_empty = false;
        }
        // A comment may hold several lines.
        let newlines = text.bytes().filter(|b| *b == b'\n').count();
        if newlines > 0 {
            line = line.saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX));
            line_is_empty = true;
        }
        at += len;
    }
    tokens.push(Token {
        tok: Tok::End,
        text: "",
        at: source.len(),
        line,
    });
    Ok(tokens)
}

fn is_ident_start(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '_' | '.' | '$')
}

fn is_ident(c: char) -> bool {
    is_ident_start(c) || c.is_ascii_digit()
}

/// Length of the string that `text` starts with, quotes included.
fn string_len(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (i, b) in text.bytes().enumerate().skip(1) {
        match b {
            b'\n' => return None,
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(i + 1),
            _ => {}
        }
    }
    None
}

fn number(word: &str) -> Result<Tok, String> {
    let local = |forward| {
        let number = word.get(..word.len() - 1)?.parse().ok()?;
        Some(Tok::Local { number, forward })
    };
    let local = match word.as_bytes().last() {
        Some(b'f') => local(true),
        Some(b'b') => local(false),
        _ => None,
    };
    if let Some(local) = local {
        return Ok(local);
    }
    let lower = word.to_ascii_lowercase();
    let (digits, radix) = if let Some(hex) = lower.strip_prefix("0x") {
        (hex, 16)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (binary, 2)
    } else if word.len() > 1 && word.starts_with('0') {
        (&word[1..], 8)
    } else {
        (word, 10)
    };
    match u64::from_str_radix(digits, radix) {
        Ok(n) => Ok(Tok::Number(n)),
        Err(e) if *e.kind() == std::num::IntErrorKind::PosOverflow => Ok(Tok::Huge),
        Err(_) => Err(format!("{word} is not a number of base {radix}")),
    }
}

/// The bytes that a string token stands for; `Err` names a bad escape.
pub(crate) fn unquote(text: &str) -> Result<Vec<u8>, String> {
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    let mut bytes = inner.unwrap_or(text).bytes().peekable();
    let mut out = Vec::new();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        let escape = bytes.next().unwrap_or(b'\\');
        out.push(match escape {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            b'\\' | b'"' | b'\'' => escape,
            b'x' => {
                let mut value: Option<u8> = None;
                while let Some(digit) = bytes.peek().and_then(|b| char::from(*b).to_digit(16)) {
                    // As many digits as there are; the last two count.
                    value = Some((value.unwrap_or(0) << 4) | digit as u8);
                    bytes.next();
                }
                value.ok_or("`\\x` needs hexadecimal digits")?
            }
            b'0'..=b'7' => {
                let mut value = u32::from(escape - b'0');
                for _ in 0..2 {
                    if let Some(digit) = bytes.peek().and_then(|b| char::from(*b).to_digit(8)) {
                        value = value * 8 + digit;
                        bytes.next();
                    }
                }
                value as u8
            }
            other => return Err(format!("`\\{}` is no escape", char::from(other))),
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        lex(source).unwrap().iter().map(|t| t.text).collect()
    }

    #[test]
    fn comments_and_statements() {
        let source = "; whole line\nr1 s>>= 0x3f; r2 = 1 // x\n/* a\nb */ exit # y";
        let expected = [
            "\n", "r1", "s", ">>=", "0x3f", ";", "r2", "=", "1", "\n", "exit", "",
        ];
        assert_eq!(texts(source), expected);
        let lines: Vec<u32> = lex(source).unwrap().iter().map(|t| t.line).collect();
        assert_eq!(lines, [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 4, 4]);
    }

    #[test]
    fn numbers() {
        let tok = |s| lex(s).map(|t| t[0].tok);
        assert_eq!(tok("0x1f"), Ok(Tok::Number(31)));
        assert_eq!(tok("0b101"), Ok(Tok::Number(5)));
        assert_eq!(tok("017"), Ok(Tok::Number(15)));
        let back = Tok::Local {
            number: 1,
            forward: false,
        };
        assert_eq!(tok("1b"), Ok(back));
        for bad in ["08", "0x", "12q", "\"open", "/* open", "é"] {
            assert!(tok(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn strings() {
        assert_eq!(unquote(r#""a\n\x41\101\0\"""#).unwrap(), b"a\nAA\0\"");
        assert!(unquote(r#""\q""#).is_err());
        assert!(unquote(r#""\x""#).is_err());
    }
}
