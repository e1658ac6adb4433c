//! `Verified` → [`Instance`]: maps, helpers and memory; and what an [`Engine`] is.
//!
//! **Invariant:** an instance is made from a proof only, and only when every function and map
//! that its programs reach exists here.
//!
//! **Invariant:** nothing here knows how code is executed; engines share everything here.
//!
//! **Invariant:** no globals: surroundings come from an [`Env`], sizes and seeds from [`Options`].

mod arena;
mod call;
pub mod context;
mod counting;
mod engine;
mod env;
mod epoch;
mod error;
pub mod helpers;
mod instance;
pub mod kfuncs;
pub mod maps;
mod memory;
mod objects;
mod platform;
mod pool;
pub mod shared;
mod task_id;
pub mod timers;

pub use call::{Answer, Call, Frames, HelperFn, MAX_TAIL_CALLS, Prepared, ReenterFn};
pub use context::{Context, Lent, Redirect, hidden_word};
pub use counting::Counting;
pub use engine::{Engine, Fault, FaultKind, Outcome};
pub use env::{Clock, Env, Process, Sample, Space};
pub use epoch::{Epoch, Holding, Watch};
pub use error::Error;
pub use instance::{Bound, Instance, MAX_CPUS, Options, Program};
pub use kfuncs::{BoundKfunc, KfuncArg, call_kfunc};
pub use maps::{ArrayLayout, BpfArena, Direct, Map, Operation, Slots, Span, arena_has_fn};
pub use memory::{
    BadArgument, FRAME, Memory, Reenter, absent, call_helper, kernel_read, kernel_read_fn,
    packet_load, packet_load_fn,
};
pub use platform::platform;
pub use pool::Pool;
/// For the types of [`Map::typed`].
pub use zerocopy;
