//! A script's text → [`Ast`]: items outside of probes here, statements, expressions and types beside.
//!
//! **Invariant:** nesting is bounded, so no input exhausts the stack here or in a later stage.

mod expr;
mod items;
mod stmt;
mod types;

use std::collections::HashMap;
use std::sync::Arc;

use crate::ast::{Ast, Item};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::files::{File, Files};
use crate::lexer::{self, Tok, Token};
use crate::preprocess::preprocess;
use crate::source::{Source, Span};

/// Parentheses, blocks and the like inside one another.
const MAX_DEPTH: u32 = 64;
/// Operators of one statement: each can make the tree one higher.
const MAX_LINKS: u32 = 200;
/// Scripts longer than this are refused.
const MAX_TEXT: usize = 4 << 20;

type Parsed<T> = Result<T, Diagnostic>;

/// Parses a script that stands alone; `name` is what messages call it.
///
/// # Errors
/// Everything found wrong, each with its place.
pub fn parse(text: &str, name: &str) -> Result<Ast, Diagnostics> {
    parse_files(&Files::one(text, name))
}

/// Whether a header is one of the kernel's or of C's library, which declare nothing that BTF does not know:
/// by where such headers stand.
pub fn of_the_system(path: &str) -> bool {
    const PLACES: [&str; 34] = [
        "acpi",
        "arpa",
        "asm",
        "asm-generic",
        "bits",
        "bpf",
        "crypto",
        "drm",
        "fs",
        "generated",
        "gnu",
        "kernel",
        "keys",
        "kvm",
        "linux",
        "media",
        "misc",
        "mm",
        "net",
        "netinet",
        "netpacket",
        "rdma",
        "rpc",
        "scsi",
        "sound",
        "sys",
        "target",
        "trace",
        "uapi",
        "ufs",
        "vdso",
        "video",
        "x86_64-linux-gnu",
        "xen",
    ];
    match path.split_once('/') {
        Some((place, _)) => PLACES.contains(&place),
        // `<stdint.h>`, `<errno.h>`.
        None => true,
    }
}

/// Parses a script and what it imports.
///
/// # Errors
/// Everything found wrong, each with its place.
pub fn parse_files(files: &Files) -> Result<Ast, Diagnostics> {
    let mut text = String::new();
    let mut starts = Vec::new();
    let named = |file: &File| crate::prelude::needed(&file.text);
    let built_in = files.list().iter().find_map(named);
    let list = || files.list().iter().chain(&built_in);
    for file in list() {
        if !starts.is_empty() {
            text.push('\n');
        }
        starts.push(text.len());
        text.push_str(&file.text);
    }
    let mut source = Source::new(files.name(), &text);
    for (file, start) in list().zip(&starts).skip(1) {
        source.part(*start as u32, &file.name);
    }
    let source = Arc::new(source);
    let mut found = Diagnostics::new(source.clone());
    if text.len() > MAX_TEXT {
        found.push(Diagnostic::error(
            Span::default(),
            format!("the script is longer than {MAX_TEXT} bytes"),
        ));
        return Err(found);
    }
    let pre = preprocess(&text);
    for d in pre.diagnostics {
        found.push(d);
    }
    // Types come from BTF, so the machine's own headers are not needed.
    let own = starts.get(1).copied().unwrap_or(text.len());
    for (path, quoted, span) in &pre.includes {
        if (span.start as usize) < own && !files.has(path) && (*quoted || !of_the_system(path)) {
            found.push(
                Diagnostic::error(*span, format!("'{path}' file not found"))
                    .hint("it is looked for beside the script and where -I says"),
            );
        }
    }
    // Of headers only declarations are read, what else is there is passed over.
    let mut headers = Vec::new();
    for (n, file) in list().enumerate() {
        if n > 0 && file.is_header() {
            let end = starts.get(n + 1).copied().unwrap_or(text.len());
            headers.push(starts[n]..end);
        }
    }
    let mut parser = Parser {
        text: &pre.text,
        pos: 0,
        last_end: 0,
        depth: 0,
        links: 0,
        in_expr: 0,
        defines: &pre.defines,
        expanding: Vec::new(),
        headers: &headers,
        found: &mut found,
    };
    let mut items = parser.items();
    for define in &pre.functions {
        match parser.function_define(define) {
            Ok(m) => items.push(Item::Macro(m)),
            // One that cannot be read hurts only those who use it.
            Err(_)
                if headers
                    .iter()
                    .any(|h| h.contains(&(define.span.start as usize))) => {}
            Err(d) => parser.found.push(d),
        }
    }
    if found.has_errors() {
        // What is missing at the end is told once, and not where something before it is why.
        let end = text.trim_end().len();
        let mut any = false;
        found
            .list
            .retain(|d| !(std::mem::replace(&mut any, true) && d.span.start as usize >= end));
        return Err(found);
    }
    let imported = items
        .iter()
        .filter_map(|i| match i {
            Item::Import { path, .. } if files.has(path) => Some(path.clone()),
            _ => None,
        })
        .collect();
    Ok(Ast {
        source,
        items,
        imported,
        objects: files.objects().to_vec(),
    })
}

struct Parser<'a> {
    text: &'a str,
    pos: usize,
    /// End of the last token taken.
    last_end: u32,
    depth: u32,
    links: u32,
    in_expr: u32,
    defines: &'a HashMap<String, String>,
    /// `#define`s being expanded.
    expanding: Vec<String>,
    /// Where C headers are in the text.
    headers: &'a [std::ops::Range<usize>],
    found: &'a mut Diagnostics,
}

