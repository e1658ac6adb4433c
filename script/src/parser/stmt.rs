//! Blocks and statements.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::diagnostics::Diagnostic;
use crate::lexer::Tok;

const ASSIGN_OPS: [(&str, BinOp); 10] = [
    ("+=", BinOp::Add),
    ("-=", BinOp::Sub),
    ("*=", BinOp::Mul),
    ("/=", BinOp::Div),
    ("%=", BinOp::Mod),
    ("&=", BinOp::And),
    ("|=", BinOp::Or),
    ("^=", BinOp::Xor),
    ("<<=", BinOp::Shl),
    (">>=", BinOp::Shr),
];

/// A statement, or the value that a block ends with.
enum StmtOrValue {
    Stmt(Stmt),
    Value(Expr),
}

impl Parser<'_> {
    pub(super) fn block(&mut self, what: &str) -> Parsed<Block> {
        self.nested(|p| {
            let start = p.here();
            p.expect("{", &format!("of {what}"))?;
            let mut stmts = Vec::new();
            let mut value = None;
            loop {
                if p.eat(";")? {
                    continue;
                }
                if p.eat("}")? {
                    break;
                }
                if p.peek()?.tok == Tok::End {
                    let t = p.peek()?;
                    return Err(p.unexpected(&t, "`}`"));
                }
                let depth = p.depth;
                let in_expr = p.in_expr;
                match p.stmt() {
                    Ok(StmtOrValue::Stmt(s)) => stmts.push(s),
                    Ok(StmtOrValue::Value(e)) => {
                        value = Some(Box::new(e));
                        p.expect("}", "after the block's value")?;
                        break;
                    }
                    Err(d) => {
                        p.found.push(d);
                        p.depth = depth;
                        p.in_expr = in_expr;
                        p.recover(false);
                    }
                }
            }
            Ok(Block {
                stmts,
                value,
                span: p.since(start),
            })
        })
    }

    fn stmt(&mut self) -> Parsed<StmtOrValue> {
        if self.in_expr == 0 {
            self.links = 0;
        }
        let start = self.here();
        let t = self.peek()?;
        let word = match &t.tok {
            Tok::Ident(w) => w.as_str(),
            Tok::Punct("{") => "{",
            _ => "",
        };
        let kind = match word {
            "{" => {
                let block = self.block("the block")?;
                // A block with a value is an expression.
                if block.value.is_some() {
                    return self.expr_stmt(start, Some(block));
                }
                StmtKind::Block(block)
            }
            "let" => return self.let_stmt(start),
            "if" => {
                let parsed = self.if_chain()?;
                if parsed.arms.iter().all(|a| a.1.value.is_some()) && self.is("}")? {
                    let span = self.since(start);
                    return Ok(StmtOrValue::Value(Expr {
                        kind: ExprKind::If(Box::new(parsed)),
                        span,
                    }));
                }
                StmtKind::If(parsed)
            }
            "while" => {
                self.next()?;
                let cond = self.expr()?;
                let body = self.block("the loop")?;
                StmtKind::While { cond, body }
            }
            "unroll" => {
                self.next()?;
                let times = self.expr()?;
                let body = self.block("the loop")?;
                StmtKind::Unroll { times, body }
            }
            "for" => self.for_stmt()?,
            "break" => {
                self.next()?;
                return self.end_stmt(start, StmtKind::Break);
            }
            "continue" => {
                self.next()?;
                return self.end_stmt(start, StmtKind::Continue);
            }
            "return" => {
                self.next()?;
                let value = if self.is(";")? || self.is("}")? {
                    None
                } else {
                    Some(self.expr()?)
                };
                return self.end_stmt(start, StmtKind::Return(value));
            }
            "_" if matches!(self.peek2()?.tok, Tok::Punct("=")) => {
                self.next()?;
                self.next()?;
                let e = self.expr()?;
                return self.end_stmt(start, StmtKind::Discard(e));
            }
            _ => return self.expr_stmt(start, None),
        };
        self.eat(";")?;
        Ok(StmtOrValue::Stmt(Stmt {
            kind,
            span: self.since(start),
        }))
    }

    /// `;` after a simple statement; the last one of a block goes without.
    fn end_stmt(&mut self, start: u32, kind: StmtKind) -> Parsed<StmtOrValue> {
        let span = self.since(start);
        if !self.eat(";")? && !self.is("}")? {
            let t = self.peek()?;
            return Err(self.unexpected(&t, "`;` or `}`"));
        }
        Ok(StmtOrValue::Stmt(Stmt { kind, span }))
    }

    fn let_stmt(&mut self, start: u32) -> Parsed<StmtOrValue> {
        self.next()?;
        let t = self.next()?;
        let Tok::Var(name) = t.tok else {
            return Err(self.unexpected(&t, "the variable that is declared, like `$x`"));
        };
        let ty = if self.eat(":")? {
            Some(self.type_name()?)
        } else {
            None
        };
        let value = if self.eat("=")? {
            Some(self.expr()?)
        } else {
            None
        };
        self.end_stmt(start, StmtKind::Let { name, ty, value })
    }

    pub(super) fn if_chain(&mut self) -> Parsed<If> {
        let mut arms = Vec::new();
        let mut otherwise = None;
        loop {
            self.next()?;
            let cond = self.expr()?;
            let body = self.block("the `if`")?;
            arms.push((cond, body));
            if !self.is_word("else")? {
                break;
            }
            self.next()?;
            if self.is_word("if")? {
                continue;
            }
            otherwise = Some(self.block("the `else`")?);
            break;
        }
        Ok(If { arms, otherwise })
    }

    fn for_stmt(&mut self) -> Parsed<StmtKind> {
        self.next()?;
        let paren = self.eat("(")?;
        let t = self.next()?;
        let Tok::Var(var) = t.tok else {
            return Err(self.unexpected(&t, "the loop's variable, like `$i`"));
        };
        if self.is("=")? {
            let t = self.peek()?;
            return Err(self
                .unexpected(&t, "`:` after the loop's variable")
                .hint(format!(
                    "a loop counts over a range: `for ${var} : 0..10 {{ … }}`"
                )));
        }
        self.expect(":", "after the loop's variable")?;
        let first = self.expr()?;
        let over = if self.eat("..")? {
            ForOver::Range(first, self.expr()?)
        } else {
            ForOver::Map(first)
        };
        if paren {
            self.expect(")", "that closes the loop's head")?;
        }
        let body = self.block("the loop")?;
        Ok(StmtKind::For { var, over, body })
    }

    fn expr_stmt(&mut self, start: u32, block: Option<Block>) -> Parsed<StmtOrValue> {
        let target = match block {
            Some(b) => {
                let span = b.span;
                let primary = Expr {
                    kind: ExprKind::Block(Box::new(b)),
                    span,
                };
                self.expr_after(primary)?
            }
            None => self.expr()?,
        };
        let t = self.peek()?;
        if let Tok::Punct(p) = t.tok {
            let op = ASSIGN_OPS
                .iter()
                .find(|(text, _)| *text == p)
                .map(|(_, op)| *op);
            if p == "=" || op.is_some() {
                if !is_place(&target) {
                    return Err(Diagnostic::error(target.span, "this cannot be assigned to")
                        .hint("assign to a variable `$x` or to a map `@x`, `@x[key]`"));
                }
                self.next()?;
                let value = self.expr()?;
                return self.end_stmt(start, StmtKind::Assign { target, op, value });
            }
            if p == "}" && has_value(&target) {
                return Ok(StmtOrValue::Value(target));
            }
        }
        self.end_stmt(start, StmtKind::Expr(target))
    }
}

fn is_place(e: &Expr) -> bool {
    matches!(e.kind, ExprKind::Var(_) | ExprKind::Map { .. })
}

/// Calls at the end of a block are statements: most give no value, and where one does it may be dropped.
fn has_value(_: &Expr) -> bool {
    true
}
