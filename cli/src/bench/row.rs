//! One program's figures, and its columns by name.

use std::time::Duration;

use serde_json::{Map, Value, json};

use probity_peers::{Settled, Taken};

use super::micros;

/// An engine to hold ours against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Engine {
    /// The running kernel's verifier; needs root, or CAP_BPF with what else it takes to load
    Linux,
    /// PREVAIL, polynomial-time abstract interpretation
    Prevail,
}

impl Engine {
    pub const ALL: [Engine; 2] = [Engine::Linux, Engine::Prevail];

    /// As in keys.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Linux => "linux",
            Engine::Prevail => "prevail",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Engine::Linux => "Linux",
            Engine::Prevail => "PREVAIL",
        }
    }
}

/// What another engine says of a program; `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Other {
    /// `accept` or `reject`.
    pub verdict: Option<String>,
    pub time_us: Option<f64>,
    pub processed: Option<u64>,
    pub states: Option<u64>,
    pub memory_bytes: Option<u64>,
    /// Nanoseconds of each run and whether it was calm, where its process says so.
    #[serde(default)]
    pub times_ns: Vec<(u64, bool)>,
    /// The time holds more than verification: Linux's compiler ran over subprograms.
    #[serde(default)]
    pub compiled: bool,
    /// Why it does not accept, or has no verdict.
    #[serde(default)]
    pub why: String,
}

/// A program, measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    pub object: String,
    pub program: String,
    pub section: String,
    pub prog_type: String,
    pub verdict: String,
    pub insns: u64,
    pub processed: u64,
    pub states: u64,
    pub peak_states: u64,
    pub stack_depth: u64,
    pub worst_case_insns: Option<u64>,
    /// Median.
    pub time_us: f64,
    /// At most asked for at a time, over what was there before.
    pub memory_bytes: Option<u64>,
    pub linux: Option<Other>,
    pub prevail: Option<Other>,
    /// What `verify --json` says beside the above.
    pub more: Map<String, Value>,
}

/// What stands in a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Text(String),
    Number(f64),
    Missing,
}

/// Columns of ours, in the order in which they are kept.
pub const OURS: &[&str] = &[
    "object",
    "program",
    "section",
    "prog_type",
    "verdict",
    "insns",
    "processed",
    "states",
    "peak_states",
    "stack_depth",
    "worst_case_insns",
    "memory_bytes",
    "time_us",
    "throughput",
];

/// Columns of another engine, after its name and `_`.
pub const THEIRS: &[&str] = &[
    "verdict",
    "time_us",
    "processed",
    "states",
    "memory_bytes",
    "compiled",
    "time_ratio",
    "processed_ratio",
    "states_ratio",
    "memory_ratio",
];

/// Every column there is.
pub fn keys() -> impl Iterator<Item = String> {
    let theirs = Engine::ALL
        .into_iter()
        .flat_map(|e| THEIRS.iter().map(move |k| format!("{}_{k}", e.name())));
    OURS.iter().map(|k| (*k).to_string()).chain(theirs)
}

/// A column as people may write it: whole, or without its unit, its `_ratio` or what else makes it longer.
pub fn key(text: &str) -> Result<String, String> {
    let known = |k: &str| keys().any(|known| known == k);
    let tries = [
        text.to_string(),
        format!("{text}_us"),
        format!("{text}_bytes"),
        format!("{text}_type"),
        format!("{text}_depth"),
    ];
    if let Some(found) = tries.into_iter().find(|k| known(k)) {
        return Ok(found);
    }
    let all: Vec<String> = keys().collect();
    Err(format!(
        "no column `{text}`; there are {} (`_us` and `_bytes` may be left out)",
        all.join(", ")
    ))
}

impl Row {
    pub fn other(&self, engine: Engine) -> Option<&Other> {
        match engine {
            Engine::Linux => self.linux.as_ref(),
            Engine::Prevail => self.prevail.as_ref(),
        }
    }

    pub fn accepted(&self) -> bool {
        self.verdict == "accept"
    }

    /// Instructions visited a second.
    pub fn throughput(&self) -> Option<f64> {
        (self.time_us > 0.0).then(|| self.processed as f64 / self.time_us * 1e6)
    }

    /// What stands in the column of that name.
    pub fn cell(&self, key: &str) -> Cell {
        let text = |t: &str| Cell::Text(t.to_string());
        let number = |n: u64| Cell::Number(n as f64);
        match key {
            "object" => text(&self.object),
            "program" => text(&self.program),
            "section" => text(&self.section),
            "prog_type" => text(&self.prog_type),
            "verdict" => text(&self.verdict),
            "insns" => number(self.insns),
            "processed" => number(self.processed),
            "states" => number(self.states),
            "peak_states" => number(self.peak_states),
            "stack_depth" => number(self.stack_depth),
            "worst_case_insns" => self.worst_case_insns.map_or(Cell::Missing, number),
            "memory_bytes" => self.memory_bytes.map_or(Cell::Missing, number),
            "time_us" => Cell::Number(self.time_us),
            "throughput" => self.throughput().map_or(Cell::Missing, Cell::Number),
            _ => Engine::ALL
                .into_iter()
                .find_map(|e| Some(self.theirs(e, key.strip_prefix(e.name())?.strip_prefix('_')?)))
                .unwrap_or(Cell::Missing),
        }
    }

