//! `func` and `probe`: the function and the probe that the event is of.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind};
use crate::probes::{ProbeKind, UserTarget};
use crate::source::Span;
use crate::types::Ty;

const GET_FUNC_IP: u32 = 173;
const GET_ATTACH_COOKIE: u32 = 174;

fn of_context(helper: u32, ty: Ty, span: Span) -> Expr {
    let ctx = Expr::new(ExprKind::Ctx(0), Ty::U64, span);
    let args = vec![ctx];
    Expr::new(ExprKind::Helper { helper, args }, ty, span)
}

pub const FUNC: Row = Row {
    names: &["func"],
    kind: Use::Value,
    syntax: "`func`",
    doc: "The name of the probed function.",
    example: "uprobe:/bin/sh:main { printf(\"%s\\n\", func); }",
    lower: |c, call| {
        // Where each attach point has a program of its own the name is known now.
        let name = match c.probe() {
            ProbeKind::Kprobe { .. } if c.is_multi() => {
                return Ok(of_context(GET_FUNC_IP, Ty::Ksym, call.span));
            }
            ProbeKind::Kprobe { function, .. }
            | ProbeKind::Fentry { function, .. }
            | ProbeKind::OfProgram { function, .. } => function.clone(),
            ProbeKind::Usdt { name, .. } => name.clone(),
            ProbeKind::Uprobe {
                target: UserTarget::Symbol(s),
                ..
            } => s.clone(),
            ProbeKind::Uprobe {
                target: UserTarget::Address(a),
                ..
            } => format!("{a:#x}"),
            other => {
                return Err(Diagnostic::error(
                    call.span,
                    format!("`func` has no meaning in `{other}`"),
                ));
            }
        };
        Ok(crate::check::literal(name.into_bytes(), call.span))
    },
};

pub const PROBE: Row = Row {
    names: &["probe"],
    kind: Use::Value,
    syntax: "`probe`",
    doc: "The whole name of the probe.",
    example: "begin { printf(\"%s\\n\", probe); }",
    lower: |c, call| {
        if c.is_multi() {
            return Ok(of_context(GET_ATTACH_COOKIE, Ty::ProbeName, call.span));
        }
        let n = c.probe_index() as i64;
        Ok(Expr::int(n, Ty::ProbeName, call.span))
    },
};

pub const PROBETYPE: Row = Row {
    names: &["probetype"],
    kind: Use::Value,
    syntax: "`probetype`",
    doc: "The kind of the probe.",
    example: "begin { printf(\"%s\\n\", probetype); }",
    lower: |c, call| {
        let name = match c.probe() {
            ProbeKind::Begin | ProbeKind::End => "special",
            other => other.type_name(),
        };
        Ok(crate::check::literal(name.as_bytes().to_vec(), call.span))
    },
};
