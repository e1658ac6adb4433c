//! Statements → typed statements.

use super::{Checked, Checker, Scope};
use crate::ast::{self, BinOp};
use crate::diagnostics::Diagnostic;
use crate::hir::{Arith, Cmp, Expr, ExprKind, Stmt, StmtKind};
use crate::source::Span;
use crate::types::Ty;

/// `bpf_get_current_pid_tgid`.
const MAX_UNROLL: i64 = 100;

impl<'a> Checker<'a> {
    pub(super) fn probe_body(&mut self, probe: &'a ast::Probe) -> Vec<Stmt> {
        let mut out = Vec::new();
        let span = probe.span;
        if self.probe().filtered() {
            out.extend(super::filters::leave(self.env, span));
        }
        if matches!(self.probe(), crate::probes::ProbeKind::Iter { .. }) {
            out.push(super::filters::leave_without_object(span));
        }
        if let Some(p) = &probe.predicate {
            match self.condition(p) {
                Ok(cond) => {
                    let body = self.block(&probe.body);
                    out.push(Stmt {
                        kind: StmtKind::If {
                            cond,
                            yes: body,
                            no: Vec::new(),
                        },
                        span: p.span,
                    });
                    return out;
                }
                Err(d) => self.found.push(d),
            }
        }
        out.extend(self.block(&probe.body));
        out
    }

    pub(super) fn push_scope(&mut self, scope: Scope<'a>) {
        self.scopes.push(scope);
    }

    pub(super) fn pop_scope(&mut self) {
        if let Some(scope) = self.scopes.pop()
            && !scope.barrier
        {
            // Macros' names stay inside.
            if !self.scopes.iter().any(|s| s.barrier) {
                self.ended
                    .extend(scope.vars.into_iter().filter(|(n, _)| !n.is_empty()));
            }
        }
    }

    /// Statements of a block; a value at its end is worked out and dropped.
    pub(super) fn block(&mut self, block: &'a ast::Block) -> Vec<Stmt> {
        self.push_scope(Scope::default());
        let mut out = self.stmts(&block.stmts);
        if let Some(v) = &block.value {
            match self.effect(v) {
                Ok(s) => out.extend(s),
                Err(d) => self.found.push(d),
            }
        }
        self.pop_scope();
        out
    }

    pub(super) fn stmts(&mut self, stmts: &'a [ast::Stmt]) -> Vec<Stmt> {
        let mut out = Vec::new();
        for s in stmts {
            match self.stmt(s) {
                Ok(list) => out.extend(list),
                Err(d) => {
                    self.found.push(d);
                    self.declare_anyway(s);
                }
            }
        }
        out
    }

    /// After an error in its assignment a variable is still declared, so that its uses are not
    /// errors too.
    fn declare_anyway(&mut self, s: &'a ast::Stmt) {
        let name = match &s.kind {
            ast::StmtKind::Let { name, .. } => name,
            ast::StmtKind::Assign { target, .. } => match &target.kind {
                ast::ExprKind::Var(name) => name,
                _ => return,
            },
            _ => return,
        };
        if self.find_var(name).is_none() && !self.ended.contains_key(name) {
            // It has a type only where an earlier walk found one.
            let _ = self.new_var(name, &Ty::Unknown, s.span);
        }
    }

    /// An expression for what it does.
    fn effect(&mut self, e: &'a ast::Expr) -> Checked<Vec<Stmt>> {
        if let ast::ExprKind::If(chain) = &e.kind {
            return self.if_stmt(chain, e.span);
        }
        if let ast::ExprKind::Block(b) = &e.kind {
            return Ok(self.block(b));
        }
        let v = self.place(e)?;
        if let Ty::Agg(a) = v.ty {
            return Err(Diagnostic::error(
                e.span,
                format!("`{}()` must be assigned to a map", a.name()),
            )
            .hint(format!("write `@x = {}(…);`", a.name())));
        }
        // Nothing to do for plain values.
        if matches!(
            v.kind,
            ExprKind::Int(_) | ExprKind::Str(_) | ExprKind::Var(_)
        ) {
            return Ok(Vec::new());
        }
        Ok(vec![Stmt {
            kind: StmtKind::Expr(v),
            span: e.span,
        }])
    }

