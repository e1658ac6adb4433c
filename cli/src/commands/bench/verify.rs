//! `probity bench verify OBJECT…`: what verification takes, program by program, beside other verifiers.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use probity_peers::{Gauge, Patience, Settled};
use probity_platform::{NEWEST, Platform};
use probity_verifier::Prepared;
use serde_json::Value;

use crate::bench::filter::Filter;
use crate::bench::others::{Asked, Question};
use crate::bench::row::{Engine, Other, Row};
use crate::bench::{
    ENOUGH, TURNS, compare, complete, csv, micros, order, ours, plot, report, table,
};
use crate::commands::verify::{Common, json_row};
use crate::{input, kernel, output};

/// Measure what verification takes: time, instructions visited, states, memory
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity bench verify programs/*/*.o
  probity bench verify --against linux --sort linux_time_ratio programs
  probity bench verify --filter 'processed>1000,verdict=accept' --filter 'xdp_*' programs
  probity bench verify --csv programs > before.csv
  probity bench verify --compare before.csv programs
  probity bench verify --against linux,prevail --plot time.svg programs
  probity bench verify --against linux --report figures.md programs
  probity bench verify --sort time:desc before.csv

A row a program. A time is the median of the runs, or of those in which a shared machine was calm; from instructions
to verdict: reading and relocating the object are not in it, neither is Linux's compiler (but where a time is
marked *). Ours is one thread. Linux and ours take three turns with each program.
Memory is what is held at most, over what was held before; of Linux from 6.17 on, in a
memory cgroup.
A ratio is theirs over ours: 10 says that ours takes a tenth. Their geometric means are over the programs that both
accept, and over those of them of which Linux processes 1,000 instructions or more.

Columns, for --sort, --filter and --csv:
  object program section prog_type verdict insns processed states peak_states stack_depth
  worst_case_insns memory_bytes time_us throughput, and for linux and prevail each
  linux_verdict linux_time_us linux_processed linux_states linux_memory_bytes linux_compiled
  linux_time_ratio linux_processed_ratio linux_states_ratio linux_memory_ratio
With --json one object a line with the keys of `verify --json`, memory_bytes, and linux and prevail, each null or
{verdict time_us processed states memory_bytes}, where null is what there is not.

Exit status 0 when everything was measured, whatever the verdicts; 1 when a file could not be, or when a verdict is
not what it was in the run compared with; 2 wrong usage.")]
pub struct Args {
    /// Objects (ELF), assembly files (.s), directories, or a run kept with --csv (.csv), which is shown again
    #[arg(required = true, value_name = "OBJECT")]
    objects: Vec<PathBuf>,
    /// Other verifiers to ask as well
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ENGINE")]
    against: Vec<Engine>,
    /// Runs a program; fewer once they took a second (PREVAIL: a tenth)
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// How long another verifier may take for one program, all runs together
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = seconds)]
    limit: Duration,
    /// Order of the rows, by one column after the other [default: as found]
    #[arg(long, value_delimiter = ',', value_name = "KEY[:asc|desc]", value_parser = order::parse)]
    sort: Vec<order::Key>,
    /// Only rows whose columns compare so (`processed>1000`), and whose program, object or both are named so (`xdp_*`,
    /// `a.o/*`; `!…` leaves out); may be given more than once
    #[arg(long, short, value_name = "WHICH")]
    filter: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Comma-separated values with a header
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// What differs from a run that --csv kept, instead of the rows; verdicts first
    #[arg(long, value_name = "OLD.csv")]
    compare: Option<PathBuf>,
    /// Draw time against size for all engines (SVG)
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Write how the ratios are distributed, by size and by path named here (Markdown)
    #[arg(long, value_name = "FILE.md")]
    report: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "a number of seconds".to_string())?;
    match Duration::try_from_secs_f64(number) {
        Ok(limit) if !limit.is_zero() => Ok(limit),
        _ => Err("more than 0 seconds".into()),
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    let filter = match Filter::parse(&args.filter) {
        Ok(filter) => filter,
        Err(why) => {
            output::error(&anyhow!("--filter: {why}"));
            return Ok(ExitCode::from(2));
        }
    };
    let old = args.compare.as_deref().map(kept).transpose()?;
    let (kept_runs, objects): (Vec<PathBuf>, Vec<PathBuf>) =
        args.objects.iter().cloned().partition(|p| csv::is_run(p));
    let mut bench = Bench {
        rows: Vec::new(),
        against: args.against.clone(),
        whole: true,
    };
    bench.against.sort_unstable();
    bench.against.dedup();
    for path in &kept_runs {
        let (rows, against) = kept(path)?;
        bench.rows.extend(rows);
        bench.against.extend(against);
    }
    if !objects.is_empty() {
        bench.measure(&args, &objects, &filter)?;
    }
    bench.against.sort_unstable();
    bench.against.dedup();
    bench
        .rows
        .retain(|r| filter.names(&r.object, &r.program) && filter.row(r));
    order::sort(&mut bench.rows, &args.sort);
    if let Some(path) = &args.plot {
        let drawing = plot::svg(&bench.rows, &bench.against);
        std::fs::write(path, drawing)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &args.report {
        let text = report::markdown(&bench.rows, &bench.against, &objects);
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut good = bench.whole;
    match old {
        Some((mut old, _)) => {
            old.retain(|r| filter.names(&r.object, &r.program));
            let found = compare::compare(&old, &bench.rows);
            good &= !found.verdicts_changed();
            match (args.json, args.csv) {
                (true, _) => found
                    .changes
                    .iter()
                    .try_for_each(|c| output::json(&c.json()))?,
                (_, true) => output::text(found.csv())?,
                _ => output::text(found.text())?,
            }
        }
        None => bench.print(&args)?,
    }
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn kept(path: &Path) -> Result<(Vec<Row>, Vec<Engine>)> {
    csv::read(&input::read_text(path)?)
        .map_err(|why| anyhow!("{} is no kept run: {why}", path.display()))
}

struct Bench {
    rows: Vec<Row>,
    against: Vec<Engine>,
    /// Every file was measured.
    whole: bool,
}

/// What every program is measured with.
struct Settings<'a> {
    args: &'a Args,
    platform: Arc<Platform>,
    policy: probity_platform::Policy,
    options: probity_verifier::Options,
    stop: probity_loader::Stop,
    gauge: Gauge,
}

impl Bench {
    fn measure(&mut self, args: &Args, objects: &[PathBuf], filter: &Filter) -> Result<()> {
        let files = input::objects(objects)?;
        let mut asked = Vec::new();
        for &engine in &self.against {
            asked.push((engine, Asked::new(engine, args.limit)?));
        }
        let types = kernel::types(args.common.btf.as_deref())?;
        let mut platform = Platform::linux(NEWEST, types);
        platform.injectable = kernel::injectable(None, args.common.btf.is_none())?;
        // What Linux knows of the machine it runs on, ours then knows too.
        if self.against.contains(&Engine::Linux) {
            platform = platform.with_cpus(kernel::possible_cpus());
        }
        let settings = Settings {
            policy: args.common.policy()?,
            options: args.common.options(&platform)?,
            platform: Arc::new(platform),
            stop: probity_loader::stop_on_signals()?,
            gauge: Gauge::new(Patience::SHORT),
            args,
        };
        let progress = crate::progress::Progress::new(files.len());
        for path in &files {
            let mut say = |text: String| progress.set_message(text);
            if let Err(error) = self.object(path, &settings, filter, &mut asked, &mut say) {
                self.whole = false;
                progress.suspend(|| output::error(&error));
            }
            progress.inc(1);
            if settings.stop.requested() {
                self.whole = false;
                progress.suspend(|| output::warning("stopped: what follows was not measured"));
                break;
            }
        }
        progress.finish_and_clear();
        Ok(())
    }

    fn object(
        &mut self,
        path: &Path,
        settings: &Settings<'_>,
        filter: &Filter,
        asked: &mut [(Engine, Asked)],
        say: &mut dyn FnMut(String),
    ) -> Result<()> {
        let shown = path.display().to_string();
        let mut object = input::object(path, &settings.platform)?;
        settings.args.common.settings.apply(&mut object)?;
        complete(&mut object, settings.options.prog_type);
        let wanted: Vec<usize> = (0..object.programs.len())
            .filter(|&i| filter.names(&shown, &object.programs[i].name))
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let prepared = Prepared::new(
            &object,
            &settings.platform,
            &settings.policy,
            &settings.options,
        )
        .with_context(|| format!("in {shown}"))?;
        let runs = settings.args.runs as usize;
        let turns = match asked.iter().any(|(e, _)| *e == Engine::Linux) {
            true => TURNS.min(runs),
            false => 1,
        };
        // What a turn may take. Linux visits some programs for seconds: there is one turn of those.
        let (runs_of_turn, enough) = (runs.div_ceil(turns), ENOUGH / turns as u32);
        for index in wanted {
            if settings.stop.requested() {
                break;
            }
            say(format!("{shown}: {}", object.programs[index].name));
            let question = |runs| Question {
                path: path.to_path_buf(),
                index,
                runs,
                prog_type: settings.options.prog_type.map(|t| t.0),
                settings: settings.args.common.settings.clone(),
            };
            let Some(measured) =
                ours::measure(&prepared, index, runs_of_turn, enough, &settings.gauge)
            else {
                continue;
            };
            let mut row = row(path, &measured);
            let mut times = measured.times;
            for (engine, asked) in &mut *asked {
                say(format!("{shown}: {} ({})", row.program, engine.title()));
                match engine {
                    Engine::Linux => {
                        let mut others = vec![asked.ask(&question(runs_of_turn))];
                        while others.len() < turns && others[0].takes_at_most(enough) {
                            times.extend(ours::times(
                                &prepared,
                                index,
                                runs_of_turn,
                                enough,
                                &settings.gauge,
                            ));
                            others.push(asked.ask(&question(runs_of_turn)));
                        }
                        row.linux = Other::of_turns(others);
                    }
                    Engine::Prevail => row.prevail = Some(asked.ask(&question(runs))),
                }
            }
            row.time_us = Settled::of(&times).map_or(0.0, |s| micros(s.median));
            self.rows.push(row);
        }
        Ok(())
    }

    fn print(&self, args: &Args) -> Result<()> {
        if args.json {
            return self
                .rows
                .iter()
                .try_for_each(|r| output::json(&r.json(&self.against)));
        }
        if args.csv {
            output::text(csv::write(&self.rows, &self.against))?;
            return Ok(());
        }
        output::text(table::table(&self.rows, &self.against))?;
        output::text(table::summary(&self.rows, &self.against))?;
        Ok(())
    }
}

fn row(path: &Path, measured: &ours::Measured) -> Row {
    let p = &measured.report;
    let more = match json_row(path, p) {
        Value::Object(more) => more,
        _ => serde_json::Map::new(),
    };
    Row {
        object: path.display().to_string(),
        program: p.name.clone(),
        section: p.section.clone(),
        prog_type: p.prog_type.clone(),
        verdict: p.verdict.name().to_string(),
        insns: p.insns as u64,
        processed: p.stats.processed as u64,
        states: p.stats.states as u64,
        peak_states: p.stats.peak_states as u64,
        stack_depth: p.stats.stack_depth as u64,
        worst_case_insns: p.stats.worst_case_insns,
        memory_bytes: Some(measured.memory_bytes),
        more,
        ..Row::default()
    }
}
