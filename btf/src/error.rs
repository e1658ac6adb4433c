//! What can be wrong with BTF bytes or with a question about types.

use crate::TypeId;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("BTF {what} is truncated: {need} bytes needed, {have} present")]
    Truncated {
        what: &'static str,
        need: u64,
        have: u64,
    },
    #[error("not BTF: magic is {0:#06x} instead of 0xeb9f")]
    Magic(u16),
    #[error("BTF version {0} is not supported (version 1 is)")]
    Version(u8),
    #[error("bad BTF header: {0}")]
    Header(&'static str),
    #[error("BTF has more than {0} types")]
    TooManyTypes(u32),
    #[error("type [{id}] at byte {offset} of the type section is of unknown kind {kind}")]
    UnknownKind {
        id: TypeId,
        offset: usize,
        kind: u32,
    },
    #[error("type [{id}] refers to string offset {offset}, which is not a string")]
    BadString { id: TypeId, offset: u32 },
    #[error("type [{id}] refers to type [{to}], which does not exist")]
    BadReference { id: TypeId, to: TypeId },
    #[error("type [{id}]: {what}")]
    BadType { id: TypeId, what: &'static str },
    #[error("type [{id}] is made of itself or nested through more than {max} modifiers and arrays")]
    Nesting { id: TypeId, max: u32 },
    #[error("the base BTF has the other byte order")]
    Endian,
    #[error("bad .BTF.ext: {0}")]
    Ext(&'static str),
    #[error("BTF would not fit: {0}")]
    TooBig(&'static str),
    #[error("no {kind} named `{name}`")]
    NotFound { kind: &'static str, name: String },
    #[error("`{ty}` has no member `{member}`")]
    NoMember { ty: String, member: String },
    #[error("bad member path `{0}`: expected names, `.` and `[number]`")]
    BadPath(String),
    #[error("index {index} is out of bounds of `{ty}`")]
    OutOfBounds { ty: String, index: u64 },
    #[error("`{0}` has no size")]
    Unsized(String),
    #[error("type [{0}] is too complex to search")]
    TooComplex(TypeId),
}
