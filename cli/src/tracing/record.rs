//! A script in the running kernel, recorded: its events and what it reads beside them → a perf.data file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use blazesym::symbolize::source::{Kernel, Process as Mapped, Source as Symbols};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};
use blazesym::{Addr, Pid};
use probity_loader::{Records, Session, stop_on_signals};
use probity_runtime::{Clock, Env as _, Process};
use probity_script::{
    Action, FieldPlace, Format, FormatField, NeedKind, Printer, ProbeKind, Recorded, Script,
    TracepointFormats,
};
use probity_verifier::Verified;

use super::host::LiveHost;
use super::live::{self, LiveMaps, Stopped};
use super::machine::Tracefs;
use super::places;
use crate::recording::write::{About, Source, Writer, Written};
use crate::recording::{EventFormat, Extra, MadeFor, NamedAddress};
use crate::{kernel, output};

/// Longest wait between two looks at what was sent.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Processors send side by side: what is this much older than the newest event comes before all that follow.
const SETTLED: u64 = 20_000_000;

pub struct Settings<'a> {
    pub output: &'a Path,
    pub script: String,
    pub duration: Option<Duration>,
    pub pid: Option<u32>,
    pub quiet: bool,
}

/// How much was recorded.
#[derive(Clone, Copy, Debug)]
pub struct Totals {
    pub events: u64,
    pub lost: u64,
}

/// An event that waits until all that are older have come.
struct Event {
    source: usize,
    pid_tgid: u64,
    cpu: u32,
    comm: Vec<u8>,
    data: Vec<u8>,
    kernel_stack: Vec<u64>,
    user_stack: Vec<u64>,
    extra: Extra,
}

struct Recorder {
    printer: Printer,
    writer: Writer,
    /// By probe: where its events go in the file, and what they look like.
    sources: Vec<Option<(usize, Option<Arc<Format>>)>>,
    pid: Option<u32>,
    /// By time, then in the order they came.
    waiting: BTreeMap<(u64, u64), Event>,
    /// The event that each processor sent last: what is read belongs to it.
    latest: HashMap<u32, (u64, u64)>,
    count: u64,
    newest: u64,
    names: Names,
    status: bool,
}

impl Recorder {
    fn record(&mut self, bytes: &[u8], maps: &LiveMaps) -> Result<()> {
        match self.printer.recorded(bytes) {
            Some(Recorded::Sample(sample)) => {
                let pid = (sample.pid_tgid >> 32) as u32;
                if self.pid.is_some_and(|p| p != pid) {
                    self.latest.remove(&sample.cpu);
                    return Ok(());
                }
                let known = self.sources.get(sample.probe).cloned().flatten();
                // Another probe on the same event: what it reads belongs to that.
                let Some((source, format)) = known else {
                    return Ok(());
                };
                let kept = format.map_or(sample.data.len(), |f| extent(&f, sample.data));
                self.names.note(0, &sample.kernel_stack);
                self.names.note(pid, &sample.user_stack);
                self.count += 1;
                let place = (sample.time, self.count);
                self.newest = self.newest.max(sample.time);
                self.latest.insert(sample.cpu, place);
                self.waiting.insert(
                    place,
                    Event {
                        source,
                        pid_tgid: sample.pid_tgid,
                        cpu: sample.cpu,
                        comm: sample.comm.to_vec(),
                        data: sample.data[..kept].to_vec(),
                        kernel_stack: sample.kernel_stack,
                        user_stack: sample.user_stack,
                        extra: Extra {
                            uid_gid: sample.uid_gid,
                            task: sample.task,
                            cgroup: sample.cgroup,
                            memory: Vec::new(),
                        },
                    },
                );
            }
            Some(Recorded::Read {
                cpu,
                address,
                bytes,
            }) => {
                let event = self
                    .latest
                    .get(&cpu)
                    .and_then(|place| self.waiting.get_mut(place));
                if let Some(event) = event {
                    event.extra.memory.push((address, bytes.into()));
                }
            }
            // The script goes on as ever, only nobody reads what it prints.
            None => {
                if let Action::Exit(_) = self.printer.record(bytes, maps, &mut Vec::new()) {
                    self.status = true;
                }
            }
        }
        Ok(())
    }

