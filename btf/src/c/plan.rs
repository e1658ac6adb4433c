//! A structure's layout in BTF → how to write it in C so that the compiler arrives at it.
//!
//! The rules are those of the x86-64 and BPF ABIs: a member lies at the next multiple of its
//! alignment; a bitfield lies at the next bit unless it would cross a unit of its declared type;
//! the size is a multiple of the largest alignment; unnamed bitfields align nothing.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::{Btf, Composite, Error, Kind, Member, Type, TypeId};

/// Deepest nesting of structures by value.
const MAX_DEPTH: u32 = 100;
/// Largest gap that is written as unnamed bitfields; beyond, an array is shorter.
const MAX_PAD_BITS: u64 = 8 * 512;

/// How to write one structure or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub packed: bool,
    /// What goes before each member, and after the last.
    pub pads: Vec<Pad>,
    /// Bytes, as the compiler will see it.
    pub align: u64,
}

/// Padding: declarations of unnamed bitfields, or of one named array.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pad {
    /// `(type, bits)`.
    pub bits: Vec<(&'static str, u32)>,
    /// Bytes, where they are too many for bitfields.
    pub bytes: u64,
}

/// Plans made so far, by type.
pub(super) struct Plans<'a> {
    btf: &'a Btf,
    made: RefCell<HashMap<TypeId, u64>>,
}

impl<'a> Plans<'a> {
    pub fn new(btf: &'a Btf) -> Plans<'a> {
        Plans {
            btf,
            made: RefCell::default(),
        }
    }

    /// How to write the structure or union `id`.
    pub fn plan(&self, id: TypeId) -> Result<Plan, Error> {
        self.plan_within(id, MAX_DEPTH)
    }

    fn plan_within(&self, id: TypeId, depth: u32) -> Result<Plan, Error> {
        let plan = match self.btf.ty(id) {
            Some(Type::Struct(c)) => match self.lay_out(id, c, false, depth)? {
                Some(plan) => plan,
                None => self.lay_out(id, c, true, depth)?.ok_or(Error::BadType {
                    id,
                    what: "its members overlap or do not fit it, which C cannot express",
                })?,
            },
            Some(Type::Union(c)) => self.overlay(id, c, depth)?,
            _ => {
                return Err(Error::BadType {
                    id,
                    what: "not a structure",
                });
            }
        };
        self.made.borrow_mut().insert(id, plan.align);
        Ok(plan)
    }

    /// Alignment of what a member is declared with, in bytes.
    fn align_of(&self, id: TypeId, depth: u32) -> Result<u64, Error> {
        let id = self.btf.resolve(id);
        let depth = depth.checked_sub(1).ok_or(Error::TooComplex(id))?;
        Ok(match self.btf.ty(id) {
            Some(Type::Array { elem, .. }) => self.align_of(elem, depth)?,
            Some(Type::Struct(_) | Type::Union(_)) => {
                let made = self.made.borrow().get(&id).copied();
                match made {
                    Some(align) => align,
                    None => self.plan_within(id, depth)?.align,
                }
            }
            _ => self.btf.align_of(id).unwrap_or(1).into(),
        })
    }

    fn bits_of(&self, m: &Member<'_>) -> u64 {
        u64::from(self.btf.size_of(m.ty).unwrap_or(0)) * 8
    }

    /// `None` when the members cannot be brought to their places this way.
    fn lay_out(
        &self,
        id: TypeId,
        c: Composite<'_>,
        packed: bool,
        depth: u32,
    ) -> Result<Option<Plan>, Error> {
        let mut at = Cursor { bit: 0, packed };
        let mut align = 1;
        let mut pads = Vec::with_capacity(c.members.len() + 1);
        for m in c.members.iter() {
            let wanted = u64::from(m.bit_offset);
            let unit = self.bits_of(&m);
            let member_align = match packed {
                true => 1,
                false => self.align_of(m.ty, depth)?,
            };
            let place = |at: &Cursor| match bitfield(self.btf, &m) {
                Some(width) => at.place_bits(unit, width),
                None => Some(at.place(member_align * 8)),
            };
            let mut pad = Pad::default();
            if place(&at).ok_or(Error::BadType {
                id,
                what: "a bitfield is wider than its type",
            })? != wanted
            {
                if wanted < at.bit {
                    return Ok(None);
                }
                pad = at.pad_to(wanted);
                if place(&at) != Some(wanted) {
                    return Ok(None);
                }
            }
            pads.push(pad);
            at.bit = wanted + bitfield(self.btf, &m).unwrap_or(unit);
            align = align.max(member_align);
        }
        let size = u64::from(c.size) * 8;
        if at.bit > size || !packed && u64::from(c.size) % align != 0 {
            return Ok(None);
        }
        pads.push(match at.bit.next_multiple_of(align * 8) == size {
            true => Pad::default(),
            false => at.pad_to(size),
        });
        Ok(Some(Plan {
            packed,
            pads,
            align,
        }))
    }

    fn overlay(&self, id: TypeId, c: Composite<'_>, depth: u32) -> Result<Plan, Error> {
        let size = u64::from(c.size);
        let (mut align, mut end) = (1, 0u64);
        for m in c.members.iter() {
            let bits = bitfield(self.btf, &m).unwrap_or_else(|| self.bits_of(&m));
            end = end.max(bits.div_ceil(8));
            align = align.max(self.align_of(m.ty, depth)?);
            if m.bit_offset != 0 || bits.div_ceil(8) > size {
                return Err(Error::BadType {
                    id,
                    what: "a union's member is not at its start or larger than it",
                });
            }
        }
        let packed = size % align != 0;
        if packed {
            align = 1;
        }
        let mut pads = vec![Pad::default(); c.members.len() + 1];
        if end.next_multiple_of(align) != size {
            // Unnamed bitfields do not widen a union reliably; an array does.
            pads[c.members.len()].bytes = size;
        }
        Ok(Plan {
            packed,
            pads,
            align,
        })
    }
}

/// Bits of a bitfield; `None` for an ordinary member.
pub(super) fn bitfield(btf: &Btf, m: &Member<'_>) -> Option<u64> {
    let kind = btf.kind(btf.resolve(m.ty))?;
    // BTF of old compilers has whole members with the bitfield form of offsets: width 0.
    (m.bitfield_size != 0 && (kind == Kind::Int || kind.is_enum()))
        .then_some(m.bitfield_size.into())
}

/// Where the compiler is in a structure.
struct Cursor {
    bit: u64,
    packed: bool,
}

impl Cursor {
    /// Where an ordinary member of this alignment (in bits) goes.
    fn place(&self, align: u64) -> u64 {
        self.bit
            .next_multiple_of(if self.packed { 8 } else { align.max(8) })
    }

