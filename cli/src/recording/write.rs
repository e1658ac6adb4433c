//! Events with what helpers answered at them → a perf.data file, which perf reads as well.
//!
//! **Invariant:** records are written in the order of time, with the ends of rounds between, so that a
//! reader need hold no more than a few thousand.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result};

use super::layout::{TYPE_SOFTWARE, TYPE_TRACEPOINT, bits};
use super::{COMM, EventFormat, Extra, LOST, MadeFor, feature, order};

/// Bytes of the header, of an attribute and of its place for ids.
const HEADER: u64 = 104;
const ATTRIBUTE: usize = 128;
const ENTRY: u64 = ATTRIBUTE as u64 + 16;
/// Most bytes of a record: its size has 16 bits.
const MOST: usize = 65_528;
/// Records between the ends of two rounds.
const ROUND: usize = 4096;
const FINISHED_ROUND: u32 = 68;
/// `CLOCK_MONOTONIC`, and the attribute's flags `comm`, `sample_id_all`, `use_clockid`.
const MONOTONIC: u32 = 1;
const FLAGS: u64 = 1 << 9 | 1 << 18 | 1 << 25;
/// Marks in a stack: what follows is the kernel's, or the user's.
const IN_KERNEL: u64 = -128i64 as u64;
const IN_USER: u64 = -512i64 as u64;

/// What is recorded.
#[derive(Clone, Debug)]
pub enum Source {
    Tracepoint(EventFormat),
    /// The processor's clock.
    CpuClock,
}

/// The machine, as the file's features say it.
pub struct About {
    pub cpus: u32,
    pub release: String,
    /// The time of day and the monotonic clock at one moment, in nanoseconds.
    pub wall_clock: u64,
    pub monotonic: u64,
    /// The texts `header_page` and `header_event` of tracefs.
    pub ring_headers: [String; 2],
}

/// One event as it is written.
pub struct Written<'a> {
    /// Index into the sources.
    pub source: usize,
    pub time: u64,
    pub pid: u32,
    pub tid: u32,
    pub cpu: u32,
    pub comm: &'a [u8],
    /// From the eighth byte on.
    pub data: &'a [u8],
    pub kernel_stack: &'a [u64],
    pub user_stack: &'a [u64],
    pub extra: &'a Extra,
}

pub struct Writer {
    out: BufWriter<File>,
    sources: Vec<Source>,
    stacks: bool,
    /// Bytes of records so far.
    data: u64,
    in_round: usize,
    comms: HashMap<u32, Vec<u8>>,
    last: u64,
    record: Vec<u8>,
    raw: Vec<u8>,
}

