//! `sizeof` of a value; `cgroupid`, `cgroup_path`, `fail`, `static_assert`, `assert`.

use super::{Row, Use};
use crate::check::literal_type;
use crate::diagnostics::Diagnostic;
use crate::hir::Expr;
use crate::types::Ty;

pub const SIZEOF: Row = Row {
    names: &["sizeof"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`sizeof(TYPE)`, or `sizeof(VALUE)`",
    doc: "How many bytes a type or value takes.",
    example: "begin { printf(\"%d\\n\", sizeof(uint64)); }",
    lower: |c, call| {
        let e = &call.args[0];
        let ty = match literal_type(c.as_written(e)) {
            Some(ty) => ty,
            None => c.type_or_value(e)?,
        };
        let bytes = match &ty {
            Ty::Tuple(_) | Ty::Record(_) => ty.c_size(),
            _ => c.memory_layout(&ty).0,
        };
        Ok(Expr::int(i64::from(bytes), Ty::U64, call.span))
    },
};

pub const CGROUPID: Row = Row {
    names: &["cgroupid"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`cgroupid(\"PATH\")`",
    doc: "The id of a cgroup (version 2).",
    example: "tracepoint:syscalls:sys_enter_openat /cgroup == cgroupid(\"/sys/fs/cgroup\")/ { @ = count(); }",
    lower: |c, call| {
        let path = c.text(&call.args[0])?;
        match c.env.functions.cgroup_id(&path) {
            Some(id) => Ok(Expr::int(id as i64, Ty::U64, call.span)),
            None => Err(Diagnostic::error(
                call.args[0].span,
                format!("no cgroup is at {path}"),
            )),
        }
    },
};

pub const CGROUP_PATH: Row = Row {
    names: &["cgroup_path"],
    kind: Use::Function { min: 1, max: 2 },
    syntax: "`cgroup_path(ID)`",
    doc: "The path of a cgroup (version 2).",
    example: "begin { print(cgroup_path(cgroup)); }",
    lower: |c, call| {
        let v = c.number(&call.args[0])?;
        Ok(Expr {
            ty: Ty::CgroupPath,
            ..v
        })
    },
};

pub const FAIL: Row = Row {
    names: &["fail"],
    kind: Use::Function {
        min: 1,
        max: usize::MAX,
    },
    syntax: "`fail(\"TEXT\")`",
    doc: "Refuses the script with this text.",
    example: "begin { fail(\"this script needs a newer kernel\"); }",
    lower: |c, call| {
        let text = c.text(&call.args[0])?;
        Err(Diagnostic::error(call.span, text))
    },
};

pub const STATIC_ASSERT: Row = Row {
    names: &["static_assert"],
    kind: Use::Function { min: 2, max: 2 },
    syntax: "`static_assert(CONDITION, \"TEXT\")`",
    doc: "Refuses the script unless a constant is true.",
    example: "begin { static_assert(1, \"never\"); }",
    lower: |c, call| {
        let text = c.text(&call.args[1])?;
        if c.constant(&call.args[0])? == 0 {
            return Err(Diagnostic::error(call.span, text));
        }
        Ok(Expr::new(
            crate::hir::ExprKind::Do(Vec::new()),
            Ty::Void,
            call.span,
        ))
    },
};
