//! The TRACING_DATA section of a perf.data file → the formats of its events.
//!
//! Layout (perf's `trace-event-info.c`, file format version 0.6): a magic, a version,
//! byte order, sizes; the ring buffer's own header formats; the formats of ftrace's
//! events; then by system the formats of the recorded events; kallsyms, printk formats
//! and the names of processes that were there before.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};

/// What a recording says of its events.
#[derive(Debug, Default)]
pub struct TracingData {
    pub events: Vec<EventFormat>,
    /// Process names by thread id, for threads that were there before.
    pub comms: HashMap<u32, String>,
}

/// One event: the text of its `format` file, as tracefs has it.
#[derive(Clone, Debug)]
pub struct EventFormat {
    pub category: String,
    pub name: String,
    /// The number that records carry in their first two bytes.
    pub id: u16,
    pub text: String,
}

/// No recording has more; a file that claims so is damaged.
const MOST_EVENTS: u32 = 100_000;

pub fn parse(bytes: &[u8]) -> Result<TracingData> {
    let mut r = Reader { bytes, at: 0 };
    if r.take(10)? != b"\x17\x08\x44tracing" {
        bail!("the tracing data does not begin with its magic number");
    }
    let version = r.string()?;
    let big_endian = r.take(1)?[0] != 0;
    if big_endian {
        bail!("the recording was made on a big-endian machine, which is not supported");
    }
    let _long_size = r.take(1)?;
    let _page_size = r.u32()?;
    for name in ["header_page", "header_event"] {
        let found = r.string()?;
        if found != name {
            bail!("expected `{name}` in the tracing data, found `{found}`");
        }
        r.sized_u64()?;
    }
    for _ in 0..r.count()? {
        r.sized_u64()?;
    }
    let mut data = TracingData::default();
    for _ in 0..r.count()? {
        let category = r.string()?;
        for _ in 0..r.count()? {
            let text = String::from_utf8_lossy(r.sized_u64()?).into_owned();
            data.events.push(event(category.clone(), text)?);
        }
    }
    let kallsyms = r.u32()?;
    r.take(kallsyms as usize)?;
    let printk = r.u32()?;
    r.take(printk as usize)?;
    if version.as_str() >= "0.6" && r.at < bytes.len() {
        for line in String::from_utf8_lossy(r.sized_u64()?).lines() {
            if let Some((tid, comm)) = line.split_once(' ')
                && let Ok(tid) = tid.parse()
            {
                data.comms.insert(tid, comm.to_string());
            }
        }
    }
    Ok(data)
}

fn event(category: String, text: String) -> Result<EventFormat> {
    let field = |key: &str| {
        text.lines()
            .find_map(|l| l.strip_prefix(key))
            .map(str::trim)
    };
    let name = field("name:")
        .context("an event format without a name")?
        .to_string();
    let id = field("ID:")
        .and_then(|id| id.parse().ok())
        .with_context(|| format!("the format of {category}:{name} has no ID"))?;
    Ok(EventFormat {
        category,
        name,
        id,
        text,
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let end = self
            .at
            .checked_add(n)
            .filter(|&end| end <= self.bytes.len());
        let Some(end) = end else {
            bail!("the tracing data ends early, at byte {}", self.bytes.len());
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32> {
        let b = self.take(4)?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn count(&mut self) -> Result<u32> {
        let n = self.u32()?;
        if n > MOST_EVENTS {
            bail!("the tracing data claims {n} events");
        }
        Ok(n)
    }

    fn sized_u64(&mut self) -> Result<&'a [u8]> {
        let b = self.take(8)?;
        let n = u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
        self.take(usize::try_from(n).unwrap_or(usize::MAX))
    }

    fn string(&mut self) -> Result<String> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().position(|&b| b == 0) else {
            bail!("a text in the tracing data has no end");
        };
        self.at += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut b = b"\x17\x08\x44tracing0.6\0\0\x08".to_vec();
        b.extend(4096u32.to_le_bytes());
        for name in ["header_page", "header_event"] {
            b.extend(name.as_bytes());
            b.push(0);
            b.extend(2u64.to_le_bytes());
            b.extend(b"xx");
        }
        b.extend(0u32.to_le_bytes());
        b.extend(1u32.to_le_bytes());
        b.extend(b"sched\0");
        b.extend(1u32.to_le_bytes());
        let text = "name: sched_switch\nID: 313\nformat:\n";
        b.extend((text.len() as u64).to_le_bytes());
        b.extend(text.as_bytes());
        b.extend(0u32.to_le_bytes());
        b.extend(0u32.to_le_bytes());
        b.extend(13u64.to_le_bytes());
        b.extend(b"1 init\n7 bash\n");
        b
    }

    #[test]
    fn reads_what_perf_writes() {
        let data = parse(&sample()).unwrap();
        assert_eq!(data.events.len(), 1);
        assert_eq!(
            (data.events[0].name.as_str(), data.events[0].id),
            ("sched_switch", 313)
        );
        assert_eq!(data.comms[&1], "init");
    }

    #[test]
    fn every_truncation_is_an_error_or_less() {
        let whole = sample();
        for end in 0..whole.len() {
            let _ = parse(&whole[..end]);
        }
        assert!(parse(&whole[..40]).is_err());
    }
}
