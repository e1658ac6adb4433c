//! `comm`: the name of the thread that runs, or of a process.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::hir::{Arg, Expr, ExprKind};
use crate::types::Ty;

/// `bpf_get_current_comm`.
const GET_CURRENT_COMM: u32 = 16;
/// `TASK_COMM_LEN`.
const COMM_LEN: u32 = 16;

pub const ROW: Row = Row {
    names: &["comm"],
    kind: Use::Both { max: 1 },
    syntax: "`comm`, or `comm(PID)`",
    doc: "The name of the current thread. That of another process is for printing alone, and is asked for when it is printed: a process that has ended shows its number.",
    example: "begin { @[comm] = count(); }",
    lower: |c, call| {
        if let Some(pid) = call.args.first() {
            if !c.env.live {
                let what = "comm(PID) asks the processes of the machine: no recording has that";
                return Err(Diagnostic::error(call.span, what));
            }
            return Ok(Expr {
                ty: Ty::ProcessName,
                ..c.number(pid)?
            });
        }
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
