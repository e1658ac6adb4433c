//! `curtask`, `ppid`, `pcomm`: the kernel's structure of the thread that runs, and of its parent.

use super::{Call, Row, Use};
use crate::check::{Checked, Checker};
use crate::hir::Expr;
use crate::types::{Space, Ty};

/// `bpf_get_current_task`.
const GET_CURRENT_TASK: u32 = 35;

fn curtask(c: &Checker<'_>, call: &Call<'_>) -> Expr {
    let ty = match c.lookup_type("struct task_struct") {
        Some(Ty::Struct(s, _)) => Ty::ptr(Ty::Struct(s, Space::Kernel), Space::Kernel),
        _ => Ty::ptr(Ty::Void, Space::Kernel),
    };
    Expr::call0(GET_CURRENT_TASK, ty, call.span)
}

fn parent(c: &mut Checker<'_>, task: Expr, field: &str) -> Checked<Expr> {
    let span = task.span;
    let parent = c.field(task, "real_parent", span)?;
    let value = c.field(parent, field, span)?;
    Ok(c.value_of(value))
}

pub const CURTASK: Row = Row {
    names: &["curtask"],
    kind: Use::Value,
    syntax: "`curtask`",
    doc: "The address of the current thread's `struct task_struct`.",
    example: "begin { printf(\"%p\\n\", curtask); }",
    lower: |c, call| Ok(curtask(c, call)),
};

fn leader(c: &mut Checker<'_>, call: &Call<'_>, field: &str) -> Checked<Expr> {
    let task = curtask(c, call);
    let leader = c.field(task, "group_leader", call.span)?;
    let value = c.field(leader, field, call.span)?;
    Ok(c.value_of(value))
}

pub const LEADER_COMM: Row = Row {
    names: &["leader_comm"],
    kind: Use::Value,
    syntax: "`leader_comm`",
    doc: "The name of the first thread of the current process.",
    example: "begin { printf(\"%s\\n\", leader_comm); }",
    lower: |c, call| leader(c, call, "comm"),
};

pub const LEADER_TID: Row = Row {
    names: &["leader_tid"],
    kind: Use::Value,
    syntax: "`leader_tid`",
    doc: "The number of the first thread of the current process.",
    example: "begin { printf(\"%d\\n\", leader_tid); }",
    lower: |c, call| leader(c, call, "pid"),
};

pub const PPID: Row = Row {
    names: &["ppid"],
    kind: Use::Both { max: 1 },
    syntax: "`ppid`, or `ppid(TASK)`",
    doc: "The number of the parent process.",
    example: "begin { printf(\"%d\\n\", ppid); }",
    lower: |c, call| {
        let task = match call.args.first() {
            Some(a) => c.expr(a)?,
            None => curtask(c, call),
        };
        parent(c, task, "tgid")
    },
};

pub const PCOMM: Row = Row {
    names: &["pcomm"],
    kind: Use::Both { max: 1 },
    syntax: "`pcomm`, or `pcomm(TASK)`",
    doc: "The name of the parent process.",
    example: "begin { printf(\"%s\\n\", pcomm); }",
    lower: |c, call| {
        let task = match call.args.first() {
            Some(a) => c.expr(a)?,
            None => curtask(c, call),
        };
        parent(c, task, "comm")
    },
};
