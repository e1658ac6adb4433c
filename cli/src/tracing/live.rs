//! A script in the running kernel.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use probity_loader::{Attach, Event, MapHandle, Records, Session, Stop, stop_on_signals};
use probity_script::{MapReader, Period, Printer, ProbeKind, Script, UserTarget};
use probity_verifier::Verified;

use super::Sink;
use super::host::LiveHost;
use crate::output;

/// Longest wait between two looks at what the script has to say.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The script's maps in the kernel.
struct LiveMaps(HashMap<String, MapHandle>);

impl MapReader for LiveMaps {
    fn entries(&self, map: &str) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
        let Some(handle) = self.0.get(map) else {
            return Vec::new();
        };
        handle.entries().unwrap_or_else(|error| {
            output::warning(error);
            Vec::new()
        })
    }

    fn lookup(&self, map: &str, key: &[u8]) -> Option<Vec<Vec<u8>>> {
        self.0.get(map)?.lookup(key).ok().flatten()
    }

    fn delete(&self, map: &str, key: &[u8]) {
        if let Some(Err(error)) = self.0.get(map).map(|m| m.delete(key)) {
            output::warning(error);
        }
    }

    fn update(&self, map: &str, key: &[u8], cells: &[Vec<u8>]) {
        if let Some(Err(error)) = self.0.get(map).map(|m| m.update_each(key, cells)) {
            output::warning(error);
        }
    }
}

/// Runs a script until it ends, the time is over, the command has ended or somebody stops it.
/// Gives the exit status.
pub fn run(
    script: Script,
    verified: &Verified,
    sink: &mut Sink,
    duration: Option<Duration>,
    mut command: Option<Stopped>,
) -> Result<i32> {
    let only_begin_and_end = script.only_begin_and_end();
    let Script {
        probes,
        mut printer,
        ..
    } = script;
    printer.set_host(Arc::new(LiveHost::default()));
    let stop = stop_on_signals()?;
    let mut session = Session::load(verified)?;
    let mut records = match session.record_maps().iter().any(|m| m == Script::EVENTS) {
        true => Some(session.records(Script::EVENTS)?),
        false => None,
    };
    let maps = open_maps(&session)?;
    let of = |wanted: fn(&ProbeKind) -> bool| probes.iter().filter(move |p| wanted(&p.kind));
    for probe in of(|k| *k == ProbeKind::Begin) {
        session.run_raw_tracepoint(&probe.program, &[])?;
    }
    for probe in of(|k| !k.by_hand()) {
        session.attach(&probe.program, &place(&probe.kind)?)?;
    }
    // Said before anything is printed: what `begin` printed may end without a line's end.
    sink.attached(&printer, probes.iter().filter(|p| !p.implicit).count())?;
    let mut status = drain(&mut records, &mut printer, &maps, sink)?;
    if status.is_none() {
        if let Some(command) = &command {
            command.go()?;
        }
        if !only_begin_and_end {
            status = watch(
                &mut records,
                &mut printer,
                &maps,
                sink,
                &stop,
                duration,
                &mut command,
            )?;
        }
    }
    session.detach();
    let last = drain(&mut records, &mut printer, &maps, sink)?;
    for probe in of(|k| *k == ProbeKind::End) {
        session.run_raw_tracepoint(&probe.program, &[])?;
    }
    let at_end = drain(&mut records, &mut printer, &maps, sink)?;
    sink.finish(&mut printer, &maps)?;
    Ok(status.or(last).or(at_end).unwrap_or(0))
}

fn watch(
    records: &mut Option<Records>,
    printer: &mut Printer,
    maps: &LiveMaps,
    sink: &mut Sink,
    stop: &Stop,
    duration: Option<Duration>,
    command: &mut Option<Stopped>,
) -> Result<Option<i32>> {
    let end = duration.map(|d| Instant::now() + d);
    while !stop.requested() {
        let left = end.map_or(LOOK_EVERY, |e| e.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            break;
        }
        let sources: Vec<&Records> = records.iter().collect();
        Records::wait(&sources, left.min(LOOK_EVERY));
        if let Some(status) = drain(records, printer, maps, sink)? {
            return Ok(Some(status));
        }
        if let Some(command) = command
            && command.ended()?
        {
            break;
        }
    }
    Ok(None)
}

