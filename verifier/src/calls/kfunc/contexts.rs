//! Kinds of programs → the structures that stand for their contexts in prototypes of kernel functions.
//!
//! They are looked for by name among the kernel's types, so once for all programs of an object.

use probity_btf::{Btf, Kind, TypeId};
use probity_platform::{Context, Platform, ProgKind};

/// Of the kinds that an object's programs have.
#[derive(Debug, Default)]
pub(crate) struct Contexts(Vec<OfKind>);

#[derive(Debug)]
struct OfKind {
    kind: u32,
    /// As programs see it, and how the kernel does.
    names: Vec<String>,
    /// What the kernel's own is.
    kernel: Option<TypeId>,
}

impl Contexts {
    pub(crate) fn of<'a>(
        kinds: impl Iterator<Item = &'a ProgKind>,
        platform: &Platform,
    ) -> Contexts {
        let mut all: Vec<OfKind> = Vec::new();
        let Some(types) = platform.types.as_deref() else {
            return Contexts(all);
        };
        for kind in kinds {
            if all.iter().any(|of| of.kind == kind.kind) {
                continue;
            }
            all.push(OfKind {
                kind: kind.kind,
                names: names(types, kind, platform.projections),
                kernel: structure(types, kind, "kern"),
            });
        }
        Contexts(all)
    }

    fn get(&self, kind: &ProgKind) -> Option<&OfKind> {
        self.0.iter().find(|of| of.kind == kind.kind)
    }

    /// Whether a structure of this name stands for the context of a program of this kind.
    pub(crate) fn has(&self, kind: &ProgKind, name: &str) -> bool {
        let of = self.get(kind);
        of.is_some_and(|of| of.names.iter().any(|n| n == name))
    }

    /// The context as the kernel sees it.
    pub(crate) fn kernel(&self, kind: &ProgKind) -> Option<TypeId> {
        self.get(kind)?.kernel
    }
}

fn names(
    types: &Btf,
    kind: &ProgKind,
    projections: &[(&'static str, &'static str)],
) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(user) = structure(types, kind, "prog") {
        names.push(types.name(user).to_string());
    } else if let Context::Struct { name, .. } = kind.context {
        names.push(name.to_string());
    }
    let kernel = |user: &str| projections.iter().find(|p| p.0 == user).map(|p| p.1);
    if let Some(kernel) = names.first().and_then(|n| kernel(n)) {
        names.push(kernel.to_string());
    }
    names
}

/// The structure behind the context of a program kind: as programs see it (`prog`) or the kernel (`kern`).
///
/// The kernel's types list both for each kind in one structure.
fn structure(types: &Btf, kind: &ProgKind, side: &str) -> Option<TypeId> {
    let list = types.find_struct("bpf_ctx_convert")?;
    let name = kind.name.to_ascii_uppercase();
    let member = ["BPF_PROG_TYPE_", &name, "_", side].concat();
    let found = types.members(list).named(&member)?;
    let id = types.resolve(found.ty);
    matches!(types.kind(id), Some(Kind::Struct)).then_some(id)
}
