//! The set of types as stored, and the views handed out of it.
//!
//! A kernel has 130 000 types and more, so nothing is unpacked: a [`Btf`] keeps the type
//! section as machine words with one offset a type, and [`Type`] is a view made on demand.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::Records;
use crate::extents::Extents;
use crate::leaves::Leaves;
use crate::lookup::{EnumeratorIndex, NameIndex, TagIndex};

/// Index of a type; 0 is `void`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

impl TypeId {
    pub const VOID: TypeId = TypeId(0);
}

impl fmt::Display for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A parsed set of BTF types, possibly on top of a base set whose ids and strings it continues.
#[derive(Clone)]
pub struct Btf {
    pub(crate) base: Option<Arc<Btf>>,
    /// Id of the first type held here: 1, or one past the base's last.
    pub(crate) first_id: u32,
    /// Type section in native words.
    pub(crate) words: Vec<u32>,
    /// Where each type starts in `words`, and a last entry for the end.
    pub(crate) starts: Vec<u32>,
    /// String offset at which `strings` begins: the length of the base's strings.
    pub(crate) first_str: u32,
    /// NUL-terminated strings, with bytes that are not UTF-8 replaced one for one by `?`.
    pub(crate) strings: String,
    pub(crate) big_endian: bool,
    pub(crate) names: OnceLock<NameIndex>,
    pub(crate) tags: OnceLock<TagIndex>,
    pub(crate) enumerators: OnceLock<EnumeratorIndex>,
    pub(crate) extents: Extents,
    pub(crate) leaves: Leaves,
}

impl Default for Btf {
    fn default() -> Self {
        Btf {
            base: None,
            first_id: 1,
            words: Vec::new(),
            starts: vec![0],
            first_str: 0,
            strings: "\0".into(),
            big_endian: false,
            names: OnceLock::new(),
            tags: OnceLock::new(),
            enumerators: OnceLock::new(),
            extents: Extents::default(),
            leaves: Leaves::default(),
        }
    }
}

impl fmt::Debug for Btf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Btf")
            .field("types", &self.len())
            .field("first_id", &self.first_id)
            .field("strings", &self.strings.len())
            .finish_non_exhaustive()
    }
}

/// `BTF_KIND_…`, with the numbers of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    Void = 0,
    Int = 1,
    Ptr = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    Enum = 6,
    Fwd = 7,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Func = 12,
    FuncProto = 13,
    Var = 14,
    DataSec = 15,
    Float = 16,
    DeclTag = 17,
    TypeTag = 18,
    Enum64 = 19,
}

/// Every kind with its name in the kernel's and bpftool's listings, by number.
const KINDS: [(Kind, &str); 20] = [
    (Kind::Void, "VOID"),
    (Kind::Int, "INT"),
    (Kind::Ptr, "PTR"),
    (Kind::Array, "ARRAY"),
    (Kind::Struct, "STRUCT"),
    (Kind::Union, "UNION"),
    (Kind::Enum, "ENUM"),
    (Kind::Fwd, "FWD"),
    (Kind::Typedef, "TYPEDEF"),
    (Kind::Volatile, "VOLATILE"),
    (Kind::Const, "CONST"),
    (Kind::Restrict, "RESTRICT"),
    (Kind::Func, "FUNC"),
    (Kind::FuncProto, "FUNC_PROTO"),
    (Kind::Var, "VAR"),
    (Kind::DataSec, "DATASEC"),
    (Kind::Float, "FLOAT"),
    (Kind::DeclTag, "DECL_TAG"),
    (Kind::TypeTag, "TYPE_TAG"),
    (Kind::Enum64, "ENUM64"),
];

impl Kind {
    pub fn from_number(n: u32) -> Option<Kind> {
        KINDS.get(n as usize).map(|&(kind, _)| kind)
    }

    /// By the second word of a type.
    pub(crate) fn is_modifier_info(info: u32) -> bool {
        const MODIFIERS: u32 = 1 << Kind::Typedef as u32
            | 1 << Kind::Volatile as u32
            | 1 << Kind::Const as u32
            | 1 << Kind::Restrict as u32
            | 1 << Kind::TypeTag as u32;
        MODIFIERS >> (info >> 24 & 0x1f) & 1 != 0
    }

