//! Expressions, by precedence climbing.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::diagnostics::Diagnostic;
use crate::lexer::{Tok, skip_blank};
use crate::preprocess::FunctionDefine;
use crate::source::Span;

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Parsed<Expr> {
        self.in_expr += 1;
        let r = self.nested(|p| {
            let first = p.unary()?;
            p.ternary_after(first)
        });
        self.in_expr -= 1;
        r
    }

    /// The rest of an expression whose first operand was parsed already.
    pub(super) fn expr_after(&mut self, first: Expr) -> Parsed<Expr> {
        self.in_expr += 1;
        let r = self.nested(|p| {
            let first = p.postfix_after(first)?;
            p.ternary_after(first)
        });
        self.in_expr -= 1;
        r
    }

    fn ternary_after(&mut self, first: Expr) -> Parsed<Expr> {
        let cond = self.binary_after(first, 1)?;
        if self.eat("?:")? {
            let no = self.expr()?;
            let span = cond.span.to(no.span);
            return Ok(Expr {
                kind: ExprKind::Cond {
                    cond: Box::new(cond),
                    yes: None,
                    no: Box::new(no),
                },
                span,
            });
        }
        if !self.eat("?")? {
            return Ok(cond);
        }
        let yes = if self.is(":")? {
            None
        } else {
            Some(Box::new(self.expr()?))
        };
        self.expect(":", "of `condition ? a : b`")?;
        let no = self.expr()?;
        let span = cond.span.to(no.span);
        Ok(Expr {
            kind: ExprKind::Cond {
                cond: Box::new(cond),
                yes,
                no: Box::new(no),
            },
            span,
        })
    }

    fn binary_after(&mut self, first: Expr, min: u8) -> Parsed<Expr> {
        let mut left = first;
        while let Some(op) = self.binary_op()? {
            if op.precedence() < min {
                break;
            }
            self.link()?;
            self.next()?;
            let right = self.nested(|p| {
                let operand = p.unary()?;
                p.binary_after(operand, op.precedence() + 1)
            })?;
            let span = left.span.to(right.span);
            left = Expr {
                kind: ExprKind::Binary {
                    op,
                    left: Box::new(left),
                    right: Box::new(right),
                },
                span,
            };
        }
        Ok(left)
    }

    fn binary_op(&self) -> Parsed<Option<BinOp>> {
        let t = self.peek()?;
        let Tok::Punct(p) = t.tok else {
            return Ok(None);
        };
        Ok(Some(match p {
            "+" => BinOp::Add,
            "-" => BinOp::Sub,
            "*" => BinOp::Mul,
            "/" => {
                // The `/` before a `{` ends a predicate.
                let after = skip_blank(self.text, t.span.end as usize)?;
                if self.text[after..].starts_with('{') {
                    return Ok(None);
                }
                BinOp::Div
            }
            "%" => BinOp::Mod,
            "&" => BinOp::And,
            "|" => BinOp::Or,
            "^" => BinOp::Xor,
            "<<" => BinOp::Shl,
            ">>" => BinOp::Shr,
            "==" => BinOp::Eq,
            "!=" => BinOp::Ne,
            "<" => BinOp::Lt,
            "<=" => BinOp::Le,
            ">" => BinOp::Gt,
            ">=" => BinOp::Ge,
            "&&" => BinOp::LogAnd,
            "||" => BinOp::LogOr,
            _ => return Ok(None),
        }))
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let t = self.peek()?;
        let start = t.span.start;
        if let Tok::Punct(p) = t.tok {
            let op = match p {
                "!" => Some(UnOp::Not),
                "~" => Some(UnOp::BitNot),
                "-" => Some(UnOp::Neg),
                "*" => Some(UnOp::Deref),
                "&" => Some(UnOp::AddrOf),
                _ => None,
            };
            if let Some(op) = op {
                self.next()?;
                self.link()?;
                let expr = Box::new(self.nested(|p| p.unary())?);
                let span = self.since(start);
                return Ok(Expr {
                    kind: ExprKind::Unary { op, expr },
                    span,
                });
            }
            if p == "++" || p == "--" {
                self.next()?;
                self.link()?;
                let expr = Box::new(self.nested(|p| p.unary())?);
                return Ok(Expr {
                    kind: ExprKind::Step {
                        expr,
                        up: p == "++",
                        prefix: true,
                    },
                    span: self.since(start),
                });
            }
            if p == "("
                && let Some(cast) = self.cast(start)?
            {
                return Ok(cast);
            }
        }
        let first = self.primary()?;
        self.postfix_after(first)
    }

    /// `(type) operand`, when what stands in the parentheses is a type.
    fn cast(&mut self, start: u32) -> Parsed<Option<Expr>> {
        let before = (self.pos, self.last_end);
        self.next()?;
        if !self.at_type()? {
            (self.pos, self.last_end) = before;
            return Ok(None);
        }
        let ty = match self.type_name() {
            Ok(ty) if self.is(")")? => ty,
            _ => {
                (self.pos, self.last_end) = before;
                return Ok(None);
            }
        };
        self.next()?;
        self.link()?;
        let expr = Box::new(self.nested(|p| p.unary())?);
        Ok(Some(Expr {
            kind: ExprKind::Cast { ty, expr },
            span: self.since(start),
        }))
    }

    fn postfix_after(&mut self, first: Expr) -> Parsed<Expr> {
        let mut e = first;
        loop {
            let t = self.peek()?;
            let Tok::Punct(p) = t.tok else { return Ok(e) };
            let start = e.span.start;
            match p {
                "." | "->" => {
                    self.link()?;
                    self.next()?;
                    let f = self.next()?;
                    let kind = match f.tok {
                        Tok::Ident(name) => ExprKind::Field {
                            expr: Box::new(e),
                            name,
                            arrow: p == "->",
                        },
                        Tok::Int(i) if p == "." => ExprKind::TupleIndex {
                            expr: Box::new(e),
                            index: i.value,
                        },
                        _ => return Err(self.unexpected(&f, "the name of a field")),
                    };
                    e = Expr {
                        kind,
                        span: self.since(start),
                    };
                }
                "[" => {
                    self.link()?;
                    self.next()?;
                    let index = self.expr()?;
                    self.expect("]", "after the index")?;
                    e = Expr {
                        kind: ExprKind::Index {
                            expr: Box::new(e),
                            index: Box::new(index),
                        },
                        span: self.since(start),
                    };
                }
                "++" | "--" if matches!(e.kind, ExprKind::Var(_) | ExprKind::Map { .. }) => {
                    self.link()?;
                    self.next()?;
                    e = Expr {
                        kind: ExprKind::Step {
                            expr: Box::new(e),
                            up: p == "++",
                            prefix: false,
                        },
                        span: self.since(start),
                    };
                }
                _ => return Ok(e),
            }
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let t = self.peek()?;
        let start = t.span.start;
        let kind = match t.tok {
            Tok::Int(i) => {
                self.next()?;
                ExprKind::Int(i)
            }
            Tok::Str(s) => {
                self.next()?;
                ExprKind::Str(s)
            }
            Tok::Var(name) => {
                self.next()?;
                ExprKind::Var(name)
            }
            Tok::Param(n) => {
                self.next()?;
                ExprKind::Param(n)
            }
            Tok::ParamCount => {
                self.next()?;
                ExprKind::ParamCount
            }
            Tok::Map(name) => {
                self.next()?;
                let mut keys = Vec::new();
                if self.eat("[")? {
                    keys = self.list("]", "the keys of the map")?;
                    if keys.is_empty() {
                        return Err(Diagnostic::error(
                            self.since(start),
                            "a map's brackets need at least one key",
                        ));
                    }
                }
                ExprKind::Map { name, keys }
            }
            Tok::Punct("(") => return self.parenthesised(start),
            Tok::Punct("{") => {
                let block = self.block("the block")?;
                ExprKind::Block(Box::new(block))
            }
            Tok::Ident(name) => return self.named(name, t.span),
            _ => return Err(self.unexpected(&t, "an expression")),
        };
        Ok(Expr {
            kind,
            span: self.since(start),
        })
    }

    fn list(&mut self, close: &'static str, what: &str) -> Parsed<Vec<Expr>> {
        let mut out = Vec::new();
        while !self.eat(close)? {
            out.push(self.expr()?);
            if !self.eat(",")? && !self.is(close)? {
                let t = self.peek()?;
                return Err(self.unexpected(&t, &format!("`,` or `{close}` in {what}")));
            }
        }
        Ok(out)
    }

    /// Grouping, a tuple or a record.
    fn parenthesised(&mut self, start: u32) -> Parsed<Expr> {
        self.next()?;
        if matches!(self.peek()?.tok, Tok::Ident(_)) && matches!(self.peek2()?.tok, Tok::Punct("="))
        {
            let mut fields = Vec::new();
            while !self.eat(")")? {
                let (name, _) = self.ident("the name of a field")?;
                self.expect("=", "after the name of the field")?;
                fields.push((name, self.expr()?));
                if !self.eat(",")? && !self.is(")")? {
                    let t = self.peek()?;
                    return Err(self.unexpected(&t, "`,` or `)` in the record"));
                }
            }
            return Ok(Expr {
                kind: ExprKind::Record(fields),
                span: self.since(start),
            });
        }
        if self.eat(")")? {
            return Ok(Expr {
                kind: ExprKind::Tuple(Vec::new()),
                span: self.since(start),
            });
        }
        let first = self.expr()?;
        if self.eat(")")? {
            return Ok(Expr {
                span: self.since(start),
                ..first
            });
        }
        self.expect(",", "or `)` after the expression")?;
        let mut items = vec![first];
        items.extend(self.list(")", "the tuple")?);
        Ok(Expr {
            kind: ExprKind::Tuple(items),
            span: self.since(start),
        })
    }

    fn named(&mut self, name: String, span: Span) -> Parsed<Expr> {
        let start = span.start;
        if name == "if" {
            let parsed = self.if_chain()?;
            return Ok(Expr {
                kind: ExprKind::If(Box::new(parsed)),
                span: self.since(start),
            });
        }
        let tagged = matches!(name.as_str(), "struct" | "union" | "enum");
        if name == "typeof" || tagged && matches!(self.peek2()?.tok, Tok::Ident(_)) {
            let ty = self.type_name()?;
            return Ok(Expr {
                kind: ExprKind::Type(ty),
                span: self.since(start),
            });
        }
        self.next()?;
        if name == "comptime" {
            self.link()?;
            let of = self.nested(|p| p.unary())?;
            return Ok(Expr {
                kind: ExprKind::Call {
                    name,
                    args: vec![of],
                },
                span: self.since(start),
            });
        }
        // `m!(…)` is a macro call, written plainly.
        if self.is("!")? && matches!(self.peek2()?.tok, Tok::Punct("(")) {
            self.next()?;
        }
        if self.is("(")? {
            match name.as_str() {
                "sizeof" => return self.sizeof(start),
                "offsetof" => return self.offsetof(start),
                _ => {}
            }
            self.next()?;
            let args = self.list(")", "the arguments")?;
            return Ok(Expr {
                kind: ExprKind::Call { name, args },
                span: self.since(start),
            });
        }
        match name.as_str() {
            "true" | "false" => Ok(Expr {
                kind: ExprKind::Bool(name == "true"),
                span,
            }),
            _ => match self.defines.get(&name) {
                Some(text) if !text.is_empty() && !self.expanding.contains(&name) => {
                    self.expand_define(name, text.clone(), span)
                }
                _ => Ok(Expr {
                    kind: ExprKind::Ident(name),
                    span,
                }),
            },
        }
    }

    /// The expression that a `#define`d name stands for; its places are those of the name.
    fn expand_define(&mut self, name: String, text: String, span: Span) -> Parsed<Expr> {
        let wrong = |why: String| {
            Diagnostic::error(span, format!("`{name}` is defined as `{text}`: {why}"))
        };
        let mut found = crate::diagnostics::Diagnostics::new(self.found.source.clone());
        let mut expanding = self.expanding.clone();
        expanding.push(name.clone());
        let mut inner = Parser {
            text: &text,
            pos: 0,
            last_end: 0,
            depth: self.depth,
            links: self.links,
            in_expr: self.in_expr,
            defines: self.defines,
            expanding,
            headers: &[],
            found: &mut found,
        };
        let mut e = inner.expr().map_err(|d| wrong(d.message))?;
        if inner.peek().map_err(|d| wrong(d.message))?.tok != Tok::End {
            return Err(wrong("this is not one expression".into()));
        }
        self.links = inner.links;
        if let Some(d) = found.list.into_iter().next() {
            return Err(wrong(d.message));
        }
        e.span = span;
        relocate(&mut e, span);
        Ok(e)
    }

    /// `#define name(a, b) expression` as a macro.
    pub(super) fn function_define(&mut self, define: &FunctionDefine) -> Parsed<Macro> {
        let value = self.expand_define(define.name.clone(), define.body.clone(), define.span)?;
        Ok(Macro {
            name: define.name.clone(),
            params: define
                .params
                .iter()
                .cloned()
                .map(MacroParam::Expr)
                .collect(),
            body: Block {
                stmts: Vec::new(),
                value: Some(Box::new(value)),
                span: define.span,
            },
            span: define.span,
        })
    }

    fn sizeof(&mut self, start: u32) -> Parsed<Expr> {
        self.next()?;
        let kind = if self.at_type()? {
            ExprKind::SizeofType(self.type_name()?)
        } else {
            // The operand may be a type name that only the checker knows (`sizeof(b*)` in a macro).
            let before = (self.pos, self.last_end);
            match self.expr() {
                Ok(e) if self.is(")")? => ExprKind::Call {
                    name: "sizeof".into(),
                    args: vec![e],
                },
                _ => {
                    (self.pos, self.last_end) = before;
                    ExprKind::SizeofType(self.type_name()?)
                }
            }
        };
        self.expect(")", "after `sizeof(…`")?;
        Ok(Expr {
            kind,
            span: self.since(start),
        })
    }

    fn offsetof(&mut self, start: u32) -> Parsed<Expr> {
        self.next()?;
        let ty = self.type_name()?;
        self.expect(",", "between the type and the field")?;
        let mut field = vec![self.ident("the name of a field")?.0];
        while self.eat(".")? {
            field.push(self.ident("the name of a field")?.0);
        }
        self.expect(")", "after `offsetof(…`")?;
        Ok(Expr {
            kind: ExprKind::Offsetof { ty, field },
            span: self.since(start),
        })
    }
}

/// Gives `e` and its operands one place.
fn relocate(e: &mut Expr, span: Span) {
    e.span = span;
    match &mut e.kind {
        ExprKind::Unary { expr, .. }
        | ExprKind::Step { expr, .. }
        | ExprKind::Field { expr, .. }
        | ExprKind::TupleIndex { expr, .. }
        | ExprKind::Cast { expr, .. } => relocate(expr, span),
        ExprKind::Binary { left, right, .. } => {
            relocate(left, span);
            relocate(right, span);
        }
        ExprKind::Index { expr, index } => {
            relocate(expr, span);
            relocate(index, span);
        }
        ExprKind::Cond { cond, yes, no } => {
            relocate(cond, span);
            if let Some(y) = yes {
                relocate(y, span);
            }
            relocate(no, span);
        }
        ExprKind::Map { keys: list, .. }
        | ExprKind::Call { args: list, .. }
        | ExprKind::Tuple(list) => {
            for x in list {
                relocate(x, span);
            }
        }
        ExprKind::Record(fields) => {
            for (_, x) in fields {
                relocate(x, span);
            }
        }
        _ => {}
    }
}
