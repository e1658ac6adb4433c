//! C declarations of kernel functions → BTF of them, and what each argument must be.
//!
//! **Invariant:** every declaration of this crate parses (a test says so); one that does not binds nothing.

use std::collections::BTreeMap;

use probity_btf::{Btf, BtfBuilder, FuncLinkage, IntEncoding, TypeId};

use super::{Entry, STRUCTS, all};

/// What an argument of a kernel function must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KfuncArg {
    /// Any number; also what the function itself judges.
    Any,
    /// So many bytes of memory.
    Memory {
        bytes: u64,
        write: bool,
        nullable: bool,
    },
    /// Memory of as many bytes as the next argument says.
    Sized { write: bool, nullable: bool },
    /// A NUL-terminated string.
    Text,
    /// The program's context.
    Context,
    /// A structure that programs allocate, from its first byte on.
    Object,
    /// A constant of the proof's, or nothing: never an address.
    Constant,
    /// Any address, or none: what can be read there the function finds out.
    Address,
}

/// A type as it is written: a base with pointers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ty<'a> {
    base: Base<'a>,
    constant: bool,
    pointers: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base<'a> {
    Void,
    /// By its place in [`INTS`].
    Int(usize),
    /// A name; with its layout behind it, `point{16|u64@0|u8x8@8}`, memory of these numbers; as `request{@ctx}` the program's context.
    Struct(&'a str),
    /// A function, as its parameter is written: `bool (less)(struct bpf_rb_node *a, …)`.
    Function(&'a str),
}

/// What stands behind the name of a structure that brings its layout.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Layout {
    Context,
    Numbers {
        size: u32,
        /// By their places in [`INTS`], how many, where.
        members: Vec<(usize, Option<u32>, u32)>,
    },
}

/// Longest structure that crosses from one extension to another, in bytes.
const MAX_STRUCT: u32 = 4096;

/// A structure's name and its layout, when it brings one that fits.
fn laid(text: &str) -> Option<(&str, Layout)> {
    let (name, layout) = text.strip_suffix('}')?.split_once('{')?;
    if layout == "@ctx" {
        return Some((name, Layout::Context));
    }
    let mut parts = layout.split('|');
    let size: u32 = parts.next()?.parse().ok()?;
    let member = |text: &str| {
        let (of, at) = text.split_once('@')?;
        let at: u32 = at.parse().ok()?;
        let (word, many) = match of.split_once('x') {
            Some((word, n)) => (word, Some(n.parse::<u32>().ok()?)),
            None => (of, None),
        };
        let kind = INTS.iter().position(|(name, ..)| *name == word)?;
        let bytes = INTS[kind].1.checked_mul(many.unwrap_or(1))?;
        (at.checked_add(bytes)? <= size).then_some((kind, many, at))
    };
    let members = parts.map(member).collect::<Option<Vec<_>>>()?;
    (size <= MAX_STRUCT && !members.is_empty()).then_some((name, Layout::Numbers { size, members }))
}

/// Spelling, bytes, encoding.
const INTS: &[(&str, u32, IntEncoding)] = &[
    ("int", 4, IntEncoding::SIGNED),
    ("char", 1, IntEncoding::SIGNED),
    ("bool", 1, IntEncoding::BOOL),
    ("u8", 1, IntEncoding::UNSIGNED),
    ("u16", 2, IntEncoding::UNSIGNED),
    ("u32", 4, IntEncoding::UNSIGNED),
    ("u64", 8, IntEncoding::UNSIGNED),
    ("s64", 8, IntEncoding::SIGNED),
    ("size_t", 8, IntEncoding::UNSIGNED),
];

/// A declaration, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declared<'a> {
    ret: Ty<'a>,
    params: Vec<(&'a str, Ty<'a>)>,
}

/// `RESULT (TYPE NAME, …)`; `None` when it is not of this form.
pub(super) fn parse(text: &str) -> Option<Declared<'_>> {
    let (ret, rest) = text.split_once('(')?;
    let inside = rest.strip_suffix(')')?;
    let params = match inside.trim() {
        "" | "void" => Vec::new(),
        list => apart(list).into_iter().map(param).collect::<Option<_>>()?,
    };
    Some(Declared {
        ret: ty(ret)?,
        params,
    })
}

