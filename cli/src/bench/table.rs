//! Rows → a table for people, and what it comes to below it.

use std::fmt::Write;

use anstyle::Style;

use super::row::{Engine, Row};
use super::summary::{self, Compared, RATIOS};
use crate::output::{BAD, BOLD, DIM, GOOD};

/// Names are cut beyond that.
const WIDEST: usize = 40;

pub struct Column {
    pub title: String,
    pub left: bool,
    pub cells: Vec<(String, Style)>,
}

/// Aligned, with a line of titles; empty without rows.
pub fn table(rows: &[Row], against: &[Engine]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let plain = Style::new();
    let column = |title: &str, left: bool, cell: &dyn Fn(&Row) -> (String, Style)| Column {
        title: title.to_string(),
        left,
        cells: rows.iter().map(cell).collect(),
    };
    let count = |n: Option<u64>| (n.map_or_else(|| "-".into(), |n| n.to_string()), plain);
    let mut columns = vec![
        column("object", true, &|r| (cut(file(&r.object)), DIM)),
        column("program", true, &|r| (cut(&r.program), plain)),
        column("verdict", true, &|r| verdict(Some(&r.verdict))),
        column("insns", false, &|r| count(Some(r.insns))),
        column("processed", false, &|r| count(Some(r.processed))),
        column("states", false, &|r| count(Some(r.states))),
        column("peak", false, &|r| count(Some(r.peak_states))),
        column("memory", false, &|r| {
            (r.memory_bytes.map_or_else(|| "-".into(), bytes), plain)
        }),
        column("time", false, &|r| (time(r.time_us), BOLD)),
        column("insns/s", false, &|r| {
            (r.throughput().map_or_else(|| "-".into(), many), plain)
        }),
    ];
    for &engine in against {
        let other = |r: &Row| r.other(engine).cloned().unwrap_or_default();
        let name = engine.title();
        columns.push(column(name, true, &|r| {
            verdict(other(r).verdict.as_deref())
        }));
        let has = |of: &dyn Fn(&Row) -> bool| rows.iter().any(of);
        if has(&|r| other(r).processed.is_some()) {
            columns.push(column("processed", false, &|r| count(other(r).processed)));
            columns.push(column("states", false, &|r| count(other(r).states)));
        }
        columns.push(column("memory", false, &|r| {
            (
                other(r).memory_bytes.map_or_else(|| "-".into(), bytes),
                plain,
            )
        }));
        columns.push(column("time", false, &|r| {
            let o = other(r);
            let mark = if o.compiled { "*" } else { "" };
            (
                o.time_us
                    .map_or_else(|| "-".into(), |t| format!("{}{mark}", time(t))),
                BOLD,
            )
        }));
        for of in RATIOS {
            if has(&|r| r.ratio(engine, of).is_some()) {
                let title = format!("{of}×");
                columns.push(column(&title, false, &|r| ratio(r.ratio(engine, of))));
            }
        }
    }
    lay_out(&columns, rows.len())
}