/// Prints every record that is there; the exit status when one of them asks to end.
fn drain(
    records: &mut Option<Records>,
    printer: &mut Printer,
    maps: &LiveMaps,
    sink: &mut Sink,
) -> Result<Option<i32>> {
    let Some(records) = records else {
        return Ok(None);
    };
    let mut status = None;
    let mut failure = None;
    records.drain(&mut |bytes| {
        // After exit() nothing more is printed.
        if status.is_some() || failure.is_some() {
            return;
        }
        match sink.record(printer, bytes, maps) {
            Ok(asked) => status = asked,
            Err(error) => failure = Some(error),
        }
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(status),
    }
}

fn open_maps(session: &Session) -> Result<LiveMaps> {
    let names: Vec<String> = session
        .maps()
        .map(|m| m.name.clone())
        .filter(|n| n != Script::EVENTS)
        .collect();
    let mut maps = HashMap::new();
    for name in names {
        maps.insert(name.clone(), session.map(&name)?);
    }
    Ok(LiveMaps(maps))
}

/// Where a probe is attached.
fn place(kind: &ProbeKind) -> Result<Attach> {
    let every = |period: &Period| match period {
        Period::Nanoseconds(n) => Event::Nanoseconds(*n),
        Period::Hertz(n) => Event::Hertz(*n),
    };
    Ok(match kind {
        // Run by hand.
        k if k.by_hand() => bail!("`{kind}` is attached to nothing"),
        ProbeKind::Usdt { path, offset, .. } => Attach::Uprobe {
            path: path.clone(),
            symbol: None,
            offset: *offset,
            pid: None,
        },
        ProbeKind::Interval(period) => Attach::PerfEvent {
            event: match period {
                Period::Nanoseconds(n) => Event::Nanoseconds(*n),
                Period::Hertz(n) => Event::Nanoseconds(1_000_000_000 / (*n).max(1)),
            },
            cpu: Some(0),
        },
        ProbeKind::Profile(period) => Attach::PerfEvent {
            event: every(period),
            cpu: None,
        },
        ProbeKind::Tracepoint { category, name } => Attach::Tracepoint {
            category: category.clone(),
            name: name.clone(),
        },
        ProbeKind::RawTracepoint { name } => Attach::RawTracepoint { name: name.clone() },
        ProbeKind::Kprobe {
            function, offset, ..
        } => Attach::Kprobe {
            function: function.clone(),
            offset: *offset,
        },
        ProbeKind::Uprobe {
            path,
            target,
            offset,
            ..
        } => Attach::Uprobe {
            path: path.clone(),
            symbol: match target {
                UserTarget::Symbol(name) => Some(name.clone()),
                UserTarget::Address(_) => None,
            },
            offset: match target {
                UserTarget::Symbol(_) => *offset,
                UserTarget::Address(address) => *address,
            },
            pid: None,
        },
        ProbeKind::Software { event, count, .. } => Attach::PerfEvent {
            event: Event::Software {
                config: *event,
                period: *count,
            },
            cpu: None,
        },
        ProbeKind::Hardware { event, count, .. } => Attach::PerfEvent {
            event: Event::Hardware {
                config: *event,
                period: *count,
            },
            cpu: None,
        },
        other => bail!(
            "probes of the kind `{}` compile and verify, but cannot be attached from here yet",
            other.type_name()
        ),
    })
}

/// A command that waits, started but not let go, until the probes are there.
pub struct Stopped {
    child: Child,
}

impl Stopped {
    /// Starts a shell that stops itself before it becomes the command.
    pub fn start(command: &str) -> Result<Stopped> {
        let script = format!("kill -STOP $$; exec {command}");
        let child = Command::new("sh")
            .arg("-c")
            .arg(script)
            .spawn()
            .context("cannot start a shell")?;
        let mut stopped = Stopped { child };
        let begin = Instant::now();
        while stopped.state() != Some('T') {
            if stopped.ended()? || begin.elapsed() > Duration::from_secs(5) {
                bail!("the command `{command}` did not start");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(stopped)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn state(&self) -> Option<char> {
        let stat =
            std::fs::read_to_string(PathBuf::from(format!("/proc/{}/stat", self.pid()))).ok()?;
        stat.rsplit(") ").next()?.chars().next()
    }

    fn go(&self) -> Result<()> {
        let pid = self.pid().to_string();
        let done = Command::new("sh")
            .args(["-c", "kill -CONT \"$1\"", "sh", &pid])
            .status()?;
        if !done.success() {
            bail!("cannot let the command go on");
        }
        Ok(())
    }

    fn ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