/// What stands between commas, other than inside of parentheses.
fn apart(list: &str) -> Vec<&str> {
    let mut depth = 0;
    list.split(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .collect()
}

/// A function that is a parameter: its name, and as what it is declared.
fn function(text: &str) -> Option<(&str, Declared<'_>)> {
    let (ret, rest) = text.split_once('(')?;
    let (name, rest) = rest.split_once(")(")?;
    let params = apart(rest.strip_suffix(')')?);
    let declared = Declared {
        ret: ty(ret)?,
        // Functions of functions there are none.
        params: params.into_iter().map(value).collect::<Option<_>>()?,
    };
    Some((name, declared))
}

fn param(text: &str) -> Option<(&str, Ty<'_>)> {
    let text = text.trim();
    if text.ends_with(')') {
        let (name, _) = function(text)?;
        let of = Ty {
            base: Base::Function(text),
            constant: false,
            pointers: 1,
        };
        return Some((name, of));
    }
    value(text)
}

fn value(text: &str) -> Option<(&str, Ty<'_>)> {
    let text = text.trim();
    let at = text.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
    let (of, name) = text.split_at(at + 1);
    (!name.is_empty()).then_some((name, ty(of)?))
}

fn ty(text: &str) -> Option<Ty<'_>> {
    let pointers = text.matches('*').count() as u32;
    let mut words = text.split(['*', ' ']).filter(|w| !w.is_empty());
    let mut word = words.next()?;
    let constant = word == "const";
    if constant {
        word = words.next()?;
    }
    let base = match word {
        "void" => Base::Void,
        "struct" => Base::Struct(words.next()?),
        _ => Base::Int(INTS.iter().position(|(name, ..)| *name == word)?),
    };
    let whole = words.next().is_none() && pointers <= 2;
    whole.then_some(Ty {
        base,
        constant,
        pointers,
    })
}

impl Declared<'_> {
    /// What the arguments must be.
    pub fn args(&self) -> Vec<KfuncArg> {
        let kind = |(i, (name, ty)): (usize, &(&str, Ty<'_>))| {
            let nullable = name.ends_with("__nullable") || name.ends_with("__opt");
            let next = self.params.get(i + 1).map_or("", |(name, _)| *name);
            let write = !ty.constant;
            match (ty.pointers, ty.base) {
                // What Linux's verifier fills in has no type; what it does not look at has that of what is read.
                (1.., Base::Int(_)) if name.ends_with("__ign") => KfuncArg::Address,
                _ if name.ends_with("unsafe_ptr__ign") => KfuncArg::Address,
                _ if name.ends_with("__ign") => KfuncArg::Constant,
                (0, _) if name.ends_with("__k") => KfuncArg::Constant,
                (0, _) => KfuncArg::Any,
                _ if name.ends_with("__alloc") || name.ends_with("__refcounted_kptr") => {
                    KfuncArg::Object
                }
                _ if name.ends_with("__str") => KfuncArg::Text,
                _ if ["__map", "__prog"].iter().any(|s| name.ends_with(s)) => KfuncArg::Any,
                _ if next.ends_with("__sz") || next.ends_with("__szk") => {
                    KfuncArg::Sized { write, nullable }
                }
                (1, Base::Struct("xdp_md" | "__sk_buff")) => KfuncArg::Context,
                // One that a helper lends to a callback lies in the host's memory.
                (1, Base::Struct("bpf_dynptr")) => KfuncArg::Any,
                (1, Base::Struct(name)) if name.contains('{') => match laid(name) {
                    Some((_, Layout::Context)) => KfuncArg::Context,
                    Some((_, Layout::Numbers { size, .. })) => KfuncArg::Memory {
                        bytes: u64::from(size),
                        write,
                        // The function was verified with NULL, too.
                        nullable: true,
                    },
                    None => KfuncArg::Any,
                },
                (1, Base::Struct(name)) => match STRUCTS.iter().find(|s| s.0 == name) {
                    Some((_, size)) => KfuncArg::Memory {
                        bytes: u64::from(*size),
                        write,
                        nullable,
                    },
                    None => KfuncArg::Any,
                },
                (1, Base::Int(n)) => KfuncArg::Memory {
                    bytes: INTS.get(n).map_or(0, |i| u64::from(i.1)),
                    write,
                    nullable,
                },
                _ => KfuncArg::Any,
            }
        };
        self.params.iter().enumerate().map(kind).collect()
    }

    pub fn pointer(&self) -> bool {
        self.ret.pointers > 0
    }
}

/// BTF of every declaration: what a proof without a kernel's types takes the functions' prototypes from.
pub fn types() -> Btf {
    types_of(all())
}

/// The same with a host's own functions.
pub fn types_with(host: &[Entry]) -> Btf {
    let own: Vec<&Entry> = all().collect();
    types_of(own.into_iter().chain(host))
}

