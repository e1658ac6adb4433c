//! Decisions ⇄ a log that is only added to: one JSON object a line, each line chained to the one before.
//!
//! A line has `seq` (from 1), `time`, `event`, whatever the event has to tell, `prev`, the `hash` of the line
//! before (64 zeros in the first), and last `hash`: the SHA-256 of the text `probity log 1`, a newline, and the
//! line up to the comma before `hash`. So a line that is changed, added, left out or moved breaks the chain there.
//!
//! Whoever can write the file can also write another chain, or leave out its end; against that there is the
//! [`Head`], to be kept elsewhere.
//!
//! A process may be killed while it writes, so the last line may be torn. The next [`Log::append`] says so in the
//! log; nothing but the torn line is ever taken away.
//!
//! **Invariant:** reading never fails: what is wrong is in the result.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::digest::hex32;
use crate::{Digest, Time};

const DOMAIN: &[u8] = b"probity log 1\n";
const HASH: &str = ",\"hash\":\"";
/// Bytes of a line; a torn one is told no longer.
const LONGEST: usize = 64 << 10;

/// The last line of a log, to be kept elsewhere: `SEQ HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub seq: u64,
    pub hash: Digest,
}

impl Head {
    const NONE: Head = Head {
        seq: 0,
        hash: Digest([0; 32]),
    };
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.seq, self.hash.hex())
    }
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Head, String> {
        let words = text.trim().split_once(' ');
        words
            .and_then(|(seq, hash)| {
                Some(Head {
                    seq: seq.parse().ok()?,
                    hash: Digest(hex32(hash)?),
                })
            })
            .ok_or_else(|| format!("`{}` is not `NUMBER HASH`", text.trim()))
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub head: Head,
    /// All of it.
    pub json: Map<String, Value>,
}

/// What is wrong with a log, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// From 1.
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// A log as it was read.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Up to the first that is broken.
    pub records: Vec<Record>,
    pub broken: Option<Broken>,
    /// The last line lacks its end: so many bytes of it are there.
    pub torn: Option<Vec<u8>>,
    /// Bytes of whole lines.
    whole: usize,
}

/// What is to be done to a log's file, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The length to cut it to: its own, unless its last line is torn.
    pub keep: u64,
    /// To be written at its end, at once.
    pub bytes: Vec<u8>,
    /// The last line that is in it then.
    pub head: Head,
}

impl Log {
    pub fn read(bytes: &[u8]) -> Log {
        let mut log = Log::default();
        let mut last = Head::NONE;
        for (n, line) in bytes.split_inclusive(|&b| b == b'\n').enumerate() {
            let Some(line) = line.strip_suffix(b"\n") else {
                log.torn = Some(line.to_vec());
                break;
            };
            log.whole += line.len() + 1;
            if log.broken.is_some() {
                continue;
            }
            match record(line, Some(&last)) {
                Ok(record) => {
                    last = record.head;
                    log.records.push(record);
                }
                Err(what) => log.broken = Some(Broken { line: n + 1, what }),
            }
        }
        log
    }

    /// The last line, if there is one.
    pub fn head(&self) -> Option<Head> {
        self.records.last().map(|r| r.head)
    }

    /// Is this what was the last line once still in it?
    pub fn contains(&self, head: &Head) -> Result<(), Broken> {
        if head.seq == 0 {
            return Ok(());
        }
        let at = usize::try_from(head.seq).unwrap_or(usize::MAX);
        let broken = |what: String| Err(Broken { line: at, what });
        match self.records.get(at - 1) {
            Some(r) if r.head.hash == head.hash => Ok(()),
            Some(_) => broken("it is not the line that was remembered".into()),
            None => broken(format!(
                "it was there once; of {} the chain holds {}",
                head.seq,
                self.records.len()
            )),
        }
    }

