//! Expressions → typed expressions.

use super::{Checked, Checker};
use crate::ast::{self, UnOp};
use crate::builtins::{self, Call, Use};
use crate::diagnostics::Diagnostic;
use crate::event::MessageKind;
use crate::hir::{Cmp, Expr, ExprKind, Stmt, StmtKind};
use crate::source::Span;
use crate::types::{Agg, Layout, Space, Ty};

/// Expressions inside one another, macros' bodies included.
const MAX_DEPTH: u32 = 320;

impl<'a> Checker<'a> {
    /// A value: arrays of characters become strings.
    pub(crate) fn expr(&mut self, e: &'a ast::Expr) -> Checked<Expr> {
        let v = self.place(e)?;
        Ok(self.value_of(v))
    }

    /// The string in an array of characters; anything else as it is.
    pub(crate) fn value_of(&self, e: Expr) -> Expr {
        if let Ty::Mem(m) = &e.ty
            && let Layout::Text(n) = m.layout
        {
            return self.mem_text(e, n);
        }
        let Some(n) = e.ty.char_array() else { return e };
        let Ty::Array(_, _, space) = e.ty else {
            return e;
        };
        let span = e.span;
        let kind = match e.kind {
            ExprKind::Ctx(offset) => ExprKind::CtxStr { offset, bytes: n },
            kind => ExprKind::ReadStr {
                addr: Box::new(Expr::new(kind, Ty::U64, span)),
                space: self.known_space(space),
                len: None,
            },
        };
        Expr::new(kind, Ty::Str(n.max(1)), span)
    }

    /// A value, or the address of a structure or array.
    pub(crate) fn place(&mut self, e: &'a ast::Expr) -> Checked<Expr> {
        if self.depth >= MAX_DEPTH {
            return Err(Diagnostic::error(e.span, "this is nested too deeply"));
        }
        self.depth += 1;
        let r = self.place_inner(e);
        self.depth -= 1;
        r
    }

    fn place_inner(&mut self, e: &'a ast::Expr) -> Checked<Expr> {
        let span = e.span;
        match &e.kind {
            ast::ExprKind::Int(i) => {
                let ty = if i64::try_from(i.value).is_ok() {
                    Ty::I64
                } else {
                    Ty::U64
                };
                Ok(Expr::int(i.value as i64, ty, span))
            }
            ast::ExprKind::Bool(b) => Ok(Expr::int(i64::from(*b), Ty::Bool, span)),
            ast::ExprKind::Str(s) => Ok(literal(s.clone(), span)),
            ast::ExprKind::Var(name) => self.var(name, span),
            ast::ExprKind::Map { name, keys } => self.map_get(name, keys, span),
            ast::ExprKind::Param(n) => Ok(self.positional(*n, span)),
            ast::ExprKind::ParamCount => {
                Ok(Expr::int(self.env.positional.len() as i64, Ty::I64, span))
            }
            ast::ExprKind::Ident(name) => self.ident(name, span),
            ast::ExprKind::Call { name, args } => self.call(name, args, span),
            ast::ExprKind::Unary { op, expr } => self.unary(*op, expr, span),
            ast::ExprKind::Binary { op, left, right } => self.binary(*op, left, right, span),
            ast::ExprKind::Step { expr, up, prefix } => self.step(expr, *up, *prefix, span),
            ast::ExprKind::Cond { cond, yes, no } => self.cond_expr(cond, yes.as_deref(), no, span),
            ast::ExprKind::Field { expr, name, .. } => {
                if matches!(&expr.kind, ast::ExprKind::Ident(w) if w == "args")
                    && self.macro_argument("args").is_none()
                {
                    return self.args_field(name, span);
                }
                let base = self.place(expr)?;
                self.field(base, name, span)
            }
            ast::ExprKind::TupleIndex { expr, index } => {
                let base = self.expr(expr)?;
                match base.ty.clone() {
                    Ty::Tuple(items) => self.tuple_item(base, &items, *index, span),
                    Ty::Record(items) => {
                        let items: Vec<Ty> = items.into_iter().map(|(_, t)| t).collect();
                        self.tuple_item(base, &items, *index, span)
                    }
                    Ty::Unknown => Ok(base),
                    other => Err(Diagnostic::error(
                        span,
                        format!("a value of type `{other}` is no tuple"),
                    )),
                }
            }
            ast::ExprKind::Index { expr, index } => {
                let base = self.place(expr)?;
                let index = self.number(index)?;
                self.element(base, index, span)
            }
            ast::ExprKind::Cast { ty, expr } => {
                let target = self.type_named(ty)?;
                let value = self.expr(expr)?;
                self.cast(value, target, span)
            }
            ast::ExprKind::Tuple(items) => {
                let items = items
                    .iter()
                    .map(|i| self.item(i))
                    .collect::<Checked<Vec<_>>>()?;
                let ty = Ty::Tuple(items.iter().map(|i| i.ty.clone()).collect());
                Ok(Expr::new(ExprKind::Tuple(items), ty, span))
            }
            ast::ExprKind::Record(fields) => {
                let mut items = Vec::new();
                let mut types: Vec<(String, Ty)> = Vec::new();
                for (name, e) in fields {
                    let v = self.item(e)?;
                    if types.iter().any(|(n, _)| n == name) {
                        return Err(Diagnostic::error(
                            span,
                            format!("the field `{name}` is there twice"),
                        ));
                    }
                    types.push((name.clone(), v.ty.clone()));
                    items.push(v);
                }
                Ok(Expr::new(ExprKind::Tuple(items), Ty::Record(types), span))
            }
            ast::ExprKind::Block(block) => self.block_value(block, span),
            ast::ExprKind::If(chain) => self.if_value(chain, span),
            ast::ExprKind::SizeofType(name) => {
                let ty = self.type_named(name)?;
                Ok(Expr::int(
                    i64::from(self.memory_layout(&ty).0),
                    Ty::U64,
                    span,
                ))
            }
            ast::ExprKind::Offsetof { ty, field } => {
                let ty = self.type_named(ty)?;
                let at = self.offset_of(&ty, field, span)?;
                Ok(Expr::int(at as i64, Ty::U64, span))
            }
            ast::ExprKind::Type(_) => Err(Diagnostic::error(
                span,
                "a type stands where a value is expected",
            )),
        }
    }

