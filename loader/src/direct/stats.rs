//! What a loaded program has cost so far.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::kernel::sys::{ProgInfo, bpf, object_info, owned};

const ENABLE_STATS: libc::c_long = 32;

/// Figures of one program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunStats {
    /// Counted while statistics are on.
    pub runs: u64,
    pub nanoseconds: u64,
    /// Events that came while a program of the same kind was at work on that processor; always counted.
    pub missed: u64,
}

/// The kernel counts runs and their time until this is closed.
pub(crate) fn enable() -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Enable {
        kind: u32,
    }
    bpf(ENABLE_STATS, &Enable { kind: 0 }).map(owned)
}

pub(crate) fn of(program: BorrowedFd<'_>) -> io::Result<RunStats> {
    let mut info = ProgInfo::default();
    object_info(program, &mut info)?;
    Ok(RunStats {
        nanoseconds: info[24],
        runs: info[25],
        missed: info[26],
    })
}