    fn stmt(&mut self, s: &'a ast::Stmt) -> Checked<Vec<Stmt>> {
        let span = s.span;
        let one = |kind| Ok(vec![Stmt { kind, span }]);
        match &s.kind {
            ast::StmtKind::Expr(e) | ast::StmtKind::Discard(e) => self.effect(e),
            ast::StmtKind::Let { name, ty, value } => {
                self.let_stmt(name, ty.as_ref(), value.as_ref(), span)
            }
            ast::StmtKind::Assign { target, op, value } => self.assign(target, *op, value, span),
            ast::StmtKind::If(chain) => self.if_stmt(chain, span),
            ast::StmtKind::Block(b) => one(StmtKind::Block(self.block(b))),
            ast::StmtKind::While { cond, body } => {
                let cond = self.condition(cond)?;
                self.loops += 1;
                let body = self.block(body);
                self.loops -= 1;
                one(StmtKind::Loop {
                    cond,
                    body,
                    next: Vec::new(),
                })
            }
            ast::StmtKind::Unroll { times, body } => {
                let n = self.constant(times)?;
                if n > MAX_UNROLL {
                    return Err(Diagnostic::error(
                        times.span,
                        format!("unroll maximum value is {MAX_UNROLL}"),
                    )
                    .hint("a loop may be longer: `for $i : 0..N { … }`"));
                }
                if n < 1 {
                    return Err(Diagnostic::error(times.span, "unroll minimum value is 1"));
                }
                self.loops += 1;
                let turn = self.block(body);
                self.loops -= 1;
                let turns = (0..n)
                    .map(|_| Stmt {
                        kind: StmtKind::Block(turn.clone()),
                        span,
                    })
                    .collect();
                one(StmtKind::Turn(turns))
            }
            ast::StmtKind::For { var, over, body } => self.for_stmt(var, over, body, span),
            ast::StmtKind::Break | ast::StmtKind::Continue if self.loops == 0 => Err(
                Diagnostic::error(span, "`break` and `continue` only work inside of a loop"),
            ),
            ast::StmtKind::Break => one(StmtKind::Break),
            ast::StmtKind::Continue => one(StmtKind::Continue),
            ast::StmtKind::Return(value) => {
                let mut out = match value {
                    Some(v) => self.effect(v)?,
                    None => Vec::new(),
                };
                out.push(Stmt {
                    kind: StmtKind::Return,
                    span,
                });
                Ok(out)
            }
        }
    }

    fn let_stmt(
        &mut self,
        name: &str,
        ty: Option<&'a ast::TypeName>,
        value: Option<&'a ast::Expr>,
        span: Span,
    ) -> Checked<Vec<Stmt>> {
        if self
            .scopes
            .last()
            .is_some_and(|s| s.vars.contains_key(name))
        {
            return Err(Diagnostic::error(
                span,
                format!("variable ${name} was already declared"),
            ));
        }
        let declared = match ty {
            Some(t) => Some(self.type_named(t)?),
            None => None,
        };
        let value = match value {
            Some(v) => Some(self.storable(v)?),
            None => None,
        };
        let Some(mut value) = value else {
            // Zero until it is assigned.
            let id = self.new_var(name, declared.as_ref().unwrap_or(&Ty::Unknown), span)?;
            self.keep_declared(id, declared);
            let kind = match self.vars[id].clone() {
                Ty::Unknown => return Ok(Vec::new()),
                t if t.is_scalar() => StmtKind::SetVar(id, Expr::int(0, t, span)),
                Ty::Str(_) => StmtKind::SetVar(id, super::expr::literal(Vec::new(), span)),
                _ => return Ok(Vec::new()),
            };
            return Ok(vec![Stmt { kind, span }]);
        };
        value = as_declared(value, declared.as_ref(), span)?;
        let ty = match &declared {
            Some(d) => {
                let known = d.unify(&value.ty).ok_or_else(|| {
                    Diagnostic::error(
                        span,
                        format!("type mismatch: ${name} is declared as `{d}`, its value is of type `{}`", value.ty),
                    )
                })?;
                if matches!(d, Ty::Ptr(..)) {
                    value.ty.clone()
                } else {
                    known
                }
            }
            None => value.ty.clone(),
        };
        let id = self.new_var(name, &ty, span)?;
        self.keep_declared(id, declared);
        Ok(vec![Stmt {
            kind: StmtKind::SetVar(id, value),
            span,
        }])
    }

    fn keep_declared(&mut self, id: usize, declared: Option<Ty>) {
        let at = (self.probe_index(), id);
        match declared {
            Some(ty @ Ty::Int { .. }) => self.declared_vars.insert(at, ty),
            // The number may have been another variable's in an earlier walk.
            _ => self.declared_vars.remove(&at),
        };
    }

