//! An outcome as text for people and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Case, Oracle, Outcome};

/// Rows: the other's verdict; columns: ours.
#[derive(Clone, Copy, Default, serde::Serialize)]
struct Matrix {
    /// accept, reject, no verdict × accept, reject, unsupported, slow or panic.
    counts: [[usize; 4]; 3],
    /// Of accepted by us and refused by Linux: those that the table explains.
    explained: usize,
}

impl Matrix {
    fn add(&mut self, case: &Case) {
        let row = match case.linux.verdict.as_str() {
            "accept" => 0,
            "reject" => 1,
            _ => 2,
        };
        let column = match case.ours.verdict {
            "accept" => 0,
            "reject" => 1,
            "unsupported" => 2,
            _ => 3,
        };
        self.counts[row][column] += 1;
        self.explained += usize::from(case.explained.is_some());
    }

    fn row(&self, row: usize) -> usize {
        self.counts[row].iter().sum()
    }

    fn judged(&self) -> usize {
        self.row(0) + self.row(1)
    }

    fn agreed(&self) -> usize {
        self.counts[0][0] + self.counts[1][1] + self.counts[1][2]
    }

    fn unsound(&self) -> usize {
        self.counts[1][0] - self.explained
    }
}

fn percent(part: usize, whole: usize) -> String {
    match whole {
        0 => "–".into(),
        _ => format!("{:.1}%", 100.0 * part as f64 / whole as f64),
    }
}

fn matrices(outcome: &Outcome) -> (Matrix, BTreeMap<&str, Matrix>) {
    let mut all = Matrix::default();
    let mut by_feature: BTreeMap<&str, Matrix> = BTreeMap::new();
    for case in &outcome.cases {
        all.add(case);
        for feature in &case.features {
            by_feature.entry(feature).or_default().add(case);
        }
    }
    (all, by_feature)
}

/// Counts by text, most frequent first.
fn counted<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<(&'a str, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for text in texts {
        *counts.entry(text).or_default() += 1;
    }
    let mut sorted: Vec<_> = counts.into_iter().collect();
    sorted.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    sorted
}

/// The whole report.
pub fn text(outcome: &Outcome) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_text(&mut out, outcome);
    out
}

