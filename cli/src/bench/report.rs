//! Rows → how the ratios are distributed, as Markdown: by where programs come from and how large they are, with the
//! programs that stand out by name.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::row::{Engine, Row};
use super::summary::{self, Compared, LARGE, RATIOS};
use super::table::{bytes, time};

/// Programs named in a list.
const NAMED: usize = 40;
/// Linux's largest programs, by memory.
const LARGEST: usize = 20;
/// What Linux processes of a tiny program, at most.
const TINY: u64 = 20;
/// Microseconds that a tiny program takes Linux at most, where all that it takes is what any program takes.
const FIXED: f64 = 14.0;

/// Sizes by what Linux processes, from and below.
const CLASSES: [(&str, u64, u64); 7] = [
    ("below 100", 0, 100),
    ("100 to 999", 100, 1000),
    ("1,000 to 9,999", 1000, 10_000),
    ("10,000 to 99,999", 10_000, 100_000),
    ("100,000 and more", 100_000, u64::MAX),
    ("**1,000 and more**", LARGE, u64::MAX),
    ("**all**", 0, u64::MAX),
];

/// The sections, from the second level of headings on. `paths` are those that were named: a group each.
pub fn markdown(rows: &[Row], against: &[Engine], paths: &[PathBuf]) -> String {
    let mut text = String::new();
    let accepted = rows.iter().filter(|r| r.accepted()).count();
    let _ = writeln!(text, "{} programs, {accepted} accepted.\n", rows.len());
    if against.contains(&Engine::Linux) {
        verdicts(&mut text, rows, Engine::Linux);
        distribution(&mut text, rows, Engine::Linux, paths);
        slower(&mut text, rows);
        tiny(&mut text, rows);
        memory(&mut text, rows);
    }
    if against.contains(&Engine::Prevail) {
        verdicts(&mut text, rows, Engine::Prevail);
        distribution(&mut text, rows, Engine::Prevail, paths);
    }
    text
}

fn verdicts(text: &mut String, rows: &[Row], engine: Engine) {
    let name = engine.title();
    let theirs = |r: &Row| r.other(engine).and_then(|o| o.verdict.clone());
    let count = |ours: bool, word: Option<&str>| {
        let meets = |r: &&Row| r.accepted() == ours && theirs(r).as_deref() == word;
        rows.iter().filter(meets).count()
    };
    let _ = writeln!(
        text,
        "## Verdicts, ours and those of {name}\n\n\
         | | {name} accepts | {name} rejects | {name} gives none |\n|---|---|---|---|"
    );
    for (title, ours) in [("accepted", true), ("not accepted", false)] {
        let [a, r, n] = [Some("accept"), Some("reject"), None].map(|w| count(ours, w));
        let _ = writeln!(text, "| {title} | {a} | {r} | {n} |");
    }
    let late = rows
        .iter()
        .filter_map(|r| r.other(engine))
        .filter(|o| o.why.starts_with("no verdict in"))
        .count();
    if late > 0 {
        let _ = writeln!(
            text,
            "\n{late} of those without a verdict ran into the time limit."
        );
    }
    text.push('\n');
    let other = |r: &&Row| theirs(r).is_some_and(|t| (t == "accept") != r.accepted());
    let differ: Vec<&Row> = rows.iter().filter(other).collect();
    if engine == Engine::Linux && !differ.is_empty() {
        let _ = writeln!(
            text,
            "Where the two differ (`cargo xtask agree` says why):\n"
        );
        for r in differ.iter().take(NAMED) {
            let word = if r.accepted() {
                "accepted"
            } else {
                "not accepted"
            };
            let _ = writeln!(text, "- `{}` `{}`: {word} here", file(r), r.program);
        }
        if differ.len() > NAMED {
            let _ = writeln!(text, "- and {} more", differ.len() - NAMED);
        }
        text.push('\n');
    }
}

