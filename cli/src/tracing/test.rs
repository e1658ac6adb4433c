//! A script's `test:` and `bench:` probes, run in this process: no kernel, no privilege.
//!
//! Each has maps of its own, and the script's `begin` probes run before it, unheard. A test fails when it
//! ends with another status than 0 (as `assert()` does) or says an error.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use probity_runtime::{Context, Engine, Instance, Options};
use probity_script::{Action, Printer, Probe, ProbeKind, Script};
use probity_verifier::Verified;

use super::in_process::ProcessMaps;
use crate::commands::run::EngineKind;

/// What a program without an event is called with.
const WORDS: [u64; 12] = [0; 12];
/// How long each measurement runs.
const MEASURED: Duration = Duration::from_millis(200);

/// What came of a test.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Tested {
    #[serde(rename = "test")]
    pub name: String,
    pub passed: bool,
    pub status: i32,
    /// Everything it said.
    pub output: String,
}

/// What came of a measurement.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Measured {
    #[serde(rename = "bench")]
    pub name: String,
    pub runs: u64,
    /// Nanoseconds of the fastest of ten parts.
    pub nanoseconds: f64,
}

/// An instance of the script in which nothing has run yet.
struct Fresh {
    instance: Arc<Instance>,
    engine: Box<dyn Engine>,
}

impl Fresh {
    fn new(verified: &Arc<Verified>, cpus: u32, engine: EngineKind) -> Result<Fresh> {
        let options = Options {
            cpus: cpus as usize,
            ..Options::default()
        };
        let instance = Arc::new(Instance::new(verified.clone(), options)?);
        let engine = engine.make(instance.clone())?;
        Ok(Fresh { instance, engine })
    }

    fn program(&self, probe: &Probe) -> Result<usize> {
        self.instance
            .program_index(&probe.program)
            .with_context(|| format!("no program {}", probe.program))
    }

    /// Runs one program and prints what it says; the status that it ends with.
    fn run(&self, program: usize, printer: &mut Printer, out: &mut Vec<u8>) -> Result<i32> {
        self.engine.call(program, &mut Context::words(&WORDS)?, 0)?;
        let mut records = Vec::new();
        if let Some(ring) = self
            .instance
            .map_by_name(Script::EVENTS)
            .and_then(|m| m.ring())
        {
            ring.consume(|bytes| {
                records.push(bytes.to_vec());
                true
            });
        }
        for bytes in records {
            let maps = ProcessMaps(&self.instance);
            // Tests neither read files nor run commands: those actions are for whoever traces.
            if let Action::Exit(status) = printer.record(&bytes, &maps, out) {
                return Ok(status);
            }
        }
        Ok(0)
    }

    fn begin(&self, script: &Script, printer: &mut Printer) -> Result<()> {
        for probe in script.probes.iter().filter(|p| p.kind == ProbeKind::Begin) {
            self.run(self.program(probe)?, printer, &mut Vec::new())?;
        }
        Ok(())
    }
}

/// Runs the tests in the script's order.
pub fn tests(
    script: &mut Script,
    verified: Verified,
    cpus: u32,
    engine: EngineKind,
) -> Result<Vec<Tested>> {
    let verified = Arc::new(verified);
    let mut done = Vec::new();
    for probe in script.probes.clone() {
        let ProbeKind::Test(name) = &probe.kind else {
            continue;
        };
        let fresh = Fresh::new(&verified, cpus, engine)?;
        let mut printer = script.printer.clone();
        fresh.begin(script, &mut printer)?;
        let (mut out, errors) = (Vec::new(), printer.errors());
        let status = fresh.run(fresh.program(&probe)?, &mut printer, &mut out)?;
        done.push(Tested {
            name: name.clone(),
            passed: status == 0 && printer.errors() == errors,
            status,
            output: String::from_utf8_lossy(&out).into_owned(),
        });
    }
    Ok(done)
}

/// Measures what the script asks to have measured.
pub fn benches(
    script: &mut Script,
    verified: Verified,
    cpus: u32,
    engine: EngineKind,
) -> Result<Vec<Measured>> {
    let verified = Arc::new(verified);
    let mut done = Vec::new();
    for probe in script.probes.clone() {
        let ProbeKind::Bench(name) = &probe.kind else {
            continue;
        };
        let fresh = Fresh::new(&verified, cpus, engine)?;
        let mut printer = script.printer.clone();
        fresh.begin(script, &mut printer)?;
        let program = fresh.program(&probe)?;
        let mut ctx = Context::words(&WORDS)?;
        let ring = fresh.instance.map_by_name(Script::EVENTS).cloned();
        let mut turn = |runs: u64| -> Result<Duration> {
            let begin = Instant::now();
            for _ in 0..runs {
                fresh.engine.call(program, &mut ctx, 0)?;
            }
            let took = begin.elapsed();
            // What it said makes room for the next turn.
            if let Some(ring) = ring.as_deref().and_then(|m| m.ring()) {
                ring.consume(|_| true);
            }
            Ok(took)
        };
        let mut runs = 1;
        while runs < 1 << 40 && turn(runs)? < MEASURED / 20 {
            runs *= 2;
        }
        let mut best = Duration::MAX;
        for _ in 0..10 {
            best = best.min(turn(runs)?);
        }
        done.push(Measured {
            name: name.clone(),
            runs: runs * 10,
            nanoseconds: best.as_nanos() as f64 / runs as f64,
        });
    }
    Ok(done)
}
