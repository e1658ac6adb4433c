//! `pid` and `tid`: the process and the thread that runs.

use super::{Row, Use};
use crate::hir::{Arith, Expr};
use crate::types::Ty;

/// `bpf_get_current_pid_tgid`: process in the high half, thread in the low one.
const GET_CURRENT_PID_TGID: u32 = 14;

pub const PID: Row = Row {
    names: &["pid"],
    kind: Use::Value,
    syntax: "`pid`",
    doc: "The number of the current process.",
    example: "begin { printf(\"%d\\n\", pid); }",
    lower: |_, call| {
        let both = Expr::call0(GET_CURRENT_PID_TGID, Ty::U64, call.span);
        let by = Expr::int(32, Ty::I64, call.span);
        Ok(Expr::bin(Arith::Shr { signed: false }, both, by, Ty::U32))
    },
};

pub const TID: Row = Row {
    names: &["tid"],
    kind: Use::Value,
    syntax: "`tid`",
    doc: "The number of the current thread.",
    example: "begin { @[tid] = count(); }",
    lower: |_, call| Ok(Expr::call0(GET_CURRENT_PID_TGID, Ty::U64, call.span).cast(4, false)),
};
