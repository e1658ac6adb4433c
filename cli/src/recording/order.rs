//! The data section of a perf.data file → its records, oldest first.
//!
//! perf writes what it finds processor by processor and then ends the round: what is older than all of the
//! round before is in order then. So rounds are held, not the file: two, and those that a thread of its own
//! reads ahead meanwhile.
//!
//! **Invariant:** records of one time stay in the file's order, so a replay is the same on every run.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::{Context, Result, bail};

use super::layout::Attributes;

/// `PERF_RECORD_SAMPLE`, and the user's records that matter here.
pub const SAMPLE: u32 = 9;
const AUXTRACE: u32 = 71;
const FINISHED_ROUND: u32 = 68;
const COMPRESSED: u32 = 81;
const COMPRESSED2: u32 = 83;
/// Records from here on are perf's own, not the kernel's.
const FIRST_OF_USER: u32 = 64;

/// How much is read at once.
const CHUNK: usize = 256 << 10;
/// Rounds that are read ahead.
const AHEAD: usize = 1;
/// Buffers that are kept to be filled again: pages that are there need not be made and cleared.
const KEPT: usize = 8;

/// A record that waits for its turn.
#[derive(Clone, Copy)]
struct Waiting {
    time: u64,
    at: usize,
    /// Of the round that is being read, not of the one before.
    newest: bool,
}

/// Records whose turn has come, in their order.
struct Due {
    waiting: Arc<Vec<Waiting>>,
    /// The round before, and the one that was read last.
    rounds: [Arc<Vec<u8>>; 2],
}

