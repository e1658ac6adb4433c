//! The set of types as stored, and the views handed out of it.
//!
//! A kernel has 130 000 types and more, so nothing is unpacked: a [`Btf`] keeps the type
//! section as machine words with one offset a type, and [`Type`] is a view made on demand.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use crate::lookup::{EnumeratorIndex, NameIndex};

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
    pub(crate) enumerators: OnceLock<EnumeratorIndex>,
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
            enumerators: OnceLock::new(),
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

/// The members, values, parameters or variables of a type: a list read in place.
pub struct Records<'a, T> {
    pub(crate) btf: &'a Btf,
    pub(crate) words: &'a [u32],
    /// Words a record; never 0.
    pub(crate) stride: usize,
    /// The `kind_flag` of the type, which says how to read some records.
    pub(crate) flag: bool,
    pub(crate) record: PhantomData<fn() -> T>,
}

impl<T> Clone for Records<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Records<'_, T> {}

/// One entry of a list after a type's header.
pub trait Record<'a>: Sized {
    /// `words` holds exactly one stride.
    fn read(btf: &'a Btf, flag: bool, words: &'a [u32]) -> Self;
}

impl<'a, T: Record<'a>> Records<'a, T> {
    pub fn len(&self) -> usize {
        self.words.len() / self.stride
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, index: usize) -> Option<T> {
        let start = index.checked_mul(self.stride)?;
        let words = self.words.get(start..start.checked_add(self.stride)?)?;
        Some(T::read(self.btf, self.flag, words))
    }

    pub fn iter(self) -> impl ExactSizeIterator<Item = T> + DoubleEndedIterator + 'a {
        let Records {
            btf,
            words,
            stride,
            flag,
            ..
        } = self;
        words
            .chunks_exact(stride)
            .map(move |words| T::read(btf, flag, words))
    }
}

impl<'a, T: Record<'a> + fmt::Debug> fmt::Debug for Records<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Record<'a> for Member<'a> {
    fn read(btf: &'a Btf, flag: bool, words: &'a [u32]) -> Self {
        let (bitfield_size, bit_offset) = match flag {
            true => (words[2] >> 24, words[2] & 0xff_ffff),
            false => (0, words[2]),
        };
        Member {
            name: btf.str_or_empty(words[0]),
            ty: TypeId(words[1]),
            bit_offset,
            bitfield_size,
        }
    }
}

impl<'a> Record<'a> for Param<'a> {
    fn read(btf: &'a Btf, _: bool, words: &'a [u32]) -> Self {
        Param {
            name: btf.str_or_empty(words[0]),
            ty: TypeId(words[1]),
        }
    }
}

impl<'a> Record<'a> for SecVar {
    fn read(_: &'a Btf, _: bool, words: &'a [u32]) -> Self {
        SecVar {
            var: TypeId(words[0]),
            offset: words[1],
            size: words[2],
        }
    }
}

impl<'a> Record<'a> for EnumValue<'a> {
    fn read(btf: &'a Btf, signed: bool, words: &'a [u32]) -> Self {
        let value = match *words {
            [_, low, high] => (u64::from(high) << 32 | u64::from(low)) as i64,
            [_, value] if signed => i64::from(value as i32),
            _ => i64::from(words[1]),
        };
        EnumValue {
            name: btf.str_or_empty(words[0]),
            value,
        }
    }
}

impl Btf {
    /// Number of types, `void` and the base's included: ids are below it.
    pub fn len(&self) -> u32 {
        self.first_id + self.own_len()
    }

    /// Whether there is no type but `void`.
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// The set that this one continues, for split BTF.
    pub fn base(&self) -> Option<&Arc<Btf>> {
        self.base.as_ref()
    }

    /// Id of the first type that is not the base's.
    pub fn first_id(&self) -> TypeId {
        TypeId(self.first_id)
    }

    pub(crate) fn own_len(&self) -> u32 {
        (self.starts.len() as u32).saturating_sub(1)
    }

    /// The words of one type, header and records.
    pub(crate) fn raw(&self, id: TypeId) -> Option<&[u32]> {
        if id.0 < self.first_id {
            return self.base.as_ref()?.raw(id);
        }
        let i = (id.0 - self.first_id) as usize;
        let (start, end) = (*self.starts.get(i)?, *self.starts.get(i.checked_add(1)?)?);
        self.words.get(start as usize..end as usize)
    }

    pub(crate) fn str_or_empty(&self, offset: u32) -> &str {
        self.str_at(offset).unwrap_or("")
    }

