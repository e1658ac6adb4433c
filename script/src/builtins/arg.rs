//! `arg0` … `arg9`, `sarg0` …, `retval`, `reg()`, `ctx`: registers and words of the context.

use super::{Row, Use};
use crate::check::{Checked, Checker};
use crate::diagnostics::Diagnostic;
use crate::hir::{Arith, Expr, ExprKind, Stmt, StmtKind};
use crate::probes::{ProbeKind, UsdtArg, UsdtPlace, usdt_arguments};
use crate::source::Span;
use crate::types::{Space, Ty};

fn word(offset: i32, span: Span) -> Expr {
    Expr::new(
        ExprKind::CtxLoad {
            offset,
            bytes: 8,
            signed: false,
        },
        Ty::U64,
        span,
    )
}

fn not_here(c: &Checker<'_>, name: &str, span: Span) -> Diagnostic {
    let d = Diagnostic::error(span, format!("`{name}` has no meaning in `{}`", c.probe()));
    match c.probe() {
        ProbeKind::Tracepoint { .. } | ProbeKind::Fentry { .. } => {
            d.hint("its arguments are `args.NAME`; `-lv` lists them")
        }
        _ => d.hint("it is there in probes of functions: `kprobe`, `uprobe`, `fentry` …"),
    }
}

/// `bpf_get_func_arg`, `bpf_get_func_ret`.
const GET_FUNC_ARG: u32 = 183;
const GET_FUNC_RET: u32 = 184;

/// A number that the kernel writes where it is told; 0 when there is none.
fn asked(c: &mut Checker<'_>, helper: u32, which: Option<i64>, span: Span) -> Checked<Expr> {
    let id = c.temp(&Ty::U64, span)?;
    let get = || Expr::new(ExprKind::Var(id), Ty::U64, span);
    let set = Stmt {
        kind: StmtKind::SetVar(id, Expr::int(0, Ty::U64, span)),
        span,
    };
    let ctx = Expr::new(ExprKind::Ctx(0), Ty::U64, span);
    let which = which.map(|n| Expr::int(n, Ty::U64, span));
    let room = Expr::new(ExprKind::AddrOf(Box::new(get())), Ty::U64, span);
    let args = std::iter::once(ctx).chain(which).chain([room]).collect();
    let call = Expr::new(ExprKind::Helper { helper, args }, Ty::I64, span);
    let ask = Stmt {
        kind: StmtKind::Expr(call),
        span,
    };
    let kind = ExprKind::Block(vec![set, ask], Box::new(get()));
    Ok(Expr::new(kind, Ty::U64, span))
}

pub const ARG: Row = Row {
    names: &[
        "arg0", "arg1", "arg2", "arg3", "arg4", "arg5", "arg6", "arg7", "arg8", "arg9",
    ],
    kind: Use::Value,
    syntax: "`arg0` to `arg9`",
    doc: "An argument of the probed function, as a 64-bit number.",
    example: "rawtracepoint:sched_switch { @[arg0] = count(); }",
    lower: |c, call| {
        let n = u32::from(call.name.as_bytes().last().copied().unwrap_or(b'0') - b'0');
        match c.probe() {
            ProbeKind::Kprobe { ret: false, .. } | ProbeKind::Uprobe { ret: false, .. } => {
                let offset = c.env.arch.argument(n).ok_or_else(|| {
                    Diagnostic::error(
                        call.span,
                        format!("`{}` is not passed in a register", call.name),
                    )
                    .hint("arguments on the stack are `sarg0`, `sarg1` …")
                })?;
                Ok(word(offset, call.span))
            }
            ProbeKind::OfProgram { .. } => asked(c, GET_FUNC_ARG, Some(i64::from(n)), call.span),
            ProbeKind::RawTracepoint { .. } | ProbeKind::Fentry { .. } => {
                Ok(word(n as i32 * 8, call.span))
            }
            ProbeKind::Usdt { args, .. } => {
                let all = usdt_arguments(args, c.env.arch);
                match all.get(n as usize) {
                    Some(Some(arg)) => Ok(usdt_argument(*arg, call.span)),
                    Some(None) => Err(Diagnostic::error(
                        call.span,
                        format!("the place of `{}` cannot be read: `{args}`", call.name),
                    )),
                    None => Err(Diagnostic::error(
                        call.span,
                        format!("the probe has {} arguments", all.len()),
                    )),
                }
            }
            _ => Err(not_here(c, call.name, call.span)),
        }
    },
};

/// An argument of a static probe.
fn usdt_argument(arg: UsdtArg, span: Span) -> Expr {
    let (bytes, signed) = (arg.bytes, arg.signed);
    let ty = Ty::Int { bytes, signed };
    match arg.place {
        UsdtPlace::Constant(n) => Expr::int(n, ty, span),
        UsdtPlace::Register(offset) => word(offset, span).cast(bytes, signed),
        UsdtPlace::Memory {
            base,
            index,
            displacement,
        } => {
            let int = |v: i64| Expr::int(v, Ty::I64, span);
            let mut addr = Expr::bin(Arith::Add, word(base, span), int(displacement), Ty::U64);
            if let Some((register, scale)) = index {
                let by = Expr::bin(Arith::Mul, word(register, span), int(scale), Ty::U64);
                addr = Expr::bin(Arith::Add, addr, by, Ty::U64);
            }
            Expr::new(
                ExprKind::Read {
                    addr: Box::new(addr),
                    bytes,
                    signed,
                    space: Space::User,
                },
                ty,
                span,
            )
        }
    }
}

