//! Rows → tables for people: nanoseconds by program and engine, what an operation costs, and what it comes to.

use std::fmt::Write;

use anstyle::Style;
use probity_peers::Engine;

use super::means;
use super::row::{self, Row};
use crate::bench::table::{Column, lay_out, time};
use crate::output::{BAD, BOLD, DIM, GOOD};

/// A line a program, a column an engine.
pub fn table(rows: &[Row]) -> String {
    let (programs, engines) = (row::programs(rows), row::engines(rows));
    if programs.is_empty() {
        return String::new();
    }
    let column = |title: &str, left: bool, cell: &dyn Fn(&str) -> (String, Style)| Column {
        title: title.to_string(),
        left,
        cells: programs.iter().map(|p| cell(p)).collect(),
    };
    let plain = Style::new();
    let mut columns = vec![column("program", true, &|p| (p.to_string(), plain))];
    for engine in &engines {
        let style = if *engine == Engine::Jit { BOLD } else { plain };
        columns.push(column(&format!("{engine} ns"), false, &|p| {
            let row = row::of(rows, p, *engine);
            (row.map_or_else(|| "-".into(), |r| number(r.ns)), style)
        }));
    }
    let ratio = |of: Option<f64>, bound: f64| match of {
        None => ("-".to_string(), DIM),
        Some(x) if x > bound => (format!("{x:.2}"), BAD),
        Some(x) => (format!("{x:.2}"), GOOD),
    };
    if engines.contains(&Engine::Scalar) {
        columns.push(column("jit/native", false, &|p| {
            let row = row::of(rows, p, Engine::Jit);
            (ratio(row.and_then(|r| r.ratio_native), 2.0).0, plain)
        }));
        columns.push(column("jit/scalar", false, &|p| {
            let row = row::of(rows, p, Engine::Jit);
            ratio(row.and_then(|r| r.ratio_scalar), 2.0)
        }));
    }
    if rows.iter().any(|r| r.operations.is_some()) {
        columns.push(column("jit ns/op", false, &|p| {
            let each = row::of(rows, p, Engine::Jit).and_then(|r| each(rows, r));
            (each.map_or_else(|| "-".into(), number), plain)
        }));
    }
    columns.push(column("verify", false, &|p| {
        let row = row::of(rows, p, Engine::Jit);
        let us = row.and_then(|r| r.verify_us);
        (us.map_or_else(|| "-".into(), time), plain)
    }));
    columns.push(column("compile", false, &|p| {
        let row = row::of(rows, p, Engine::Jit);
        (
            row.map_or_else(|| "-".into(), |r| time(r.compile_us)),
            plain,
        )
    }));
    lay_out(&columns, programs.len())
}

/// What one operation of a program costs, without the loop around it.
pub fn each(rows: &[Row], row: &Row) -> Option<f64> {
    let operations = row.operations?;
    // A chain of tail calls is no loop.
    let looping = row::of(rows, "loop_64", row.engine);
    let frame = match looping.is_some_and(|l| l.operations == row.operations) {
        true => looping.map_or(0.0, |l| l.ns),
        false => 0.0,
    };
    Some((row.ns - frame).max(0.0) / f64::from(operations))
}

/// Geometric means, a line an engine.
pub fn summary(rows: &[Row]) -> String {
    let mut text = String::new();
    for engine in row::engines(rows) {
        let scalar = means::over(rows, engine, Engine::Scalar);
        let native = means::over(rows, engine, Engine::Native);
        let jit = means::over(rows, engine, Engine::Jit);
        let parts: Vec<String> = [("native", native), ("scalar", scalar), ("jit", jit)]
            .into_iter()
            .filter(|(name, _)| *name != engine.name())
            .filter_map(|(name, mean)| {
                let mean = mean?;
                Some(format!(
                    "{:.2}× {name} (worst {:.1}: {})",
                    mean.ratio, mean.worst, mean.worst_program
                ))
            })
            .collect();
        if !parts.is_empty() {
            let _ = writeln!(text, "{BOLD}{engine}{BOLD:#}: {}", parts.join(", "));
        }
    }
    text
}

/// Three figures that count.
pub fn number(x: f64) -> String {
    match x {
        x if x < 9.995 => format!("{x:.2}"),
        x if x < 99.95 => format!("{x:.1}"),
        x => format!("{x:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    #[test]
    fn an_operation_costs_what_its_loop_does_not() {
        let mut looping = row("loop_64", Engine::Jit, 64.0, None);
        let mut array = row("array_64", Engine::Jit, 192.0, None);
        looping.operations = Some(64);
        array.operations = Some(64);
        let rows = [looping, array];
        assert_eq!(each(&rows, &rows[1]), Some(2.0));
        assert_eq!(each(&rows[1..], &rows[1]), Some(3.0));
        assert!(table(&rows).contains("array_64"));
    }
}
