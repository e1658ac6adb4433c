//! `find`: an entry of a map, and whether it is there, at once.

use super::delete::entry;
use super::{Row, Use};
use crate::ast;
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind, Stmt, StmtKind};
use crate::types::Ty;

pub const ROW: Row = Row {
    names: &["find"],
    kind: Use::Function { min: 3, max: 3 },
    syntax: "`find(@MAP, KEY, $VALUE)`",
    doc: "Whether a map has an entry; if so, the variable is its value from then on.",
    example: "begin { @x[1] = 5; if (find(@x, 1, $v)) { printf(\"%d\\n\", $v); } }",
    lower: |c, call| {
        let span = call.span;
        let ast::ExprKind::Var(name) = &call.args[2].kind else {
            return Err(Diagnostic::error(
                call.args[2].span,
                "a variable is needed here, like `$value`",
            ));
        };
        let (map, key) = entry(c, call)?;
        let ty = c.maps[map].value.clone();
        if let Ty::Agg(_) = ty {
            return Err(Diagnostic::error(
                span,
                "this map collects; what it comes to is read by its name",
            ));
        }
        let id = c.var_to_assign(name, &ty, span)?;
        let there = c.temp(&Ty::Bool, span)?;
        let held = || Expr::new(ExprKind::Var(there), Ty::Bool, span);
        let set = |id, value| Stmt {
            kind: StmtKind::SetVar(id, value),
            span,
        };
        let has = ExprKind::MapHas {
            map,
            key: key.clone(),
        };
        let get = Expr::new(ExprKind::MapGet { map, key }, ty, span);
        let stmts = vec![
            set(there, Expr::new(has, Ty::Bool, span)),
            Stmt {
                kind: StmtKind::If {
                    cond: held(),
                    yes: vec![set(id, get)],
                    no: Vec::new(),
                },
                span,
            },
        ];
        Ok(Expr::new(
            ExprKind::Block(stmts, Box::new(held())),
            Ty::Bool,
            span,
        ))
    },
};