    /// A value that can be put into tuples, keys and records.
    pub(crate) fn storable(&mut self, e: &'a ast::Expr) -> Checked<Expr> {
        let v = self.expr(e)?;
        match &v.ty {
            Ty::Void => Err(Diagnostic::error(e.span, "this gives no value")),
            Ty::Agg(a) => Err(Diagnostic::error(
                e.span,
                format!("`{}()` can only be assigned to a map", a.name()),
            )
            .hint(format!("write `@x = {}(…);`", a.name()))),
            _ => self.by_value(v),
        }
    }

    /// An item of a tuple or record: a literal is as wide as it needs.
    fn item(&mut self, e: &'a ast::Expr) -> Checked<Expr> {
        let mut v = self.storable(e)?;
        if let (
            Some(n),
            Ty::Int {
                bytes: 8,
                signed: true,
            },
            true,
        ) = (v.constant(), &v.ty, is_number(e).is_some())
        {
            let bytes = super::mem::literal_bytes(n) as u8;
            v.ty = Ty::Int {
                bytes,
                signed: true,
            };
        }
        Ok(v)
    }

    pub(super) fn var(&mut self, name: &str, span: Span) -> Checked<Expr> {
        let id = match self
            .find_var(name)
            .or_else(|| self.ended.get(name).copied())
        {
            Some(id) => id,
            None => {
                let d =
                    Diagnostic::error(span, format!("undefined or undeclared variable: ${name}"));
                let known: Vec<String> = self
                    .scopes
                    .iter()
                    .flat_map(|s| s.vars.keys().cloned())
                    .collect();
                return Err(
                    match crate::diagnostics::nearest(name, known.iter().map(String::as_str)) {
                        Some(near) if !near.is_empty() => {
                            d.hint(format!("did you mean `${near}`?"))
                        }
                        _ => d.hint(format!("give it a value first: `${name} = …;`")),
                    },
                );
            }
        };
        Ok(Expr::new(ExprKind::Var(id), self.vars[id].clone(), span))
    }

