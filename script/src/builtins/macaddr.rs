//! `macaddr`: an Ethernet address as text.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::hir::{Arith, Expr, ExprKind};
use crate::types::{Space, Ty};

/// Bytes of an address.
const BYTES: u32 = 6;

pub const MACADDR: Row = Row {
    names: &["macaddr"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`macaddr(ADDRESS)`",
    doc: "The six bytes there as an Ethernet address.",
    example: "begin { printf(\"%s\\n\", macaddr(0)); }",
    lower: |c, call| {
        let v = c.place(&call.args[0])?;
        let span = call.span;
        let wrong = |ty: &Ty| {
            Err(Diagnostic::error(
                call.args[0].span,
                format!("a value of type `{ty}` is no Ethernet address"),
            ))
        };
        let (addr, space) = match &v.ty {
            Ty::Array(_, _, s) if c.memory_layout(&v.ty).0 >= BYTES => {
                let s = c.known_space(*s);
                (v, s)
            }
            Ty::Ptr(_, s) => {
                let s = *s;
                (v, s)
            }
            Ty::Mem(m) if m.bytes >= BYTES => {
                let at = Expr::new(
                    ExprKind::AddrOf(Box::new(v)),
                    Ty::ptr(Ty::U8, Space::Kernel),
                    span,
                );
                (at, Space::Kernel)
            }
            t if t.is_number() => (v, Space::Unknown),
            t => return wrong(&t.clone()),
        };
        let id = c.temp(&Ty::U64, span)?;
        let held = || Expr::new(ExprKind::Var(id), Ty::U64, span);
        let set = crate::hir::Stmt {
            kind: crate::hir::StmtKind::SetVar(
                id,
                Expr {
                    ty: Ty::U64,
                    ..addr
                },
            ),
            span,
        };
        let read = |addr: Expr, bytes: u8| {
            Expr::new(
                ExprKind::Read {
                    addr: Box::new(addr),
                    bytes,
                    signed: false,
                    space,
                },
                Ty::U64,
                span,
            )
        };
        let int = |v: i64| Expr::int(v, Ty::I64, span);
        let rest = read(Expr::bin(Arith::Add, held(), int(4), Ty::U64), 2);
        let high = Expr::bin(Arith::Shl, rest, int(32), Ty::U64);
        let both = Expr::bin(Arith::Or, read(held(), 4), high, Ty::Mac);
        Ok(Expr::new(
            ExprKind::Block(vec![set], Box::new(both)),
            Ty::Mac,
            span,
        ))
    },
};
