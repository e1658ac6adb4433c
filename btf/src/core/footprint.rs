//! Relocations and a target → the part of the target's types that they ask about.
//!
//! Shipped with a program, that part stands in for the BTF of a kernel that has none: the same
//! relocations give the same values against it, in kilobytes instead of megabytes.

use std::collections::{BTreeMap, BTreeSet};

use super::spec::Spec;
use super::{CandidateCache, Class, CoreError, RelocKind, Relocation, matches};
use crate::{Btf, Error, Subset, Type, TypeId};

/// The types and members of `target` that relocations asked about so far.
#[derive(Clone, Debug)]
pub struct Footprint<'a> {
    target: &'a Btf,
    /// Types to keep, with the members to keep of those that have members.
    kept: BTreeMap<TypeId, BTreeSet<u32>>,
    /// Types kept with all members, and whether that was behind a pointer.
    whole: BTreeSet<(TypeId, bool)>,
}

impl<'a> Footprint<'a> {
    pub fn new(target: &'a Btf) -> Footprint<'a> {
        Footprint {
            target,
            kept: BTreeMap::new(),
            whole: BTreeSet::new(),
        }
    }

    /// Adds what a relocation of an object with types `local` finds in the target: nothing, if it
    /// finds nothing.
    pub fn add(
        &mut self,
        local: &Btf,
        rel: &Relocation<'_>,
        cache: &mut CandidateCache,
    ) -> Result<(), CoreError> {
        let spec = Spec::parse(local, rel)?;
        if rel.kind == RelocKind::TypeIdLocal || local.name(rel.type_id).is_empty() {
            return Ok(());
        }
        for found in matches(local, rel, &spec, self.target, cache)? {
            match rel.kind.class() {
                Class::Type => self.keep_whole(found.root),
                Class::Enumval => self.keep(found.root),
                Class::Field => self.keep_path(&found),
            }
        }
        Ok(())
    }

    /// The part asked about, as a set of its own. Structures keep their sizes and the members
    /// that matter at their places; pointers lead to `void` unless what they point to was asked about.
    pub fn build(&self) -> Result<Subset, Error> {
        let mut builder = crate::BtfBuilder::new();
        builder.set_big_endian(self.target.is_big_endian());
        let ids: BTreeMap<TypeId, TypeId> = std::iter::once((TypeId::VOID, TypeId::VOID))
            .chain(
                self.kept
                    .keys()
                    .zip(1..)
                    .map(|(&old, new)| (old, TypeId(new))),
            )
            .collect();
        for (&id, members) in &self.kept {
            let map = |old: TypeId| ids.get(&old).copied().unwrap_or_default();
            builder.copy_members(self.target, id, |i| members.contains(&i), map);
        }
        Ok(Subset {
            btf: builder.build()?,
            ids,
        })
    }

    fn keep_path(&mut self, spec: &Spec<'_>) {
        self.keep(spec.root);
        for &(composite, index) in &spec.raw {
            if let Some(m) = self.target.members(composite).get(index as usize)
                && let Some(kept) = self.kept.get_mut(&composite)
            {
                kept.insert(index);
                self.keep(m.ty);
            }
        }
    }

    /// A type with what it is made of, structures without their members.
    fn keep(&mut self, id: TypeId) {
        let mut id = id;
        // Ends: chains of modifiers and arrays do.
        while id != TypeId::VOID {
            self.kept.entry(id).or_default();
            id = match self.target.ty(id) {
                Some(
                    Type::Typedef(to)
                    | Type::Volatile(to)
                    | Type::Const(to)
                    | Type::Restrict(to)
                    | Type::TypeTag { target: to, .. },
                ) => to,
                Some(Type::Array { elem, index, .. }) => {
                    if index != TypeId::VOID {
                        self.kept.entry(index).or_default();
                    }
                    elem
                }
                _ => return,
            };
        }
    }

    /// A type with everything that deciding whether it matches looks at.
    fn keep_whole(&mut self, id: TypeId) {
        let mut todo = vec![(id, false)];
        while let Some((id, behind_pointer)) = todo.pop() {
            self.keep(id);
            let id = self.target.resolve(id);
            if !self.whole.insert((id, behind_pointer)) {
                continue;
            }
            match self.target.ty(id) {
                Some(Type::Ptr(to)) => todo.push((to, true)),
                Some(Type::Array { elem, .. }) => todo.push((elem, behind_pointer)),
                // `keep` put it there.
                Some(Type::Struct(c) | Type::Union(c)) if !behind_pointer => {
                    let all = self.kept.entry(id).or_default();
                    all.extend(0..c.members.len() as u32);
                    todo.extend(c.members.iter().map(|m| (m.ty, false)));
                }
                Some(Type::FuncProto { ret, params }) => {
                    todo.push((ret, behind_pointer));
                    todo.extend(params.iter().map(|p| (p.ty, behind_pointer)));
                }
                _ => {}
            }
        }
    }
}