/// Columns of as many cells, with their titles above.
pub fn lay_out(columns: &[Column], rows: usize) -> String {
    let width = |c: &Column| {
        let cells = c.cells.iter().map(|(t, _)| t.chars().count());
        cells.chain([c.title.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = columns.iter().map(width).collect();
    let mut text = String::new();
    let mut line = |cells: &dyn Fn(&Column) -> (String, Style)| {
        for (n, (column, width)) in columns.iter().zip(&widths).enumerate() {
            let (cell, style) = cells(column);
            let space = " ".repeat(width - cell.chars().count());
            let last = n + 1 == columns.len();
            let cell = format!("{style}{cell}{style:#}");
            let _ = match (column.left, last) {
                (true, true) => write!(text, "{cell}"),
                (true, false) => write!(text, "{cell}{space}  "),
                (false, true) => write!(text, "{space}{cell}"),
                (false, false) => write!(text, "{space}{cell}  "),
            };
        }
        text.push('\n');
    };
    line(&|c| (c.title.clone(), DIM));
    for n in 0..rows {
        line(&|c| c.cells.get(n).cloned().unwrap_or_default());
    }
    text
}

/// What the rows come to, a few lines.
pub fn summary(rows: &[Row], against: &[Engine]) -> String {
    let mut text = String::new();
    let accepted = rows.iter().filter(|r| r.accepted()).count();
    let _ = writeln!(
        text,
        "{BOLD}{}{BOLD:#}, {accepted} accepted",
        programs(rows.len())
    );
    for &engine in against {
        let name = engine.title();
        let silent = rows
            .iter()
            .filter(|r| r.other(engine).is_none_or(|o| o.verdict.is_none()))
            .count();
        let all = Compared::of(rows, engine, |_| true);
        let _ = writeln!(
            text,
            "{BOLD}against {name}{BOLD:#}: {} accepted by both, {} with different verdicts, {silent} without a verdict of {name}",
            all.rows.len(),
            summary::differ(rows, engine),
        );
        compared(&mut text, "all of them", &all);
        let large = Compared::of(rows, engine, summary::large);
        if !large.rows.is_empty() {
            let which = format!(
                "{} with {}+ processed in Linux",
                large.rows.len(),
                summary::LARGE
            );
            compared(&mut text, &which, &large);
        }
    }
    if against.contains(&Engine::Linux)
        && rows
            .iter()
            .any(|r| r.linux.as_ref().is_some_and(|o| o.compiled))
    {
        text += "* includes Linux's compiler at work on subprograms\n";
    }
    text
}

fn compared(text: &mut String, which: &str, compared: &Compared<'_>) {
    if compared.rows.is_empty() {
        return;
    }
    let means: Vec<String> = RATIOS
        .iter()
        .zip(&compared.means)
        .filter_map(|(of, mean)| {
            let (mean, count) = (*mean)?;
            let over = match count == compared.rows.len() {
                true => String::new(),
                false => format!(" (of {count})"),
            };
            Some(format!("{of} {mean:.2}×{over}"))
        })
        .collect();
    let _ = write!(text, "  {which}, geometric means: {}", means.join(", "));
    let slower: Vec<&str> = compared.slower.iter().map(|r| r.program.as_str()).collect();
    let (shown, rest) = slower.split_at(slower.len().min(5));
    let _ = match (slower.len(), rest.len()) {
        (0, _) => writeln!(text, "; none slower"),
        (n, 0) => writeln!(text, "; {n} slower: {}", shown.join(", ")),
        (n, _) => writeln!(text, "; {n} slower: {}, …", shown.join(", ")),
    };
}

fn programs(n: usize) -> String {
    format!("{n} program{}", if n == 1 { "" } else { "s" })
}

fn verdict(word: Option<&str>) -> (String, Style) {
    match word {
        None => ("-".into(), DIM),
        Some("accept") => ("accept".into(), GOOD),
        Some(other) => (other.to_string(), BAD),
    }
}

fn ratio(value: Option<f64>) -> (String, Style) {
    match value {
        None => ("-".into(), DIM),
        Some(x) if x < 1.0 => (format!("{x:.2}"), BAD),
        Some(x) if x < 100.0 => (format!("{x:.1}"), Style::new()),
        Some(x) => (format!("{x:.0}"), Style::new()),
    }
}

fn file(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn cut(text: &str) -> String {
    match text.chars().count() > WIDEST {
        true => text.chars().take(WIDEST - 1).chain(['…']).collect(),
        false => text.to_string(),
    }
}

/// `8.4 µs`, `12 ms`, `1.2 s`.
pub fn time(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{} µs", three(us)),
        us if us < 1e6 => format!("{} ms", three(us / 1e3)),
        us => format!("{} s", three(us / 1e6)),
    }
}

pub fn bytes(n: u64) -> String {
    match n {
        n if n < 1 << 10 => format!("{n} B"),
        n if n < 1 << 20 => format!("{} KiB", three(n as f64 / 1024.0)),
        n => format!("{} MiB", three(n as f64 / (1 << 20) as f64)),
    }
}

/// `3.2 M`.
fn many(n: f64) -> String {
    match n {
        n if n < 1e3 => format!("{n:.0}"),
        n if n < 1e6 => format!("{} k", three(n / 1e3)),
        n => format!("{} M", three(n / 1e6)),
    }
}

/// Three figures that count.
fn three(x: f64) -> String {
    match x {
        x if x < 9.995 => format!("{x:.2}"),
        x if x < 99.95 => format!("{x:.1}"),
        x => format!("{x:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_with_units() {
        assert_eq!(time(8.437), "8.44 µs");
        assert_eq!(time(99.97), "100 µs");
        assert_eq!(time(12_345.0), "12.3 ms");
        assert_eq!(time(2_500_000.0), "2.50 s");
        assert_eq!(bytes(1000), "1000 B");
        assert_eq!(bytes(1536), "1.50 KiB");
        assert_eq!(bytes(200 << 20), "200 MiB");
        assert_eq!(many(3_210_000.0), "3.21 M");
        assert_eq!(cut(&"x".repeat(50)).chars().count(), WIDEST);
    }
}
