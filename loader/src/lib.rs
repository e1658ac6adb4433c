//! [`Verified`](probity_verifier::Verified) → a live Linux attachment, by system calls or through aya; streams of records.
//!
//! **Invariant:** every program that is loaded was proved by our verifier first; when Linux
//! then refuses it, both verdicts are in the error.
//!
//! **Invariant:** aya never sees foreign bytes: it is handed a normalised object of ours
//! ([`normalise`]), in which every relocation but those of maps and subprograms is applied.
//!
//! **Invariant:** whatever was attached is detached when the [`Session`] is dropped.

mod direct;
mod error;
mod hooks;
pub mod kernel;
mod maps;
mod normalise;
pub mod pinned;
mod records;
mod session;
mod signals;
mod symbols;
mod sys;

pub use direct::{LoadedFunction, Multi, RunStats, loaded_functions};
pub use error::{Error, Refusal};
pub use hooks::{Attach, Direction, Event, UserPlace, XdpMode, file_offset};
pub use maps::MapHandle;
pub use normalise::normalise;
pub use records::Records;
pub use session::{Iterator, Session};
pub use signals::{SignalFlag, Stop, stop_on_signals};
pub use sys::{TRACEFS, mount_tracefs};
