//! `signal`, `signal_thread`, `override`, `write_user`, `debugf`: what a script does to the machine.

use super::{Call, Row, Use};
use crate::check::{Checked, Checker};
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind};
use crate::probes::ProbeKind;
use crate::spec::{Conversion, Format, Part};
use crate::types::{Space, Ty};

/// `bpf_trace_printk`, `bpf_probe_write_user`, `bpf_override_return`, `bpf_send_signal`,
/// `bpf_send_signal_thread`.
const TRACE_PRINTK: u32 = 6;
const PROBE_WRITE_USER: u32 = 36;
const OVERRIDE_RETURN: u32 = 58;
const SEND_SIGNAL: u32 = 109;
const SEND_SIGNAL_THREAD: u32 = 117;

/// Signals by name, as `kill -l` lists them.
const SIGNALS: &[&str] = &[
    "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The number of a signal such as `SIGKILL`, `KILL`.
pub(crate) fn signal_number(name: &str) -> Option<i64> {
    let bare = name.strip_prefix("SIG").unwrap_or(name);
    SIGNALS
        .iter()
        .position(|s| *s == bare && !s.is_empty())
        .map(|n| n as i64)
}

pub(super) fn needs_unsafe(c: &Checker<'_>, call: &Call<'_>) -> Checked<()> {
    if c.env.allow_unsafe {
        return Ok(());
    }
    Err(Diagnostic::error(
        call.span,
        format!("`{}()` is an unsafe function", call.name),
    )
    .hint("allow it with --unsafe"))
}

fn helper(id: u32, args: Vec<Expr>, call: &Call<'_>) -> Expr {
    Expr::new(ExprKind::Helper { helper: id, args }, Ty::I64, call.span)
}

fn send<'a>(c: &mut Checker<'a>, call: &Call<'a>, id: u32) -> Checked<Expr> {
    needs_unsafe(c, call)?;
    let arg = &call.args[0];
    let v = c.expr(arg)?;
    let number = match &v.kind {
        ExprKind::Str(name) => {
            let name = String::from_utf8_lossy(name).into_owned();
            let n = signal_number(&name).ok_or_else(|| {
                Diagnostic::error(arg.span, format!("unknown signal `{name}`"))
                    .suggest(&name, SIGNALS.iter().copied())
            })?;
            Expr::int(n, Ty::I64, arg.span)
        }
        _ if v.ty.is_number() => v,
        _ => {
            return Err(Diagnostic::error(
                arg.span,
                "a signal's number or name is needed here",
            ));
        }
    };
    if let Some(n) = number.constant()
        && !(1..=64).contains(&n)
    {
        return Err(Diagnostic::error(arg.span, "signals are numbered 1 to 64"));
    }
    Ok(helper(id, vec![number], call))
}

