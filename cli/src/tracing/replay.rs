//! A script over a recording: the same programs, run in this process, helpers answered from each sample.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, bail};
use probity_runtime::{Context, Engine, Instance, Options, Sample as Surroundings};
use probity_script::{
    FieldPlace, Format, FormatTable, MapReader, Period, Printer, Probe, ProbeKind, Script,
    TracepointFormats,
};
use probity_verifier::Verified;

use super::Sink;
use super::host::RecordedHost;
use crate::commands::run::EngineKind;
use crate::output;
use crate::recording::{EventFormat, Recording, Sample};

/// Bytes at the start of a record that belong to the kernel; programs see zeros there.
const HIDDEN: usize = 8;

/// How often an interval may fire between two events. A damaged time must not keep us busy for years.
const MOST_TICKS: u64 = 1_000_000;

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

/// The instance's maps.
struct ReplayMaps<'a>(&'a Instance);

impl MapReader for ReplayMaps<'_> {
    fn entries(&self, map: &str) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
        let Some(map) = self.0.map_by_name(map) else {
            return Vec::new();
        };
        map.keys()
            .into_iter()
            .filter_map(|key| Some((key.clone(), cells(map, &key)?)))
            .collect()
    }

    fn lookup(&self, map: &str, key: &[u8]) -> Option<Vec<Vec<u8>>> {
        cells(self.0.map_by_name(map)?, key)
    }

    fn delete(&self, map: &str, key: &[u8]) {
        if let Some(map) = self.0.map_by_name(map) {
            // Gone already is as good.
            let _ = map.delete(key);
        }
    }

    fn update(&self, map: &str, key: &[u8], cells: &[Vec<u8>]) {
        let Some(map) = self.0.map_by_name(map) else {
            return;
        };
        let result = match (map.is_percpu(), cells) {
            (true, cells) => {
                map.update_percpu(key, &cells.iter().map(Vec::as_slice).collect::<Vec<_>>(), 0)
            }
            (false, [one, ..]) => map.update(key, one, 0),
            (false, []) => Ok(()),
        };
        if let Err(error) = result {
            output::warning(error);
        }
    }
}

fn cells(map: &probity_runtime::Map, key: &[u8]) -> Option<Vec<Vec<u8>>> {
    if map.is_percpu() {
        map.lookup_percpu(key)
    } else {
        Some(vec![map.lookup(key)?])
    }
}

/// A probe that fires by the recording's clock.
struct Timer {
    program: usize,
    period: u64,
    next: u64,
}

struct Replay<'a> {
    instance: &'a Instance,
    engine: Box<dyn Engine>,
    printer: Printer,
    sink: &'a mut Sink,
    host: Arc<RecordedHost>,
}

impl Replay<'_> {
    /// Runs one program and prints what it says; the exit status when it asks to end.
    fn fire(&mut self, program: usize, mut ctx: Context, cpu: u32) -> Result<Option<i32>> {
        let cpu = cpu as usize % self.instance.cpus().max(1);
        self.engine.call(program, &mut ctx, cpu)?;
        let mut records = Vec::new();
        if let Some(ring) = self
            .instance
            .map_by_name(Script::EVENTS)
            .and_then(|m| m.ring())
        {
            ring.consume(|bytes| {
                records.push(bytes.to_vec());
                true
            });
        }
        for bytes in records {
            let status = self
                .sink
                .record(&mut self.printer, &bytes, &ReplayMaps(self.instance))?;
            if status.is_some() {
                return Ok(status);
            }
        }
        Ok(None)
    }

    fn fire_begin_or_end(&mut self, program: usize, time: u64) -> Result<Option<i32>> {
        let surroundings = Surroundings {
            monotonic_ns: time,
            boot_ns: time,
            ..Surroundings::default()
        };
        self.fire(
            program,
            Context::words(&[0; 12])?.with_env(Arc::new(surroundings)),
            0,
        )
    }
}

