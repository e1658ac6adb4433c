//! `rawtracepoint:NAME`: a tracepoint with the arguments the kernel's code passes it.

use super::{Point, ProbeKind, Row, is_pattern, matches};
use crate::diagnostics::{Diagnostic, nearest};
use crate::env::Environment;

pub const ROW: Row = Row {
    names: &["rawtracepoint", "rt"],
    syntax: "`rawtracepoint:NAME`",
    doc: "A static tracepoint with its raw arguments `arg0` … or, where types are known, `args.NAME`.",
    example: "rawtracepoint:sched_switch { @ = count(); }",
    expand,
};

fn expand(p: &Point<'_>, env: &Environment<'_>) -> Result<Vec<ProbeKind>, Diagnostic> {
    let name = match p.parts.as_slice() {
        [name] | [_, name] if !name.is_empty() => *name,
        _ => return Err(p.wrong("a name must follow")),
    };
    let mut known = env.functions.raw_tracepoints();
    if let Some(btf) = env.types()
        && known.is_empty()
        && is_pattern(name)
    {
        let _ = btf;
        known = env
            .tracepoints
            .names()
            .into_iter()
            .map(|(_, n)| n)
            .collect();
    }
    if is_pattern(name) {
        let found: Vec<ProbeKind> = known
            .iter()
            .filter(|n| matches(name, n))
            .map(|n| ProbeKind::RawTracepoint { name: n.clone() })
            .collect();
        if found.is_empty() {
            return Err(Diagnostic::error(
                p.span,
                format!("no raw tracepoint matches {name}"),
            ));
        }
        return Ok(found);
    }
    if !known.is_empty() && !known.iter().any(|n| n == name) {
        let d = Diagnostic::error(p.span, "Probe has no valid attach points.");
        return Err(match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => d.hint(format!(
                "raw tracepoint not found: {name}; did you mean `rawtracepoint:{near}`?"
            )),
            None => d.hint(format!("raw tracepoint not found: {name}")),
        });
    }
    Ok(vec![ProbeKind::RawTracepoint {
        name: name.to_owned(),
    }])
}
