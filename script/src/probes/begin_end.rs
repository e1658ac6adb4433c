//! `begin` and `end`: once before and once after everything else.

use super::{Point, ProbeKind, Row};

pub const BEGIN: Row = Row {
    names: &["begin", "BEGIN"],
    syntax: "`begin`",
    doc: "Runs once, before any event.",
    example: "begin { printf(\"Tracing...\\n\"); }",
    expand: |p, _| alone(p, ProbeKind::Begin),
};

pub const END: Row = Row {
    names: &["end", "END"],
    syntax: "`end`",
    doc: "Runs once, after the last event and before the maps are printed.",
    example: "end { printf(\"done\\n\"); }",
    expand: |p, _| alone(p, ProbeKind::End),
};

fn alone(p: &Point<'_>, kind: ProbeKind) -> Result<Vec<ProbeKind>, crate::Diagnostic> {
    if p.parts.is_empty() {
        Ok(vec![kind])
    } else {
        Err(p.wrong("nothing may follow"))
    }
}
