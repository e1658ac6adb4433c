//! BTF bytes ⇄ types: lookup, layout, CO-RE matching, C printing, writing.
//!
//! **Invariant:** nothing here knows of ELF, of instructions or of files: bytes come in, values go out.
//!
//! **Invariant:** bytes are never trusted. Every type id and string offset inside a [`Btf`] was
//! checked when it was parsed, and chains of modifiers and arrays are acyclic and short, so that
//! [`Btf::resolve`] and [`Btf::size_of`] always end; whatever recurses further carries a budget.
//!
//! Source: `Documentation/bpf/btf.rst` of Linux; `include/uapi/linux/btf.h` for the numbers.

mod c;
pub mod core;
mod error;
mod ext;
mod extents;
mod layout;
mod leaves;
mod list;
mod lookup;
mod merge;
mod model;
mod parse;
mod records;
mod spell;
mod subset;
mod view;
mod walk;
mod write;

pub use c::HeaderOptions;
pub use error::Error;
pub use ext::{BtfExt, CoreRecord, ExtSection, FuncRecord, LineRecord};
pub use layout::Field;
pub use lookup::essential_name;
pub use merge::{Merged, merge};
pub use model::{
    Btf, Composite, Enum, EnumValue, FuncLinkage, IntEncoding, Kind, Member, Param, SecVar, Type,
    TypeId, VarLinkage,
};
pub use records::Records;
pub use subset::Subset;
pub use walk::Leaf;
pub use write::{BtfBuilder, MemberDef};
