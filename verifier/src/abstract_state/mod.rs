//! The abstract state: values, stack, frames, regions.

pub(crate) mod memo;
pub(crate) mod numbered;
pub(crate) mod packed;
pub(crate) mod regions;
pub(crate) mod regs;
pub(crate) mod seldom;
pub(crate) mod shared;
pub(crate) mod stack;
pub(crate) mod state;
pub(crate) mod value;
