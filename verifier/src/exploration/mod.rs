//! The walk of all paths, and what decides where it may be cut.

pub(crate) mod cfg;
pub(crate) mod clocks;
pub(crate) mod cover;
pub(crate) mod depth;
pub(crate) mod dominators;
pub(crate) mod explore;
pub(crate) mod extended;
pub(crate) mod facts;
pub(crate) mod guess;
pub(crate) mod induction;
pub(crate) mod journal;
pub(crate) mod liveness;
pub(crate) mod loops;
pub(crate) mod meets;
pub(crate) mod names;
pub(crate) mod origin;
pub mod recorded;
pub(crate) mod summary;
pub(crate) mod walks;
pub(crate) mod worst;