/// Whether a declaration of a host's function is of the form that can be bound: at most five numbers and
/// pieces of memory with their sizes, and a number or nothing that comes back.
pub fn is_declaration(text: &str) -> bool {
    parse(text).is_some_and(|d| {
        let plain = |a: &KfuncArg| matches!(a, KfuncArg::Any | KfuncArg::Sized { .. });
        let whole = |(_, ty): &(&str, Ty<'_>)| {
            let void = ty.base == Base::Void;
            let structure = matches!(ty.base, Base::Struct(_));
            !structure && (ty.pointers == 1) == void && ty.pointers <= 1
        };
        let sized = |(n, (_, ty)): (usize, &(&str, Ty<'_>))| {
            ty.pointers == 0 || d.params.get(n + 1).is_some_and(|p| p.0.ends_with("__sz"))
        };
        d.params.len() <= 5
            && d.ret.pointers == 0
            && !matches!(d.ret.base, Base::Struct(_))
            && d.args().iter().all(plain)
            && d.params.iter().all(whole)
            && d.params.iter().enumerate().all(sized)
    })
}

pub(super) fn types_of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Btf {
    let mut b = BtfBuilder::new();
    let mut known = BTreeMap::new();
    for e in entries {
        let Some(declared) = parse(e.declaration) else {
            continue;
        };
        let ret = write(&mut b, &mut known, declared.ret);
        let params: Vec<_> = declared
            .params
            .iter()
            .map(|(name, ty)| (*name, write(&mut b, &mut known, *ty)))
            .collect();
        let proto = b.func_proto(ret, &params);
        b.func(e.name, proto, FuncLinkage::Global);
    }
    b.build().unwrap_or_default()
}

/// Types that were written, by their spelling.
type Known = BTreeMap<String, TypeId>;

fn write(b: &mut BtfBuilder, known: &mut Known, ty: Ty<'_>) -> TypeId {
    let spelling = format!("{ty:?}");
    if let Some(id) = known.get(&spelling) {
        return *id;
    }
    let id = match ty {
        Ty { pointers: 1.., .. } => {
            let to = Ty {
                pointers: ty.pointers - 1,
                ..ty
            };
            let to = write(b, known, to);
            b.ptr(to)
        }
        Ty { constant: true, .. } => {
            let of = Ty {
                constant: false,
                ..ty
            };
            let of = write(b, known, of);
            b.const_(of)
        }
        Ty { base, .. } => match base {
            Base::Void => TypeId::VOID,
            Base::Int(n) => match INTS.get(n) {
                Some((name, size, encoding)) => b.int(name, *size, *encoding),
                None => TypeId::VOID,
            },
            Base::Function(text) => match function(text) {
                Some((_, f)) => {
                    let ret = write(b, known, f.ret);
                    let param = |(name, ty): &(_, Ty<'_>)| (*name, write(b, known, *ty));
                    let params: Vec<(&str, TypeId)> = f.params.iter().map(param).collect();
                    b.func_proto(ret, &params)
                }
                None => TypeId::VOID,
            },
            Base::Struct(name) if name.contains('{') => structure(b, name),
            Base::Struct(name) => match STRUCTS.iter().find(|s| s.0 == name) {
                Some((_, size)) => opaque(b, name, *size),
                None => b.fwd(name, false),
            },
        },
    };
    known.insert(spelling, id);
    id
}

/// A structure that brings its layout.
fn structure(b: &mut BtfBuilder, text: &str) -> TypeId {
    let (name, size, members) = match laid(text) {
        Some((name, Layout::Numbers { size, members })) => (name, size, members),
        Some((name, Layout::Context)) => (name, 0, Vec::new()),
        None => return TypeId::VOID,
    };
    let named: Vec<(String, TypeId, u32)> = members
        .iter()
        .map(|(kind, many, at)| {
            let (word, size, encoding) = INTS[*kind];
            let one = b.int(word, size, encoding);
            let ty = match many {
                Some(n) => b.array(one, one, *n),
                None => one,
            };
            (format!("m{at}"), ty, *at)
        })
        .collect();
    let members: Vec<_> = named
        .iter()
        .map(|(name, ty, at)| probity_btf::MemberDef::at(name, *ty, *at))
        .collect();
    b.struct_(name, size, &members)
}

/// A structure of words that nobody else looks into.
fn opaque(b: &mut BtfBuilder, name: &str, size: u32) -> TypeId {
    let word = b.int("u64", 8, IntEncoding::UNSIGNED);
    let words = b.array(word, word, size / 8);
    let member = probity_btf::MemberDef::at("__opaque", words, 0);
    b.struct_(name, size, &[member])
}
