//! `probity bench run [OBJECT…]`: what programs take on our engines, beside native code and other engines.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use probity_peers::{Engine, Gauge, Settings, Subject, Tools, set};
use serde_json::Value;

use crate::bench::engines::measured::{self, Remarks};
use crate::bench::engines::row::{self, Row};
use crate::bench::engines::subjects::{self, Found};
use crate::bench::engines::{goals, plot, report, table};
use crate::bench::filter::Filter;
use crate::commands::verify::Common;
use crate::{kernel, output};

/// Measure what programs take: our engines beside native code, Linux and other engines
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity bench run
  probity bench run --engine jit,scalar --filter 'sort*,prime'
  probity bench run --json > run.jsonl
  probity bench run --plot run.svg --report run.md
  probity bench run programs/bench/flow.o

Without OBJECT it is programs/bench, which is part of this command. An object's input is FILE.in beside it (a packet,
or the context of programs that see none), and zeros without one; engines that do not run it as it is take
FILE.bpf.c, where that is of the shape of programs/bench/bench.h.

Every engine gets the same input, and what it gives is compared before it is measured. Batches of all engines take
turns in one thread; a figure is the median of the batches, in CPU time. A batch is waited with, 20 ms at most, while
something else keeps the processor's core busy (another guest of the same machine does). native and scalar (without vectors and
unrolled loops) are built by clang on the spot. Linux runs it through BPF_PROG_TEST_RUN, as root, and says
how many whole nanoseconds a run took; the frame around such a run is taken off, which is what an empty program takes
there over what it takes compiled here: every engine's figure holds a call. rbpf, solana-sbpf and wasmtime are there
when this command was built with the feature `peers`.