    pub(super) fn keys(&mut self, keys: &'a [ast::Expr]) -> Checked<(Vec<Expr>, Vec<Ty>)> {
        let parts = keys
            .iter()
            .map(|k| self.storable(k))
            .collect::<Checked<Vec<_>>>()?;
        let types = match parts.as_slice() {
            // One tuple is the same as its items side by side.
            [one] => match &one.ty {
                Ty::Tuple(items) => items.clone(),
                other => vec![other.clone()],
            },
            many => many.iter().map(|p| p.ty.clone()).collect(),
        };
        Ok((parts, types))
    }

    pub(super) fn map_get(
        &mut self,
        name: &str,
        keys: &'a [ast::Expr],
        span: Span,
    ) -> Checked<Expr> {
        let (key, types) = self.keys(keys)?;
        let map = self.map_index(name, span);
        self.refine_keys(map, &types, span)?;
        let ty = self.maps[map].value.clone();
        if let Ty::Agg(agg) = ty {
            let ty = self.agg_number(map, agg, span)?;
            return Ok(Expr::new(ExprKind::AggGet { map, key, agg }, ty, span));
        }
        if self.env.check_helpers && !key.is_empty() && ty.is_scalar() {
            let say = builtins::runtime_message(
                self,
                MessageKind::Helper,
                "Can't lookup map element because it does not exist.\nAdditional Info - helper: map_lookup_elem, retcode: 0",
                span,
            );
            let has = ExprKind::MapHas {
                map,
                key: key.clone(),
            };
            let get = Expr::new(ExprKind::MapGet { map, key }, ty.clone(), span);
            let none = ExprKind::Block(vec![say], Box::new(Expr::int(0, ty.clone(), span)));
            return Ok(Expr::new(
                ExprKind::Cond {
                    cond: Box::new(Expr::new(has, Ty::Bool, span)),
                    yes: Box::new(get),
                    no: Box::new(Expr::new(none, ty.clone(), span)),
                },
                ty,
                span,
            ));
        }
        Ok(Expr::new(ExprKind::MapGet { map, key }, ty, span))
    }

    /// The type of the number that an aggregation comes to.
    pub(super) fn agg_number(&self, map: usize, agg: Agg, span: Span) -> Checked<Ty> {
        match agg {
            Agg::Count => Ok(Ty::I64),
            Agg::Sum { signed }
            | Agg::Min { signed }
            | Agg::Max { signed }
            | Agg::Avg { signed } => Ok(Ty::Int { bytes: 8, signed }),
            _ => Err(Diagnostic::error(
                span,
                format!("a map of `{}()` has no single value", agg.name()),
            )
            .hint(format!(
                "print the whole map: `print(@{})`",
                self.maps[map].name
            ))),
        }
    }

    /// `$n`: a number where it is one, otherwise text.
    fn positional(&self, n: u32, span: Span) -> Expr {
        let Some(text) = self.env.positional.get(n as usize - 1) else {
            return Expr::int(0, Ty::I64, span);
        };
        match crate::lexer::integer(text) {
            Some(v) => Expr::int(v, Ty::I64, span),
            None => literal(text.clone().into_bytes(), span),
        }
    }

    fn ident(&mut self, name: &'a str, span: Span) -> Checked<Expr> {
        if let Some(arg) = self.macro_argument(name) {
            return self.in_caller(arg, |c| c.place(arg.expr));
        }
        if let Some((value, ty)) = self.enumerator_declared(name) {
            return Ok(Expr::int(value, ty, span));
        }
        if self.has_macro(name) {
            return self.call_macro(name, &[], span);
        }
        let bare = name.strip_prefix("__builtin_").unwrap_or(name);
        if let Some(row) = builtins::find(bare) {
            if matches!(row.kind, Use::Function { min: 1.., .. }) {
                return Err(Diagnostic::error(span, format!("`{name}` is a function"))
                    .hint(format!("write {}", row.syntax)));
            }
            return (row.lower)(
                self,
                &Call {
                    name: bare,
                    args: &[],
                    span,
                },
            );
        }
        if let Some((value, ty)) = self.enumerator(name) {
            let ty = ty.map_or(Ty::I64, Ty::Enum);
            return Ok(Expr::int(value, ty, span));
        }
        if let Some(value) = super::constants::find(name) {
            return Ok(Expr::int(value, Ty::I64, span));
        }
        Err(
            Diagnostic::error(span, format!("unknown identifier: `{name}`"))
                .suggest(name, self.known_names()),
        )
    }

