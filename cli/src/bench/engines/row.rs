//! What one program takes on one engine.

use probity_peers::Engine;
use serde_json::{Map, Value, json};

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub program: String,
    pub engine: Engine,
    /// Nanoseconds a run with its call, the median; of Linux without the frame around a test run.
    pub ns: f64,
    /// Of the fastest batch, likewise.
    pub least_ns: f64,
    /// With that frame.
    pub gross_ns: Option<f64>,
    pub compile_us: f64,
    /// With its code in the cache.
    pub cached_us: Option<f64>,
    /// What our verifier takes, where the engine needs it.
    pub verify_us: Option<f64>,
    pub ratio_native: Option<f64>,
    pub ratio_scalar: Option<f64>,
    /// Operations that a run makes, where it repeats one.
    pub operations: Option<u32>,
    /// Instructions of the object's program.
    pub insns: usize,
}

/// The columns, as `--json` and `--csv` name them.
pub const KEYS: [&str; 12] = [
    "program",
    "engine",
    "ns",
    "compile_us",
    "ratio_native",
    "ratio_scalar",
    "least_ns",
    "gross_ns",
    "verify_us",
    "cached_us",
    "operations",
    "insns",
];

impl Row {
    pub fn json(&self) -> Map<String, Value> {
        let number = |x: f64| json!((x * 1000.0).round() / 1000.0);
        let maybe = |x: Option<f64>| x.map_or(Value::Null, number);
        let values = [
            json!(self.program),
            json!(self.engine.name()),
            number(self.ns),
            number(self.compile_us),
            maybe(self.ratio_native),
            maybe(self.ratio_scalar),
            number(self.least_ns),
            maybe(self.gross_ns),
            maybe(self.verify_us),
            maybe(self.cached_us),
            json!(self.operations),
            json!(self.insns),
        ];
        let keys = KEYS.iter().map(|k| (*k).to_string());
        keys.zip(values).collect()
    }
}

/// Comma-separated values with a header.
pub fn csv(rows: &[Row]) -> String {
    let mut text = KEYS.join(",") + "\n";
    for row in rows {
        let fields: Vec<String> = row
            .json()
            .into_iter()
            .map(|(_, value)| match value {
                Value::Null => String::new(),
                Value::String(text) => text,
                other => other.to_string(),
            })
            .collect();
        text += &(fields.join(",") + "\n");
    }
    text
}

/// The row of a program on an engine.
pub fn of<'a>(rows: &'a [Row], program: &str, engine: Engine) -> Option<&'a Row> {
    rows.iter()
        .find(|r| r.program == program && r.engine == engine)
}

/// Programs in their order.
pub fn programs(rows: &[Row]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.program.as_str()) {
            names.push(&row.program);
        }
    }
    names
}

/// Engines that measured something, in the order of columns.
pub fn engines(rows: &[Row]) -> Vec<Engine> {
    let measured = |e: &Engine| rows.iter().any(|r| r.engine == *e);
    Engine::ALL.into_iter().filter(measured).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn row(program: &str, engine: Engine, ns: f64, scalar: Option<f64>) -> Row {
        Row {
            program: program.into(),
            engine,
            ns,
            least_ns: ns,
            gross_ns: None,
            compile_us: 1.0,
            verify_us: None,
            cached_us: None,
            ratio_native: scalar.map(|s| 2.0 * ns / s),
            ratio_scalar: scalar.map(|s| ns / s),
            operations: None,
            insns: 10,
        }
    }

    #[test]
    fn the_promised_keys_come_first_and_what_is_not_there_is_null() {
        let row = row("prime", Engine::Jit, 12.3456, None);
        let json = Value::Object(row.json()).to_string();
        assert!(
            json.starts_with(
                r#"{"program":"prime","engine":"jit","ns":12.346,"compile_us":1.0,"ratio_native":null,"ratio_scalar":null"#
            ),
            "{json}"
        );
        let text = csv(&[row]);
        assert_eq!(
            text.lines().nth(1),
            Some("prime,jit,12.346,1.0,,,12.346,,,,,10")
        );
    }
}
