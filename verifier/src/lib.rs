//! `Object` × `Platform` × `Policy` → [`Verified`] or [`Rejection`]s.
//!
//! Path-sensitive abstract interpretation in separable parts: `obligation` says what an instruction demands,
//! `memory`, `args` and `branch` check it, `alu`, `memory`, `branch`, `call` and `atomic` say what an instruction
//! does to a `state`, `cover` compares states, and `explore` walks all paths and knows no instruction.
//! `walks` does so for each function that is verified on its own.
//!
//! - `abstract_state`: values, stacks, frames, what was entered and must be left.
//! - `exploration`: the walk, where it may be cut, and what it must remember for that.
//! - `calls`: helpers, kernel functions, subprograms, global functions, callbacks, exceptions.
//! - `kernel_types`: what programs see of the kernel by its BTF, and how far it is trusted.
//! - `managed_memory`, `stack_objects`: what the kernel manages in values, and shares on the stack.
//! - `explanation`: what a person is told.
//!
//! **Invariant:** the verifier never names a helper, a map kind or a program kind; it interprets rows.
//!
//! **Invariant:** it fails towards rejection: what it does not model it refuses, by name.
//!
//! **Invariant:** no engines, kernels or files here.

mod abstract_state;
mod alu;
mod arena;
mod atomic;
mod branch;
mod calls;
mod env;
mod explanation;
mod exploration;
mod fields;
mod kernel_types;
mod managed_memory;
mod memory;
mod obligation;
mod parallel;
mod report;
mod stack_objects;
mod step;
mod verify;

use abstract_state::{memo, numbered, packed, regions, regs, seldom, shared, stack, state, value};
use calls::{args, call, callback, effects, exception, global, kfunc, later};
use explanation::{explain, reject, trail};
pub use exploration::recorded;
use exploration::{
    cfg, clocks, cover, depth, dominators, explore, extended, facts, guess, induction, journal,
    liveness, loops, meets, names, origin, summary, walks, worst,
};
use kernel_types::{kernel, ksym, trust, typed};
use managed_memory::{alloc, graph, kptr, lock, managed, special, timer};
use stack_objects::{dynptr, irq, iter, object};

pub use report::*;
pub use special::{Holds, MapFields, SpecialField};
pub use verify::{Error, Options, Prepared, verify, verify_recorded};
