//! Kernel structures: pointers by BTF, how far they are trusted, kernel variables.

pub(crate) mod kernel;
pub(crate) mod ksym;
pub(crate) mod trust;
pub(crate) mod typed;
