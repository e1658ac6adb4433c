//! What builtins ask of their arguments.

use super::expr::literal;
use super::{Checked, Checker};
use crate::ast;
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind};
use crate::source::Span;
use crate::types::Ty;

/// The type of a number worked out from two literals.
pub(super) fn literal_type(a: &Ty, b: &Ty) -> Ty {
    Ty::Int {
        bytes: 8,
        signed: a.is_signed() && b.is_signed(),
    }
}

impl<'a> Checker<'a> {
    pub(crate) fn number(&mut self, e: &'a ast::Expr) -> Checked<Expr> {
        let v = self.expr(e)?;
        if v.ty.is_number() {
            return Ok(v);
        }
        Err(Diagnostic::error(
            e.span,
            format!("a number is needed here, this is of type `{}`", v.ty),
        ))
    }

    /// A number that decides.
    pub(crate) fn condition(&mut self, e: &'a ast::Expr) -> Checked<Expr> {
        let v = self.expr(e)?;
        if v.ty.is_number() {
            return Ok(v);
        }
        let d = Diagnostic::error(
            e.span,
            format!("a condition must be a number, this is of type `{}`", v.ty),
        );
        Err(match v.ty {
            // `(pid = 5)` is a record of one field.
            crate::types::Ty::Record(_) => d.hint("`==` compares"),
            _ => d,
        })
    }

    pub(crate) fn string(&mut self, e: &'a ast::Expr) -> Checked<Expr> {
        let v = self.expr(e)?;
        if matches!(v.ty, Ty::Str(_)) {
            return Ok(v);
        }
        let d = Diagnostic::error(
            e.span,
            format!("a string is needed here, this is of type `{}`", v.ty),
        );
        Err(if v.ty.is_number() {
            d.hint("read it with `str(…)`")
        } else {
            d
        })
    }

    /// Text known when the script is compiled.
    pub(crate) fn text(&mut self, e: &'a ast::Expr) -> Checked<String> {
        if let ast::ExprKind::Param(n) = &e.kind {
            return Ok(self
                .env
                .positional
                .get(*n as usize - 1)
                .cloned()
                .unwrap_or_default());
        }
        match self.expr(e)?.kind {
            ExprKind::Str(s) => String::from_utf8(s)
                .map_err(|_| Diagnostic::error(e.span, "this text is not UTF-8")),
            _ => Err(Diagnostic::error(e.span, "a text in quotes is needed here")),
        }
    }

    /// A number known when the script is compiled.
    pub(crate) fn constant(&mut self, e: &'a ast::Expr) -> Checked<i64> {
        let v = self.expr(e)?;
        super::known(&v)
            .ok_or_else(|| Diagnostic::error(e.span, "a constant number is needed here"))
    }

    /// A word such as `perf` in `kstack(perf)`.
    pub(crate) fn word<'e>(&self, e: &'e ast::Expr) -> Checked<&'e str> {
        match &e.kind {
            ast::ExprKind::Ident(w) => Ok(w),
            _ => Err(Diagnostic::error(e.span, "a plain word is needed here")),
        }
    }

    /// The text of a positional parameter, or of what is left of it from a character on.
    pub(crate) fn positional_text(&self, e: &'a ast::Expr) -> Option<Expr> {
        let (n, from) = match &e.kind {
            ast::ExprKind::Param(n) => (*n, 0),
            ast::ExprKind::Binary {
                op: ast::BinOp::Add,
                left,
                right,
            } => match (&left.kind, &right.kind) {
                (ast::ExprKind::Param(n), ast::ExprKind::Int(i))
                | (ast::ExprKind::Int(i), ast::ExprKind::Param(n)) => {
                    (*n, usize::try_from(i.value).ok()?)
                }
                _ => return None,
            },
            _ => return None,
        };
        let text = self
            .env
            .positional
            .get(n as usize - 1)
            .map_or("", String::as_str);
        Some(literal(
            text.as_bytes().get(from..).unwrap_or_default().to_vec(),
            e.span,
        ))
    }

    /// The key of an entry of a map that is known already.
    pub(crate) fn map_key_of(
        &mut self,
        map: usize,
        keys: &'a [ast::Expr],
        span: Span,
    ) -> Checked<Vec<Expr>> {
        let (key, types) = self.keys(keys)?;
        self.refine_keys(map, &types, span)?;
        Ok(key)
    }

    pub(crate) fn map_entry(
        &mut self,
        name: &str,
        keys: &'a [ast::Expr],
        span: Span,
    ) -> Checked<(usize, Vec<Expr>)> {
        let map = self.map_index(name, span);
        Ok((map, self.map_key_of(map, keys, span)?))
    }

    /// What `sizeof(e)` is asked of: a type by its name, or a value.
    pub(crate) fn type_or_value(&mut self, e: &'a ast::Expr) -> Checked<Ty> {
        match &e.kind {
            ast::ExprKind::Type(name) => self.type_named(name),
            ast::ExprKind::Ident(name) => match self.macro_type(name)? {
                Some(ty) => Ok(ty),
                None => match self.lookup_type(name) {
                    Some(ty) => Ok(ty),
                    None => self.place(e).map(|v| v.ty),
                },
            },
            ast::ExprKind::Index { expr, index } => {
                if let (ast::ExprKind::Ident(name), ast::ExprKind::Int(n)) =
                    (&expr.kind, &index.kind)
                    && let Some(ty) = self.macro_type(name)?
                    && self
                        .macro_argument(name)
                        .is_some_and(|a| matches!(a.expr.kind, ast::ExprKind::Type(_)))
                {
                    let n = u32::try_from(n.value)
                        .map_err(|_| Diagnostic::error(e.span, "the array is too large"))?;
                    return Ok(Ty::Array(Box::new(ty), n, crate::types::Space::Unknown));
                }
                self.place(e).map(|v| v.ty)
            }
            _ => self.place(e).map(|v| v.ty),
        }
    }
}
