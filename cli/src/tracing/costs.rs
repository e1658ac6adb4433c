//! What the tracing itself has cost, by probe, and what it has missed.

use anyhow::Result;
use probity_loader::{RunStats, Session};
use probity_script::Probe;
use serde_json::json;

use super::Sink;
use crate::output;

/// Says what the probes cost when that was `counted`, and in any case what they missed.
pub fn report(session: &Session, probes: &[Probe], counted: bool, sink: &mut Sink) -> Result<()> {
    let mut rows: Vec<(String, RunStats)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for probe in probes.iter().filter(|p| !p.implicit) {
        if seen.contains(&probe.program.as_str()) {
            continue;
        }
        seen.push(&probe.program);
        let places = probes.iter().filter(|p| p.program == probe.program).count();
        let name = match places {
            1 => probe.kind.to_string(),
            n => format!("{} and {} more", probe.kind, n - 1),
        };
        rows.push((name, session.run_stats(&probe.program)?));
    }
    let missed: u64 = rows.iter().map(|(_, s)| s.missed).sum();
    if missed > 0 {
        output::warning(format_args!(
            "{missed} events were missed: they came while a probe was at work on the same processor"
        ));
    }
    if !counted {
        return Ok(());
    }
    if sink.json {
        let data: Vec<_> = rows
            .iter()
            .map(|(name, s)| {
                json!({ "probe": name, "runs": s.runs, "nanoseconds": s.nanoseconds, "missed": s.missed })
            })
            .collect();
        let row = json!({ "type": "probe_stats", "data": data });
        return sink.write(format!("{row}\n").as_bytes());
    }
    output::note(format_args!(
        "{:>12} {:>14} {:>8} {:>8}  probe",
        "runs", "nanoseconds", "each", "missed"
    ));
    for (name, s) in &rows {
        let each = s.nanoseconds.checked_div(s.runs).unwrap_or(0);
        output::note(format_args!(
            "{:>12} {:>14} {each:>8} {:>8}  {name}",
            s.runs, s.nanoseconds, s.missed
        ));
    }
    Ok(())
}
