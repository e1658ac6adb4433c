//! `tseries`: a value over time, interval by interval.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind};
use crate::types::{Agg, SeriesOp, Ty};

const OPS: [(&str, SeriesOp); 5] = [
    ("avg", SeriesOp::Avg),
    ("max", SeriesOp::Max),
    ("min", SeriesOp::Min),
    ("sum", SeriesOp::Sum),
    ("none", SeriesOp::Last),
];
const MAX_INTERVALS: i64 = 1_000_000;

pub const ROW: Row = Row {
    names: &["tseries"],
    kind: Use::Function { min: 3, max: 4 },
    syntax: "`@x = tseries(NUMBER, 1s, INTERVALS)`, or with `\"avg\"`, `\"max\"`, `\"min\"`, `\"sum\"` as the last argument",
    doc: "A number over time: the last one of each interval, or what the interval's numbers come to.",
    example: "begin { @ = tseries(5, 100ms, 10); }",
    lower: |c, call| {
        let v = c.number(&call.args[0])?;
        let signed = v.ty.is_signed();
        let interval = c.constant(&call.args[1])?;
        if interval <= 0 {
            return Err(Diagnostic::error(
                call.args[1].span,
                "an interval must be above 0; write it with its unit, like `1s`",
            ));
        }
        let count = c.constant(&call.args[2])?;
        if !(1..=MAX_INTERVALS).contains(&count) {
            return Err(Diagnostic::error(
                call.args[2].span,
                format!("a series has 1 to {MAX_INTERVALS} intervals"),
            ));
        }
        let op = match call.args.get(3) {
            None => SeriesOp::Last,
            Some(a) => {
                let word = c.text(a)?;
                let row = OPS.iter().find(|(name, _)| *name == word);
                row.ok_or_else(|| {
                    Diagnostic::error(a.span, format!("a series cannot be made of `{word}`"))
                        .suggest(&word, OPS.iter().map(|(n, _)| *n))
                })?
                .1
            }
        };
        let agg = Agg::Series {
            interval,
            count: count as u32,
            op,
            signed,
        };
        Ok(Expr::new(
            ExprKind::Agg {
                agg,
                arg: Some(Box::new(v)),
            },
            Ty::Agg(agg),
            call.span,
        ))
    },
};
