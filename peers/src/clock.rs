//! The time that this thread was running, in the kernel too: others on the same processor are not in it.

use std::time::Duration;

/// CPU time of the calling thread, since some moment.
pub fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec that lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs of `f`, and the CPU time they took.
#[inline(always)]
pub fn batch(runs: u64, mut f: impl FnMut()) -> Duration {
    let start = cpu_time();
    for _ in 0..runs {
        f();
    }
    cpu_time().saturating_sub(start)
}
