//! Which thread this is, asked of the system once a thread and once more after a fork.
//!
//! A thread keeps its numbers with the generation of the process that they were asked in. The generation stands in a page
//! that the system fills with zeros in the child of every fork, however it was made; there the next number is taken.
//! A child that shares its parent's memory (`vfork`) shares the numbers until it calls another program, as in the C library.
//!
//! **Invariant:** where there is no such page, nothing is kept.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

thread_local! {
    /// Generation and numbers; generation 0 is none.
    static KEPT: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// Thread group in the upper half, thread in the lower.
pub(crate) fn pid_tgid() -> u64 {
    let Some(now) = generation() else {
        return ask();
    };
    match KEPT.get() {
        (at, ids) if at == now => ids,
        _ => {
            let ids = ask();
            KEPT.set((now, ids));
            ids
        }
    }
}

fn ask() -> u64 {
    // SAFETY: both only return numbers.
    let (pid, tid) = unsafe { (libc::getpid(), libc::gettid()) };
    (pid as u64) << 32 | tid as u32 as u64
}

/// A number that no process which this one is forked from had.
fn generation() -> Option<u64> {
    static WORD: OnceLock<Option<&'static AtomicU64>> = OnceLock::new();
    /// Copied by a fork, unlike the word.
    static LAST: AtomicU64 = AtomicU64::new(0);
    let word = (*WORD.get_or_init(page))?;
    match word.load(Relaxed) {
        0 => {
            let next = LAST.fetch_add(1, Relaxed) + 1;
            // Two threads may both be the first.
            Some(match word.compare_exchange(0, next, Relaxed, Relaxed) {
                Ok(_) => next,
                Err(other) => other,
            })
        }
        n => Some(n),
    }
}

/// A word of zeros that is one of zeros again after a fork. It is never given back.
fn page() -> Option<&'static AtomicU64> {
    const BYTES: usize = 4096;
    // SAFETY: new memory at an address that the system chooses, which nobody else knows.
    unsafe {
        let at = libc::mmap(
            std::ptr::null_mut(),
            BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if at == libc::MAP_FAILED {
            return None;
        }
        if libc::madvise(at, BYTES, libc::MADV_WIPEONFORK) != 0 {
            libc::munmap(at, BYTES);
            return None;
        }
        Some(AtomicU64::from_ptr(at.cast()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_has_its_own() {
        assert_eq!(pid_tgid(), ask());
        assert_eq!(pid_tgid(), ask());
        let other = std::thread::spawn(|| (pid_tgid(), pid_tgid(), ask()));
        let (first, again, asked) = other.join().expect("the thread");
        assert_eq!((first, again), (asked, asked));
        assert_ne!(first, pid_tgid());
    }

    #[test]
    fn a_forked_child_is_another() {
        let parent = pid_tgid();
        // SAFETY: the child calls nothing that a fork of many threads forbids, and ends at once.
        let status = unsafe {
            let child = libc::fork();
            if child == 0 {
                // And so is its own child.
                let mine = pid_tgid() == ask() && pid_tgid() != parent;
                let grandchild = if mine { libc::fork() } else { 0 };
                let good = mine && pid_tgid() == ask();
                let mut status = 0;
                if grandchild > 0 {
                    libc::waitpid(grandchild, &raw mut status, 0);
                }
                libc::_exit(i32::from(!good || status != 0));
            }
            let mut status = 0;
            libc::waitpid(child, &raw mut status, 0);
            status
        };
        assert_eq!(status, 0);
        assert_eq!(pid_tgid(), parent);
    }
}
