//! A barrier that one side pays for: who publishes makes all threads of the process pass a memory barrier, so that
//! callers, who are many, need none (`membarrier(2)`).
//!
//! **Invariant:** callers go without a barrier only where the kernel has said that it will do the other side's.

use std::sync::atomic::{Ordering::SeqCst, compiler_fence, fence};

/// Whether the kernel makes threads pass a barrier; fixed for as long as the value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Barrier {
    /// Otherwise both sides have their own.
    remote: bool,
}

/// Commands of `membarrier(2)`, Linux 4.14.
const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

impl Barrier {
    /// Asks the kernel, once for each host.
    pub fn new() -> Barrier {
        Barrier {
            remote: membarrier(REGISTER_PRIVATE_EXPEDITED) && membarrier(PRIVATE_EXPEDITED),
        }
    }

    /// The one where both sides pay, as without the system call.
    #[cfg(test)]
    pub fn symmetric() -> Barrier {
        Barrier { remote: false }
    }

    /// Between a caller's store and its load: in this order for whoever calls [`Barrier::heavy`].
    #[inline(always)]
    pub fn light(self) {
        match self.remote {
            true => compiler_fence(SeqCst),
            false => fence(SeqCst),
        }
    }

    /// Between a store of who publishes and its loads. Each caller has then either stored, and is seen,
    /// or will load what was stored before this.
    pub fn heavy(self) {
        fence(SeqCst);
        // A process that has registered is not refused; were it, nothing could be freed safely.
        assert!(
            !self.remote || membarrier(PRIVATE_EXPEDITED),
            "membarrier was there and is no more"
        );
        fence(SeqCst);
    }
}

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: it takes numbers, and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}
