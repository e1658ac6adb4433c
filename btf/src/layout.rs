//! Types → sizes, alignments and the places of members.
//!
//! Pointers are of 8 bytes throughout: the machine that BTF describes here is 64-bit.

use crate::{Btf, Composite, Error, Kind, Member, Type, TypeId};

/// Deepest nesting of structures by value that is followed.
pub(crate) const MAX_DEPTH: u32 = 64;
/// Most members looked at for one question. A hostile set of types can nest anonymous structures
/// into exponentially many paths; a kernel's deepest question takes a few thousand.
pub(crate) const MAX_STEPS: u32 = 1 << 16;

/// A member's place in an outermost structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bits from the start of the outermost structure.
    pub bit_offset: u64,
    /// Bits: of the bitfield, or of the whole type; 0 for a flexible array.
    pub bit_size: u64,
    /// Whether it is a bitfield, and so perhaps not whole bytes.
    pub bitfield: bool,
    /// As written, modifiers and all.
    pub ty: TypeId,
}

impl Field {
    /// Bytes from the start, rounded down for a bitfield.
    pub fn byte_offset(&self) -> u64 {
        self.bit_offset / 8
    }

    /// Bytes that hold it, counted from [`Field::byte_offset`].
    pub fn byte_size(&self) -> u64 {
        (self.bit_offset % 8 + self.bit_size).div_ceil(8)
    }
}

impl Btf {
    /// What typedefs, qualifiers and type tags stand for.
    pub fn resolve(&self, id: TypeId) -> TypeId {
        let mut id = id;
        loop {
            // Ends: parsing refused endless chains.
            id = match self.raw(id) {
                Some(&[_, info, to, ..]) if Kind::is_modifier_info(info) => TypeId(to),
                _ => return id,
            };
        }
    }

