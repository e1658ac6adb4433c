//! One filter in several forms behind one server → turns of some milliseconds, in which each form has all requests.
//!
//! The server, its thread, its connections and the load generator are the same for all forms: a turn changes a number, which the next
//! request reads. So what the machine does meanwhile meets neighbouring turns alike, and forms are compared within a round.
//!
//! **Invariant:** a request is looked at and counted by one form.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use hyper::http::{request, response};
use probity_gateway::filter::{About, Decision, Extensions, Filter, Nothing};
use probity_host::{Host, Pinned, Pins};

use crate::filters::{Clients, Kept, Native, Times, Wasm};

/// What is compared, in the order of the report.
pub const NAMES: [&str; 6] = [
    "no filter",
    "native",
    "extension",
    "wasmtime, one instance",
    "wasmtime, one instance, bounded",
    "wasmtime, an instance a request",
];
pub const NATIVE: usize = 1;
pub const EXTENSION: usize = 2;

/// Whose turn it is, and what was done.
pub struct Turns {
    now: AtomicUsize,
    clock: AtomicBool,
    /// Requests of each form.
    requests: [AtomicU64; NAMES.len()],
    pub times: [Arc<Times>; NAMES.len()],
}

impl Turns {
    pub fn new() -> Arc<Turns> {
        Arc::new(Turns {
            now: AtomicUsize::new(0),
            clock: AtomicBool::new(false),
            requests: Default::default(),
            times: std::array::from_fn(|_| Times::new()),
        })
    }

    /// `clock`: each request's time is taken, which is not free.
    pub fn give(&self, form: usize, clock: bool) {
        self.clock.store(clock, Relaxed);
        self.now.store(form, Relaxed);
    }

    pub fn requests(&self, form: usize) -> u64 {
        self.requests.get(form).map_or(0, |n| n.load(Relaxed))
    }
}

/// The filter in all forms.
pub struct Forms {
    turns: Arc<Turns>,
    native: Native,
    extension: Extensions,
    host: Host,
    /// As far as they take part.
    wasm: [Option<Wasm>; 3],
}

impl Forms {
    /// `only` one form where the others need not be there: valgrind has no room for all of wasmtime's pools.
    pub fn new(
        turns: Arc<Turns>,
        host: &Host,
        wasm: &[u8],
        only: Option<usize>,
    ) -> anyhow::Result<Forms> {
        let in_wasm = |form: usize, kept: Kept| -> anyhow::Result<Option<Wasm>> {
            match only {
                Some(one) if one != form => Ok(None),
                _ => Wasm::new(wasm, kept, Clients::default()).map(Some),
            }
        };
        Ok(Forms {
            turns,
            native: Native(Clients::default()),
            extension: Extensions::new(host)?,
            host: host.clone(),
            wasm: [
                in_wasm(3, Kept::Reused)?,
                in_wasm(4, Kept::Bounded)?,
                in_wasm(5, Kept::Fresh)?,
            ],
        })
    }

    fn turn(&mut self, held: &Held, client: SocketAddr, head: &mut request::Parts) -> Decision {
        match (held, &mut self.wasm) {
            (Held(NATIVE, _), _) => self.native.request(&(), client, head),
            (Held(EXTENSION, Some(pinned)), _) => self.extension.request(pinned, client, head),
            (Held(3, _), [Some(kept), ..]) => kept.request(&(), client, head),
            (Held(4, _), [_, Some(bounded), _]) => bounded.request(&(), client, head),
            (Held(5, _), [.., Some(fresh)]) => fresh.request(&(), client, head),
            _ => Nothing.request(&(), client, head),
        }
    }
}

/// The form of a request, and the generation where that is the extension.
pub struct Held(usize, Option<Pinned>);

impl Filter for Forms {
    type Thread = (Arc<Turns>, Pins);
    type Held = Held;

    fn thread(&self) -> Self::Thread {
        (self.turns.clone(), self.host.pins())
    }

    fn begin((turns, pins): &Self::Thread) -> Option<Held> {
        let form = turns.now.load(Relaxed);
        if let Some(count) = turns.requests.get(form) {
            // One thread serves.
            count.store(count.load(Relaxed) + 1, Relaxed);
        }
        Some(match form {
            EXTENSION => Held(form, Some(pins.pin()?)),
            _ => Held(form, None),
        })
    }

    fn request(&mut self, held: &Held, client: SocketAddr, head: &mut request::Parts) -> Decision {
        if !self.turns.clock.load(Relaxed) {
            return self.turn(held, client, head);
        }
        let start = Instant::now();
        let decision = self.turn(held, client, head);
        if let Some(times) = self.turns.times.get(held.0) {
            times.add(start.elapsed());
        }
        decision
    }

    fn response(&mut self, held: &Held, about: &About, head: &mut response::Parts) {
        if let Held(EXTENSION, Some(pinned)) = held {
            self.extension.response(pinned, about, head);
        }
    }
}
