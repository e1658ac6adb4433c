//! A relocation recorded against an object's own types → the value that fits the target's types.
//!
//! The target is usually the running kernel. A relocation names a local type and a path through
//! it (`0:1:2`); the target's types of the same essential name are its candidates; each candidate
//! in which the path exists gives a value, and all of them must agree.
//!
//! **Invariant:** nothing is patched here: [`Resolution`] says what to write, the object reader
//! knows instructions.
//!
//! Source: `Documentation/bpf/llvm_reloc.rst`, and libbpf's behaviour.

mod footprint;
mod matching;
mod spec;
#[cfg(test)]
mod tests;
mod value;

use std::collections::HashMap;

use crate::{Btf, TypeId};

pub use footprint::Footprint;
use matching::Matcher;
pub use matching::{types_are_compatible, types_match};
use spec::Spec;
use value::Outcome;

/// What is asked about the target: `enum bpf_core_relo_kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RelocKind {
    FieldByteOffset = 0,
    FieldByteSize = 1,
    FieldExists = 2,
    FieldSigned = 3,
    FieldLshiftU64 = 4,
    FieldRshiftU64 = 5,
    TypeIdLocal = 6,
    TypeIdTarget = 7,
    TypeExists = 8,
    TypeSize = 9,
    EnumvalExists = 10,
    EnumvalValue = 11,
    TypeMatches = 12,
}

impl RelocKind {
    const ALL: [RelocKind; 13] = [
        RelocKind::FieldByteOffset,
        RelocKind::FieldByteSize,
        RelocKind::FieldExists,
        RelocKind::FieldSigned,
        RelocKind::FieldLshiftU64,
        RelocKind::FieldRshiftU64,
        RelocKind::TypeIdLocal,
        RelocKind::TypeIdTarget,
        RelocKind::TypeExists,
        RelocKind::TypeSize,
        RelocKind::EnumvalExists,
        RelocKind::EnumvalValue,
        RelocKind::TypeMatches,
    ];

    pub fn from_number(n: u32) -> Option<RelocKind> {
        RelocKind::ALL.get(n as usize).copied()
    }

    /// libbpf's word for it.
    pub fn name(self) -> &'static str {
        match self {
            RelocKind::FieldByteOffset => "byte_off",
            RelocKind::FieldByteSize => "byte_sz",
            RelocKind::FieldExists => "field_exists",
            RelocKind::FieldSigned => "signed",
            RelocKind::FieldLshiftU64 => "lshift_u64",
            RelocKind::FieldRshiftU64 => "rshift_u64",
            RelocKind::TypeIdLocal => "local_type_id",
            RelocKind::TypeIdTarget => "target_type_id",
            RelocKind::TypeExists => "type_exists",
            RelocKind::TypeSize => "type_size",
            RelocKind::EnumvalExists => "enumval_exists",
            RelocKind::EnumvalValue => "enumval_value",
            RelocKind::TypeMatches => "type_matches",
        }
    }

    fn class(self) -> Class {
        match self {
            RelocKind::FieldByteOffset
            | RelocKind::FieldByteSize
            | RelocKind::FieldExists
            | RelocKind::FieldSigned
            | RelocKind::FieldLshiftU64
            | RelocKind::FieldRshiftU64 => Class::Field,
            RelocKind::TypeIdLocal
            | RelocKind::TypeIdTarget
            | RelocKind::TypeExists
            | RelocKind::TypeSize
            | RelocKind::TypeMatches => Class::Type,
            RelocKind::EnumvalExists | RelocKind::EnumvalValue => Class::Enumval,
        }
    }
}

/// What a relocation is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Field,
    Type,
    Enumval,
}

/// A relocation as recorded by the compiler (`struct bpf_core_relo`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation<'a> {
    /// In the object's own types.
    pub type_id: TypeId,
    /// `0:1:2`.
    pub access: &'a str,
    pub kind: RelocKind,
}

/// What to do with the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    Value(Patch),
    /// The target has no such thing: the instruction is to be poisoned, which is fine where
    /// it cannot be reached. Questions of existence never fail, they answer 0.
    Failed,
}

/// The value to write, and what the instruction should look like before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch {
    /// The new immediate, or the new offset of a load or store.
    pub value: u64,
    /// What the compiler wrote there, if that can be known. Where the instruction holds 32 bits,
    /// the low 32 count.
    pub original: Option<u64>,
    /// For offsets of loads and stores: bytes of the field in the object's types and in the
    /// target's. When they differ the access is to be resized, unless
    /// [`Patch::fail_memsz_adjust`]. 0 for bitfields and other kinds.
    pub original_size: u32,
    pub size: u32,
    /// Resizing would change the value read (signed integers, structures): a load or store is to
    /// be poisoned, an addition to a pointer is not.
    pub fail_memsz_adjust: bool,
    /// The target's field is a signed integer or enumeration.
    pub signed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoreError {
    #[error("CO-RE relocation: access string `{access}` does not fit type [{id}]")]
    BadAccess { id: TypeId, access: String },
    #[error("CO-RE relocation {kind} of type [{id}]: anonymous types cannot be relocated")]
    Anonymous { id: TypeId, kind: &'static str },
    #[error("CO-RE relocation: type [{0}] does not exist")]
    NoType(TypeId),
    #[error("CO-RE relocation {kind} cannot be applied to `{what}`: {why}")]
    Inapplicable {
        kind: &'static str,
        what: String,
        why: &'static str,
    },
    #[error(
        "CO-RE relocation of `{what}` is ambiguous: type [{first}] gives {first_value}, type [{second}] gives {second_value}"
    )]
    Ambiguous {
        what: String,
        first: TypeId,
        first_value: String,
        second: TypeId,
        second_value: String,
    },
    #[error("CO-RE relocation: `{0}` is too complex to match")]
    TooComplex(String),
}

