//! The types of values, how they lie in maps and records, and which type two uses have in common.
//!
//! **Invariant:** every stored value is a multiple of 8 bytes, so nothing has padding: integers of any
//! width are stored extended to 64 bits, strings in whole words.

use std::fmt;
use std::sync::Arc;

use probity_btf::TypeId;

/// Which memory an address is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Kernel,
    User,
    /// Decided at run time, by the address's sign.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ty {
    /// Not known yet: a map or variable that no assignment has been seen of.
    Unknown,
    /// Calls that give nothing.
    Void,
    Int {
        /// 1, 2, 4 or 8.
        bytes: u8,
        signed: bool,
    },
    Bool,
    Enum(Arc<EnumTy>),
    /// Bytes, the NUL included.
    Str(u32),
    /// At most this many bytes, after a word with their number.
    Buf(u32),
    Ptr(Box<Ty>, Space),
    /// By address: a structure in memory.
    Struct(StructRef, Space),
    /// By address: an array in memory.
    Array(Box<Ty>, u32, Space),
    Tuple(Vec<Ty>),
    Record(Vec<(String, Ty)>),
    /// By value: a structure or array as it lies in memory.
    Mem(Arc<MemTy>),
    Stack(StackTy),
    Ksym,
    /// Address and process.
    Usym,
    /// Family and address.
    Inet,
    /// An Ethernet address, its first byte lowest.
    Mac,
    /// Nanoseconds, printed by this format.
    Timestamp(Arc<str>),
    /// Index into the printer's probe names.
    ProbeName,
    /// Names of functions: kernel or user, by address.
    Username,
    /// `strerror`, `signal_name`, …: a number printed as a word of a table.
    Word(&'static [(i64, &'static str)]),
    CgroupPath,
    /// The name of a process, by its number.
    ProcessName,
    Agg(Agg),
}

#[derive(Debug, PartialEq, Eq)]
pub struct EnumTy {
    pub name: String,
    pub values: Vec<(String, i64)>,
}

/// A structure or array that is held by value.
#[derive(Debug, PartialEq, Eq)]
pub struct MemTy {
    /// What its members and elements are found by.
    pub ty: Ty,
    pub bytes: u32,
    pub layout: Layout,
}

/// What the bytes of a C value say, for whoever prints them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    Int {
        bytes: u8,
        signed: bool,
    },
    Bool,
    Enum(Arc<EnumTy>),
    Ptr,
    /// Characters up to a NUL.
    Text(u32),
    Array {
        count: u32,
        stride: u32,
        of: Box<Layout>,
    },
    Struct(Vec<LayoutField>),
    /// Of a kind that is not shown.
    Opaque,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutField {
    pub name: String,
    pub offset: u32,
    /// First bit within the byte at `offset` and width.
    pub bits: Option<(u32, u32)>,
    pub layout: Layout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackTy {
    pub kernel: bool,
    /// By tables instead of frame pointers.
    pub unwound: bool,
    pub mode: StackMode,
    /// Frames shown.
    pub limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackMode {
    /// On one line, outermost first, `;` before each: what flame-graph tools read.
    Folded,
    Bpftrace,
    Perf,
    Raw,
    BuildId,
}

/// A structure: of the kernel's types, or declared in the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StructRef {
    Btf(TypeId),
    Declared(usize),
}

/// What a map collects when it is assigned an aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agg {
    Count,
    Sum {
        signed: bool,
    },
    Min {
        signed: bool,
    },
    Max {
        signed: bool,
    },
    Avg {
        signed: bool,
    },
    Stats {
        signed: bool,
    },
    /// Buckets between powers of two, divided into `1 << bits`.
    Hist {
        bits: u8,
    },
    Lhist {
        min: i64,
        max: i64,
        step: i64,
    },
    /// A value for each of the last `count` intervals of this many nanoseconds.
    Series {
        interval: i64,
        count: u32,
        op: SeriesOp,
        signed: bool,
    },
}

/// What the values of an interval come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesOp {
    Last,
    Avg,
    Max,
    Min,
    Sum,
}

impl Ty {
    pub const I64: Ty = Ty::Int {
        bytes: 8,
        signed: true,
    };
    pub const U64: Ty = Ty::Int {
        bytes: 8,
        signed: false,
    };
    pub const U32: Ty = Ty::Int {
        bytes: 4,
        signed: false,
    };
    pub const U8: Ty = Ty::Int {
        bytes: 1,
        signed: false,
    };
    pub const CHAR: Ty = Ty::Int {
        bytes: 1,
        signed: true,
    };

    pub fn ptr(to: Ty, space: Space) -> Ty {
        Ty::Ptr(Box::new(to), space)
    }

