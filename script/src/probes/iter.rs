//! `iter:KIND`: walks over the kernel's objects.

use super::{Point, ProbeKind, Row};
use crate::diagnostics::Diagnostic;
use crate::env::Environment;

pub const ROW: Row = Row {
    names: &["iter", "it"],
    syntax: "`iter:task` or `iter:task_file`, `iter:task_vma` …; a second part is where it is pinned",
    doc: "Runs for every object of a kind; the object is in `ctx`.",
    example: "iter:task { printf(\"%s %d\\n\", ctx.task.comm, ctx.task.pid); }",
    expand,
};

const PREFIX: &str = "bpf_iter__";

fn expand(p: &Point<'_>, env: &Environment<'_>) -> Result<Vec<ProbeKind>, Diagnostic> {
    let (kind, pin) = match p.parts.as_slice() {
        [kind] => (*kind, None),
        [kind, pin] => (*kind, Some((*pin).to_owned()).filter(|p| !p.is_empty())),
        _ => return Err(p.wrong("the kind of objects must follow")),
    };
    if let Some(types) = env.types()
        && types.find_type(&format!("struct {PREFIX}{kind}")).is_none()
    {
        return Err(
            Diagnostic::error(p.span, format!("the kernel cannot walk over `{kind}`")).suggest(
                kind,
                [
                    "task",
                    "task_file",
                    "task_vma",
                    "bpf_map",
                    "bpf_prog",
                    "cgroup",
                    "tcp",
                    "udp",
                ],
            ),
        );
    }
    if kind.is_empty() {
        return Err(p.wrong("the kind of objects must follow"));
    }
    Ok(vec![ProbeKind::Iter {
        kind: kind.to_owned(),
        pin,
    }])
}
