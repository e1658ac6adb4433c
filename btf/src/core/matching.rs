//! Local types × target types → do they stand for the same thing, and where is the path.
//!
//! Three relations, loosest first:
//! - *compatible fields*: what a path may go through or end in; sizes and signedness are free;
//! - *compatible types*: `type_exists` and its like; the shape outside structures counts;
//! - *matching types*: `type_matches`; members, their types, enumerators and sizes count.

use super::spec::{MAX_STEPS, Spec, Step};
use super::{Class, CoreError, RelocKind};
use crate::{Btf, Enum, Type, TypeId, essential_name};

/// Deepest recursion, as in libbpf.
const MAX_DEPTH: u32 = 32;
/// Most comparisons for one candidate: hostile types can make the search exponential.
const MAX_COMPARISONS: u32 = 1 << 20;

/// Whether `target_id` has the same shape as `local_id`; names of the two themselves are not compared.
pub fn types_are_compatible(
    local: &Btf,
    local_id: TypeId,
    target: &Btf,
    target_id: TypeId,
) -> Result<bool, CoreError> {
    Matcher::new(local, target).compatible_types(local_id, target_id, MAX_DEPTH)
}

/// Whether `target_id` has everything that `local_id` has, by name and type.
pub fn types_match(
    local: &Btf,
    local_id: TypeId,
    target: &Btf,
    target_id: TypeId,
) -> Result<bool, CoreError> {
    Matcher::new(local, target).matching_types(local_id, target_id, false, MAX_DEPTH)
}

/// The same kind, the two widths of enumerations counting as one.
pub(super) fn kinds_compatible(local: &Btf, a: TypeId, target: &Btf, b: TypeId) -> bool {
    match (local.kind(a), target.kind(b)) {
        (Some(a), Some(b)) => a == b || a.is_enum() && b.is_enum(),
        _ => false,
    }
}

fn same_essential_name(a: &str, b: &str) -> bool {
    essential_name(a) == essential_name(b)
}

/// Compares types of two sets.
pub(super) struct Matcher<'l, 'a> {
    local: &'l Btf,
    target: &'a Btf,
    left: u32,
}

impl<'l, 'a> Matcher<'l, 'a> {
    pub fn new(local: &'l Btf, target: &'a Btf) -> Matcher<'l, 'a> {
        Matcher {
            local,
            target,
            left: MAX_COMPARISONS,
        }
    }

    /// Comparisons made so far.
    pub fn spent(&self) -> u32 {
        MAX_COMPARISONS - self.left
    }

