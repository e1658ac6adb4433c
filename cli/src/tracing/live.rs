//! A script in the running kernel.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use probity_loader::{Iterator, MapHandle, Records, Session, SignalFlag, Stop, stop_on_signals};
use probity_script::{Functions, MapReader, Printer, Probe, ProbeKind, Script};
use probity_verifier::Verified;

use super::Sink;
use super::host::LiveHost;
use super::machine::Machine;
use super::unwinding::{Unwinding, stop_at_entry};
use super::{costs, places};
use crate::output;

/// Waits between two looks at what the script has to say: after records, and the longest when there are
/// none. Nobody wakes us: that would cost the traced code more than the record does.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
const LOOK_AT_LAST: Duration = Duration::from_millis(16);

/// Linux takes 40 ms to let go of a tracepoint: from so many on, nobody is kept waiting.
pub const MANY_TRACEPOINTS: usize = 16;

/// The script's maps in the kernel.
pub(super) struct LiveMaps(HashMap<String, MapHandle>);

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

/// Runs a script until it ends, the time is over, the command has ended or somebody stops it; its events are
/// of `pid` alone where that is given, and the tables of `unwound` processes are read before.
/// Gives the exit status.
pub fn run(
    script: Script,
    verified: &Verified,
    sink: &mut Sink,
    duration: Option<Duration>,
    mut command: Option<Stopped>,
    (pid, unwound): (Option<u32>, Vec<u32>),
    counted: bool,
) -> Result<i32> {
    let ends_by_itself = script.ends_by_itself();
    let Script {
        probes,
        mut printer,
        ..
    } = script;
    let host = Arc::new(LiveHost::default());
    printer.set_host(host.clone());
    let stop = stop_on_signals()?;
    let mut session = Session::load_onto(verified, &places::traced(&probes))?;
    let mut records = match session.record_maps().iter().any(|m| m == Script::EVENTS) {
        true => Some(session.records(Script::EVENTS)?),
        false => None,
    };
    let maps = open_maps(&session)?;
    let mut unwinding = Unwinding::of(&session, &host)?;
    if let Some(unwinding) = &mut unwinding {
        for pid in unwound {
            unwinding.write(pid);
        }
    }
    if counted {
        session.count_runs()?;
    }
    let of = |wanted: fn(&ProbeKind) -> bool| probes.iter().filter(move |p| wanted(&p.kind));
    for probe in of(|k| *k == ProbeKind::Begin) {
        session.run_raw_tracepoint(&probe.program, &[])?;
    }
    let signals = Signals::watch(&probes)?;
    for (program, place) in places::all(&probes, pid)? {
        session.attach(&program, &place)?;
    }
    // Said before anything is printed: what `begin` printed may end without a line's end.
    sink.attached(&printer, probes.iter().filter(|p| !p.implicit).count())?;
    let mut status = drain(&mut records, &mut printer, &maps, sink)?;
    if status.is_none() {
        if let Some(command) = &mut command {
            if let Some(unwinding) = &mut unwinding
                && command.go_to_entry()?
            {
                unwinding.write(command.pid());
            }
            command.go()?;
        }
        for probe in of(|k| matches!(k, ProbeKind::Iter { pin: None, .. })) {
            let walk = session.iterator(&probe.program)?;
            let (again, text) = walk_over(&walk, &mut records, &mut printer, &maps, sink)?;
            sink.write(&text)?;
            status = status.or(again);
        }
        if !ends_by_itself && status.is_none() {
            let mut watched = Watched {
                session: &mut session,
                signals,
                stop,
                command,
                unwinding,
            };
            status = watched.until(duration, &mut records, &mut printer, &maps, sink)?;
        }
    }
    end(&mut session, &probes)?;
    let last = drain(&mut records, &mut printer, &maps, sink)?;
    for probe in of(|k| *k == ProbeKind::End).filter(|p| !p.implicit) {
        session.run_raw_tracepoint(&probe.program, &[])?;
    }
    let at_end = drain(&mut records, &mut printer, &maps, sink)?;
    sink.finish(&mut printer, &maps)?;
    costs::report(&session, &probes, counted, sink)?;
    Ok(status.or(last).or(at_end).unwrap_or(0))
}

/// Nothing of the script's probes happens any more when this returns.
pub(super) fn end(session: &mut Session, probes: &[Probe]) -> Result<()> {
    match Script::gate(probes) {
        Some(gate) => {
            session.run_raw_tracepoint(&gate.program, &[])?;
            session.leave_behind();
        }
        None => session.detach(),
    }
    Ok(())
}

/// Runs an iterator while its records are printed: there may be more than the buffer holds.
fn walk_over(
    walk: &Iterator,
    records: &mut Option<Records>,
    printer: &mut Printer,
    maps: &LiveMaps,
    sink: &mut Sink,
) -> Result<(Option<i32>, Vec<u8>)> {
    std::thread::scope(|scope| {
        let walking = scope.spawn(|| walk.run());
        let mut status = None;
        loop {
            let done = walking.is_finished();
            status = status.or(drain(records, printer, maps, sink)?);
            if done {
                break;
            }
            Records::wait(&[], LOOK_AGAIN);
        }
        match walking.join() {
            Ok(text) => Ok((status, text?)),
            Err(_) => bail!("the iterator's thread ended early"),
        }
    })
}

