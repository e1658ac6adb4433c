//! `probity trace`: a tracing script, in the running kernel or over a recording.

mod args;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use probity_platform::Policy;
use probity_script::{
    Clock, Environment, LaterTypes, NoFunctions, Output, ProbeKind, Script, Sharing, UserTarget,
};
use probity_verifier::{Report, Verdict};

use super::listing;
pub use args::Args;
use args::FormatKind;

use crate::recording::Recording;
use crate::tracing::gather::gather;
use crate::tracing::machine::{Machine, Tracefs};
use crate::tracing::{Captures, Sink, ahead, bpftrace, container, live, replay, test};
use crate::{input, kernel, output, render};

pub fn run(mut args: Args) -> Result<ExitCode> {
    match args.mode {
        Some(bpftrace::Mode::Test) => args.test = true,
        Some(bpftrace::Mode::Bench) => args.bench = true,
        Some(bpftrace::Mode::Format) => args.fmt = true,
        Some(bpftrace::Mode::Codegen) => args.dry_run = true,
        None => {}
    }
    if args.emit_llvm.is_some() || args.verify_llvm_ir {
        bail!(
            "scripts are not compiled by LLVM here; --emit FILE.o writes the object, and `probity dump FILE.bt --stage …` prints each stage"
        );
    }
    if args.list {
        let pattern = match (&args.file, args.expression.first()) {
            (Some(file), _) => file.display().to_string(),
            (None, Some(text)) => text.clone(),
            (None, None) => "*".to_string(),
        };
        let machine = machine(&args)?;
        return listing::list(&pattern, &machine, args.replay.as_deref(), args.verbose);
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
    let script = gather(
        &text,
        &name,
        args.file.as_deref(),
        &args.include,
        &args.headers,
    );
    let missing = |h: &&String| !script.has(h) && !probity_script::of_the_system(h);
    if let Some(header) = args.headers.iter().find(missing) {
        bail!("--include: '{header}' file not found beside the script or where -I says");
    }
    if args.fmt {
        return laid_out(&text, &name, args.output.as_deref());
    }
    if args.test || args.bench {
        return by_hand(&script, positional, &args);
    }
    if let Some(path) = &args.aot {
        ahead::write(path, &script, &args.flags())?;
    }
    let out: Box<dyn std::io::Write> = match &args.output {
        Some(path) => Box::new(
            std::fs::File::create(path)
                .with_context(|| format!("cannot write {}", path.display()))?,
        ),
        None => Box::new(output::stdout()),
    };
    let mut sink = Sink {
        out,
        pending: Vec::new(),
        allow_commands: args.allow_commands,
        quiet: args.quiet,
        json: args.format == FormatKind::Json,
        live: args.replay.is_none(),
        unwatched: Vec::new(),
        captures: Captures::default(),
    };
    let status = match &args.replay {
        Some(path) => {
            let recording = Recording::open(path)?;
            let formats = replay::formats(&recording);
            let mut env = Environment::new(&formats, &NoFunctions);
            env.clock = Clock::Monotonic;
            // Named before the run as something that no recording has.
            env.pid_namespace = Some((0, 0));
            env.cpus = recording.cpus;
            env.recorded = true;
            // Where the script followed the kernel's structures, their types are those of the same kernel.
            let running = kernel::release();
            let types = match &recording.made_for {
                Some(_) if recording.release == running => kernel::types(None)?,
                _ => None,
            };
            env.types = types.clone();
            let Some((script, report)) = prepare(
                &script,
                env,
                positional,
                &args,
                Some(kernel::platform(types)),
            )?
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
            let machine = machine(&args)?;
            let mut env = Environment::new(&tracefs, &machine);
            let modules = probity_script::typed_modules(&script);
            if let [first, second, ..] = &modules[..] {
                bail!(
                    "a script can probe the functions of one module by their types, not of {first} and {second}; `kprobe` takes any"
                );
            }
            let module = modules.first().cloned();
            env.later_types = Some(LaterTypes::new(move || {
                kernel::types_with(module.as_deref()).unwrap_or_else(|error| {
                    output::warning(format_args!("{error:#}"));
                    None
                })
            }));
            env.cpus = kernel::possible_cpus();
            if !args.goes_no_further() {
                env.timed_draining = true;
                env.gate_from = Some(live::MANY_TRACEPOINTS);
                let multi = probity_loader::Multi::here();
                let without = |feature| args.no_feature.contains(&feature);
                env.sharing = Sharing {
                    programs: true,
                    kernel_multi: multi.kernel && !without(bpftrace::Feature::KprobeMulti),
                    user_multi: multi.user && !without(bpftrace::Feature::UprobeMulti),
                };
            }
            env.cgroup_filter = args.cgroup.as_deref().map(container::cgroup).transpose()?;
            env.namespace_filter = args
                .pidns
                .as_deref()
                .map(container::namespace)
                .transpose()?;
            env.cpid = command.as_ref().map(live::Stopped::pid);
            env.program = command
                .as_ref()
                .and_then(|c| c.program().map(str::to_owned));
            env.live = true;
            env.pid_namespace = kernel::pid_namespace();
            let Some((script, report)) = prepare(&script, env, positional, &args, None)? else {
                return Ok(ExitCode::FAILURE);
            };
            if args.goes_no_further() {
                return Ok(ExitCode::SUCCESS);
            }
            let Ok(verified) = report.into_verified() else {
                return Ok(ExitCode::FAILURE);
            };
            {
                let pid = args.pid.as_ref().and_then(|p| p.parse().ok());
                let unwound = args.dwarf_pid.iter().copied().chain(pid).collect();
                live::run(
                    script,
                    &verified,
                    &mut sink,
                    args.duration,
                    command,
                    (pid, unwound),
                    args.stats,
                )?
            }
        }
    };
    Ok(ExitCode::from(status.clamp(0, 255) as u8))
}

/// Prints a script laid out anew, or writes it to a file.
fn laid_out(text: &str, name: &str, to: Option<&std::path::Path>) -> Result<ExitCode> {
    let read = |text: &str| {
        probity_script::parse(text, name)
            .inspect_err(output::diagnostics)
            .ok()
    };
    let Some(before) = read(text) else {
        return Ok(ExitCode::FAILURE);
    };
    let anew = probity_script::layout(text);
    // What it means must not depend on how it is laid out.
    let after = probity_script::parse(&anew, name).ok();
    if after.is_none_or(|a| a.to_string() != before.to_string()) {
        bail!("{name} cannot be laid out without changing what it says");
    }
    match to {
        Some(path) => std::fs::write(path, anew)
            .with_context(|| format!("cannot write {}", path.display()))?,
        None => output::text(anew)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// This machine, with what the options say of it.
fn machine(args: &Args) -> Result<Machine> {
    let traceable = args.traceable_functions.as_deref();
    let traceable = traceable.map(input::read_text).transpose()?;
    let dirs = args.debuginfo.iter().flat_map(std::env::split_paths);
    Ok(Machine {
        traceable: traceable.map(|text| Machine::functions_listed(&text)),
        debug_dirs: dirs.collect(),
    })
}

/// Runs the script's tests or measurements, and says what came of them.
fn by_hand(
    files: &probity_script::Files,
    positional: Vec<String>,
    args: &Args,
) -> Result<ExitCode> {
    let kind = if args.test { "test" } else { "bench" };
    let tracefs = Tracefs::new();
    let types = kernel::types(None)?;
    let machine = machine(args)?;
    let mut env = Environment::new(&tracefs, &machine);
    env.types = types.clone();
    env.cpus = kernel::possible_cpus();
    env.by_hand_only = true;
    env.pid_namespace = kernel::pid_namespace();
    let cpus = env.cpus;
    let Some((mut script, report)) =
        prepare(files, env, positional, args, Some(kernel::platform(types)))?
    else {
        return Ok(ExitCode::FAILURE);
    };
    let Ok(verified) = report.into_verified() else {
        return Ok(ExitCode::FAILURE);
    };
    let json = args.format == FormatKind::Json;
    if args.bench {
        let measured = test::benches(&mut script, verified, cpus, args.engine)?;
        for m in &measured {
            if json {
                output::json(m)?;
            } else {
                output::line(format_args!("{:<32} {:>12.1} ns", m.name, m.nanoseconds))?;
            }
        }
        if measured.is_empty() {
            bail!("the script has no `{kind}:` probe");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let tested = test::tests(&mut script, verified, cpus, args.engine)?;
    for t in &tested {
        if json {
            output::json(t)?;
            continue;
        }
        let verdict = if t.passed { "ok" } else { "FAILED" };
        output::line(format_args!("test {} ... {verdict}", t.name))?;
        if !t.passed {
            output::text(format_args!("{}", t.output))?;
            if t.status != 0 {
                output::line(format_args!("it ended with status {}", t.status))?;
            }
        }
    }
    if tested.is_empty() {
        bail!("the script has no `{kind}:` probe");
    }
    let failed = tested.iter().filter(|t| !t.passed).count();
    if !json && !args.quiet {
        output::note(format_args!(
            "{} passed, {failed} failed",
            tested.len() - failed
        ));
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Compiles and verifies; `None` when that was answered with diagnostics.
fn prepare(
    text: &probity_script::Files,
    mut env: Environment<'_>,
    positional: Vec<String>,
    args: &Args,
    platform: Option<Arc<probity_platform::Platform>>,
) -> Result<Option<(Script, Report)>> {
    for arg in &positional {
        env.argument(arg);
    }
    env.pid_filter = args.pid.as_ref().and_then(|p| p.parse().ok());
    env.allow_unsafe = args.allow_commands;
    env.check_helpers = args.check_helpers > 0;
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
        place_addresses(&mut script)?;
        let bytes = probity_objfile::write(&script.object)?;
        std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let verify = |platform: &Arc<probity_platform::Platform>| {
        let (policy, options) = (Policy::default(), Default::default());
        probity_verifier::verify(&script.object, platform, &policy, &options)
    };
    let report = match platform {
        Some(platform) => verify(&platform)?,
        None => {
            // What was compiled without the kernel's types is proved without them, if it can be.
            let later = env.later_types.as_ref();
            let untyped = match later.is_some_and(|l| !l.were_needed()) {
                true => Some(verify(&kernel::platform(None))?),
                false => None,
            };
            let rejected =
                |p: &probity_verifier::ProgramReport| matches!(p.verdict, Verdict::Reject(_));
            match untyped {
                Some(report) if !report.programs.iter().any(rejected) => report,
                _ => verify(&kernel::platform(env.types().cloned()))?,
            }
        }
    };
    let mut accepted = true;
    for p in &report.programs {
        if let Verdict::Reject(r) = &p.verdict {
            accepted = false;
            output::note(render::rejection(name, &p.name, r));
        }
    }
    Ok(accepted.then_some((script, report)))
}

/// Sections name places in files; scripts name addresses of programs.
fn place_addresses(script: &mut Script) -> Result<()> {
    for probe in &script.probes {
        let ProbeKind::Uprobe {
            path,
            target: UserTarget::Address(address),
            ret,
            ..
        } = &probe.kind
        else {
            continue;
        };
        let at = probity_loader::file_offset(std::path::Path::new(path), *address)
            .with_context(|| format!("{path} has nothing at address {address:#x}"))?;
        let kind = if *ret { "uretprobe" } else { "uprobe" };
        let programs = script.object.programs.iter_mut();
        for program in programs.filter(|p| p.name == probe.program) {
            program.hook = probity_objfile::Hook::parse(&format!("{kind}/{path}:{at:#x}"));
        }
    }
    Ok(())
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
