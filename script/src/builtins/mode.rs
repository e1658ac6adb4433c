//! `usermode`: whether the processor was interrupted in user space; `is_err`: whether an address is an error.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::env::Arch;
use crate::hir::{Arith, Cmp, Expr, ExprKind};
use crate::probes::ProbeKind;
use crate::types::Ty;

/// `MAX_ERRNO`: addresses above `-MAX_ERRNO` are errors.
const MAX_ERRNO: i64 = 4095;

pub const USERMODE: Row = Row {
    names: &["usermode"],
    kind: Use::Value,
    syntax: "`usermode`",
    doc: "1 when the event came from user space, otherwise 0.",
    example: "profile:hz:99 { @[usermode] = count(); }",
    lower: |c, call| {
        let span = call.span;
        let known = |n| Ok(Expr::int(n, Ty::U8, span));
        let (register, mask, user) = match c.env.arch {
            // The privilege level is in the low bits of the code segment.
            Arch::X86_64 => (136, 3, 3),
            // The exception level in the processor's state; 0 is user space.
            Arch::Aarch64 => (264, 0xf, 0),
        };
        match c.probe() {
            ProbeKind::Begin
            | ProbeKind::End
            | ProbeKind::Uprobe { .. }
            | ProbeKind::Usdt { .. } => known(1),
            ProbeKind::Kprobe { .. } | ProbeKind::Fentry { .. } => known(0),
            ProbeKind::Profile(_)
            | ProbeKind::Interval(_)
            | ProbeKind::Watchpoint { .. }
            | ProbeKind::Software { .. }
            | ProbeKind::Hardware { .. } => {
                let word = Expr::new(
                    ExprKind::CtxLoad {
                        offset: register,
                        bytes: 8,
                        signed: false,
                    },
                    Ty::U64,
                    span,
                );
                let level = Expr::bin(Arith::And, word, Expr::int(mask, Ty::I64, span), Ty::U64);
                Ok(Expr::new(
                    ExprKind::Cmp {
                        op: Cmp::Eq,
                        signed: false,
                        left: Box::new(level),
                        right: Box::new(Expr::int(user, Ty::I64, span)),
                    },
                    Ty::U8,
                    span,
                ))
            }
            other => Err(Diagnostic::error(
                span,
                format!("`usermode` has no meaning in `{other}`"),
            )),
        }
    },
};

pub const IS_ERR: Row = Row {
    names: &["is_err"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`is_err(ADDRESS)`",
    doc: "Whether a kernel function returned an error in place of an address.",
    example: "begin { if (is_err(-2)) { printf(\"yes\\n\"); } }",
    lower: |c, call| {
        let v = c.number(&call.args[0])?;
        let limit = Expr::int(-MAX_ERRNO, Ty::U64, call.span);
        Ok(Expr::new(
            ExprKind::Cmp {
                op: Cmp::Ge,
                signed: false,
                left: Box::new(v),
                right: Box::new(limit),
            },
            Ty::Bool,
            call.span,
        ))
    },
};
