//! `container_of`, `socket_cookie`, `kfunc_exist`, `kfunc_allowed`, `strcap`: what types and structures say.

use super::{Row, Use};
use crate::ast;
use crate::diagnostics::Diagnostic;
use crate::hir::{Arith, Expr};
use crate::types::{Space, Ty};

/// `a.b.c`, as it is written for a field.
fn path(e: &ast::Expr) -> Option<Vec<String>> {
    match &e.kind {
        ast::ExprKind::Ident(name) => Some(vec![name.clone()]),
        ast::ExprKind::Field { expr, name, .. } => {
            let mut path = path(expr)?;
            path.push(name.clone());
            Some(path)
        }
        _ => None,
    }
}

pub const CONTAINER_OF: Row = Row {
    names: &["container_of"],
    kind: Use::Function { min: 3, max: 3 },
    syntax: "`container_of(ADDRESS, TYPE, FIELD)`",
    doc: "The structure whose field is at this address.",
    example: "struct pair { int a; int b; }; begin { printf(\"%d\\n\", (uint64)container_of((int32 *)100, struct pair, b)); }",
    lower: |c, call| {
        let span = call.span;
        let v = c.expr(&call.args[0])?;
        let known = match &v.ty {
            Ty::Ptr(_, s) | Ty::Struct(_, s) | Ty::Array(_, _, s) => *s,
            t if t.is_number() => Space::Unknown,
            other => {
                return Err(Diagnostic::error(
                    call.args[0].span,
                    format!("an address is needed here, this is of type `{other}`"),
                ));
            }
        };
        let ty = c.type_or_value(&call.args[1])?;
        let field = path(&call.args[2])
            .ok_or_else(|| Diagnostic::error(call.args[2].span, "a field is needed here"))?;
        let at = c.offset_of(&ty, &field, span)?;
        let whole = match ty {
            Ty::Struct(s, _) => Ty::Struct(s, known),
            other => other,
        };
        let by = Expr::int(at as i64, Ty::U64, span);
        Ok(Expr::bin(Arith::Sub, v, by, Ty::ptr(whole, known)))
    },
};

pub const SOCKET_COOKIE: Row = Row {
    names: &["socket_cookie"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`socket_cookie(SOCK)`",
    doc: "The number of a socket (`struct sock *`) that no other has had; 0 where nobody has asked for it yet.",
    example: "kprobe:tcp_sendmsg { @[socket_cookie((struct sock *)arg0)] = count(); }",
    lower: |c, call| {
        let mut v = c.expr(&call.args[0])?;
        for field in ["__sk_common", "skc_cookie", "counter"] {
            v = c.field(v, field, call.span)?;
        }
        Ok(Expr {
            ty: Ty::U64,
            ..c.value_of(v)
        })
    },
};

pub const KFUNC_EXIST: Row = Row {
    names: &["kfunc_exist"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`kfunc_exist(\"NAME\")`",
    doc: "Whether the kernel's types have a function of this name.",
    example: "begin { if (kfunc_exist(\"bpf_rcu_read_lock\")) { printf(\"yes\\n\"); } }",
    lower: |c, call| {
        let name = c.text(&call.args[0])?;
        let types = c.env.types();
        let there = types.is_some_and(|t| t.find_func(&name).is_some());
        Ok(Expr::int(i64::from(there), Ty::Bool, call.span))
    },
};

pub const KFUNC_ALLOWED: Row = Row {
    names: &["kfunc_allowed"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`kfunc_allowed(\"NAME\")`",
    doc: "Whether the kernel has a function of this name that programs of this probe's kind may call.",
    example: "begin { if (kfunc_allowed(\"bpf_rcu_read_lock\")) { printf(\"yes\\n\"); } }",
    lower: |c, call| {
        let name = c.text(&call.args[0])?;
        let types = c.env.types();
        let there = types.is_some_and(|t| t.find_func(&name).is_some());
        let kind = c.probe().prog_type();
        let allowed = there && c.env.functions.may_call(&name, kind);
        Ok(Expr::int(i64::from(allowed), Ty::Bool, call.span))
    },
};

pub const STRCAP: Row = Row {
    names: &["strcap"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`strcap(TEXT)`",
    doc: "How many characters there is room for in a text, its NUL counted.",
    example: "begin { printf(\"%d\\n\", strcap(comm)); }",
    lower: |c, call| {
        let v = c.expr(&call.args[0])?;
        match v.ty {
            Ty::Str(n) => Ok(Expr::int(i64::from(n), Ty::U64, call.span)),
            other => Err(Diagnostic::error(
                call.args[0].span,
                format!("a text is needed here, this is of type `{other}`"),
            )),
        }
    },
};
