//! `strncmp`, `strcontains`, `strlen`: questions about texts.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind};
use crate::types::Ty;

pub const STRNCMP: Row = Row {
    names: &["strncmp"],
    kind: Use::Function { min: 3, max: 3 },
    syntax: "`strncmp(TEXT, TEXT, LENGTH)`",
    doc: "0 when the texts agree in their first characters.",
    example: "begin { if (strncmp(comm, \"bash\", 4) == 0) { printf(\"bash\\n\"); } }",
    lower: |c, call| {
        let left = c.string(&call.args[0])?;
        let right = c.string(&call.args[1])?;
        let n = c.constant(&call.args[2])?;
        let limit = u32::try_from(n)
            .map_err(|_| Diagnostic::error(call.args[2].span, "a length must not be negative"))?;
        let same = Expr::new(
            ExprKind::StrEq {
                left: Box::new(left),
                right: Box::new(right),
                limit: Some(limit),
            },
            Ty::Bool,
            call.span,
        );
        Ok(Expr::new(ExprKind::Not(Box::new(same)), Ty::U64, call.span))
    },
};

pub const STRCONTAINS: Row = Row {
    names: &["strcontains"],
    kind: Use::Function { min: 2, max: 2 },
    syntax: "`strcontains(TEXT, PART)`",
    doc: "Whether a text contains another.",
    example: "begin { if (strcontains(comm, \"sh\")) { printf(\"a shell\\n\"); } }",
    lower: |c, call| {
        let hay = c.string(&call.args[0])?;
        let needle = c.string(&call.args[1])?;
        let ExprKind::Str(needle) = needle.kind else {
            return super::search::contains(c, hay, needle, call.span);
        };
        if let ExprKind::Str(text) = &hay.kind {
            let found = needle.is_empty() || text.windows(needle.len()).any(|w| w == needle);
            return Ok(Expr::int(i64::from(found), Ty::Bool, call.span));
        }
        Ok(Expr::new(
            ExprKind::StrHas {
                hay: Box::new(hay),
                needle,
            },
            Ty::Bool,
            call.span,
        ))
    },
};

pub const STRLEN: Row = Row {
    names: &["strlen"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`strlen(TEXT)`",
    doc: "How many characters a text has.",
    example: "begin { printf(\"%d\\n\", strlen(comm)); }",
    lower: |c, call| {
        let v = c.string(&call.args[0])?;
        Ok(match &v.kind {
            ExprKind::Str(s) => Expr::int(s.len() as i64, Ty::U64, call.span),
            _ => Expr::new(ExprKind::StrLen(Box::new(v)), Ty::U64, call.span),
        })
    },
};
