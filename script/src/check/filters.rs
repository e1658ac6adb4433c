//! Filters given from outside → what a program begins with: it leaves at once when the event is of others.

use crate::env::Environment;
use crate::hir::{Arith, Cmp, Expr, ExprKind, Stmt, StmtKind};
use crate::source::Span;
use crate::types::Ty;

const GET_CURRENT_PID_TGID: u32 = 14;
const GET_NS_CURRENT_PID_TGID: u32 = 120;
const GET_CURRENT_ANCESTOR_CGROUP_ID: u32 = 123;

/// A control group with all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupFilter {
    pub id: u64,
    /// How many groups are above it.
    pub level: u32,
}

/// A namespace of processes, by its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceFilter {
    /// As the kernel itself writes a device: the major number above 20 bits of the minor.
    pub device: u64,
    pub inode: u64,
}

/// A way out for each filter.
pub(super) fn leave(env: &Environment<'_>, span: Span) -> Vec<Stmt> {
    let int = |n: u64| Expr::int(n as i64, Ty::U64, span);
    let helper = |helper, args| Expr::new(ExprKind::Helper { helper, args }, Ty::U64, span);
    let mut differs = Vec::new();
    if let Some(pid) = env.pid_filter {
        let both = Expr::call0(GET_CURRENT_PID_TGID, Ty::U64, span);
        let shift = Arith::Shr { signed: false };
        let own = Expr::bin(shift, both, Expr::int(32, Ty::I64, span), Ty::U64);
        differs.push((own, int(pid.into())));
    }
    if let Some(group) = env.cgroup_filter {
        let own = helper(
            GET_CURRENT_ANCESTOR_CGROUP_ID,
            vec![int(group.level.into())],
        );
        differs.push((own, int(group.id)));
    }
    if let Some(namespace) = env.namespace_filter {
        // The helper fails in every other namespace; the numbers that it writes are not needed.
        let room = Expr::new(ExprKind::Str(vec![0; 7]), Ty::Str(8), span);
        let room = Expr::new(ExprKind::AddrOf(Box::new(room)), Ty::U64, span);
        let args = vec![int(namespace.device), int(namespace.inode), room, int(8)];
        differs.push((helper(GET_NS_CURRENT_PID_TGID, args), int(0)));
    }
    differs
        .into_iter()
        .map(|(left, right)| leave_when(Cmp::Ne, left, right, span))
        .collect()
}

/// An iterator calls once more behind its last object, with none.
pub(super) fn leave_without_object(span: Span) -> Stmt {
    // The object follows what the kernel says of the walk.
    let load = ExprKind::CtxLoad {
        offset: 8,
        bytes: 8,
        signed: false,
    };
    let object = Expr::new(load, Ty::U64, span);
    leave_when(Cmp::Eq, object, Expr::int(0, Ty::U64, span), span)
}

fn leave_when(op: Cmp, left: Expr, right: Expr, span: Span) -> Stmt {
    let cond = ExprKind::Cmp {
        op,
        signed: false,
        left: Box::new(left),
        right: Box::new(right),
    };
    Stmt {
        kind: StmtKind::If {
            cond: Expr::new(cond, Ty::Bool, span),
            yes: vec![Stmt {
                kind: StmtKind::Return,
                span,
            }],
            no: Vec::new(),
        },
        span,
    }
}
