//! Ctrl-C and its like end a session in order: detach, print, leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::Error;

/// Set once somebody asked the process to stop.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Signals that come within this many nanoseconds of the first say the same: `timeout` sends one to the process,
/// and one to its group.
const ONE_AND_THE_SAME: u64 = 1_000_000_000;

/// From now on SIGINT, SIGTERM and SIGHUP set the flag; a further one, a while later, ends the process at
/// once (the kernel detaches what a dead process had attached).
pub fn stop_on_signals() -> Result<Stop, Error> {
    let stop = Stop::default();
    // When the first came; 0: none did.
    let first = Arc::new(AtomicU64::new(0));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let (stop, first) = (stop.clone(), first.clone());
        let came = move || {
            let now = monotonic().max(1);
            match first.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => stop.request(),
                Err(at) if now.saturating_sub(at) > ONE_AND_THE_SAME => {
                    low_level::exit(128 + signal)
                }
                Err(_) => {}
            }
        };
        // SAFETY: what is done there may be done in a signal's handler: it reads the clock, works on
        // atomics, and ends the process without more.
        unsafe { low_level::register(signal, came) }.map_err(|source| Error::Io {
            what: "cannot watch for signals",
            source,
        })?;
    }
    Ok(stop)
}

/// Nanoseconds of the monotonic clock.
fn monotonic() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is ours to write.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    (now.tv_sec as u64) * 1_000_000_000 + now.tv_nsec as u64
}

/// Whether a signal came.
pub struct SignalFlag(Arc<AtomicBool>);

impl SignalFlag {
    /// From now on the signal does nothing but set the flag.
    pub fn of(signal: i32) -> Result<SignalFlag, Error> {
        let came = Arc::new(AtomicBool::new(false));
        flag::register(signal, came.clone()).map_err(|source| Error::Io {
            what: "cannot watch for a signal",
            source,
        })?;
        Ok(SignalFlag(came))
    }

    /// Whether it came since the last time.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}