impl Due {
    fn hand_over(&self, each: &mut impl FnMut(u32, &[u8]) -> Result<bool>) -> Result<bool> {
        for w in self.waiting.iter() {
            let record = &self.rounds[usize::from(w.newest)][w.at..];
            let kind = u32::from_le_bytes([record[0], record[1], record[2], record[3]]);
            let size = usize::from(u16::from_le_bytes([record[6], record[7]]));
            if !each(kind, &record[8..size])? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Buffers that were handed out, and come back when nobody reads them any more.
struct Spare<T> {
    lent: Vec<Arc<Vec<T>>>,
}

impl<T> Default for Spare<T> {
    fn default() -> Spare<T> {
        Spare { lent: Vec::new() }
    }
}

impl<T> Spare<T> {
    /// An empty buffer.
    fn take(&mut self) -> Vec<T> {
        let back = self.lent.iter().position(|b| Arc::strong_count(b) == 1);
        let buffer = back.and_then(|n| Arc::into_inner(self.lent.swap_remove(n)));
        let mut buffer = buffer.unwrap_or_default();
        buffer.clear();
        buffer
    }

    fn lend(&mut self, buffer: Vec<T>) -> Arc<Vec<T>> {
        let buffer = Arc::new(buffer);
        if self.lent.len() < KEPT {
            self.lent.push(buffer.clone());
        }
        buffer
    }
}

pub struct Records {
    file: File,
    /// Bytes of the data section that are not read yet.
    left: u64,
    round_before: Arc<Vec<u8>>,
    /// The round that is being read with whatever was read behind it.
    newest: Vec<u8>,
    /// How far the newest round is looked at.
    at: usize,
    waiting: Vec<Waiting>,
    spare_rounds: Spare<u8>,
    spare_waiting: Spare<Waiting>,
    /// The latest time of the round before this one, and of this one.
    before: u64,
    latest: u64,
}

impl Records {
    pub fn new(mut file: File, offset: u64, size: u64) -> Result<Records> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Records {
            file,
            left: size,
            round_before: Arc::default(),
            newest: Vec::new(),
            at: 0,
            waiting: Vec::new(),
            spare_rounds: Spare::default(),
            spare_waiting: Spare::default(),
            before: 0,
            latest: 0,
        })
    }

    /// Hands every record to `each`, with its kind and its bytes behind the header, until it says `false`.
    pub fn each(
        self,
        attributes: &Attributes,
        mut each: impl FnMut(u32, &[u8]) -> Result<bool>,
    ) -> Result<()> {
        std::thread::scope(|scope| {
            let (hand, due) = sync_channel(AHEAD);
            let reader = scope.spawn(move || self.read(attributes, &hand));
            for due in due {
                if !due.hand_over(&mut each)? {
                    return Ok(());
                }
            }
            match reader.join() {
                Ok(read) => read,
                Err(_) => bail!("the thread that reads it ended early"),
            }
        })
    }

    /// Reads all rounds; ends early when nobody takes them any more.
    fn read(mut self, attributes: &Attributes, hand: &SyncSender<Due>) -> Result<()> {
        while let Some((kind, size)) = self.header()? {
            let body = &self.newest[self.at + 8..self.at + size];
            match kind {
                FINISHED_ROUND => {
                    self.at += size;
                    let limit = self.before;
                    self.before = self.latest;
                    if hand.send(self.due(limit)).is_err() {
                        return Ok(());
                    }
                }
                COMPRESSED | COMPRESSED2 => {
                    bail!("it is compressed (perf record -z), which is not supported")
                }
                AUXTRACE => {
                    let more = super::layout::word(body, 0);
                    self.at += size;
                    self.skip(more)?;
                }
                kind if kind >= FIRST_OF_USER => self.at += size,
                kind => {
                    let time = match kind {
                        SAMPLE => attributes
                            .sample_time(body)
                            .context("a sample is too short for its fields")?,
                        _ => attributes.record_time(body),
                    };
                    self.latest = self.latest.max(time);
                    self.waiting.push(Waiting {
                        time,
                        at: self.at,
                        newest: true,
                    });
                    self.at += size;
                }
            }
        }
        // Nobody may be there to take it: then it is not wanted.
        let _ = hand.send(self.due(u64::MAX));
        Ok(())
    }

    /// Kind and size of the next record, all of which has been read then.
    fn header(&mut self) -> Result<Option<(u32, usize)>> {
        if !self.fill(8)? {
            return match self.newest.len() - self.at {
                0 => Ok(None),
                _ => bail!("the last record is cut off"),
            };
        }
        let head = &self.newest[self.at..self.at + 8];
        let kind = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let size = usize::from(u16::from_le_bytes([head[6], head[7]]));
        if size < 8 {
            bail!("a record claims {size} bytes");
        }
        if !self.fill(size)? {
            bail!("the last record is cut off");
        }
        Ok(Some((kind, size)))
    }

    /// Whether that many bytes more have been read, reading on where they have not.
    fn fill(&mut self, bytes: usize) -> Result<bool> {
        let newest = &mut self.newest;
        while newest.len() - self.at < bytes && self.left > 0 {
            let have = newest.len();
            let wanted = self.left.min(CHUNK as u64);
            newest.reserve(CHUNK);
            let n = (&mut self.file).take(wanted).read_to_end(newest)?;
            debug_assert_eq!(newest.len(), have + n);
            if n == 0 {
                bail!("the file ends inside of its records");
            }
            self.left -= n as u64;
        }
        Ok(newest.len() - self.at >= bytes)
    }

    /// Passes over data that is in no record.
    fn skip(&mut self, bytes: u64) -> Result<()> {
        let here = (self.newest.len() - self.at) as u64;
        let from_buffer = bytes.min(here);
        self.at += from_buffer as usize;
        let rest = bytes - from_buffer;
        if rest > self.left {
            bail!("a record claims {bytes} bytes behind it");
        }
        let rest = i64::try_from(rest).context("a record claims too many bytes behind it")?;
        self.file.seek(SeekFrom::Current(rest))?;
        self.left -= rest as u64;
        Ok(())
    }

    /// What is not younger than `limit`; a new round begins.
    fn due(&mut self, limit: u64) -> Due {
        if !self.waiting.is_sorted_by_key(|w| w.time) {
            self.waiting.sort_by_key(|w| w.time);
        }
        let count = self.waiting.partition_point(|w| w.time <= limit);
        // All of the round before is due now: what stays is of the newest one.
        let mut later = self.spare_waiting.take();
        later.extend(
            self.waiting
                .drain(count..)
                .map(|w| Waiting { newest: false, ..w }),
        );
        let waiting = std::mem::replace(&mut self.waiting, later);
        let mut behind = self.spare_rounds.take();
        behind.extend_from_slice(self.newest.get(self.at..).unwrap_or(&[]));
        self.at = 0;
        let newest = std::mem::replace(&mut self.newest, behind);
        let newest = self.spare_rounds.lend(newest);
        let before = std::mem::replace(&mut self.round_before, newest.clone());
        Due {
            waiting: self.spare_waiting.lend(waiting),
            rounds: [before, newest],
        }
    }
}
