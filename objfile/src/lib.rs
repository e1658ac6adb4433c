//! ELF bytes ⇄ [`Object`]: programs, maps, data, types and lines of one extension object.
//!
//! **Invariant:** nothing here knows of safety or of a running kernel; an `Object`
//! is parsed, not trusted, and is the same on every machine.

mod hook;
mod model;

pub use hook::*;
pub use model::*;
