//! `globmatch`: whether a text fits a pattern.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind, Glob};
use crate::types::Ty;

/// Items of a pattern: one bit of a word each, with one more for the end.
const MOST_ITEMS: usize = 63;

/// Which characters one item takes.
type Class = [bool; 256];

/// `[a-z]`, `[!abc]` from behind its `[`: what it takes, and how many characters it is; `None` without an end.
fn class(text: &[u8]) -> Option<(Class, usize)> {
    let negated = text.first() == Some(&b'!');
    let first = usize::from(negated);
    let mut takes = [negated; 256];
    let mut at = first;
    loop {
        let low = *text.get(at)?;
        // A bracket that stands first is one of the characters.
        if low == b']' && at > first {
            return Some((takes, at + 1));
        }
        let range = text.get(at + 1) == Some(&b'-') && text.get(at + 2).is_some_and(|c| *c != b']');
        let high = if range { text[at + 2] } else { low };
        for c in low..=high {
            takes[usize::from(c)] = !negated;
        }
        at += if range { 3 } else { 1 };
    }
}

/// Reads a pattern; `None` when it has too many items.
fn parse(text: &[u8]) -> Option<Glob> {
    let mut glob = Glob {
        takes: Box::new([0; 256]),
        any_before: 0,
        items: 0,
    };
    let mut rest = text;
    while let Some((c, behind)) = rest.split_first() {
        rest = behind;
        let item = match c {
            b'*' => {
                glob.any_before |= 1 << glob.items;
                continue;
            }
            b'?' => [true; 256],
            b'[' if class(rest).is_some() => {
                let (takes, bytes) = class(rest)?;
                rest = &rest[bytes..];
                takes
            }
            c => {
                let mut takes = [false; 256];
                takes[usize::from(*c)] = true;
                takes
            }
        };
        if glob.items as usize == MOST_ITEMS {
            return None;
        }
        for (mask, takes) in glob.takes.iter_mut().zip(item) {
            *mask |= u64::from(takes) << glob.items;
        }
        glob.items += 1;
    }
    Some(glob)
}

/// What the compiled program does.
fn fits(glob: &Glob, text: &[u8]) -> bool {
    let come_to = text.iter().fold(1u64, |at, c| {
        ((at & glob.takes[usize::from(*c)]) << 1) | (at & glob.any_before)
    });
    come_to >> glob.items & 1 == 1
}

pub const ROW: Row = Row {
    names: &["globmatch"],
    kind: Use::Function { min: 2, max: 2 },
    syntax: "`globmatch(TEXT, \"PATTERN\")`",
    doc: "Whether the whole text fits a pattern: `*` stands for anything, `?` for one character, `[a-z]` for one of these, `[!a-z]` for one of all others.",
    example: "begin { if (globmatch(comm, \"kworker/[0-9]*\")) { printf(\"a worker\\n\"); } }",
    lower: |c, call| {
        let of = c.string(&call.args[0])?;
        let text = c.text(&call.args[1])?;
        let glob = parse(text.as_bytes()).ok_or_else(|| {
            Diagnostic::error(
                call.args[1].span,
                format!("a pattern has at most {MOST_ITEMS} characters that are not `*`"),
            )
        })?;
        if let ExprKind::Str(of) = &of.kind {
            return Ok(Expr::int(i64::from(fits(&glob, of)), Ty::Bool, call.span));
        }
        let known = c.patterns.iter().position(|g| *g == glob);
        let pattern = known.unwrap_or_else(|| {
            c.patterns.push(glob);
            c.patterns.len() - 1
        });
        let of = Box::new(of);
        let kind = ExprKind::StrGlob { of, pattern };
        Ok(Expr::new(kind, Ty::Bool, call.span))
    },
};

#[cfg(test)]
mod tests {
    use super::{fits, parse};

    /// By trying everything.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        let Some((p, rest)) = pattern.split_first() else {
            return text.is_empty();
        };
        match p {
            b'*' => (0..=text.len()).any(|n| slow(rest, &text[n..])),
            b'?' => !text.is_empty() && slow(rest, &text[1..]),
            c => text.first() == Some(c) && slow(rest, &text[1..]),
        }
    }

    /// All words of up to `most` of these letters.
    fn words(letters: &[u8], most: usize) -> Vec<Vec<u8>> {
        let mut all = vec![Vec::new()];
        let mut from = 0;
        for _ in 0..most {
            let end = all.len();
            for n in from..end {
                for c in letters {
                    let mut word: Vec<u8> = all[n].clone();
                    word.push(*c);
                    all.push(word);
                }
            }
            from = end;
        }
        all
    }

    #[test]
    fn every_short_pattern_on_every_short_text() {
        let texts = words(b"ab", 5);
        for pattern in words(b"ab?*", 5) {
            let glob = parse(&pattern).expect("a short pattern");
            for text in &texts {
                assert_eq!(
                    fits(&glob, text),
                    slow(&pattern, text),
                    "{pattern:?} {text:?}"
                );
            }
        }
    }

    #[test]
    fn classes() {
        let yes =
            |pattern: &str, text: &str| fits(&parse(pattern.as_bytes()).unwrap(), text.as_bytes());
        assert!(yes("[abc]x", "bx") && !yes("[abc]x", "dx"));
        assert!(yes("[a-c]*", "beta") && !yes("[a-c]*", "delta"));
        assert!(yes("[!a-c]*", "delta") && !yes("[!a-c]*", "beta") && !yes("[!a]", ""));
        assert!(yes("[]x]", "]") && yes("[!]x]", "a") && !yes("[!]x]", "]"));
        assert!(yes("[a-]", "-") && yes("[a-]", "a") && !yes("[a-]", "b"));
        // Without an end it is a character as others.
        assert!(yes("[ab", "[ab") && !yes("[ab", "a"));
        assert!(!yes("[z-a]", "x"));
    }

    #[test]
    fn items_are_counted() {
        assert!(parse(&[b'a'; 63]).is_some() && parse(&[b'a'; 64]).is_none());
        assert!(fits(&parse(&[b'a'; 63]).unwrap(), &[b'a'; 63]));
        assert!(!fits(&parse(&[b'a'; 63]).unwrap(), &[b'a'; 62]));
        let mut many = vec![b'?'; 63];
        many.extend([b'*'; 100]);
        assert!(fits(&parse(&many).unwrap(), &[b'x'; 500]));
    }
}
