//! `ksym`, `usym`, `kaddr`, `uaddr`: names of addresses and addresses of names.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::hir::{Arith, Expr, ExprKind};
use crate::probes::ProbeKind;
use crate::types::{Space, Ty};

/// `bpf_get_current_pid_tgid`.
const GET_CURRENT_PID_TGID: u32 = 14;

pub const KSYM: Row = Row {
    names: &["ksym"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`ksym(ADDRESS)`",
    doc: "The kernel's name for an address.",
    example: "begin { printf(\"%s\\n\", ksym(0)); }",
    lower: |c, call| {
        let v = c.number(&call.args[0])?;
        Ok(Expr { ty: Ty::Ksym, ..v })
    },
};

pub const USYM: Row = Row {
    names: &["usym"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`usym(ADDRESS)`",
    doc: "The current process's name for an address.",
    example: "begin { printf(\"%s\\n\", usym(0)); }",
    lower: |c, call| {
        let v = c.number(&call.args[0])?;
        let both = Expr::call0(GET_CURRENT_PID_TGID, Ty::U64, call.span);
        let pid = Expr::bin(
            Arith::Shr { signed: false },
            both,
            Expr::int(32, Ty::I64, call.span),
            Ty::U64,
        );
        Ok(Expr::new(
            ExprKind::Words(vec![v, pid]),
            Ty::Usym,
            call.span,
        ))
    },
};

pub const KADDR: Row = Row {
    names: &["kaddr"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`kaddr(\"NAME\")`",
    doc: "The address of a kernel symbol.",
    example: "begin { printf(\"%p\\n\", kaddr(\"jiffies\")); }",
    lower: |c, call| {
        let name = c.text(&call.args[0])?;
        match c.env.functions.kernel_address(&name) {
            // A number: sums with it count bytes, and `*` of it reads 64 bits.
            Some(a) => Ok(Expr::int(a as i64, Ty::U64, call.span)),
            None => Err(Diagnostic::error(
                call.args[0].span,
                format!("failed to resolve kernel symbol: {name}"),
            )
            .hint(
                "kernels built without CONFIG_KALLSYMS_ALL tell the addresses of functions only",
            )),
        }
    },
};

pub const UADDR: Row = Row {
    names: &["uaddr"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`uaddr(\"NAME\")`",
    doc: "The address of a symbol of the probed program.",
    example: "uprobe:/bin/sh:main { printf(\"%p\\n\", uaddr(\"main\")); }",
    lower: |c, call| {
        let name = c.text(&call.args[0])?;
        let (ProbeKind::Uprobe { path, .. } | ProbeKind::Usdt { path, .. }) = c.probe().clone()
        else {
            return Err(Diagnostic::error(
                call.span,
                "`uaddr` works in uprobes only",
            ));
        };
        match c.env.functions.user_address(&path, &name) {
            Some(a) => Ok(Expr::int(
                a as i64,
                Ty::ptr(Ty::U64, Space::User),
                call.span,
            )),
            None => Err(Diagnostic::error(
                call.args[0].span,
                format!("could not resolve symbol: {path}:{name}"),
            )),
        }
    },
};
