//! Bytes ⇄ instructions ⇄ text: the eBPF instruction set (RFC 9669) and what Linux adds to it.
//!
//! **Invariant:** nothing here knows of files, maps or safety.
//!
//! **Invariant:** a [`Pc`] counts 8-byte slots, as the kernel's log does; a decoded
//! program has one [`Insn`] per slot, the second slot of a 16-byte instruction
//! being [`Insn::Imm64High`].
//!
//! ```
//! use probity_isa::{Insn, assemble, decode, encode, from_bytes, to_bytes};
//!
//! let assembly = assemble("r0 = 1\nif r1 != 0 goto out\nr0 = 2\nout: exit", &|_| None)?;
//! let bytes = to_bytes(&encode(assembly.sections[0].insns())?);
//! let insns = decode(&from_bytes(&bytes)?)?;
//! assert_eq!(insns[1].to_string(), "if r1 != 0 goto +1");
//! assert_eq!(insns[3], "exit".parse::<Insn>()?);
//! # Ok::<(), probity_isa::Error>(())
//! ```

#![forbid(unsafe_code)]

mod asm;
mod decode;
mod encode;
mod error;
mod expr;
mod flow;
mod form;
mod gnu;
mod index;
mod insn;
mod lex;
mod parse;
pub mod table;
mod template;
mod text;

pub use asm::{
    Assembly, Binding, Content, Label, LabelKind, MapDecl, RefKind, Reference, Section, assemble,
};
pub use decode::{decode, decode_at, from_bytes};
pub use encode::{encode, encode_one, to_bytes};
pub use error::{Error, FieldName};
pub use flow::RegSet;
pub use insn::*;
pub use parse::{AsmInsn, Symbol, SymbolUse};
pub use table::{CpuVersion, Since};
pub use text::{Dialect, Listing};

#[cfg(test)]
mod tests;
