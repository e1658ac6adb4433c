//! `probity attach OBJECT`: its programs in the running kernel until interrupted, its records printed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use probity_loader::{Attach, MapHandle, Records, Session, stop_on_signals};
use probity_objfile::{AttachType, Object, ProgType, Target};
use probity_platform::Platform;
use probity_script::Functions;
use probity_verifier::{Verdict, Verified};
use serde_json::json;

use super::verify;
use crate::tracing::machine::Machine;
use crate::tracing::{live, many};
use crate::{input, kernel, output, value};

const ITERATOR: AttachType = AttachType(28);

/// Verify an object, load it into the running kernel and attach its programs until interrupted
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity attach programs/exec-snoop/exec-snoop.o            records as they come; Ctrl-C ends
  probity attach programs/syscall-count/syscall-count.o --duration 5 --json
  probity attach programs/exec-snoop/exec-snoop.o --set min_uid=1000
  probity attach programs/xdp-firewall/xdp-firewall.o --interface lo --duration 10
  probity attach programs/cgroup-meter/cgroup-meter.o --cgroup /sys/fs/cgroup/app

Programs attach where their sections say. At the end the maps are printed. With --json:
one object a line, {\"type\":\"record\",…} and at the end {\"type\":\"map\",…} for each map.")]
pub struct Args {
    /// The object, or an assembly file
    object: PathBuf,
    /// Only this program
    #[arg(short, long, value_name = "NAME")]
    program: Option<String>,
    /// Network interface, for XDP, traffic control and socket programs
    #[arg(short, long, value_name = "NAME", conflicts_with = "cgroup")]
    interface: Option<String>,
    /// Directory of a control group, for cgroup programs
    #[arg(long, value_name = "DIR")]
    cgroup: Option<String>,
    /// Stop after so many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Decode records as this structure of the object's types
    #[arg(long, value_name = "STRUCT")]
    record_type: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: verify::Common,
}

/// Seconds, fractions too.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .trim_end_matches('s')
        .parse()
        .map_err(|_| "not a number of seconds".to_string())?;
    Duration::try_from_secs_f64(number).map_err(|_| "not a length of time".to_string())
}

pub fn run(args: Args) -> Result<ExitCode> {
    let mut platform = kernel::platform(kernel::types(args.common.btf.as_deref())?);
    if args.common.btf.is_none()
        && let Some(module) = module_of(&args.object, &platform)?
    {
        platform = kernel::platform(kernel::types_with(Some(&module))?);
    }
    let policy = args.common.policy()?;
    let mut options = args.common.options(&platform)?;
    options.programs = args.program.clone().map(|name| vec![name]);
    let report = verify::one(
        &args.object,
        &platform,
        &policy,
        &options,
        &args.common.settings,
    )?;
    for program in report
        .programs
        .iter()
        .filter(|p| matches!(p.verdict, Verdict::Reject(_)))
    {
        verify::print_text(&args.object, program, false)?;
    }
    let Ok(verified) = report.into_verified() else {
        return Ok(ExitCode::FAILURE);
    };
    let stop = stop_on_signals()?;
    kernel::ensure_tracefs();
    let mut session = Session::load(&verified)?;
    let attached = attach_all(&mut session, &verified, &args)?;
    let object = &verified.relocated().object;
    let handles = open_maps(&session)?;
    let mut records = Vec::new();
    for name in session.record_maps() {
        records.push((name.clone(), session.records(&name)?));
    }
    output::note(format_args!("Attached {attached} program(s); Ctrl-C ends"));
    let end = args.duration.map(|d| Instant::now() + d);
    let mut failure = None;
    while !stop.requested() && failure.is_none() {
        let left = end.map_or(Duration::MAX, |e| {
            e.saturating_duration_since(Instant::now())
        });
        if left.is_zero() {
            break;
        }
        let sources: Vec<&Records> = records.iter().map(|(_, r)| r).collect();
        Records::wait(&sources, left.min(Duration::from_millis(100)));
        for (name, source) in &mut records {
            source.drain(&mut |bytes| {
                failure = failure
                    .take()
                    .or(print_record(object, name, bytes, &args).err());
            });
        }
    }
    // Maps outlive the session; nothing changes them once it is gone.
    for (name, source) in &mut records {
        source.drain(&mut |bytes| {
            failure = failure
                .take()
                .or(print_record(object, name, bytes, &args).err());
        });
        if source.lost > 0 {
            output::warning(format_args!(
                "{name}: {} records were lost before they were read",
                source.lost
            ));
        }
    }
    if session.tracepoints() >= live::MANY_TRACEPOINTS {
        // Nobody is kept waiting; what they count meanwhile is not in what is printed.
        print_maps(object, &handles, args.json)?;
        output::note(format_args!(
            "Linux takes its time to let go of {} tracepoints: a process in the background waits for that",
            session.tracepoints()
        ));
        session.leave_behind();
        return failure.map_or(Ok(ExitCode::SUCCESS), Err);
    }
    drop(session);
    if let Some(error) = failure {
        return Err(error);
    }
    print_maps(object, &handles, args.json)?;
    Ok(ExitCode::SUCCESS)
}

