//! `str`, `buf`, `kptr`, `uptr`: text and bytes that addresses lead to.

use super::{Call, Row, Use};
use crate::check::{Checked, Checker};
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind};
use crate::types::{Space, Ty};

fn address<'a>(c: &mut Checker<'a>, e: &'a crate::ast::Expr) -> Checked<(Expr, Space)> {
    let v = c.place(e)?;
    let space = match &v.ty {
        Ty::Ptr(_, s) | Ty::Array(_, _, s) | Ty::Struct(_, s) => *s,
        t if t.is_number() => Space::Unknown,
        other => {
            return Err(Diagnostic::error(
                e.span,
                format!("an address is needed here, this is of type `{other}`"),
            ));
        }
    };
    Ok((v, space))
}

fn str<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Checked<Expr> {
    let first = &call.args[0];
    let most = c.config.max_strlen;
    if let Some(text) = c.positional_text(first) {
        return shortened(c, call, text);
    }
    let v = c.expr(first)?;
    if matches!(v.ty, Ty::Str(_)) {
        return shortened(c, call, v);
    }
    let (addr, space) = address(c, first)?;
    let mut size = most;
    let mut len = None;
    if let Some(a) = call.args.get(1) {
        let n = c.number(a)?;
        match n.constant() {
            // The length counts characters and the NUL after them.
            Some(n) if n < 0 => {
                return Err(Diagnostic::error(a.span, "a length must not be negative"));
            }
            Some(n) => size = (n as u64).min(u64::from(most)).max(1) as u32,
            None => len = Some(Box::new(n)),
        }
    }
    Ok(Expr::new(
        ExprKind::ReadStr {
            addr: Box::new(addr),
            space,
            len,
        },
        Ty::Str(size),
        call.span,
    ))
}

/// Text that is there already, cut when a length is given.
fn shortened<'a>(c: &mut Checker<'a>, call: &Call<'a>, v: Expr) -> Checked<Expr> {
    let Some(a) = call.args.get(1) else {
        return Ok(v);
    };
    let n = c.constant(a)?.max(1) as usize;
    match v.kind {
        ExprKind::Str(mut s) => {
            s.truncate(n - 1);
            Ok(crate::check::literal(s, call.span))
        }
        kind => Ok(Expr { kind, ..v }),
    }
}

pub const STR: Row = Row {
    names: &["str"],
    kind: Use::Function { min: 1, max: 2 },
    syntax: "`str(ADDRESS)`, or `str(ADDRESS, LENGTH)`",
    doc: "The text at an address, up to its NUL or the length.",
    example: "tracepoint:syscalls:sys_enter_openat { printf(\"%s\\n\", str(args.filename)); }",
    lower: str,
};

pub const BUF: Row = Row {
    names: &["buf"],
    kind: Use::Function { min: 1, max: 2 },
    syntax: "`buf(ADDRESS, LENGTH)`",
    doc: "Bytes at an address, whatever they are.",
    example: "begin { printf(\"%r\\n\", buf(\"hi\", 2)); }",
    lower: |c, call| {
        let most = c.config.max_strlen;
        let v = c.expr(&call.args[0])?;
        if let Ty::Str(n) = v.ty {
            let bytes = match call.args.get(1) {
                Some(a) => c.constant(a)?.clamp(0, i64::from(most)) as u32,
                None => n,
            };
            return Ok(Expr::new(
                ExprKind::BufOf {
                    value: Box::new(v),
                    bytes,
                },
                Ty::Buf(bytes),
                call.span,
            ));
        }
        let (addr, space) = address(c, &call.args[0])?;
        let len = match (call.args.get(1), &addr.ty) {
            (Some(a), _) => c.number(a)?,
            (None, Ty::Array(..)) => {
                Expr::int(i64::from(c.memory_layout(&addr.ty).0), Ty::I64, call.span)
            }
            (None, _) => {
                return Err(Diagnostic::error(call.span, "`buf()` needs a length here"));
            }
        };
        let size = match len.constant() {
            Some(n) => n.clamp(0, i64::from(most)) as u32,
            None => most,
        };
        Ok(Expr::new(
            ExprKind::ReadBuf {
                addr: Box::new(addr),
                space,
                len: Box::new(len),
            },
            Ty::Buf(size),
            call.span,
        ))
    },
};

fn spaced<'a>(c: &mut Checker<'a>, call: &Call<'a>, space: Space) -> Checked<Expr> {
    let (v, _) = address(c, &call.args[0])?;
    let ty = match v.ty.clone() {
        Ty::Ptr(to, _) => Ty::Ptr(to, space),
        _ => Ty::ptr(Ty::Void, space),
    };
    Ok(Expr { ty, ..v })
}

pub const KPTR: Row = Row {
    names: &["kptr"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`kptr(ADDRESS)`",
    doc: "The address, taken as one of the kernel's.",
    example: "begin { printf(\"%p\\n\", kptr(0)); }",
    lower: |c, call| spaced(c, call, Space::Kernel),
};

pub const UPTR: Row = Row {
    names: &["uptr"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`uptr(ADDRESS)`",
    doc: "The address, taken as one of the current process's.",
    example: "begin { printf(\"%p\\n\", uptr(0)); }",
    lower: |c, call| spaced(c, call, Space::User),
};