fn distribution(text: &mut String, rows: &[Row], engine: Engine, paths: &[PathBuf]) {
    let name = engine.title();
    let _ = writeln!(
        text,
        "## {name}'s figures over ours, programs that both accept\n\n\
         Above 1, ours takes less; p5, p50 and p95 are percentiles of the ratio of times; the rest are geometric means.\n\n\
         | programs | processed in Linux | count | time | p5 | p50 | p95 | slower | processed | states | memory |\n\
         |---|---|---|---|---|---|---|---|---|---|---|"
    );
    let mut groups: Vec<(String, Option<&Path>)> = paths
        .iter()
        .map(|p| (label(p), Some(p.as_path())))
        .collect();
    if groups.len() != 1 {
        groups.push(("**all**".into(), None));
    }
    for (label, path) in &groups {
        for (class, from, below) in CLASSES {
            let size = |r: &Row| r.linux.as_ref().and_then(|o| o.processed);
            let within = |r: &Row| match size(r) {
                Some(n) => n >= from && n < below,
                None => from == 0 && below == u64::MAX,
            };
            let from_there = |r: &Row| path.is_none_or(|p| Path::new(&r.object).starts_with(p));
            let compared = Compared::of(rows, engine, |r| within(r) && from_there(r));
            if compared.rows.is_empty() {
                continue;
            }
            let mut ratios = ratios(&compared.rows, engine, "time");
            let [low, middle, high] = percentiles(&mut ratios);
            let means = compared.means.map(|m| x(m.map(|(mean, _)| mean)));
            let [time, processed, states, memory] = means;
            let _ = writeln!(
                text,
                "| {label} | {class} | {} | {time} | {} | {} | {} | {} | {processed} | {states} | {memory} |",
                compared.rows.len(),
                x(low),
                x(middle),
                x(high),
                compared.slower.len(),
            );
        }
    }
    debug_assert_eq!(RATIOS.len(), 4);
    text.push('\n');
}

fn slower(text: &mut String, rows: &[Row]) {
    let _ = writeln!(text, "## Programs that take us longer than Linux\n");
    let large = Compared::of(rows, Engine::Linux, summary::large);
    let small = Compared::of(rows, Engine::Linux, |r| !summary::large(r));
    for (title, compared) in [
        ("1,000 processed in Linux or more", large),
        ("fewer", small),
    ] {
        let (named, rest) = compared.slower.split_at(compared.slower.len().min(NAMED));
        let _ = writeln!(
            text,
            "{title}: {} of {}.\n",
            compared.slower.len(),
            compared.rows.len()
        );
        if named.is_empty() {
            continue;
        }
        let _ = writeln!(
            text,
            "| object | program | processed in Linux | ours | Linux | Linux ÷ ours |\n|---|---|---|---|---|---|"
        );
        for r in named {
            let linux = r.linux.clone().unwrap_or_default();
            let _ = writeln!(
                text,
                "| `{}` | `{}` | {} | {} | {} | {} |",
                file(r),
                r.program,
                linux.processed.unwrap_or(0),
                time(r.time_us),
                time(linux.time_us.unwrap_or(0.0)),
                x(r.ratio(Engine::Linux, "time")),
            );
        }
        if !rest.is_empty() {
            let _ = writeln!(text, "\nAnd {} more, nearer to 1.", rest.len());
        }
        text.push('\n');
    }
}

fn tiny(text: &mut String, rows: &[Row]) {
    let small = |r: &Row| {
        r.linux
            .as_ref()
            .and_then(|o| o.processed)
            .is_some_and(|n| n <= TINY)
    };
    let compared = Compared::of(rows, Engine::Linux, small);
    let mut ours: Vec<f64> = compared.rows.iter().map(|r| r.time_us).collect();
    let linux_us = |r: &Row| r.linux.as_ref().and_then(|o| o.time_us);
    let mut linux: Vec<f64> = compared.rows.iter().filter_map(|r| linux_us(r)).collect();
    let _ = writeln!(
        text,
        "## Tiny programs\n\nAccepted by both, {TINY} processed in Linux or fewer: {}.\n\n\
         | | p5 | p50 | p95 | 5 µs or less |\n|---|---|---|---|---|",
        compared.rows.len()
    );
    for (title, times) in [("ours", &mut ours), ("Linux", &mut linux)] {
        let quick = times.iter().filter(|t| **t <= 5.0).count();
        let [low, middle, high] = percentiles(times).map(|t| t.map_or_else(|| "–".into(), time));
        let _ = writeln!(text, "| {title} | {low} | {middle} | {high} | {quick} |");
    }
    let fixed = compared
        .rows
        .iter()
        .filter(|r| linux_us(r).is_some_and(|us| us <= FIXED));
    let mut fixed: Vec<f64> = fixed.map(|r| r.time_us).collect();
    fixed.sort_by(f64::total_cmp);
    if let Some(longest) = fixed.last() {
        let _ = writeln!(
            text,
            "\nOf the {} that take Linux {FIXED} µs or less, {} take us 5 µs or less; the longest {}.",
            fixed.len(),
            fixed.iter().filter(|us| **us <= 5.0).count(),
            time(*longest),
        );
    }
    text.push('\n');
}

