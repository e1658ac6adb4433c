//! `nsecs` and `elapsed`: time in nanoseconds.

use super::{Row, Use};
use crate::check::Checker;
use crate::diagnostics::Diagnostic;
use crate::env::Clock;
use crate::hir::{Arith, Expr, ExprKind};
use crate::source::Span;
use crate::types::Ty;

/// `bpf_ktime_get_ns`, `bpf_ktime_get_boot_ns`, `bpf_ktime_get_tai_ns`.
const KTIME_GET_NS: u32 = 5;
const KTIME_GET_BOOT_NS: u32 = 125;
const KTIME_GET_TAI_NS: u32 = 208;

/// The clock that events are dated by.
pub(crate) fn now(clock: Clock, span: Span) -> Expr {
    let helper = match clock {
        Clock::Boot => KTIME_GET_BOOT_NS,
        Clock::Monotonic => KTIME_GET_NS,
    };
    Expr::call0(helper, Ty::U64, span)
}

pub const NSECS: Row = Row {
    names: &["nsecs"],
    kind: Use::Both { max: 1 },
    syntax: "`nsecs`, or `nsecs(boot)`, `nsecs(monotonic)`, `nsecs(tai)`, `nsecs(sw_tai)`",
    doc: "Nanoseconds since boot.",
    example: "begin { printf(\"%llu\\n\", nsecs); }",
    lower: |c, call| {
        let Some(arg) = call.args.first() else {
            return Ok(now(c.env.clock, call.span));
        };
        let helper = match c.word(arg)? {
            "boot" => KTIME_GET_BOOT_NS,
            "monotonic" => KTIME_GET_NS,
            "tai" | "sw_tai" => KTIME_GET_TAI_NS,
            other => {
                return Err(
                    Diagnostic::error(arg.span, format!("unknown clock `{other}`"))
                        .suggest(other, ["boot", "monotonic", "tai", "sw_tai"]),
                );
            }
        };
        Ok(Expr::call0(helper, Ty::U64, call.span))
    },
};

pub const ELAPSED: Row = Row {
    names: &["elapsed"],
    kind: Use::Value,
    syntax: "`elapsed`",
    doc: "Nanoseconds since the script's start.",
    example: "begin { printf(\"%llu\\n\", elapsed); }",
    lower: |c: &mut Checker<'_>, call| {
        c.elapsed = true;
        let start = Expr::new(ExprKind::StartTime, Ty::U64, call.span);
        Ok(Expr::bin(
            Arith::Sub,
            now(c.env.clock, call.span),
            start,
            Ty::U64,
        ))
    },
};
