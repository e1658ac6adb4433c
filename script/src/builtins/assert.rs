//! `assert`: ends the script when something does not hold.

use super::{Row, Use};
use crate::event::{Event, MessageKind};
use crate::hir::{Expr, ExprKind, Stmt, StmtKind};
use crate::types::Ty;

pub const ROW: Row = Row {
    names: &["assert"],
    kind: Use::Function { min: 1, max: 2 },
    syntax: "`assert(CONDITION, \"TEXT\")`",
    doc: "Prints the text as an error and ends the script with status 1 unless the condition holds.",
    example: "begin { assert(1 == 1, \"numbers work\"); }",
    lower: |c, call| {
        let span = call.span;
        let cond = c.condition(&call.args[0])?;
        let text = match call.args.get(1) {
            Some(a) => c.text(a)?,
            None => "assertion failed".to_owned(),
        };
        let say = super::runtime_message(c, MessageKind::Error, &text, span);
        let event = c.event(Event::Exit);
        let status = Expr::int(1, Ty::I64, span);
        let stmt = |kind| Stmt { kind, span };
        let no = vec![
            say,
            stmt(StmtKind::Emit {
                event,
                args: vec![status],
            }),
            stmt(StmtKind::Return),
        ];
        let check = stmt(StmtKind::If {
            cond,
            yes: Vec::new(),
            no,
        });
        Ok(Expr::new(ExprKind::Do(vec![check]), Ty::Void, span))
    },
};