pub const SIGNAL: Row = Row {
    names: &["signal"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`signal(\"KILL\")`, or `signal(9)`",
    doc: "Sends a signal to the current process (with --unsafe).",
    example: "profile:hz:1 /comm == \"runaway\"/ { signal(\"KILL\"); }",
    lower: |c, call| send(c, call, SEND_SIGNAL),
};

pub const SIGNAL_THREAD: Row = Row {
    names: &["signal_thread"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`signal_thread(\"USR1\")`, or `signal_thread(10)`",
    doc: "Sends a signal to the current thread (with --unsafe).",
    example: "profile:hz:1 /comm == \"runaway\"/ { signal_thread(\"USR1\"); }",
    lower: |c, call| send(c, call, SEND_SIGNAL_THREAD),
};

pub const OVERRIDE: Row = Row {
    names: &["override"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`override(VALUE)`",
    doc: "Makes the probed kernel function return this value at once (with --unsafe).",
    example: "kprobe:should_failslab /comm == \"tester\"/ { override(-12); }",
    lower: |c, call| {
        needs_unsafe(c, call)?;
        if !matches!(c.probe(), ProbeKind::Kprobe { ret: false, .. }) {
            return Err(Diagnostic::error(
                call.span,
                "`override()` works in kprobes only",
            ));
        }
        let value = c.number(&call.args[0])?;
        let ctx = Expr::new(
            ExprKind::Ctx(0),
            Ty::ptr(Ty::Void, Space::Kernel),
            call.span,
        );
        Ok(helper(OVERRIDE_RETURN, vec![ctx, value], call))
    },
};

pub const WRITE_USER: Row = Row {
    names: &["write_user"],
    kind: Use::Function { min: 3, max: 3 },
    syntax: "`write_user(ADDRESS, TEXT, LENGTH)`",
    doc: "Writes into the current process's memory (with --unsafe).",
    example: "tracepoint:syscalls:sys_enter_openat /comm == \"tester\"/ { $zero = (uint8)0; write_user(args.filename, &$zero, 1); }",
    lower: |c, call| {
        needs_unsafe(c, call)?;
        let to = c.number(&call.args[0])?;
        let what = c.storable(&call.args[1])?;
        let n = c.constant(&call.args[2])?;
        // Numbers are kept as words, of which the low bytes come first.
        let most = i64::from(what.ty.stored());
        if !(1..=most).contains(&n) {
            return Err(Diagnostic::error(
                call.args[2].span,
                format!("the length must be 1 to {most} here"),
            ));
        }
        let from = Expr::new(
            ExprKind::AddrOf(Box::new(what)),
            Ty::ptr(Ty::U8, Space::Kernel),
            call.span,
        );
        let len = Expr::int(n, Ty::I64, call.span);
        Ok(helper(PROBE_WRITE_USER, vec![to, from, len], call))
    },
};

pub const DEBUGF: Row = Row {
    names: &["debugf"],
    kind: Use::Function { min: 1, max: 4 },
    syntax: "`debugf(\"FORMAT\", …)`",
    doc: "Writes formatted text into the kernel's trace buffer, at once.",
    example: "begin { debugf(\"started %d\", 1); }",
    lower: debugf,
};

fn debugf<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Checked<Expr> {
    let first = c.expr(&call.args[0])?;
    let ExprKind::Str(text) = &first.kind else {
        return Err(Diagnostic::error(
            call.args[0].span,
            "the format must be a text in quotes",
        ));
    };
    let format = Format::parse(text).map_err(|why| Diagnostic::error(call.args[0].span, why))?;
    let values = call.args[1..]
        .iter()
        .map(|a| c.storable(a))
        .collect::<Checked<Vec<_>>>()?;
    let types: Vec<Ty> = values.iter().map(|a| a.ty.clone()).collect();
    format
        .check(&types)
        .map_err(|why| Diagnostic::error(call.span, why))?;
    // Numbers are 64 bits wide here, whatever width the script wrote.
    let mut plain = String::new();
    for part in &format.parts {
        match part {
            Part::Text(t) => plain.push_str(&String::from_utf8_lossy(t).replace('%', "%%")),
            Part::Spec(s) => plain.push_str(match s.conversion {
                Conversion::Decimal => "%lld",
                Conversion::Unsigned | Conversion::Octal => "%llu",
                Conversion::Hex { .. } => "%llx",
                Conversion::Pointer => "%llx",
                Conversion::Char => "%c",
                Conversion::Text => "%s",
                _ => {
                    return Err(Diagnostic::error(
                        call.args[0].span,
                        "`debugf()` prints numbers and texts only",
                    ));
                }
            }),
        }
    }
    let text = crate::check::literal(plain.into_bytes(), call.span);
    let Ty::Str(bytes) = text.ty else {
        return Err(Diagnostic::error(call.span, "the format is no text"));
    };
    let address = |e: Expr| {
        let span = e.span;
        Expr::new(
            ExprKind::AddrOf(Box::new(e)),
            Ty::ptr(Ty::CHAR, Space::Kernel),
            span,
        )
    };
    let mut args = vec![
        address(text),
        Expr::int(i64::from(bytes), Ty::I64, call.span),
    ];
    for v in values {
        args.push(match v.ty {
            Ty::Str(_) => address(v),
            _ if v.ty.is_scalar() => v,
            _ => {
                return Err(Diagnostic::error(
                    v.span,
                    "`debugf()` prints numbers and texts only",
                ));
            }
        });
    }
    Ok(Expr {
        ty: Ty::Void,
        ..helper(TRACE_PRINTK, args, call)
    })
}
