//! Rows → what they come to: geometric means of the ratios, and what is slower.

use super::row::{Engine, Row};

/// From here on a program is no small one: Linux visits as many instructions.
pub const LARGE: u64 = 1000;

/// The ratios that there are.
pub const RATIOS: [&str; 4] = ["time", "processed", "states", "memory"];

/// Programs that both accept, and how ours compares on them.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared<'a> {
    pub rows: Vec<&'a Row>,
    /// Geometric means by [`RATIOS`], and over how many rows.
    pub means: [Option<(f64, usize)>; 4],
    /// Those that take us longer, slowest first.
    pub slower: Vec<&'a Row>,
}

impl<'a> Compared<'a> {
    /// Of the programs that both accept and `which` lets through.
    pub fn of(rows: &'a [Row], engine: Engine, which: impl Fn(&Row) -> bool) -> Compared<'a> {
        let both = |r: &&Row| {
            let theirs = r.other(engine).and_then(|o| o.verdict.as_deref());
            r.accepted() && theirs == Some("accept") && which(r)
        };
        let rows: Vec<&Row> = rows.iter().filter(both).collect();
        let mean = |of: &str| geometric_mean(rows.iter().filter_map(|r| r.ratio(engine, of)));
        let ratio = |r: &Row| r.ratio(engine, "time");
        let mut slower: Vec<&Row> = rows
            .iter()
            .copied()
            .filter(|r| ratio(r).is_some_and(|x| x < 1.0))
            .collect();
        crate::sorted::by(&mut slower, |a: &&Row, b: &&Row| {
            ratio(a)
                .partial_cmp(&ratio(b))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        Compared {
            means: RATIOS.map(mean),
            slower,
            rows,
        }
    }
}

/// Did Linux visit as many instructions that this is no small program?
pub fn large(row: &Row) -> bool {
    let processed = row.linux.as_ref().and_then(|o| o.processed);
    processed.is_some_and(|n| n >= LARGE)
}

/// Programs on which the verdicts differ.
pub fn differ(rows: &[Row], engine: Engine) -> usize {
    rows.iter()
        .filter(|r| {
            let theirs = r.other(engine).and_then(|o| o.verdict.as_deref());
            theirs.is_some_and(|t| (t == "accept") != r.accepted())
        })
        .count()
}

/// `None` of nothing.
pub fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<(f64, usize)> {
    let (mut sum, mut count) = (0.0, 0);
    for value in values {
        sum += value.ln();
        count += 1;
    }
    (count > 0).then(|| ((sum / count as f64).exp(), count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::row::Other;

    fn row(verdict: &str, theirs: &str, time_us: f64, linux_us: f64, processed: u64) -> Row {
        Row {
            verdict: verdict.into(),
            time_us,
            linux: Some(Other {
                verdict: Some(theirs.into()),
                time_us: Some(linux_us),
                processed: Some(processed),
                ..Other::default()
            }),
            ..Row::default()
        }
    }

    #[test]
    fn means_are_over_what_both_accept() {
        let rows = [
            row("accept", "accept", 1.0, 4.0, 10),
            row("accept", "accept", 1.0, 16.0, 1000),
            row("accept", "accept", 4.0, 2.0, 2000),
            row("reject", "reject", 1.0, 1000.0, 10),
            row("reject", "accept", 1.0, 1000.0, 10),
        ];
        let all = Compared::of(&rows, Engine::Linux, |_| true);
        let (mean, count) = all.means[0].expect("a mean");
        assert!((mean - 32f64.cbrt()).abs() < 1e-9 && count == 3, "{mean}");
        assert_eq!(all.slower, [&rows[2]]);
        assert_eq!(all.means[3], None);
        let big = Compared::of(&rows, Engine::Linux, large);
        assert_eq!(big.rows, [&rows[1], &rows[2]]);
        assert_eq!(differ(&rows, Engine::Linux), 1);
        assert_eq!(differ(&rows, Engine::Prevail), 0);
    }
}
