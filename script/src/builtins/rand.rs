//! `rand`, `jiffies`, `cgroup`, `cpid`: single numbers from helpers and settings.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::hir::Expr;
use crate::types::Ty;

/// `bpf_get_prandom_u32`, `bpf_jiffies64`, `bpf_get_current_cgroup_id`.
const GET_PRANDOM_U32: u32 = 7;
const JIFFIES64: u32 = 118;
const GET_CURRENT_CGROUP_ID: u32 = 80;

pub const RAND: Row = Row {
    names: &["rand"],
    kind: Use::Value,
    syntax: "`rand`",
    doc: "A random 32-bit number.",
    example: "begin { printf(\"%u\\n\", rand); }",
    lower: |_, call| Ok(Expr::call0(GET_PRANDOM_U32, Ty::U64, call.span).cast(4, false)),
};

pub const JIFFIES: Row = Row {
    names: &["jiffies"],
    kind: Use::Value,
    syntax: "`jiffies`",
    doc: "The kernel's ticks since boot.",
    example: "begin { printf(\"%llu\\n\", jiffies); }",
    lower: |_, call| Ok(Expr::call0(JIFFIES64, Ty::U64, call.span)),
};

pub const CGROUP: Row = Row {
    names: &["cgroup"],
    kind: Use::Value,
    syntax: "`cgroup`",
    doc: "The id of the current process's cgroup (version 2).",
    example: "begin { printf(\"%llu\\n\", cgroup); }",
    lower: |_, call| Ok(Expr::call0(GET_CURRENT_CGROUP_ID, Ty::U64, call.span)),
};

pub const CPID: Row = Row {
    names: &["cpid"],
    kind: Use::Value,
    syntax: "`cpid`",
    doc: "The number of the process started for the script.",
    example: "tracepoint:syscalls:sys_enter_openat /pid == cpid/ { @ = count(); }",
    lower: |c, call| match c.env.cpid {
        Some(pid) => Ok(Expr::int(i64::from(pid), Ty::U32, call.span)),
        None => Err(Diagnostic::error(call.span, "there is no child process")
            .hint("start one with `-c COMMAND`")),
    },
};

pub const HAS_CPID: Row = Row {
    names: &["has_cpid"],
    kind: Use::Value,
    syntax: "`has_cpid`",
    doc: "Whether a process was started for the script.",
    example: "begin { printf(\"%d\\n\", has_cpid); }",
    lower: |c, call| {
        Ok(Expr::int(
            i64::from(c.env.cpid.is_some()),
            Ty::Bool,
            call.span,
        ))
    },
};
