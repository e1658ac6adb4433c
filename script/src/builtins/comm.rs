//! `comm`: the name of the thread that runs.

use super::{Row, Use};
use crate::hir::{Arg, Expr, ExprKind};
use crate::types::Ty;

/// `bpf_get_current_comm`.
const GET_CURRENT_COMM: u32 = 16;
/// `TASK_COMM_LEN`.
const COMM_LEN: u32 = 16;

pub const ROW: Row = Row {
    names: &["comm"],
    kind: Use::Value,
    syntax: "`comm`",
    doc: "The name of the current thread.",
    example: "begin { @[comm] = count(); }",
    lower: |_, call| {
        Ok(Expr::new(
            ExprKind::Fill {
                helper: GET_CURRENT_COMM,
                args: vec![Arg::Dest, Arg::DestSize(COMM_LEN)],
            },
            Ty::Str(COMM_LEN),
            call.span,
        ))
    },
};