/// Runs a script over a recording. Gives the exit status.
pub fn run(
    script: Script,
    verified: Verified,
    recording: Recording,
    engine: EngineKind,
    sink: &mut Sink,
) -> Result<i32> {
    let formats = formats(&recording);
    let options = Options {
        cpus: recording.cpus as usize,
        ..Options::default()
    };
    let instance = Arc::new(Instance::new(Arc::new(verified), options)?);
    let Script {
        probes,
        mut printer,
        ..
    } = script;
    let host = Arc::new(RecordedHost {
        clock_start: recording.clock_start(),
        now: 0.into(),
    });
    printer.set_host(host.clone());
    let index = |p: &Probe| {
        instance
            .program_index(&p.program)
            .with_context(|| format!("no program {}", p.program))
    };
    let mut by_event: Vec<Vec<usize>> = vec![Vec::new(); recording.events.len()];
    let (mut begins, mut ends, mut timers) = (Vec::new(), Vec::new(), Vec::new());
    let mut attached = 0;
    for probe in &probes {
        match &probe.kind {
            ProbeKind::Begin => begins.push(index(probe)?),
            ProbeKind::End => ends.push(index(probe)?),
            ProbeKind::Tracepoint { category, name } => {
                let wanted = |e: &EventFormat| e.category == *category && e.name == *name;
                let Some(event) = recording.events.iter().position(wanted) else {
                    bail!("the recording holds no {category}:{name}");
                };
                by_event[event].push(index(probe)?);
                attached += 1;
            }
            ProbeKind::Interval(period) => {
                let period = match period {
                    Period::Nanoseconds(n) => *n,
                    Period::Hertz(n) => 1_000_000_000 / (*n).max(1),
                };
                timers.push(Timer {
                    program: index(probe)?,
                    period: period.max(1),
                    next: 0,
                });
                attached += 1;
            }
            other => {
                output::warning(format_args!(
                    "{other} is left out: a recording has tracepoints only"
                ));
                continue;
            }
        }
    }
    if attached == 0
        && !probes
            .iter()
            .all(|p| matches!(p.kind, ProbeKind::Begin | ProbeKind::End))
    {
        bail!("none of the script's probes can be replayed");
    }
    sink.attached(&printer, probes.iter().filter(|p| !p.implicit).count())?;
    let mut replay = Replay {
        instance: &instance,
        engine: engine.make(instance.clone())?,
        printer,
        sink,
        host,
    };
    let lengths: Vec<Length> = recording
        .events
        .iter()
        .map(|e| Length::of(formats.format(&e.category, &e.name).as_deref()))
        .collect();
    let mut status = None;
    let mut started = false;
    let mut last = 0;
    let totals = recording.replay(|sample| {
        if !started {
            // The script begins when the recording does.
            started = true;
            replay.host.now.store(sample.time, Ordering::Relaxed);
            for program in &begins {
                status = status.or(replay.fire_begin_or_end(*program, sample.time)?);
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
                replay.host.now.store(timer.next, Ordering::Relaxed);
                let surroundings = Surroundings {
                    monotonic_ns: timer.next,
                    boot_ns: timer.next,
                    cpu: Some(0),
                    ..Surroundings::default()
                };
                let size = replay.instance.programs()[timer.program].context_size();
                let ctx = Context::bytes(&vec![0; size])?.with_env(Arc::new(surroundings));
                status = replay.fire(timer.program, ctx, 0)?;
                timer.next = timer.next.saturating_add(timer.period);
            }
        }
        last = sample.time;
        replay.host.now.store(sample.time, Ordering::Relaxed);
        for program in &by_event[sample.event] {
            if status.is_none() {
                let least = replay.instance.programs()[*program].context_size();
                let ctx = context(sample, lengths[sample.event], least)?;
                status = replay.fire(*program, ctx, sample.cpu)?;
            }
        }
        Ok(status.is_none())
    })?;
    if !started {
        for program in &begins {
            status = status.or(replay.fire_begin_or_end(*program, 0)?);
        }
    }
    let mut at_end = None;
    for program in &ends {
        at_end = at_end.or(replay.fire_begin_or_end(*program, last)?);
    }
    replay
        .sink
        .finish(&mut replay.printer, &ReplayMaps(&instance))?;
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

/// The record as a tracepoint program sees it, surrounded by what the sample says.
fn context(sample: &Sample<'_>, length: Length, least: usize) -> Result<Context> {
    // perf pads records; a short one (an old perf) reads as zeros.
    let keep = if length.more {
        sample.raw.len()
    } else {
        sample.raw.len().min(length.fields)
    };
    let mut bytes = sample.raw[..keep].to_vec();
    bytes.resize(keep.max(length.fields).max(least).max(HIDDEN), 0);
    bytes[..HIDDEN].fill(0);
    let mut comm = [0; 16];
    let name = &sample.comm.as_bytes()[..sample.comm.len().min(15)];
    comm[..name.len()].copy_from_slice(name);
    let (kernel, user): (Vec<u64>, Vec<u64>) =
        sample.callchain.iter().partition(|ip| **ip >> 63 == 1);
    let recorded = |chain: Vec<u64>| {
        if sample.callchain.is_empty() {
            None
        } else {
            Some(chain)
        }
    };
    let surroundings = Surroundings {
        monotonic_ns: sample.time,
        boot_ns: sample.time,
        pid_tgid: u64::from(sample.pid) << 32 | u64::from(sample.tid),
        comm,
        cpu: Some(sample.cpu),
        kernel_stack: recorded(kernel),
        user_stack: recorded(user),
        ..Surroundings::default()
    };
    Ok(Context::bytes(&bytes)?.with_env(Arc::new(surroundings)))
}
