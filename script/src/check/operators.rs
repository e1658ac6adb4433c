//! Operators → typed expressions: C's rules of signs, pointers that count elements, comparisons of any values.

use super::convert::literal_type;
use super::expr::at;
use super::{Checked, Checker};
use crate::ast::{self, BinOp, UnOp};
use crate::builtins;
use crate::diagnostics::Diagnostic;
use crate::event::MessageKind;
use crate::hir::{Arith, Cmp, Expr, ExprKind, Place, Stmt, StmtKind};
use crate::source::Span;
use crate::types::{Space, Ty};

impl<'a> Checker<'a> {
    pub(super) fn unary(&mut self, op: UnOp, expr: &'a ast::Expr, span: Span) -> Checked<Expr> {
        if op == UnOp::AddrOf {
            return self.address_of(expr, span);
        }
        if op == UnOp::Deref {
            let e = self.place(expr)?;
            let v = self.deref(e, span)?;
            return Ok(v);
        }
        let e = self.number(expr)?;
        Ok(match op {
            UnOp::Not => match e.constant() {
                Some(v) => Expr::int(i64::from(v == 0), Ty::Bool, span),
                None => Expr::new(ExprKind::Not(Box::new(e)), Ty::Bool, span),
            },
            UnOp::Neg => match e.constant() {
                Some(v) => Expr::int(v.wrapping_neg(), Ty::I64, span),
                None => Expr::bin(Arith::Sub, Expr::int(0, Ty::I64, span), e, Ty::I64),
            },
            _ => match e.constant() {
                Some(v) => Expr::int(!v, Ty::I64, span),
                None => {
                    let signed = e.ty.is_signed();
                    Expr::bin(
                        Arith::Xor,
                        e,
                        Expr::int(-1, Ty::I64, span),
                        Ty::Int { bytes: 8, signed },
                    )
                }
            },
        })
    }

    /// `&$x`, `&@m[key]`, or `&` of a field or element somewhere in memory.
    fn address_of(&mut self, expr: &'a ast::Expr, span: Span) -> Checked<Expr> {
        let e = self.place(expr)?;
        let to = |e: Expr, space| {
            let ty = Ty::ptr(e.ty.clone(), space);
            Expr::new(ExprKind::AddrOf(Box::new(e)), ty, span)
        };
        match (&e.kind, &e.ty) {
            (ExprKind::Var(_) | ExprKind::MapGet { .. }, Ty::Mem(m)) => {
                let ty = Ty::ptr(super::named::in_space(m.ty.clone(), Space::Kernel), Space::Kernel);
                Ok(Expr::new(ExprKind::AddrOf(Box::new(e)), ty, span))
            }
            (ExprKind::Var(_) | ExprKind::MapGet { .. }, _) => Ok(to(e, Space::Kernel)),
            (ExprKind::Read { .. }, _) => {
                let ty = e.ty.clone();
                match e.kind {
                    ExprKind::Read { addr, space, .. } => {
                        Ok(Expr::new(addr.kind, Ty::ptr(ty, space), span))
                    }
                    _ => Ok(Expr::int(0, Ty::U64, span)),
                }
            }
            (_, Ty::Struct(_, space) | Ty::Array(_, _, space)) => {
                let space = self.known_space(*space);
                let ty = Ty::ptr(e.ty.clone(), space);
                Ok(Expr::new(e.kind, ty, span))
            }
            (_, Ty::Unknown) => Ok(e),
            _ => Err(Diagnostic::error(span, "this has no address").hint(
                "variables, maps' values and fields in memory have one: `&$x`, `&@m[1]`, `&$p->field`",
            )),
        }
    }

    pub(super) fn binary(
        &mut self,
        op: BinOp,
        left: &'a ast::Expr,
        right: &'a ast::Expr,
        span: Span,
    ) -> Checked<Expr> {
        match op {
            BinOp::LogAnd | BinOp::LogOr => {
                let l = self.condition(left)?;
                let r = self.condition(right)?;
                let kind = if op == BinOp::LogAnd {
                    ExprKind::And(Box::new(l), Box::new(r))
                } else {
                    ExprKind::Or(Box::new(l), Box::new(r))
                };
                Ok(Expr::new(kind, Ty::Bool, span))
            }
            _ => {
                let l = self.expr(left)?;
                let r = self.expr(right)?;
                self.binary_of(op, l, r, span)
            }
        }
    }