    fn enumerator_declared(&self, name: &str) -> Option<(i64, Ty)> {
        let (value, ty) = self.declared.enumerators.get(name)?;
        Some((*value, ty.clone().map_or(Ty::I64, Ty::Enum)))
    }

    fn call(&mut self, name: &'a str, args: &'a [ast::Expr], span: Span) -> Checked<Expr> {
        // A macro with other parameters than the builtin of its name stands beside it.
        if self.macro_takes(name, args.len()) {
            return self.call_macro(name, args, span);
        }
        let bare = name.strip_prefix("__builtin_").unwrap_or(name);
        let Some(row) = builtins::find(bare) else {
            if self.has_macro(name) {
                return self.call_macro(name, args, span);
            }
            if self.imported.functions.contains_key(name) {
                return self.call_imported(name, args, span);
            }
            let known = self.known_names().into_iter().chain(self.imported_names());
            return Err(match crate::diagnostics::nearest(name, known) {
                Some(near) => Diagnostic::error(span, format!("unknown function: `{name}`"))
                    .hint(format!("did you mean `{near}`?")),
                None => Diagnostic::error(span, format!("unknown function: `{name}`"))
                    .hint("docs/language.md lists all functions; `macro NAME(…) { … }` makes one"),
            });
        };
        let (min, max) = match row.kind {
            Use::Value => (0, 0),
            Use::Both { max } => (0, max),
            Use::Function { min, max } => (min, max),
        };
        if args.len() < min || args.len() > max {
            let wanted = match (min, max) {
                (a, b) if a == b => format!("{a} argument{}", if a == 1 { "" } else { "s" }),
                (a, usize::MAX) => {
                    format!("at least {a} argument{}", if a == 1 { "" } else { "s" })
                }
                (a, b) => format!("{a} to {b} arguments"),
            };
            return Err(Diagnostic::error(
                span,
                format!("`{name}()` takes {wanted}, {} given", args.len()),
            )
            .hint(format!("write {}", row.syntax)));
        }
        (row.lower)(
            self,
            &Call {
                name: bare,
                args,
                span,
            },
        )
    }

    fn cond_expr(
        &mut self,
        cond: &'a ast::Expr,
        yes: Option<&'a ast::Expr>,
        no: &'a ast::Expr,
        span: Span,
    ) -> Checked<Expr> {
        let Some(yes) = yes else {
            // `a ?: b`: a is worked out once.
            let value = self.number(cond)?;
            let no = self.number(no)?;
            let ty = value.ty.unify(&no.ty).unwrap_or(Ty::I64);
            let id = self.temp(&value.ty, span)?;
            let held = Expr::new(ExprKind::Var(id), ty.clone(), span);
            let pick = Expr::new(
                ExprKind::Cond {
                    cond: Box::new(held.clone()),
                    yes: Box::new(held),
                    no: Box::new(no),
                },
                ty.clone(),
                span,
            );
            let set = Stmt {
                kind: StmtKind::SetVar(id, value),
                span,
            };
            return Ok(Expr::new(
                ExprKind::Block(vec![set], Box::new(pick)),
                ty,
                span,
            ));
        };
        let cond = self.condition(cond)?;
        let yes = self.expr(yes)?;
        let no = self.expr(no)?;
        self.choose(cond, yes, no, span)
    }

    pub(super) fn choose(&self, cond: Expr, yes: Expr, no: Expr, span: Span) -> Checked<Expr> {
        let ty = yes.ty.unify(&no.ty).ok_or_else(|| {
            Diagnostic::error(
                span,
                format!(
                    "the two sides are of different types: `{}` and `{}`",
                    yes.ty, no.ty
                ),
            )
        })?;
        Ok(Expr::new(
            ExprKind::Cond {
                cond: Box::new(cond),
                yes: Box::new(yes),
                no: Box::new(no),
            },
            ty,
            span,
        ))
    }

