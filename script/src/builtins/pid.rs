//! `pid` and `tid`: the process and the thread that runs.

use super::{Call, Row, Use};
use crate::check::{Checked, Checker};
use crate::diagnostics::Diagnostic;
use crate::hir::{Arg, Arith, Expr, ExprKind};
use crate::types::Ty;

/// `bpf_get_current_pid_tgid`: process in the high half, thread in the low one.
const GET_CURRENT_PID_TGID: u32 = 14;

/// `bpf_get_ns_current_pid_tgid`, which fills thread and process, 4 bytes each.
const GET_NS_CURRENT_PID_TGID: u32 = 120;

/// Whether numbers of this process's namespace are asked for.
fn in_namespace<'a>(c: &Checker<'a>, call: &Call<'a>) -> Checked<bool> {
    let Some(arg) = call.args.first() else {
        return Ok(false);
    };
    match c.word(arg)? {
        "curr_ns" => Ok(true),
        "init" => Ok(false),
        other => Err(
            Diagnostic::error(arg.span, format!("unknown namespace `{other}`"))
                .suggest(other, ["curr_ns", "init"]),
        ),
    }
}

/// The number of the current thread or process as this process's namespace counts.
fn counted_here(c: &Checker<'_>, call: &Call<'_>, offset: u32) -> Checked<Expr> {
    let span = call.span;
    let Some((device, inode)) = c.env.pid_namespace else {
        return Err(Diagnostic::error(
            span,
            "the namespace of this process is not known here",
        ));
    };
    let both = Expr::new(
        ExprKind::Fill {
            helper: GET_NS_CURRENT_PID_TGID,
            args: vec![
                Arg::Const(device),
                Arg::Const(inode),
                Arg::Dest,
                Arg::DestSize(8),
            ],
        },
        Ty::Str(8),
        span,
    );
    let kind = ExprKind::Bytes {
        of: Box::new(both),
        offset,
        bytes: 4,
        signed: false,
    };
    Ok(Expr::new(kind, Ty::U32, span))
}

pub const PID: Row = Row {
    names: &["pid"],
    kind: Use::Both { max: 1 },
    syntax: "`pid`, `pid(curr_ns)` or `pid(init)`",
    doc: "The number of the current process; as the namespace of the tracer counts with `curr_ns`.",
    example: "begin { printf(\"%d\\n\", pid); }",
    lower: |c, call| {
        if in_namespace(c, call)? {
            return counted_here(c, call, 4);
        }
        let both = Expr::call0(GET_CURRENT_PID_TGID, Ty::U64, call.span);
        let by = Expr::int(32, Ty::I64, call.span);
        Ok(Expr::bin(Arith::Shr { signed: false }, both, by, Ty::U32))
    },
};

pub const TID: Row = Row {
    names: &["tid"],
    kind: Use::Both { max: 1 },
    syntax: "`tid`, `tid(curr_ns)` or `tid(init)`",
    doc: "The number of the current thread; as the namespace of the tracer counts with `curr_ns`.",
    example: "begin { @[tid] = count(); }",
    lower: |c, call| {
        if in_namespace(c, call)? {
            return counted_here(c, call, 0);
        }
        Ok(Expr::call0(GET_CURRENT_PID_TGID, Ty::U64, call.span).cast(4, false))
    },
};
