//! Perf event arrays: a buffer of records for each CPU, oldest first.
//!
//! Where Linux needs the host to open an event in every slot, here each slot below the number of
//! CPUs (and below `max_entries`) has its buffer from the start.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::Error;
use crate::maps::{Spec, Store};

/// A perf event array, for the host's side: [`crate::Map::perf`].
pub struct PerfArray {
    buffers: Box<[Mutex<Buffer>]>,
    max_entries: usize,
    limit: usize,
}

#[derive(Default)]
struct Buffer {
    records: VecDeque<Vec<u8>>,
    bytes: usize,
    lost: u64,
}

/// What a record takes beside its bytes.
const OVERHEAD: usize = 32;

pub(crate) fn array(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    if spec.key_size != 4 || spec.value_size != 4 {
        return Err(spec.error("keys and values must have 4 bytes"));
    }
    // A size of 0 means: as many as there are CPUs.
    let max_entries = if spec.max_entries == 0 {
        spec.cpus
    } else {
        spec.max_entries
    };
    let buffers = (0..spec.cpus.min(max_entries))
        .map(|_| Mutex::default())
        .collect();
    Ok(Box::new(PerfArray {
        buffers,
        max_entries,
        limit: spec.perf_bytes,
    }))
}

impl PerfArray {
    /// Adds a record to a CPU's buffer; 0 or a negative error number.
    pub(crate) fn output(&self, index: usize, record: Vec<u8>) -> i64 {
        if index >= self.max_entries {
            return -i64::from(libc::E2BIG);
        }
        let Some(buffer) = self.buffers.get(index) else {
            return -i64::from(libc::ENOENT);
        };
        let mut buffer = buffer.lock().unwrap_or_else(|e| e.into_inner());
        let size = record.len() + OVERHEAD;
        if buffer.bytes + size > self.limit {
            buffer.lost += 1;
            return -i64::from(libc::ENOSPC);
        }
        buffer.bytes += size;
        buffer.records.push_back(record);
        0
    }

    /// Takes all records: CPU and bytes, CPU after CPU.
    pub fn drain(&self) -> Vec<(usize, Vec<u8>)> {
        let mut out = Vec::new();
        for (cpu, buffer) in self.buffers.iter().enumerate() {
            let mut buffer = buffer.lock().unwrap_or_else(|e| e.into_inner());
            buffer.bytes = 0;
            out.extend(buffer.records.drain(..).map(|r| (cpu, r)));
        }
        out
    }

    /// Records that found no room so far, in all.
    pub fn lost(&self) -> u64 {
        self.buffers
            .iter()
            .map(|b| b.lock().unwrap_or_else(|e| e.into_inner()).lost)
            .sum()
    }
}

impl Store for PerfArray {
    fn perf(&self) -> Option<&PerfArray> {
        Some(self)
    }
}