    /// Evaluates to a number in a register.
    pub fn is_scalar(&self) -> bool {
        matches!(
            self,
            Ty::Int { .. }
                | Ty::Bool
                | Ty::Enum(_)
                | Ty::Ptr(..)
                | Ty::Struct(..)
                | Ty::Array(..)
                | Ty::Ksym
                | Ty::Timestamp(_)
                | Ty::ProbeName
                | Ty::Username
                | Ty::Word(_)
                | Ty::CgroupPath
                | Ty::ProcessName
                | Ty::Mac
                | Ty::Unknown
        )
    }

    /// Numbers that can be calculated with.
    pub fn is_number(&self) -> bool {
        matches!(
            self,
            Ty::Int { .. }
                | Ty::Bool
                | Ty::Enum(_)
                | Ty::Ptr(..)
                | Ty::Unknown
                | Ty::Word(_)
                | Ty::Ksym
        )
    }

    pub fn is_signed(&self) -> bool {
        match self {
            Ty::Int { signed, .. } => *signed,
            Ty::Enum(_) | Ty::Word(_) => true,
            _ => false,
        }
    }

    /// Bytes that a number of this type has in C.
    pub fn int_bytes(&self) -> u8 {
        match self {
            Ty::Int { bytes, .. } => *bytes,
            Ty::Bool => 1,
            Ty::Enum(_) => 4,
            _ => 8,
        }
    }

    /// `char[n]`: used as a string.
    pub fn char_array(&self) -> Option<u32> {
        match self {
            Ty::Array(elem, n, _) if **elem == Ty::CHAR => Some(*n),
            _ => None,
        }
    }

    /// Bytes in maps, variables and records: a multiple of 8.
    pub fn stored(&self) -> u32 {
        match self {
            Ty::Void => 0,
            Ty::Str(n) => n.next_multiple_of(8).max(8),
            Ty::Buf(n) => 8 + n.next_multiple_of(8),
            Ty::Tuple(items) => items.iter().map(Ty::stored).sum(),
            Ty::Record(items) => items.iter().map(|(_, t)| t.stored()).sum(),
            Ty::Mem(m) => m.bytes.next_multiple_of(8).max(8),
            Ty::Stack(_) | Ty::Usym => 16,
            Ty::Inet => 24,
            Ty::Agg(a) => a.value_bytes(),
            _ => 8,
        }
    }

    /// `sizeof`: bytes as C would lay it out.
    pub fn c_size(&self) -> u32 {
        self.c_layout().0
    }

    fn c_layout(&self) -> (u32, u32) {
        match self {
            Ty::Int { bytes, .. } => (u32::from(*bytes), u32::from(*bytes)),
            Ty::Bool => (1, 1),
            Ty::Enum(_) => (4, 4),
            Ty::Str(n) | Ty::Buf(n) => (*n, 1),
            Ty::Mem(m) => (m.bytes, 8),
            Ty::Array(elem, n, _) => {
                let (size, align) = elem.c_layout();
                (size.saturating_mul(*n), align)
            }
            Ty::Tuple(items) => layout_of(items.iter()),
            Ty::Record(items) => layout_of(items.iter().map(|(_, t)| t)),
            _ => (self.stored(), 8),
        }
    }

    /// The type that holds values of both; `None` when there is none.
    pub fn unify(&self, other: &Ty) -> Option<Ty> {
        Some(match (self, other) {
            (Ty::Unknown, t) | (t, Ty::Unknown) => t.clone(),
            (a, b) if a == b => a.clone(),
            (Ty::Str(a), Ty::Str(b)) => Ty::Str(*a.max(b)),
            (Ty::Buf(a), Ty::Buf(b)) => Ty::Buf(*a.max(b)),
            (
                Ty::Int {
                    bytes: a,
                    signed: s,
                },
                Ty::Int {
                    bytes: b,
                    signed: t,
                },
            ) => Ty::Int {
                bytes: *a.max(b),
                signed: *s || *t,
            },
            (Ty::Ptr(..), t) if t.is_number() => self.clone(),
            (t, Ty::Ptr(..)) if t.is_number() => other.clone(),
            (a, b) if a.is_number() && b.is_number() => Ty::Int {
                bytes: a.int_bytes().max(b.int_bytes()),
                signed: a.is_signed() || b.is_signed(),
            },
            (Ty::Tuple(a), Ty::Tuple(b)) if a.len() == b.len() => Ty::Tuple(
                a.iter()
                    .zip(b)
                    .map(|(x, y)| x.unify(y))
                    .collect::<Option<_>>()?,
            ),
            (Ty::Record(a), Ty::Record(b)) if a.len() == b.len() => Ty::Record(
                a.iter()
                    .map(|(name, x)| {
                        let (_, y) = b.iter().find(|(n, _)| n == name)?;
                        Some((name.clone(), x.unify(y)?))
                    })
                    .collect::<Option<_>>()?,
            ),
            (Ty::Stack(a), Ty::Stack(b)) if (a.kernel, a.unwound) == (b.kernel, b.unwound) => {
                self.clone()
            }
            (Ty::Timestamp(_), Ty::Timestamp(_)) => self.clone(),
            (Ty::Mem(a), Ty::Mem(b)) if a.bytes == b.bytes && a.layout == b.layout => self.clone(),
            (Ty::Struct(..), Ty::Struct(..)) => return None,
            (Ty::Agg(a), Ty::Agg(b)) => match (a, b) {
                (Agg::Sum { .. }, Agg::Sum { .. }) => Ty::Agg(Agg::Sum { signed: true }),
                (Agg::Min { .. }, Agg::Min { .. }) => Ty::Agg(Agg::Min { signed: true }),
                (Agg::Max { .. }, Agg::Max { .. }) => Ty::Agg(Agg::Max { signed: true }),
                (Agg::Avg { .. }, Agg::Avg { .. }) => Ty::Agg(Agg::Avg { signed: true }),
                (Agg::Stats { .. }, Agg::Stats { .. }) => Ty::Agg(Agg::Stats { signed: true }),
                _ => return None,
            },
            _ => return None,
        })
    }
}

