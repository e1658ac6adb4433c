//! Calls and ends: helpers and subprograms by their rows and prototypes, functions called back and later, exceptions.

pub(crate) mod args;
pub(crate) mod call;
pub(crate) mod callback;
pub(crate) mod effects;
pub(crate) mod exception;
pub(crate) mod global;
pub(crate) mod kfunc;
pub(crate) mod later;
