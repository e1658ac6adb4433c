//! `delete` and `has_key`: single entries of maps.

use super::{Call, Row, Use};
use crate::ast;
use crate::check::{Checked, Checker};
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind};
use crate::types::Ty;

/// `(@m[key])`, or `(@m, key)`.
pub(super) fn entry<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Checked<(usize, Vec<Expr>)> {
    let first = &call.args[0];
    let ast::ExprKind::Map { name, keys } = &first.kind else {
        let map = c.whole_map(first);
        return match (map, call.args.get(1)) {
            (Some(map), Some(key)) => Ok((
                map,
                c.map_key_of(map, std::slice::from_ref(key), call.span)?,
            )),
            (Some(map), None) => Ok((map, c.map_key_of(map, &[], call.span)?)),
            _ => Err(Diagnostic::error(
                first.span,
                "an entry of a map is needed here, like `@x[1]`",
            )),
        };
    };
    match call.args.get(1) {
        Some(_) if !keys.is_empty() => Err(Diagnostic::error(call.span, "the key is given twice")),
        Some(key) => c.map_entry(name, std::slice::from_ref(key), call.span),
        None => c.map_entry(name, keys, call.span),
    }
}

pub const DELETE: Row = Row {
    names: &["delete"],
    kind: Use::Function { min: 1, max: 2 },
    syntax: "`delete(@MAP, KEY)`, or `delete(@MAP[KEY])`",
    doc: "Removes an entry of a map; says whether it was there.",
    example: "begin { @x[1] = 5; delete(@x, 1); }",
    lower: |c, call| {
        let (map, key) = entry(c, call)?;
        Ok(Expr::new(
            ExprKind::MapDelete { map, key },
            Ty::Bool,
            call.span,
        ))
    },
};

pub const HAS_KEY: Row = Row {
    names: &["has_key"],
    kind: Use::Function { min: 1, max: 2 },
    syntax: "`has_key(@MAP, KEY)`",
    doc: "Whether a map has an entry.",
    example: "begin { @x[1] = 5; if (has_key(@x, 1)) { printf(\"yes\\n\"); } }",
    lower: |c, call| {
        let (map, key) = entry(c, call)?;
        if key.is_empty() {
            return Err(Diagnostic::error(call.span, "this map has no keys"));
        }
        Ok(Expr::new(
            ExprKind::MapHas { map, key },
            Ty::Bool,
            call.span,
        ))
    },
};
