//! Types → the identifiers they get in C.
//!
//! C has two name spaces at file scope: tags (`struct`, `union` and `enum` share one) and
//! ordinary identifiers (typedefs, enumerators and functions share the other).

use std::collections::{HashMap, HashSet};

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
    /// Gives names in the order of ids, so that the first of several keeps its own; enumerators
    /// before typedefs, because people rely on enumerators more.
    pub fn assign(btf: &Btf) -> Names {
        let mut names = Names {
            types: HashMap::new(),
            enumerators: HashMap::new(),
        };
        let (mut tags, mut ordinary) = (Scope::default(), Scope::default());
        // What a forward declaration stands for: the first definition of its keyword and name.
        let mut first: HashMap<(&str, &str), String> = HashMap::new();
        for (id, ty) in btf.types() {
            if let Type::Enum(e) | Type::Enum64(e) = ty {
                for (i, value) in e.values.iter().enumerate() {
                    let name = ordinary.claim(value.name);
                    if name != value.name {
                        names.enumerators.insert((id, i as u32), name);
                    }
                }
            }
            let own = btf.name(id);
            if let (Some(keyword), false) = (tag_keyword(ty), matches!(ty, Type::Fwd { .. }))
                && !own.is_empty()
            {
                let name = tags.claim(own);
                first.entry((keyword, own)).or_insert_with(|| name.clone());
                names.set(id, own, name);
            }
        }
        for (id, ty) in btf.types() {
            let own = btf.name(id);
            match (ty, tag_keyword(ty)) {
                (Type::Fwd { .. }, Some(keyword)) => {
                    let name = first
                        .entry((keyword, own))
                        .or_insert_with(|| tags.claim(own));
                    names.set(id, own, name.clone());
                }
                (Type::Typedef(_), _) => names.set(id, own, ordinary.claim(own)),
                _ => {}
            }
        }
        names
    }

    fn set(&mut self, id: TypeId, own: &str, name: String) {
        if name != own {
            self.types.insert(id, name);
        }
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

/// Identifiers taken in one name space.
#[derive(Default)]
struct Scope {
    taken: HashSet<String>,
    /// How often a name was asked for, to find the next free flavour without trying all.
    asked: HashMap<String, u32>,
}

impl Scope {
    /// The name itself if C takes it and nobody has it, else a flavour of it.
    fn claim(&mut self, own: &str) -> String {
        let name = identifier(own);
        let asked = self.asked.entry(name.clone()).or_insert(0);
        loop {
            *asked += 1;
            // A builtin type cannot be declared again under its own name.
            let nth = *asked + u32::from(is_builtin(own));
            let flavour = if nth == 1 {
                name.clone()
            } else {
                format!("{name}___{nth}")
            };
            if self.taken.insert(flavour.clone()) {
                return flavour;
            }
        }
    }
}

fn is_builtin(name: &str) -> bool {
    matches!(name, "__builtin_va_list" | "__int128_t" | "__uint128_t")
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