With --json one object a line, a program and an engine, and null for what there is not:
  program engine ns compile_us ratio_native ratio_scalar
  least_ns (the fastest batch)  gross_ns (Linux, with that frame)  verify_us (ours)
  cached_us (jit's start from its cache)  operations (that a run repeats)  insns
compile_us is the engine's own, in CPU time: Linux's with its verification; clang's as the clock on the wall has it. ringbuf_2_threads is
ringbuf_64 on two threads at once, its records counted: the time in which as many come out. ringbuf_each_of_2 is the
CPU time that they cost a thread, with its waiting for the other.

Exit status 0 when everything was measured; 1 when one of our engines gave a wrong answer or failed; 2 wrong usage.")]
pub struct Args {
    /// Objects (ELF), assembly files (.s), directories [default: the programs of programs/bench]
    #[arg(value_name = "OBJECT")]
    objects: Vec<PathBuf>,
    /// Engines [default: all that are there]
    #[arg(long, short, value_delimiter = ',', value_name = "ENGINE", value_parser = engine())]
    engine: Vec<Engine>,
    /// Batches of each program on each engine
    #[arg(long, default_value_t = 15, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// How long a batch takes
    #[arg(long, default_value_t = 1.0, value_name = "MILLISECONDS")]
    batch: f64,
    /// Only programs or objects that are named so (`sort*`; `!…` leaves out)
    #[arg(long, short, value_name = "WHICH")]
    filter: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Comma-separated values with a header
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Draw ratios to scalar native code (SVG)
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Write all tables and what is reached of the goals (Markdown)
    #[arg(long, value_name = "FILE.md")]
    report: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Rounds in which two threads fill a ring buffer.
const ROUNDS: u64 = 1001;
/// As many calm ones among them are enough.
const CALM_ROUNDS: usize = 31;

fn engine() -> impl TypedValueParser<Value = Engine> {
    PossibleValuesParser::new(Engine::ALL.map(Engine::name))
        .map(|name| Engine::from_name(&name).unwrap_or(Engine::Jit))
}

pub fn run(args: Args) -> Result<ExitCode> {
    let filter = match Filter::parse(&args.filter) {
        Ok(filter) if filter.only_names() => filter,
        Ok(_) => return Ok(usage("--filter: names of programs, no columns")),
        Err(why) => return Ok(usage(&format!("--filter: {why}"))),
    };
    let batch = match Duration::try_from_secs_f64(args.batch / 1000.0) {
        Ok(batch) if !batch.is_zero() => batch,
        _ => return Ok(usage("--batch: more than 0 milliseconds")),
    };
    let settings = Settings {
        rounds: args.runs,
        batch,
    };
    let mut engines = args.engine.clone();
    if engines.is_empty() {
        engines = Engine::ALL.to_vec();
    }
    engines.sort_unstable();
    engines.dedup();
    let platform = Arc::new(kernel::platform(kernel::types(args.common.btf.as_deref())?));
    let policy = args.common.policy()?;
    let options = args.common.options(&platform)?;
    let tools = Tools::find().map_err(|why| anyhow!(why))?;
    let gauge = &tools.gauge;
    let found = subjects::find(
        &args.objects,
        &filter,
        &platform,
        &policy,
        &options,
        gauge,
        &args.common.settings,
    )?;
    let empty = empty(&platform, &policy, &options)?;
    let stop = probity_loader::stop_on_signals()?;
    let mut remarks = Remarks::default();
    let mut rows: Vec<Row> = Vec::new();
    let progress = crate::progress::Progress::new(found.len());
    for found in &found {
        progress.set_message(found.subject.name.clone());
        let more = measured::rows(
            found,
            &engines,
            Some(&empty),
            &tools,
            settings,
            &mut remarks,
        );
        rows.extend(more);
        if found.shipped && found.subject.name == "ringbuf_64" {
            rows.extend(two_threads(found, &rows, gauge, &mut remarks));
        }
        progress.inc(1);
        if stop.requested() {
            progress.suspend(|| output::warning("stopped: what follows was not measured"));
            break;
        }
    }
    progress.finish_and_clear();
    say(&remarks);
    if let Some(path) = &args.plot {
        write(path, plot::svg(&rows))?;
    }
    if let Some(path) = &args.report {
        write(path, report::markdown(&rows, gauge))?;
    }
    match (args.json, args.csv) {
        (true, _) => {
            let mut rows = rows.iter();
            rows.try_for_each(|r| output::json(&Value::Object(r.json())))?;
        }
        (_, true) => output::text(row::csv(&rows))?,
        _ => {
            output::text(table::table(&rows))?;
            output::text(table::summary(&rows))?;
        }
    }
    Ok(match remarks.ours.is_empty() && !stop.requested() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn usage(why: &str) -> ExitCode {
    output::error(&anyhow!("{why}"));
    ExitCode::from(2)
}

fn write(path: &std::path::Path, text: String) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The program that is nothing but a call.
fn empty(
    platform: &Arc<probity_platform::Platform>,
    policy: &probity_platform::Policy,
    options: &probity_verifier::Options,
) -> Result<Subject> {
    let shipped = set::ALL.iter().find(|s| s.name == "empty");
    let shipped = shipped.context("no empty program was shipped")?;
    let object = probity_objfile::open(shipped.name, shipped.object)?;
    let report = probity_verifier::verify(&object, platform, policy, options)?;
    let Ok(verified) = report.into_verified() else {
        return Err(anyhow!("the policy does not let the empty program through"));
    };
    Ok(Subject {
        name: shipped.name.into(),
        verified: Arc::new(verified),
        index: 0,
        input: shipped.input.to_vec(),
        source: None,
        setup: None,
    })
}

/// The rows of two threads that write to one ring buffer, if nothing was lost: how often a record comes out, and what
/// one costs the thread that writes it, its waiting for the other one included; medians of the calm rounds.
fn two_threads(found: &Found, rows: &[Row], gauge: &Gauge, remarks: &mut Remarks) -> Vec<Row> {
    let alone = row::of(rows, &found.subject.name, Engine::Jit);
    let Some((alone, operations)) = alone.and_then(|r| Some((r, r.operations?))) else {
        return Vec::new();
    };
    if std::thread::available_parallelism().is_ok_and(|n| n.get() < 2) {
        let why = "two processors are needed";
        remarks
            .theirs
            .push(format!("{}: {why}", goals::TWO_THREADS));
        return Vec::new();
    }
    let failed = match probity_peers::ring_by_threads(&found.subject, 2, ROUNDS, gauge) {
        Ok(measured) if measured.whole => {
            // Every round writes as many.
            let records = measured.written as f64 / measured.rounds.len().max(1) as f64;
            let calm = measured.rounds.iter().filter(|r| r.calm).count();
            let all = calm < CALM_ROUNDS;
            let row = |name: &str, of: &dyn Fn(&probity_peers::Round) -> u64| {
                let rounds = measured.rounds.iter().filter(|r| all || r.calm);
                let each = rounds.map(|r| of(r) as f64);
                let each = each.map(|ns| ns / records.max(1.0) * f64::from(operations));
                let least = each.clone().fold(f64::INFINITY, f64::min);
                Some(Row {
                    program: name.into(),
                    ns: crate::bench::median(each.collect())?,
                    least_ns: least,
                    ..alone.clone()
                })
            };
            let rows = [
                row(goals::TWO_THREADS, &|r| r.elapsed_ns),
                row(goals::EACH_OF_TWO, &|r| r.writers_ns),
            ];
            return rows.into_iter().flatten().collect();
        }
        Ok(measured) => format!(
            "{} records were written and {} read",
            measured.written, measured.read
        ),
        Err(why) => why,
    };
    remarks
        .ours
        .push(format!("{}: {failed}", goals::TWO_THREADS));
    Vec::new()
}

/// What is not in the rows, once.
fn say(remarks: &Remarks) {
    for (why, engines) in remarks.absent() {
        let names: Vec<&str> = engines.iter().map(|e| e.name()).collect();
        output::note(format_args!("not measured: {}: {why}", names.join(", ")));
    }
    for text in &remarks.theirs {
        output::warning(text);
    }
    for text in &remarks.ours {
        output::error(&anyhow!("{text}"));
    }
}
