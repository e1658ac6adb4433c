//! Two runs → what differs between them, a line a program and column; changed verdicts first.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::csv;
use super::row::{Cell, Row};
use super::summary::geometric_mean;

/// Columns that are compared. The rest says which program it is.
const COLUMNS: [&str; 6] = [
    "verdict",
    "insns",
    "processed",
    "states",
    "memory_bytes",
    "time_us",
];

/// A difference of times below that is noise, and not listed.
const NOISE: f64 = 0.05;

/// One cell that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub object: String,
    pub program: String,
    pub column: &'static str,
    pub old: Cell,
    pub new: Cell,
}

/// All that differs.
#[derive(Debug, Default, PartialEq)]
pub struct Comparison {
    pub changes: Vec<Change>,
    /// Programs of one run only.
    pub gone: Vec<String>,
    pub come: Vec<String>,
    pub same_programs: usize,
    /// New time over old, geometric mean.
    pub time: Option<f64>,
}

impl Change {
    /// New less old.
    pub fn difference(&self) -> Option<f64> {
        match (&self.old, &self.new) {
            (Cell::Number(old), Cell::Number(new)) => Some(new - old),
            _ => None,
        }
    }

    /// Of the old.
    pub fn percent(&self) -> Option<f64> {
        match (self.difference()?, &self.old) {
            (difference, Cell::Number(old)) if *old != 0.0 => Some(difference / old * 100.0),
            _ => None,
        }
    }

    pub fn json(&self) -> Value {
        let cell = |c: &Cell| match c {
            Cell::Missing => Value::Null,
            Cell::Number(n) => json!(n),
            Cell::Text(t) => json!(t),
        };
        json!({
            "object": self.object,
            "program": self.program,
            "column": self.column,
            "old": cell(&self.old),
            "new": cell(&self.new),
            "difference": self.difference(),
            "percent": self.percent(),
        })
    }
}

/// Compares rows by object and program. Objects are the same when they are named the same, or, where that finds
/// nothing, when their files' names are.
pub fn compare(old: &[Row], new: &[Row]) -> Comparison {
    let file = |r: &Row| r.object.rsplit('/').next().unwrap_or_default().to_string();
    let mut by_path = BTreeMap::new();
    let mut by_file: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (n, row) in old.iter().enumerate() {
        by_path.insert((row.object.clone(), row.program.clone()), n);
        let same = by_file.entry((file(row), row.program.clone()));
        same.or_default().push(n);
    }
    let mut met = vec![false; old.len()];
    let mut found = Comparison::default();
    let mut times = Vec::new();
    for row in new {
        let whole = by_path.get(&(row.object.clone(), row.program.clone()));
        let at = whole.copied().or_else(|| {
            match by_file.get(&(file(row), row.program.clone()))?.as_slice() {
                [one] => Some(*one),
                _ => None,
            }
        });
        let Some((at, before)) = at.and_then(|n| Some((n, old.get(n)?))) else {
            found.come.push(format!("{}/{}", row.object, row.program));
            continue;
        };
        met[at] = true;
        found.same_programs += 1;
        if before.time_us > 0.0 && row.time_us > 0.0 {
            times.push(row.time_us / before.time_us);
        }
        for column in COLUMNS {
            let change = Change {
                object: row.object.clone(),
                program: row.program.clone(),
                column,
                old: before.cell(column),
                new: row.cell(column),
            };
            let noise =
                column == "time_us" && change.percent().is_none_or(|p| p.abs() < NOISE * 100.0);
            if change.old != change.new && !noise {
                found.changes.push(change);
            }
        }
    }
    let rest = old.iter().zip(&met).filter(|(_, met)| !**met);
    found.gone = rest
        .map(|(r, _)| format!("{}/{}", r.object, r.program))
        .collect();
    found.time = geometric_mean(times.into_iter()).map(|(mean, _)| mean);
    // By column, verdicts first, and what changed most before what changed less.
    let rank = |c: &Change| COLUMNS.iter().position(|k| *k == c.column);
    crate::sorted::by(&mut found.changes, |a, b| {
        let size = |c: &Change| c.percent().map_or(f64::INFINITY, f64::abs);
        rank(a).cmp(&rank(b)).then(size(b).total_cmp(&size(a)))
    });
    found
}

impl Comparison {
    pub fn verdicts_changed(&self) -> bool {
        self.changes.iter().any(|c| c.column == "verdict")
    }

