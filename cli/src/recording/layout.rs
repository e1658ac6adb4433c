//! The attributes of a perf.data file → where a record's fields are.
//!
//! Source: `perf_event_open(2)`, `include/uapi/linux/perf_event.h`.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};

/// `PERF_SAMPLE_…`.
pub mod bits {
    pub const IP: u64 = 1 << 0;
    pub const TID: u64 = 1 << 1;
    pub const TIME: u64 = 1 << 2;
    pub const ADDR: u64 = 1 << 3;
    pub const READ: u64 = 1 << 4;
    pub const CALLCHAIN: u64 = 1 << 5;
    pub const ID: u64 = 1 << 6;
    pub const CPU: u64 = 1 << 7;
    pub const PERIOD: u64 = 1 << 8;
    pub const STREAM_ID: u64 = 1 << 9;
    pub const RAW: u64 = 1 << 10;
    pub const IDENTIFIER: u64 = 1 << 16;
}
use bits::{ADDR, CALLCHAIN, CPU, ID, IDENTIFIER, IP, PERIOD, RAW, READ, STREAM_ID, TID, TIME};

/// `PERF_FORMAT_…`.
const READ_TIMES: [u64; 2] = [1 << 0, 1 << 1];
const READ_ID: u64 = 1 << 2;
const READ_GROUP: u64 = 1 << 3;
const READ_LOST: u64 = 1 << 4;

/// The attribute's flag `sample_id_all`.
const SAMPLE_ID_ALL: u64 = 1 << 18;
/// Bytes of an attribute up to its flags.
const ATTRIBUTE: usize = 48;

/// `PERF_TYPE_TRACEPOINT`.
pub const TYPE_TRACEPOINT: u32 = 2;
/// `PERF_TYPE_SOFTWARE` with `PERF_COUNT_SW_CPU_CLOCK` and `_TASK_CLOCK`.
pub const TYPE_SOFTWARE: u32 = 1;

/// One event that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    pub kind: u32,
    pub config: u64,
    pub sample_type: u64,
    read_format: u64,
    sample_id_all: bool,
}

/// The attributes, and which of them a record is of.
#[derive(Debug)]
pub struct Attributes {
    pub list: Vec<Attribute>,
    by_id: HashMap<u64, usize>,
    /// All records have the fields of the first attribute.
    alike: bool,
}

/// The parts of a sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a> {
    pub attribute: usize,
    pub time: u64,
    pub pid: u32,
    pub tid: u32,
    pub cpu: u32,
    /// Addresses as they lie in the record, with the marks of kernel and user.
    pub chain: &'a [u8],
    pub raw: &'a [u8],
}

impl Attributes {
    /// `section` holds attributes of `each` bytes, the last sixteen of which say where its ids are in `file`.
    pub fn parse(
        section: &[u8],
        each: usize,
        mut ids: impl FnMut(u64, u64) -> Result<Vec<u8>>,
    ) -> Result<Attributes> {
        if each < ATTRIBUTE + 16 {
            bail!("its attributes have {each} bytes each, which is too few");
        }
        let (mut list, mut by_id) = (Vec::new(), HashMap::new());
        for entry in section.chunks_exact(each) {
            let flags = word(entry, 40);
            list.push(Attribute {
                kind: word(entry, 0) as u32,
                config: word(entry, 8),
                sample_type: word(entry, 24),
                read_format: word(entry, 32),
                sample_id_all: flags & SAMPLE_ID_ALL != 0,
            });
            for id in ids(word(entry, each - 16), word(entry, each - 8))?.chunks_exact(8) {
                by_id.insert(word(id, 0), list.len() - 1);
            }
        }
        let first = *list.first().context("it has no attributes")?;
        let fields = |a: &Attribute| (a.sample_type, a.read_format, a.sample_id_all);
        let alike = list.iter().all(|a| fields(a) == fields(&first));
        if !alike && list.iter().any(|a| a.sample_type & IDENTIFIER == 0) {
            bail!("its events have different fields and no identifiers that tell them apart");
        }
        Ok(Attributes { list, by_id, alike })
    }

