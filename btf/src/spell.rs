//! One type → its short C spelling.

use crate::{Btf, Type, TypeId};

/// Longest chain of declarators spelled out.
const MAX_DEPTH: u32 = 64;
const QUALIFIERS: [&str; 3] = ["const", "volatile", "restrict"];

impl Btf {
    /// A type as a person would write it: `struct task_struct *`, `const char *`, `int[4]`,
    /// `int (*)(void *, ...)`.
    pub fn type_name(&self, id: TypeId) -> String {
        self.declare(id, "")
    }

    /// A declaration of `name` with this type: `int (*name)(void *)`. Anonymous structures are
    /// shortened to `struct {...}`.
    pub fn declare(&self, id: TypeId, name: &str) -> String {
        self.declare_within(id, name.to_owned(), MAX_DEPTH)
    }

    fn declare_within(&self, id: TypeId, inner: String, depth: u32) -> String {
        let Some(depth) = depth.checked_sub(1) else {
            return format!("... {inner}");
        };
        let tagged = |keyword: &str| {
            let name = self.name(id);
            let name = if name.is_empty() { "{...}" } else { name };
            join(&format!("{keyword} {name}"), &inner)
        };
        // C writes declarators inside out: `inner` is what is declared so far.
        let group = |inner: String| {
            if inner.starts_with('*') {
                format!("({inner})")
            } else {
                inner
            }
        };
        let qualified = |to: TypeId, word: &str| match self.ty(self.skip_qualifiers(to)) {
            // On a pointer the qualifier stands after the star.
            Some(Type::Ptr(_)) => self.declare_within(to, join(word, &inner), depth),
            _ => {
                let text = self.declare_within(to, inner.clone(), depth);
                // Arrays hand their qualifiers on to their elements, which may have them already.
                let has = text
                    .split(' ')
                    .take_while(|w| QUALIFIERS.contains(w))
                    .any(|w| w == word);
                if has { text } else { format!("{word} {text}") }
            }
        };
        match self.ty(id) {
            None => join(&format!("<no type {id}>"), &inner),
            Some(Type::Void) => join("void", &inner),
            Some(Type::Struct(_) | Type::Fwd { is_union: false }) => tagged("struct"),
            Some(Type::Union(_) | Type::Fwd { is_union: true }) => tagged("union"),
            Some(Type::Enum(_) | Type::Enum64(_)) => tagged("enum"),
            Some(
                Type::Int { .. } | Type::Typedef(_) | Type::Float { .. } | Type::DataSec { .. },
            ) => join(self.name(id), &inner),
            Some(Type::Ptr(to)) => self.declare_within(to, format!("*{inner}"), depth),
            Some(Type::Array { elem, len, .. }) => {
                let bounds = if len == 0 {
                    String::from("[]")
                } else {
                    format!("[{len}]")
                };
                self.declare_within(elem, format!("{}{bounds}", group(inner)), depth)
            }
            Some(Type::Const(to)) => qualified(to, "const"),
            Some(Type::Volatile(to)) => qualified(to, "volatile"),
            Some(Type::Restrict(to)) => qualified(to, "restrict"),
            Some(Type::TypeTag { target, .. }) => self.declare_within(target, inner, depth),
            Some(Type::Func { proto, .. }) => {
                self.declare_within(proto, self.name(id).to_owned(), depth)
            }
            Some(Type::Var { ty, .. }) => self.declare_within(ty, self.name(id).to_owned(), depth),
            Some(Type::DeclTag { target, .. }) => self.declare_within(target, inner, depth),
            Some(Type::FuncProto { ret, params }) => {
                let mut list: Vec<String> = Vec::new();
                for (i, p) in params.iter().enumerate() {
                    // Bounds the text where prototypes nest in prototypes.
                    if list.iter().map(String::len).sum::<usize>() > 4096 {
                        list.push("...".into());
                        break;
                    }
                    list.push(match p.ty {
                        TypeId::VOID if i + 1 == params.len() => "...".into(),
                        ty => self.declare_within(ty, String::new(), depth.min(16)),
                    });
                }
                let list = if list.is_empty() {
                    "void".into()
                } else {
                    list.join(", ")
                };
                self.declare_within(ret, format!("{}({list})", group(inner)), depth)
            }
        }
    }

    fn skip_qualifiers(&self, id: TypeId) -> TypeId {
        let mut id = id;
        while let Some(
            Type::Const(to)
            | Type::Volatile(to)
            | Type::Restrict(to)
            | Type::TypeTag { target: to, .. },
        ) = self.ty(id)
        {
            id = to;
        }
        id
    }
}

fn join(word: &str, inner: &str) -> String {
    match inner.chars().next() {
        None => word.to_owned(),
        Some('[') => format!("{word}{inner}"),
        Some(_) => format!("{word} {inner}"),
    }
}
