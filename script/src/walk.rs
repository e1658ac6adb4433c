//! A typed program → each of its expressions, for passes that look for some or change some.

use crate::hir::{Expr, ExprKind, Place, Stmt, StmtKind};

impl Expr {
    /// Hands each direct part to `f`; statements inside of it to `s`.
    pub(crate) fn parts_mut(
        &mut self,
        f: &mut dyn FnMut(&mut Expr),
        s: &mut dyn FnMut(&mut Vec<Stmt>),
    ) {
        match &mut self.kind {
            ExprKind::Int(_)
            | ExprKind::Str(_)
            | ExprKind::Var(_)
            | ExprKind::Call { .. }
            | ExprKind::Fill { .. }
            | ExprKind::Ctx(_)
            | ExprKind::CtxLoad { .. }
            | ExprKind::CtxStr { .. }
            | ExprKind::Stack { .. }
            | ExprKind::Unwound { .. }
            | ExprKind::Frames { .. }
            | ExprKind::StartTime => {}
            ExprKind::MapGet { key, .. }
            | ExprKind::MapHas { key, .. }
            | ExprKind::MapDelete { key, .. }
            | ExprKind::AggGet { key, .. } => key.iter_mut().for_each(f),
            ExprKind::Helper { args, .. } | ExprKind::Function { args, .. } => {
                args.iter_mut().for_each(f)
            }
            ExprKind::Tuple(items) | ExprKind::Words(items) => items.iter_mut().for_each(f),
            ExprKind::Read { addr, .. } | ExprKind::ReadMem { addr, .. } => f(addr),
            ExprKind::ReadStr { addr, len, .. } => {
                f(addr);
                if let Some(len) = len {
                    f(len);
                }
            }
            ExprKind::ReadBuf { addr, len, .. } => {
                f(addr);
                f(len);
            }
            ExprKind::Bytes { of, .. } | ExprKind::Slice { of, .. } | ExprKind::Part { of, .. } => {
                f(of)
            }
            ExprKind::Element { of, index, .. } | ExprKind::CharAt { of, index } => {
                f(of);
                f(index);
            }
            ExprKind::AddrOf(e)
            | ExprKind::Not(e)
            | ExprKind::StrLen(e)
            | ExprKind::StrGlob { of: e, .. } => f(e),
            ExprKind::BufOf { value, .. } => f(value),
            ExprKind::Bin { left, right, .. }
            | ExprKind::Cmp { left, right, .. }
            | ExprKind::And(left, right)
            | ExprKind::Or(left, right)
            | ExprKind::StrEq { left, right, .. }
            | ExprKind::StrConcat { left, right }
            | ExprKind::MemEq { left, right } => {
                f(left);
                f(right);
            }
            ExprKind::Cast { expr, .. } | ExprKind::Swap { expr, .. } => f(expr),
            ExprKind::Cond { cond, yes, no } => {
                f(cond);
                f(yes);
                f(no);
            }
            ExprKind::StrHas { hay, .. } => f(hay),
            ExprKind::Step { place, .. } => {
                if let Place::Map { key, .. } = place {
                    key.iter_mut().for_each(f);
                }
            }
            ExprKind::Block(stmts, value) => {
                s(stmts);
                f(value);
            }
            ExprKind::Do(stmts) => s(stmts),
            ExprKind::Agg { arg, .. } => {
                if let Some(arg) = arg {
                    f(arg);
                }
            }
        }
    }
}

/// Hands every expression of the statements to `f`, inner ones first.
pub(crate) fn each_mut(stmts: &mut [Stmt], f: &mut dyn FnMut(&mut Expr)) {
    for stmt in stmts {
        match &mut stmt.kind {
            StmtKind::Expr(e) | StmtKind::SetVar(_, e) | StmtKind::StoreStart(e) => expr(e, f),
            StmtKind::SetMap { key, value, .. } => {
                key.iter_mut().for_each(|k| expr(k, f));
                expr(value, f);
            }
            StmtKind::Collect { key, arg, .. } => {
                key.iter_mut().for_each(|k| expr(k, f));
                if let Some(arg) = arg {
                    expr(arg, f);
                }
            }
            StmtKind::If { cond, yes, no } => {
                expr(cond, f);
                each_mut(yes, f);
                each_mut(no, f);
            }
            StmtKind::Loop { cond, body, next } => {
                expr(cond, f);
                each_mut(body, f);
                each_mut(next, f);
            }
            StmtKind::ForMap { body, .. } | StmtKind::Turn(body) | StmtKind::Block(body) => {
                each_mut(body, f);
            }
            StmtKind::Emit { args, .. } => args.iter_mut().for_each(|a| expr(a, f)),
            StmtKind::Break | StmtKind::Continue | StmtKind::Return | StmtKind::StoreEnded => {}
        }
    }
}

fn expr(e: &mut Expr, f: &mut dyn FnMut(&mut Expr)) {
    inner(e, f);
    f(e);
}

fn inner(e: &mut Expr, f: &mut dyn FnMut(&mut Expr)) {
    // Parts and statements come one at a time.
    let shared = std::cell::RefCell::new(f);
    e.parts_mut(
        &mut |part| {
            let f = &mut **shared.borrow_mut();
            expr(part, f);
        },
        &mut |stmts| {
            let f = &mut **shared.borrow_mut();
            each_mut(stmts, f);
        },
    );
}
