//! A perf.data file → samples in the order of time, with what helpers need to be answered.
//!
//! **Invariant:** a damaged file is an error; sizes are held against the file's length
//! before anything is allocated.

mod tracing_data;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail};
use linux_perf_data::linux_perf_event_reader::EventRecord;
use linux_perf_data::{Feature, PerfFileReader, PerfFileRecord};

pub use tracing_data::EventFormat;

/// A recording, opened; its samples are read once, by [`Recording::replay`].
pub struct Recording {
    reader: PerfFileReader<BufReader<File>>,
    pub events: Vec<EventFormat>,
    /// Processors of the machine it was made on.
    pub cpus: u32,
    comms: HashMap<u32, String>,
}

/// One tracepoint record.
pub struct Sample<'a> {
    /// Index into [`Recording::events`].
    pub event: usize,
    /// Nanoseconds, of the clock the recording was made with.
    pub time: u64,
    pub pid: u32,
    pub tid: u32,
    pub cpu: u32,
    pub comm: &'a str,
    /// The record as the kernel wrote it, padding at the end included.
    pub raw: &'a [u8],
    /// Instruction pointers, innermost first; empty when not recorded.
    pub callchain: &'a [u64],
}

/// What happened beside the samples.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub samples: u64,
    /// Events that the kernel dropped while recording.
    pub lost: u64,
    /// Samples of events for which no script asked are counted here too.
    pub without_record: u64,
}

impl Recording {
    pub fn open(path: &Path) -> Result<Recording> {
        let shown = path.display();
        let mut file =
            File::open(path).with_context(|| format!("cannot open the recording {shown}"))?;
        check_sections(&mut file)
            .with_context(|| format!("{shown} is not a whole perf.data file"))?;
        let reader = PerfFileReader::parse_file(BufReader::new(file)).map_err(|e| {
            anyhow::anyhow!("{shown} is not a perf.data file that can be read: {e}")
        })?;
        let Some(section) = reader.perf_file.feature_section_data(Feature::TRACING_DATA) else {
            bail!(
                "{shown} holds no tracepoint events, so there is nothing to replay\n\
                 record some with: perf record -a -e 'syscalls:sys_enter_openat' -- sleep 5"
            );
        };
        let data = tracing_data::parse(section)
            .with_context(|| format!("in the tracing data of {shown}"))?;
        let cpus = reader
            .perf_file
            .nr_cpus()
            .ok()
            .flatten()
            .map_or(1, |n| n.nr_cpus_available)
            .clamp(1, 4096);
        Ok(Recording {
            reader,
            events: data.events,
            cpus,
            comms: data.comms,
        })
    }

    /// Nanoseconds since 1970 when the recording's clock showed 0; 0 when it does not say.
    pub fn clock_start(&self) -> i128 {
        self.reader
            .perf_file
            .clock_data()
            .ok()
            .flatten()
            .map_or(0, |c| {
                i128::from(c.wall_clock_ns) - i128::from(c.clockid_time_ns)
            })
    }

    /// Hands every sample to `each`, oldest first, until it says `false`.
    pub fn replay(self, mut each: impl FnMut(&Sample<'_>) -> Result<bool>) -> Result<Totals> {
        let Recording {
            mut reader,
            events,
            mut comms,
            ..
        } = self;
        let by_id: HashMap<u16, usize> =
            events.iter().enumerate().map(|(i, e)| (e.id, i)).collect();
        let mut totals = Totals::default();
        let mut chain = Vec::new();
        while let Some(record) = reader
            .record_iter
            .next_record(&mut reader.perf_file)
            .context("in the recording")?
        {
            let PerfFileRecord::EventRecord { record, .. } = record else {
                continue;
            };
            match record.parse().context("in the recording")? {
                EventRecord::Comm(c) => {
                    comms.insert(
                        c.tid as u32,
                        String::from_utf8_lossy(&c.name.as_slice()).into_owned(),
                    );
                }
                EventRecord::Fork(f) => {
                    if let Some(parent) = comms.get(&(f.ptid as u32)).cloned() {
                        comms.insert(f.tid as u32, parent);
                    }
                }
                EventRecord::Lost(l) => totals.lost = totals.lost.saturating_add(l.count),
                EventRecord::Sample(s) => {
                    let raw = s.raw.map(|r| r.as_slice());
                    let raw = raw.as_deref().unwrap_or(&[]);
                    let event = raw
                        .get(..2)
                        .and_then(|id| by_id.get(&u16::from_le_bytes([id[0], id[1]])));
                    let Some(&event) = event else {
                        totals.without_record += 1;
                        continue;
                    };
                    totals.samples += 1;
                    let (tid, cpu) = (s.tid.unwrap_or(0) as u32, s.cpu.unwrap_or(0));
                    chain.clear();
                    if let Some(c) = s.callchain {
                        // Values from PERF_CONTEXT_MAX (-4095) on mark where kernel and user begin.
                        chain.extend(
                            (0..c.len())
                                .filter_map(|i| c.get(i))
                                .filter(|&ip| ip < -4095i64 as u64),
                        );
                    }
                    let idle;
                    let comm = if tid == 0 {
                        idle = format!("swapper/{cpu}");
                        &idle
                    } else {
                        comms.get(&tid).map_or("<...>", String::as_str)
                    };
                    let sample = Sample {
                        event,
                        time: s.timestamp.unwrap_or(0),
                        pid: s.pid.unwrap_or(0) as u32,
                        tid,
                        cpu,
                        comm,
                        raw,
                        callchain: &chain,
                    };
                    if !each(&sample)? {
                        break;
                    }
                }
                _ => {}
            }
        }
        Ok(totals)
    }
}

/// Every section the header names must lie in the file: the reader allocates what they claim.
fn check_sections(file: &mut File) -> Result<()> {
    let length = file.metadata()?.len();
    let mut header = [0u8; 104];
    file.read_exact(&mut header)
        .context("the header is cut off")?;
    if &header[..8] != b"PERFILE2" {
        bail!("it does not begin with PERFILE2");
    }
    let word = |at: usize| {
        let mut b = [0u8; 8];
        b.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(b)
    };
    let inside = |offset: u64, size: u64| offset.checked_add(size).is_some_and(|end| end <= length);
    for (what, at) in [("attributes", 24), ("data", 40)] {
        let (offset, size) = (word(at), word(at + 8));
        if !inside(offset, size) {
            bail!(
                "its {what} section ({size} bytes from {offset}) does not lie in the file's {length} bytes"
            );
        }
    }
    if word(16) == 0 || word(16) > 4096 {
        bail!("its attributes claim {} bytes each", word(16));
    }
    let features: u32 = header[72..104].iter().map(|b| b.count_ones()).sum();
    let table = word(40) + word(48);
    file.seek(SeekFrom::Start(table))?;
    for _ in 0..features {
        let mut entry = [0u8; 16];
        file.read_exact(&mut entry)
            .context("the table of features is cut off")?;
        let mut halves = entry.chunks_exact(8).map(|c| {
            let mut b = [0u8; 8];
            b.copy_from_slice(c);
            u64::from_le_bytes(b)
        });
        let (offset, size) = (halves.next().unwrap_or(0), halves.next().unwrap_or(0));
        if !inside(offset, size) {
            bail!(
                "a feature section ({size} bytes from {offset}) does not lie in the file's {length} bytes"
            );
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(())
}
