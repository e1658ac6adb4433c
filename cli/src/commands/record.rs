//! `probity record`: what a script needs of the running kernel, kept in a file that it can be replayed over.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use probity_platform::Policy;
use probity_script::{Clock, Environment};
use probity_verifier::Verdict;

use super::attach::seconds;
use crate::tracing::gather::gather;
use crate::tracing::machine::{Machine, Tracefs};
use crate::tracing::{live, record};
use crate::{input, kernel, output, render};

/// Record what a script needs, to replay it later, anywhere and without root
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity record -s programs/scripts/files-opened.bt -d 5          into perf.data
  probity record -s programs/scripts/files-opened.bt -o opens.data -c 'ls /etc'
  probity record -e 'tracepoint:sched:sched_switch { @[kstack] = count(); }' -d 1
  probity trace --replay opens.data programs/scripts/files-opened.bt

The file holds the events of the script's probes, their stacks where the script looks at them, and the
memory it reads (what str() would have read). perf script reads it as well.
This process's own events are left out.")]
pub struct Args {
    /// The script that will be replayed
    #[arg(
        short,
        long,
        value_name = "FILE",
        required_unless_present = "expression"
    )]
    script: Option<PathBuf>,
    /// The script's text; several are one script
    #[arg(short, value_name = "TEXT", conflicts_with = "script")]
    expression: Vec<String>,
    /// Parameters of the script
    #[arg(value_name = "ARG", trailing_var_arg = true)]
    args: Vec<String>,
    /// Where the recording goes
    #[arg(short, long, value_name = "FILE", default_value = "perf.data")]
    output: PathBuf,
    /// Only events of this process
    #[arg(short, value_name = "PID")]
    pid: Option<u32>,
    /// Run this command, and end when it does
    #[arg(short, value_name = "CMD")]
    command: Option<String>,
    /// Stop after so many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Read scripts and headers that are imported from there too
    #[arg(short = 'I', value_name = "DIR")]
    include: Vec<PathBuf>,
    /// No remarks
    #[arg(short, long)]
    quiet: bool,
}

pub fn run(args: Args) -> Result<ExitCode> {
    if !kernel::may_trace() {
        bail!(
            "recording the running kernel needs root, or CAP_BPF and CAP_PERFMON; this process has neither"
        );
    }
    let (text, name) = match &args.script {
        Some(file) => (input::read_text(file)?, file.display().to_string()),
        None => (args.expression.join("\n"), "stdin".to_string()),
    };
    let files = gather(&text, &name, args.script.as_deref(), &args.include, &[]);
    let command = args
        .command
        .as_deref()
        .map(live::Stopped::start)
        .transpose()?;
    kernel::ensure_tracefs();
    let tracefs = Tracefs::new();
    let machine = Machine::default();
    let types = kernel::types(None)?;
    let mut env = Environment::new(&tracefs, &machine);
    env.types = types.clone();
    env.cpus = kernel::possible_cpus();
    env.clock = Clock::Monotonic;
    env.cpid = command.as_ref().map(live::Stopped::pid);
    env.pid_namespace = kernel::pid_namespace();
    env.record = Some(std::process::id());
    env.gate_from = Some(live::MANY_TRACEPOINTS);
    for arg in &args.args {
        env.argument(arg);
    }
    let compiled =
        probity_script::parse_files(&files).and_then(|ast| probity_script::compile(&ast, &env));
    let script = match compiled {
        Ok(script) => script,
        Err(diagnostics) => {
            output::diagnostics(&diagnostics);
            return Ok(ExitCode::FAILURE);
        }
    };
    if !args.quiet {
        for need in script.needs.iter().filter(|n| !n.kind.recordable()) {
            output::warning(format_args!("`{}` cannot be recorded", need.text));
        }
    }
    let report = probity_verifier::verify(
        &script.object,
        &kernel::platform(types),
        &Policy::default(),
        &Default::default(),
    )?;
    for p in &report.programs {
        if let Verdict::Reject(r) = &p.verdict {
            output::note(render::rejection(files.name(), &p.name, r));
        }
    }
    let Ok(verified) = report.into_verified() else {
        return Ok(ExitCode::FAILURE);
    };
    let settings = record::Settings {
        output: &args.output,
        script: text,
        duration: args.duration,
        pid: args.pid,
        quiet: args.quiet,
    };
    let totals = record::run(script, &verified, &settings, command)
        .with_context(|| format!("cannot record into {}", args.output.display()))?;
    if !args.quiet {
        let lost = match totals.lost {
            0 => String::new(),
            n => format!("; {n} were lost"),
        };
        output::note(format_args!(
            "{} events in {}{lost}",
            totals.events,
            args.output.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}
