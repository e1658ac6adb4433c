//! Bytes of code → memory of this process that executes them.
//!
//! **Invariant:** pages are writable while code is written and executable afterwards, never both.

use std::ptr;

use crate::error::Error;

/// Executable memory; unmapped when dropped.
pub(crate) struct Pages {
    start: *mut u8,
    len: usize,
}

// SAFETY: once made, the memory is only read and executed.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

/// Code beyond this is refused: calls inside of it must reach.
pub(crate) const MAX_BYTES: usize = 1 << 30;
/// How far from `near` memory still serves calls by 32-bit offsets.
const REACH: u64 = 1 << 31;
/// Below `near`, by so much for each further instance: places to ask for.
const STEP: u64 = 32 << 20;
const PLACES: u64 = 8;

impl Pages {
    /// Maps memory near an address, if possible, lets `fill` write it, and makes it executable.
    /// `fill` is handed the memory's address and its bytes, zeros so far.
    pub fn new(
        bytes: usize,
        near: u64,
        fill: impl FnOnce(u64, &mut [u8]) -> Result<(), Error>,
    ) -> Result<Pages, Error> {
        if bytes > MAX_BYTES {
            return Err(Error::Memory {
                bytes,
                message: format!("more than {MAX_BYTES}"),
            });
        }
        // SAFETY: no memory is touched.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let len = bytes.max(1).next_multiple_of(page.max(1));
        let pages = Pages::map(len, near, page as u64)?;
        // SAFETY: the mapping is new, writable, `len` bytes long and nobody else's.
        let memory = unsafe { std::slice::from_raw_parts_mut(pages.start, len) };
        fill(pages.start as u64, memory)?;
        flush(pages.start, len);
        // SAFETY: the mapping is ours, and the slice to it is gone.
        let done =
            unsafe { libc::mprotect(pages.start.cast(), len, libc::PROT_READ | libc::PROT_EXEC) };
        if done != 0 {
            return Err(failed(len, "cannot be made executable"));
        }
        Ok(pages)
    }

    fn map(len: usize, near: u64, page: u64) -> Result<Pages, Error> {
        let reached = |p: &Pages| {
            let (start, end) = (p.address(), p.address() + p.len as u64);
            near.abs_diff(start).max(near.abs_diff(end)) < REACH
        };
        for n in 1..=PLACES {
            let below = STEP.saturating_mul(n).saturating_add(len as u64);
            let Some(at) = near.checked_sub(below).filter(|at| *at > STEP) else {
                break;
            };
            let pages = Pages::anywhere(len, at / page * page)?;
            if reached(&pages) {
                return Ok(pages);
            }
        }
        Pages::anywhere(len, 0)
    }

    /// Where the system likes; at `hint`, when that is free.
    fn anywhere(len: usize, hint: u64) -> Result<Pages, Error> {
        // SAFETY: a new anonymous mapping; without MAP_FIXED it replaces nothing.
        let start = unsafe {
            libc::mmap(
                ptr::without_provenance_mut(hint as usize),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(failed(len, "cannot be had"));
        }
        Ok(Pages {
            start: start.cast(),
            len,
        })
    }

    pub fn address(&self) -> u64 {
        self.start as u64
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is this long, readable, and not written any more.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    pub fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and this long.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

fn failed(bytes: usize, what: &str) -> Error {
    let why = std::io::Error::last_os_error();
    Error::Memory {
        bytes,
        message: format!("{what}: {why}"),
    }
}

/// Makes written instructions visible to the processor. x86-64 sees them by itself.
#[cfg(not(target_arch = "aarch64"))]
fn flush(_: *mut u8, _: usize) {}

/// Data to the point of unification, instructions out of the cache, line by line; then every
/// thread of the process forgets what it has fetched.
#[cfg(target_arch = "aarch64")]
fn flush(start: *mut u8, len: usize) {
    let types: u64;
    // SAFETY: reads a register that user space may read.
    unsafe { std::arch::asm!("mrs {}, ctr_el0", out(reg) types, options(nomem, nostack)) };
    let line = |shift: u32| 4usize << (types >> shift & 15);
    let end = start as usize + len;
    for at in (start as usize..end).step_by(line(16)) {
        // SAFETY: the address lies in the mapping.
        unsafe { std::arch::asm!("dc cvau, {}", in(reg) at, options(nostack)) };
    }
    // SAFETY: a barrier.
    unsafe { std::arch::asm!("dsb ish", options(nostack)) };
    for at in (start as usize..end).step_by(line(0)) {
        // SAFETY: the address lies in the mapping.
        unsafe { std::arch::asm!("ic ivau, {}", in(reg) at, options(nostack)) };
    }
    // SAFETY: barriers.
    unsafe { std::arch::asm!("dsb ish", "isb", options(nostack)) };
    // `MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE`, then the barrier itself.
    for command in [1 << 6, 1 << 5] {
        // SAFETY: touches no memory.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The permissions of the mapping that an address lies in.
    fn permissions(address: u64) -> String {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("procfs");
        let line = maps.lines().find(|l| {
            let (range, _) = l.split_once(' ').unwrap_or_default();
            let (start, end) = range.split_once('-').unwrap_or_default();
            let number = |s| u64::from_str_radix(s, 16).unwrap_or(0);
            (number(start)..number(end)).contains(&address)
        });
        let permissions = line.and_then(|l| l.split_whitespace().nth(1));
        permissions.unwrap_or_default().to_string()
    }

    #[test]
    fn memory_is_written_then_executed_never_both() {
        let here = permissions as *const () as u64;
        let mut during = String::new();
        let pages = Pages::new(100, here, |at, bytes| {
            bytes[0] = 1;
            during = permissions(at);
            Ok(())
        })
        .expect("memory");
        assert_eq!(during, "rw-p");
        assert_eq!(permissions(pages.address()), "r-xp");
        assert!(here.abs_diff(pages.address()) < REACH);
        let at = pages.address();
        drop(pages);
        assert_eq!(permissions(at), "");
    }

    #[test]
    fn too_much_is_an_error() {
        let refused = Pages::new(MAX_BYTES + 1, 0, |_, _| Ok(()));
        assert!(matches!(refused.err(), Some(Error::Memory { .. })));
    }
}
