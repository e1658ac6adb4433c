//! `software:EVENT:COUNT` and `hardware:EVENT:COUNT`: the kernel's and the processor's counters.

use super::{Point, ProbeKind, Row, number};
use crate::diagnostics::Diagnostic;

/// Names, number, count when none is given (`include/uapi/linux/perf_event.h`).
type Event = (&'static [&'static str], u64, u64);

const SOFTWARE_EVENTS: &[Event] = &[
    (&["cpu-clock", "cpu"], 0, 1_000_000),
    (&["task-clock"], 1, 1_000_000),
    (&["page-faults", "faults"], 2, 100),
    (&["context-switches", "cs"], 3, 1_000),
    (&["cpu-migrations"], 4, 1),
    (&["minor-faults"], 5, 100),
    (&["major-faults"], 6, 1),
    (&["alignment-faults"], 7, 1),
    (&["emulation-faults"], 8, 1),
    (&["dummy"], 9, 1),
    (&["bpf-output"], 10, 1),
];

const HARDWARE_EVENTS: &[Event] = &[
    (&["cpu-cycles", "cycles"], 0, 1_000_000),
    (&["instructions"], 1, 1_000_000),
    (&["cache-references"], 2, 1_000_000),
    (&["cache-misses"], 3, 1_000_000),
    (&["branch-instructions", "branches"], 4, 100_000),
    (&["branch-misses"], 5, 100_000),
    (&["bus-cycles"], 6, 100_000),
    (&["frontend-stalls"], 7, 1_000_000),
    (&["backend-stalls"], 8, 1_000_000),
    (&["ref-cycles"], 9, 1_000_000),
];

pub const SOFTWARE: Row = Row {
    names: &["software", "s"],
    syntax: "`software:EVENT` or `software:EVENT:COUNT`",
    doc: "Every so many of the kernel's own events.",
    example: "software:page-faults:100 { @[comm] = count(); }",
    expand: |p, _| {
        let (event, name, count) = find(p, SOFTWARE_EVENTS)?;
        Ok(vec![ProbeKind::Software { event, name, count }])
    },
};

pub const HARDWARE: Row = Row {
    names: &["hardware", "h"],
    syntax: "`hardware:EVENT` or `hardware:EVENT:COUNT`",
    doc: "Every so many events of the processor's counters.",
    example: "hardware:cache-misses:1000000 { @[comm] = count(); }",
    expand: |p, _| {
        let (event, name, count) = find(p, HARDWARE_EVENTS)?;
        Ok(vec![ProbeKind::Hardware { event, name, count }])
    },
};

/// Every name of an event of `software` or `hardware`.
pub(super) fn names(kind: &str) -> Vec<&'static str> {
    let events = match kind {
        "software" => SOFTWARE_EVENTS,
        "hardware" => HARDWARE_EVENTS,
        _ => &[],
    };
    events
        .iter()
        .flat_map(|(n, ..)| n.iter().copied())
        .collect()
}

fn find(p: &Point<'_>, events: &[Event]) -> Result<(u64, String, u64), Diagnostic> {
    let (name, count) = match p.parts.as_slice() {
        [name] | [name, ""] => (*name, None),
        [name, count] => match number(count) {
            Some(n) if n > 0 => (*name, Some(n)),
            _ => return Err(p.wrong("the count is not a number above 0")),
        },
        _ => return Err(p.wrong("the name of an event must follow")),
    };
    match events.iter().find(|(names, ..)| names.contains(&name)) {
        Some((_, number, default)) => Ok((*number, name.to_owned(), count.unwrap_or(*default))),
        None => Err(
            Diagnostic::error(p.span, format!("unknown event `{name}`")).suggest(
                name,
                events.iter().flat_map(|(names, ..)| names.iter().copied()),
            ),
        ),
    }
}