    pub(super) fn binary_of(&mut self, op: BinOp, l: Expr, r: Expr, span: Span) -> Checked<Expr> {
        if op.is_comparison() {
            return self.compare(op, l, r, span);
        }
        for side in [&l, &r] {
            if !side.ty.is_number() {
                return Err(Diagnostic::error(
                    side.span,
                    format!(
                        "`{}` needs numbers, this is of type `{}`",
                        op.text(),
                        side.ty
                    ),
                )
                .hint(match side.ty {
                    Ty::Str(_) => "texts are compared with `==`, and put together by `printf`",
                    _ => "a cast such as `(uint64)…` may give one",
                }));
            }
        }
        if let (Some(a), Some(b)) = (l.constant(), r.constant())
            && let Some(v) = fold(op, a, b, l.ty.is_signed() && r.ty.is_signed())
            && !matches!((&l.ty, &r.ty), (Ty::Ptr(..), _) | (_, Ty::Ptr(..)))
        {
            let ty = if matches!(op, BinOp::Sub) {
                Ty::I64
            } else {
                literal_type(&l.ty, &r.ty)
            };
            return Ok(Expr::int(v, ty, span));
        }
        // Pointer arithmetic counts elements.
        if let (Ty::Ptr(to, _), BinOp::Add | BinOp::Sub) = (&l.ty, op) {
            if matches!(r.ty, Ty::Ptr(..)) {
                return Ok(at(Expr::bin(Arith::Sub, l, r, Ty::I64), span));
            }
            let size = i64::from(self.memory_layout(to).0.max(1));
            let ty = l.ty.clone();
            let by = scaled(r, size, span);
            let arith = if op == BinOp::Add {
                Arith::Add
            } else {
                Arith::Sub
            };
            return Ok(at(Expr::bin(arith, l, by, ty), span));
        }
        if let (Ty::Ptr(to, _), BinOp::Add) = (&r.ty, op) {
            let size = i64::from(self.memory_layout(to).0.max(1));
            let ty = r.ty.clone();
            let by = scaled(l, size, span);
            return Ok(at(Expr::bin(Arith::Add, by, r, ty), span));
        }
        if matches!(op, BinOp::Div | BinOp::Mod) && r.constant().is_none_or(|v| v == 0) {
            return self.checked_division(op, l, r, span);
        }
        let signed = common_sign(&l, &r);
        let arith = match op {
            BinOp::Add => Arith::Add,
            BinOp::Sub => Arith::Sub,
            BinOp::Mul => Arith::Mul,
            BinOp::Div => Arith::Div { signed },
            BinOp::Mod => Arith::Mod { signed },
            BinOp::And => Arith::And,
            BinOp::Or => Arith::Or,
            BinOp::Xor => Arith::Xor,
            BinOp::Shl => Arith::Shl,
            _ => Arith::Shr {
                signed: l.ty.is_signed(),
            },
        };
        let signed = match op {
            BinOp::Sub => true,
            BinOp::Shl | BinOp::Shr => l.ty.is_signed(),
            _ => signed,
        };
        Ok(at(
            Expr::bin(arith, l, r, Ty::Int { bytes: 8, signed }),
            span,
        ))
    }

    /// A division whose divisor may be 0: then it gives 1 and says so.
    fn checked_division(&mut self, op: BinOp, l: Expr, r: Expr, span: Span) -> Checked<Expr> {
        let signed = common_sign(&l, &r);
        let ty = Ty::Int { bytes: 8, signed };
        let id = self.temp(&r.ty.clone(), span)?;
        let divisor = Expr::new(ExprKind::Var(id), r.ty.clone(), span);
        let set = Stmt {
            kind: StmtKind::SetVar(id, r),
            span,
        };
        let arith = if op == BinOp::Div {
            Arith::Div { signed }
        } else {
            Arith::Mod { signed }
        };
        let say = builtins::runtime_message(
            self,
            MessageKind::Runtime,
            "Divide or modulo by 0 detected. This can lead to unexpected results. 1 is being used as the result.",
            span,
        );
        let one = Expr::int(1, ty.clone(), span);
        let pick = Expr::new(
            ExprKind::Cond {
                cond: Box::new(divisor.clone()),
                yes: Box::new(at(Expr::bin(arith, l, divisor, ty.clone()), span)),
                no: Box::new(Expr::new(
                    ExprKind::Block(vec![say], Box::new(one)),
                    ty.clone(),
                    span,
                )),
            },
            ty.clone(),
            span,
        );
        Ok(Expr::new(
            ExprKind::Block(vec![set], Box::new(pick)),
            ty,
            span,
        ))
    }

