//! What stands outside of probes, and the heads of probes.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::diagnostics::Diagnostic;
use crate::lexer::{Tok, skip_blank};
use crate::source::Span;

impl Parser<'_> {
    pub(super) fn items(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        loop {
            match skip_blank(self.text, self.pos) {
                Ok(pos) => self.pos = pos,
                Err(d) => {
                    self.found.push(d);
                    return items;
                }
            }
            if self.pos >= self.text.len() {
                return items;
            }
            let start = self.pos;
            let before = self.found.list.len();
            let header = self.headers.iter().any(|h| h.contains(&start));
            let parsed = self.item();
            if header {
                // Only declarations of types count; all else is passed over from its beginning.
                let failed = self.found.list.len() > before;
                self.found.list.truncate(before);
                self.depth = 0;
                self.in_expr = 0;
                match parsed {
                    Ok(Some(item @ Item::Type(_))) if !failed => items.push(item),
                    Ok(None) => {}
                    _ => {
                        self.pos = start;
                        self.pass_over();
                    }
                }
                continue;
            }
            match parsed {
                Ok(Some(item)) => items.push(item),
                Ok(None) => {}
                Err(d) => {
                    self.found.push(d);
                    self.depth = 0;
                    self.in_expr = 0;
                    self.recover(true);
                }
            }
        }
    }

    fn item(&mut self) -> Parsed<Option<Item>> {
        let start = self.here();
        let word = match self.peek() {
            Ok(t) => match t.tok {
                Tok::Ident(w) => w,
                Tok::Punct(";") => {
                    self.next()?;
                    return Ok(None);
                }
                _ => String::new(),
            },
            // Attach points may hold characters that are no token.
            Err(_) => String::new(),
        };
        Ok(Some(match word.as_str() {
            "config" => self.config()?,
            "struct" | "union" | "enum" => {
                let decl = self.type_decl()?;
                self.eat(";")?;
                Item::Type(decl)
            }
            "typedef" => Item::Type(self.typedef()?),
            "macro" => self.macro_item()?,
            "import" => {
                self.next()?;
                let t = self.next()?;
                let Tok::Str(path) = t.tok else {
                    return Err(self.unexpected(&t, "the path to import, in quotes"));
                };
                self.eat(";")?;
                Item::Import {
                    path: String::from_utf8_lossy(&path).into_owned(),
                    span: self.since(start),
                }
            }
            "let" => self.map_decl()?,
            _ => self.probe()?,
        }))
    }

    /// `config = { key = value; … }`; the `=` may be left out.
    fn config(&mut self) -> Parsed<Item> {
        self.next()?;
        self.eat("=")?;
        self.expect("{", "of the config block")?;
        let mut entries = Vec::new();
        while !self.eat("}")? {
            let start = self.here();
            let (key, _) = self.ident("the name of a config variable, or `}`")?;
            self.expect("=", "after the name of the config variable")?;
            let t = self.next()?;
            let value = match t.tok {
                Tok::Ident(v) => v,
                Tok::Int(i) => i.value.to_string(),
                Tok::Str(s) => String::from_utf8_lossy(&s).into_owned(),
                _ => return Err(self.unexpected(&t, "the value of the config variable")),
            };
            entries.push(ConfigEntry {
                key,
                value,
                span: self.since(start),
            });
            if !self.eat(";")? && !self.eat(",")? && !self.is("}")? {
                let t = self.peek()?;
                return Err(self.unexpected(&t, "`;` or `}`"));
            }
        }
        Ok(Item::Config(entries))
    }

    /// `let @name = kind(entries);`
    fn map_decl(&mut self) -> Parsed<Item> {
        let start = self.here();
        self.next()?;
        let t = self.next()?;
        let Tok::Map(name) = t.tok else {
            return Err(self
                .unexpected(&t, "the map that is declared")
                .hint("outside of probes only maps are declared: `let @m = hash(100);`"));
        };
        self.expect("=", "of the map declaration")?;
        let (kind, _) = self.ident("the kind of the map")?;
        self.expect("(", "before the number of entries")?;
        let t = self.next()?;
        let Tok::Int(n) = t.tok else {
            return Err(self.unexpected(&t, "the number of entries"));
        };
        let entries = i64::try_from(n.value)
            .map_err(|_| Diagnostic::error(t.span, "the number of entries does not fit 63 bits"))?;
        self.expect(")", "after the number of entries")?;
        self.eat(";")?;
        Ok(Item::Map(MapDecl {
            name,
            kind,
            entries,
            span: self.since(start),
        }))
    }

    fn macro_item(&mut self) -> Parsed<Item> {
        let start = self.here();
        self.next()?;
        let (name, _) = self.ident("the name of the macro")?;
        self.expect("(", "before the parameters of the macro")?;
        let mut params = Vec::new();
        while !self.eat(")")? {
            let t = self.next()?;
            params.push(match t.tok {
                Tok::Var(n) => MacroParam::Var(n),
                Tok::Map(n) => MacroParam::Map(n),
                Tok::Ident(n) => MacroParam::Expr(n),
                _ => return Err(self.unexpected(&t, "a parameter: `$var`, `@map` or `name`")),
            });
            if !self.eat(",")? && !self.is(")")? {
                let t = self.peek()?;
                return Err(self.unexpected(&t, "`,` or `)`"));
            }
        }
        let span = self.since(start);
        let body = self.block("the body of the macro")?;
        Ok(Item::Macro(Macro {
            name,
            params,
            body,
            span,
        }))
    }

    fn probe(&mut self) -> Parsed<Item> {
        let start = self.pos as u32;
        self.probe_name()?;
        let mut attach = Vec::new();
        loop {
            self.pos = skip_blank(self.text, self.pos)?;
            // A trailing comma is fine.
            if !attach.is_empty() && self.text[self.pos..].starts_with('{') {
                break;
            }
            attach.push(self.attach_point()?);
            self.pos = skip_blank(self.text, self.pos)?;
            if !self.text[self.pos..].starts_with(',') {
                break;
            }
            self.pos += 1;
        }
        let span = self.since(start);
        let predicate = if self.text[self.pos..].starts_with('/') {
            self.pos += 1;
            self.links = 0;
            let e = self.expr()?;
            if self.is("=")? {
                let t = self.peek()?;
                return Err(self
                    .unexpected(&t, "`/` that ends the predicate")
                    .hint("compare with `==`"));
            }
            self.expect("/", "that ends the predicate")?;
            Some(e)
        } else {
            None
        };
        if attach.len() == 1
            && let Ok(t) = self.peek()
            && matches!(t.tok, Tok::Ident(_))
        {
            let kind = attach[0].text.trim_end_matches(':');
            let rest = self.text[t.span.start as usize..].split([' ', '{', '/']);
            let hint = format!(
                "write a probe as one word: `{kind}:{}`",
                rest.into_iter().next().unwrap_or("…")
            );
            return Err(self.unexpected(&t, "`{` of the probe's actions").hint(hint));
        }
        let body = self.block("the probe's actions")?;
        Ok(Item::Probe(Probe {
            attach,
            predicate,
            body,
            span,
        }))
    }

    /// `name=` in front of a probe: it has no meaning yet.
    fn probe_name(&mut self) -> Parsed<()> {
        let rest = &self.text[self.pos..];
        let name = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(0);
        if name > 0
            && let Some(after) = rest[name..].trim_start().strip_prefix('=')
            && !after.starts_with('=')
        {
            self.pos = self.text.len() - after.len();
            self.pos = skip_blank(self.text, self.pos)?;
        }
        Ok(())
    }

    /// Attach points are not made of the language's tokens: everything up to a blank, `,`, `{`
    /// or, where no path can stand, the `/` of a predicate.
    fn attach_point(&mut self) -> Parsed<AttachPoint> {
        let start = self.pos;
        let rest = &self.text[start..];
        let kind = rest.split([':', ' ', '{']).next().unwrap_or("");
        let paths = matches!(
            kind,
            "uprobe" | "u" | "uretprobe" | "ur" | "usdt" | "U" | "iter" | "it"
        ) || kind.starts_with('$');
        let mut quoted = false;
        let mut end = rest.len();
        for (i, c) in rest.char_indices() {
            match c {
                '"' => quoted = !quoted,
                _ if quoted => {}
                ',' | '{' | '}' | ';' | '(' => end = i,
                '/' if !paths => end = i,
                c if c.is_whitespace() => end = i,
                _ => {}
            }
            if end == i && i < rest.len() {
                break;
            }
        }
        self.pos = start + end;
        self.last_end = self.pos as u32;
        let span = Span::new(start as u32, self.pos as u32);
        if end == 0 {
            let t = self.peek()?;
            return Err(self
                .unexpected(&t, "a probe")
                .hint("a script is a list of `probe /condition/ { actions }`"));
        }
        Ok(AttachPoint {
            text: rest[..end].to_owned(),
            span,
        })
    }
}
