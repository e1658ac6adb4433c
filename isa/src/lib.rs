//! Bytes ⇄ instructions ⇄ text: the eBPF instruction set (RFC 9669) and what Linux adds to it.
//!
//! **Invariant:** nothing here knows of files, maps or safety.
//!
//! **Invariant:** a [`Pc`] counts 8-byte slots, as the kernel's log does; a decoded
//! program has one [`Insn`] per slot, the second slot of a 16-byte instruction
//! being [`Insn::Imm64High`].

mod asm;
mod decode;
mod encode;
mod error;
mod expr;
mod flow;
mod form;
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
pub use text::Listing;

#[cfg(test)]
mod tests;