    pub(super) fn cast(&mut self, value: Expr, target: Ty, span: Span) -> Checked<Expr> {
        let wrong = |v: &Expr, t: &Ty| {
            Err(Diagnostic::error(
                span,
                format!("cannot cast from `{}` to `{t}`", v.ty),
            ))
        };
        if value.ty == Ty::Unknown {
            return Ok(Expr::new(value.kind, target, span));
        }
        match target.clone() {
            Ty::Int { bytes, signed } => match &value.ty {
                Ty::Array(..) | Ty::Mem(_)
                    if self.array_to_number(&value, bytes, signed).is_some() =>
                {
                    match self.array_to_number(&value, bytes, signed) {
                        Some(v) => Ok(at(v, span)),
                        None => wrong(&value, &Ty::Int { bytes, signed }),
                    }
                }
                t if t.is_number() || matches!(t, Ty::Struct(..) | Ty::Array(..)) => {
                    Ok(match value.constant() {
                        Some(v) => {
                            Expr::int(truncate(v, bytes, signed), Ty::Int { bytes, signed }, span)
                        }
                        None => at(value.cast(bytes, signed), span),
                    })
                }
                _ => wrong(&value, &Ty::Int { bytes, signed }),
            },
            Ty::Bool => {
                if !value.ty.is_number() {
                    return wrong(&value, &Ty::Bool);
                }
                let zero = Expr::int(0, Ty::I64, span);
                Ok(Expr::new(
                    ExprKind::Cmp {
                        op: Cmp::Ne,
                        signed: true,
                        left: Box::new(value),
                        right: Box::new(zero),
                    },
                    Ty::Bool,
                    span,
                ))
            }
            Ty::Enum(e) if value.ty.is_number() => {
                let v = value.cast(4, true);
                Ok(Expr::new(v.kind, Ty::Enum(e), span))
            }
            Ty::Ptr(to, _) => {
                let space = match &value.ty {
                    Ty::Ptr(_, s) | Ty::Struct(_, s) | Ty::Array(_, _, s)
                        if *s != Space::Unknown =>
                    {
                        *s
                    }
                    t if t.is_number() || matches!(t, Ty::Struct(..) | Ty::Array(..)) => {
                        self.space()
                    }
                    _ => return wrong(&value, &Ty::Ptr(to, Space::Unknown)),
                };
                let ty = super::named::in_space(Ty::Ptr(to, space), space);
                Ok(Expr::new(value.kind, ty, span))
            }
            Ty::Array(elem, n, _) if value.ty.is_number() => {
                let space = self.space();
                self.number_to_array(value, *elem, n, space, span)
            }
            Ty::Array(..) | Ty::Struct(..) if matches!(&value.ty, Ty::Mem(m) if m.ty == target) => {
                Ok(value)
            }
            Ty::Str(n) => match value.ty {
                Ty::Str(_) => Ok(value),
                _ => wrong(&value, &Ty::Str(n)),
            },
            other => wrong(&value, &other),
        }
    }
}

/// A number as written, with its sign.
pub(super) fn is_number(e: &ast::Expr) -> Option<i64> {
    match &e.kind {
        ast::ExprKind::Int(i) if !i.duration => Some(i.value as i64),
        ast::ExprKind::Unary {
            op: UnOp::Neg,
            expr,
        } => is_number(expr).map(i64::wrapping_neg),
        _ => None,
    }
}

pub(crate) fn literal(bytes: Vec<u8>, span: Span) -> Expr {
    // Text ends at its first NUL.
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let n = end as u32 + 1;
    let mut bytes = bytes;
    bytes.truncate(end);
    Expr::new(ExprKind::Str(bytes), Ty::Str(n), span)
}

pub(super) fn at(e: Expr, span: Span) -> Expr {
    Expr { span, ..e }
}

pub(crate) fn truncate(v: i64, bytes: u8, signed: bool) -> i64 {
    match (bytes, signed) {
        (1, true) => i64::from(v as i8),
        (1, false) => i64::from(v as u8),
        (2, true) => i64::from(v as i16),
        (2, false) => i64::from(v as u16),
        (4, true) => i64::from(v as i32),
        (4, false) => i64::from(v as u32),
        _ => v,
    }
}
