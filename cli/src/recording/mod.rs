//! A perf.data file → samples in the order of time, with what helpers need to be answered.
//!
//! **Invariant:** a damaged file is an error; sizes are held against the file's length
//! before anything is allocated.

mod extra;
mod layout;
mod mappings;
mod order;
mod tracing_data;
pub mod write;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

pub use extra::Extra;
use layout::{Attributes, word};
pub use mappings::{MappedFile, Mappings};
use order::Records;
pub use tracing_data::EventFormat;

/// Features of a perf.data file (`HEADER_…` of perf), and ours: bits that perf does not know it leaves alone.
mod feature {
    pub const TRACING_DATA: u32 = 1;
    pub const BUILD_ID: u32 = 2;
    pub const OSRELEASE: u32 = 4;
    pub const NRCPUS: u32 = 7;
    pub const CLOCK_DATA: u32 = 29;
    pub const PROBITY: u32 = 240;
    pub const ALL: u32 = 256;
}

/// `PERF_RECORD_…`.
const MMAP: u32 = 1;
const MMAP2: u32 = 10;
const LOST: u32 = 2;
const COMM: u32 = 3;
const FORK: u32 = 7;
const LOST_SAMPLES: u32 = 13;

/// A recording, opened; its samples are read once, by [`Recording::replay`].
pub struct Recording {
    file: File,
    data: (u64, u64),
    attributes: Attributes,
    pub events: Vec<EventFormat>,
    /// Processors of the machine it was made on.
    pub cpus: u32,
    comms: HashMap<u32, [u8; 16]>,
    clock_start: i128,
    /// The kernel it was made on.
    pub release: Option<String>,
    /// What it holds for a script; perf's own recordings hold nothing more than events.
    pub made_for: Option<MadeFor>,
    /// What was mapped so far, as the replay goes on.
    pub mappings: Arc<Mutex<Mappings>>,
    /// When its file was written.
    pub written: Option<SystemTime>,
    /// Files that samples were in, with their build ids.
    pub build_ids: HashMap<String, Vec<u8>>,
}

/// What `probity record -s` says of its recording.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MadeFor {
    /// The script's text.
    pub script: String,
    /// What the script asks that is in no event, by kind and as it is written there.
    pub answers: Vec<(String, String)>,
    /// Names of kernel addresses in stacks.
    pub kernel: Vec<NamedAddress>,
    /// The same of processes.
    pub user: Vec<(u32, Vec<NamedAddress>)>,
}

/// An address, its function, the distance from its start, the file or module.
pub type NamedAddress = (u64, String, u64, Option<String>);

/// What a sample is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Index into [`Recording::events`].
    Tracepoint(usize),
    /// A counter that ran over: `PERF_TYPE_…` and what it counts.
    Counter { kind: u32, config: u64 },
}

/// One record of an event.
pub struct Sample<'a> {
    pub of: Of,
    /// Nanoseconds, of the clock the recording was made with.
    pub time: u64,
    pub pid: u32,
    pub tid: u32,
    pub cpu: u32,
    /// NUL-terminated.
    pub comm: &'a [u8; 16],
    /// The record as the kernel wrote it, padding at the end included.
    pub raw: &'a [u8],
    /// Instruction pointers of 8 bytes, innermost first, with marks of kernel and user; empty when not recorded.
    pub chain: &'a [u8],
}

/// What happened beside the samples.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub samples: u64,
    /// Events that the kernel dropped while recording.
    pub lost: u64,
}