    fn drain(&mut self, records: &mut Records, maps: &LiveMaps) -> Result<()> {
        let mut failure = Ok(());
        records.drain(&mut |bytes| {
            if failure.is_ok() {
                failure = self.record(bytes, maps);
            }
        });
        failure?;
        self.names.look_up();
        self.write_until(self.newest.saturating_sub(SETTLED))
    }

    fn write_until(&mut self, time: u64) -> Result<()> {
        while let Some(first) = self.waiting.first_entry() {
            if first.key().0 > time {
                break;
            }
            let ((time, _), event) = first.remove_entry();
            self.writer.sample(&Written {
                source: event.source,
                time,
                pid: (event.pid_tgid >> 32) as u32,
                tid: event.pid_tgid as u32,
                cpu: event.cpu,
                comm: &event.comm,
                data: &event.data,
                kernel_stack: &event.kernel_stack,
                user_stack: &event.user_stack,
                extra: &event.extra,
            })?;
        }
        Ok(())
    }
}

/// How much of an event's data is its own: strings follow the fields, then anything.
fn extent(format: &Format, data: &[u8]) -> usize {
    const HIDDEN: u32 = 8;
    let word = |f: &FormatField| {
        let at = f.offset.checked_sub(HIDDEN)? as usize;
        let bytes = data.get(at..at + 4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let mut end = format.size();
    for field in &format.fields {
        let base = match field.place {
            FieldPlace::Inline => continue,
            FieldPlace::DataLoc => 0,
            FieldPlace::RelLoc => field.offset + field.size,
        };
        if let Some(word) = word(field) {
            end = end.max(
                base.saturating_add(word & 0xffff)
                    .saturating_add(word >> 16),
            );
        }
    }
    (end.saturating_sub(HIDDEN) as usize).min(data.len())
}

/// Names of addresses, asked while the processes are there.
#[derive(Default)]
struct Names {
    symbolizer: Symbolizer,
    known: HashSet<(u32, u64)>,
    asked: BTreeMap<u32, Vec<u64>>,
    found: BTreeMap<u32, Vec<NamedAddress>>,
}

impl Names {
    fn note(&mut self, pid: u32, stack: &[u64]) {
        for address in stack {
            if self.known.insert((pid, *address)) {
                self.asked.entry(pid).or_default().push(*address);
            }
        }
    }

    fn look_up(&mut self) {
        for (pid, addresses) in std::mem::take(&mut self.asked) {
            let source = match pid {
                0 => Symbols::Kernel(Kernel::default()),
                pid => Symbols::Process(Mapped::new(Pid::from(pid))),
            };
            let wanted: Vec<Addr> = addresses.iter().map(|a| *a as Addr).collect();
            // A process that is gone has no names.
            let Ok(names) = self.symbolizer.symbolize(&source, Input::AbsAddr(&wanted)) else {
                continue;
            };
            for (address, name) in addresses.into_iter().zip(names) {
                if let Symbolized::Sym(sym) = name {
                    self.found.entry(pid).or_default().push((
                        address,
                        sym.name.into_owned(),
                        sym.offset as u64,
                        sym.module.map(|m| m.to_string_lossy().into_owned()),
                    ));
                }
            }
        }
    }
}

/// Records until the script ends, the time is over, the command has ended or somebody stops it.
pub fn run(
    script: Script,
    verified: &Verified,
    settings: &Settings<'_>,
    mut command: Option<Stopped>,
) -> Result<Totals> {
    let Script {
        probes,
        mut printer,
        needs,
        ..
    } = script;
    printer.set_host(Arc::new(LiveHost::default()));
    let tracefs = Tracefs::new();
    let (mut sources, mut of_probe) = (Vec::new(), Vec::new());
    for probe in probes.iter().filter(|p| !p.implicit) {
        let (source, format) = match &probe.kind {
            ProbeKind::Tracepoint { category, name } => {
                (source_of(category, name)?, tracefs.format(category, name))
            }
            ProbeKind::Profile(_) => (Source::CpuClock, None),
            _ => {
                of_probe.push(None);
                continue;
            }
        };
        let same = |other: &Source| match (other, &source) {
            (Source::Tracepoint(a), Source::Tracepoint(b)) => a.id == b.id,
            (Source::CpuClock, Source::CpuClock) => true,
            _ => false,
        };
        let at = match sources.iter().position(same) {
            // One program records an event that several probes are on.
            Some(_) => {
                of_probe.push(None);
                continue;
            }
            None => {
                sources.push(source);
                sources.len() - 1
            }
        };
        of_probe.push(Some((at, format)));
    }
    if sources.is_empty() {
        anyhow::bail!("the script has no probe that can be recorded");
    }
    let stacks = needs
        .iter()
        .any(|n| matches!(n.kind, NeedKind::KernelStack | NeedKind::UserStack));
    let about = about()?;
    let mut recorder = Recorder {
        printer,
        writer: Writer::create(settings.output, sources, stacks)?,
        sources: of_probe,
        pid: settings.pid,
        waiting: BTreeMap::new(),
        latest: HashMap::new(),
        count: 0,
        newest: 0,
        names: Names::default(),
        status: false,
    };
    let stop = stop_on_signals()?;
    let mut session = Session::load(verified)?;
    let mut records = session.records(Script::EVENTS)?;
    let maps = live::open_maps(&session)?;
    for probe in probes.iter().filter(|p| p.kind == ProbeKind::Begin) {
        session.run_raw_tracepoint(&probe.program, &[])?;
    }
    for probe in probes.iter().filter(|p| !p.kind.by_hand()) {
        session.attach(&probe.program, &places::single(&probe.kind, None)?)?;
    }
    if !settings.quiet {
        output::note(format_args!("Recording; Ctrl-C ends it"));
    }
    if let Some(command) = &command {
        command.go()?;
    }
    let end = settings.duration.map(|d| Instant::now() + d);
    while !stop.requested() && !recorder.status {
        let left = end.map_or(LOOK_EVERY, |e| e.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            break;
        }
        Records::wait(&[&records], left.min(LOOK_EVERY));
        recorder.drain(&mut records, &maps)?;
        if let Some(command) = &mut command
            && command.ended()?
        {
            break;
        }
    }
    live::end(&mut session, &probes)?;
    recorder.drain(&mut records, &maps)?;
    recorder.write_until(u64::MAX)?;
    let lost = recorder.printer.losses(&maps).events;
    let Recorder {
        writer,
        mut names,
        count,
        ..
    } = recorder;
    let made_for = MadeFor {
        script: settings.script.clone(),
        answers: needs
            .into_iter()
            .filter(|n| n.kind.recordable())
            .map(|n| (n.kind.name().to_string(), n.text))
            .collect(),
        kernel: names.found.remove(&0).unwrap_or_default(),
        user: names.found.into_iter().collect(),
    };
    writer.finish(lost, &about, &made_for)?;
    Ok(Totals {
        events: count,
        lost,
    })
}

fn source_of(category: &str, name: &str) -> Result<Source> {
    let path = kernel::tracefs()
        .context("tracefs is not mounted")?
        .join("events")
        .join(category)
        .join(name)
        .join("format");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let id = Format::parse(&text)?
        .id
        .and_then(|id| u16::try_from(id).ok())
        .with_context(|| format!("{category}:{name} has no number"))?;
    Ok(Source::Tracepoint(EventFormat {
        category: category.to_string(),
        name: name.to_string(),
        id,
        text,
    }))
}

fn about() -> Result<About> {
    let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let events = kernel::tracefs()
        .context("tracefs is not mounted")?
        .join("events");
    let now = Process::new(1);
    Ok(About {
        cpus: kernel::possible_cpus(),
        release: text(Path::new("/proc/sys/kernel/osrelease"))
            .trim()
            .to_string(),
        wall_clock: now.time(Clock::Real),
        monotonic: now.time(Clock::Monotonic),
        ring_headers: ["header_page", "header_event"].map(|n| at_once(&events.join(n))),
    })
}

/// A file of tracefs that gives all or nothing: what a first small read leaves is not there for a second one.
fn at_once(path: &Path) -> String {
    let mut bytes = vec![0; 1 << 16];
    let read = std::fs::File::open(path).and_then(|mut f| f.read(&mut bytes));
    bytes.truncate(read.unwrap_or(0));
    String::from_utf8_lossy(&bytes).into_owned()
}
