//! A script over a recording: the same programs, run in this process, helpers answered from each sample.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, bail};
use probity_runtime::{Context, Engine, Instance, Map, Options, Sample as Surroundings};
use probity_script::{
    FieldPlace, Format, FormatTable, NeedKind, Period, Printer, Probe, ProbeKind, Script,
    TracepointFormats,
};
use probity_verifier::Verified;

use super::Sink;
use super::host::RecordedHost;
use super::in_process::ProcessMaps;
use crate::commands::run::EngineKind;
use crate::output;
use crate::recording::{EventFormat, Extra, MadeFor, Of, Recording, Sample};

/// Bytes at the start of a record that belong to the kernel; programs see zeros there.
const HIDDEN: usize = 8;

/// How often an interval may fire between two events. A damaged time must not keep us busy for years.
const MOST_TICKS: u64 = 1_000_000;

/// `PERF_TYPE_HARDWARE` and `PERF_TYPE_SOFTWARE`.
const HARDWARE: u32 = 0;
const SOFTWARE: u32 = 1;
/// Addresses from here on are marks in a stack, of where kernel and user begin.
const FIRST_MARK: u64 = -4095i64 as u64;

/// The formats of a recording's events.
pub fn formats(recording: &Recording) -> FormatTable {
    let mut table = FormatTable::new();
    for event in &recording.events {
        match Format::parse(&event.text) {
            Ok(format) => table.insert(&event.category, format),
            Err(error) => {
                output::warning(format_args!("{}:{}: {error}", event.category, event.name))
            }
        }
    }
    table
}

/// What a script asks that this recording does not hold, in words, each once.
pub fn unanswered(script: &Script, recording: &Recording) -> Vec<String> {
    let held = |kind: NeedKind, text: &str| match (&recording.made_for, kind) {
        (None, NeedKind::KernelStack | NeedKind::UserStack) => recording.has_stacks(),
        (None, _) => false,
        (Some(made), _) => made.answers.iter().any(|(k, t)| {
            k == kind.name()
                // Memory is there address by address; all else for any use.
                && (kind != NeedKind::Memory || t == text)
        }),
    };
    let mut said = Vec::new();
    for need in &script.needs {
        let text = &need.text;
        if held(need.kind, text) {
            continue;
        }
        said.push(match need.kind {
            NeedKind::User => format!("`{text}`: who ran is not recorded, it is 0"),
            NeedKind::Task => {
                format!("`{text}`: the kernel's structures are not recorded, they read as 0")
            }
            NeedKind::Cgroup => format!("`{text}`: the cgroup is not recorded, it is 0"),
            NeedKind::NumaNode => format!("`{text}`: the node is not recorded, it is 0"),
            NeedKind::Namespace => {
                format!("`{text}`: namespaces are not recorded, it is the number in the first one")
            }
            NeedKind::Memory => format!(
                "`{text}`: the memory is not recorded, only its address is; it reads as empty"
            ),
            NeedKind::KernelStack | NeedKind::UserStack => {
                format!("`{text}`: stacks are not recorded, they are empty")
            }
            NeedKind::Action => format!("`{text}` does nothing in a replay"),
        });
    }
    said
}

/// A counter that probes wait for.
#[derive(Clone, Copy)]
struct Counter {
    kind: u32,
    config: Option<u64>,
}

impl Counter {
    fn fits(self, kind: u32, config: u64) -> bool {
        self.kind == kind && self.config.is_none_or(|c| c == config)
    }

    /// What fires a probe's program; a profile's is the processor's clock or its cycles.
    fn of(kind: &ProbeKind) -> Vec<Counter> {
        let one = |kind, config| Counter {
            kind,
            config: Some(config),
        };
        match kind {
            ProbeKind::Profile(_) => vec![one(SOFTWARE, 0), one(SOFTWARE, 1), one(HARDWARE, 0)],
            ProbeKind::Software { event, .. } => vec![one(SOFTWARE, *event)],
            ProbeKind::Hardware { event, .. } => vec![one(HARDWARE, *event)],
            _ => Vec::new(),
        }
    }
}

/// A probe that fires by the recording's clock.
struct Timer {
    program: usize,
    period: u64,
    next: u64,
}