    /// Where a bitfield of `width` bits declared with a type of `unit` bits goes.
    fn place_bits(&self, unit: u64, width: u64) -> Option<u64> {
        if width > unit {
            return None;
        }
        Some(match self.bit % unit + width > unit && !self.packed {
            true => self.bit.next_multiple_of(unit),
            false => self.bit,
        })
    }

    /// Moves to `wanted` with unnamed bitfields, each the largest that starts aligned and fits.
    fn pad_to(&mut self, wanted: u64) -> Pad {
        let mut pad = Pad::default();
        // An array of bytes begins at the next byte by itself.
        let next_byte = self.bit.next_multiple_of(8);
        let rest = wanted.saturating_sub(next_byte);
        if rest > MAX_PAD_BITS {
            pad.bytes = rest / 8;
            self.bit = next_byte + pad.bytes * 8;
        }
        const UNITS: [(&str, u64); 3] = [("long", 64), ("int", 32), ("short", 16)];
        while self.bit < wanted {
            let left = wanted - self.bit;
            let whole = UNITS
                .iter()
                .find(|&&(_, unit)| self.bit.is_multiple_of(unit) && left >= unit);
            let (name, bits) = match whole {
                Some(&(name, unit)) => (name, unit),
                None => ("char", left.min(8 - self.bit % 8)),
            };
            pad.bits.push((name, bits as u32));
            self.bit += bits;
        }
        pad
    }
}