    /// [`Btf::resolve`], as a view.
    pub fn resolved(&self, id: TypeId) -> Option<Type<'_>> {
        self.ty(self.resolve(id))
    }

    /// What a pointer (through modifiers) points to.
    pub fn pointee(&self, id: TypeId) -> Option<TypeId> {
        match self.resolved(id)? {
            Type::Ptr(to) => Some(to),
            _ => None,
        }
    }

    /// The prototype of a function, of a pointer to one, or itself.
    pub fn proto(&self, id: TypeId) -> Option<TypeId> {
        let mut id = self.resolve(id);
        for _ in 0..3 {
            id = match self.ty(id)? {
                Type::FuncProto { .. } => return Some(id),
                Type::Func { proto, .. } => self.resolve(proto),
                Type::Ptr(to) => self.resolve(to),
                _ => return None,
            };
        }
        None
    }

    /// Bytes; `None` for what has no size (functions, `void`, forward declarations, tags) or
    /// more than 4 GiB.
    pub fn size_of(&self, id: TypeId) -> Option<u32> {
        let mut id = id;
        let mut count = 1u32;
        loop {
            let size = match self.ty(self.resolve(id))? {
                Type::Int { size, .. }
                | Type::Struct(Composite { size, .. })
                | Type::Union(Composite { size, .. })
                | Type::DataSec { size, .. }
                | Type::Float { size } => size,
                Type::Enum(e) | Type::Enum64(e) => e.size,
                Type::Ptr(_) => 8,
                Type::Array { elem, len, .. } => {
                    count = count.checked_mul(len)?;
                    id = elem;
                    continue;
                }
                // A variable's type cannot be a variable again without a limit.
                Type::Var { ty, .. } if !matches!(self.resolved(ty)?, Type::Var { .. }) => {
                    id = ty;
                    continue;
                }
                _ => return None,
            };
            return size.checked_mul(count);
        }
    }

    /// Bytes, as the compiler would align it: 1 for structures that are visibly packed.
    pub fn align_of(&self, id: TypeId) -> Option<u32> {
        self.align_within(id, MAX_DEPTH, &mut { MAX_STEPS })
    }

    fn align_within(&self, id: TypeId, depth: u32, steps: &mut u32) -> Option<u32> {
        let depth = depth.checked_sub(1)?;
        match self.resolved(id)? {
            Type::Int { size, .. } => Some(size),
            Type::Float { size } => Some(if size.is_power_of_two() { size } else { 4 }),
            Type::Enum(e) | Type::Enum64(e) => Some(e.size.max(1)),
            Type::Ptr(_) => Some(8),
            Type::Array { elem, .. } => self.align_within(elem, depth, steps),
            Type::Struct(c) | Type::Union(c) => {
                let mut align = 1;
                for m in c.members.iter() {
                    *steps = steps.checked_sub(1)?;
                    let natural = self.align_within(m.ty, depth, steps)?;
                    let field = self.member_field(&m)?;
                    if !field.bitfield && m.bit_offset % (natural * 8) != 0 {
                        return Some(1);
                    }
                    align = align.max(natural);
                }
                Some(if c.size % align == 0 { align } else { 1 })
            }
            _ => None,
        }
    }

    /// Place and size of a member in its own structure, whichever way bitfields are written.
    /// `None` when its type has no size.
    pub fn member_field(&self, m: &Member<'_>) -> Option<Field> {
        let ty = m.ty;
        let whole = |size: u32| Field {
            bit_offset: m.bit_offset.into(),
            bit_size: u64::from(size) * 8,
            bitfield: false,
            ty,
        };
        if m.bitfield_size != 0 {
            return Some(Field {
                bit_size: m.bitfield_size.into(),
                bitfield: true,
                ..whole(0)
            });
        }
        if let Some(Type::Int {
            size, offset, bits, ..
        }) = self.resolved(ty)
            && (offset != 0 || bits != size * 8)
            && bits != 0
        {
            let bit_offset = u64::from(m.bit_offset) + u64::from(offset);
            return Some(Field {
                bit_offset,
                bit_size: bits.into(),
                bitfield: true,
                ty,
            });
        }
        self.size_of(ty).map(whole)
    }

    /// The member of this name, also inside anonymous structures and unions, with its place
    /// in `composite`.
    pub fn member(&self, composite: TypeId, name: &str) -> Option<(Member<'_>, Field)> {
        if name.is_empty() {
            return None;
        }
        self.member_within(composite, name, MAX_DEPTH, &mut { MAX_STEPS })
    }

    fn member_within(
        &self,
        composite: TypeId,
        name: &str,
        depth: u32,
        steps: &mut u32,
    ) -> Option<(Member<'_>, Field)> {
        let depth = depth.checked_sub(1)?;
        for m in self.members(composite).unnamed() {
            *steps = steps.checked_sub(1)?;
            if self.str_is(m.name, name) {
                let m = m.with_name(self.str_or_empty(m.name));
                return Some((m, self.member_field(&m)?));
            }
            if self.str_is(m.name, "")
                && let Some((inner, field)) = self.member_within(m.ty, name, depth, steps)
            {
                let bit_offset = field.bit_offset + u64::from(m.bit_offset);
                return Some((
                    inner,
                    Field {
                        bit_offset,
                        ..field
                    },
                ));
            }
        }
        None
    }

    /// The place of a member by path, such as `a.b[3].c`; names may be inside anonymous
    /// structures and unions, and a flexible array takes any index.
    pub fn member_offset(&self, composite: TypeId, path: &str) -> Result<Field, Error> {
        let bad_path = || Error::BadPath(path.to_owned());
        let mut field = Field {
            bit_offset: 0,
            bit_size: u64::from(self.size_of(composite).unwrap_or(0)) * 8,
            bitfield: false,
            ty: composite,
        };
        let mut rest = path;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let (index, after) = after.split_once(']').ok_or_else(bad_path)?;
                let index: u64 = index.trim().parse().map_err(|_| bad_path())?;
                field = self.element(field, index)?;
                rest = after;
            } else {
                let rest_of_name = rest.strip_prefix('.').unwrap_or(rest);
                let end = rest_of_name.find(['.', '[']).unwrap_or(rest_of_name.len());
                let (name, after) = rest_of_name.split_at(end);
                if name.is_empty() {
                    return Err(bad_path());
                }
                let (_, inner) = self.member(field.ty, name).ok_or_else(|| Error::NoMember {
                    ty: self.type_name(field.ty),
                    member: name.to_owned(),
                })?;
                field = Field {
                    bit_offset: field.bit_offset + inner.bit_offset,
                    ..inner
                };
                rest = after;
            }
        }
        Ok(field)
    }

    fn element(&self, array: Field, index: u64) -> Result<Field, Error> {
        let name = || self.type_name(array.ty);
        let Some(Type::Array { elem, len, .. }) = self.resolved(array.ty) else {
            return Err(Error::NoMember {
                ty: name(),
                member: format!("[{index}]"),
            });
        };
        let bit_size = u64::from(self.size_of(elem).ok_or_else(|| Error::Unsized(name()))?) * 8;
        let offset = index
            .checked_mul(bit_size)
            .and_then(|bits| bits.checked_add(array.bit_offset));
        match offset {
            Some(bit_offset) if index < u64::from(len) || len == 0 => Ok(Field {
                bit_offset,
                bit_size,
                bitfield: false,
                ty: elem,
            }),
            _ => Err(Error::OutOfBounds { ty: name(), index }),
        }
    }
}
