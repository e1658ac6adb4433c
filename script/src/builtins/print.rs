//! `print`: a value, or a whole map.

use super::printf::emit;
use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::event::Event;

pub const ROW: Row = Row {
    names: &["print"],
    kind: Use::Function { min: 1, max: 3 },
    syntax: "`print(VALUE)`, or `print(@MAP, TOP, DIVISOR)`",
    doc: "Prints a value, or a map: its highest entries only, and divided, when asked.",
    example: "begin { @x[1] = 5; print(@x); print((1, \"a\")); }",
    lower: |c, call| {
        if let Some(map) = c.whole_map(&call.args[0]) {
            let mut numbers = Vec::new();
            for a in &call.args[1..] {
                let n = c.constant(a)?;
                if n < 0 {
                    return Err(Diagnostic::error(
                        a.span,
                        "this number must not be negative",
                    ));
                }
                numbers.push(n as u64);
            }
            let event = Event::PrintMap {
                map,
                top: numbers.first().copied().filter(|n| *n > 0),
                div: numbers.get(1).copied().unwrap_or(1).max(1),
            };
            return Ok(emit(c, call, event, Vec::new()));
        }
        // An entry that is more than a number: a histogram, statistics, a series.
        if let crate::ast::ExprKind::Map { name, keys } = &call.args[0].kind
            && !keys.is_empty()
            && call.args.len() == 1
            && let Some(map) = c.collecting_map(name)
        {
            let (map, key) = c
                .map_entry(&name.clone(), keys, call.args[0].span)
                .map(|(_, key)| (map, key))?;
            let types = key.iter().map(|k| k.ty.clone()).collect();
            return Ok(emit(c, call, Event::PrintEntry { map, key: types }, key));
        }
        if call.args.len() > 1 {
            return Err(
                Diagnostic::error(call.span, "only maps take more arguments")
                    .hint("write `print(@MAP, TOP, DIVISOR)`"),
            );
        }
        let value = c.storable(&call.args[0])?;
        let event = Event::Print(value.ty.clone());
        Ok(emit(c, call, event, vec![value]))
    },
};
