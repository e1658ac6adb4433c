//! `rand`, `jiffies`, `cgroup`, `cpid`: single numbers from helpers and settings.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::hir::{Arith, Cmp, Expr, ExprKind, Stmt, StmtKind};
use crate::types::Ty;

/// `bpf_get_prandom_u32`, `bpf_jiffies64`, `bpf_get_current_cgroup_id`.
const GET_PRANDOM_U32: u32 = 7;
const JIFFIES64: u32 = 118;
const GET_CURRENT_CGROUP_ID: u32 = 80;
/// `bpf_get_current_ancestor_cgroup_id`: of the group so many levels below the root; 0 further down
/// than the current one.
const GET_CURRENT_ANCESTOR_CGROUP_ID: u32 = 123;
/// Groups inside of each other that are looked at.
const MOST_LEVELS: i64 = 64;

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

pub const IN_CGROUP: Row = Row {
    names: &["in_cgroup"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`in_cgroup(ID)`",
    doc: "Whether the current process is in a cgroup (version 2), or in one below it.",
    example: "tracepoint:syscalls:sys_enter_openat /in_cgroup(cgroupid(\"/sys/fs/cgroup\"))/ { @ = count(); }",
    lower: |c, call| {
        let span = call.span;
        let wanted = c.number(&call.args[0])?;
        let int = |v: i64| Expr::int(v, Ty::U64, span);
        let stmt = |kind| Stmt { kind, span };
        let mut ids = [0; 4];
        for id in &mut ids {
            *id = c.temp(&Ty::U64, span)?;
        }
        let [wanted_id, level, here, found] = ids;
        let var = |id| Expr::new(ExprKind::Var(id), Ty::U64, span);
        let set = |id, value| stmt(StmtKind::SetVar(id, value));
        let compare = |op, left, right| {
            let kind = ExprKind::Cmp {
                op,
                signed: false,
                left: Box::new(left),
                right: Box::new(right),
            };
            Expr::new(kind, Ty::Bool, span)
        };
        let when = |cond, yes| {
            stmt(StmtKind::If {
                cond,
                yes,
                no: Vec::new(),
            })
        };
        let ancestor = Expr::new(
            ExprKind::Helper {
                helper: GET_CURRENT_ANCESTOR_CGROUP_ID,
                args: vec![var(level)],
            },
            Ty::U64,
            span,
        );
        let stop = || stmt(StmtKind::Break);
        let walk = stmt(StmtKind::Loop {
            cond: compare(Cmp::Lt, var(level), int(MOST_LEVELS)),
            body: vec![
                set(here, ancestor),
                when(compare(Cmp::Eq, var(here), int(0)), vec![stop()]),
                when(
                    compare(Cmp::Eq, var(here), var(wanted_id)),
                    vec![set(found, int(1)), stop()],
                ),
            ],
            next: vec![set(
                level,
                Expr::bin(Arith::Add, var(level), int(1), Ty::U64),
            )],
        });
        let stmts = vec![
            set(wanted_id, wanted),
            set(level, int(0)),
            set(found, int(0)),
            walk,
        ];
        let value = Expr::new(ExprKind::Var(found), Ty::Bool, span);
        Ok(Expr::new(
            ExprKind::Block(stmts, Box::new(value)),
            Ty::Bool,
            span,
        ))
    },
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
