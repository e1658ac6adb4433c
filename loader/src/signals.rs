//! Ctrl-C and its like end a session in order: detach, print, leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

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

/// From now on SIGINT, SIGTERM and SIGHUP set the flag; a second one ends the process at
/// once (the kernel detaches what a dead process had attached).
pub fn stop_on_signals() -> Result<Stop, Error> {
    let stop = Stop::default();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_shutdown(signal, 128 + signal, stop.0.clone())
            .and_then(|_| flag::register(signal, stop.0.clone()))
            .map_err(|source| Error::Io {
                what: "cannot watch for signals",
                source,
            })?;
    }
    Ok(stop)
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