/// The programs and what fires them.
#[derive(Default)]
struct Wiring {
    begins: Vec<usize>,
    ends: Vec<usize>,
    timers: Vec<Timer>,
    /// By event.
    events: Vec<Vec<usize>>,
    counters: Vec<(Counter, usize)>,
}

impl Wiring {
    fn of(probes: &[Probe], instance: &Instance, recording: &Recording) -> Result<Wiring> {
        let mut wiring = Wiring {
            events: vec![Vec::new(); recording.events.len()],
            ..Wiring::default()
        };
        let mut attached = 0;
        for probe in probes {
            let program = instance
                .program_index(&probe.program)
                .with_context(|| format!("no program {}", probe.program))?;
            match &probe.kind {
                ProbeKind::Begin => wiring.begins.push(program),
                ProbeKind::End => wiring.ends.push(program),
                ProbeKind::Tracepoint { category, name } => {
                    let wanted = |e: &EventFormat| e.category == *category && e.name == *name;
                    let Some(event) = recording.events.iter().position(wanted) else {
                        bail!("the recording holds no {category}:{name}");
                    };
                    wiring.events[event].push(program);
                    attached += 1;
                }
                ProbeKind::Interval(period) => {
                    let period = match period {
                        Period::Nanoseconds(n) => *n,
                        Period::Hertz(n) => 1_000_000_000 / (*n).max(1),
                    };
                    wiring.timers.push(Timer {
                        program,
                        period: period.max(1),
                        next: 0,
                    });
                    attached += 1;
                }
                other => {
                    let counters = Counter::of(other);
                    if counters.is_empty() {
                        output::warning(format_args!(
                            "{other} is left out: a recording has tracepoints and samples only"
                        ));
                        continue;
                    }
                    if !recording.counts(|k, c| counters.iter().any(|w| w.fits(k, c))) {
                        output::warning(format_args!(
                            "{other} is left out: the recording has no samples of it"
                        ));
                        continue;
                    }
                    wiring
                        .counters
                        .extend(counters.into_iter().map(|c| (c, program)));
                    attached += 1;
                }
            }
        }
        let alone = |p: &Probe| matches!(p.kind, ProbeKind::Begin | ProbeKind::End);
        if attached == 0 && !probes.iter().all(alone) {
            bail!("none of the script's probes can be replayed");
        }
        Ok(wiring)
    }

    fn wants(&self, of: Of) -> bool {
        match of {
            Of::Tracepoint(event) => !self.events[event].is_empty(),
            Of::Counter { kind, config } => self.counters.iter().any(|(c, _)| c.fits(kind, config)),
        }
    }
}

struct Replay<'a> {
    instance: &'a Instance,
    engine: Box<dyn Engine>,
    printer: Printer,
    sink: &'a mut Sink,
    host: Arc<RecordedHost>,
    /// Where programs put what is to be printed.
    events: Option<Arc<Map>>,
    /// What the programs are called with; by event, then one for counters.
    contexts: Vec<Context>,
    lengths: Vec<Length>,
    /// What helpers are answered from.
    surroundings: Arc<Surroundings>,
    record: Vec<u8>,
    extra: Extra,
    /// Whether the script looks at stacks, and whether there is something behind the records.
    stacks: bool,
    extras: bool,
}

