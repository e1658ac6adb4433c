//! `percpu_kaddr`: where a processor's copy of a kernel variable is.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::hir::{Arith, Cmp, Expr, ExprKind};
use crate::types::{Space, Ty};

/// `bpf_get_smp_processor_id`.
const GET_SMP_PROCESSOR_ID: u32 = 8;
/// The kernel's array of the distances between the processors' copies.
const OFFSETS: &str = "__per_cpu_offset";

pub const PERCPU_KADDR: Row = Row {
    names: &["percpu_kaddr"],
    kind: Use::Function { min: 1, max: 2 },
    syntax: "`percpu_kaddr(\"NAME\")`, or `percpu_kaddr(\"NAME\", CPU)`",
    doc: "The address of a processor's copy of a kernel variable; 0 for a processor there is not.",
    example: "begin { printf(\"%p\\n\", percpu_kaddr(\"cpu_number\", 0)); }",
    lower: |c, call| {
        let span = call.span;
        let name = c.text(&call.args[0])?;
        let known = |n: &str| {
            c.env.functions.kernel_address(n).ok_or_else(|| {
                Diagnostic::error(
                    call.args[0].span,
                    format!("failed to resolve kernel symbol: {n}"),
                )
            })
        };
        let (base, offsets) = (known(&name)?, known(OFFSETS)?);
        let cpus = i64::from(c.env.cpus);
        let cpu = match call.args.get(1) {
            Some(a) => c.number(a)?,
            None => Expr::call0(GET_SMP_PROCESSOR_ID, Ty::U64, span).cast(4, false),
        };
        let int = |v: i64| Expr::int(v, Ty::U64, span);
        let id = c.temp(&Ty::U64, span)?;
        let held = Expr::new(ExprKind::Var(id), Ty::U64, span);
        let set = crate::hir::Stmt {
            kind: crate::hir::StmtKind::SetVar(id, cpu),
            span,
        };
        let at = Expr::bin(
            Arith::Add,
            Expr::bin(Arith::Mul, held.clone(), int(8), Ty::U64),
            int(offsets as i64),
            Ty::U64,
        );
        let distance = Expr::new(
            ExprKind::Read {
                addr: Box::new(at),
                bytes: 8,
                signed: false,
                space: Space::Kernel,
            },
            Ty::U64,
            span,
        );
        let there = Expr::new(
            ExprKind::Cmp {
                op: Cmp::Lt,
                signed: false,
                left: Box::new(held),
                right: Box::new(int(cpus)),
            },
            Ty::Bool,
            span,
        );
        let ty = Ty::ptr(Ty::U64, Space::Kernel);
        let pick = Expr::new(
            ExprKind::Cond {
                cond: Box::new(there),
                yes: Box::new(Expr::bin(
                    Arith::Add,
                    distance,
                    int(base as i64),
                    ty.clone(),
                )),
                no: Box::new(int(0)),
            },
            ty.clone(),
            span,
        );
        Ok(Expr::new(
            ExprKind::Block(vec![set], Box::new(pick)),
            ty,
            span,
        ))
    },
};
