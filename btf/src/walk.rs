//! An offset in a structure → the scalar members there.

use std::sync::Arc;

use crate::layout::{MAX_DEPTH, MAX_STEPS};
use crate::{Btf, Error, Field, Type, TypeId};

/// A member that is not itself a structure, union or array, found at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub field: Field,
    /// From the outermost structure: `a.b[3].c`.
    pub path: String,
    /// Reached through a union: the bytes may be those of another member.
    pub in_union: bool,
}

impl Leaf {
    /// The place of the one among [`Btf::members_at`] that [`Btf::member_at`] gives.
    pub fn best(all: &[Leaf], offset: u64, size: u64) -> Option<usize> {
        let exact =
            |leaf: &Leaf| leaf.field.byte_offset() == offset && leaf.field.byte_size() == size;
        let first = (!all.is_empty()).then_some(0);
        all.iter().position(exact).or(first)
    }
}

impl Btf {
    /// The member that an access of `size` bytes at byte `offset` of a type reads or writes.
    ///
    /// In unions several may lie there: one that begins at `offset` and is exactly `size` wide
    /// wins, then the first that covers the access. `None` when no single member covers it
    /// (padding, or more than one member).
    pub fn member_at(&self, id: TypeId, offset: u64, size: u64) -> Option<Leaf> {
        let leaves = self.members_at(id, offset, size).ok()?;
        let best = Leaf::best(&leaves, offset, size)?;
        leaves.get(best).cloned()
    }

    /// Every member that covers `size` bytes at byte `offset`, in the order of declaration.
    pub fn members_at(&self, id: TypeId, offset: u64, size: u64) -> Result<Arc<[Leaf]>, Error> {
        if let Some(known) = self.leaves.get(&(id, offset, size)) {
            return Ok(known);
        }
        let mut walk = Walk {
            btf: self,
            offset,
            size,
            steps: MAX_STEPS,
            found: Vec::new(),
        };
        let whole = Field {
            bit_offset: 0,
            bit_size: u64::from(self.size_of(id).unwrap_or(0)) * 8,
            bitfield: false,
            ty: id,
        };
        match walk.enter(whole, &mut String::new(), false, MAX_DEPTH) {
            Some(()) => {
                let found = Arc::from(walk.found);
                self.leaves.keep((id, offset, size), &found);
                Ok(found)
            }
            None => Err(Error::TooComplex(id)),
        }
    }

    /// Names of the members that hold the byte at `offset`, those of anonymous ones for themselves;
    /// `None` when there is too much to look at.
    pub fn names_at(&self, id: TypeId, offset: u64) -> Option<Vec<&str>> {
        let mut found = Vec::new();
        self.names_within(id, offset, MAX_DEPTH, &mut { MAX_STEPS }, &mut found)?;
        Some(found)
    }

    fn names_within<'a>(
        &'a self,
        id: TypeId,
        offset: u64,
        depth: u32,
        steps: &mut u32,
        found: &mut Vec<&'a str>,
    ) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let members = self.members(id);
        let extents = self.extents(self.resolve(id), members);
        *steps = steps.checked_sub(u32::try_from(extents.len()).ok()?)?;
        for (i, extent) in extents.iter().enumerate() {
            if !extent.may_hold(offset) {
                continue;
            }
            let Some(m) = members.unnamed_at(i) else {
                continue;
            };
            let Some(field) = self.member_field(&m.unnamed()) else {
                continue;
            };
            // A flexible array, of no size, reaches to the end.
            let inside = offset.checked_sub(field.byte_offset());
            let Some(inside) = inside.filter(|at| *at < field.byte_size() || field.bit_size == 0)
            else {
                continue;
            };
            match self.str_or_empty(m.name) {
                "" => self.names_within(m.ty, inside, depth, steps, found)?,
                name => found.push(name),
            }
        }
        Some(())
    }

    /// How C would name what lies at byte `offset`, for messages: `a.b[3].c`, or the innermost
    /// structure that holds it and the rest, `a.b+2`.
    pub fn path_at(&self, id: TypeId, offset: u64) -> String {
        match self.member_at(id, offset, 1) {
            Some(leaf) if leaf.field.byte_offset() == offset => leaf.path,
            Some(leaf) => format!(
                "{}+{}",
                leaf.path,
                offset.saturating_sub(leaf.field.byte_offset())
            ),
            None => format!("+{offset}"),
        }
    }
}

