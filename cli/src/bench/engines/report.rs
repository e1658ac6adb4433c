//! Rows → Markdown: goals, nanoseconds, ratios, geometric means, what maps and helpers cost, verification and compilation.

use std::fmt::Write;

use probity_peers::{Engine, Gauge};

use super::goals::{self, Bound};
use super::means;
use super::row::{self, Row};
use super::table::{each, number};
use crate::bench::table::time;

/// The sections, from the second level of headings on.
pub fn markdown(rows: &[Row], gauge: &Gauge) -> String {
    let mut text = calm(gauge);
    reached(&mut text, rows);
    nanoseconds(&mut text, rows);
    ratios(&mut text, rows);
    operations(&mut text, rows);
    starts(&mut text, rows);
    text
}

/// What of it was measured beside others.
fn calm(gauge: &Gauge) -> String {
    let (taken, disturbed) = gauge.counts();
    format!(
        "A batch counts that was taken in a calm moment: a fixed piece of work took about its least before and after. \
         Of {taken} measurements {disturbed} found none soon and were taken all the same.\n\n"
    )
}

fn reached(text: &mut String, rows: &[Row]) {
    *text += "## Goals\n\n| goal | bound | measured | reached | |\n|---|---|---|---|---|\n";
    for goal in goals::goals(rows) {
        let bound = match goal.bound {
            Bound::AtMost(x) => format!("at most {x}{}", goal.unit),
            Bound::AtLeast(x) => format!("at least {x}{}", goal.unit),
        };
        let measured = goal.measured.map_or_else(
            || "not measured".to_string(),
            |x| format!("{}{}", number(x), goal.unit),
        );
        let reached = match goal.reached() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        let _ = writeln!(
            text,
            "| {} | {bound} | {measured} | {reached} | {} |",
            goal.what, goal.note
        );
    }
}

/// A table with a column an engine, for the rows whose program `which` wants.
fn by_engine(
    text: &mut String,
    rows: &[Row],
    which: &dyn Fn(&str) -> bool,
    cell: &dyn Fn(&Row) -> Option<f64>,
) {
    let shown = |r: &&Row| which(&r.program) && cell(r).is_some();
    let engines: Vec<Engine> = row::engines(rows)
        .into_iter()
        .filter(|e| rows.iter().filter(shown).any(|r| r.engine == *e))
        .collect();
    let names: Vec<&str> = engines.iter().map(|e| e.name()).collect();
    let _ = writeln!(
        text,
        "| program | {} |\n|---|{}",
        names.join(" | "),
        "---|".repeat(engines.len())
    );
    for program in row::programs(rows).into_iter().filter(|p| which(p)) {
        let cells: Vec<String> = engines
            .iter()
            .map(|e| row::of(rows, program, *e).and_then(cell))
            .map(|x| x.map_or_else(|| "–".into(), number))
            .collect();
        let _ = writeln!(text, "| {program} | {} |", cells.join(" | "));
    }
}

fn nanoseconds(text: &mut String, rows: &[Row]) {
    *text += "\n## Nanoseconds a run\n\nLinux without the frame around a test run.\n\n";
    by_engine(text, rows, &|_| true, &|r| Some(r.ns));
    let frames: Vec<f64> = rows
        .iter()
        .filter_map(|r| Some(r.gross_ns? - r.ns).filter(|_| r.ns > 0.0))
        .collect();
    if let (Some(least), Some(most)) = (
        frames.iter().copied().min_by(f64::total_cmp),
        frames.iter().copied().max_by(f64::total_cmp),
    ) {
        let _ = writeln!(
            text,
            "\nThe frame around a test run in Linux, which is what an empty program takes there over what it takes here, \
             both beside each: {} to {} ns.",
            number(least),
            number(most)
        );
    }
}

