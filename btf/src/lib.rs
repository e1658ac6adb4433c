//! BTF bytes ⇄ types.
//!
//! **Invariant:** nothing here knows of ELF.

/// A parsed set of BTF types.
#[derive(Clone, Debug, Default)]
pub struct Btf {}

/// Index of a type; 0 is `void`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);
