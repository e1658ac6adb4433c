//! Types wanted → an order of declarations in which each follows what it needs.
//!
//! A structure needs the definitions of what it holds by value; what it only points to needs no
//! more than a forward declaration, except enumerations and typedefs, which C cannot declare ahead.
//! Anonymous types are part of whoever holds them.

use std::collections::HashSet;

use super::names::is_unit;
use crate::{Btf, Error, Kind, Type, TypeId};

/// Deepest chain of needs; the kernel's deepest takes some 60.
const MAX_DEPTH: u32 = 400;

/// One declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// `struct name;`
    Forward(TypeId),
    /// The definition of a named structure, union or enumeration, a typedef, or an anonymous
    /// enumeration that nothing refers to.
    Define(TypeId),
}

/// Orders `roots` and what they (and `funcs`, which are declared afterwards) need; with `pointees`
/// also what is only pointed to.
pub(super) fn order(
    btf: &Btf,
    roots: &[TypeId],
    funcs: &[TypeId],
    pointees: bool,
) -> Result<Vec<Unit>, Error> {
    let held = anonymous_enums_held(btf);
    let mut order = Order {
        btf,
        units: Vec::new(),
        done: HashSet::new(),
        active: HashSet::new(),
        forward: HashSet::new(),
        later: Vec::new(),
    };
    for &id in roots {
        let Some(kind) = btf.kind(id) else { continue };
        if !btf.name(id).is_empty() || kind.is_enum() && !held.contains(&id) {
            order.root(id, kind)?;
        }
    }
    for &id in funcs {
        order.root(id, Kind::Func)?;
    }
    while pointees && let Some(id) = order.later.pop() {
        order.need(id, true, MAX_DEPTH)?;
    }
    Ok(order.units)
}

/// Anonymous enumerations that are spelled out where they are used.
fn anonymous_enums_held(btf: &Btf) -> HashSet<TypeId> {
    let mut held = HashSet::new();
    let mut hold = |id: TypeId| {
        if btf.kind(id).is_some_and(Kind::is_enum) && btf.name(id).is_empty() {
            held.insert(id);
        }
    };
    for (_, ty) in btf.types() {
        match ty {
            Type::Typedef(to)
            | Type::Const(to)
            | Type::Volatile(to)
            | Type::Restrict(to)
            | Type::TypeTag { target: to, .. }
            | Type::Array { elem: to, .. }
            | Type::Ptr(to) => hold(to),
            Type::Struct(c) | Type::Union(c) => c.members.iter().for_each(|m| hold(m.ty)),
            _ => {}
        }
    }
    held
}

struct Order<'a> {
    btf: &'a Btf,
    units: Vec<Unit>,
    /// Defined, or spelled out in place with all they need declared.
    done: HashSet<TypeId>,
    /// Being defined: what they need comes first.
    active: HashSet<TypeId>,
    /// Declared ahead.
    forward: HashSet<TypeId>,
    /// Pointed to, and not yet defined.
    later: Vec<TypeId>,
}

impl Order<'_> {
    fn root(&mut self, id: TypeId, kind: Kind) -> Result<(), Error> {
        match self.btf.ty(id) {
            Some(Type::Func { proto, .. }) => self.need(proto, false, MAX_DEPTH),
            Some(Type::Fwd { .. }) => {
                self.declare_ahead(id);
                Ok(())
            }
            _ if is_unit(kind) => self.define(id, MAX_DEPTH),
            _ => Ok(()),
        }
    }

    /// Makes sure that `id` can be named (`complete`: can be held by value) in the next unit.
    fn need(&mut self, id: TypeId, complete: bool, depth: u32) -> Result<(), Error> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Error::TooComplex(id));
        };
        match self.btf.ty(id) {
            None | Some(Type::Void | Type::Int { .. } | Type::Float { .. }) => Ok(()),
            Some(Type::Ptr(to)) => self.need(to, false, depth),
            Some(Type::Array { elem, .. }) => self.need(elem, true, depth),
            Some(
                Type::Const(to)
                | Type::Volatile(to)
                | Type::Restrict(to)
                | Type::TypeTag { target: to, .. },
            ) => self.need(to, complete, depth),
            Some(Type::FuncProto { ret, params }) => {
                // What was needed once is there for good: prototypes of prototypes end.
                if !self.done.insert(id) {
                    return Ok(());
                }
                self.need(ret, false, depth)?;
                params
                    .iter()
                    .try_for_each(|p| self.need(p.ty, false, depth))
            }
            Some(Type::Fwd { .. }) => {
                self.declare_ahead(id);
                Ok(())
            }
            Some(Type::Struct(c) | Type::Union(c)) => {
                if self.btf.name(id).is_empty() {
                    // Spelled out in place, so what it holds is needed now; once is enough.
                    if self.done.contains(&id) {
                        return Ok(());
                    }
                    if !self.active.insert(id) {
                        return Err(Error::BadType {
                            id,
                            what: "an anonymous type holds itself",
                        });
                    }
                    c.members
                        .iter()
                        .try_for_each(|m| self.need(m.ty, true, depth))?;
                    self.active.remove(&id);
                    self.done.insert(id);
                    Ok(())
                } else if complete {
                    self.define(id, depth)
                } else {
                    if !self.done.contains(&id) && !self.active.contains(&id) {
                        self.later.push(id);
                    }
                    self.declare_ahead(id);
                    Ok(())
                }
            }
            Some(Type::Enum(_) | Type::Enum64(_)) => match self.btf.name(id).is_empty() {
                true => Ok(()),
                false => self.define(id, depth),
            },
            Some(Type::Typedef(to)) => {
                self.define(id, depth)?;
                // Declaring a typedef does not complete the structure that it names.
                if complete {
                    self.need(to, true, depth)
                } else {
                    Ok(())
                }
            }
            Some(
                Type::Func { .. } | Type::Var { .. } | Type::DataSec { .. } | Type::DeclTag { .. },
            ) => Err(Error::BadType {
                id,
                what: "it is used as a type and is none",
            }),
        }
    }

    fn define(&mut self, id: TypeId, depth: u32) -> Result<(), Error> {
        if self.done.contains(&id) {
            return Ok(());
        }
        if !self.active.insert(id) {
            return Err(Error::BadType {
                id,
                what: "its definition needs itself",
            });
        }
        match self.btf.ty(id) {
            Some(Type::Struct(c) | Type::Union(c)) => {
                c.members
                    .iter()
                    .try_for_each(|m| self.need(m.ty, true, depth))?;
            }
            Some(Type::Typedef(to)) if is_inline(self.btf, to) => self.need(to, true, depth)?,
            Some(Type::Typedef(to)) => self.need(to, false, depth)?,
            _ => {}
        }
        self.active.remove(&id);
        self.done.insert(id);
        self.units.push(Unit::Define(id));
        Ok(())
    }

    /// Structures and unions only.
    fn declare_ahead(&mut self, id: TypeId) {
        if !self.done.contains(&id) && self.forward.insert(id) {
            self.units.push(Unit::Forward(id));
        }
    }
}

fn is_inline(btf: &Btf, id: TypeId) -> bool {
    btf.kind(id).is_some_and(Kind::is_composite) && btf.name(id).is_empty()
}
