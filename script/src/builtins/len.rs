//! `len`: how many entries a map has, or frames a stack.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::hir::{Arith, Expr, ExprKind, Stmt, StmtKind};
use crate::types::Ty;

/// How a stack's number is asked for, which says nothing of its addresses.
const USER_STACK: u64 = 1 << 8;
const MOST_FRAMES: u32 = 127;

/// The frames of the stack that is there now.
fn frames(user: bool, flags: u64, span: crate::source::Span) -> Expr {
    let stack = Expr::new(
        ExprKind::Frames {
            user,
            flags: flags & USER_STACK,
        },
        Ty::Buf(MOST_FRAMES * 8),
        span,
    );
    let bytes = Expr::new(
        ExprKind::Part {
            of: Box::new(stack),
            offset: 0,
        },
        Ty::I64,
        span,
    );
    let each = Expr::int(8, Ty::I64, span);
    Expr::bin(Arith::Div { signed: true }, bytes, each, Ty::I64)
}

pub const ROW: Row = Row {
    names: &["len"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`len(@MAP)`, `len(kstack)`, `len(ustack)`, `len(dw_ustack)`",
    doc: "How many entries a map has, or frames a stack.",
    example: "begin { @x[1] = 5; printf(\"%d\\n\", len(@x)); }",
    lower: |c, call| {
        let span = call.span;
        let Some(map) = c.whole_map(&call.args[0]) else {
            return match c.expr(&call.args[0])?.kind {
                ExprKind::Stack { kernel, flags, .. } => Ok(frames(!kernel, flags, span)),
                ExprKind::Unwound { limit, .. } => {
                    let counted = ExprKind::Unwound {
                        limit,
                        counted: true,
                    };
                    let stack = Expr::new(counted, Ty::Buf(8), span);
                    let kind = ExprKind::Part {
                        of: Box::new(stack),
                        offset: 0,
                    };
                    Ok(Expr::new(kind, Ty::I64, span))
                }
                _ => Err(Diagnostic::error(
                    call.args[0].span,
                    "a map is needed here, like `@x`, or `kstack`, `ustack` or `dw_ustack`",
                )),
            };
        };
        let entry = c.entry_type(map, span)?;
        let kv = c.temp(&entry, span)?;
        let n = c.temp(&Ty::U64, span)?;
        let get = || Expr::new(ExprKind::Var(n), Ty::U64, span);
        let set = |value| Stmt {
            kind: StmtKind::SetVar(n, value),
            span,
        };
        let one = Expr::int(1, Ty::I64, span);
        let each = Stmt {
            kind: StmtKind::ForMap {
                map,
                var: kv,
                body: vec![set(Expr::bin(Arith::Add, get(), one, Ty::U64))],
            },
            span,
        };
        let stmts = vec![set(Expr::int(0, Ty::U64, span)), each];
        Ok(Expr::new(
            ExprKind::Block(stmts, Box::new(get())),
            Ty::U64,
            span,
        ))
    },
};
