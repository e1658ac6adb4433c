//! Rows → what the engines are meant to reach, and whether they do.

use std::cmp::Ordering::Equal;

use probity_peers::Engine;

use super::row::{self, Row};
use super::{means, table};

/// Something to reach; what is not measured is not reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    pub what: String,
    pub bound: Bound,
    pub unit: &'static str,
    pub measured: Option<f64>,
    /// What else is to be said of it.
    pub note: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    pub fn reached(&self) -> Option<bool> {
        let measured = self.measured?;
        Some(match self.bound {
            Bound::AtMost(most) => measured <= most,
            Bound::AtLeast(least) => measured >= least,
        })
    }
}

/// Peers, and how much faster ours is to be.
const FASTER: [(Engine, f64); 5] = [
    (Engine::Linux, 1.5),
    (Engine::Rbpf, 1.3),
    (Engine::Wasmtime, 1.4),
    (Engine::RbpfCranelift, 3.0),
    (Engine::SolanaSbpf, 8.0),
];

/// Operations on maps, and what they may cost in nanoseconds.
const OPERATIONS: [(&str, &str, f64); 7] = [
    ("array_64", "array lookup", 1.0),
    ("hash4_64", "hash lookup, key of 4 bytes", 8.0),
    ("hash16_64", "hash lookup, key of 16 bytes", 16.0),
    ("update_64", "hash update", 20.0),
    ("lru_64", "LRU update", 50.0),
    ("ringbuf_64", "ring buffer reserve and submit", 15.0),
    (TWO_THREADS, "the same by two threads at once", 15.0),
];

/// The program whose records two threads write.
pub const TWO_THREADS: &str = "ringbuf_2_threads";
/// What that costs each of them.
pub const EACH_OF_TWO: &str = "ringbuf_each_of_2";

/// Sizes of programs that are taken for one of 400 instructions.
const SIZES: std::ops::RangeInclusive<usize> = 300..=500;

pub fn goals(rows: &[Row]) -> Vec<Goal> {
    let mut goals = Vec::new();
    let mut goal = |what: String, bound, unit, measured, note: String| {
        goals.push(Goal {
            what,
            bound,
            unit,
            measured,
            note,
        });
    };
    let scalar = means::over(rows, Engine::Jit, Engine::Scalar);
    let over = |m: &means::Mean| format!("{} programs", m.programs);
    goal(
        "jit over scalar native, geometric mean".into(),
        Bound::AtMost(1.2),
        "×",
        scalar.as_ref().map(|m| m.ratio),
        scalar.as_ref().map(over).unwrap_or_default(),
    );
    goal(
        "jit over scalar native, worst program".into(),
        Bound::AtMost(2.0),
        "×",
        scalar.as_ref().map(|m| m.worst),
        scalar.map(|m| m.worst_program).unwrap_or_default(),
    );
    for (engine, least) in FASTER {
        let mean = means::over(rows, engine, Engine::Jit);
        let gross = match engine {
            Engine::Linux => means::over_by(rows, engine, Engine::Jit, |r| r.gross_ns),
            _ => None,
        };
        let gross = gross.map(|m| format!("; {:.2} with the frame of a test run", m.ratio));
        let note = mean.as_ref().map(over).unwrap_or_default();
        goal(
            format!("{engine} over jit, geometric mean"),
            Bound::AtLeast(least),
            "×",
            mean.map(|m| m.ratio),
            note + &gross.unwrap_or_default(),
        );
    }
    let jit = |program: &str| row::of(rows, program, Engine::Jit);
    goal(
        "an empty call".into(),
        Bound::AtMost(3.0),
        " ns",
        jit("empty").map(|r| r.ns),
        String::new(),
    );
    let scaled = |r: &&Row| (r.verify_us.unwrap_or(0.0) + r.compile_us) * 400.0 / r.insns as f64;
    let sized = rows
        .iter()
        .filter(|r| r.engine == Engine::Jit && SIZES.contains(&r.insns));
    let slowest = sized.max_by(|a, b| scaled(a).total_cmp(&scaled(b)));
    goal(
        "verify and compile, for 400 instructions".into(),
        Bound::AtMost(1000.0),
        " µs",
        slowest.as_ref().map(scaled),
        slowest.map_or_else(String::new, |r| {
            let verify = table::number(r.verify_us.unwrap_or(0.0));
            let compile = table::number(r.compile_us);
            format!(
                "{}, {} instructions: {verify} + {compile} µs",
                r.program, r.insns
            )
        }),
    );
    let cached = |r: &&Row| r.cached_us.map(|us| us * 400.0 / r.insns as f64);
    let sized = rows.iter().filter(|r| SIZES.contains(&r.insns));
    let slowest = sized.filter(|r| r.cached_us.is_some());
    let slowest = slowest.max_by(|a, b| cached(a).partial_cmp(&cached(b)).unwrap_or(Equal));
    goal(
        "the second start, from the cache, for 400 instructions".into(),
        Bound::AtMost(100.0),
        " µs",
        slowest.as_ref().and_then(cached),
        slowest.map_or_else(String::new, |r| {
            format!("{}, without verification", r.program)
        }),
    );
    for (program, what, most) in OPERATIONS {
        let each = |program| jit(program).and_then(|r| table::each(rows, r));
        let note = match each(EACH_OF_TWO).filter(|_| program == TWO_THREADS) {
            Some(ns) => {
                format!("{program}: as often a record comes out; {ns:.1} ns of a thread's time")
            }
            None => program.into(),
        };
        goal(what.into(), Bound::AtMost(most), " ns", each(program), note);
    }
    goals
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    #[test]
    fn a_goal_is_reached_by_measurement_alone() {
        let rows = [
            row("prime", Engine::Scalar, 10.0, Some(10.0)),
            row("prime", Engine::Jit, 15.0, Some(10.0)),
            row("prime", Engine::Linux, 30.0, Some(10.0)),
            row("empty", Engine::Jit, 4.0, None),
        ];
        let goals = goals(&rows);
        let reached: Vec<_> = goals.iter().map(Goal::reached).collect();
        let no = Some(false);
        assert_eq!(reached[..4], [no, Some(true), Some(true), None]);
        let empty = goals.iter().find(|g| g.what == "an empty call");
        assert_eq!(empty.and_then(Goal::reached), no);
        assert_eq!(goals.last().and_then(Goal::reached), None);
    }
}
