//! A member of a family × a platform → what its verdict took; and how figures grow over a family.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use probity_interp::{Interp, Run};
use probity_objfile::Object;
use probity_platform::{Platform, Policy};
use probity_runtime::{Context, Instance};
use probity_verifier::{Options, ProgramReport, Report, Verdict, verify};

use super::{Family, Input};
use crate::kernel::{self, Machine, Session};

/// What a verdict on one member took.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Point {
    pub n: u64,
    /// Slots.
    pub insns: u64,
    /// `accept`, or the rule that rejects it.
    pub verdict: String,
    pub processed: u64,
    pub states: u64,
    /// The least of all runs.
    pub time_us: f64,
    /// Instructions of the longest run, as the family has it.
    pub longest: u64,
    /// The same as the verifier proved it.
    pub worst_case_insns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
}

/// What Linux says of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Linux {
    pub verdict: String,
    /// Where it does not accept: the line that tells why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    pub processed: u64,
    /// The least of all runs, in whole microseconds as the kernel has it; for programs of one function without compilation.
    pub time_us: u64,
}

impl Point {
    pub fn accepted(&self) -> bool {
        self.verdict == "accept"
    }
}

/// What the verifier proved of the longest run.
pub fn worst_case(report: &ProgramReport) -> Option<u64> {
    report.stats.worst_case_insns
}

/// The verdict on the member of size `n`, the fastest of some runs.
pub fn point(
    family: &Family,
    n: u64,
    platform: &Arc<Platform>,
    policy: &Policy,
    runs: usize,
) -> Option<Point> {
    let object = family.object(n, platform)?;
    Some(verdict(family, n, &object, platform, policy, runs))
}

fn verdict(
    family: &Family,
    n: u64,
    object: &Object,
    platform: &Arc<Platform>,
    policy: &Policy,
    runs: usize,
) -> Point {
    fastest(runs, || {
        let report = verify(object, platform, policy, &Options::default()).expect("a report");
        of_report(n, family.longest(n), &report)
    })
}

/// The figures of a report on one program.
pub(super) fn of_report(n: u64, longest: u64, report: &Report) -> Point {
    let p = report.programs.first().expect("a program");
    Point {
        n,
        insns: p.insns as u64,
        verdict: match &p.verdict {
            Verdict::Accept(_) => "accept".into(),
            Verdict::Reject(r) => r.rule.name().into(),
        },
        processed: p.stats.processed as u64,
        states: p.stats.states as u64,
        time_us: p.stats.time_ns as f64 / 1000.0,
        longest,
        worst_case_insns: worst_case(p),
        linux: None,
    }
}

/// The fastest of some runs, or of one that is slow.
pub(super) fn fastest(runs: usize, mut run: impl FnMut() -> Point) -> Point {
    let mut least = run();
    for _ in 1..runs {
        if least.time_us > 200_000.0 {
            break;
        }
        let point = run();
        if point.time_us < least.time_us {
            least = point;
        }
    }
    least
}

/// What the running kernel says of the member of size `n`.
pub fn linux(family: &Family, n: u64, machine: &Machine, runs: usize) -> Result<Linux, String> {
    let types = machine.types.clone();
    let platform = Platform::linux(probity_platform::Version(6, 18), types);
    let object = family
        .object(n, &platform)
        .ok_or("the kernel has no types that name its functions")?;
    let mut session = Session::new(machine, &object)?;
    let mut least: Option<Linux> = None;
    for _ in 0..runs.max(1) {
        let answer = session.answer(0, &kernel::NoTargets);
        if answer.verdict == "none" {
            return Err(answer.why);
        }
        let slow = answer.time_us > 200_000;
        if least.as_ref().is_none_or(|l| answer.time_us < l.time_us) {
            least = Some(Linux {
                verdict: answer.verdict,
                why: answer.why,
                processed: answer.processed,
                time_us: answer.time_us,
            });
        }
        if slow {
            break;
        }
    }
    least.ok_or_else(|| "no answer".into())
}

/// A member that runs: its verdict in process and what the run on the family's input did.
pub struct Ran {
    pub report: ProgramReport,
    pub run: Run,
}

/// Runs the member in the interpreter, for at most `limit` instructions. `Err`: why it does not run here.
pub fn run(family: &Family, n: u64, platform: &Arc<Platform>, limit: u64) -> Result<Ran, String> {
    let object = family
        .object(n, platform)
        .ok_or("no types that name its functions")?;
    let report = verify(&object, platform, &Policy::default(), &Options::default());
    let report: Report = report.map_err(|e| e.to_string())?;
    let first = report.programs.first().ok_or("no program")?.clone();
    if let Verdict::Reject(r) = &first.verdict {
        return Err(r.to_string());
    }
    let verified = report.into_verified().map_err(|_| "not accepted")?;
    let instance = Instance::new(Arc::new(verified), probity_runtime::Options::default());
    let instance = Arc::new(instance.map_err(|e| e.to_string())?);
    if let Some(map) = instance.map_by_name("cells") {
        let bytes = map.value_size();
        let first = map.update(&0u32.to_ne_bytes(), &vec![family.fill; bytes], 0);
        first.map_err(|e| format!("map cells: {e}"))?;
    }
    let ctx = match family.input {
        Input::Words(word) => Context::words(&[word(n); 12]),
        Input::Packet(bytes) => Context::xdp(&bytes(n)),
    };
    let mut ctx = ctx.map_err(|e| e.to_string())?;
    let interp = Interp::new(instance).with_limit(limit);
    let run = interp.run_observed(0, &mut ctx, 0, &mut ());
    Ok(Ran { report: first, run })
}

