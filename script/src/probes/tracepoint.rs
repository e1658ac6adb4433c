//! `tracepoint:CATEGORY:NAME`: the kernel's static tracepoints.

use super::{Point, ProbeKind, Row, is_pattern, matches};
use crate::diagnostics::Diagnostic;
use crate::env::Environment;

pub const ROW: Row = Row {
    names: &["tracepoint", "t"],
    syntax: "`tracepoint:CATEGORY:NAME`; both may have wildcards",
    doc: "A static tracepoint of the kernel; its fields are `args.NAME`.",
    example: "tracepoint:sched:sched_switch { @[args.next_comm] = count(); }",
    expand,
};

fn expand(p: &Point<'_>, env: &Environment<'_>) -> Result<Vec<ProbeKind>, Diagnostic> {
    let [category, name] = p.parts.as_slice() else {
        return Err(category_missing(p, env));
    };
    if category.is_empty() || name.is_empty() {
        return Err(p.wrong("a category and a name must follow"));
    }
    let kind = |category: &str, name: &str| ProbeKind::Tracepoint {
        category: category.to_owned(),
        name: name.to_owned(),
    };
    if !is_pattern(category) && !is_pattern(name) {
        if env.tracepoints.format(category, name).is_some() {
            return Ok(vec![kind(category, name)]);
        }
        let names = env.tracepoints.names();
        let wanted = format!("{category}:{name}");
        let known: Vec<String> = names.iter().map(|(c, n)| format!("{c}:{n}")).collect();
        let d = Diagnostic::error(p.span, format!("No matches for tracepoint {wanted}."));
        return Err(
            match crate::diagnostics::nearest(&wanted, known.iter().map(String::as_str)) {
                Some(near) => d.hint(format!("did you mean `tracepoint:{near}`?")),
                None if known.is_empty() => d.hint("no tracepoints are known here at all"),
                None => d,
            },
        );
    }
    let mut found: Vec<ProbeKind> = env
        .tracepoints
        .names()
        .iter()
        .filter(|(c, n)| matches(category, c) && matches(name, n))
        .map(|(c, n)| kind(c, n))
        .collect();
    found.sort_by_key(ToString::to_string);
    if found.is_empty() {
        return Err(Diagnostic::error(
            p.span,
            format!("No matches for tracepoint {category}:{name}."),
        ));
    }
    Ok(found)
}

/// `tracepoint:sched_switch`: whose category the machine knows.
fn category_missing(p: &Point<'_>, env: &Environment<'_>) -> Diagnostic {
    let d = p.wrong("a category and a name must follow");
    let [name] = p.parts.as_slice() else { return d };
    let names = env.tracepoints.names();
    match names.iter().find(|(_, n)| n == name) {
        Some((category, _)) => d.hint(format!("did you mean `tracepoint:{category}:{name}`?")),
        None => d,
    }
}
