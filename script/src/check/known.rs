//! Typed expressions → what they come to, where that is known before the script runs.

use super::Checker;
use super::expr::is_number;
use crate::ast;
use crate::hir::{Cmp, Expr, ExprKind};
use crate::types::Ty;

/// A value that is known.
enum Known<'e> {
    Number(i64),
    Text(&'e [u8]),
}

/// The number that an expression comes to.
pub(crate) fn known(e: &Expr) -> Option<i64> {
    match value(e)? {
        Known::Number(n) => Some(n),
        Known::Text(_) => None,
    }
}

fn value(e: &Expr) -> Option<Known<'_>> {
    let number = |n: bool| Some(Known::Number(i64::from(n)));
    match &e.kind {
        ExprKind::Int(n) => Some(Known::Number(*n)),
        ExprKind::Str(text) => Some(Known::Text(text)),
        ExprKind::Not(of) => number(known(of)? == 0),
        ExprKind::And(left, right) => match known(left)? {
            0 => number(false),
            _ => number(known(right)? != 0),
        },
        ExprKind::Or(left, right) => match known(left)? {
            0 => number(known(right)? != 0),
            _ => number(true),
        },
        ExprKind::Cmp {
            op,
            signed,
            left,
            right,
        } => {
            let (l, r) = (known(left)?, known(right)?);
            let order = match signed {
                true => l.cmp(&r),
                false => (l as u64).cmp(&(r as u64)),
            };
            number(match op {
                Cmp::Eq => order.is_eq(),
                Cmp::Ne => order.is_ne(),
                Cmp::Lt => order.is_lt(),
                Cmp::Le => order.is_le(),
                Cmp::Gt => order.is_gt(),
                Cmp::Ge => order.is_ge(),
            })
        }
        ExprKind::Cond { cond, yes, no } => value(if known(cond)? != 0 { yes } else { no }),
        ExprKind::StrEq { left, right, limit } => match (value(left)?, value(right)?) {
            (Known::Text(l), Known::Text(r)) => {
                let most = limit.map_or(usize::MAX, |n| n as usize);
                let cut = |t: &[u8]| t.len().min(most);
                number(l[..cut(l)] == r[..cut(r)])
            }
            _ => None,
        },
        ExprKind::Part { of, offset } => {
            let ExprKind::Tuple(items) = &of.kind else {
                return None;
            };
            let mut at = 0;
            for item in items {
                if at == *offset {
                    return value(item);
                }
                at += item.ty.stored();
            }
            None
        }
        _ => None,
    }
}

/// The type that a number has as it is written: as narrow as holds it.
pub(crate) fn literal_type(e: &ast::Expr) -> Option<Ty> {
    let value = is_number(e)?;
    let bytes = super::mem::literal_bytes(value) as u8;
    Some(Ty::Int {
        bytes,
        signed: true,
    })
}

impl<'a> Checker<'a> {
    /// The expression that stands where a macro's parameter is named.
    pub(crate) fn as_written(&self, e: &'a ast::Expr) -> &'a ast::Expr {
        match &e.kind {
            ast::ExprKind::Ident(name) => self.macro_argument(name).map_or(e, |a| a.expr),
            _ => e,
        }
    }
}