struct Walk<'a> {
    btf: &'a Btf,
    offset: u64,
    size: u64,
    steps: u32,
    found: Vec<Leaf>,
}

impl Walk<'_> {
    /// `None` when out of steps or too deep.
    fn enter(&mut self, at: Field, path: &mut String, in_union: bool, depth: u32) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let (ty, is_union) = match self.btf.resolved(at.ty) {
            Some(ty @ Type::Union(_)) => (ty, true),
            Some(ty) => (ty, in_union),
            None => return Some(()),
        };
        let start = path.len();
        match ty {
            Type::Struct(c) | Type::Union(c) => {
                let extents = self.btf.extents(self.btf.resolve(at.ty), c.members);
                self.steps = self.steps.checked_sub(u32::try_from(extents.len()).ok()?)?;
                let base = at.byte_offset();
                let from = self.offset.checked_sub(base);
                let to = self.offset.checked_add(self.size);
                let to = to.and_then(|to| to.checked_sub(base));
                // Where a structure starts within a byte, each member is looked at.
                let odd = !at.bit_offset.is_multiple_of(8);
                for (i, extent) in extents.iter().enumerate() {
                    if !odd && !from.is_some_and(|from| extent.covers(from, to)) {
                        continue;
                    }
                    let Some(m) = c.members.unnamed_at(i) else {
                        continue;
                    };
                    let Some(inner) = self.btf.member_field(&m.unnamed()) else {
                        continue;
                    };
                    let bit_offset = at.bit_offset.checked_add(inner.bit_offset)?;
                    let inner = Field {
                        bit_offset,
                        ..inner
                    };
                    if !self.covers(&inner) {
                        continue;
                    }
                    let name = self.btf.str_or_empty(m.name);
                    if !name.is_empty() {
                        if !path.is_empty() {
                            path.push('.');
                        }
                        path.push_str(name);
                    }
                    self.enter(inner, path, is_union, depth)?;
                    path.truncate(start);
                }
            }
            Type::Array { elem, len, .. } => {
                let size = u64::from(self.btf.size_of(elem).unwrap_or(0));
                let index = self.offset.checked_sub(at.byte_offset())?.checked_div(size);
                let Some(index) = index.filter(|&i| len == 0 || i < u64::from(len)) else {
                    return Some(());
                };
                let bit_offset = at.bit_offset.checked_add(index.checked_mul(size * 8)?)?;
                let inner = Field {
                    bit_offset,
                    bit_size: size * 8,
                    bitfield: false,
                    ty: elem,
                };
                if self.covers(&inner) {
                    path.push_str(&format!("[{index}]"));
                    self.enter(inner, path, in_union, depth)?;
                    path.truncate(start);
                }
            }
            _ => self.found.push(Leaf {
                field: at,
                path: path.clone(),
                in_union,
            }),
        }
        Some(())
    }

    /// Whether the access lies within `field`; a flexible array reaches to the end of everything.
    fn covers(&self, field: &Field) -> bool {
        let start = field.byte_offset();
        let flexible = field.bit_size == 0 && !field.bitfield && self.is_flexible(field.ty);
        self.offset >= start
            && (flexible
                || self
                    .offset
                    .checked_add(self.size)
                    .is_some_and(|end| end <= start + field.byte_size()))
    }

    fn is_flexible(&self, ty: TypeId) -> bool {
        matches!(self.btf.resolved(ty), Some(Type::Array { len: 0, .. }))
    }
}