impl Recording {
    pub fn open(path: &Path) -> Result<Recording> {
        let shown = path.display();
        let mut file =
            File::open(path).with_context(|| format!("cannot open the recording {shown}"))?;
        let written = file.metadata().and_then(|m| m.modified()).ok();
        let sections = check_sections(&mut file)
            .with_context(|| format!("{shown} is not a whole perf.data file"))?;
        let mut section = |(offset, size): (u64, u64)| -> Result<Vec<u8>> {
            let length = file.metadata()?.len();
            if offset.checked_add(size).is_none_or(|end| end > length) {
                bail!("a section of {size} bytes from {offset} does not lie in the file");
            }
            let mut bytes = vec![0; usize::try_from(size)?];
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        let attributes = section(sections.attributes)?;
        let attributes = Attributes::parse(&attributes, sections.attribute_size, |offset, size| {
            section((offset, size))
        })
        .with_context(|| format!("{shown} is not a perf.data file that can be read"))?;
        let mut feature = |bit: u32| match sections.features.get(&bit) {
            Some(place) => section(*place).map(Some),
            None => Ok(None),
        };
        let data = match feature(feature::TRACING_DATA)? {
            Some(bytes) => tracing_data::parse(&bytes)
                .with_context(|| format!("in the tracing data of {shown}"))?,
            None => Default::default(),
        };
        if data.events.is_empty()
            && attributes
                .list
                .iter()
                .all(|a| a.kind == layout::TYPE_TRACEPOINT)
        {
            bail!(
                "{shown} holds no tracepoint events, so there is nothing to replay\n\
                 record some with: perf record -a -e 'syscalls:sys_enter_openat' -- sleep 5"
            );
        }
        let build_ids = feature(feature::BUILD_ID)?
            .map(|bytes| mappings::build_ids(&bytes))
            .unwrap_or_default();
        let cpus = feature(feature::NRCPUS)?.map_or(1, |b| word(&b, 0) as u32);
        let clock = feature(feature::CLOCK_DATA)?.unwrap_or_default();
        let release = feature(feature::OSRELEASE)?.and_then(|b| {
            Some(
                String::from_utf8_lossy(b.get(4..)?)
                    .trim_end_matches('\0')
                    .to_string(),
            )
        });
        let made_for = match feature(feature::PROBITY)? {
            Some(bytes) => Some(
                serde_json::from_slice(&bytes)
                    .with_context(|| format!("in what {shown} was made for"))?,
            ),
            None => None,
        };
        Ok(Recording {
            file,
            data: sections.data,
            attributes,
            events: data.events,
            cpus: cpus.clamp(1, 4096),
            comms: data
                .comms
                .iter()
                .map(|(t, c)| (*t, comm(c.as_bytes())))
                .collect(),
            clock_start: match clock.len() {
                // Version and clock, the time of day, the recording's clock at that time.
                24.. => i128::from(word(&clock, 8)) - i128::from(word(&clock, 16)),
                _ => 0,
            },
            release,
            made_for,
            mappings: Arc::default(),
            written,
            build_ids,
        })
    }

    /// Nanoseconds since 1970 when the recording's clock showed 0; 0 when it does not say.
    pub fn clock_start(&self) -> i128 {
        self.clock_start
    }

    /// Whether events of a counter (`PERF_TYPE_…`, what it counts) are in it.
    pub fn counts(&self, wanted: impl Fn(u32, u64) -> bool) -> bool {
        self.attributes
            .list
            .iter()
            .any(|a| wanted(a.kind, a.config))
    }

    /// Whether its events have stacks.
    pub fn has_stacks(&self) -> bool {
        self.attributes
            .list
            .iter()
            .any(|a| a.sample_type & layout::bits::CALLCHAIN != 0)
    }

    /// Hands every sample that `wanted` asks for to `each`, oldest first, until it says `false`.
    pub fn replay(
        self,
        wanted: impl Fn(Of) -> bool,
        mut each: impl FnMut(&Sample<'_>) -> Result<bool>,
    ) -> Result<Totals> {
        let Recording {
            file,
            data,
            attributes,
            events,
            mut comms,
            mappings,
            ..
        } = self;
        let map = || mappings.lock().unwrap_or_else(|e| e.into_inner());
        let mut by_id: Vec<Option<usize>> = vec![None; 1 << 16];
        for (n, event) in events.iter().enumerate() {
            by_id[usize::from(event.id)] = Some(n);
        }
        let wants: Vec<bool> = (0..events.len())
            .map(|n| wanted(Of::Tracepoint(n)))
            .collect();
        let mut totals = Totals::default();
        // Most samples are of the thread of the one before.
        let mut last: Option<(u32, u32, [u8; 16])> = None;
        Records::new(file, data.0, data.1)?
            .each(&attributes, |kind, body| {
                match kind {
                    order::SAMPLE => {}
                    COMM => {
                        let tid = (word(body, 0) >> 32) as u32;
                        comms.insert(tid, comm(body.get(8..).unwrap_or(&[])));
                        last = None;
                        return Ok(true);
                    }
                    FORK => {
                        // Process and its parent, thread and its parent.
                        let (tid, parent) = (word(body, 8) as u32, (word(body, 8) >> 32) as u32);
                        map().fork(word(body, 0) as u32, (word(body, 0) >> 32) as u32);
                        if let Some(name) = comms.get(&parent).copied() {
                            comms.insert(tid, name);
                            last = None;
                        }
                        return Ok(true);
                    }
                    MMAP | MMAP2 => {
                        map().note(body, kind == MMAP2);
                        return Ok(true);
                    }
                    LOST => {
                        totals.lost = totals.lost.saturating_add(word(body, 8));
                        return Ok(true);
                    }
                    LOST_SAMPLES => {
                        totals.lost = totals.lost.saturating_add(word(body, 0));
                        return Ok(true);
                    }
                    _ => return Ok(true),
                }
                let fields = attributes
                    .sample(body)
                    .context("a sample is too short for its fields")?;
                let attribute = &attributes.list[fields.attribute];
                let of = if attribute.kind == layout::TYPE_TRACEPOINT {
                    let id = fields
                        .raw
                        .get(..2)
                        .map(|b| u16::from_le_bytes([b[0], b[1]]));
                    match id.and_then(|id| by_id[usize::from(id)]) {
                        Some(event) if wants[event] => Of::Tracepoint(event),
                        _ => return Ok(true),
                    }
                } else {
                    let of = Of::Counter {
                        kind: attribute.kind,
                        config: attribute.config,
                    };
                    if !wanted(of) {
                        return Ok(true);
                    }
                    of
                };
                totals.samples += 1;
                let name = match last {
                    Some((tid, cpu, name)) if tid == fields.tid && cpu == fields.cpu => name,
                    _ => {
                        let name = match fields.tid {
                            0 => comm(format!("swapper/{}", fields.cpu).as_bytes()),
                            tid => comms
                                .get(&tid)
                                .copied()
                                .unwrap_or(*b"<...>\0\0\0\0\0\0\0\0\0\0\0"),
                        };
                        last = Some((fields.tid, fields.cpu, name));
                        name
                    }
                };
                each(&Sample {
                    of,
                    time: fields.time,
                    pid: fields.pid,
                    tid: fields.tid,
                    cpu: fields.cpu,
                    comm: &name,
                    raw: fields.raw,
                    chain: fields.chain,
                })
            })
            .context("in the recording")?;
        Ok(totals)
    }
}

/// A name as the kernel keeps it: at most 15 bytes and a NUL.
fn comm(name: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    for (o, b) in out.iter_mut().zip(name.iter().take(15)) {
        if *b == 0 {
            break;
        }
        *o = *b;
    }
    out
}

/// Where a file's sections are: offset and size.
struct Sections {
    attribute_size: usize,
    attributes: (u64, u64),
    data: (u64, u64),
    features: HashMap<u32, (u64, u64)>,
}

/// Every section the header names must lie in the file: the reader allocates what they claim.
fn check_sections(file: &mut File) -> Result<Sections> {
    let length = file.metadata()?.len();
    let mut header = [0u8; 104];
    file.read_exact(&mut header)
        .context("the header is cut off")?;
    if &header[..8] != b"PERFILE2" {
        bail!("it does not begin with PERFILE2");
    }
    let word = |at: usize| word(&header, at);
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
    let present = (0..feature::ALL).filter(|b| header[72 + *b as usize / 8] & 1 << (b % 8) != 0);
    let table = word(40) + word(48);
    file.seek(SeekFrom::Start(table))?;
    let mut features = HashMap::new();
    for bit in present {
        let mut entry = [0u8; 16];
        file.read_exact(&mut entry)
            .context("the table of features is cut off")?;
        let (offset, size) = (layout::word(&entry, 0), layout::word(&entry, 8));
        if !inside(offset, size) {
            bail!(
                "a feature section ({size} bytes from {offset}) does not lie in the file's {length} bytes"
            );
        }
        features.insert(bit, (offset, size));
    }
    Ok(Sections {
        attribute_size: word(16) as usize,
        attributes: (word(24), word(32)),
        data: (word(40), word(48)),
        features,
    })
}
