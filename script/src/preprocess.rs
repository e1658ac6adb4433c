//! A script's text → the same text with its `#` lines blanked out, and its `#define`s.
//!
//! **Invariant:** the result is as long as the input, so places keep their meaning.

use std::collections::HashMap;

use crate::diagnostics::Diagnostic;
use crate::source::Span;

/// What `#` lines said.
#[derive(Clone, Debug, Default)]
pub struct Preprocessed {
    pub text: String,
    /// Names without parameters and the text they stand for.
    pub defines: HashMap<String, String>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Conditions are decided with `BPFTRACE_HAVE_BTF` defined: kernel types come from BTF, never from headers.
pub fn preprocess(text: &str) -> Preprocessed {
    let mut out = Preprocessed::default();
    // For each open condition: are its lines kept, was the enclosing text kept.
    let mut open: Vec<(bool, bool, Span)> = Vec::new();
    let mut in_comment = false;
    let mut offset = 0usize;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(first) = lines.next() {
        let mut whole = first.to_owned();
        let directive = !in_comment && first.trim_start().starts_with('#');
        if directive {
            while whole.trim_end().ends_with('\\') {
                match lines.next() {
                    Some(next) => whole.push_str(next),
                    None => break,
                }
            }
        }
        let start = offset as u32;
        offset += whole.len();
        let span = Span::new(start, start + whole.trim_end().len() as u32);
        let kept = open.last().is_none_or(|o| o.0);
        if !directive {
            in_comment = ends_in_comment(&whole, in_comment);
            if kept {
                out.text.push_str(&whole);
            } else {
                blank(&whole, &mut out.text);
            }
            continue;
        }
        blank(&whole, &mut out.text);
        let joined = whole.replace("\\\n", " ");
        let line = joined.trim_start().trim_start_matches('#').trim();
        if joined.trim_start().starts_with("#!") {
            continue;
        }
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let name = rest.split_whitespace().next().unwrap_or("");
        let defined = |n: &str| n == "BPFTRACE_HAVE_BTF" || out.defines.contains_key(n);
        match word {
            "ifdef" => open.push((kept && defined(name), kept, span)),
            "ifndef" => open.push((kept && !defined(name), kept, span)),
            "if" => {
                let expr = rest.trim();
                let on = match expr {
                    "0" => false,
                    "1" => true,
                    _ if expr.contains("BPFTRACE_HAVE_BTF") => !expr.starts_with('!'),
                    _ => {
                        if kept {
                            out.diagnostics.push(
                                Diagnostic::error(span, format!("`#if {expr}` cannot be decided"))
                                    .hint("use `#ifdef NAME` or `#ifndef NAME`"),
                            );
                        }
                        false
                    }
                };
                open.push((kept && on, kept, span));
            }
            "else" | "elif" => match open.last_mut() {
                Some(o) => o.0 = o.1 && !o.0 && word == "else",
                None => out
                    .diagnostics
                    .push(Diagnostic::error(span, format!("`#{word}` without `#if`"))),
            },
            "endif" => {
                if open.pop().is_none() {
                    out.diagnostics
                        .push(Diagnostic::error(span, "`#endif` without `#if`"));
                }
            }
            "define" if kept => {
                let value = rest.trim_start().strip_prefix(name).unwrap_or("").trim();
                if name.contains('(') {
                    out.diagnostics.push(
                        Diagnostic::error(
                            span,
                            "`#define` with parameters is not part of the language",
                        )
                        .hint("write a `macro name(x) { … }`"),
                    );
                } else if !name.is_empty() {
                    out.defines.insert(name.to_owned(), value.to_owned());
                }
            }
            "undef" if kept => {
                out.defines.remove(name);
            }
            // Types come from BTF, so headers are not needed; a type that is missing is reported where it is used.
            "include" | "pragma" | "define" | "undef" | "line" | "" => {}
            other => {
                if kept {
                    out.diagnostics.push(
                        Diagnostic::error(span, format!("unknown directive `#{other}`")).suggest(
                            other,
                            [
                                "include", "define", "ifdef", "ifndef", "endif", "else", "if",
                                "undef",
                            ],
                        ),
                    );
                }
            }
        }
    }
    if let Some((_, _, span)) = open.first() {
        out.diagnostics
            .push(Diagnostic::error(*span, "this condition has no `#endif`"));
    }
    out
}

fn blank(line: &str, out: &mut String) {
    out.extend(line.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }));
}

/// Whether a block comment is open at the end of `line`.
fn ends_in_comment(line: &str, mut inside: bool) -> bool {
    let b = line.as_bytes();
    let mut i = 0;
    let mut string = false;
    while i < b.len() {
        let two = b.get(i..i + 2).unwrap_or(b"");
        if inside {
            if two == b"*/" {
                inside = false;
                i += 1;
            }
        } else if string {
            match b[i] {
                b'\\' => i += 1,
                b'"' => string = false,
                _ => {}
            }
        } else if two == b"//" {
            return false;
        } else if two == b"/*" {
            inside = true;
            i += 1;
        } else if b[i] == b'"' {
            string = true;
        }
        i += 1;
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_and_defines() {
        let text = "#!/usr/bin/x\n#ifndef BPFTRACE_HAVE_BTF\n#include <a.h>\nbad\n#else\ngood\n#endif\n#define N 5\n";
        let p = preprocess(text);
        assert_eq!(p.text.len(), text.len());
        assert_eq!(p.text.split_whitespace().collect::<Vec<_>>(), ["good"]);
        assert_eq!(p.defines["N"], "5");
        assert!(p.diagnostics.is_empty());
        assert_eq!(preprocess("#ifdef X\n").diagnostics.len(), 1);
        assert_eq!(preprocess("#endif\n").diagnostics.len(), 1);
    }
}
