//! Rows → geometric means, over programs that say something of code: those that have a source and do more than a call.

use probity_peers::{Engine, set};

use super::row::{self, Row};
use crate::bench::summary::geometric_mean;

/// How an engine stands to another, over the programs that both ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Mean {
    /// Of theirs over the other's.
    pub ratio: f64,
    pub worst: f64,
    pub worst_program: String,
    pub programs: usize,
}

/// `engine` over `base`, by medians.
pub fn over(rows: &[Row], engine: Engine, base: Engine) -> Option<Mean> {
    over_by(rows, engine, base, |r| Some(r.ns))
}

/// The same by another figure of `engine`'s rows.
pub fn over_by(
    rows: &[Row],
    engine: Engine,
    base: Engine,
    figure: impl Fn(&Row) -> Option<f64>,
) -> Option<Mean> {
    let mut ratios: Vec<(f64, &str)> = Vec::new();
    for name in row::programs(rows) {
        // Programs with maps and helpers have figures of their own.
        let compared = !set::is_call(name) && row::of(rows, name, Engine::Jit).is_some_and(pure);
        if let (true, Some(theirs), Some(base)) = (
            compared,
            row::of(rows, name, engine).and_then(&figure),
            row::of(rows, name, base).filter(|r| r.ns > 0.0),
        ) {
            ratios.push((theirs / base.ns, name));
        }
    }
    let (ratio, programs) = geometric_mean(ratios.iter().map(|r| r.0))?;
    let worst = ratios.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Mean {
        ratio,
        worst: worst.0,
        worst_program: worst.1.to_string(),
        programs,
    })
}

/// Repeats no operation of a map or helper.
fn pure(row: &Row) -> bool {
    row.operations.is_none() && row.program != "flow_meter"
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    #[test]
    fn calls_and_what_only_one_ran_are_not_in_the_mean() {
        let mut rows = Vec::new();
        for (program, scalar, jit) in [("a", 10.0, 10.0), ("b", 10.0, 40.0), ("simple", 1.0, 9.0)] {
            rows.push(row(program, Engine::Scalar, scalar, Some(scalar)));
            rows.push(row(program, Engine::Jit, jit, Some(scalar)));
        }
        rows.push(row("c", Engine::Jit, 5.0, None));
        let mean = over(&rows, Engine::Jit, Engine::Scalar).expect("a mean");
        assert!((mean.ratio - 2.0).abs() < 1e-9);
        assert_eq!((mean.worst, mean.programs), (4.0, 2));
        assert_eq!(mean.worst_program, "b");
        assert_eq!(over(&rows, Engine::Linux, Engine::Jit), None);
    }
}