fn layout_of<'a>(items: impl Iterator<Item = &'a Ty>) -> (u32, u32) {
    let (mut at, mut most) = (0u32, 1u32);
    for t in items {
        let (size, align) = t.c_layout();
        at = at.next_multiple_of(align.max(1)).saturating_add(size);
        most = most.max(align);
    }
    (at.next_multiple_of(most), most)
}

impl Agg {
    /// Bytes of a map's value.
    pub fn value_bytes(self) -> u32 {
        match self {
            Agg::Count | Agg::Sum { .. } | Agg::Hist { .. } | Agg::Lhist { .. } => 8,
            Agg::Series { .. } => 24,
            _ => 16,
        }
    }

    /// How many buckets, for histograms: each is an entry of its own.
    pub fn buckets(self) -> Option<u64> {
        match self {
            // 0: negative; 1..=1<<bits: the small values; then 1<<bits for each further power of two.
            Agg::Hist { bits } => Some(2 + (65 - u64::from(bits)) * (1 << bits)),
            Agg::Series { count, .. } => Some(u64::from(count)),
            Agg::Lhist { min, max, step } => Some(((max - min) / step.max(1)) as u64 + 3),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Agg::Count => "count",
            Agg::Sum { .. } => "sum",
            Agg::Min { .. } => "min",
            Agg::Max { .. } => "max",
            Agg::Avg { .. } => "avg",
            Agg::Stats { .. } => "stats",
            Agg::Hist { .. } => "hist",
            Agg::Lhist { .. } => "lhist",
            Agg::Series { .. } => "tseries",
        }
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ty::Unknown => write!(f, "none"),
            Ty::Void => write!(f, "void"),
            Ty::Int { bytes, signed } => write!(
                f,
                "{}int{}",
                if *signed { "" } else { "u" },
                u32::from(*bytes) * 8
            ),
            Ty::Bool => write!(f, "bool"),
            Ty::Enum(e) => write!(f, "enum {}", e.name),
            Ty::Str(_) => write!(f, "string"),
            Ty::Buf(_) => write!(f, "buffer"),
            Ty::Ptr(to, _) => write!(f, "{to} *"),
            Ty::Struct(..) => write!(f, "struct"),
            Ty::Array(elem, n, _) => write!(f, "{elem}[{n}]"),
            Ty::Tuple(items) => {
                write!(f, "(")?;
                for (i, t) in items.iter().enumerate() {
                    write!(f, "{}{t}", if i > 0 { "," } else { "" })?;
                }
                write!(f, ")")
            }
            Ty::Record(items) => {
                write!(f, "record {{ ")?;
                for (name, t) in items {
                    write!(f, ".{name} = {t} ")?;
                }
                write!(f, "}}")
            }
            Ty::Mem(m) => write!(f, "{}", m.ty),
            Ty::Stack(s) => write!(f, "{}stack", if s.kernel { "k" } else { "u" }),
            Ty::Ksym => write!(f, "ksym"),
            Ty::Usym => write!(f, "usym"),
            Ty::Inet => write!(f, "inet"),
            Ty::Mac => write!(f, "macaddr"),
            Ty::Timestamp(_) => write!(f, "timestamp"),
            Ty::ProbeName => write!(f, "probe"),
            Ty::Username => write!(f, "username"),
            Ty::Word(_) => write!(f, "word"),
            Ty::CgroupPath => write!(f, "cgroup_path"),
            Ty::ProcessName => write!(f, "process_name"),
            Ty::Agg(a) => write!(f, "{}_t", a.name()),
        }
    }
}