    fn compare(&mut self, op: BinOp, l: Expr, r: Expr, span: Span) -> Checked<Expr> {
        let cmp = match op {
            BinOp::Eq => Cmp::Eq,
            BinOp::Ne => Cmp::Ne,
            BinOp::Lt => Cmp::Lt,
            BinOp::Le => Cmp::Le,
            BinOp::Gt => Cmp::Gt,
            _ => Cmp::Ge,
        };
        let equality = matches!(cmp, Cmp::Eq | Cmp::Ne);
        let kind = match (&l.ty, &r.ty) {
            (Ty::Str(_), Ty::Str(_)) if equality => ExprKind::StrEq {
                left: Box::new(l),
                right: Box::new(r),
                limit: None,
            },
            (a, b) if a.is_number() && b.is_number() => {
                let signed = common_sign(&l, &r);
                return Ok(Expr::new(
                    ExprKind::Cmp {
                        op: cmp,
                        signed,
                        left: Box::new(l),
                        right: Box::new(r),
                    },
                    Ty::Bool,
                    span,
                ));
            }
            (Ty::Unknown, _) | (_, Ty::Unknown) => return Ok(Expr::int(0, Ty::Bool, span)),
            (a, b) if equality && !a.is_scalar() && !b.is_scalar() && a.unify(b).is_some() => {
                ExprKind::MemEq {
                    left: Box::new(l),
                    right: Box::new(r),
                }
            }
            (a, b) => {
                return Err(Diagnostic::error(
                    span,
                    format!(
                        "`{}` cannot compare values of type `{a}` and `{b}`",
                        op.text()
                    ),
                ));
            }
        };
        let e = Expr::new(kind, Ty::Bool, span);
        Ok(if cmp == Cmp::Ne {
            Expr::new(ExprKind::Not(Box::new(e)), Ty::Bool, span)
        } else {
            e
        })
    }

    pub(super) fn step(
        &mut self,
        target: &'a ast::Expr,
        up: bool,
        prefix: bool,
        span: Span,
    ) -> Checked<Expr> {
        let (place, ty) = match &target.kind {
            ast::ExprKind::Var(name) => {
                let id = match self
                    .find_var(name)
                    .or_else(|| self.ended.get(name).copied())
                {
                    Some(id) => id,
                    None => return self.var(name, span),
                };
                (Place::Var(id), self.vars[id].clone())
            }
            ast::ExprKind::Map { name, keys } => {
                let (key, types) = self.keys(keys)?;
                let map = self.map_index(name, span);
                self.refine_keys(map, &types, span)?;
                if self.maps[map].value == Ty::Unknown
                    || matches!(self.maps[map].value, Ty::Int { .. })
                {
                    self.refine_value(map, &Ty::I64, span)?;
                }
                (Place::Map { map, key }, self.maps[map].value.clone())
            }
            _ => {
                return Err(Diagnostic::error(
                    span,
                    "only variables and maps can be incremented",
                ));
            }
        };
        let by = match &ty {
            Ty::Ptr(to, _) => i64::from(self.memory_layout(to).0.max(1)),
            Ty::Int { .. } | Ty::Unknown => 1,
            other => {
                return Err(Diagnostic::error(
                    span,
                    format!("a value of type `{other}` cannot be incremented"),
                ));
            }
        };
        Ok(Expr::new(
            ExprKind::Step {
                place,
                delta: if up { by } else { -by },
                prefix,
            },
            ty,
            span,
        ))
    }
}

fn scaled(e: Expr, size: i64, span: Span) -> Expr {
    match e.constant().and_then(|v| v.checked_mul(size)) {
        Some(v) => Expr::int(v, Ty::I64, span),
        None if size == 1 => e,
        None => Expr::bin(Arith::Mul, e, Expr::int(size, Ty::I64, span), Ty::I64),
    }
}

/// C's rule, but for literals, which take the other side's sign, and for narrow unsigned numbers,
/// which fit into a signed 64-bit number.
fn common_sign(l: &Expr, r: &Expr) -> bool {
    let (a, b) = (l.ty.is_signed(), r.ty.is_signed());
    if a == b {
        return a;
    }
    if l.constant().is_some_and(|v| v >= 0) {
        return b;
    }
    if r.constant().is_some_and(|v| v >= 0) {
        return a;
    }
    let unsigned = if a { &r.ty } else { &l.ty };
    unsigned.int_bytes() < 8
}

fn fold(op: BinOp, a: i64, b: i64, signed: bool) -> Option<i64> {
    Some(match op {
        BinOp::Add => a.wrapping_add(b),
        BinOp::Sub => a.wrapping_sub(b),
        BinOp::Mul => a.wrapping_mul(b),
        BinOp::Div if b != 0 && signed => a.wrapping_div(b),
        BinOp::Div if b != 0 => (a as u64 / b as u64) as i64,
        BinOp::Mod if b != 0 && signed => a.wrapping_rem(b),
        BinOp::Mod if b != 0 => (a as u64 % b as u64) as i64,
        BinOp::And => a & b,
        BinOp::Or => a | b,
        BinOp::Xor => a ^ b,
        BinOp::Shl if (0..64).contains(&b) => a.wrapping_shl(b as u32),
        BinOp::Shr if (0..64).contains(&b) && signed => a >> b,
        BinOp::Shr if (0..64).contains(&b) => ((a as u64) >> b) as i64,
        _ => return None,
    })
}
