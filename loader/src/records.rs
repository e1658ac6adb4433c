//! Records of ring buffers and perf event arrays, in the order they are found; losses counted.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use aya::maps::perf::{PerfEvent, PerfEventArrayBuffer};
use aya::maps::{MapData, PerfEventArray, RingBuf};

use crate::Error;

/// Who writes faster than we read must not keep us from looking up.
const AT_ONCE: usize = 1 << 16;
/// Pages of one CPU's perf buffer.
const PERF_PAGES: usize = 64;

/// The records of one map.
pub struct Records {
    source: Source,
    /// Records that the kernel dropped because nobody read them in time. Ring buffers do
    /// not count theirs: their programs see the reservation fail.
    pub lost: u64,
}

enum Source {
    Ring(RingBuf<MapData>),
    Perf(Vec<PerfEventArrayBuffer<MapData>>),
}

impl Records {
    pub(crate) fn ring(map: aya::maps::Map) -> Result<Records, Error> {
        let ring = RingBuf::try_from(map).map_err(|e| Error::Object(crate::error::chain(&e)))?;
        Ok(Records {
            source: Source::Ring(ring),
            lost: 0,
        })
    }

    pub(crate) fn perf(map: aya::maps::Map, cpus: &[u32]) -> Result<Records, Error> {
        let mut array =
            PerfEventArray::try_from(map).map_err(|e| Error::Object(crate::error::chain(&e)))?;
        let mut buffers = Vec::new();
        for &cpu in cpus {
            let buffer = array
                .open(cpu, Some(PERF_PAGES))
                .map_err(|e| Error::Object(crate::error::chain(&e)))?;
            buffers.push(buffer);
        }
        Ok(Records {
            source: Source::Perf(buffers),
            lost: 0,
        })
    }

    /// Hands over the records that are there now, of more than [`AT_ONCE`] the first; gives their number.
    pub fn drain(&mut self, each: &mut dyn FnMut(&[u8])) -> usize {
        let mut n = 0;
        match &mut self.source {
            Source::Ring(ring) => {
                while n < AT_ONCE
                    && let Some(record) = ring.next()
                {
                    each(&record);
                    n += 1;
                }
            }
            Source::Perf(buffers) => {
                for buffer in buffers {
                    let lost = &mut self.lost;
                    buffer.for_each(|event| match event {
                        PerfEvent::Sample { head, tail: [] } => {
                            each(head);
                            n += 1;
                        }
                        PerfEvent::Sample { head, tail } => {
                            each(&[head, tail].concat());
                            n += 1;
                        }
                        PerfEvent::Lost { count, .. } => *lost += count,
                    });
                }
            }
        }
        n
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        match &self.source {
            Source::Ring(ring) => vec![ring.as_fd()],
            Source::Perf(buffers) => buffers.iter().map(|b| b.as_fd()).collect(),
        }
    }
}

impl Records {
    /// Sleeps until one of `records` has something to read, `timeout` has passed or a signal came.
    pub fn wait(records: &[&Records], timeout: Duration) {
        let mut polled: Vec<libc::pollfd> = records
            .iter()
            .flat_map(|r| r.descriptors())
            .map(|fd| libc::pollfd {
                fd: fd.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            })
            .collect();
        let milliseconds = timeout.as_millis().min(i32::MAX as u128) as i32;
        // SAFETY: the array lives through the call and its length is given with it.
        unsafe {
            libc::poll(
                polled.as_mut_ptr(),
                polled.len() as libc::nfds_t,
                milliseconds,
            )
        };
    }
}
