//! `self:signal:NAME`, `test:NAME` and `bench:NAME`: probes that the tracer itself runs.

use super::{Point, ProbeKind, Row};

pub const SELF: Row = Row {
    names: &["self"],
    syntax: "`self:signal:SIGUSR1`",
    doc: "Runs when the tracer receives a signal.",
    example: "self:signal:SIGUSR1 { print(@); } tracepoint:sched:sched_switch { @ = count(); }",
    expand: |p, _| match p.parts.as_slice() {
        ["signal", name] => match crate::builtins::signal_number(name) {
            Some(n) => Ok(vec![ProbeKind::Signal {
                number: n as i32,
                name: (*name).to_owned(),
            }]),
            None => Err(p.wrong(format_args!("unknown signal `{name}`"))),
        },
        _ => Err(p.wrong("`signal` and its name must follow")),
    },
};

pub const TEST: Row = Row {
    names: &["test"],
    syntax: "`test:NAME`",
    doc: "A test of the script, run by --test.",
    example: "test:sums { assert(1 + 1 == 2, \"numbers work\"); }",
    expand: |p, _| Ok(vec![ProbeKind::Test(name(p)?)]),
};

pub const BENCH: Row = Row {
    names: &["bench"],
    syntax: "`bench:NAME`",
    doc: "A measurement of the script, run by --bench.",
    example: "bench:count { @[1] = count(); }",
    expand: |p, _| Ok(vec![ProbeKind::Bench(name(p)?)]),
};

fn name(p: &Point<'_>) -> Result<String, crate::Diagnostic> {
    match p.parts.as_slice() {
        [name] if !name.is_empty() => Ok((*name).to_owned()),
        _ => Err(p.wrong("a name must follow")),
    }
}