    fn assign(
        &mut self,
        target: &'a ast::Expr,
        op: Option<BinOp>,
        value: &'a ast::Expr,
        span: Span,
    ) -> Checked<Vec<Stmt>> {
        match &target.kind {
            ast::ExprKind::Var(name) => {
                let value = match op {
                    Some(op) => {
                        let old = self.expr(target)?;
                        let by = self.expr(value)?;
                        self.binary_of(op, old, by, span)?
                    }
                    None => self.storable(value)?,
                };
                let at = self.find_var(name).map(|id| (self.probe_index(), id));
                let declared = at.and_then(|at| self.declared_vars.get(&at));
                let value = as_declared(value, declared, span)?;
                let id = self.var_to_assign(name, &value.ty, span)?;
                Ok(vec![Stmt {
                    kind: StmtKind::SetVar(id, value),
                    span,
                }])
            }
            ast::ExprKind::Map { name, keys } => {
                let value = match op {
                    Some(op) => {
                        let (_, types) = self.keys(keys)?;
                        let map = self.map_index(name, span);
                        self.refine_keys(map, &types, span)?;
                        let mut old = self.map_get(name, keys, target.span)?;
                        if old.ty == Ty::Unknown {
                            old.ty = Ty::I64;
                        }
                        let by = self.expr(value)?;
                        self.binary_of(op, old, by, span)?
                    }
                    None => {
                        let v = self.expr(value)?;
                        match v.kind {
                            ExprKind::Agg { agg, arg, .. } => {
                                return self.collect(name, keys, agg, arg, span);
                            }
                            _ => self.checked_storable(v)?,
                        }
                    }
                };
                let (key, types) = self.keys(keys)?;
                let map = self.map_index(name, span);
                self.refine_keys(map, &types, target.span)?;
                self.refine_value(map, &value.ty, span)?;
                Ok(vec![Stmt {
                    kind: StmtKind::SetMap { map, key, value },
                    span,
                }])
            }
            _ => Err(Diagnostic::error(target.span, "this cannot be assigned to")),
        }
    }

    fn checked_storable(&self, v: Expr) -> Checked<Expr> {
        match &v.ty {
            Ty::Void => Err(Diagnostic::error(v.span, "this gives no value")),
            _ => self.by_value(v),
        }
    }

    fn collect(
        &mut self,
        name: &str,
        keys: &'a [ast::Expr],
        agg: crate::types::Agg,
        arg: Option<Box<Expr>>,
        span: Span,
    ) -> Checked<Vec<Stmt>> {
        let (key, types) = self.keys(keys)?;
        let map = self.map_index(name, span);
        self.refine_keys(map, &types, span)?;
        self.refine_value(map, &Ty::Agg(agg), span)?;
        Ok(vec![Stmt {
            kind: StmtKind::Collect {
                map,
                key,
                agg,
                arg: arg.map(|a| *a),
            },
            span,
        }])
    }

    /// The variable an assignment means: a visible one, one of an ended block when the types agree, or a new one.
    pub(crate) fn var_to_assign(&mut self, name: &str, ty: &Ty, span: Span) -> Checked<usize> {
        if let Some(id) = self.find_var(name) {
            self.refine_var(id, name, ty, span)?;
            return Ok(id);
        }
        if let Some(&id) = self.ended.get(name)
            && !self.scopes.iter().any(|s| s.barrier)
            && self.vars[id].unify(ty).is_some()
        {
            if let Some(scope) = self.scopes.last_mut() {
                scope.vars.insert(name.to_owned(), id);
            }
            self.refine_var(id, name, ty, span)?;
            return Ok(id);
        }
        self.new_var(name, ty, span)
    }

    fn if_stmt(&mut self, chain: &'a ast::If, span: Span) -> Checked<Vec<Stmt>> {
        let mut arms = Vec::new();
        let mut otherwise = chain.otherwise.as_ref();
        for (cond, body) in &chain.arms {
            let cond = self.condition(cond)?;
            match super::known(&cond) {
                // What can never run is not looked at.
                Some(0) => {}
                Some(_) => {
                    otherwise = Some(body);
                    break;
                }
                None => arms.push((cond, self.block(body))),
            }
        }
        let mut no = match otherwise {
            Some(b) => self.block(b),
            None => Vec::new(),
        };
        for (cond, yes) in arms.into_iter().rev() {
            no = vec![Stmt {
                kind: StmtKind::If { cond, yes, no },
                span,
            }];
        }
        Ok(no)
    }

    fn for_stmt(
        &mut self,
        var: &'a str,
        over: &'a ast::ForOver,
        body: &'a ast::Block,
        span: Span,
    ) -> Checked<Vec<Stmt>> {
        let (from, to) = match over {
            ast::ForOver::Range(from, to) => (from, to),
            ast::ForOver::Map(map) => return self.for_map(var, map, body, span),
        };
        let from = self.number(from)?;
        let to = self.number(to)?;
        self.push_scope(Scope::default());
        let end = self.temp(&Ty::I64, span)?;
        let i = self.new_var(var, &Ty::I64, span)?;
        let get = |id| Expr::new(ExprKind::Var(id), Ty::I64, span);
        let set = |id, value| Stmt {
            kind: StmtKind::SetVar(id, value),
            span,
        };
        self.loops += 1;
        let body = self.block(body);
        self.loops -= 1;
        self.pop_scope();
        let cond = Expr::new(
            ExprKind::Cmp {
                op: Cmp::Lt,
                signed: true,
                left: Box::new(get(i)),
                right: Box::new(get(end)),
            },
            Ty::Bool,
            span,
        );
        let next = vec![set(
            i,
            Expr::bin(Arith::Add, get(i), Expr::int(1, Ty::I64, span), Ty::I64),
        )];
        Ok(vec![
            set(i, from),
            set(end, to),
            Stmt {
                kind: StmtKind::Loop { cond, body, next },
                span,
            },
        ])
    }