    /// The string at this offset of the string section (the base's strings come first).
    pub fn str_at(&self, offset: u32) -> Option<&str> {
        if offset < self.first_str {
            return self.base.as_ref()?.str_at(offset);
        }
        let tail = self.strings.get((offset - self.first_str) as usize..)?;
        let end = tail.as_bytes().iter().position(|&b| b == 0)?;
        tail.get(..end)
    }

    /// Name of a type; empty for anonymous ones and for ids that do not exist.
    /// Tags' names are their values.
    pub fn name(&self, id: TypeId) -> &str {
        self.raw(id).map_or("", |words| self.str_or_empty(words[0]))
    }

    pub fn kind(&self, id: TypeId) -> Option<Kind> {
        if id == TypeId::VOID {
            return Some(Kind::Void);
        }
        Kind::from_number(self.raw(id)?[1] >> 24 & 0x1f)
    }

    /// A view of a type; `None` when there is no such type.
    pub fn ty(&self, id: TypeId) -> Option<Type<'_>> {
        if id == TypeId::VOID {
            return Some(Type::Void);
        }
        let words = self.raw(id)?;
        let (&[name, info, last], rest) = words.split_first_chunk::<3>()?;
        let flag = info >> 31 != 0;
        let to = TypeId(last);
        Some(match Kind::from_number(info >> 24 & 0x1f)? {
            Kind::Void => Type::Void,
            Kind::Int => Type::Int {
                size: last,
                encoding: IntEncoding::from_bits(rest[0] >> 24 & 0xf),
                offset: rest[0] >> 16 & 0xff,
                bits: rest[0] & 0xff,
            },
            Kind::Ptr => Type::Ptr(to),
            Kind::Array => Type::Array {
                elem: TypeId(rest[0]),
                index: TypeId(rest[1]),
                len: rest[2],
            },
            Kind::Struct => Type::Struct(Composite {
                size: last,
                members: self.records(rest, 3, flag),
            }),
            Kind::Union => Type::Union(Composite {
                size: last,
                members: self.records(rest, 3, flag),
            }),
            Kind::Enum => Type::Enum(Enum {
                size: last,
                signed: flag,
                values: self.records(rest, 2, flag),
            }),
            Kind::Enum64 => Type::Enum64(Enum {
                size: last,
                signed: flag,
                values: self.records(rest, 3, flag),
            }),
            Kind::Fwd => Type::Fwd { is_union: flag },
            Kind::Typedef => Type::Typedef(to),
            Kind::Volatile => Type::Volatile(to),
            Kind::Const => Type::Const(to),
            Kind::Restrict => Type::Restrict(to),
            Kind::Func => Type::Func {
                proto: to,
                linkage: FuncLinkage::from_number(info as u16),
            },
            Kind::FuncProto => Type::FuncProto {
                ret: to,
                params: self.records(rest, 2, flag),
            },
            Kind::Var => Type::Var {
                ty: to,
                linkage: VarLinkage::from_number(rest[0]),
            },
            Kind::DataSec => Type::DataSec {
                size: last,
                vars: self.records(rest, 3, flag),
            },
            Kind::Float => Type::Float { size: last },
            Kind::DeclTag => Type::DeclTag {
                target: to,
                component: Some(rest[0]).filter(|&i| i != u32::MAX),
                value: self.str_or_empty(name),
                attribute: flag,
            },
            Kind::TypeTag => Type::TypeTag {
                target: to,
                value: self.str_or_empty(name),
                attribute: flag,
            },
        })
    }

    fn records<'a, T>(&'a self, words: &'a [u32], stride: usize, flag: bool) -> Records<'a, T> {
        Records {
            btf: self,
            words,
            stride,
            flag,
            record: PhantomData,
        }
    }

    /// All ids with their types, `void` and the base's first.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, Type<'_>)> {
        (0..self.len()).filter_map(|id| Some((TypeId(id), self.ty(TypeId(id))?)))
    }

    /// Members of a structure or union (through modifiers); empty for anything else.
    pub fn members(&self, id: TypeId) -> Records<'_, Member<'_>> {
        match self.ty(self.resolve(id)) {
            Some(Type::Struct(c) | Type::Union(c)) => c.members,
            _ => self.records(&[], 3, false),
        }
    }

    /// Parameters of a function, a prototype, or a pointer to one; empty for anything else.
    pub fn params(&self, id: TypeId) -> Records<'_, Param<'_>> {
        match self.proto(id).and_then(|proto| self.ty(proto)) {
            Some(Type::FuncProto { params, .. }) => params,
            _ => self.records(&[], 2, false),
        }
    }
}