impl Writer {
    pub fn create(path: &Path, sources: Vec<Source>, stacks: bool) -> Result<Writer> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        // The header is known at the end.
        out.write_all(&[0; HEADER as usize])?;
        for n in 0..sources.len() as u64 {
            out.write_all(&(n + 1).to_le_bytes())?;
        }
        let mut writer = Writer {
            out,
            sources,
            stacks,
            data: 0,
            in_round: 0,
            comms: HashMap::new(),
            last: 0,
            record: Vec::new(),
            raw: Vec::new(),
        };
        writer.attributes()?;
        Ok(writer)
    }

    fn sample_type(&self) -> u64 {
        let with_stacks = if self.stacks { bits::CALLCHAIN } else { 0 };
        bits::IDENTIFIER
            | bits::IP
            | bits::TID
            | bits::TIME
            | bits::CPU
            | bits::PERIOD
            | bits::RAW
            | with_stacks
    }

    fn attributes(&mut self) -> Result<()> {
        for (n, source) in self.sources.iter().enumerate() {
            let (kind, config) = match source {
                Source::Tracepoint(event) => (TYPE_TRACEPOINT, u64::from(event.id)),
                Source::CpuClock => (TYPE_SOFTWARE, 0),
            };
            let mut attribute = [0u8; ATTRIBUTE];
            let mut put = |at: usize, bytes: &[u8]| {
                attribute[at..at + bytes.len()].copy_from_slice(bytes);
            };
            put(0, &kind.to_le_bytes());
            put(4, &(ATTRIBUTE as u32).to_le_bytes());
            put(8, &config.to_le_bytes());
            put(16, &1u64.to_le_bytes());
            put(24, &self.sample_type().to_le_bytes());
            put(40, &FLAGS.to_le_bytes());
            put(92, &MONOTONIC.to_le_bytes());
            self.out.write_all(&attribute)?;
            self.out.write_all(&(HEADER + n as u64 * 8).to_le_bytes())?;
            self.out.write_all(&8u64.to_le_bytes())?;
        }
        Ok(())
    }

    /// Writes a sample, and before it the thread's name where that is new.
    pub fn sample(&mut self, s: &Written<'_>) -> Result<()> {
        if self.comms.get(&s.tid).is_none_or(|c| c != s.comm) {
            self.comms.insert(s.tid, s.comm.to_vec());
            self.comm(s)?;
        }
        self.raw.clear();
        if let Source::Tracepoint(event) = &self.sources[s.source] {
            // The fields that all events have: id, flags, thread.
            self.raw.extend(event.id.to_le_bytes());
            self.raw.extend([0; 2]);
            self.raw.extend(s.tid.to_le_bytes());
            self.raw.extend(s.data);
        }
        let chain = match self.stacks {
            true => 8 + (s.kernel_stack.len() + s.user_stack.len() + 2) * 8,
            false => 0,
        };
        s.extra
            .append(&mut self.raw, MOST.saturating_sub(8 + 7 * 8 + chain));
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        let word = |r: &mut Vec<u8>, v: u64| r.extend(v.to_le_bytes());
        word(&mut record, s.source as u64 + 1);
        word(&mut record, s.kernel_stack.first().copied().unwrap_or(0));
        word(&mut record, u64::from(s.tid) << 32 | u64::from(s.pid));
        word(&mut record, s.time);
        word(&mut record, u64::from(s.cpu));
        word(&mut record, 1);
        if self.stacks {
            let parts = [(IN_KERNEL, s.kernel_stack), (IN_USER, s.user_stack)];
            let parts = parts.iter().filter(|(_, frames)| !frames.is_empty());
            let frames: Vec<u64> = parts
                .flat_map(|(mark, frames)| std::iter::once(mark).chain(frames.iter()))
                .copied()
                .collect();
            word(&mut record, frames.len() as u64);
            frames.iter().for_each(|f| word(&mut record, *f));
        }
        record.extend((self.raw.len() as u32).to_le_bytes());
        record.extend(&self.raw);
        self.put(order::SAMPLE, 1, &record)?;
        self.record = record;
        self.last = s.time;
        self.in_round += 1;
        if self.in_round == ROUND {
            self.in_round = 0;
            self.put(FINISHED_ROUND, 0, &[])?;
        }
        Ok(())
    }

    fn comm(&mut self, s: &Written<'_>) -> Result<()> {
        let mut record = Vec::new();
        record.extend(s.pid.to_le_bytes());
        record.extend(s.tid.to_le_bytes());
        record.extend(s.comm);
        record.push(0);
        record.resize(record.len().next_multiple_of(8), 0);
        self.identity(&mut record, s.source, s.pid, s.tid, s.time, s.cpu);
        self.put(COMM, 0, &record)
    }

    /// What `sample_id_all` puts at a record's end.
    fn identity(&self, r: &mut Vec<u8>, source: usize, pid: u32, tid: u32, time: u64, cpu: u32) {
        r.extend(pid.to_le_bytes());
        r.extend(tid.to_le_bytes());
        r.extend(time.to_le_bytes());
        r.extend(u64::from(cpu).to_le_bytes());
        r.extend((source as u64 + 1).to_le_bytes());
    }

    fn put(&mut self, kind: u32, misc: u16, body: &[u8]) -> Result<()> {
        let size = u16::try_from(body.len() + 8).context("a record is too long")?;
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&misc.to_le_bytes())?;
        self.out.write_all(&size.to_le_bytes())?;
        self.out.write_all(body)?;
        self.data += u64::from(size);
        Ok(())
    }

    /// Ends the file: what was lost, its features, its header.
    pub fn finish(mut self, lost: u64, about: &About, made_for: &MadeFor) -> Result<()> {
        if lost > 0 {
            let mut record = Vec::new();
            record.extend(1u64.to_le_bytes());
            record.extend(lost.to_le_bytes());
            self.identity(&mut record, 0, 0, 0, self.last, 0);
            self.put(LOST, 0, &record)?;
        }
        let mut clock = Vec::new();
        clock.extend(1u32.to_le_bytes());
        clock.extend(MONOTONIC.to_le_bytes());
        clock.extend(about.wall_clock.to_le_bytes());
        clock.extend(about.monotonic.to_le_bytes());
        let cpus = [about.cpus.to_le_bytes(), about.cpus.to_le_bytes()].concat();
        // In the order of their bits, as the file's table has them.
        let features = [
            (feature::TRACING_DATA, self.tracing_data(about)),
            (feature::OSRELEASE, text(&about.release)),
            (feature::NRCPUS, cpus),
            (feature::CLOCK_DATA, clock),
            (feature::PROBITY, serde_json::to_vec(made_for)?),
        ];
        let attributes = HEADER + self.sources.len() as u64 * 8;
        let data = attributes + self.sources.len() as u64 * ENTRY;
        let mut place = data + self.data + features.len() as u64 * 16;
        for (_, bytes) in &features {
            self.out.write_all(&place.to_le_bytes())?;
            self.out.write_all(&(bytes.len() as u64).to_le_bytes())?;
            place += bytes.len() as u64;
        }
        let mut present = [0u8; 32];
        for (bit, bytes) in &features {
            self.out.write_all(bytes)?;
            present[*bit as usize / 8] |= 1 << (bit % 8);
        }
        let mut header = b"PERFILE2".to_vec();
        for word in [
            HEADER,
            ENTRY,
            attributes,
            self.sources.len() as u64 * ENTRY,
            data,
            self.data,
            0,
            0,
        ] {
            header.extend(word.to_le_bytes());
        }
        header.extend(present);
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header)?;
        self.out.flush()?;
        Ok(())
    }

    /// The events' formats, as `trace-event-info.c` of perf lays them out.
    fn tracing_data(&self, about: &About) -> Vec<u8> {
        let mut b = b"\x17\x08\x44tracing0.6\0\0\x08".to_vec();
        b.extend(4096u32.to_le_bytes());
        let sized = |b: &mut Vec<u8>, text: &str| {
            b.extend((text.len() as u64).to_le_bytes());
            b.extend(text.as_bytes());
        };
        let named = |b: &mut Vec<u8>, name: &str| {
            b.extend(name.as_bytes());
            b.push(0);
        };
        for (name, text) in ["header_page", "header_event"]
            .into_iter()
            .zip(&about.ring_headers)
        {
            named(&mut b, name);
            sized(&mut b, text);
        }
        b.extend(0u32.to_le_bytes());
        let mut systems: Vec<(&str, Vec<&EventFormat>)> = Vec::new();
        for source in &self.sources {
            let Source::Tracepoint(event) = source else {
                continue;
            };
            match systems.iter_mut().find(|(c, _)| *c == event.category) {
                Some((_, events)) => events.push(event),
                None => systems.push((&event.category, vec![event])),
            }
        }
        b.extend((systems.len() as u32).to_le_bytes());
        for (category, events) in systems {
            named(&mut b, category);
            b.extend((events.len() as u32).to_le_bytes());
            for event in events {
                sized(&mut b, &event.text);
            }
        }
        // No symbols, no texts of printk, no names saved before.
        b.extend(0u32.to_le_bytes());
        b.extend(0u32.to_le_bytes());
        b.extend(0u64.to_le_bytes());
        b
    }
}

/// A text as perf's header has it: its length, then the text with NULs up to a multiple of 64.
fn text(s: &str) -> Vec<u8> {
    let length = (s.len() + 1).next_multiple_of(64);
    let mut b = (length as u32).to_le_bytes().to_vec();
    b.extend(s.as_bytes());
    b.resize(4 + length, 0);
    b
}
