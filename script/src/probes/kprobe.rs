//! `kprobe:FUNCTION` and `kretprobe:FUNCTION`: entry and return of kernel functions.

use super::{Point, ProbeKind, Row, is_pattern, matches, split_offset};
use crate::diagnostics::{Diagnostic, nearest};
use crate::env::Environment;

pub const KPROBE: Row = Row {
    names: &["kprobe", "k"],
    syntax: "`kprobe:FUNCTION`, `kprobe:FUNCTION+OFFSET` or `kprobe:MODULE:FUNCTION`",
    doc: "A kernel function as it is entered; its arguments are `arg0` …",
    expand: |p, env| expand(p, env, false),
};

pub const KRETPROBE: Row = Row {
    names: &["kretprobe", "kr"],
    syntax: "`kretprobe:FUNCTION` or `kretprobe:MODULE:FUNCTION`",
    doc: "A kernel function as it returns `retval`.",
    expand: |p, env| expand(p, env, true),
};

fn expand(p: &Point<'_>, env: &Environment<'_>, ret: bool) -> Result<Vec<ProbeKind>, Diagnostic> {
    let target = match p.parts.as_slice() {
        [t] | [_, t] if !t.is_empty() => *t,
        _ => return Err(p.wrong("the name of a kernel function must follow")),
    };
    let target = target.trim_matches('"');
    let (name, offset) =
        split_offset(target).ok_or_else(|| p.wrong("the offset is not a number"))?;
    if ret && offset != 0 {
        return Err(p.wrong("a return has no offset"));
    }
    let kind = |function: &str| ProbeKind::Kprobe {
        function: function.to_owned(),
        offset,
        ret,
    };
    let known = env.functions.kernel();
    if is_pattern(name) {
        let mut found: Vec<&String> = known.iter().filter(|n| matches(name, n)).collect();
        found.sort();
        found.dedup();
        if found.is_empty() {
            return Err(Diagnostic::error(
                p.span,
                format!("no kernel function matches {name}"),
            ));
        }
        return Ok(found.into_iter().map(|n| kind(n)).collect());
    }
    if !known.is_empty() && !known.iter().any(|n| n == name) {
        let d = Diagnostic::error(p.span, format!("kernel function not found: {name}"));
        return Err(match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => d.hint(format!("did you mean `{}:{near}`?", p.row.names[0])),
            None => d,
        });
    }
    Ok(vec![kind(name)])
}
