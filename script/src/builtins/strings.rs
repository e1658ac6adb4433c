//! `strncmp`, `strcontains`, `strlen`, `str_concat`: questions about texts, and a text made of two.

use super::{Row, Use};
use crate::check::literal;
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

/// Whether a text's room follows from what it is alone, so that a text put together of it and others
/// does not grow with each use of its own result.
fn is_made_here(e: &Expr) -> bool {
    matches!(
        e.kind,
        ExprKind::Str(_)
            | ExprKind::Fill { .. }
            | ExprKind::CtxStr { .. }
            | ExprKind::ReadStr { .. }
    )
}

pub const STR_CONCAT: Row = Row {
    names: &["str_concat"],
    kind: Use::Function { min: 2, max: 2 },
    syntax: "`str_concat(TEXT, TEXT)`",
    doc: "One text with the other behind it. Where one of them is a variable or in a map, the result has `max_strlen` characters at most, or as many as the larger one.",
    example: "begin { printf(\"%s\\n\", str_concat(comm, \"!\")); }",
    lower: |c, call| {
        let left = c.string(&call.args[0])?;
        let right = c.string(&call.args[1])?;
        if let (ExprKind::Str(a), ExprKind::Str(b)) = (&left.kind, &right.kind) {
            return Ok(literal([a.as_slice(), b].concat(), call.span));
        }
        let bytes = |e: &Expr| match e.ty {
            Ty::Str(n) => n,
            _ => e.ty.stored(),
        };
        let (a, b) = (bytes(&left), bytes(&right));
        let room = if is_made_here(&left) && is_made_here(&right) {
            a.saturating_add(b)
        } else {
            a.max(b).max(c.config.max_strlen)
        };
        let kind = ExprKind::StrConcat {
            left: Box::new(left),
            right: Box::new(right),
        };
        Ok(Expr::new(kind, Ty::Str(room), call.span))
    },
};

pub const ASSERT_STR: Row = Row {
    names: &["assert_str"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`assert_str(EXPRESSION)`",
    doc: "Refuses the script unless the expression is a text, or an array of characters or the address of one.",
    example: "macro shown(s) { assert_str(s); printf(\"%s\\n\", s); } begin { shown(comm); }",
    lower: |c, call| {
        let v = c.expr(&call.args[0])?;
        let is_text = match &v.ty {
            Ty::Str(_) => true,
            Ty::Ptr(to, _) => **to == Ty::CHAR,
            other => other.char_array().is_some(),
        };
        if !is_text {
            return Err(Diagnostic::error(
                call.args[0].span,
                format!("a text is needed here, this is of type `{}`", v.ty),
            ));
        }
        Ok(Expr::new(ExprKind::Do(Vec::new()), Ty::Void, call.span))
    },
};

pub const DEFAULT_STR_LENGTH: Row = Row {
    names: &["default_str_length"],
    kind: Use::Value,
    syntax: "`default_str_length`",
    doc: "How many characters `str` reads where it is not told, the NUL counted: the setting `max_strlen`.",
    example: "begin { printf(\"%d\\n\", default_str_length); }",
    lower: |c, call| {
        Ok(Expr::int(
            i64::from(c.config.max_strlen),
            Ty::U64,
            call.span,
        ))
    },
};