    fn spend(&mut self, id: TypeId) -> Result<(), CoreError> {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return Err(self.too_complex(id)),
        }
        Ok(())
    }

    fn too_complex(&self, target_id: TypeId) -> CoreError {
        CoreError::TooComplex(self.target.type_name(target_id))
    }

    /// The path of `local` in the target's type `root`, if it exists there.
    pub fn find(
        &mut self,
        kind: RelocKind,
        local: &Spec<'_>,
        root: TypeId,
    ) -> Result<Option<Spec<'a>>, CoreError> {
        match kind.class() {
            Class::Type => {
                let fits = match kind {
                    RelocKind::TypeMatches => {
                        self.matching_types(local.root, root, false, MAX_DEPTH)?
                    }
                    _ => self.compatible_types(local.root, root, MAX_DEPTH)?,
                };
                Ok(fits.then(|| Spec::empty(root)))
            }
            Class::Enumval => Ok(self.find_enumerator(local, root)),
            Class::Field => self.find_field(local, root),
        }
    }

    fn find_enumerator(&self, local: &Spec<'_>, root: TypeId) -> Option<Spec<'a>> {
        let wanted = local.steps.first()?.name?;
        let ty = self.target.resolve(root);
        let (Type::Enum(e) | Type::Enum64(e)) = self.target.ty(ty)? else {
            return None;
        };
        let (index, value) = e
            .values
            .iter()
            .enumerate()
            .find(|(_, v)| same_essential_name(wanted, v.name))?;
        let mut spec = Spec::empty(root);
        spec.raw.push((TypeId::VOID, index as u32));
        spec.steps.push(Step {
            ty,
            index: index as u32,
            name: Some(value.name),
        });
        Some(spec)
    }

    fn find_field(
        &mut self,
        local: &Spec<'_>,
        root: TypeId,
    ) -> Result<Option<Spec<'a>>, CoreError> {
        let mut spec = Spec::empty(root);
        let mut ty = self.target.resolve(root);
        for (i, step) in local.steps.iter().enumerate() {
            if step.name.is_some() {
                match self.find_member(step, ty, &mut spec, MAX_STEPS)? {
                    Some(next) => ty = self.target.resolve(next),
                    None => return Ok(None),
                }
                continue;
            }
            // The first index is into an imagined array of the root type.
            if i > 0 {
                match self.target.ty(ty) {
                    Some(Type::Array { elem, len, .. })
                        if spec.in_bounds(self.target, len, step.index) =>
                    {
                        ty = self.target.resolve(elem);
                    }
                    _ => return Ok(None),
                }
            }
            if spec.raw.len() == MAX_STEPS {
                return Err(self.too_complex(root));
            }
            spec.raw.push((TypeId::VOID, step.index));
            spec.steps.push(Step {
                ty,
                index: step.index,
                name: None,
            });
            let size = self.target.size_of(ty);
            // A forward declaration or a function has no elements to go to.
            let Some(size) = size else { return Ok(None) };
            spec.advance(step.index, size)
                .ok_or_else(|| self.too_complex(root))?;
        }
        Ok(Some(spec))
    }

    /// Goes to the member that `local` names, through anonymous structures; its type is returned.
    fn find_member(
        &mut self,
        local: &Step<'_>,
        ty: TypeId,
        spec: &mut Spec<'a>,
        depth: usize,
    ) -> Result<Option<TypeId>, CoreError> {
        let ty = self.target.resolve(ty);
        let members = match self.target.ty(ty) {
            Some(Type::Struct(c) | Type::Union(c)) => c.members,
            _ => return Ok(None),
        };
        if spec.raw.len() >= MAX_STEPS || depth == 0 {
            return Err(self.too_complex(ty));
        }
        for (index, m) in members.iter().enumerate() {
            self.spend(ty)?;
            let named = local.name == Some(m.name);
            if !named && !m.name.is_empty() {
                continue;
            }
            let (raw_len, bit_offset) = (spec.raw.len(), spec.bit_offset);
            spec.raw.push((ty, index as u32));
            spec.bit_offset = bit_offset.saturating_add(m.bit_offset.into());
            if named {
                let Some(wanted) = self.local.members(local.ty).get(local.index as usize) else {
                    return Ok(None);
                };
                if !self.compatible_fields(wanted.ty, m.ty)? {
                    return Ok(None);
                }
                spec.steps.push(Step {
                    ty,
                    index: index as u32,
                    name: Some(m.name),
                });
                return Ok(Some(m.ty));
            }
            if let Some(found) = self.find_member(local, m.ty, spec, depth - 1)? {
                return Ok(Some(found));
            }
            spec.raw.truncate(raw_len);
            spec.bit_offset = bit_offset;
        }
        Ok(None)
    }

    /// Structures and unions may replace each other; pointers and floats need only be such;
    /// enumerations and forward declarations agree in name unless one has none; integers may be of
    /// any size; arrays agree in their elements.
    fn compatible_fields(&mut self, a: TypeId, b: TypeId) -> Result<bool, CoreError> {
        let (mut a, mut b) = (a, b);
        loop {
            (a, b) = (self.local.resolve(a), self.target.resolve(b));
            let (Some(kind_a), Some(kind_b)) = (self.local.kind(a), self.target.kind(b)) else {
                return Ok(false);
            };
            if kind_a.is_composite() && kind_b.is_composite() {
                return Ok(true);
            }
            if !kinds_compatible(self.local, a, self.target, b) {
                return Ok(false);
            }
            let (name_a, name_b) = (self.local.name(a), self.target.name(b));
            return Ok(match (self.local.ty(a), self.target.ty(b)) {
                (Some(Type::Array { elem: x, .. }), Some(Type::Array { elem: y, .. })) => {
                    (a, b) = (x, y);
                    continue;
                }
                (Some(Type::Int { offset: x, .. }), Some(Type::Int { offset: y, .. })) => {
                    x == 0 && y == 0
                }
                (Some(Type::Ptr(_) | Type::Float { .. }), _) => true,
                (Some(Type::Fwd { .. } | Type::Enum(_) | Type::Enum64(_)), _) => {
                    name_a.is_empty() || name_b.is_empty() || same_essential_name(name_a, name_b)
                }
                _ => false,
            });
        }
    }

    fn compatible_types(&mut self, a: TypeId, b: TypeId, depth: u32) -> Result<bool, CoreError> {
        let (mut a, mut b) = (a, b);
        if !kinds_compatible(self.local, a, self.target, b) {
            return Ok(false);
        }
        for _ in 0..MAX_DEPTH {
            self.spend(b)?;
            (a, b) = (self.local.resolve(a), self.target.resolve(b));
            if !kinds_compatible(self.local, a, self.target, b) {
                return Ok(false);
            }
            (a, b) = match (self.local.ty(a), self.target.ty(b)) {
                (Some(Type::Ptr(x)), Some(Type::Ptr(y))) => (x, y),
                (Some(Type::Array { elem: x, .. }), Some(Type::Array { elem: y, .. })) => (x, y),
                (Some(Type::Int { offset: x, .. }), Some(Type::Int { offset: y, .. })) => {
                    return Ok(x == 0 && y == 0);
                }
                (
                    Some(Type::FuncProto {
                        ret: x,
                        params: left,
                    }),
                    Some(Type::FuncProto {
                        ret: y,
                        params: right,
                    }),
                ) => {
                    if left.len() != right.len() {
                        return Ok(false);
                    }
                    for (p, q) in left.iter().zip(right.iter()) {
                        let depth = depth.checked_sub(1).ok_or_else(|| self.too_complex(b))?;
                        let (p, q) = (self.local.resolve(p.ty), self.target.resolve(q.ty));
                        if !self.compatible_types(p, q, depth)? {
                            return Ok(false);
                        }
                    }
                    (x, y)
                }
                (
                    Some(
                        Type::Void
                        | Type::Struct(_)
                        | Type::Union(_)
                        | Type::Enum(_)
                        | Type::Enum64(_)
                        | Type::Fwd { .. },
                    ),
                    _,
                ) => return Ok(true),
                _ => return Ok(false),
            };
        }
        Err(self.too_complex(b))
    }

    fn matching_types(
        &mut self,
        a: TypeId,
        b: TypeId,
        behind_ptr: bool,
        depth: u32,
    ) -> Result<bool, CoreError> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.too_complex(b))?;
        let (mut a, mut b, mut behind_ptr) = (a, b, behind_ptr);
        for _ in 0..MAX_DEPTH {
            self.spend(b)?;
            (a, b) = (self.local.resolve(a), self.target.resolve(b));
            if !same_essential_name(self.local.name(a), self.target.name(b)) {
                return Ok(false);
            }
            let (Some(left), Some(right)) = (self.local.ty(a), self.target.ty(b)) else {
                return Ok(false);
            };
            (a, b) = match (left, right) {
                (Type::Void, Type::Void) => return Ok(true),
                (Type::Fwd { is_union: x }, Type::Fwd { is_union: y }) => return Ok(x == y),
                (Type::Fwd { is_union }, Type::Struct(_)) => return Ok(behind_ptr && !is_union),
                (Type::Fwd { is_union }, Type::Union(_)) => return Ok(behind_ptr && is_union),
                (Type::Struct(_), Type::Fwd { is_union }) => return Ok(behind_ptr && !is_union),
                (Type::Union(_), Type::Fwd { is_union }) => return Ok(behind_ptr && is_union),
                (Type::Enum(x) | Type::Enum64(x), Type::Enum(y) | Type::Enum64(y)) => {
                    return self.matching_enums(x, y, b);
                }
                (Type::Struct(_), Type::Struct(_)) | (Type::Union(_), Type::Union(_)) => {
                    return if behind_ptr {
                        Ok(true)
                    } else {
                        self.matching_members(a, b, depth)
                    };
                }
                (
                    Type::Int {
                        size: x,
                        encoding: e,
                        ..
                    },
                    Type::Int {
                        size: y,
                        encoding: f,
                        ..
                    },
                ) => return Ok(x == y && e.signed == f.signed),
                (Type::Ptr(x), Type::Ptr(y)) => {
                    behind_ptr = true;
                    (x, y)
                }
                (
                    Type::Array {
                        elem: x, len: m, ..
                    },
                    Type::Array {
                        elem: y, len: n, ..
                    },
                ) => {
                    if m != n {
                        return Ok(false);
                    }
                    (x, y)
                }
                (Type::FuncProto { ret: x, params: p }, Type::FuncProto { ret: y, params: q }) => {
                    if p.len() != q.len() {
                        return Ok(false);
                    }
                    for (p, q) in p.iter().zip(q.iter()) {
                        if !self.matching_types(p.ty, q.ty, behind_ptr, depth)? {
                            return Ok(false);
                        }
                    }
                    (x, y)
                }
                _ => return Ok(false),
            };
        }
        Err(self.too_complex(b))
    }

    /// Each local enumerator exists in the target by name; values are free.
    fn matching_enums(&mut self, a: Enum<'_>, b: Enum<'_>, id: TypeId) -> Result<bool, CoreError> {
        if a.size != b.size || a.values.len() > b.values.len() {
            return Ok(false);
        }
        for value in a.values.iter() {
            let mut found = false;
            for other in b.values.iter() {
                self.spend(id)?;
                if same_essential_name(value.name, other.name) {
                    found = true;
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Each local member exists in the target by name, with a matching type.
    fn matching_members(&mut self, a: TypeId, b: TypeId, depth: u32) -> Result<bool, CoreError> {
        let (left, right) = (self.local.members(a), self.target.members(b));
        if left.len() > right.len() {
            return Ok(false);
        }
        for m in left.iter() {
            let mut found = false;
            for n in right.iter() {
                self.spend(b)?;
                if same_essential_name(m.name, n.name)
                    && self.matching_types(m.ty, n.ty, false, depth)?
                {
                    found = true;
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