/// The target's candidates for local types, kept between relocations of one object against one
/// target. Candidates that a relocation showed to be others are dropped from later ones.
///
/// It also holds what all relocations of the object together may cost: hostile types can make each
/// one's search exponential.
#[derive(Clone, Debug)]
pub struct CandidateCache {
    candidates: HashMap<TypeId, Vec<TypeId>>,
    /// Comparisons left.
    left: u32,
}

impl Default for CandidateCache {
    fn default() -> Self {
        // Some seconds' worth; real programs stay far below.
        CandidateCache {
            candidates: HashMap::new(),
            left: 1 << 26,
        }
    }
}

impl CandidateCache {
    pub fn new() -> CandidateCache {
        CandidateCache::default()
    }
}

/// Resolves one relocation of an object with types `local` against `target`.
pub fn relocate(
    local: &Btf,
    rel: &Relocation<'_>,
    target: &Btf,
    cache: &mut CandidateCache,
) -> Result<Resolution, CoreError> {
    let spec = Spec::parse(local, rel)?;
    if rel.kind == RelocKind::TypeIdLocal {
        let id = u64::from(rel.type_id.0);
        // Linking objects renumbers types without touching instructions.
        return Ok(Resolution::Value(Patch {
            original: None,
            ..Patch::plain(id)
        }));
    }
    if local.name(rel.type_id).is_empty() {
        return Err(CoreError::Anonymous {
            id: rel.type_id,
            kind: rel.kind.name(),
        });
    }
    let original = value::of(rel, local, Some(&spec))?;
    let mut agreed: Option<(Outcome, Spec<'_>)> = None;
    for found in matches(local, rel, &spec, target, cache)? {
        let outcome = value::of(rel, target, Some(&found))?;
        let Some((first, first_spec)) = &agreed else {
            agreed = Some((outcome, found));
            continue;
        };
        let same = first_spec.bit_offset == found.bit_offset
            && first.value == outcome.value
            && first.poison == outcome.poison;
        if !same {
            let says = |o: &Outcome, s: &Spec<'_>| match o.poison {
                true => "failure".to_owned(),
                false => format!("{} (at bit {})", o.value, s.bit_offset),
            };
            return Err(CoreError::Ambiguous {
                what: describe(local, rel),
                first: first_spec.root,
                first_value: says(first, first_spec),
                second: found.root,
                second_value: says(&outcome, &found),
            });
        }
    }
    let outcome = match agreed {
        Some((outcome, _)) => outcome,
        None => value::of(rel, target, None)?,
    };
    Ok(value::patch(&original, &outcome, local, target))
}

/// The path of `spec` in every candidate that has it; the others are forgotten if any has.
fn matches<'a>(
    local: &Btf,
    rel: &Relocation<'_>,
    spec: &Spec<'_>,
    target: &'a Btf,
    cache: &mut CandidateCache,
) -> Result<Vec<Spec<'a>>, CoreError> {
    let candidates = cache
        .candidates
        .entry(rel.type_id)
        .or_insert_with(|| candidates(local, rel.type_id, target));
    let mut found = Vec::new();
    for &candidate in candidates.iter() {
        let mut matcher = Matcher::new(local, target);
        let path = matcher.find(rel.kind, spec, candidate);
        cache.left = cache
            .left
            .checked_sub(matcher.spent())
            .ok_or_else(|| CoreError::TooComplex(describe(local, rel)))?;
        found.extend(path?);
    }
    if !found.is_empty() {
        *candidates = found.iter().map(|spec| spec.root).collect();
    }
    Ok(found)
}

/// Types of the target with the same essential name and a compatible kind. A split target's
/// own types count only where its base has none.
fn candidates(local: &Btf, id: TypeId, target: &Btf) -> Vec<TypeId> {
    let essential = crate::essential_name(local.name(id));
    let fits = |&candidate: &TypeId| matching::kinds_compatible(local, id, target, candidate);
    if let Some(base) = target.base() {
        let found: Vec<_> = base.with_essential_name(essential).filter(fits).collect();
        if !found.is_empty() {
            return found;
        }
    }
    target.with_essential_name(essential).filter(fits).collect()
}

/// What a relocation is about, in C's words: `struct task_struct.mm`, `enum bpf_func_id::X`.
pub fn describe(local: &Btf, rel: &Relocation<'_>) -> String {
    let root = local.type_name(rel.type_id);
    let Ok(spec) = Spec::parse(local, rel) else {
        return root;
    };
    let mut text = root;
    for (i, step) in spec.steps.iter().enumerate() {
        match (step.name, rel.kind.class()) {
            (Some(name), Class::Enumval) => text.extend(["::", name]),
            (Some(name), _) => text.extend([".", name]),
            (None, _) if i > 0 || step.index > 0 => text.push_str(&format!("[{}]", step.index)),
            (None, _) => {}
        }
    }
    text
}