    /// Key and value of a map's entries.
    pub(crate) fn entry_type(&self, n: usize, span: Span) -> Checked<Ty> {
        let def = &self.maps[n];
        if def.keys.is_empty() && def.value != Ty::Unknown {
            return Err(Diagnostic::error(
                span,
                format!("`@{}` has no keys to loop over", def.name),
            ));
        }
        let key = match def.keys.as_slice() {
            [] => Ty::Unknown,
            [one] => one.clone(),
            many => Ty::Tuple(many.to_vec()),
        };
        let value = match def.value.clone() {
            Ty::Agg(agg) => self.agg_number(n, agg, span)?,
            other => other,
        };
        Ok(Ty::Tuple(vec![key, value]))
    }

    fn for_map(
        &mut self,
        var: &'a str,
        map: &'a ast::Expr,
        body: &'a ast::Block,
        span: Span,
    ) -> Checked<Vec<Stmt>> {
        let Some(n) = self.whole_map(map) else {
            return Err(
                Diagnostic::error(map.span, "a loop goes over a map or a range")
                    .hint("write `for ($kv : @map)` or `for ($i : 0..10)`"),
            );
        };
        let entry = self.entry_type(n, map.span)?;
        self.push_scope(Scope::default());
        let id = self.new_var(var, &entry, span)?;
        self.loops += 1;
        let body = self.block(body);
        self.loops -= 1;
        self.pop_scope();
        Ok(vec![Stmt {
            kind: StmtKind::ForMap {
                map: n,
                var: id,
                body,
            },
            span,
        }])
    }

    /// A block as an expression.
    pub(super) fn block_value(&mut self, block: &'a ast::Block, span: Span) -> Checked<Expr> {
        self.push_scope(Scope::default());
        let stmts = self.stmts(&block.stmts);
        let value = match &block.value {
            Some(v) => self.expr(v),
            None => Ok(Expr::new(ExprKind::Do(Vec::new()), Ty::Void, span)),
        };
        self.pop_scope();
        let value = value?;
        if stmts.is_empty() && !matches!(value.kind, ExprKind::Agg { .. }) {
            return Ok(value);
        }
        let ty = value.ty.clone();
        if let ExprKind::Agg { .. } = value.kind {
            return Err(Diagnostic::error(
                span,
                "an aggregation cannot be a block's value",
            ));
        }
        Ok(Expr::new(ExprKind::Block(stmts, Box::new(value)), ty, span))
    }

    /// `if` as an expression: every arm has a value.
    pub(super) fn if_value(&mut self, chain: &'a ast::If, span: Span) -> Checked<Expr> {
        let Some(otherwise) = &chain.otherwise else {
            return Err(Diagnostic::error(
                span,
                "an `if` that gives a value needs an `else`",
            ));
        };
        let mut arms = Vec::new();
        let mut otherwise = otherwise;
        for (cond, body) in &chain.arms {
            let cond = self.condition(cond)?;
            match super::known(&cond) {
                Some(0) => {}
                Some(_) => {
                    otherwise = body;
                    break;
                }
                None => arms.push((cond, self.block_value(body, span)?)),
            }
        }
        let mut value = self.block_value(otherwise, span)?;
        for (cond, yes) in arms.into_iter().rev() {
            value = self.choose(cond, yes, value, span)?;
        }
        Ok(value)
    }
}

/// A number as a variable that was declared with a type holds it.
fn as_declared(value: Expr, declared: Option<&Ty>, span: Span) -> Checked<Expr> {
    let Some(&Ty::Int { bytes, signed }) = declared else {
        return Ok(value);
    };
    if !matches!(value.ty, Ty::Int { .. } | Ty::Bool) {
        return Ok(value);
    }
    let Some(v) = value.constant() else {
        return Ok(value.cast(bytes, signed));
    };
    if super::expr::truncate(v, bytes, signed) != v && value.ty.is_signed() {
        return Err(Diagnostic::error(
            span,
            format!("the value does not fit `{}`", Ty::Int { bytes, signed }),
        ));
    }
    Ok(Expr::int(v, Ty::Int { bytes, signed }, value.span))
}
