//! What perf noted of processes' address spaces → the file and offset behind an address.
//!
//! A mapping stays known when another takes its place elsewhere: names are asked for when all is over.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::layout::word;

/// Mappings that are kept at most, of all processes: forks multiply them.
const MOST: usize = 1 << 20;

/// Part of a file in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mapping {
    end: u64,
    offset: u64,
    file: Arc<MappedFile>,
}

/// A file as it was in memory, and by what it is known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedFile {
    pub path: String,
    /// Device (major, minor) and inode, where perf noted them.
    pub inode: Option<(u32, u32, u64)>,
    pub build_id: Option<Vec<u8>>,
}

/// The files in memory, by process.
#[derive(Debug, Default)]
pub struct Mappings {
    of: HashMap<u32, BTreeMap<u64, Mapping>>,
    kept: usize,
    /// Where the kernel's text began.
    kernel: Option<u64>,
}

/// The kernel's own mapping is of no process.
const KERNEL: u32 = u32::MAX;
/// Where a file's name stands in `PERF_RECORD_MMAP` and `PERF_RECORD_MMAP2`.
const NAME: usize = 32;
const NAME_2: usize = 64;

impl Mappings {
    /// Notes a record; `second` says that it is an MMAP2.
    pub fn note(&mut self, body: &[u8], second: bool) {
        let name = body
            .get(if second { NAME_2 } else { NAME }..)
            .unwrap_or(&[]);
        let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
        let file = String::from_utf8_lossy(&name[..end]);
        let process = word(body, 0) as u32;
        let (start, bytes, offset) = (word(body, 8), word(body, 16), word(body, 24));
        if process == KERNEL {
            // perf says there where its symbol was.
            if file.starts_with("[kernel.kallsyms]") {
                self.kernel = Some(offset);
            }
            return;
        }
        if file.starts_with('/') && self.kept < MOST {
            // A build id stands in the place of device and inode, with its size.
            let identity = body.get(NAME..NAME_2).filter(|_| second);
            let build_id = identity.filter(|i| i[..4] == [20, 0, 0, 0]);
            let number = |at| (word(body, at) as u32, (word(body, at) >> 32) as u32);
            let mapping = Mapping {
                end: start.saturating_add(bytes),
                offset,
                file: Arc::new(MappedFile {
                    path: file.into_owned(),
                    inode: identity.map(|_| (number(NAME).0, number(NAME).1, word(body, NAME + 8))),
                    build_id: build_id.map(|i| i[4..24].to_vec()),
                }),
            };
            let replaced = self.of.entry(process).or_default().insert(start, mapping);
            self.kept += usize::from(replaced.is_none());
        }
    }

    /// A process begins with its parent's memory.
    pub fn fork(&mut self, child: u32, parent: u32) {
        if child != parent
            && let Some(mappings) = self.of.get(&parent)
            && mappings.len() <= MOST - self.kept
        {
            let mappings = mappings.clone();
            self.kept += mappings.len();
            let replaced = self.of.insert(child, mappings);
            self.kept -= replaced.map_or(0, |m| m.len());
        }
    }

    /// The file that a process had at an address, and where in it.
    pub fn find(&self, process: u32, address: u64) -> Option<(Arc<MappedFile>, u64)> {
        let before = self.of.get(&process)?.range(..=address);
        let (start, mapping) = before.rev().find(|(_, m)| address < m.end)?;
        let offset = mapping.offset.checked_add(address - start)?;
        Some((mapping.file.clone(), offset))
    }

    /// The address that the kernel's text began at while it was recorded.
    pub fn kernel_text(&self) -> Option<u64> {
        self.kernel
    }
}

/// Files and their build ids, as perf lists them: a header of 8 bytes, the process, 24 bytes, the name.
pub fn build_ids(mut bytes: &[u8]) -> HashMap<String, Vec<u8>> {
    const ID: std::ops::Range<usize> = 12..32;
    const FILE: usize = 36;
    let mut out = HashMap::new();
    while let Some(size) = bytes.get(6..8) {
        let size = usize::from(u16::from_le_bytes([size[0], size[1]]));
        let Some((entry, rest)) = bytes.split_at_checked(size).filter(|_| size > FILE) else {
            break;
        };
        let name = entry[FILE..].split(|b| *b == 0).next().unwrap_or(&[]);
        let name = String::from_utf8_lossy(name).into_owned();
        out.insert(name, entry[ID].to_vec());
        bytes = rest;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(process: u32, start: u64, bytes: u64, offset: u64, name: &str) -> Vec<u8> {
        let mut body = u64::from(process).to_le_bytes().to_vec();
        for word in [start, bytes, offset] {
            body.extend(word.to_le_bytes());
        }
        body.extend(name.as_bytes());
        body.push(0);
        body
    }

    #[test]
    fn files_behind_addresses() {
        let mut m = Mappings::default();
        m.note(&record(7, 0x1000, 0x1000, 0x200, "/bin/x"), false);
        m.note(&record(7, 0x5000, 0x1000, 0, "[stack]"), false);
        m.note(
            &record(KERNEL, 0, u64::MAX, 0xffff_8000, "[kernel.kallsyms]_text"),
            false,
        );
        m.fork(8, 7);
        let at = |process, address| {
            let (file, offset) = m.find(process, address)?;
            assert_eq!((file.path.as_str(), file.inode), ("/bin/x", None));
            Some(offset)
        };
        assert_eq!(at(7, 0x1010), Some(0x210));
        assert_eq!(at(8, 0x1fff), Some(0x11ff));
        assert_eq!(at(8, 0x2000), None);
        assert_eq!(at(7, 0x5000), None);
        assert_eq!(at(9, 0x1000), None);
        assert_eq!(m.kernel_text(), Some(0xffff_8000));
        // However many processes there are.
        for n in 0..MOST as u64 / 4 {
            m.note(&record(7, n << 13, 0x1000, 0, "/bin/x"), false);
        }
        (100..200).for_each(|child| m.fork(child, 7));
        assert!(m.kept <= MOST && m.of.values().map(BTreeMap::len).sum::<usize>() == m.kept);
        // Cut off anywhere.
        for end in 0..48 {
            m.note(
                &record(7, u64::MAX, u64::MAX, u64::MAX, "/y")[..end.min(35)],
                true,
            );
        }
    }
}