    fn theirs(&self, engine: Engine, key: &str) -> Cell {
        let Some(other) = self.other(engine) else {
            return Cell::Missing;
        };
        let number = |n: Option<u64>| n.map_or(Cell::Missing, |n| Cell::Number(n as f64));
        match key {
            "verdict" => other.verdict.clone().map_or(Cell::Missing, Cell::Text),
            "time_us" => other.time_us.map_or(Cell::Missing, Cell::Number),
            "processed" => number(other.processed),
            "states" => number(other.states),
            "memory_bytes" => number(other.memory_bytes),
            "compiled" => Cell::Number(f64::from(u8::from(other.compiled))),
            _ => match key.strip_suffix("_ratio") {
                Some(of) => self.ratio(engine, of).map_or(Cell::Missing, Cell::Number),
                None => Cell::Missing,
            },
        }
    }

    /// Theirs over ours: above 1, ours takes less. `of` is `time`, `processed`, `states` or `memory`.
    pub fn ratio(&self, engine: Engine, of: &str) -> Option<f64> {
        let other = self.other(engine)?;
        let (theirs, ours) = match of {
            "time" => (other.time_us?, self.time_us),
            "processed" => (other.processed? as f64, self.processed as f64),
            "states" => (other.states? as f64, self.states as f64),
            "memory" => (other.memory_bytes? as f64, self.memory_bytes? as f64),
            _ => return None,
        };
        (theirs > 0.0 && ours > 0.0).then(|| theirs / ours)
    }

    /// The keys of `verify --json`, and those of a measurement.
    pub fn json(&self, against: &[Engine]) -> Value {
        let mut row = json!({
            "object": self.object,
            "program": self.program,
            "section": self.section,
            "prog_type": self.prog_type,
            "verdict": self.verdict,
            "insns": self.insns,
            "processed": self.processed,
            "states": self.states,
            "peak_states": self.peak_states,
            "stack_depth": self.stack_depth,
            "worst_case_insns": self.worst_case_insns,
            "time_us": self.time_us,
        });
        if let Value::Object(row) = &mut row {
            for (key, value) in &self.more {
                row.entry(key).or_insert_with(|| value.clone());
            }
            row.insert("memory_bytes".into(), json!(self.memory_bytes));
            for engine in Engine::ALL {
                let other = self.other(engine).filter(|_| against.contains(&engine));
                row.insert(engine.name().into(), other.map_or(Value::Null, Other::json));
            }
        }
        row
    }
}

impl Other {
    /// A run, as far as it is known.
    pub fn takes_at_most(&self, time: Duration) -> bool {
        self.time_us.is_some_and(|us| us <= micros(time))
    }

    /// The first one's, with the times of all of them and the most memory.
    pub fn of_turns(turns: Vec<Other>) -> Option<Other> {
        let memory_bytes = turns.iter().filter_map(|t| t.memory_bytes).max();
        let times = turns.iter().flat_map(|t| t.times_ns.iter().copied());
        let times_ns = times.collect();
        let first = turns.into_iter().next()?;
        let all = Other {
            memory_bytes,
            times_ns,
            ..first
        };
        Some(all.timed())
    }

    /// With the time that its times come to.
    pub fn timed(self) -> Other {
        let taken: Vec<Taken> = self
            .times_ns
            .iter()
            .map(|(ns, calm)| Taken {
                took: Duration::from_nanos(*ns),
                calm: *calm,
            })
            .collect();
        Other {
            time_us: Settled::of(&taken).map(|s| micros(s.median)),
            ..self
        }
    }

    fn json(&self) -> Value {
        json!({
            "verdict": self.verdict,
            "time_us": self.time_us,
            "processed": self.processed,
            "states": self.states,
            "memory_bytes": self.memory_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn row(processed: u64, time_us: f64, linux_us: f64) -> Row {
        Row {
            object: "a.o".into(),
            program: "p".into(),
            verdict: "accept".into(),
            insns: 10,
            processed,
            states: 2,
            time_us,
            memory_bytes: Some(1000),
            linux: Some(Other {
                verdict: Some("accept".into()),
                time_us: Some(linux_us),
                processed: Some(processed * 2),
                states: Some(8),
                memory_bytes: None,
                ..Other::default()
            }),
            ..Row::default()
        }
    }

    #[test]
    fn every_column_is_found_by_its_name() {
        let row = row(100, 10.0, 40.0);
        for k in keys() {
            assert_eq!(key(&k), Ok(k.clone()));
        }
        assert_eq!(row.cell("throughput"), Cell::Number(1e7));
        assert_eq!(row.cell("linux_time_ratio"), Cell::Number(4.0));
        assert_eq!(row.cell("linux_processed_ratio"), Cell::Number(2.0));
        assert_eq!(row.cell("linux_memory_ratio"), Cell::Missing);
        assert_eq!(row.cell("prevail_time_us"), Cell::Missing);
        assert_eq!(key("linux_time"), Ok("linux_time_us".into()));
        assert_eq!(key("memory"), Ok("memory_bytes".into()));
        assert!(key("speed").is_err_and(|e| e.contains("throughput")));
    }

    #[test]
    fn json_has_null_for_what_was_not_measured() {
        let json = row(100, 10.0, 40.0).json(&[Engine::Linux]);
        assert_eq!(json["linux"]["time_us"], 40.0);
        assert_eq!(json["linux"]["memory_bytes"], Value::Null);
        assert_eq!(json["prevail"], Value::Null);
    }
}