fn write_text(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let (all, by_feature) = matrices(outcome);
    let other = match outcome.oracle {
        Oracle::Kernel => format!("Linux {}", outcome.release),
        Oracle::Annotations => {
            writeln!(
                out,
                "The kernel was not asked: this compares with the annotations of its selftests."
            )?;
            "annotated".to_string()
        }
    };
    for case in outcome.cases.iter().filter(|c| c.disagrees()) {
        write_case(out, case)?;
    }
    for (object, why) in &outcome.unopened {
        writeln!(out, "NOT OPENED {object}: {why}")?;
    }
    for (object, why) in &outcome.types_refused {
        writeln!(out, "TYPES REFUSED BY LINUX {object}: {why}")?;
    }
    writeln!(
        out,
        "\nunsupported, by what Linux says (accepts, rejects, no verdict):"
    )?;
    let unsupported = |verdict: &'static str| {
        outcome
            .cases
            .iter()
            .filter(move |c| c.ours.verdict == "unsupported" && c.linux.verdict == verdict)
            .map(|c| c.ours.must.as_str())
    };
    let mut reasons: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for (i, verdict) in ["accept", "reject", "none"].into_iter().enumerate() {
        for must in unsupported(verdict) {
            reasons.entry(must).or_default()[i] += 1;
        }
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, n)| std::cmp::Reverse(n[0] + n[1]));
    for (must, [a, r, n]) in reasons {
        writeln!(out, "{a:6} {r:5} {n:5}  {must}")?;
    }
    writeln!(
        out,
        "\nrejected by us and accepted by Linux, by obligation:"
    )?;
    let refused = outcome
        .cases
        .iter()
        .filter(|c| c.linux.verdict == "accept" && c.ours.verdict == "reject")
        .map(|c| c.ours.must.as_str());
    for (must, n) in counted(refused) {
        writeln!(out, "{n:6}  {must}")?;
    }
    writeln!(out, "\nno verdict, why:")?;
    let silent = outcome
        .cases
        .iter()
        .filter(|c| c.linux.verdict == "none")
        .map(|c| c.linux.why.as_str());
    for (why, n) in counted(silent).into_iter().take(40) {
        writeln!(out, "{n:6}  {why}")?;
    }
    writeln!(out, "\naccepted by us, refused by Linux, explained:")?;
    for (name, n) in counted(outcome.cases.iter().filter_map(|c| c.explained.as_deref())) {
        writeln!(out, "{n:6}  {name}")?;
    }
    writeln!(
        out,
        "\n{:32} {:>6} {:>6} {:>6} {:>6} | {:>6} {:>6} {:>6} {:>6} | {:>7} {:>8}",
        "feature",
        "a/a",
        "a/r",
        "a/uns",
        "a/slow",
        "r/a",
        "expl.",
        "r/r",
        "r/uns",
        "a of a",
        "unsound"
    )?;
    let row = |out: &mut String, name: &str, m: &Matrix| {
        let [a, r, _] = m.counts;
        writeln!(
            out,
            "{name:32} {:>6} {:>6} {:>6} {:>6} | {:>6} {:>6} {:>6} {:>6} | {:>7} {:>8}",
            a[0],
            a[1],
            a[2],
            a[3],
            r[0],
            m.explained,
            r[1],
            r[2],
            percent(a[0], m.row(0)),
            m.unsound()
        )
    };
    for (name, m) in by_feature.iter().filter(|(_, m)| m.judged() > 0) {
        row(out, name, m)?;
    }
    row(out, "all", &all)?;
    writeln!(
        out,
        "\n{:24} {:>8} {:>8} {:>12} {:>12}",
        "", "accept", "reject", "unsupported", "slow, panic"
    )?;
    for (i, name) in ["accepts", "rejects", "no verdict"].into_iter().enumerate() {
        let [a, r, u, s] = all.counts[i];
        let name = format!("{other} {name}");
        writeln!(out, "{name:24} {a:>8} {r:>8} {u:>12} {s:>12}")?;
    }
    let unsupported: usize = all.counts[0][2] + all.counts[1][2];
    writeln!(out, "\nprograms with a verdict          {}", all.judged())?;
    writeln!(
        out,
        "accepted of those Linux accepts  {}",
        percent(all.counts[0][0], all.row(0))
    )?;
    writeln!(
        out,
        "agreement                        {}",
        percent(all.agreed(), all.judged())
    )?;
    writeln!(
        out,
        "unsupported                      {}",
        percent(unsupported, all.judged())
    )?;
    writeln!(
        out,
        "wrongly accepted                 {} ({} more are explained)",
        all.unsound(),
        all.explained
    )
}

fn write_case(out: &mut String, case: &Case) -> std::fmt::Result {
    let head = match (
        case.linux.verdict.as_str(),
        case.ours.verdict,
        &case.explained,
    ) {
        ("reject", "accept", None) => "WRONGLY ACCEPTED".to_string(),
        ("reject", "accept", Some(class)) => format!("explained ({class})"),
        (_, "panic", _) => "PANIC".to_string(),
        (_, "slow", _) => "slow".to_string(),
        _ => "refused by us".to_string(),
    };
    writeln!(
        out,
        "\n{head}: {} {} [{}]",
        case.object, case.program, case.section
    )?;
    if case.linux.verdict == "reject" {
        let from = case.linux.log.len().saturating_sub(8);
        for line in &case.linux.log[from..] {
            writeln!(out, "  Linux: {line}")?;
        }
        if case.linux.log.is_empty() {
            writeln!(out, "  Linux: {}", case.linux.why)?;
        }
    }
    for line in case.ours.text.lines() {
        writeln!(out, "  ours:  {line}")?;
    }
    Ok(())
}

/// Everything, for programs.
pub fn json(outcome: &Outcome) -> String {
    let (all, by_feature) = matrices(outcome);
    let value = serde_json::json!({
        "release": outcome.release,
        "oracle": match outcome.oracle {
            Oracle::Kernel => "kernel",
            Oracle::Annotations => "annotations",
        },
        "columns": ["accept", "reject", "unsupported", "slow or panic"],
        "rows": ["accept", "reject", "none"],
        "matrix": all,
        "features": by_feature,
        "unsound": all.unsound(),
        "unopened": outcome.unopened,
        "types_refused": outcome.types_refused,
        "cases": outcome.cases,
    });
    value.to_string()
}
