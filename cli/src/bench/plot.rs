//! Rows → a drawing (SVG) of time against size, both axes logarithmic, a mark for each program and engine.

use std::fmt::Write;

use super::row::{Engine, Row};
use super::table;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 640.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 64.0;
/// With more marks, names would only make the file large.
const NAMED: usize = 1000;

/// Colours that people with any eyes tell apart, and shapes for print.
const SERIES: [(Option<Engine>, &str); 3] = [
    (Some(Engine::Prevail), "#e69f00"),
    (Some(Engine::Linux), "#d55e00"),
    (None, "#0072b2"),
];

struct Axis {
    /// Powers of ten at the ends.
    low: i32,
    high: i32,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            low = low.min(value.log10());
            high = high.max(value.log10());
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let (low, high) = (low.floor() as i32, high.ceil() as i32);
        Axis {
            low,
            high: high.max(low + 1),
            from,
            to,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        self.from + share * (self.to - self.from)
    }
}

/// The drawing. Size is what Linux processed where Linux was asked, and a program's length otherwise.
pub fn svg(rows: &[Row], against: &[Engine]) -> String {
    let by_linux = against.contains(&Engine::Linux);
    let size = |r: &Row| match by_linux {
        true => r.linux.as_ref().and_then(|o| o.processed),
        false => Some(r.insns),
    };
    let mut points: Vec<(usize, &Row, f64, f64)> = Vec::new();
    for (n, (engine, _)) in SERIES.iter().enumerate() {
        for row in rows {
            let time = match engine {
                None => Some(row.time_us),
                Some(e) if against.contains(e) => row.other(*e).and_then(|o| o.time_us),
                Some(_) => None,
            };
            if let (Some(size), Some(time)) = (size(row).filter(|n| *n > 0), time)
                && time > 0.0
            {
                points.push((n, row, size as f64, time));
            }
        }
    }
    let x = Axis::over(points.iter().map(|p| p.2), LEFT, WIDTH - RIGHT);
    let y = Axis::over(points.iter().map(|p| p.3), HEIGHT - BOTTOM, TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"14\" fill=\"#222\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    axes(&mut svg, &x, &y, by_linux);
    for (n, (_, colour)) in SERIES.iter().enumerate() {
        let _ = writeln!(svg, "<g fill=\"{colour}\" fill-opacity=\"0.55\">");
        for (_, row, size, time) in points.iter().filter(|p| p.0 == n) {
            let title = format!("{}: {}", row.program, table::time(*time));
            let title = (points.len() <= NAMED).then_some(title.as_str());
            mark(&mut svg, n, x.at(*size), y.at(*time), title);
        }
        svg += "</g>\n";
    }
    legend(&mut svg, &points);
    svg += "</svg>\n";
    svg
}

fn axes(svg: &mut String, x: &Axis, y: &Axis, by_linux: bool) {
    let (left, right, top, bottom) = (x.from, x.to, y.to, y.from);
    for power in x.low..=x.high {
        let at = x.at(10f64.powi(power));
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {top}V{bottom}\" stroke=\"#ddd\"/>\n<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 20.0,
            count(power)
        );
    }
    for power in y.low..=y.high {
        let at = y.at(10f64.powi(power));
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#ddd\"/>\n<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 8.0,
            at + 5.0,
            duration(power)
        );
    }
    let size = match by_linux {
        true => "instructions that Linux processes",
        false => "instructions of the program",
    };
    let _ = writeln!(
        svg,
        "<path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"#222\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{size}</text>\n\
         <text transform=\"translate(18 {:.1}) rotate(-90)\" text-anchor=\"middle\">time of verification</text>",
        (left + right) / 2.0,
        HEIGHT - 16.0,
        (top + bottom) / 2.0
    );
}

/// A circle, a square, a triangle, 7 wide; its title shows when it is pointed at.
fn mark(svg: &mut String, series: usize, x: f64, y: f64, title: Option<&str>) {
    let shape = match series {
        2 => format!("circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\""),
        1 => format!("path d=\"M{:.1} {:.1}h6v6h-6z\"", x - 3.0, y - 3.0),
        _ => format!("path d=\"M{x:.1} {:.1}l4 7h-8z\"", y - 4.0),
    };
    let name = shape.split(' ').next().unwrap_or_default();
    let _ = match title {
        Some(title) => writeln!(svg, "<{shape}><title>{}</title></{name}>", escape(title)),
        None => writeln!(svg, "<{shape}/>"),
    };
}

/// Ours first.
fn legend(svg: &mut String, points: &[(usize, &Row, f64, f64)]) {
    let mut x = LEFT + 4.0;
    for (n, (engine, colour)) in SERIES.iter().enumerate().rev() {
        let count = points.iter().filter(|p| p.0 == n).count();
        if count == 0 {
            continue;
        }
        let name = engine.map_or("Probity", Engine::title);
        let label = format!("{name} ({count} programs)");
        let _ = write!(svg, "<g fill=\"{colour}\">");
        mark(svg, n, x, 30.0, None);
        let _ = writeln!(
            svg,
            "</g><text x=\"{:.1}\" y=\"35\">{label}</text>",
            x + 10.0
        );
        x += 40.0 + 7.6 * label.chars().count() as f64;
    }
}

fn count(power: i32) -> String {
    match power {
        0..=2 => format!("{}", 10u32.pow(power as u32)),
        3..=5 => format!("{}k", 10u32.pow(power as u32 - 3)),
        6..=8 => format!("{}M", 10u32.pow(power as u32 - 6)),
        _ => format!("1e{power}"),
    }
}

fn duration(power: i32) -> String {
    match power {
        -3..=-1 => format!("{} ns", 10u32.pow((power + 3) as u32)),
        0..=2 => format!("{} µs", 10u32.pow(power as u32)),
        3..=5 => format!("{} ms", 10u32.pow(power as u32 - 3)),
        6..=8 => format!("{} s", 10u32.pow(power as u32 - 6)),
        _ => format!("1e{power} µs"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::row::Other;

    #[test]
    fn marks_stand_where_they_should() {
        let row = |processed, time_us, linux_us| Row {
            program: "a<b".into(),
            insns: 5,
            time_us,
            linux: Some(Other {
                processed: Some(processed),
                time_us: Some(linux_us),
                ..Other::default()
            }),
            ..Row::default()
        };
        let rows = [row(10, 1.0, 10.0), row(100, 100.0, 1000.0)];
        let drawing = svg(&rows, &[Engine::Linux]);
        // The smallest in the corner, the largest of ours two thirds up at the right.
        let bottom = HEIGHT - BOTTOM;
        assert!(drawing.contains(&format!("cx=\"{LEFT:.1}\" cy=\"{bottom:.1}\"")));
        let up = bottom + (TOP - bottom) * 2.0 / 3.0;
        assert!(drawing.contains(&format!("cx=\"{:.1}\" cy=\"{up:.1}\"", WIDTH - RIGHT)));
        assert_eq!(drawing.matches("<circle").count(), 2 + 1);
        assert!(drawing.contains("Linux (2 programs)") && !drawing.contains("PREVAIL"));
        assert!(drawing.contains("a&lt;b: 1.00 µs"));
        // Without Linux it is the programs' own length, and without rows there is still a drawing.
        assert!(svg(&rows, &[]).contains("instructions of the program"));
        assert!(svg(&[], &[]).ends_with("</svg>\n"));
    }
}