impl Parser<'_> {
    fn peek(&self) -> Parsed<Token> {
        lexer::token(self.text, self.pos)
    }

    /// The token after the next one.
    fn peek2(&self) -> Parsed<Token> {
        let first = self.peek()?;
        lexer::token(self.text, first.span.end as usize)
    }

    fn next(&mut self) -> Parsed<Token> {
        let t = self.peek()?;
        self.pos = t.span.end as usize;
        self.last_end = t.span.end;
        Ok(t)
    }

    fn is(&self, punct: &str) -> Parsed<bool> {
        Ok(matches!(self.peek()?.tok, Tok::Punct(p) if p == punct))
    }

    fn is_word(&self, word: &str) -> Parsed<bool> {
        Ok(matches!(self.peek()?.tok, Tok::Ident(w) if w == word))
    }

    fn eat(&mut self, punct: &str) -> Parsed<bool> {
        let yes = self.is(punct)?;
        if yes {
            self.next()?;
        }
        Ok(yes)
    }

    fn expect(&mut self, punct: &str, what: &str) -> Parsed<Span> {
        let t = self.peek()?;
        if matches!(t.tok, Tok::Punct(p) if p == punct) {
            self.next()?;
            return Ok(t.span);
        }
        Err(self.unexpected(&t, &format!("`{punct}` {what}")))
    }

    fn ident(&mut self, what: &str) -> Parsed<(String, Span)> {
        let t = self.peek()?;
        match t.tok {
            Tok::Ident(name) => {
                self.next()?;
                Ok((name, t.span))
            }
            _ => Err(self.unexpected(&t, what)),
        }
    }

    fn unexpected(&self, t: &Token, wanted: &str) -> Diagnostic {
        if t.tok == Tok::End {
            let d = Diagnostic::error(
                t.span,
                format!("the script ends where {wanted} is expected"),
            );
            return match wanted.contains("`{`") {
                true => d.hint(
                    "a probe is `PROBE { … }`, with `/CONDITION/` before the block or without",
                ),
                false => {
                    d.hint("a block that `{` began has no `}`, or a parenthesis is not closed")
                }
            };
        }
        let text = self
            .text
            .get(t.span.start as usize..t.span.end as usize)
            .unwrap_or("");
        let d = Diagnostic::error(t.span, format!("unexpected `{text}`, expected {wanted}"));
        match text {
            "'" => d.hint("texts stand in double quotes: \"…\""),
            ";" | "}" if wanted.contains("`)`") => d.hint("a parenthesis is not closed"),
            _ if wanted == "`;` or `}`" => d.hint("statements are separated by `;`"),
            _ => d,
        }
    }

    fn here(&self) -> u32 {
        self.peek().map_or(self.pos as u32, |t| t.span.start)
    }

    fn since(&self, start: u32) -> Span {
        Span::new(start, self.last_end.max(start))
    }

    /// Runs `f` one level deeper.
    fn nested<T>(&mut self, f: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            let at = self.here();
            return Err(Diagnostic::error(
                Span::new(at, at + 1),
                format!("nested more than {MAX_DEPTH} levels deep"),
            )
            .hint("give a part of it a name with `$x = …`"));
        }
        self.depth += 1;
        let r = f(self);
        self.depth -= 1;
        r
    }

    /// Counts an operator of the current statement.
    fn link(&mut self) -> Parsed<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            let at = self.here();
            return Err(Diagnostic::error(
                Span::new(at, at + 1),
                format!("more than {MAX_LINKS} operators in one statement"),
            )
            .hint("give a part of it a name with `$x = …`"));
        }
        Ok(())
    }

    /// After what is no declaration in a header: past the `;` or the `}` that ends it.
    fn pass_over(&mut self) {
        let mut open = 0usize;
        while let Ok(t) = self.peek() {
            self.pos = (t.span.end as usize).max(self.pos + usize::from(t.tok != Tok::End));
            match t.tok {
                Tok::End => return,
                Tok::Punct("{") => open += 1,
                Tok::Punct("}") => {
                    open = open.saturating_sub(1);
                    if open == 0 {
                        return;
                    }
                }
                Tok::Punct(";") if open == 0 => return,
                _ => {}
            }
        }
        // A character that is no token.
        let next = (self.pos + 1..=self.text.len()).find(|e| self.text.is_char_boundary(*e));
        self.pos = next.unwrap_or(self.text.len());
    }

    /// After an error: past the `;`, or to the `}` that ends the block (to the end of the probe when `whole`).
    fn recover(&mut self, whole: bool) {
        let mut open = 0usize;
        loop {
            match self.peek() {
                Err(d) => {
                    let end = (d.span.end as usize).max(self.pos + 1);
                    let end = (end..=self.text.len()).find(|e| self.text.is_char_boundary(*e));
                    self.pos = end.unwrap_or(self.text.len());
                }
                Ok(t) => {
                    match t.tok {
                        Tok::End => return,
                        Tok::Punct("{") => open += 1,
                        Tok::Punct("}") if open == 0 && !whole => return,
                        Tok::Punct("}") => {
                            open = open.saturating_sub(1);
                            if whole && open == 0 {
                                self.pos = t.span.end as usize;
                                return;
                            }
                        }
                        Tok::Punct(";") if open == 0 && !whole => {
                            self.pos = t.span.end as usize;
                            return;
                        }
                        _ => {}
                    }
                    self.pos = t.span.end as usize;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
