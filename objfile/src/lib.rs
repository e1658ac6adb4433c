//! ELF bytes ⇄ [`Object`]: programs, maps, data, types and lines of one extension object.
//!
//! **Invariant:** nothing here knows of safety or of a running kernel; an `Object`
//! is parsed, not trusted, and is the same on every machine.

mod asm;
mod builder;
mod data;
mod elf;
mod error;
mod externs;
mod functions;
#[doc(hidden)]
pub mod fuzzing;
mod hook;
mod hook_table;
mod kconfig;
mod link;
mod maps;
mod model;
mod open;
mod relocate;
mod static_link;
mod struct_ops;
mod subset;
mod write;

pub use asm::assemble;
pub use builder::{ObjectBuilder, ProgramDef};
pub use error::Error;
pub use hook::*;
pub use kconfig::parse_kconfig;
pub use model::*;
pub use open::open;
pub use relocate::{POISON, POISON_KFUNC, RelocTarget, relocate};
pub use static_link::{Clash, LinkError, Linked, link};
pub use write::write;