/// What ends the wait, or runs probes by hand meanwhile.
struct Watched<'a> {
    session: &'a mut Session,
    signals: Signals,
    stop: Stop,
    command: Option<Stopped>,
    unwinding: Option<Unwinding>,
}

impl Watched<'_> {
    fn until(
        &mut self,
        duration: Option<Duration>,
        records: &mut Option<Records>,
        printer: &mut Printer,
        maps: &LiveMaps,
        sink: &mut Sink,
    ) -> Result<Option<i32>> {
        let end = duration.map(|d| Instant::now() + d);
        let mut pause = LOOK_AGAIN;
        while !self.stop.requested() {
            let left = end.map_or(pause, |e| e.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            // A signal ends it early.
            Records::wait(&[], left.min(pause));
            if let Some(unwinding) = &mut self.unwinding {
                unwinding.serve();
            }
            for program in self.signals.came() {
                self.session.run_raw_tracepoint(program, &[])?;
            }
            let (status, some) = drain_some(records, printer, maps, sink)?;
            for address in sink.unwatched.drain(..) {
                self.session.unwatch(address);
            }
            if status.is_some() {
                return Ok(status);
            }
            pause = match some {
                true => LOOK_AGAIN,
                false => (pause * 2).min(LOOK_AT_LAST),
            };
            if let Some(command) = &mut self.command
                && command.ended()?
            {
                break;
            }
        }
        Ok(None)
    }
}

/// The programs that run when this process receives a signal.
struct Signals(Vec<(String, SignalFlag)>);

impl Signals {
    fn watch(probes: &[Probe]) -> Result<Signals> {
        let mut watched = Vec::new();
        for probe in probes {
            if let ProbeKind::Signal { number, .. } = probe.kind {
                watched.push((probe.program.clone(), SignalFlag::of(number)?));
            }
        }
        Ok(Signals(watched))
    }

    fn came(&self) -> impl std::iter::Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|(_, flag)| flag.take())
            .map(|(program, _)| program.as_str())
    }
}

/// Prints every record that is there; the exit status when one of them asks to end.
fn drain(
    records: &mut Option<Records>,
    printer: &mut Printer,
    maps: &LiveMaps,
    sink: &mut Sink,
) -> Result<Option<i32>> {
    let mut asked = None;
    loop {
        let (status, some) = drain_some(records, printer, maps, sink)?;
        asked = asked.or(status);
        if !some || asked.is_some() {
            return Ok(asked);
        }
    }
}

/// The same, and whether there was any.
fn drain_some(
    records: &mut Option<Records>,
    printer: &mut Printer,
    maps: &LiveMaps,
    sink: &mut Sink,
) -> Result<(Option<i32>, bool)> {
    let Some(records) = records else {
        return Ok((None, false));
    };
    let mut status = None;
    let mut failure = None;
    let count = records.drain(&mut |bytes| {
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
        None => {
            sink.flush()?;
            Ok((status, count > 0))
        }
    }
}

pub(super) fn open_maps(session: &Session) -> Result<LiveMaps> {
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

/// A command that waits, started but not let go, until the probes are there.
pub struct Stopped {
    child: Child,
    /// The file of the program that it will run, where that is known.
    program: Option<String>,
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
        let first = command.split_whitespace().next();
        let program = first.and_then(|word| Machine::default().resolve(word));
        let mut stopped = Stopped { child, program };
        if !stopped.stops()? {
            bail!("the command `{command}` did not start");
        }
        Ok(stopped)
    }

    /// Waits until it is stopped, not for ever; false when that did not happen.
    fn stops(&mut self) -> Result<bool> {
        let begin = Instant::now();
        while self.state() != Some('T') {
            if self.ended()? || begin.elapsed() > Duration::from_secs(5) {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(true)
    }

    /// Lets it go until its program begins to run, with its libraries in memory; false when it has gone
    /// on, or ended.
    pub fn go_to_entry(&mut self) -> Result<bool> {
        let Some(program) = &self.program else {
            return Ok(false);
        };
        // Where that cannot be, the first of its stacks are short.
        let Ok(Some(_stop)) = stop_at_entry(program, self.pid()) else {
            return Ok(false);
        };
        self.go()?;
        self.stops()
    }

    /// The file of the program that it will run.
    pub fn program(&self) -> Option<&str> {
        self.program.as_deref()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn state(&self) -> Option<char> {
        let stat =
            std::fs::read_to_string(PathBuf::from(format!("/proc/{}/stat", self.pid()))).ok()?;
        stat.rsplit(") ").next()?.chars().next()
    }

    pub fn go(&self) -> Result<()> {
        let pid = self.pid().to_string();
        let done = Command::new("sh")
            .args(["-c", "kill -CONT \"$1\"", "sh", &pid])
            .status()?;
        if !done.success() {
            bail!("cannot let the command go on");
        }
        Ok(())
    }

    pub fn ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
