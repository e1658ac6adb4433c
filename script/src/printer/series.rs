//! Values over time: cells of intervals → rows.

use super::json;
use super::value::word;
use crate::types::SeriesOp;

/// One interval: when it began on the script's clock, and what its values came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub start: u64,
    pub value: Option<i64>,
}

/// Columns that a value's place is shown in.
const WIDTH: usize = 52;

/// The last `count` intervals up to the latest that has a value.
pub(super) fn points(
    interval: i64,
    count: u32,
    (op, signed): (SeriesOp, bool),
    cells: &[Vec<u8>],
) -> Vec<Point> {
    let used: Vec<(u64, i64, u64)> = cells
        .iter()
        .map(|c| (word(c, 0), word(c, 8) as i64, word(c, 16)))
        .filter(|(_, _, n)| *n > 0)
        .collect();
    let Some(last) = used.iter().map(|c| c.0).max() else {
        return Vec::new();
    };
    // Before the first value there is nothing to show.
    let first = used
        .iter()
        .map(|c| c.0)
        .filter(|e| last - e < u64::from(count))
        .min()
        .unwrap_or(last);
    let interval = interval.max(1) as u64;
    (first..=last)
        .map(|epoch| {
            let here = used.iter().filter(|c| c.0 == epoch);
            let values = here.clone().map(|c| c.1);
            let value = match op {
                SeriesOp::Sum => here
                    .clone()
                    .next()
                    .map(|_| values.fold(0i64, i64::wrapping_add)),
                SeriesOp::Avg => {
                    let n = here.clone().fold(0u64, |s, c| s.wrapping_add(c.2));
                    let sum = values.fold(0i64, i64::wrapping_add);
                    (n > 0).then(|| {
                        if signed {
                            sum / n.min(i64::MAX as u64) as i64
                        } else {
                            (sum as u64 / n) as i64
                        }
                    })
                }
                SeriesOp::Min if signed => values.min(),
                SeriesOp::Min => values.map(|v| v as u64).min().map(|v| v as i64),
                SeriesOp::Max if signed => values.max(),
                SeriesOp::Max => values.map(|v| v as u64).max().map(|v| v as i64),
                SeriesOp::Last => values.fold(None, |_, v| Some(v)),
            };
            Point {
                start: epoch.saturating_mul(interval),
                value,
            }
        })
        .collect()
}

/// Rows with the time, the value's place between the least and the greatest, and the value.
pub(super) fn text(points: &[Point], time: &dyn Fn(u64) -> String) -> String {
    let values: Vec<i64> = points.iter().filter_map(|p| p.value).collect();
    let (Some(least), Some(most)) = (values.iter().min(), values.iter().max()) else {
        return String::new();
    };
    let (left, right) = (least.to_string(), most.to_string());
    let label = 24;
    let mut out = format!(
        "{:label$}{left}{:>fill$}\n",
        "",
        right,
        fill = (WIDTH + 2).saturating_sub(left.len())
    );
    out.push_str(&format!(
        "{:<label$}|{}|\n",
        "hh:mm:ss.ms",
        "_".repeat(WIDTH)
    ));
    let span = i128::from(*most) - i128::from(*least);
    for p in points {
        let (place, shown) = match p.value {
            None => (None, "-".to_owned()),
            Some(v) => {
                let from = i128::from(v) - i128::from(*least);
                let place = if span == 0 {
                    0
                } else {
                    (from * (WIDTH as i128 - 1) / span) as usize
                };
                (Some(place), v.to_string())
            }
        };
        let mut row = vec![' '; WIDTH];
        if let Some(place) = place.and_then(|p| row.get_mut(p)) {
            *place = '*';
        }
        let row: String = row.into_iter().collect();
        out.push_str(&format!("{:<label$}|{row}| {shown}\n", time(p.start)));
    }
    out
}

pub(super) fn json(points: &[Point], time: &dyn Fn(u64) -> String) -> String {
    let parts: Vec<String> = points
        .iter()
        .map(|p| {
            let value = p.value.map_or("null".to_owned(), |v| v.to_string());
            format!(
                "{{\"interval_start\": {}, \"value\": {value}}}",
                json::quoted(time(p.start).as_bytes())
            )
        })
        .collect();
    format!("[{}]", parts.join(", "))
}
