//! `clear` and `zero`: empty a map, or set its values to zero.

use super::printf::emit;
use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::event::Event;

pub const CLEAR: Row = Row {
    names: &["clear"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`clear(@MAP)`",
    doc: "Removes every entry of a map.",
    example: "begin { @x[1] = 5; clear(@x); }",
    lower: |c, call| match c.whole_map(&call.args[0]) {
        Some(map) => Ok(emit(c, call, Event::Clear { map }, Vec::new())),
        None => Err(Diagnostic::error(
            call.args[0].span,
            "a map is needed here, like `@x`",
        )),
    },
};

pub const ZERO: Row = Row {
    names: &["zero"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`zero(@MAP)`",
    doc: "Sets every value of a map to zero.",
    example: "begin { @x[1] = 5; zero(@x); }",
    lower: |c, call| match c.whole_map(&call.args[0]) {
        Some(map) => Ok(emit(c, call, Event::Zero { map }, Vec::new())),
        None => Err(Diagnostic::error(
            call.args[0].span,
            "a map is needed here, like `@x`",
        )),
    },
};
