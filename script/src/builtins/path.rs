//! `path`, `abs_path`, `cwd`: full names of files, and of the directory that relative ones start from.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind, Stmt, StmtKind};
use crate::probes::ProbeKind;
use crate::types::{Space, Ty};

/// `bpf_d_path`.
const D_PATH: u32 = 147;

pub const ROW: Row = Row {
    names: &["path"],
    kind: Use::Function { min: 1, max: 2 },
    syntax: "`path(STRUCT_PATH)`, or `path(STRUCT_PATH, LENGTH)`",
    doc: "The full name of a file by its `struct path`, reached from an argument of `fentry` or `fexit`; the kernel allows it in some of its functions only.",
    example: "fentry:filp_close { @[path(args.filp.f_path)] = count(); }",
    lower: |c, call| {
        if !matches!(c.probe(), ProbeKind::Fentry { .. } | ProbeKind::Iter { .. }) {
            return Err(Diagnostic::error(
                call.span,
                format!("`path` has no meaning in `{}`", c.probe()),
            )
            .hint("it is there in `fentry` and `fexit`"));
        }
        let span = call.span;
        let e = c.place(&call.args[0])?;
        let at = match &e.ty {
            Ty::Struct(..) => Expr::new(e.kind, Ty::U64, span),
            Ty::Ptr(to, _) if matches!(**to, Ty::Struct(..)) => Expr::new(e.kind, Ty::U64, span),
            other => {
                return Err(Diagnostic::error(
                    call.args[0].span,
                    format!("a `struct path` is needed here, this is of type `{other}`"),
                ));
            }
        };
        let most = i64::from(c.config.max_strlen);
        let n = match call.args.get(1) {
            Some(n) => c.constant(n)?,
            None => most,
        };
        if !(1..=most).contains(&n) {
            return Err(
                Diagnostic::error(call.span, format!("a path has 1 to {most} bytes here"))
                    .hint("raise the config variable `max_strlen`"),
            );
        }
        let ty = Ty::Str(n as u32);
        let id = c.temp(&ty, span)?;
        let room = || {
            let var = Expr::new(ExprKind::Var(id), ty.clone(), span);
            Expr::new(ExprKind::AddrOf(Box::new(var)), Ty::U64, span)
        };
        let size = Expr::int(n, Ty::U64, span);
        let fill = Stmt {
            kind: StmtKind::Expr(Expr::new(
                ExprKind::Helper {
                    helper: D_PATH,
                    args: vec![at, room(), size],
                },
                Ty::I64,
                span,
            )),
            span,
        };
        // The kernel writes from the end; read again, nothing follows the text.
        let read = ExprKind::ReadStr {
            addr: Box::new(room()),
            space: Space::Kernel,
            len: None,
        };
        let text = Expr::new(read, ty.clone(), span);
        Ok(Expr::new(
            ExprKind::Block(vec![fill], Box::new(text)),
            ty,
            span,
        ))
    },
};

pub const ABS_PATH: Row = Row {
    names: &["abs_path"],
    kind: Use::Function { min: 1, max: 2 },
    syntax: "`abs_path(NAME)`, or `abs_path(NAME, STEPS)`",
    doc: "The full name of a file by the name that the current process gave it: a relative one stands behind the working directory, which is followed up so many steps (32). It has 255 characters at most; `..` in it stays as it is.",
    example: "tracepoint:syscalls:sys_enter_openat { printf(\"%s\\n\", abs_path(str(args.filename))); }",
    lower: |c, call| {
        let name = if call.args.len() == 2 {
            "__abs_path"
        } else {
            "__abs_path_32"
        };
        c.call_macro(name, call.args, call.span)
    },
};

pub const CWD: Row = Row {
    names: &["cwd"],
    kind: Use::Value,
    syntax: "`cwd()`",
    doc: "The working directory of the current process.",
    example: "tracepoint:syscalls:sys_enter_openat { @[comm, cwd()] = count(); }",
    lower: |c, call| c.call_macro("__cwd", call.args, call.span),
};
