//! A script's text → the same text with its `#` lines blanked out, and its `#define`s.
//!
//! **Invariant:** the result is as long as the input, so places keep their meaning.

use std::collections::HashMap;

use crate::diagnostics::Diagnostic;
use crate::lexer::{self, Tok};
use crate::source::Span;

/// What `#` lines said.
#[derive(Clone, Debug, Default)]
pub struct Preprocessed {
    pub text: String,
    /// Names without parameters and the text they stand for.
    pub defines: HashMap<String, String>,
    /// `#define`s with parameters.
    pub functions: Vec<FunctionDefine>,
    /// Headers that are named, whether in quotes, with their places.
    pub includes: Vec<(String, bool, Span)>,
    pub diagnostics: Vec<Diagnostic>,
}

/// `#define name(a, b) body`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionDefine {
    pub name: String,
    pub params: Vec<String>,
    pub body: String,
    pub span: Span,
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
                let on = match condition(rest, &defined, &out.defines) {
                    Some(v) => v != 0,
                    None => {
                        if kept {
                            out.diagnostics.push(
                                Diagnostic::error(
                                    span,
                                    format!("`#if {}` cannot be decided", rest.trim()),
                                )
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
                if let Some(function) = function_define(rest.trim(), span) {
                    out.functions.push(function);
                } else if !name.is_empty() {
                    let value = rest.trim_start().strip_prefix(name).unwrap_or("").trim();
                    out.defines
                        .insert(name.to_owned(), without_comment(value).to_owned());
                }
            }
            "undef" if kept => {
                out.defines.remove(name);
            }
            "include" if kept => {
                let path = rest.trim().trim_start_matches(['<', '"']);
                let end = path.find(['>', '"']).unwrap_or(path.len());
                out.includes
                    .push((path[..end].to_owned(), rest.contains('"'), span));
            }
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

/// A value without the comment behind it.
fn without_comment(value: &str) -> &str {
    let mut quoted = false;
    for (i, c) in value.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '/' if !quoted && (value[i..].starts_with("//") || value[i..].starts_with("/*")) => {
                return value[..i].trim_end();
            }
            _ => {}
        }
    }
    value
}

/// `name(a, b) body`: the parenthesis must follow the name at once.
fn function_define(text: &str, span: Span) -> Option<FunctionDefine> {
    let open = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
    let rest = text[open..].strip_prefix('(')?;
    let (params, body) = rest.split_once(')')?;
    let params: Vec<String> = params
        .split(',')
        .map(|p| p.trim().to_owned())
        .filter(|p| !p.is_empty())
        .collect();
    Some(FunctionDefine {
        name: text[..open].to_owned(),
        params,
        body: without_comment(body.trim()).to_owned(),
        span,
    })
}

/// `KERNEL_VERSION(a, b, c)` and `LINUX_VERSION_CODE`: the newest kernel that is known.
const NEWEST_KERNEL: i64 = (6 << 16) + (18 << 8);

/// What follows `#if`: `defined(NAME)`, numbers, versions of the kernel, `! && || == != < <= > >=`.
fn condition(
    text: &str,
    defined: &dyn Fn(&str) -> bool,
    defines: &HashMap<String, String>,
) -> Option<i64> {
    let mut c = Condition {
        text: without_comment(text),
        pos: 0,
        depth: 0,
        defined,
        defines,
    };
    let v = c.either()?;
    (c.next()? == Tok::End).then_some(v)
}

struct Condition<'a> {
    text: &'a str,
    pos: usize,
    depth: u32,
    defined: &'a dyn Fn(&str) -> bool,
    defines: &'a HashMap<String, String>,
}

impl Condition<'_> {
    fn peek(&self) -> Option<Tok> {
        lexer::token(self.text, self.pos).ok().map(|t| t.tok)
    }

    fn next(&mut self) -> Option<Tok> {
        let t = lexer::token(self.text, self.pos).ok()?;
        self.pos = t.span.end as usize;
        Some(t.tok)
    }

    fn eat(&mut self, punct: &str) -> bool {
        let yes = matches!(self.peek(), Some(Tok::Punct(p)) if p == punct);
        if yes {
            self.next();
        }
        yes
    }

    fn either(&mut self) -> Option<i64> {
        let mut v = self.both()?;
        while self.eat("||") {
            let w = self.both()?;
            v = i64::from(v != 0 || w != 0);
        }
        Some(v)
    }

    fn both(&mut self) -> Option<i64> {
        let mut v = self.compared()?;
        while self.eat("&&") {
            let w = self.compared()?;
            v = i64::from(v != 0 && w != 0);
        }
        Some(v)
    }

    fn compared(&mut self) -> Option<i64> {
        let v = self.one()?;
        let op = match self.peek()? {
            Tok::Punct(p @ ("==" | "!=" | "<" | "<=" | ">" | ">=")) => p,
            _ => return Some(v),
        };
        self.next()?;
        let w = self.one()?;
        Some(i64::from(match op {
            "==" => v == w,
            "!=" => v != w,
            "<" => v < w,
            "<=" => v <= w,
            ">" => v > w,
            _ => v >= w,
        }))
    }

    fn one(&mut self) -> Option<i64> {
        self.depth += 1;
        if self.depth > 64 {
            return None;
        }
        match self.next()? {
            Tok::Int(i) => Some(i.value as i64),
            Tok::Punct("!") => Some(i64::from(self.one()? == 0)),
            Tok::Punct("(") => {
                let v = self.either()?;
                self.eat(")").then_some(v)
            }
            Tok::Ident(w) if w == "defined" => {
                let paren = self.eat("(");
                let Tok::Ident(name) = self.next()? else {
                    return None;
                };
                if paren && !self.eat(")") {
                    return None;
                }
                Some(i64::from((self.defined)(&name)))
            }
            Tok::Ident(w) if w == "LINUX_VERSION_CODE" => Some(NEWEST_KERNEL),
            Tok::Ident(w) if w == "KERNEL_VERSION" => {
                let mut parts = Vec::new();
                self.eat("(");
                while !self.eat(")") {
                    parts.push(self.one()?);
                    self.eat(",");
                }
                match parts[..] {
                    [a, b, c] => Some((a << 16) + (b << 8) + c.min(255)),
                    _ => None,
                }
            }
            // A name stands for its number; one that is not defined for 0.
            Tok::Ident(w) => match self.defines.get(&w) {
                Some(value) => lexer::integer(value),
                None => Some(i64::from((self.defined)(&w))),
            },
            _ => None,
        }
    }
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