impl Replay<'_> {
    /// Prints what programs have said; the exit status when one of them asks to end.
    fn print(&mut self) -> Result<Option<i32>> {
        let Some(ring) = self.events.as_deref().and_then(Map::ring) else {
            return Ok(None);
        };
        let mut records = Vec::new();
        ring.consume(|bytes| {
            records.push(bytes.to_vec());
            true
        });
        for bytes in records {
            let maps = ProcessMaps(self.instance);
            let status = self.sink.record(&mut self.printer, &bytes, &maps)?;
            if status.is_some() {
                return Ok(status);
            }
        }
        Ok(None)
    }

    /// Runs a program that no event fires, at this time.
    fn fire(&mut self, program: usize, time: u64) -> Result<Option<i32>> {
        self.host.now.store(time, Ordering::Relaxed);
        let surroundings = Surroundings {
            monotonic_ns: time,
            boot_ns: time,
            cpu: Some(0),
            ..Surroundings::default()
        };
        let size = self.instance.programs()[program].context_size().max(96);
        let mut ctx = Context::bytes(&vec![0; size])?.with_env(Arc::new(surroundings));
        self.engine.call(program, &mut ctx, 0)?;
        self.print()
    }

    /// The sample as its programs see it, and what surrounds it; gives the place of their context.
    fn set(&mut self, sample: &Sample<'_>) -> Result<usize> {
        self.host.now.store(sample.time, Ordering::Relaxed);
        let place = match sample.of {
            Of::Tracepoint(event) => event,
            Of::Counter { .. } => self.contexts.len() - 1,
        };
        let ctx = &mut self.contexts[place];
        if let Some(surroundings) = Arc::get_mut(&mut self.surroundings) {
            surroundings.monotonic_ns = sample.time;
            surroundings.boot_ns = sample.time;
            surroundings.pid_tgid = u64::from(sample.pid) << 32 | u64::from(sample.tid);
            surroundings.comm = *sample.comm;
            surroundings.cpu = Some(sample.cpu);
            let mut raw = sample.raw;
            if self.extras {
                raw = self.extra.split(raw);
                surroundings.uid_gid = self.extra.uid_gid;
                surroundings.task = self.extra.task;
                surroundings.cgroup_id = self.extra.cgroup;
                std::mem::swap(&mut surroundings.memory, &mut self.extra.memory);
            }
            if self.stacks {
                set_stacks(surroundings, sample.chain);
            }
            if let Of::Tracepoint(event) = sample.of {
                let length = self.lengths[event];
                // perf pads records; a short one (an old perf) reads as zeros.
                let keep = if length.more {
                    raw.len()
                } else {
                    raw.len().min(length.fields)
                };
                self.record.clear();
                self.record.extend_from_slice(&raw[..keep]);
                let size = ctx.size().max(keep);
                self.record.resize(size, 0);
                self.record[..HIDDEN].fill(0);
                if size > ctx.size() {
                    *ctx = Context::bytes(&self.record)?;
                } else {
                    ctx.write(0, &self.record)?;
                }
            }
        }
        ctx.set_env(Some(self.surroundings.clone()));
        Ok(place)
    }

    fn call(&mut self, program: usize, place: usize, cpu: u32) -> Result<Option<i32>> {
        let cpu = cpu as usize % self.instance.cpus().max(1);
        self.engine.call(program, &mut self.contexts[place], cpu)?;
        match self.events {
            Some(_) => self.print(),
            None => Ok(None),
        }
    }

    fn sample(&mut self, wiring: &Wiring, sample: &Sample<'_>) -> Result<Option<i32>> {
        let place = self.set(sample)?;
        let status = match sample.of {
            Of::Tracepoint(event) => {
                let mut programs = wiring.events[event].iter();
                programs.try_fold(None, |status, program| match status {
                    None => self.call(*program, place, sample.cpu),
                    said => Ok(said),
                })
            }
            Of::Counter { kind, config } => {
                let programs = wiring.counters.iter().filter(|(c, _)| c.fits(kind, config));
                let mut programs = programs.map(|(_, program)| program);
                programs.try_fold(None, |status, program| match status {
                    None => self.call(*program, place, sample.cpu),
                    said => Ok(said),
                })
            }
        };
        // The next sample changes them, so nobody else may hold them.
        self.contexts[place].set_env(None);
        status
    }
}

/// Kernel addresses have their highest bit set.
fn set_stacks(surroundings: &mut Surroundings, chain: &[u8]) {
    let recorded = (!chain.is_empty()).then_some(());
    let stack = |kernel: bool| {
        let frames = chain
            .chunks_exact(8)
            .filter_map(|b| Some(u64::from_le_bytes(b.try_into().ok()?)))
            .filter(|ip| *ip < FIRST_MARK && (ip >> 63 == 1) == kernel);
        recorded.map(|()| frames.collect())
    };
    surroundings.kernel_stack = stack(true);
    surroundings.user_stack = stack(false);
}

