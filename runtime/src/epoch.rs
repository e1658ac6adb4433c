//! An end for calls that run for too long: a count that a host moves, which loops compare.
//!
//! The proof says that every program ends, and after how many instructions at most; a host that
//! wants an end by the clock demands checks in its policy (`epoch_checks = true`) and calls
//! [`Epoch::advance`] every so often, from any thread. A call ends with [`crate::FaultKind::Epoch`] at its first
//! check after the count has moved twice, so each has at least one whole period.
//!
//! Checked are: the head of every loop, and the entry of every callback.
//!
//! What a call holds then is not taken from it: as long as it holds a ring buffer record, a lock or a
//! structure that it allocated, it goes on, and ends at the first check where it holds nothing. So no
//! record stays reserved for ever, no lock stays taken, no structure is lost, and nothing that a lock
//! guards is left half written. (In process nothing else can be held: sockets, tasks and kernel pointers
//! do not exist here.) A loop that holds something all the while is bounded by its proof alone.
//!
//! What it has written by then stays written.
//!
//! **Invariant:** a call that is ended holds nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use probity_platform::{ArgKind, DynptrArg, Ret};

use crate::instance::Bound;
use crate::{Call, Instance};

/// The count of one instance.
#[derive(Debug, Default)]
pub struct Epoch(AtomicU64);

/// Periods that each call has whole.
const PERIODS: u64 = 1;

impl Epoch {
    /// Begins the next period.
    pub fn advance(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Of the count, for compiled code that reads it.
    pub fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }
}

/// What a helper call does to the number of things that a call holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    Same,
    /// One more.
    More,
    /// One more, unless the result is 0.
    MoreUnlessNull,
    Less,
}

impl Holding {
    pub fn of(helper: &Bound) -> Holding {
        for arg in helper.args {
            match arg.kind {
                ArgKind::SpinLock { leave: false } => return Holding::More,
                // To be submitted or discarded even when there was no room.
                ArgKind::Dynptr {
                    access: DynptrArg::InitRingbuf,
                } => return Holding::More,
                ArgKind::SpinLock { leave: true }
                | ArgKind::RingbufMem { release: true }
                | ArgKind::SockCommon { release: true, .. }
                | ArgKind::Socket { release: true, .. }
                | ArgKind::Dynptr {
                    access: DynptrArg::ReleaseRingbuf,
                } => return Holding::Less,
                _ => {}
            }
        }
        match helper.ret {
            Ret::RingbufMemOrNull
            | Ret::SocketOrNull { acquire: true }
            | Ret::TcpSockOrNull { acquire: true }
            | Ret::SockCommonOrNull { acquire: true }
            | Ret::Btf { acquire: true, .. } => Holding::MoreUnlessNull,
            _ => Holding::Same,
        }
    }
}

/// What a call knows of its end.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// The last count at which the call goes on.
    pub deadline: u64,
    /// Things held.
    pub held: u64,
    /// The instruction at which it was ended, plus 1; 0 while it was not.
    pub ended: u64,
}

impl Watch {
    /// Of a call that begins now.
    #[cold]
    pub(crate) fn new(instance: &Instance) -> Watch {
        Watch {
            deadline: instance.epoch().now().saturating_add(PERIODS),
            held: 0,
            ended: 0,
        }
    }
}

impl Call<'_> {
    fn watched(&mut self) -> Option<&mut Watch> {
        // SAFETY: every call that is watched is made with one.
        (self.is_watched()).then(|| unsafe { self.watch.assume_init_mut() })
    }

    /// Whether the call is to end here.
    pub fn is_late(&mut self) -> bool {
        let now = self.instance().epoch().now();
        let watch = self.watched();
        watch.is_some_and(|w| w.held == 0 && now > w.deadline)
    }

    /// Notes what a helper call acquired or released.
    pub fn note(&mut self, holding: Holding, r0: u64) {
        let Some(Watch { held, .. }) = self.watched() else {
            return;
        };
        match holding {
            Holding::Same => {}
            Holding::More => *held = held.saturating_add(1),
            Holding::MoreUnlessNull => *held = held.saturating_add(u64::from(r0 != 0)),
            Holding::Less => *held = held.saturating_sub(1),
        }
    }

    /// The instruction at which compiled code was ended.
    pub fn ended(&mut self) -> Option<usize> {
        Some(self.watched()?.ended.checked_sub(1)? as usize)
    }
}