/// The exponent e of y = c·n^e that fits best: least squares over logarithms.
pub fn exponent(points: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
    let logs: Vec<(f64, f64)> = points
        .into_iter()
        .filter(|(n, y)| *n > 0.0 && *y > 0.0)
        .map(|(n, y)| (n.ln(), y.ln()))
        .collect();
    let count = logs.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| logs.iter().map(f).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let across: f64 = logs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let along: f64 = logs.iter().map(|p| (p.0 - x).powi(2)).sum();
    (logs.len() >= 2 && along > 0.0).then(|| across / along)
}

/// Exponents over the members that were accepted, by `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Growth {
    pub processed: Option<f64>,
    pub time: Option<f64>,
}

pub fn growth(points: &[Point]) -> Growth {
    let over = |y: fn(&Point) -> f64| {
        let accepted = points.iter().filter(|p| p.accepted());
        exponent(accepted.map(|p| (p.n as f64, y(p))))
    };
    Growth {
        processed: over(|p| p.processed as f64),
        time: over(|p| p.time_us.max(0.1)),
    }
}

/// A family that falls short of what its [`super::Scales`] allow, and how far it comes.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    pub family: String,
    /// `walks`: every lap of a loop; `paths`: ways through branches one by one; `refused`: for another reason.
    pub limit: String,
    /// The largest size that is accepted within [`BEYOND`].
    pub accepted: u64,
    /// The exponent of processed instructions up to there: over slots, or over `n` where that are laps.
    #[serde(default)]
    pub exponent: Option<f64>,
}

/// Most instructions that a verdict on any member may process: in proportion to its slots, whatever `n` means.
pub fn target(slots: u64) -> u64 {
    40 * slots + 200
}

/// The same for families that are known to fall short.
pub const BEYOND: u64 = 12_000;

/// `tests/families/known.toml` by family.
pub fn known(path: &Path) -> Result<BTreeMap<String, Known>, String> {
    #[derive(serde::Deserialize)]
    struct Table {
        #[serde(default)]
        known: Vec<Known>,
    }
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let table: Table = toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(table
        .known
        .into_iter()
        .map(|k| (k.family.clone(), k))
        .collect())
}

/// A family's members, each as an object.
pub type Members = Vec<(u64, Object)>;

pub fn members(family: &Family, platform: &Platform) -> Members {
    let sizes = family.sizes.iter();
    sizes
        .filter_map(|n| Some((*n, family.object(*n, platform)?)))
        .collect()
}

/// Every member's verdict where no more than [`target`] is processed, and whether all are accepted.
pub fn within_target(
    family: &Family,
    members: &Members,
    platform: &Arc<Platform>,
) -> (Vec<Point>, bool) {
    let points: Vec<Point> = members
        .iter()
        .map(|(n, object)| {
            let slots = object.programs[0].insns.len() as u64;
            verdict(family, *n, object, platform, &at_most(target(slots)), 1)
        })
        .collect();
    let all = points.iter().all(Point::accepted) && points.len() == family.sizes.len();
    // Where laps grow, the target is one number for all sizes; and few visits a slot show no growth.
    let few = points.iter().all(|p| p.processed <= 5 * p.insns);
    let linear = family.scales == super::Scales::Trips
        || few
        || by_size(family, &points).is_none_or(|e| e < 1.15);
    (points, all && linear)
}

/// What a family that falls short comes to within [`BEYOND`].
pub fn falls_short(
    family: &Family,
    members: &Members,
    platform: &Arc<Platform>,
) -> (Vec<Point>, Known) {
    let points: Vec<Point> = members
        .iter()
        .map(|(n, object)| verdict(family, *n, object, platform, &at_most(BEYOND), 1))
        .collect();
    let accepted = points.iter().take_while(|p| p.accepted()).last();
    let beyond = points.iter().find(|p| !p.accepted());
    let limit = match (beyond.map(|p| p.verdict.as_str()), family.scales) {
        (None | Some("too_complex"), super::Scales::Trips) => "walks",
        (None | Some("too_complex"), super::Scales::Size) => "paths",
        _ => "refused",
    };
    let exponent = by_size(family, &points).map(|e| (e * 10.0).round() / 10.0);
    let known = Known {
        family: family.name.into(),
        limit: limit.into(),
        accepted: accepted.map_or(0, |p| p.n),
        exponent,
    };
    (points, known)
}

/// How processed instructions grow with what [`super::Scales`] names.
fn by_size(family: &Family, points: &[Point]) -> Option<f64> {
    let of = |p: &Point| match family.scales {
        super::Scales::Size => p.insns as f64,
        super::Scales::Trips => p.n as f64,
    };
    let accepted = points.iter().filter(|p| p.accepted());
    exponent(accepted.map(|p| (of(p), p.processed as f64)))
}

pub(super) fn at_most(processed: u64) -> Policy {
    Policy {
        max_processed: Some(processed as usize),
        ..Policy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::exponent;

    #[test]
    fn exponents_of_powers() {
        let of = |e: f64| exponent([10.0f64, 100.0, 1e4].map(|n| (n, 3.0 * n.powf(e)))).unwrap();
        for e in [0.0, 0.5, 1.0, 2.0] {
            assert!((of(e) - e).abs() < 1e-9, "{e}: {}", of(e));
        }
        assert_eq!(exponent([(10.0, 5.0)]), None);
        assert_eq!(exponent([(10.0, 5.0), (10.0, 6.0)]), None);
    }
}
