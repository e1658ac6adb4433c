//! `exit`: ends the script.

use super::printf::emit;
use super::{Row, Use};
use crate::event::Event;
use crate::hir::{Expr, ExprKind, Stmt, StmtKind};
use crate::types::Ty;

pub const ROW: Row = Row {
    names: &["exit"],
    kind: Use::Both { max: 1 },
    syntax: "`exit()`, or `exit(STATUS)`",
    doc: "Ends the script, with this exit status.",
    example: "interval:s:1 { exit(); }",
    lower: |c, call| {
        let status = match call.args.first() {
            Some(a) => c.number(a)?,
            None => Expr::int(0, Ty::I64, call.span),
        };
        let e = emit(c, call, Event::Exit, vec![status]);
        let ExprKind::Do(mut stmts) = e.kind else {
            return Ok(e);
        };
        stmts.push(Stmt {
            kind: StmtKind::Return,
            span: call.span,
        });
        Ok(Expr::new(ExprKind::Do(stmts), Ty::Void, call.span))
    },
};
