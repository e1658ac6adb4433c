//! Descriptors that the kernel takes long to close → a process of their own, which ends when it has closed them.
//!
//! Linux waits for grace periods, some 40 ms, for each tracepoint that nobody uses any more, one after the
//! other whoever asks: hundreds of them keep their process for many seconds. Nothing comes of these events
//! by then: see `probity_script`'s gate.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Hands the descriptors over; returns at once.
///
/// # Errors
/// No process can be made; then the descriptors are closed here, however long it takes.
pub(crate) fn leave(descriptors: Vec<OwnedFd>) -> io::Result<()> {
    // Whoever closes a descriptor last waits for the kernel: theirs stay open until ours are closed.
    let (closed, ours_open) = io::pipe()?;
    let mut kept: Vec<u32> = descriptors.iter().map(|d| d.as_raw_fd() as u32).collect();
    kept.push(closed.as_raw_fd() as u32);
    kept.sort_unstable();
    // SAFETY: the child makes system calls only, with memory that was there before.
    let child = unsafe { libc::fork() };
    match child {
        -1 => return Err(io::Error::last_os_error()),
        0 => close_apart(&kept, closed.as_raw_fd()),
        child => {
            // SAFETY: it is our child, which ends at once; nobody else waits for it.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        }
    }
    drop(descriptors);
    drop(ours_open);
    Ok(())
}

/// What the child does: leaves the descriptors to a child of its own, so that nobody has to wait for it.
fn close_apart(kept: &[u32], closed: RawFd) -> ! {
    // SAFETY: system calls with numbers and a text that lives as long as the program, and a byte of ours.
    unsafe {
        if libc::fork() == 0 {
            libc::setsid();
            libc::chdir(c"/".as_ptr());
            // Others wait for the end of our pipes, and the script's maps need not stay.
            let mut first = 0;
            for &fd in kept {
                if fd > first {
                    libc::syscall(libc::SYS_close_range, first, fd - 1, 0);
                }
                first = fd.saturating_add(1);
            }
            libc::syscall(libc::SYS_close_range, first, u32::MAX, 0);
            let mut byte = 0_u8;
            // Nothing is ever written: it returns at the end of the last who could.
            libc::read(closed, (&raw mut byte).cast(), 1);
        }
        libc::_exit(0)
    }
}
