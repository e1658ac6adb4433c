//! `Object` × `Platform` × `Policy` → [`Verified`] or [`Rejection`]s.
//!
//! Path-sensitive abstract interpretation in separable parts: `obligation` says what an instruction demands,
//! `memory`, `args` and `branch` check it, `alu`, `memory`, `branch`, `call` and `atomic` say what an instruction
//! does to a `state`, `cover` compares states, and `explore` walks all paths and knows no instruction.
//!
//! **Invariant:** the verifier never names a helper, a map kind or a program kind; it interprets rows.
//!
//! **Invariant:** it fails towards rejection: what it does not model it refuses, by name.
//!
//! **Invariant:** no engines, kernels or files here.

mod alloc;
mod alu;
mod arena;
mod args;
mod atomic;
mod branch;
mod call;
mod callback;
mod cfg;
mod clocks;
mod cover;
mod depth;
mod dynptr;
mod effects;
mod env;
mod exception;
mod explain;
mod explore;
mod fields;
mod global;
mod graph;
mod irq;
mod iter;
mod kernel;
mod kfunc;
mod kptr;
mod ksym;
mod later;
mod liveness;
mod lock;
mod managed;
mod memory;
mod object;
mod obligation;
mod origin;
pub mod recorded;
mod regions;
mod reject;
mod report;
mod special;
mod stack;
mod state;
mod step;
mod timer;
mod trail;
mod trust;
mod typed;
mod value;
mod verify;
mod walks;

pub use report::*;
pub use verify::{Error, Options, verify, verify_recorded};