    pub fn name(self) -> &'static str {
        KINDS[self as usize].1
    }

    /// Typedefs, qualifiers and type tags: what [`Btf::resolve`] skips.
    pub fn is_modifier(self) -> bool {
        matches!(
            self,
            Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag
        )
    }

    /// Structures and unions.
    pub fn is_composite(self) -> bool {
        matches!(self, Kind::Struct | Kind::Union)
    }

    /// Both widths of enumerations.
    pub fn is_enum(self) -> bool {
        matches!(self, Kind::Enum | Kind::Enum64)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A view of one type. Its name is [`Btf::name`].
#[derive(Clone, Copy, Debug)]
pub enum Type<'a> {
    Void,
    Int {
        /// Bytes.
        size: u32,
        encoding: IntEncoding,
        /// Bits, for the bitfield integers of old compilers; otherwise 0.
        offset: u32,
        /// Bits.
        bits: u32,
    },
    Ptr(TypeId),
    Array {
        elem: TypeId,
        index: TypeId,
        /// 0 for a flexible array.
        len: u32,
    },
    Struct(Composite<'a>),
    Union(Composite<'a>),
    Enum(Enum<'a>),
    Enum64(Enum<'a>),
    Fwd {
        is_union: bool,
    },
    Typedef(TypeId),
    Volatile(TypeId),
    Const(TypeId),
    Restrict(TypeId),
    Func {
        proto: TypeId,
        linkage: FuncLinkage,
    },
    FuncProto {
        ret: TypeId,
        /// A last parameter without name and type stands for `...`.
        params: Records<'a, Param<'a>>,
    },
    Var {
        ty: TypeId,
        linkage: VarLinkage,
    },
    DataSec {
        /// Bytes; 0 in objects whose loader fills it in.
        size: u32,
        vars: Records<'a, SecVar>,
    },
    Float {
        /// Bytes.
        size: u32,
    },
    DeclTag {
        target: TypeId,
        /// The member or parameter it is on; otherwise it is on `target` itself.
        component: Option<u32>,
        value: &'a str,
        /// `value` is a compiler attribute rather than the argument of `btf_decl_tag`.
        attribute: bool,
    },
    TypeTag {
        target: TypeId,
        value: &'a str,
        /// `value` is a compiler attribute rather than the argument of `btf_type_tag`.
        attribute: bool,
    },
}

/// A structure or union.
#[derive(Clone, Copy, Debug)]
pub struct Composite<'a> {
    /// Bytes.
    pub size: u32,
    pub members: Records<'a, Member<'a>>,
}

/// A member of a structure or union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Empty for anonymous structures, unions and padding bitfields.
    pub name: &'a str,
    pub ty: TypeId,
    /// Bits from the start of the structure.
    pub bit_offset: u32,
    /// Bits of a bitfield, 0 for an ordinary member. (Bitfields of old compilers show in
    /// their integer's `bits` instead: see [`Btf::member_field`].)
    pub bitfield_size: u32,
}

/// An enumeration of either width.
#[derive(Clone, Copy, Debug)]
pub struct Enum<'a> {
    /// Bytes.
    pub size: u32,
    pub signed: bool,
    pub values: Records<'a, EnumValue<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnumValue<'a> {
    pub name: &'a str,
    /// Extended by the enumeration's signedness; values of unsigned 64-bit enumerations keep their bits.
    pub value: i64,
}

/// A function's parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    pub name: &'a str,
    pub ty: TypeId,
}

/// A variable's place in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecVar {
    /// A [`Type::Var`] (or [`Type::Func`], in `.ksyms`).
    pub var: TypeId,
    /// Bytes.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct IntEncoding {
    pub signed: bool,
    pub char: bool,
    pub bool: bool,
}

impl IntEncoding {
    pub const UNSIGNED: IntEncoding = IntEncoding {
        signed: false,
        char: false,
        bool: false,
    };
    pub const SIGNED: IntEncoding = IntEncoding {
        signed: true,
        char: false,
        bool: false,
    };
    pub const BOOL: IntEncoding = IntEncoding {
        signed: false,
        char: false,
        bool: true,
    };

    /// From `BTF_INT_SIGNED` 1, `BTF_INT_CHAR` 2, `BTF_INT_BOOL` 4.
    pub fn from_bits(bits: u32) -> IntEncoding {
        IntEncoding {
            signed: bits & 1 != 0,
            char: bits & 2 != 0,
            bool: bits & 4 != 0,
        }
    }

    pub fn bits(self) -> u32 {
        u32::from(self.signed) | u32::from(self.char) << 1 | u32::from(self.bool) << 2
    }
}

/// `BTF_FUNC_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FuncLinkage {
    Static,
    Global,
    Extern,
    /// A number that the format does not define (yet).
    Other(u16),
}

impl FuncLinkage {
    pub fn from_number(n: u16) -> FuncLinkage {
        match n {
            0 => FuncLinkage::Static,
            1 => FuncLinkage::Global,
            2 => FuncLinkage::Extern,
            n => FuncLinkage::Other(n),
        }
    }

    pub fn number(self) -> u16 {
        match self {
            FuncLinkage::Static => 0,
            FuncLinkage::Global => 1,
            FuncLinkage::Extern => 2,
            FuncLinkage::Other(n) => n,
        }
    }
}

/// `BTF_VAR_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VarLinkage {
    Static,
    Global,
    Extern,
    /// A number that the format does not define (yet).
    Other(u32),
}

impl VarLinkage {
    pub fn from_number(n: u32) -> VarLinkage {
        match n {
            0 => VarLinkage::Static,
            1 => VarLinkage::Global,
            2 => VarLinkage::Extern,
            n => VarLinkage::Other(n),
        }
    }

    pub fn number(self) -> u32 {
        match self {
            VarLinkage::Static => 0,
            VarLinkage::Global => 1,
            VarLinkage::Extern => 2,
            VarLinkage::Other(n) => n,
        }
    }
}
