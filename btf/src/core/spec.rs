//! An access string → the named members and elements it goes through.

use super::{Class, CoreError, Relocation};
use crate::{Btf, Type, TypeId};

/// Longest path, as in libbpf.
pub(super) const MAX_STEPS: usize = 64;

/// A way into a type.
#[derive(Clone, Debug)]
pub(super) struct Spec<'a> {
    /// Modifiers and all.
    pub root: TypeId,
    /// The steps that mean something by name: anonymous structures are passed through silently.
    pub steps: Vec<Step<'a>>,
    /// Every step, anonymous ones too: the structure and its member's index, or `void` and the
    /// index of an element.
    pub raw: Vec<(TypeId, u32)>,
    pub bit_offset: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    /// The structure whose member it is, or the type of the element it goes to; resolved.
    pub ty: TypeId,
    /// Of the member, element or enumerator.
    pub index: u32,
    /// `None` for an element.
    pub name: Option<&'a str>,
}

impl<'a> Spec<'a> {
    pub fn empty(root: TypeId) -> Spec<'a> {
        Spec {
            root,
            steps: Vec::new(),
            raw: Vec::new(),
            bit_offset: 0,
        }
    }

    /// Reads a local access string.
    pub fn parse(btf: &'a Btf, rel: &Relocation<'_>) -> Result<Spec<'a>, CoreError> {
        if btf.kind(rel.type_id).is_none() {
            return Err(CoreError::NoType(rel.type_id));
        }
        parse(btf, rel).ok_or_else(|| CoreError::BadAccess {
            id: rel.type_id,
            access: rel.access.to_owned(),
        })
    }

    /// Adds `index` elements of `size` bytes.
    pub fn advance(&mut self, index: u32, size: u32) -> Option<()> {
        let bits = u64::from(index) * u64::from(size) * 8;
        self.bit_offset = self.bit_offset.checked_add(bits)?;
        Some(())
    }

    /// Whether the array of `len` elements just reached may be indexed with `index`: also past
    /// the end, when it is the flexible array at the end of a structure.
    pub fn in_bounds(&self, btf: &Btf, len: u32, index: u32) -> bool {
        let flexible = len == 0
            && self.steps.last().is_some_and(|last| {
                last.name.is_some() && last.index as usize + 1 == btf.members(last.ty).len()
            });
        flexible || index < len
    }
}

fn parse<'a>(btf: &'a Btf, rel: &Relocation<'_>) -> Option<Spec<'a>> {
    let mut spec = Spec::empty(rel.type_id);
    if rel.kind.class() == Class::Type {
        return (rel.access == "0").then_some(spec);
    }
    let mut indices = Vec::new();
    for part in rel.access.split(':') {
        if indices.len() == MAX_STEPS {
            return None;
        }
        indices.push(part.parse::<u32>().ok().filter(|&i| i <= i32::MAX as u32)?);
    }
    let (&first, rest) = indices.split_first()?;
    let mut ty = btf.resolve(rel.type_id);

    if rel.kind.class() == Class::Enumval {
        let (Type::Enum(e) | Type::Enum64(e)) = btf.ty(ty)? else {
            return None;
        };
        let value = e.values.get(first as usize).filter(|_| rest.is_empty())?;
        spec.steps.push(Step {
            ty,
            index: first,
            name: Some(value.name),
        });
        return Some(spec);
    }

    spec.steps.push(Step {
        ty,
        index: first,
        name: None,
    });
    spec.advance(first, btf.size_of(ty)?)?;
    for &index in rest {
        match btf.ty(ty)? {
            Type::Struct(c) | Type::Union(c) => {
                let m = c.members.get(index as usize)?;
                spec.bit_offset = spec.bit_offset.checked_add(m.bit_offset.into())?;
                if !m.name.is_empty() {
                    spec.steps.push(Step {
                        ty,
                        index,
                        name: Some(m.name),
                    });
                }
                ty = btf.resolve(m.ty);
            }
            Type::Array { elem, len, .. } => {
                if !spec.in_bounds(btf, len, index) {
                    return None;
                }
                ty = btf.resolve(elem);
                spec.steps.push(Step {
                    ty,
                    index,
                    name: None,
                });
                spec.advance(index, btf.size_of(ty)?)?;
            }
            _ => return None,
        }
    }
    Some(spec)
}
