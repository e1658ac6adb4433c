//! `probity trace`: a tracing script, in the running kernel or over a recording.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use probity_platform::Policy;
use probity_script::{Clock, Environment, NoFunctions, Output, Script};
use probity_verifier::{Report, Verdict};

use super::attach::seconds;
use super::listing;
use super::run::EngineKind;
use crate::recording::Recording;
use crate::tracing::machine::{Machine, Tracefs};
use crate::tracing::{Sink, live, replay};
use crate::{input, kernel, output, render};

/// Run a tracing script (bpftrace's language) in the kernel, or over a recording without root
#[derive(clap::Args)]
#[command(
    help_template = "{about-with-newline}\nUSAGE:\n{tab}{usage}\n\n{all-args}{after-help}",
    override_usage = "probity trace [OPTIONS] (-e TEXT | FILE) [ARG]...\n       probity trace -l [-v] [PATTERN]",
    after_help = "\
Examples:
  probity trace -e 'tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }' --duration 5
  probity trace programs/scripts/open-files.bt
  probity trace --replay programs/recordings/files.perf.data programs/scripts/open-files.bt
  probity trace -c 'ls /etc' -e 'tracepoint:syscalls:sys_enter_openat /pid == cpid/ { @ = count(); }'
  probity trace -l 'tracepoint:sched:*'      probes there are

Ctrl-C ends a script in order: its `end` probes run and its maps are printed.
Record something to replay with: perf record -a -k CLOCK_MONOTONIC -e 'sched:*' -- sleep 5"
)]
pub struct Args {
    /// The script; `-` reads standard input
    #[arg(required_unless_present_any = ["expression", "list", "info"])]
    file: Option<PathBuf>,
    /// Parameters of the script: $1, $2, …; after `--` also its options, --NAME or --NAME=VALUE
    #[arg(value_name = "ARG", trailing_var_arg = true)]
    args: Vec<String>,
    /// The script's text; several are one script
    #[arg(short, value_name = "TEXT")]
    expression: Vec<String>,
    /// Run over a recording made by perf record instead of in the kernel
    #[arg(long, value_name = "RECORDING")]
    replay: Option<PathBuf>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = FormatKind::Text)]
    format: FormatKind,
    /// Write the output there instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only events of this process
    #[arg(short, value_name = "PID")]
    pid: Option<String>,
    /// Only probes whose name fits this regular expression (and `begin` and `end`)
    #[arg(long, value_name = "REGEX")]
    probe_filter: Option<String>,
    /// Say when a key is not in a map
    #[arg(short = 'k')]
    check_helpers: bool,
    /// Run this command, and end when it does; its process id is `cpid`
    #[arg(short, value_name = "CMD", conflicts_with = "replay")]
    command: Option<String>,
    /// Stop after so many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "replay")]
    duration: Option<Duration>,
    /// Compile and verify, and go no further
    #[arg(long)]
    dry_run: bool,
    /// Write the compiled object there, and go no further
    #[arg(long = "emit", alias = "emit-elf", value_name = "FILE")]
    emit_elf: Option<PathBuf>,
    /// List the probes that match the pattern given as FILE (`*` matches anything)
    #[arg(short)]
    list: bool,
    /// With -l: the fields and arguments of each probe too
    #[arg(short)]
    verbose: bool,
    /// What this kernel offers to scripts
    #[arg(long)]
    info: bool,
    /// No warnings
    #[arg(long)]
    no_warnings: bool,
    /// Read scripts and headers that are imported from there too
    #[arg(short = 'I', value_name = "DIR")]
    include: Vec<PathBuf>,
    /// Accepted for bpftrace's sake: output is written line by line always
    #[arg(short = 'B', value_name = "MODE", hide = true)]
    buffering: Option<String>,
    /// Let system() run commands
    #[arg(long = "unsafe")]
    allow_commands: bool,
    /// No remarks
    #[arg(short, long)]
    quiet: bool,
    /// Which engine replays
    #[arg(long, value_enum, default_value_t = EngineKind::Jit, requires = "replay")]
    engine: EngineKind,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatKind {
    Text,
    Json,
}