    fn of(&self, id: Option<u64>) -> usize {
        match id {
            Some(id) if self.list.len() > 1 => self.by_id.get(&id).copied().unwrap_or(0),
            _ => 0,
        }
    }

    /// A sample's fields; `body` is the record without its header.
    pub fn sample<'a>(&self, body: &'a [u8]) -> Option<Fields<'a>> {
        let mut fields = Fields::default();
        if !self.alike {
            fields.attribute = self.of(Some(le(body, 0)?));
        }
        let attribute = self.list.get(fields.attribute)?;
        let has = |bit| attribute.sample_type & bit != 0;
        let mut at = 0;
        let mut id = None;
        if has(IDENTIFIER) {
            id = Some(le(body, at)?);
            at += 8;
        }
        if has(IP) {
            at += 8;
        }
        if has(TID) {
            let both = le(body, at)?;
            (fields.pid, fields.tid) = (both as u32, (both >> 32) as u32);
            at += 8;
        }
        if has(TIME) {
            fields.time = le(body, at)?;
            at += 8;
        }
        if has(ADDR) {
            at += 8;
        }
        if has(ID) {
            id = Some(le(body, at)?);
            at += 8;
        }
        if has(STREAM_ID) {
            at += 8;
        }
        if has(CPU) {
            fields.cpu = le(body, at)? as u32;
            at += 8;
        }
        if has(PERIOD) {
            at += 8;
        }
        if has(READ) {
            at = at.checked_add(read_bytes(attribute.read_format, body, at)?)?;
        }
        if has(CALLCHAIN) {
            let count = usize::try_from(le(body, at)?).ok()?;
            at += 8;
            let end = count.checked_mul(8)?.checked_add(at)?;
            fields.chain = body.get(at..end)?;
            at = end;
        }
        if has(RAW) {
            let size = u32::from_le_bytes(body.get(at..at.checked_add(4)?)?.try_into().ok()?);
            at += 4;
            fields.raw = body.get(at..at.checked_add(size as usize)?)?;
        }
        if self.alike {
            fields.attribute = self.of(id);
        }
        Some(fields)
    }

    /// When a sample was taken, for ordering.
    pub fn sample_time(&self, body: &[u8]) -> Option<u64> {
        let attribute = match self.alike {
            true => self.list.first()?,
            false => self.list.get(self.of(Some(le(body, 0)?)))?,
        };
        let has = |bit| attribute.sample_type & bit != 0;
        if !has(TIME) {
            return Some(0);
        }
        let before = [IDENTIFIER, IP, TID]
            .into_iter()
            .filter(|b| has(*b))
            .count();
        le(body, before * 8)
    }

    /// When any other record was made: it stands near its end.
    pub fn record_time(&self, body: &[u8]) -> u64 {
        let Some(attribute) = self.list.first().filter(|a| a.sample_id_all) else {
            return 0;
        };
        let has = |bit| attribute.sample_type & bit != 0;
        if !has(TIME) {
            return 0;
        }
        // Thread, time, then what follows the time.
        let after = [ID, STREAM_ID, CPU, IDENTIFIER]
            .into_iter()
            .filter(|b| has(*b))
            .count();
        body.len()
            .checked_sub(8 * (after + 1))
            .and_then(|at| le(body, at))
            .unwrap_or(0)
    }
}

fn read_bytes(format: u64, body: &[u8], at: usize) -> Option<usize> {
    let times = READ_TIMES.iter().filter(|b| format & **b != 0).count();
    let each = 1 + [READ_ID, READ_LOST]
        .iter()
        .filter(|b| format & **b != 0)
        .count();
    if format & READ_GROUP == 0 {
        return Some(8 * (times + each));
    }
    let count = usize::try_from(le(body, at)?).ok()?;
    count
        .checked_mul(each)?
        .checked_add(1 + times)?
        .checked_mul(8)
}

/// A word of the record.
pub fn le(bytes: &[u8], at: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(part.try_into().ok()?))
}

/// A word that is there; 0 where it is not.
pub fn word(bytes: &[u8], at: usize) -> u64 {
    le(bytes, at).unwrap_or(0)
}
