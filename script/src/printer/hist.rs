//! Histograms: numbers of buckets → rows.

use crate::types::Agg;

/// A row: `None` stands for no bound on that side; `high` is one past the last value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub low: Option<i128>,
    pub high: Option<i128>,
    pub count: u64,
}

const BAR: usize = 52;

/// From the first to the last bucket that is not empty.
pub(super) fn rows(agg: Agg, buckets: &[(u64, u64)]) -> Vec<Row> {
    let used: Vec<u64> = buckets
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(b, _)| *b)
        .collect();
    let (Some(first), Some(last)) = (used.iter().min(), used.iter().max()) else {
        return Vec::new();
    };
    let most = agg.buckets().unwrap_or(0);
    (*first..=(*last).min(most))
        .map(|b| {
            let (low, high) = bounds(agg, b);
            let count = buckets
                .iter()
                .filter(|(n, _)| *n == b)
                .map(|(_, c)| c)
                .sum();
            Row { low, high, count }
        })
        .collect()
}

fn bounds(agg: Agg, bucket: u64) -> (Option<i128>, Option<i128>) {
    let b = i128::from(bucket);
    match agg {
        Agg::Hist { .. } if b == 0 => (None, Some(0)),
        Agg::Hist { bits } => {
            let n = 1i128 << bits;
            let v = b - 1;
            if v < n {
                return (Some(v), Some(v + 1));
            }
            // Parts of the power of two that begins at `n << power`.
            let power = ((v - n) / n) as u32;
            let part = (v - n) % n;
            let low = (n + part) << power.min(64);
            (Some(low), Some(low + (1i128 << power.min(64))))
        }
        Agg::Lhist { min, max, step } => {
            let (min, max, step) = (i128::from(min), i128::from(max), i128::from(step));
            let last = (max - min + step - 1) / step + 1;
            if b == 0 {
                (None, Some(min))
            } else if b >= last {
                (Some(max), None)
            } else {
                (Some(min + (b - 1) * step), Some(min + b * step))
            }
        }
        _ => (Some(b), Some(b + 1)),
    }
}

/// `1K` for 1024 and so on.
fn label(v: i128, suffixes: bool) -> String {
    if suffixes && v != 0 {
        for (shift, suffix) in [
            (60, "E"),
            (50, "P"),
            (40, "T"),
            (30, "G"),
            (20, "M"),
            (10, "K"),
        ] {
            if v % (1i128 << shift) == 0 {
                return format!("{}{suffix}", v >> shift);
            }
        }
    }
    v.to_string()
}

pub(super) fn text(agg: Agg, rows: &[Row], div: u64) -> String {
    let suffixes = match agg {
        Agg::Lhist { step, .. } => step % 1024 == 0,
        _ => true,
    };
    let counts: Vec<u64> = rows.iter().map(|r| r.count / div).collect();
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let mut out = String::new();
    for (r, count) in rows.iter().zip(counts) {
        let head = match (r.low, r.high) {
            (None, Some(h)) => format!("(..., {})", label(h, suffixes)),
            (Some(l), None) => format!("[{}, ...)", label(l, suffixes)),
            (Some(l), Some(h)) if h - l == 1 => format!("[{}]", label(l, suffixes)),
            (Some(l), Some(h)) => format!("[{}, {})", label(l, suffixes), label(h, suffixes)),
            (None, None) => String::new(),
        };
        let bar = (count as f32 / most as f32 * BAR as f32) as usize;
        out.push_str(&format!(
            "{head:<16}{count:>8} |{:<BAR$}|\n",
            "@".repeat(bar.min(BAR))
        ));
    }
    out
}

pub(super) fn json(rows: &[Row], div: u64) -> String {
    let parts: Vec<String> = rows
        .iter()
        .map(|r| {
            let mut fields = Vec::new();
            if let Some(l) = r.low {
                fields.push(format!("\"min\": {l}"));
            }
            if let Some(h) = r.high {
                fields.push(format!("\"max\": {}", h - 1));
            }
            fields.push(format!("\"count\": {}", r.count / div));
            format!("{{{}}}", fields.join(", "))
        })
        .collect();
    format!("[{}]", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two() {
        let agg = Agg::Hist { bits: 0 };
        let r = rows(agg, &[(1, 1), (2, 2), (3, 4), (12, 1)]);
        assert_eq!(
            r[0],
            Row {
                low: Some(0),
                high: Some(1),
                count: 1
            }
        );
        assert_eq!(
            r[2],
            Row {
                low: Some(2),
                high: Some(4),
                count: 4
            }
        );
        assert_eq!(
            r.last().map(|r| (r.low, r.high)),
            Some((Some(1024), Some(2048)))
        );
        let t = text(agg, &r, 1);
        let lines: Vec<&str> = t.lines().collect();
        assert_eq!(
            lines[0],
            format!("[0]                    1 |{:<52}|", "@".repeat(13))
        );
        assert_eq!(
            lines[2],
            format!("[2, 4)                 4 |{}|", "@".repeat(52))
        );
        assert!(lines[11].starts_with("[1K, 2K)               1 |"));
        assert_eq!(bounds(agg, 0), (None, Some(0)));
        assert_eq!(bounds(Agg::Hist { bits: 2 }, 4), (Some(3), Some(4)));
        assert_eq!(bounds(Agg::Hist { bits: 2 }, 9), (Some(8), Some(10)));
        assert_eq!(bounds(agg, 65), (Some(1 << 63), Some(1 << 64)));
    }

    #[test]
    fn equal_steps() {
        let agg = Agg::Lhist {
            min: 0,
            max: 10,
            step: 2,
        };
        assert_eq!(bounds(agg, 0), (None, Some(0)));
        assert_eq!(bounds(agg, 1), (Some(0), Some(2)));
        assert_eq!(bounds(agg, 6), (Some(10), None));
        let t = text(agg, &rows(agg, &[(0, 1), (6, 3)]), 1);
        assert!(t.starts_with("(..., 0)               1 |"), "{t}");
        assert!(t.contains("\n[10, ...)              3 |"), "{t}");
        assert_eq!(
            json(&rows(agg, &[(2, 1)]), 1),
            "[{\"min\": 2, \"max\": 3, \"count\": 1}]"
        );
    }
}