impl Args {
    fn goes_no_further(&self) -> bool {
        self.dry_run || self.emit_elf.is_some()
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    if args.list {
        let pattern = match (&args.file, args.expression.first()) {
            (Some(file), _) => file.display().to_string(),
            (None, Some(text)) => text.clone(),
            (None, None) => "*".to_string(),
        };
        return listing::list(&pattern, args.replay.as_deref(), args.verbose);
    }
    if args.info {
        return listing::info();
    }
    if let Some(pid) = &args.pid
        && pid.parse::<u32>().is_err()
    {
        let rest = pid.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.is_empty() || rest.len() == pid.len() {
            eprintln!("ERROR: Failed to parse pid: not a number: {pid}");
        } else {
            eprintln!("ERROR: Failed to parse pid: invalid trailing bytes: {pid}");
        }
        return Ok(ExitCode::FAILURE);
    }
    let mut positional = args.args.clone();
    let (text, name) = match (&args.expression[..], &args.file) {
        ([_, ..], file) => {
            positional.splice(0..0, file.iter().map(|f| f.display().to_string()));
            (args.expression.join("\n"), "stdin".to_string())
        }
        ([], Some(file)) if file.as_os_str() == "-" => (
            std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?,
            "stdin".to_string(),
        ),
        ([], Some(file)) => (input::read_text(file)?, file.display().to_string()),
        ([], None) => bail!("no script"),
    };
    let script = imported(&text, &name, &args)?;
    let out: Box<dyn std::io::Write> = match &args.output {
        Some(path) => Box::new(
            std::fs::File::create(path)
                .with_context(|| format!("cannot write {}", path.display()))?,
        ),
        None => Box::new(output::stdout()),
    };
    let mut sink = Sink {
        out,
        allow_commands: args.allow_commands,
        quiet: args.quiet,
        json: args.format == FormatKind::Json,
        live: args.replay.is_none(),
    };
    let status = match &args.replay {
        Some(path) => {
            let recording = Recording::open(path)?;
            let formats = replay::formats(&recording);
            let mut env = Environment::new(&formats, &NoFunctions);
            env.clock = Clock::Monotonic;
            env.cpus = recording.cpus;
            let Some((script, report)) =
                prepare(&script, env, positional, &args, kernel::platform(None))?
            else {
                if !args.quiet && probity_script::parse_files(&script).is_ok() {
                    output::note(holds(&recording));
                }
                return Ok(ExitCode::FAILURE);
            };
            if args.goes_no_further() {
                return Ok(ExitCode::SUCCESS);
            }
            let Ok(verified) = report.into_verified() else {
                return Ok(ExitCode::FAILURE);
            };
            replay::run(script, verified, recording, args.engine, &mut sink)?
        }
        None => {
            if !args.goes_no_further() && !kernel::may_trace() {
                bail!("{}", no_privilege(&args));
            }
            let command = args
                .command
                .as_deref()
                .filter(|_| !args.goes_no_further())
                .map(live::Stopped::start)
                .transpose()?;
            kernel::ensure_tracefs();
            let tracefs = Tracefs::new();
            let types = kernel::types(None)?;
            let mut env = Environment::new(&tracefs, &Machine);
            env.types = types.clone();
            env.cpus = kernel::possible_cpus();
            env.cpid = command.as_ref().map(live::Stopped::pid);
            let Some((script, report)) =
                prepare(&script, env, positional, &args, kernel::platform(types))?
            else {
                return Ok(ExitCode::FAILURE);
            };
            if args.goes_no_further() {
                return Ok(ExitCode::SUCCESS);
            }
            let Ok(verified) = report.into_verified() else {
                return Ok(ExitCode::FAILURE);
            };
            live::run(script, &verified, &mut sink, args.duration, command)?
        }
    };
    Ok(ExitCode::from(status.clamp(0, 255) as u8))
}

/// Compiles and verifies; `None` when that was answered with diagnostics.
fn prepare(
    text: &probity_script::Files,
    mut env: Environment<'_>,
    positional: Vec<String>,
    args: &Args,
    platform: Arc<probity_platform::Platform>,
) -> Result<Option<(Script, Report)>> {
    // What looks like an option is one: the script's own.
    for arg in positional {
        match arg.strip_prefix("--") {
            Some(option) if !option.is_empty() => env.named.push(match option.split_once('=') {
                Some((name, value)) => (name.to_string(), Some(value.to_string())),
                None => (option.to_string(), None),
            }),
            _ => env.positional.push(arg),
        }
    }
    env.pid_filter = args.pid.as_ref().and_then(|p| p.parse().ok());
    env.allow_unsafe = args.allow_commands;
    env.check_helpers = args.check_helpers;
    env.config = std::env::vars()
        .filter(|(k, _)| probity_script::is_config_variable(k))
        .collect();
    let filter = args
        .probe_filter
        .as_deref()
        .map(crate::tracing::filter::Filter::parse)
        .transpose()?;
    if let Some(filter) = filter {
        env.wanted = Some(Arc::new(move |name: &str| filter.matches(name)));
    }
    let name = text.name();
    let compiled =
        probity_script::parse_files(text).and_then(|ast| probity_script::compile(&ast, &env));
    let mut script = match compiled {
        Ok(script) => script,
        Err(diagnostics) => {
            output::diagnostics(&diagnostics);
            return Ok(None);
        }
    };
    if !args.quiet && !args.no_warnings && !script.warnings.list.is_empty() {
        output::diagnostics(&script.warnings);
    }
    if args.format == FormatKind::Json {
        script.printer.set_output(Output::Json);
    }
    if let Some(path) = &args.emit_elf {
        let bytes = probity_objfile::write(&script.object)?;
        std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let report = probity_verifier::verify(
        &script.object,
        &platform,
        &Policy::default(),
        &Default::default(),
    )?;
    let mut accepted = true;
    for p in &report.programs {
        if let Verdict::Reject(r) = &p.verdict {
            accepted = false;
            output::note(render::rejection(name, &p.name, r));
        }
    }
    Ok(accepted.then_some((script, report)))
}

/// What a recording can feed: the answer to a probe that it cannot.
fn holds(recording: &Recording) -> String {
    let mut names: Vec<String> = recording
        .events
        .iter()
        .map(|e| format!("{}:{}", e.category, e.name))
        .collect();
    names.sort();
    let more = names.len().saturating_sub(12);
    names.truncate(12);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more (-l lists them)"),
    };
    format!(
        "the recording holds the tracepoints {}{more}",
        names.join(", ")
    )
}

fn no_privilege(args: &Args) -> String {
    let script = match (args.expression.first(), &args.file) {
        (Some(text), _) => format!("-e '{text}'"),
        (None, Some(file)) => file.display().to_string(),
        (None, None) => "SCRIPT".into(),
    };
    format!(
        "tracing the running kernel needs root, or CAP_BPF and CAP_PERFMON; this process has neither\n  \
         as root:       sudo probity trace {script}\n  \
         without root:  probity trace --replay RECORDING {script}\n                 \
         (recordings come from perf record; programs/recordings/ has some)"
    )
}

/// The script with everything that it imports.
fn imported(text: &str, name: &str, args: &Args) -> Result<probity_script::Files> {
    let beside = args.file.as_deref().and_then(|f| f.parent());
    let places: Vec<&std::path::Path> = beside
        .into_iter()
        .chain(args.include.iter().map(PathBuf::as_path))
        .collect();
    let find = |wanted: &str| {
        let found = if wanted.starts_with('/') {
            Some(PathBuf::from(wanted)).filter(|p| p.is_file())
        } else {
            places.iter().map(|p| p.join(wanted)).find(|p| p.is_file())
        };
        let path = found?;
        let text = input::read_text(&path).ok()?;
        Some((path.display().to_string(), text))
    };
    Ok(probity_script::Files::gather(text, name, &find))
}