/// The module whose functions an object traces by their types, which are not among the kernel's own.
fn module_of(path: &Path, platform: &Platform) -> Result<Option<String>> {
    let Some(types) = platform.types.as_deref() else {
        return Ok(None);
    };
    let object = input::object(path, platform)?;
    let traced = object.programs.iter().filter_map(|p| match &p.hook.target {
        Target::Function { name, .. }
            if p.hook.prog_type == Some(ProgType::TRACING)
                && p.hook.attach_type != Some(ITERATOR) =>
        {
            Some(name)
        }
        _ => None,
    });
    let mut unknown = traced.filter(|n| types.find_func(n).is_none());
    let Some(name) = unknown.next() else {
        return Ok(None);
    };
    let all = Machine::default().modules();
    let found = all.into_iter().find(|(_, function)| function == name);
    Ok(found.map(|(module, _)| module))
}

/// Programs that only tail calls reach stay loaded and are not attached.
fn attach_all(session: &mut Session, verified: &Verified, args: &Args) -> Result<usize> {
    let object = &verified.relocated().object;
    let in_arrays: Vec<&str> = object
        .maps
        .iter()
        .flat_map(|m| &m.initial)
        .filter_map(|(_, i)| match i {
            probity_objfile::Initial::Program(name) => Some(name.as_str()),
            probity_objfile::Initial::Map(_) => None,
        })
        .collect();
    let mut attached = 0;
    for program in verified.programs() {
        if in_arrays.contains(&program.name()) && args.program.as_deref() != Some(program.name()) {
            continue;
        }
        let hook = &object.programs[program.index()].hook;
        if hook.optional && args.program.is_none() {
            continue;
        }
        // It is called through the structure that names it.
        if program.prog_type() == ProgType::STRUCT_OPS {
            continue;
        }
        let place = match program.prog_type() {
            ProgType::CGROUP_SKB => args.cgroup.as_deref(),
            _ => args.interface.as_deref(),
        };
        if hook.attach_type == Some(ITERATOR) {
            // It runs when it is read: once, now.
            let text = session.iterator(program.name())?.run()?;
            std::io::Write::write_all(&mut output::stdout(), &text)?;
            attached += 1;
            continue;
        }
        if let Some(to) = many::places(hook)? {
            session.attach(program.name(), &to)?;
            attached += 1;
            continue;
        }
        let mut to = Attach::from_hook(program.name(), hook, place)?;
        if let Attach::Uprobe {
            path,
            symbol,
            offset,
            semaphore,
            ..
        } = &mut to
        {
            *path = Machine::default()
                .resolve(path)
                .with_context(|| format!("no program or library `{path}` on this machine"))?;
            // A static probe may be off until its semaphore says that somebody traces it.
            if symbol.is_none() {
                let sites = Machine::default().usdt(path);
                let site = sites.iter().find(|s| s.offset == *offset);
                *semaphore = site.and_then(|s| s.semaphore);
            }
        }
        session.attach(program.name(), &to)?;
        attached += 1;
    }
    let proved = |name: &str| verified.programs().iter().any(|p| p.name() == name);
    for ops in object.struct_ops.iter().filter(|s| !s.optional) {
        if ops.members.iter().all(|(_, program)| proved(program)) {
            session.register(verified, &ops.name)?;
            attached += 1;
        }
    }
    if attached == 0 {
        bail!(
            "{} has no program to attach; name one with --program",
            args.object.display()
        );
    }
    Ok(attached)
}

fn open_maps(session: &Session) -> Result<Vec<(probity_objfile::Map, MapHandle)>> {
    let carriers = session.record_maps();
    let readable = |kind: u32| !matches!(kind, 3 | 7);
    session
        .maps()
        .filter(|m| !carriers.contains(&m.name) && readable(m.kind))
        .map(|m| Ok((m.clone(), session.map(&m.name)?)))
        .collect()
}

fn print_record(object: &Object, map: &str, bytes: &[u8], args: &Args) -> Result<()> {
    let ty = value::record_type(object, args.record_type.as_deref(), bytes.len());
    let decoded = match (ty, object.btf.as_deref()) {
        (Some(ty), Some(btf)) => Some((btf.name(ty).to_string(), value::decode(btf, ty, bytes))),
        _ => None,
    };
    if args.json {
        let mut row = json!({ "type": "record", "map": map, "bytes": value::hex(bytes) });
        if let Some((name, fields)) = decoded {
            row["struct"] = name.into();
            row["data"] = fields;
        }
        return output::json(&row);
    }
    match decoded {
        Some((name, fields)) => {
            output::line(format_args!("{map}: {name} {}", value::text(&fields)))?
        }
        None => output::line(format_args!("{map}: {}", value::hex(bytes)))?,
    }
    Ok(())
}

fn print_maps(
    object: &Object,
    maps: &[(probity_objfile::Map, MapHandle)],
    json: bool,
) -> Result<()> {
    for (map, handle) in maps {
        let entries = handle
            .entries()
            .with_context(|| format!("reading map {}", map.name))?;
        if json {
            output::json(
                &json!({ "type": "map", "map": map.name, "data": value::map_json(object, map, &entries) }),
            )?;
        } else {
            value::print_map(&mut output::stdout(), object, map, &entries)?;
        }
    }
    Ok(())
}
