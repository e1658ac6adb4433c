//! Types → the identifiers they get in C.
//!
//! C has two name spaces at file scope: tags (`struct`, `union` and `enum` share one) and
//! ordinary identifiers (typedefs, enumerators and functions share the other).

use std::collections::HashMap;

use crate::{Btf, Kind, Type, TypeId};

/// Words that cannot be names in the C that clang compiles for BPF.
const RESERVED: &[&str] = &[
    "alignas",
    "alignof",
    "asm",
    "auto",
    "break",
    "case",
    "char",
    "const",
    "constexpr",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extern",
    "float",
    "for",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "nullptr",
    "register",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "struct",
    "switch",
    "thread_local",
    "typedef",
    "typeof",
    "union",
    "unsigned",
    "void",
    "volatile",
    "while",
    "_Alignas",
    "_Alignof",
    "_Atomic",
    "_Bool",
    "_Complex",
    "_Float16",
    "_Generic",
    "_Imaginary",
    "_Noreturn",
    "_Static_assert",
    "_Thread_local",
    "__auto_type",
    "__builtin_va_list",
    "__int128",
    "__int128_t",
    "__uint128_t",
];

/// Names that differ from those in BTF.
pub(super) struct Names {
    types: HashMap<TypeId, String>,
    enumerators: HashMap<(TypeId, u32), String>,
}

impl Names {
    /// Gives names in the order of ids, so that the first of several keeps its own.
    pub fn assign(btf: &Btf) -> Names {
        let mut names = Names {
            types: HashMap::new(),
            enumerators: HashMap::new(),
        };
        let mut tags: HashMap<String, Vec<&str>> = HashMap::new();
        let mut ordinary: HashMap<String, u32> = HashMap::new();
        for (id, ty) in btf.types() {
            if let Type::Enum(e) | Type::Enum64(e) = ty {
                for (i, value) in e.values.iter().enumerate() {
                    let name = unique(&mut ordinary, value.name);
                    if name != value.name {
                        names.enumerators.insert((id, i as u32), name);
                    }
                }
            }
            let own = btf.name(id);
            if own.is_empty() {
                continue;
            }
            let name = match (ty, tag_keyword(ty)) {
                (Type::Fwd { .. }, _) | (_, None) => continue,
                (_, Some(keyword)) => {
                    let name = identifier(own);
                    let taken = tags.entry(name.clone()).or_default();
                    taken.push(keyword);
                    flavour(name, taken.len() as u32)
                }
            };
            if name != own {
                names.types.insert(id, name);
            }
        }
        // Forward declarations belong to the first definition of their name and keyword, wherever
        // it stands; typedefs come after enumerators because people rely on enumerators more.
        for (id, ty) in btf.types() {
            let own = btf.name(id);
            if own.is_empty() {
                continue;
            }
            let name = match ty {
                Type::Fwd { .. } => {
                    let keyword = tag_keyword(ty).unwrap_or("struct");
                    let name = identifier(own);
                    let taken = tags.entry(name.clone()).or_default();
                    let nth = taken.iter().position(|&k| k == keyword).unwrap_or_else(|| {
                        taken.push(keyword);
                        taken.len() - 1
                    });
                    flavour(name, nth as u32 + 1)
                }
                Type::Typedef(_) => unique(&mut ordinary, own),
                _ => continue,
            };
            if name != own {
                names.types.insert(id, name);
            }
        }
        names
    }

    pub fn of<'a>(&'a self, btf: &'a Btf, id: TypeId) -> &'a str {
        self.types
            .get(&id)
            .map_or_else(|| btf.name(id), String::as_str)
    }

    pub fn enumerator<'a>(&'a self, id: TypeId, index: usize, own: &'a str) -> &'a str {
        self.enumerators
            .get(&(id, index as u32))
            .map_or(own, String::as_str)
    }
}

/// `struct`, `union` or `enum`, for what has a tag.
pub(super) fn tag_keyword(ty: Type<'_>) -> Option<&'static str> {
    match ty {
        Type::Struct(_) | Type::Fwd { is_union: false } => Some("struct"),
        Type::Union(_) | Type::Fwd { is_union: true } => Some("union"),
        Type::Enum(_) | Type::Enum64(_) => Some("enum"),
        _ => None,
    }
}

fn unique(taken: &mut HashMap<String, u32>, own: &str) -> String {
    let name = identifier(own);
    let count = taken.entry(name.clone()).or_insert(0);
    *count += 1;
    // A builtin type cannot be declared again under its own name.
    let reserved = u32::from(is_builtin(own));
    flavour(name, *count + reserved)
}

fn is_builtin(name: &str) -> bool {
    matches!(name, "__builtin_va_list" | "__int128_t" | "__uint128_t")
}

fn flavour(name: String, nth: u32) -> String {
    if nth <= 1 {
        name
    } else {
        format!("{name}___{nth}")
    }
}

/// A name that C takes: other languages put `<`, `:` and spaces into theirs.
pub(super) fn identifier(name: &str) -> String {
    let mut out: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect();
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    if RESERVED.contains(&out.as_str()) && !is_builtin(&out) {
        out.push('_');
    }
    out
}

/// Kinds that are declared under a name of their own.
pub(super) fn is_unit(kind: Kind) -> bool {
    kind.is_composite() || kind.is_enum() || kind == Kind::Typedef
}
