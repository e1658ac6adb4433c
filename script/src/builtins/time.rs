//! `time` and `strftime`: wall-clock time as text.

use super::printf::emit;
use super::{Row, Use};
use crate::event::Event;
use crate::hir::Expr;
use crate::types::Ty;

pub const TIME: Row = Row {
    names: &["time"],
    kind: Use::Function { min: 0, max: 1 },
    syntax: "`time()`, or `time(\"%H:%M:%S\\n\")`",
    doc: "Prints the time of day.",
    example: "begin { time(\"%H:%M:%S\\n\"); }",
    lower: |c, call| {
        let format = match call.args.first() {
            Some(a) => c.text(a)?,
            None => "%H:%M:%S\n".to_owned(),
        };
        Ok(emit(c, call, Event::Time(format), Vec::new()))
    },
};

pub const STRFTIME: Row = Row {
    names: &["strftime"],
    kind: Use::Function { min: 2, max: 2 },
    syntax: "`strftime(\"%H:%M:%S\", nsecs)`",
    doc: "A time of `nsecs` as text; `%f` are microseconds.",
    example: "begin { printf(\"%s\\n\", strftime(\"%H:%M:%S.%f\", nsecs)); }",
    lower: |c, call| {
        let format = c.text(&call.args[0])?;
        let value = c.number(&call.args[1])?;
        Ok(Expr {
            ty: Ty::Timestamp(format.into()),
            ..value
        })
    },
};
