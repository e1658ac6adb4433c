//! `len`: how many entries a map has.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::hir::{Arith, Expr, ExprKind, Stmt, StmtKind};
use crate::types::Ty;

pub const ROW: Row = Row {
    names: &["len"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`len(@MAP)`",
    doc: "How many entries a map has.",
    example: "begin { @x[1] = 5; printf(\"%d\\n\", len(@x)); }",
    lower: |c, call| {
        let span = call.span;
        let Some(map) = c.whole_map(&call.args[0]) else {
            return Err(Diagnostic::error(
                call.args[0].span,
                "a map is needed here, like `@x`",
            ));
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
