//! `join`: an array of texts, such as a program's arguments.

use super::printf::emit;
use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::event::Event;
use crate::hir::{Arith, Expr, ExprKind};
use crate::types::{Space, Ty};

/// How many texts, and how long each may be.
const MAX_COUNT: u32 = 16;
const MAX_BYTES: u32 = 128;

pub const ROW: Row = Row {
    names: &["join"],
    kind: Use::Function { min: 1, max: 2 },
    syntax: "`join(ADDRESS)`, or `join(ADDRESS, \"SEPARATOR\")`",
    doc: "Prints the texts that an array of addresses leads to, up to a null address.",
    example: "tracepoint:syscalls:sys_enter_execve { join(args.argv); }",
    lower: |c, call| {
        let array = c.place(&call.args[0])?;
        let space = match &array.ty {
            Ty::Ptr(_, s) | Ty::Array(_, _, s) => c.known_space(*s),
            t if t.is_number() => c.space(),
            t => {
                return Err(Diagnostic::error(
                    call.args[0].span,
                    format!("an array of addresses is needed here, this is of type `{t}`"),
                ));
            }
        };
        let separator = match call.args.get(1) {
            Some(a) => c.text(a)?,
            None => " ".to_owned(),
        };
        let span = call.span;
        let id = c.temp(&Ty::U64, span)?;
        let set = crate::hir::Stmt {
            kind: crate::hir::StmtKind::SetVar(
                id,
                Expr {
                    ty: Ty::U64,
                    ..array
                },
            ),
            span,
        };
        let mut args = Vec::new();
        for n in 0..MAX_COUNT {
            let base = Expr::new(ExprKind::Var(id), Ty::U64, span);
            let at = Expr::bin(
                Arith::Add,
                base,
                Expr::int(i64::from(n) * 8, Ty::I64, span),
                Ty::U64,
            );
            let text = Expr::new(
                ExprKind::Read {
                    addr: Box::new(at),
                    bytes: 8,
                    signed: false,
                    space,
                },
                Ty::ptr(Ty::CHAR, space),
                span,
            );
            args.push(Expr::new(
                ExprKind::ReadStr {
                    addr: Box::new(text),
                    space: if space == Space::Unknown {
                        Space::User
                    } else {
                        space
                    },
                    len: None,
                },
                Ty::Str(MAX_BYTES),
                span,
            ));
        }
        let event = Event::Join {
            count: MAX_COUNT,
            bytes: MAX_BYTES,
            separator,
        };
        let e = emit(c, call, event, args);
        Ok(Expr::new(
            ExprKind::Block(vec![set], Box::new(e)),
            Ty::Void,
            span,
        ))
    },
};