fn memory(text: &mut String, rows: &[Row]) {
    let mut compared = Compared::of(rows, Engine::Linux, |r| {
        r.ratio(Engine::Linux, "memory").is_some()
    });
    let theirs = |r: &Row| r.linux.as_ref().and_then(|o| o.memory_bytes).unwrap_or(0);
    crate::sorted::by(&mut compared.rows, |a, b| theirs(b).cmp(&theirs(a)));
    compared.rows.truncate(LARGEST);
    let all = ratios(&compared.rows, Engine::Linux, "memory");
    let _ = writeln!(
        text,
        "## Peak memory on Linux's {LARGEST} largest programs\n\n\
         Geometric mean of the ratio {}; a quarter or less of Linux's on {} of {}.\n\n\
         | object | program | processed in Linux | ours | Linux | Linux ÷ ours |\n|---|---|---|---|---|---|",
        x(summary::geometric_mean(all.iter().copied()).map(|(mean, _)| mean)),
        all.iter().filter(|r| **r >= 4.0).count(),
        compared.rows.len(),
    );
    for r in &compared.rows {
        let _ = writeln!(
            text,
            "| `{}` | `{}` | {} | {} | {} | {} |",
            file(r),
            r.program,
            r.linux.as_ref().and_then(|o| o.processed).unwrap_or(0),
            bytes(r.memory_bytes.unwrap_or(0)),
            bytes(theirs(r)),
            x(r.ratio(Engine::Linux, "memory")),
        );
    }
    text.push('\n');
}

fn ratios(rows: &[&Row], engine: Engine, of: &str) -> Vec<f64> {
    rows.iter().filter_map(|r| r.ratio(engine, of)).collect()
}

/// The 5th, 50th and 95th, by nearest rank.
fn percentiles(values: &mut [f64]) -> [Option<f64>; 3] {
    values.sort_by(f64::total_cmp);
    [0.05, 0.5, 0.95].map(|share| {
        let rank = (share * values.len() as f64).ceil() as usize;
        values.get(rank.saturating_sub(1)).copied()
    })
}

/// As it was named; without the directories of the machine.
fn label(path: &Path) -> String {
    let name = match path.is_absolute() {
        true => path.file_name().unwrap_or(path.as_os_str()),
        false => path.as_os_str(),
    };
    format!("`{}`", name.to_string_lossy())
}

fn file(row: &Row) -> &str {
    row.object.rsplit('/').next().unwrap_or(&row.object)
}

fn x(ratio: Option<f64>) -> String {
    match ratio {
        None => "–".into(),
        Some(x) if x < 10.0 => format!("{x:.2}"),
        Some(x) if x < 100.0 => format!("{x:.1}"),
        Some(x) => format!("{x:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::row::Other;

    #[test]
    fn percentiles_by_nearest_rank() {
        let mut values: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!(
            percentiles(&mut values),
            [Some(1.0), Some(10.0), Some(19.0)]
        );
        assert_eq!(percentiles(&mut [7.0]), [Some(7.0); 3]);
        assert_eq!(percentiles(&mut []), [None; 3]);
    }

    #[test]
    fn groups_and_classes_have_their_rows() {
        let row = |object: &str, processed, time_us, linux_us| Row {
            object: object.into(),
            program: "p".into(),
            verdict: "accept".into(),
            time_us,
            memory_bytes: Some(100),
            linux: Some(Other {
                verdict: Some("accept".into()),
                time_us: Some(linux_us),
                processed: Some(processed),
                memory_bytes: Some(processed * 100),
                ..Other::default()
            }),
            ..Row::default()
        };
        let rows = [
            row("a/x.o", 10, 2.0, 8.0),
            row("a/y.o", 2000, 100.0, 50.0),
            row("b/z.o", 500, 1.0, 4.0),
        ];
        let text = markdown(&rows, &[Engine::Linux], &["a".into(), "b".into()]);
        for line in [
            "| `a` | below 100 | 1 | 4.00 | 4.00 | 4.00 | 4.00 | 0 | – | – | 10.0 |",
            "| `a` | **1,000 and more** | 1 | 0.50 | 0.50 | 0.50 | 0.50 | 1 | – | – | 2000 |",
            "| **all** | **all** | 3 | 2.00 | 0.50 | 4.00 | 4.00 | 1 | – | – | 215 |",
            "1,000 processed in Linux or more: 1 of 1.",
            "| `y.o` | `p` | 2000 | 100 µs | 50.0 µs | 0.50 |",
            "| ours | 2.00 µs | 2.00 µs | 2.00 µs | 1 |",
            "| accepted | 3 | 0 | 0 |",
        ] {
            assert!(text.contains(line), "no `{line}` in\n{text}");
        }
        assert!(!text.contains("PREVAIL"));
    }
}
