//! Rows → a drawing (SVG): for each program a bar an engine, how often it takes what scalar native code takes.

use std::fmt::Write;

use probity_peers::{Engine, set};

use super::row::{self, Row};

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 96.0;
/// The ends of the axis, which is logarithmic; a longer bar ends at it.
const LOW: f64 = 0.25;
const HIGH: f64 = 64.0;

/// Colours that people with any eyes tell apart; ours first. Interpreters would only stretch the axis.
const SERIES: [(Engine, &str); 6] = [
    (Engine::Jit, "#0072b2"),
    (Engine::Wasmtime, "#009e73"),
    (Engine::Rbpf, "#e69f00"),
    (Engine::Linux, "#d55e00"),
    (Engine::RbpfCranelift, "#cc79a7"),
    (Engine::SolanaSbpf, "#777777"),
];

fn height(ratio: f64) -> f64 {
    let share = (ratio.clamp(LOW, HIGH) / LOW).ln() / (HIGH / LOW).ln();
    HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
}

pub fn svg(rows: &[Row]) -> String {
    let programs: Vec<&str> = row::programs(rows)
        .into_iter()
        .filter(|p| !set::is_call(p))
        .filter(|p| row::of(rows, p, Engine::Jit).is_some_and(|r| r.ratio_scalar.is_some()))
        .collect();
    let series: Vec<_> = SERIES
        .iter()
        .filter(|(e, _)| rows.iter().any(|r| r.engine == *e))
        .collect();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#222\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\">time over that of scalar native code (logarithmic; less is better)</text>\n"
    );
    let mut line = LOW;
    while line <= HIGH {
        let y = height(line);
        let stroke = if line == 1.0 { "#222" } else { "#ddd" };
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{:.1}\" stroke=\"{stroke}\"/>\n<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{line}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0
        );
        line *= 2.0;
    }
    let slot = (WIDTH - LEFT - RIGHT) / programs.len().max(1) as f64;
    let bar = slot * 0.8 / series.len().max(1) as f64;
    let bottom = height(LOW);
    for (n, program) in programs.iter().enumerate() {
        let x = LEFT + slot * n as f64;
        let middle = x + slot / 2.0;
        let _ = writeln!(
            svg,
            "<text transform=\"translate({middle:.1} {:.1}) rotate(-30)\" text-anchor=\"end\">{program}</text>",
            bottom + 18.0
        );
        for (k, (engine, colour)) in series.iter().enumerate() {
            let Some(ratio) = row::of(rows, program, *engine).and_then(|r| r.ratio_scalar) else {
                continue;
            };
            let (from, top) = (x + slot * 0.1 + bar * k as f64, height(ratio));
            let _ = writeln!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"><title>{program}, {engine}: {ratio:.2}</title></rect>",
                bar * 0.9,
                bottom - top
            );
        }
    }
    let mut x = LEFT;
    for (engine, colour) in &series {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"38\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"49\">{engine}</text>",
            x + 18.0
        );
        x += 40.0 + 7.6 * engine.name().len() as f64;
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    #[test]
    fn bars_are_as_high_as_the_ratio_says() {
        let rows = [
            row("prime", Engine::Jit, 20.0, Some(10.0)),
            row("prime", Engine::Linux, 40.0, Some(10.0)),
            row("simple", Engine::Jit, 40.0, Some(10.0)),
        ];
        let drawing = svg(&rows);
        assert!(drawing.contains(&format!("y=\"{:.1}\" width", height(2.0))));
        assert!(drawing.contains("prime, linux: 4.00") && !drawing.contains("simple"));
        assert!(height(2.0) > height(4.0) && height(1000.0) == height(HIGH));
        assert!(svg(&[]).ends_with("</svg>\n"));
    }
}