pub const SARG: Row = Row {
    names: &[
        "sarg0", "sarg1", "sarg2", "sarg3", "sarg4", "sarg5", "sarg6", "sarg7", "sarg8", "sarg9",
    ],
    kind: Use::Value,
    syntax: "`sarg0` to `sarg9`",
    doc: "An argument of the probed function that is passed on the stack.",
    example: "uprobe:/bin/sh:main { @[sarg0] = count(); }",
    lower: |c, call| {
        let n = i64::from(call.name.as_bytes().last().copied().unwrap_or(b'0') - b'0');
        if !matches!(
            c.probe(),
            ProbeKind::Kprobe { ret: false, .. } | ProbeKind::Uprobe { ret: false, .. }
        ) {
            return Err(not_here(c, call.name, call.span));
        }
        let sp = word(c.env.arch.stack_pointer(), call.span);
        // On x86-64 the return address is in front of them.
        let first = i64::from(c.env.arch == crate::env::Arch::X86_64);
        let at = Expr::int((n + first) * 8, Ty::I64, call.span);
        let addr = Expr::bin(crate::hir::Arith::Add, sp, at, Ty::U64);
        let space = c.space();
        Ok(Expr::new(
            ExprKind::Read {
                addr: Box::new(addr),
                bytes: 8,
                signed: false,
                space,
            },
            Ty::U64,
            call.span,
        ))
    },
};

pub const RETVAL: Row = Row {
    names: &["retval"],
    kind: Use::Value,
    syntax: "`retval`",
    doc: "What the probed function returns, as a 64-bit number.",
    example: "uretprobe:/bin/sh:main { @[retval] = count(); }",
    lower: |c, call| match c.probe() {
        ProbeKind::Kprobe { ret: true, .. } | ProbeKind::Uprobe { ret: true, .. } => {
            let at = c.env.arch.return_value();
            Ok(word(at, call.span))
        }
        ProbeKind::Fentry {
            function,
            ret: true,
            ..
        } => {
            let (params, result) = c.function_params(&function.clone(), call.span)?;
            // Behind the arguments.
            Ok(crate::check::ctx_word(
                params.len() as i32 * 8,
                result,
                call.span,
            ))
        }
        ProbeKind::OfProgram { ret: true, .. } => asked(c, GET_FUNC_RET, None, call.span),
        _ => {
            Err(not_here(c, "retval", call.span).hint("it is there in `kretprobe` and `uretprobe`"))
        }
    },
};

pub const REG: Row = Row {
    names: &["reg"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`reg(\"ip\")`",
    doc: "A register of the interrupted code.",
    example: "uprobe:/bin/sh:main { printf(\"%x\\n\", reg(\"ip\")); }",
    lower: |c, call| {
        let name = c.text(&call.args[0])?;
        match c.probe() {
            ProbeKind::Kprobe { .. }
            | ProbeKind::Uprobe { .. }
            | ProbeKind::Usdt { .. }
            | ProbeKind::Watchpoint { .. }
            | ProbeKind::Profile(_)
            | ProbeKind::Interval(_)
            | ProbeKind::Software { .. }
            | ProbeKind::Hardware { .. } => {}
            _ => return Err(not_here(c, "reg", call.span)),
        }
        let at = c.env.arch.register(&name);
        let at = at.ok_or_else(|| {
            Diagnostic::error(call.args[0].span, format!("unknown register `{name}`"))
        })?;
        Ok(word(at, call.span))
    },
};

pub const CTX: Row = Row {
    names: &["ctx"],
    kind: Use::Value,
    syntax: "`ctx`",
    doc: "The address of the program's context.",
    example: "interval:s:1 { printf(\"%p\\n\", ctx); exit(); }",
    lower: |c, call| {
        let to = match c.probe() {
            ProbeKind::Iter { kind, .. } => c
                .lookup_type(&format!("struct bpf_iter__{kind}"))
                .unwrap_or(Ty::Void),
            _ => Ty::Void,
        };
        Ok(Expr::new(
            ExprKind::Ctx(0),
            Ty::ptr(to, Space::Kernel),
            call.span,
        ))
    },
};

pub const ARGS: Row = Row {
    names: &["args"],
    kind: Use::Value,
    syntax: "`args.NAME`, or `args`",
    doc: "The fields of a tracepoint, the arguments of a function (of a program: from its debug information); alone, a record of all of them.",
    example: "tracepoint:syscalls:sys_enter_openat { printf(\"%s\\n\", str(args.filename)); print(args); }",
    lower: |c, call| c.args_whole(call.span),
};