/// Runs a script over a recording. Gives the exit status.
pub fn run(
    script: Script,
    verified: Verified,
    mut recording: Recording,
    engine: EngineKind,
    sink: &mut Sink,
) -> Result<i32> {
    if !sink.quiet {
        for what in unanswered(&script, &recording) {
            output::warning(format_args!("not in the recording: {what}"));
        }
    }
    let formats = formats(&recording);
    let options = Options {
        cpus: recording.cpus as usize,
        ..Options::default()
    };
    let instance = Arc::new(Instance::new(Arc::new(verified), options)?);
    let Script {
        probes,
        mut printer,
        needs,
        ..
    } = script;
    let made_for: Option<MadeFor> = recording.made_for.take();
    let extras = made_for.is_some();
    let host = Arc::new(RecordedHost::new(
        recording.clock_start(),
        made_for.unwrap_or_default(),
        &recording,
    ));
    printer.set_host(host.clone());
    let mut wiring = Wiring::of(&probes, &instance, &recording)?;
    sink.attached(&printer, probes.iter().filter(|p| !p.implicit).count())?;
    let lengths: Vec<Length> = recording
        .events
        .iter()
        .map(|e| Length::of(formats.format(&e.category, &e.name).as_deref()))
        .collect();
    let least = |programs: &[usize]| {
        let sizes = programs
            .iter()
            .map(|p| instance.programs()[*p].context_size());
        sizes.max().unwrap_or(0).max(HIDDEN)
    };
    let mut contexts = Vec::new();
    for (length, programs) in lengths.iter().zip(&wiring.events) {
        contexts.push(Context::bytes(&vec![
            0;
            least(programs).max(length.fields)
        ])?);
    }
    let counted: Vec<usize> = wiring.counters.iter().map(|(_, p)| *p).collect();
    contexts.push(Context::bytes(&vec![0; least(&counted)])?);
    let stack =
        |n: &probity_script::Need| matches!(n.kind, NeedKind::KernelStack | NeedKind::UserStack);
    let events = instance
        .map_by_name(Script::EVENTS)
        .filter(|_| printer.has_events())
        .cloned();
    let mut replay = Replay {
        instance: &instance,
        engine: engine.make(instance.clone())?,
        printer,
        sink,
        host,
        events,
        contexts,
        lengths,
        surroundings: Arc::new(Surroundings::default()),
        record: Vec::new(),
        extra: Extra::default(),
        stacks: needs.iter().any(stack),
        extras,
    };
    let mut status = None;
    let mut started = false;
    let mut last = 0;
    let mut timers = std::mem::take(&mut wiring.timers);
    let totals = recording.replay(
        |of| wiring.wants(of),
        |sample| {
            if !started {
                // The script begins when the recording does.
                started = true;
                for program in &wiring.begins {
                    status = status.or(replay.fire(*program, sample.time)?);
                }
                for timer in &mut timers {
                    timer.next = sample.time.saturating_add(timer.period);
                }
            }
            for timer in &mut timers {
                let missed = sample.time.saturating_sub(timer.next) / timer.period;
                if missed > MOST_TICKS {
                    bail!(
                        "the recording leaps by {} s between two events; an interval would fire {missed} times in between",
                        sample.time.saturating_sub(last) / 1_000_000_000
                    );
                }
                while status.is_none() && timer.next <= sample.time {
                    status = replay.fire(timer.program, timer.next)?;
                    timer.next = timer.next.saturating_add(timer.period);
                }
            }
            last = sample.time;
            if status.is_none() {
                status = replay.sample(&wiring, sample)?;
            }
            Ok(status.is_none())
        },
    )?;
    if !started {
        for program in &wiring.begins {
            status = status.or(replay.fire(*program, 0)?);
        }
    }
    let mut at_end = None;
    for program in &wiring.ends {
        at_end = at_end.or(replay.fire(*program, last)?);
    }
    replay
        .sink
        .finish(&mut replay.printer, &ProcessMaps(&instance))?;
    if totals.lost > 0 {
        output::warning(format_args!(
            "the recording itself lost {} events while it was made",
            totals.lost
        ));
    }
    Ok(status.or(at_end).unwrap_or(0))
}

/// How long an event's records are.
#[derive(Clone, Copy)]
struct Length {
    /// Bytes of the fields.
    fields: usize,
    /// Strings and arrays follow the fields.
    more: bool,
}

impl Length {
    fn of(format: Option<&Format>) -> Length {
        let Some(format) = format else {
            return Length {
                fields: HIDDEN,
                more: true,
            };
        };
        let more = format.fields.iter().any(|f| f.place != FieldPlace::Inline);
        Length {
            fields: format.size() as usize,
            more,
        }
    }
}
