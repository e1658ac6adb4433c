//! `strstr`, `strcontains`, `memcmp`: where a text is in another one.

use super::{Call, Row, Use};
use crate::check::{Checked, Checker};
use crate::hir::{Arith, Cmp, Expr, ExprKind, Stmt, StmtKind};
use crate::source::Span;
use crate::types::Ty;

/// Where `needle` begins in `hay`, or -1: both are worked out once, then compared character by character.
fn find<'a>(c: &mut Checker<'a>, hay: Expr, needle: Expr, span: Span) -> Checked<Expr> {
    let mut stmts = Vec::new();
    let mut kept = |c: &mut Checker<'a>, e: Expr| -> Checked<Expr> {
        let ty = e.ty.clone();
        let id = c.temp(&ty, span)?;
        stmts.push(Stmt {
            kind: StmtKind::SetVar(id, e),
            span,
        });
        Ok(Expr::new(ExprKind::Var(id), ty, span))
    };
    let hay = kept(c, hay)?;
    let needle = kept(c, needle)?;
    let int = |v: i64| Expr::int(v, Ty::I64, span);
    let start = kept(c, int(0))?;
    let found = kept(c, int(-1))?;
    let at = kept(c, int(0))?;
    let id_of = |e: &Expr| match e.kind {
        ExprKind::Var(id) => id,
        _ => 0,
    };
    let set = |e: &Expr, value: Expr| Stmt {
        kind: StmtKind::SetVar(id_of(e), value),
        span,
    };
    let next = |e: &Expr| set(e, Expr::bin(Arith::Add, e.clone(), int(1), Ty::I64));
    let char_at = |of: &Expr, index: Expr| {
        Expr::new(
            ExprKind::CharAt {
                of: Box::new(of.clone()),
                index: Box::new(index),
            },
            Ty::CHAR,
            span,
        )
    };
    let compare = |op, l: Expr, r: Expr| {
        Expr::new(
            ExprKind::Cmp {
                op,
                signed: true,
                left: Box::new(l),
                right: Box::new(r),
            },
            Ty::Bool,
            span,
        )
    };
    let one_if = |cond, yes| Stmt {
        kind: StmtKind::If {
            cond,
            yes,
            no: Vec::new(),
        },
        span,
    };
    let stop = || Stmt {
        kind: StmtKind::Break,
        span,
    };
    // while needle[at] is not the end and hay[start + at] is the same: at++
    let here = Expr::bin(Arith::Add, start.clone(), at.clone(), Ty::I64);
    let more = compare(Cmp::Ne, char_at(&needle, at.clone()), int(0));
    let same = compare(Cmp::Eq, char_at(&hay, here), char_at(&needle, at.clone()));
    let inner = Stmt {
        kind: StmtKind::Loop {
            cond: Expr::new(
                ExprKind::And(Box::new(more), Box::new(same)),
                Ty::Bool,
                span,
            ),
            body: vec![next(&at)],
            next: Vec::new(),
        },
        span,
    };
    let whole = compare(Cmp::Eq, char_at(&needle, at.clone()), int(0));
    let end = compare(Cmp::Eq, char_at(&hay, start.clone()), int(0));
    let room = i64::from(hay.ty.stored());
    let outer = Stmt {
        kind: StmtKind::Loop {
            cond: compare(Cmp::Lt, start.clone(), int(room)),
            body: vec![
                set(&at, int(0)),
                inner,
                one_if(whole, vec![set(&found, start.clone()), stop()]),
                one_if(end, vec![stop()]),
            ],
            next: vec![next(&start)],
        },
        span,
    };
    stmts.push(outer);
    Ok(Expr::new(
        ExprKind::Block(stmts, Box::new(found)),
        Ty::I64,
        span,
    ))
}

/// Whether a text contains another, which need not be known before the script runs.
pub(super) fn contains<'a>(
    c: &mut Checker<'a>,
    hay: Expr,
    needle: Expr,
    span: Span,
) -> Checked<Expr> {
    let at = find(c, hay, needle, span)?;
    Ok(Expr::new(
        ExprKind::Cmp {
            op: Cmp::Ge,
            signed: true,
            left: Box::new(at),
            right: Box::new(Expr::int(0, Ty::I64, span)),
        },
        Ty::Bool,
        span,
    ))
}

pub const STRSTR: Row = Row {
    names: &["strstr"],
    kind: Use::Function { min: 2, max: 2 },
    syntax: "`strstr(TEXT, PART)`",
    doc: "Where a text begins in another one, counted from 0; -1 when it is not in it.",
    example: "begin { printf(\"%d\\n\", strstr(comm, \"sh\")); }",
    lower: |c, call| {
        let hay = c.string(&call.args[0])?;
        let needle = c.string(&call.args[1])?;
        if let (ExprKind::Str(h), ExprKind::Str(n)) = (&hay.kind, &needle.kind) {
            let at = match n.as_slice() {
                [] => Some(0),
                n => h.windows(n.len()).position(|w| w == n),
            };
            return Ok(Expr::int(at.map_or(-1, |n| n as i64), Ty::I64, call.span));
        }
        find(c, hay, needle, call.span)
    },
};

fn compare_bytes<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Checked<Expr> {
    let n = c.constant(&call.args[2])?;
    let bytes = u32::try_from(n).ok().filter(|n| *n <= 1024);
    let bytes = bytes.ok_or_else(|| {
        crate::Diagnostic::error(call.args[2].span, "the length must be 0 to 1024 here")
    })?;
    let mut buffer = |e: &'a crate::ast::Expr| -> Checked<Expr> {
        let v = c.expr(e)?;
        let kind = match &v.ty {
            Ty::Str(_) | Ty::Buf(_) if v.ty.stored() < bytes => {
                return Err(crate::Diagnostic::error(
                    e.span,
                    format!("this has fewer than {bytes} bytes"),
                ));
            }
            Ty::Str(_) => ExprKind::BufOf {
                value: Box::new(v),
                bytes,
            },
            Ty::Ptr(_, s) => ExprKind::ReadBuf {
                space: c.known_space(*s),
                addr: Box::new(v),
                len: Box::new(Expr::int(n, Ty::I64, e.span)),
            },
            t if t.is_number() => ExprKind::ReadBuf {
                space: crate::types::Space::Unknown,
                addr: Box::new(v),
                len: Box::new(Expr::int(n, Ty::I64, e.span)),
            },
            t => {
                return Err(crate::Diagnostic::error(
                    e.span,
                    format!("a text or an address is needed here, this is of type `{t}`"),
                ));
            }
        };
        Ok(Expr::new(kind, Ty::Buf(bytes), e.span))
    };
    let left = buffer(&call.args[0])?;
    let right = buffer(&call.args[1])?;
    let same = Expr::new(
        ExprKind::MemEq {
            left: Box::new(left),
            right: Box::new(right),
        },
        Ty::Bool,
        call.span,
    );
    Ok(Expr::new(ExprKind::Not(Box::new(same)), Ty::U64, call.span))
}

pub const MEMCMP: Row = Row {
    names: &["memcmp"],
    kind: Use::Function { min: 3, max: 3 },
    syntax: "`memcmp(A, B, LENGTH)`",
    doc: "0 when the bytes of two texts or at two addresses are the same.",
    example: "begin { if (memcmp(comm, \"bash\", 4) == 0) { printf(\"bash\\n\"); } }",
    lower: compare_bytes,
};
