//! Types → only those that some of them need, renumbered.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::{Btf, BtfBuilder, Error, Kind, Type, TypeId};

/// A smaller set of types.
#[derive(Clone, Debug)]
pub struct Subset {
    pub btf: Btf,
    /// Old ids → new ids.
    pub ids: BTreeMap<TypeId, TypeId>,
}

impl Btf {
    /// The types `roots` and what they need, without a base. Structures and unions that are only
    /// pointed to become forward declarations, unless `pointees` asks for them whole.
    /// Declaration tags follow what they are on.
    pub fn subset(&self, roots: &[TypeId], pointees: bool) -> Result<Subset, Error> {
        let needs = Needs::find(self, roots, pointees);
        let mut builder = BtfBuilder::new();
        builder.set_big_endian(self.is_big_endian());
        let kept: Vec<TypeId> = needs.whole.union(&needs.forward).copied().collect();
        let ids: BTreeMap<TypeId, TypeId> = std::iter::once((TypeId::VOID, TypeId::VOID))
            .chain(kept.iter().zip(1..).map(|(&old, new)| (old, TypeId(new))))
            .collect();
        for &id in &kept {
            match self.ty(id) {
                Some(Type::Union(_)) if !needs.whole.contains(&id) => {
                    builder.fwd(self.name(id), true);
                }
                Some(Type::Struct(_)) if !needs.whole.contains(&id) => {
                    builder.fwd(self.name(id), false);
                }
                _ => {
                    builder.copy(self, id, |old| ids.get(&old).copied().unwrap_or_default());
                }
            }
        }
        Ok(Subset {
            btf: builder.build()?,
            ids,
        })
    }
}

struct Needs {
    whole: BTreeSet<TypeId>,
    /// Named structures and unions of which a forward declaration is enough (or which are whole too).
    forward: BTreeSet<TypeId>,
}

impl Needs {
    fn find(btf: &Btf, roots: &[TypeId], pointees: bool) -> Needs {
        let mut needs = Needs {
            whole: BTreeSet::new(),
            forward: BTreeSet::new(),
        };
        // With whether the type is only pointed to.
        let mut todo: Vec<(TypeId, bool)> = roots.iter().map(|&id| (id, false)).collect();
        let mut seen = HashSet::new();
        while let Some((id, pointed)) = todo.pop() {
            let pointed = pointed && !pointees;
            if id == TypeId::VOID || !seen.insert((id, pointed)) {
                continue;
            }
            let Some(ty) = btf.ty(id) else { continue };
            if pointed && btf.kind(id).is_some_and(Kind::is_composite) && !btf.name(id).is_empty() {
                needs.forward.insert(id);
                continue;
            }
            needs.whole.insert(id);
            match ty {
                Type::Ptr(to) => todo.push((to, true)),
                Type::Typedef(to)
                | Type::Volatile(to)
                | Type::Const(to)
                | Type::Restrict(to)
                | Type::TypeTag { target: to, .. } => todo.push((to, pointed)),
                Type::Array { elem, index, .. } => todo.extend([(elem, false), (index, false)]),
                Type::Struct(c) | Type::Union(c) => {
                    todo.extend(c.members.iter().map(|m| (m.ty, false)))
                }
                Type::Func { proto: to, .. }
                | Type::Var { ty: to, .. }
                | Type::DeclTag { target: to, .. } => todo.push((to, false)),
                Type::FuncProto { ret, params } => {
                    todo.push((ret, false));
                    todo.extend(params.iter().map(|p| (p.ty, false)));
                }
                Type::DataSec { vars, .. } => todo.extend(vars.iter().map(|v| (v.var, false))),
                Type::Void
                | Type::Int { .. }
                | Type::Enum(_)
                | Type::Enum64(_)
                | Type::Fwd { .. }
                | Type::Float { .. } => {}
            }
        }
        for (id, ty) in btf.types() {
            if let Type::DeclTag { target, .. } = ty
                && needs.whole.contains(&target)
            {
                needs.whole.insert(id);
            }
        }
        needs
    }
}
