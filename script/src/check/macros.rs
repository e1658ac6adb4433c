//! Calls of macros: the body is checked in the caller's place, its own names kept apart.

use super::{Argument, Checked, Checker, Scope};
use crate::ast::{self, MacroParam};
use crate::diagnostics::Diagnostic;
use crate::hir::Expr;
use crate::source::Span;
use crate::types::Ty;

/// Macros inside one another.
const MAX_MACROS: u32 = 24;

impl<'a> Checker<'a> {
    pub(super) fn has_macro(&self, name: &str) -> bool {
        self.macros.contains_key(name)
    }

    pub(super) fn macro_takes(&self, name: &str, args: usize) -> bool {
        self.macros
            .get(name)
            .is_some_and(|m| m.params.len() == args)
    }

    /// What a parameter's name stands for in the macro being checked.
    pub(super) fn macro_argument(&self, name: &str) -> Option<Argument<'a>> {
        for scope in self.scopes.iter().rev() {
            if let Some(a) = scope.exprs.get(name) {
                return Some(*a);
            }
            if scope.barrier {
                return None;
            }
        }
        None
    }

    /// The type that a parameter's name stands for.
    pub(super) fn macro_type(&mut self, name: &str) -> Checked<Option<Ty>> {
        let Some(arg) = self.macro_argument(name) else {
            return Ok(None);
        };
        match &arg.expr.kind {
            ast::ExprKind::Type(ty) => self.in_caller(arg, |c| c.type_named(ty)).map(Some),
            _ => self
                .in_caller(arg, |c| c.place(arg.expr))
                .map(|e| Some(e.ty)),
        }
    }

    /// Runs `f` with the names that the macro's caller sees.
    pub(super) fn in_caller<T>(
        &mut self,
        arg: Argument<'a>,
        f: impl FnOnce(&mut Self) -> Checked<T>,
    ) -> Checked<T> {
        let inner = self.scopes.split_off(arg.depth.min(self.scopes.len()));
        let r = f(self);
        self.scopes.truncate(arg.depth);
        self.scopes.extend(inner);
        r
    }

    pub(crate) fn call_macro(
        &mut self,
        name: &str,
        args: &'a [ast::Expr],
        span: Span,
    ) -> Checked<Expr> {
        let Some(m) = self.macros.get(name).copied() else {
            return Err(Diagnostic::error(span, format!("unknown macro `{name}`")));
        };
        if m.params.len() != args.len() {
            return Err(Diagnostic::error(
                span,
                format!(
                    "the macro `{name}` takes {} arguments, {} given",
                    m.params.len(),
                    args.len()
                ),
            ));
        }
        if self.macro_depth >= MAX_MACROS {
            return Err(Diagnostic::error(
                span,
                format!("the macro `{name}` calls itself without end"),
            ));
        }
        let depth = self.scopes.len();
        let mut scope = Scope {
            barrier: true,
            ..Scope::default()
        };
        for (param, arg) in m.params.iter().zip(args) {
            match param {
                MacroParam::Var(p) => {
                    let ast::ExprKind::Var(v) = &arg.kind else {
                        return Err(Diagnostic::error(
                            arg.span,
                            format!("the macro `{name}` needs a variable here"),
                        ));
                    };
                    let id = match self.find_var(v).or_else(|| self.ended.get(v).copied()) {
                        Some(id) => id,
                        None => self.new_var(v, &Ty::Unknown, arg.span)?,
                    };
                    scope.vars.insert(p.clone(), id);
                }
                MacroParam::Map(p) => match &arg.kind {
                    ast::ExprKind::Map { name: given, keys } if keys.is_empty() => {
                        scope.maps.insert(p, self.map_name(given));
                    }
                    _ => {
                        return Err(Diagnostic::error(
                            arg.span,
                            format!("the macro `{name}` needs a map here"),
                        ));
                    }
                },
                MacroParam::Expr(p) => {
                    scope.exprs.insert(p, Argument { expr: arg, depth });
                }
            }
        }
        self.macro_depth += 1;
        self.macro_calls.push(span);
        self.scopes.push(scope);
        let body = self.block_value(&m.body, span);
        self.macro_calls.pop();
        self.scopes.truncate(depth);
        self.macro_depth -= 1;
        body
    }
}
