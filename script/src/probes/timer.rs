//! `interval` and `profile`: timers, on one processor and on each.

use super::{Period, Point, ProbeKind, Row, number};
use crate::diagnostics::Diagnostic;

pub const INTERVAL: Row = Row {
    names: &["interval", "i"],
    syntax: "`interval:s:N` (or `us`, `ms`, `hz`), or `interval:500ms`",
    doc: "Runs every so often, on one processor.",
    example: "tracepoint:sched:sched_switch { @ = count(); } interval:s:1 { print(@); clear(@); }",
    expand: |p, _| Ok(vec![ProbeKind::Interval(period(p)?)]),
};

pub const PROFILE: Row = Row {
    names: &["profile", "p"],
    syntax: "`profile:hz:99` (or `s`, `ms`, `us`), or `profile:10ms`",
    doc: "Runs every so often, on every processor.",
    example: "profile:hz:99 { @[comm] = count(); }",
    expand: |p, _| Ok(vec![ProbeKind::Profile(period(p)?)]),
};

fn period(p: &Point<'_>) -> Result<Period, Diagnostic> {
    let (unit, text) = match p.parts.as_slice() {
        [unit, n] => (*unit, *n),
        [n] => match crate::lexer::token(n, 0).map(|t| t.tok) {
            Ok(crate::lexer::Tok::Int(i)) if i.duration && i.value > 0 => {
                return Ok(Period::Nanoseconds(i.value));
            }
            // A bare number counts hertz.
            _ => ("hz", *n),
        },
        _ => return Err(p.wrong("a unit and a number must follow")),
    };
    let n = number(text)
        .filter(|n| *n > 0)
        .ok_or_else(|| p.wrong(format_args!("`{text}` is not a number above 0")))?;
    let scale = match unit {
        "hz" => return Ok(Period::Hertz(n)),
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" => 1_000,
        _ => return Err(p.wrong(format_args!("`{unit}` is not a unit of time"))),
    };
    n.checked_mul(scale)
        .map(Period::Nanoseconds)
        .ok_or_else(|| p.wrong("the period is too long"))
}
