//! `probity trace`: a tracing script, in the running kernel or over a recording.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use probity_platform::Policy;
use probity_script::{
    Clock, Environment, NoFunctions, Output, Script, TracepointFormats, compile_text,
};
use probity_verifier::{Report, Verdict};

use super::attach::seconds;
use super::run::EngineKind;
use crate::recording::Recording;
use crate::tracing::machine::{Machine, Tracefs};
use crate::tracing::{Sink, live, replay};
use crate::{input, kernel, output, render};

/// Run a tracing script (bpftrace's language) in the kernel, or over a recording without root
#[derive(clap::Args)]
#[command(
    override_usage = "probity trace [OPTIONS] (-e TEXT | FILE) [ARG]...\n       probity trace -l [PATTERN]",
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
    #[arg(required_unless_present_any = ["expression", "list"])]
    file: Option<PathBuf>,
    /// Positional parameters of the script: $1, $2, …
    #[arg(value_name = "ARG", trailing_var_arg = true)]
    args: Vec<String>,
    /// The script's text
    #[arg(short, value_name = "TEXT")]
    expression: Option<String>,
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
    pid: Option<u32>,
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
    #[arg(long, value_name = "FILE")]
    emit_elf: Option<PathBuf>,
    /// List the probes that match (`*` matches anything)
    #[arg(short, value_name = "PATTERN", num_args = 0..=1, default_missing_value = "*")]
    list: Option<String>,
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
    if let Some(pattern) = &args.list {
        return list(pattern, args.replay.as_deref());
    }
    let mut positional = args.args.clone();
    let (text, name) = match (&args.expression, &args.file) {
        (Some(text), file) => {
            positional.splice(0..0, file.iter().map(|f| f.display().to_string()));
            (text.clone(), "stdin".to_string())
        }
        (None, Some(file)) if file.as_os_str() == "-" => (
            std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?,
            "stdin".to_string(),
        ),
        (None, Some(file)) => (input::read_text(file)?, file.display().to_string()),
        (None, None) => bail!("no script"),
    };
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
    };
    let status = match &args.replay {
        Some(path) => {
            let recording = Recording::open(path)?;
            let formats = replay::formats(&recording);
            let mut env = Environment::new(&formats, &NoFunctions);
            env.clock = Clock::Monotonic;
            env.cpus = recording.cpus;
            let Some((script, report)) =
                prepare(&text, &name, env, positional, &args, kernel::platform(None))?
            else {
                if !args.quiet && probity_script::parse(&text, &name).is_ok() {
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
            let Some((script, report)) = prepare(
                &text,
                &name,
                env,
                positional,
                &args,
                kernel::platform(types),
            )?
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
    text: &str,
    name: &str,
    mut env: Environment<'_>,
    positional: Vec<String>,
    args: &Args,
    platform: Arc<probity_platform::Platform>,
) -> Result<Option<(Script, Report)>> {
    env.positional = positional;
    env.pid_filter = args.pid;
    let mut script = match compile_text(text, name, &env) {
        Ok(script) => script,
        Err(diagnostics) => {
            output::diagnostics(&diagnostics);
            return Ok(None);
        }
    };
    if !args.quiet && !script.warnings.list.is_empty() {
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
    let script = match (&args.expression, &args.file) {
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

fn list(pattern: &str, recording: Option<&std::path::Path>) -> Result<ExitCode> {
    let mut names = Vec::new();
    match recording {
        Some(path) => {
            let recording = Recording::open(path)?;
            names.extend(
                recording
                    .events
                    .iter()
                    .map(|e| format!("tracepoint:{}:{}", e.category, e.name)),
            );
        }
        None => {
            kernel::ensure_tracefs();
            let tracefs = Tracefs::new();
            if !tracefs.readable() && pattern.starts_with("tracepoint") {
                bail!("tracepoints can be listed by root only (tracefs is not readable)");
            }
            names.extend(
                tracefs
                    .names()
                    .into_iter()
                    .map(|(c, n)| format!("tracepoint:{c}:{n}")),
            );
            names.extend(
                probity_script::Functions::raw_tracepoints(&Machine)
                    .into_iter()
                    .map(|n| format!("rawtracepoint:{n}")),
            );
            names.extend(
                probity_script::Functions::kernel(&Machine)
                    .into_iter()
                    .map(|n| format!("kprobe:{n}")),
            );
            if let Some((path, _)) = pattern
                .strip_prefix("uprobe:")
                .and_then(|p| p.rsplit_once(':'))
                && let Some(path) = probity_script::Functions::resolve(&Machine, path)
            {
                let functions = probity_script::Functions::user(&Machine, &path);
                names.extend(functions.into_iter().map(|n| format!("uprobe:{path}:{n}")));
            }
        }
    }
    // A pattern without a kind is one for names.
    let pattern = if pattern.contains(':') || pattern.contains('*') {
        pattern.to_string()
    } else {
        format!("*{pattern}*")
    };
    let mut found = 0;
    for name in names.iter().filter(|n| matches(&pattern, n)) {
        output::line(name)?;
        found += 1;
    }
    if found == 0 {
        bail!("no probe matches `{pattern}`");
    }
    Ok(ExitCode::SUCCESS)
}

/// `*` matches any run of characters. Linear in pattern times text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(previous) = last.replace(part) {
            match rest.find(previous) {
                Some(at) => rest = &rest[at + previous.len()..],
                None => return false,
            }
        }
    }
    match last {
        Some(end) => rest.ends_with(end),
        None => rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("*", "anything", true),
            ("tracepoint:sched:*", "tracepoint:sched:sched_switch", true),
            ("tracepoint:sched:*", "tracepoint:irq:x", false),
            ("*open*", "kprobe:do_sys_openat2", true),
            ("a*b*c", "aXXbYYc", true),
            ("a*b*c", "aXXbYY", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