    /// Adds a line of `details`, which may not hold the keys that every line has.
    ///
    /// A log that is broken is not added to: somebody has to look at it first.
    pub fn append(
        &self,
        time: Time,
        event: &str,
        details: Map<String, Value>,
    ) -> Result<Append, Broken> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let mut head = self.head().unwrap_or(Head::NONE);
        let mut append = Append {
            keep: self.whole as u64,
            bytes: Vec::new(),
            head,
        };
        if let Some(torn) = &self.torn {
            // All but its end may have been written.
            if let Ok(record) = record(torn, Some(&head)) {
                append.keep += torn.len() as u64;
                append.bytes.push(b'\n');
                head = record.head;
            } else {
                let mut details = Map::new();
                details.insert("bytes".into(), torn.len().into());
                let shown = &torn[..torn.len().min(LONGEST)];
                details.insert("text".into(), String::from_utf8_lossy(shown).into());
                head = line(&mut append.bytes, head, time, "torn_line", details);
            }
        }
        append.head = line(&mut append.bytes, head, time, event, details);
        Ok(append)
    }
}

/// Where the chain ends, from the end of a long log alone: `tail` begins anywhere in it, and is long enough.
///
/// The result holds the last whole line only, so it can be appended to; what stands before is not looked at.
pub fn end(tail: &[u8], skipped: u64) -> Log {
    if skipped == 0 {
        return Log::read(tail);
    }
    let end = tail.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
    let (whole, torn) = tail.split_at(end);
    let last = whole.strip_suffix(b"\n").unwrap_or(whole);
    let start = last.iter().rposition(|&b| b == b'\n').map(|i| i + 1);
    let mut log = Log {
        torn: (!torn.is_empty()).then(|| torn.to_vec()),
        whole: skipped as usize + end,
        ..Log::default()
    };
    let found = match start {
        Some(start) => record(&last[start..], None),
        None => Err(format!("the last line is longer than {} bytes", tail.len())),
    };
    match found {
        Ok(record) => log.records.push(record),
        Err(what) => log.broken = Some(Broken { line: 0, what }),
    }
    log
}

/// A line, without its end. `before` is the line before it, where that is to be checked.
fn record(line: &[u8], before: Option<&Head>) -> Result<Record, String> {
    let text = std::str::from_utf8(line).map_err(|_| "it is not text".to_owned())?;
    let cut = text
        .len()
        .checked_sub(HASH.len() + 64 + 2)
        .filter(|&cut| text.is_char_boundary(cut));
    let (body, hash) = cut
        .map(|cut| text.split_at(cut))
        .and_then(|(body, rest)| {
            let hash = rest.strip_prefix(HASH)?.strip_suffix("\"}")?;
            Some((body, Digest(hex32(hash)?)))
        })
        .ok_or("it does not end with its hash")?;
    if hash_of(body) != hash {
        return Err("its hash is that of another text: it was changed".into());
    }
    let json: Value = serde_json::from_str(text).map_err(|e| format!("it is not JSON: {e}"))?;
    let Value::Object(json) = json else {
        return Err("it is not an object".into());
    };
    let seq = json.get("seq").and_then(Value::as_u64);
    let seq = seq.ok_or("it has no number `seq`")?;
    let prev = json.get("prev").and_then(Value::as_str);
    let prev = prev.and_then(hex32).ok_or("it has no hash `prev`")?;
    if let Some(before) = before {
        if Some(seq) != before.seq.checked_add(1) {
            let expected = before.seq.saturating_add(1);
            return Err(format!(
                "it is number {seq} and should be {expected}: lines were added, taken out or moved"
            ));
        }
        if prev != before.hash.0 {
            return Err("it follows another line than the one before it".into());
        }
    }
    Ok(Record {
        head: Head { seq, hash },
        json,
    })
}

fn hash_of(body: &str) -> Digest {
    Digest::of_parts(&[DOMAIN, body.as_bytes()])
}

fn line(
    out: &mut Vec<u8>,
    before: Head,
    time: Time,
    event: &str,
    details: Map<String, Value>,
) -> Head {
    let seq = before.seq.saturating_add(1);
    let mut json = Map::new();
    json.insert("seq".into(), seq.into());
    json.insert("time".into(), time.to_string().into());
    json.insert("event".into(), event.into());
    for (key, value) in details {
        json.entry(key).or_insert(value);
    }
    json.shift_remove("hash");
    json.insert("prev".into(), before.hash.hex().into());
    let text = Value::Object(json).to_string();
    let body = text.strip_suffix('}').unwrap_or(&text);
    let hash = hash_of(body);
    out.extend_from_slice(body.as_bytes());
    out.extend_from_slice(HASH.as_bytes());
    out.extend_from_slice(hash.hex().as_bytes());
    out.extend_from_slice(b"\"}\n");
    Head { seq, hash }
}
