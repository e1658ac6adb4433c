//! What our own recordings hold beside each event: behind its record, where other readers of perf.data look
//! at nothing.
//!
//! An entry is a kind (4 bytes), a length (4 bytes), a word, and that many bytes; the last twelve bytes of
//! all are the length of the event's record and a mark.

use std::sync::Arc;

const MARK: &[u8; 8] = b"probity1";
const FOOT: usize = 12;

/// The kinds of entries.
const MEMORY: u32 = 0;
const USER: u32 = 1;
const TASK: u32 = 2;
const CGROUP: u32 = 3;

/// What helpers answered at the event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    pub uid_gid: u64,
    pub task: u64,
    pub cgroup: u64,
    /// Addresses and what was there.
    pub memory: Vec<(u64, Arc<[u8]>)>,
}

impl Extra {
    /// Puts them behind a record; `room` is how many bytes there are for all.
    pub fn append(&self, raw: &mut Vec<u8>, room: usize) {
        let record = raw.len();
        if *self == Extra::default() {
            // A record of perf ends at a multiple of 8, its size of 4 bytes counted.
            while !(raw.len() + 4).is_multiple_of(8) {
                raw.push(0);
            }
            return;
        }
        let entry = |raw: &mut Vec<u8>, kind: u32, value: u64, bytes: &[u8]| {
            if raw.len() + 16 + bytes.len() + FOOT + 8 > room {
                return;
            }
            raw.extend(kind.to_le_bytes());
            raw.extend((bytes.len() as u32).to_le_bytes());
            raw.extend(value.to_le_bytes());
            raw.extend(bytes);
        };
        for (kind, value) in [
            (USER, self.uid_gid),
            (TASK, self.task),
            (CGROUP, self.cgroup),
        ] {
            if value != 0 {
                entry(raw, kind, value, &[]);
            }
        }
        for (address, bytes) in &self.memory {
            entry(raw, MEMORY, *address, bytes);
        }
        while !(raw.len() + FOOT + 4).is_multiple_of(8) {
            raw.push(0);
        }
        raw.extend((record as u32).to_le_bytes());
        raw.extend(MARK);
    }

    /// Takes them off a record; gives what is left of it.
    pub fn split<'a>(&mut self, raw: &'a [u8]) -> &'a [u8] {
        self.memory.clear();
        (self.uid_gid, self.task, self.cgroup) = (0, 0, 0);
        let Some(foot) = raw.len().checked_sub(FOOT) else {
            return raw;
        };
        if &raw[foot + 4..] != MARK {
            return raw;
        }
        let length = u32::from_le_bytes([raw[foot], raw[foot + 1], raw[foot + 2], raw[foot + 3]]);
        let Some(mut rest) = raw.get(length as usize..foot) else {
            return raw;
        };
        while rest.len() >= 16 {
            let number = |at: usize| {
                u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]])
            };
            let (kind, bytes) = (number(0), number(4) as usize);
            let value = super::layout::word(rest, 8);
            let Some(data) = rest.get(16..16 + bytes) else {
                break;
            };
            match kind {
                MEMORY => self.memory.push((value, data.into())),
                USER => self.uid_gid = value,
                TASK => self.task = value,
                CGROUP => self.cgroup = value,
                _ => {}
            }
            rest = &rest[16 + bytes..];
        }
        &raw[..length as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_comes_off() {
        for n in 0..20 {
            let record: Vec<u8> = (0..n).collect();
            let extra = Extra {
                uid_gid: 7,
                task: 0,
                cgroup: 9,
                memory: vec![(0xffff, Arc::from(&b"abc\0"[..])), (1, Arc::from(&[][..]))],
            };
            let mut raw = record.clone();
            extra.append(&mut raw, 60_000);
            assert_eq!((raw.len() + 4) % 8, 0);
            let mut found = Extra::default();
            assert_eq!(found.split(&raw), record);
            assert_eq!(found, extra);
            for end in 0..raw.len() {
                found.split(&raw[..end]);
            }
        }
    }
}