fn ratios(text: &mut String, rows: &[Row]) {
    if !row::engines(rows).contains(&Engine::Scalar) {
        return;
    }
    *text += "\n## Times over scalar native code\n\n";
    let has = |p: &str| row::of(rows, p, Engine::Scalar).is_some();
    by_engine(text, rows, &has, &|r| r.ratio_scalar);
    *text += "\n## Geometric means\n\n\
              Without `simple`, which is a call and little more.\n\n\
              | engine | over native | over scalar | worst over scalar | over jit |\n|---|---|---|---|---|\n";
    for engine in row::engines(rows) {
        let over = |base| means::over(rows, engine, base);
        let ratio = |base| over(base).map_or_else(|| "–".into(), |m| format!("{:.2}", m.ratio));
        let worst = over(Engine::Scalar).map_or_else(
            || "–".into(),
            |m| format!("{:.2} ({})", m.worst, m.worst_program),
        );
        let _ = writeln!(
            text,
            "| {engine} | {} | {} | {worst} | {} |",
            ratio(Engine::Native),
            ratio(Engine::Scalar),
            ratio(Engine::Jit)
        );
    }
    let gross = |base| means::over_by(rows, Engine::Linux, base, |r| r.gross_ns);
    if let (Some(native), Some(scalar), Some(jit)) = (
        gross(Engine::Native),
        gross(Engine::Scalar),
        gross(Engine::Jit),
    ) {
        let _ = writeln!(
            text,
            "| linux, with the frame of a test run | {:.2} | {:.2} | {:.2} ({}) | {:.2} |",
            native.ratio, scalar.ratio, scalar.worst, scalar.worst_program, jit.ratio
        );
    }
}

fn operations(text: &mut String, rows: &[Row]) {
    if !rows.iter().any(|r| r.operations.is_some()) {
        return;
    }
    *text += "\n## Nanoseconds an operation of a map or helper\n\nWithout the loop around it (`loop_64`).\n\n";
    let has = |p: &str| {
        let row = row::of(rows, p, Engine::Jit);
        p != "loop_64" && row.is_some_and(|r| r.operations.is_some())
    };
    by_engine(text, rows, &has, &|r| each(rows, r));
}

fn starts(text: &mut String, rows: &[Row]) {
    *text += "\n## From object to code\n\n\
              Our verifier and compiler, in CPU time; Linux's includes its verification, clang's is by the clock on the wall.\nA program of maps or helpers is compiled with all programs of its object.\n\n\
              | program | instructions | verify | compile | both, an instruction | from the cache |\n|---|---|---|---|---|---|\n";
    for row in rows.iter().filter(|r| r.engine == Engine::Jit) {
        let verify = row.verify_us.unwrap_or(0.0);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            row.program,
            row.insns,
            time(verify),
            time(row.compile_us),
            time((verify + row.compile_us) / row.insns.max(1) as f64),
            row.cached_us.map_or_else(|| "–".into(), time)
        );
    }
    *text += "\n| engine | compile, median |\n|---|---|\n";
    for engine in row::engines(rows) {
        let mut times: Vec<f64> = rows
            .iter()
            .filter(|r| r.engine == engine)
            .map(|r| r.compile_us)
            .collect();
        times.sort_unstable_by(f64::total_cmp);
        if let Some(median) = times.get(times.len() / 2) {
            let _ = writeln!(text, "| {engine} | {} |", time(*median));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    #[test]
    fn the_report_says_what_is_not_reached_and_what_is_not_measured() {
        let mut linux = row("prime", Engine::Linux, 20.0, Some(10.0));
        linux.gross_ns = Some(45.0);
        let rows = [
            row("prime", Engine::Native, 5.0, Some(10.0)),
            row("prime", Engine::Scalar, 10.0, Some(10.0)),
            row("prime", Engine::Jit, 15.0, Some(10.0)),
            linux,
        ];
        let text = markdown(&rows, &Gauge::new(probity_peers::Patience::SHORT));
        assert!(text.contains(
            "| jit over scalar native, geometric mean | at most 1.2× | 1.50× | **no** |"
        ));
        assert!(
            text.contains(
                "| wasmtime over jit, geometric mean | at least 1.4× | not measured | – |"
            )
        );
        assert!(text.contains("linux over jit, geometric mean | at least 1.5× | 1.33× | **no** | 1 programs; 3.00 with the frame"));
        assert!(text.contains("25.0 to 25.0 ns"));
    }
}
