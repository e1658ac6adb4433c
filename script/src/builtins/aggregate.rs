//! `count`, `sum`, `avg`, `min`, `max`, `stats`, `hist`, `lhist`: what maps collect.

use super::{Call, Row, Use};
use crate::check::{Checked, Checker};
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind};
use crate::types::{Agg, Ty};

fn node(agg: Agg, arg: Option<Expr>, call: &Call<'_>) -> Expr {
    Expr::new(
        ExprKind::Agg {
            agg,
            arg: arg.map(Box::new),
        },
        Ty::Agg(agg),
        call.span,
    )
}

fn of_number<'a>(c: &mut Checker<'a>, call: &Call<'a>, agg: fn(bool) -> Agg) -> Checked<Expr> {
    let v = c.number(&call.args[0])?;
    let signed = v.ty.is_signed();
    Ok(node(agg(signed), Some(v), call))
}

pub const COUNT: Row = Row {
    names: &["count"],
    kind: Use::Function { min: 0, max: 0 },
    syntax: "`@x = count()`",
    doc: "How often.",
    example: "begin { @ = count(); }",
    lower: |_, call| Ok(node(Agg::Count, None, call)),
};

pub const SUM: Row = Row {
    names: &["sum"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`@x = sum(NUMBER)`",
    doc: "The sum.",
    example: "begin { @ = sum(5); }",
    lower: |c, call| of_number(c, call, |signed| Agg::Sum { signed }),
};

pub const AVG: Row = Row {
    names: &["avg"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`@x = avg(NUMBER)`",
    doc: "The average.",
    example: "begin { @ = avg(5); }",
    lower: |c, call| of_number(c, call, |signed| Agg::Avg { signed }),
};

pub const MIN: Row = Row {
    names: &["min"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`@x = min(NUMBER)`",
    doc: "The least.",
    example: "begin { @ = min(5); }",
    lower: |c, call| of_number(c, call, |signed| Agg::Min { signed }),
};

pub const MAX: Row = Row {
    names: &["max"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`@x = max(NUMBER)`",
    doc: "The greatest.",
    example: "begin { @ = max(5); }",
    lower: |c, call| of_number(c, call, |signed| Agg::Max { signed }),
};

pub const STATS: Row = Row {
    names: &["stats"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`@x = stats(NUMBER)`",
    doc: "How often, the average and the sum.",
    example: "begin { @ = stats(5); }",
    lower: |c, call| of_number(c, call, |signed| Agg::Stats { signed }),
};

pub const HIST: Row = Row {
    names: &["hist"],
    kind: Use::Function { min: 1, max: 2 },
    syntax: "`@x = hist(NUMBER)`, or `hist(NUMBER, BITS)`",
    doc: "A histogram with a row for each power of two, or for each part of one.",
    example: "begin { @ = hist(5); }",
    lower: |c, call| {
        let v = c.number(&call.args[0])?;
        let bits = match call.args.get(1) {
            Some(a) => {
                let n = c.constant(a)?;
                if !(0..=5).contains(&n) {
                    return Err(Diagnostic::error(
                        a.span,
                        "the bits of a histogram are 0 to 5",
                    ));
                }
                n as u8
            }
            None => 0,
        };
        Ok(node(Agg::Hist { bits }, Some(v), call))
    },
};

pub const LHIST: Row = Row {
    names: &["lhist"],
    kind: Use::Function { min: 4, max: 4 },
    syntax: "`@x = lhist(NUMBER, MIN, MAX, STEP)`",
    doc: "A histogram with rows of equal width.",
    example: "begin { @ = lhist(5, 0, 100, 10); }",
    lower: |c, call| {
        let v = c.number(&call.args[0])?;
        let (min, max, step) = (
            c.constant(&call.args[1])?,
            c.constant(&call.args[2])?,
            c.constant(&call.args[3])?,
        );
        let wrong = |n: usize, why: &str| Err(Diagnostic::error(call.args[n].span, why));
        if step <= 0 {
            return wrong(3, "the step of a histogram must be above 0");
        }
        if min < 0 {
            return wrong(1, "the least value of a histogram must not be negative");
        }
        if max <= min {
            return wrong(
                2,
                "the greatest value of a histogram must be above the least",
            );
        }
        if (max - min) / step > 1000 {
            return wrong(3, "a histogram has at most 1000 rows");
        }
        Ok(node(Agg::Lhist { min, max, step }, Some(v), call))
    },
};