    pub fn csv(&self) -> String {
        let mut text = String::from("object,program,column,old,new,difference,percent\n");
        for change in &self.changes {
            let number = |n: Option<f64>| n.map_or(Cell::Missing, Cell::Number);
            let cells = [
                Cell::Text(change.object.clone()),
                Cell::Text(change.program.clone()),
                Cell::Text(change.column.to_string()),
                change.old.clone(),
                change.new.clone(),
                number(change.difference()),
                number(change.percent()),
            ];
            text += &cells.each_ref().map(csv::field).join(",");
            text.push('\n');
        }
        text
    }

    /// For people: aligned columns, and a line that sums up.
    pub fn text(&self) -> String {
        let mut lines =
            vec![["program", "column", "old", "new", "difference", "percent"].map(str::to_string)];
        for c in &self.changes {
            let signed = |n: Option<f64>, unit: &str| {
                n.map_or_else(
                    || "-".into(),
                    |n| format!("{:+}{unit}", (n * 10.0).round() / 10.0),
                )
            };
            let cell = |cell: &Cell| match cell {
                Cell::Missing => "-".to_string(),
                other => csv::field(other),
            };
            let file = c.object.rsplit('/').next().unwrap_or_default();
            lines.push([
                format!("{file}/{}", c.program),
                c.column.to_string(),
                cell(&c.old),
                cell(&c.new),
                signed(c.difference(), ""),
                signed(c.percent(), " %"),
            ]);
        }
        let mut text = String::new();
        if lines.len() > 1 {
            let width = |n: usize| {
                lines
                    .iter()
                    .map(|l| l[n].chars().count())
                    .max()
                    .unwrap_or(0)
            };
            let widths: [usize; 6] = std::array::from_fn(width);
            for line in &lines {
                for (n, (cell, width)) in line.iter().zip(widths).enumerate() {
                    let space = " ".repeat(width - cell.chars().count());
                    text += &match n {
                        0 | 1 => format!("{cell}{space}  "),
                        5 => format!("{space}{cell}\n"),
                        _ => format!("{space}{cell}  "),
                    };
                }
            }
        }
        let verdicts = self
            .changes
            .iter()
            .filter(|c| c.column == "verdict")
            .count();
        text += &format!(
            "{} programs in both runs, {verdicts} verdicts changed",
            self.same_programs
        );
        if let Some(time) = self.time {
            text += &format!(", time {:+.1} % (geometric mean)", (time - 1.0) * 100.0);
        }
        text.push('\n');
        for (what, which) in [
            ("only in the old run", &self.gone),
            ("only in the new run", &self.come),
        ] {
            if !which.is_empty() {
                text += &format!("{what}: {}\n", which.join(", "));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(object: &str, program: &str, verdict: &str, processed: u64, time_us: f64) -> Row {
        Row {
            object: object.into(),
            program: program.into(),
            verdict: verdict.into(),
            processed,
            time_us,
            ..Row::default()
        }
    }

    #[test]
    fn verdicts_come_first() {
        let old = [
            row("d/a.o", "p", "accept", 10, 100.0),
            row("d/a.o", "q", "accept", 10, 100.0),
            row("d/b.o", "p", "accept", 10, 100.0),
            row("d/c.o", "p", "accept", 10, 100.0),
        ];
        let new = [
            row("d/a.o", "p", "accept", 15, 104.0),
            row("d/a.o", "q", "reject", 10, 50.0),
            row("elsewhere/b.o", "p", "accept", 10, 100.0),
            row("d/e.o", "p", "accept", 10, 100.0),
        ];
        let found = compare(&old, &new);
        let what: Vec<_> = found
            .changes
            .iter()
            .map(|c| (c.column, c.percent()))
            .collect();
        assert_eq!(
            what,
            [
                ("verdict", None),
                ("processed", Some(50.0)),
                ("time_us", Some(-50.0))
            ]
        );
        assert!(found.verdicts_changed());
        assert_eq!(
            (found.gone.as_slice(), found.come.as_slice()),
            (&["d/c.o/p".to_string()][..], &["d/e.o/p".to_string()][..])
        );
        assert_eq!(found.same_programs, 3);
        let text = found.text();
        assert!(
            text.contains("a.o/q") && text.contains("1 verdicts changed"),
            "{text}"
        );
        assert_eq!(found.csv().lines().count(), 4);
        assert_eq!(found.changes[1].json()["difference"], 5.0);
    }

    #[test]
    fn equal_runs_have_no_differences() {
        let rows = [row("a.o", "p", "accept", 10, 100.0)];
        let found = compare(&rows, &rows);
        assert_eq!(found.changes, []);
        assert!(!found.verdicts_changed());
    }
}
