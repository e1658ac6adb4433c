//! `probity bench worker ENGINE`: asks another engine what stands on standard input, a line a program. Not for people:
//! `bench verify` starts it.

use std::convert::Infallible;
use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use probity_loader::kernel::{self, Machine, Measured, Meter, Session};
use probity_objfile::{Object, ProgType};
use probity_peers::{Gauge, Patience};

use crate::bench::others::Question;
use crate::bench::row::{Engine, Other};
use crate::bench::{ENOUGH, complete};
use crate::input;

/// Ask another engine about the programs on standard input
#[derive(clap::Args)]
pub struct Args {
    engine: Engine,
    /// A memory cgroup to move into
    #[arg(long)]
    group: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    // Whoever started this ends it: by the end of its questions, or by force.
    let _stop = probity_loader::stop_on_signals();
    match args.engine {
        Engine::Linux => linux(args.group.as_deref())?,
        Engine::Prevail => answers(|question| {
            let opinion = catch_unwind(AssertUnwindSafe(|| prevail(question)));
            match opinion.unwrap_or_else(|_| Err("it panics".into())) {
                Ok(other) => other,
                Err(why) => nothing(why),
            }
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads questions and writes answers.
fn answers(mut answer: impl FnMut(&Question) -> Other) -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        let other = answer(&serde_json::from_str(&line?)?);
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(&other)?)?;
        out.flush()?;
    }
    Ok(())
}

fn nothing(why: impl Into<String>) -> Other {
    Other {
        why: why.into(),
        ..Other::default()
    }
}

fn open(question: &Question) -> Result<Object> {
    let platform = probity_platform::Platform::linux(probity_platform::NEWEST, None);
    let mut object = input::object(&question.path, &platform)?;
    question.settings.apply(&mut object)?;
    complete(&mut object, question.prog_type.map(ProgType));
    Ok(object)
}

fn linux(group: Option<&Path>) -> Result<()> {
    kernel::raise_limits();
    let machine = Machine::here();
    let meter = group.and_then(|g| Meter::enter(g).ok());
    let gauge = Gauge::new(Patience::SHORT);
    let mut lines = std::io::stdin().lock().lines();
    let mut next = lines.next();
    // An object at a time: its maps and types stay while its programs are asked about.
    while let Some(line) = next.take() {
        let mut question: Question = serde_json::from_str(&line?)?;
        let object = open(&question);
        let mut session = match &object {
            Ok(object) => Session::new(&machine, object),
            Err(error) => Err(format!("{error:#}")),
        };
        let path = question.path.clone();
        loop {
            let other = match &mut session {
                Ok(session) => figures(session, &question, meter.as_ref(), &gauge),
                Err(why) => nothing(why.clone()),
            };
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", serde_json::to_string(&other)?)?;
            out.flush()?;
            let Some(line) = lines.next() else { break };
            let line = line?;
            question = serde_json::from_str(&line)?;
            if question.path != path {
                next = Some(Ok(line));
                break;
            }
        }
    }
    Ok(())
}

fn figures(
    session: &mut Session<'_>,
    question: &Question,
    meter: Option<&Meter>,
    gauge: &Gauge,
) -> Other {
    let calmly = |load: &mut dyn FnMut() -> Duration| {
        let Ok(taken) = gauge.calmly(|| Ok::<_, Infallible>(load()));
        taken.calm
    };
    other(session.measured(question.index, question.runs, ENOUGH, meter, &calmly))
}

fn other(measured: Measured) -> Other {
    let verdict = measured
        .accepted
        .map(|a| if a { "accept" } else { "reject" });
    let times = measured.times_us.iter();
    Other {
        verdict: verdict.map(str::to_string),
        time_us: None,
        times_ns: times.map(|(us, calm)| (us * 1000, *calm)).collect(),
        processed: measured.processed,
        states: measured.states,
        memory_bytes: measured.memory_bytes,
        compiled: measured.compiled,
        why: measured.why,
    }
    .timed()
}

#[cfg(feature = "prevail")]
fn prevail(question: &Question) -> Result<Other, String> {
    let object = open(question).map_err(|e| format!("{e:#}"))?;
    let program = object
        .programs
        .get(question.index)
        .ok_or("no such program")?;
    crate::bench::prevail::measure(
        &question.path,
        &program.hook.section,
        &program.name,
        question.runs,
        // It takes a thousand times as long: a few runs tell as much.
        ENOUGH / 10,
    )
}

#[cfg(not(feature = "prevail"))]
fn prevail(_: &Question) -> Result<Other, String> {
    Err("built without it".into())
}
