//! A path found in a set of types → the number that a relocation of some kind stands for.

use super::spec::Spec;
use super::{Class, CoreError, Patch, RelocKind, Relocation, Resolution};
use crate::{Btf, Type, TypeId};

/// What one set of types answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    pub value: u64,
    pub poison: bool,
    /// The compiler's choice can be foretold, so what is in the instruction can be checked.
    certain: bool,
    /// For offsets: bytes of the field and its resolved type; 0 for bitfields.
    size: u32,
    ty: TypeId,
    signed: bool,
}

impl Patch {
    /// A value that stands in for itself.
    pub(super) fn plain(value: u64) -> Patch {
        Patch {
            value,
            original: Some(value),
            original_size: 0,
            size: 0,
            fail_memsz_adjust: false,
            signed: false,
        }
    }
}

/// The answer of `btf`, in which the path is `spec`, or is not there at all.
pub(super) fn of(
    rel: &Relocation<'_>,
    btf: &Btf,
    spec: Option<&Spec<'_>>,
) -> Result<Outcome, CoreError> {
    let number = |value: u64| Outcome {
        value,
        certain: true,
        ..Outcome::default()
    };
    let poison = Outcome {
        poison: true,
        ..Outcome::default()
    };
    let missing = |why| CoreError::Inapplicable {
        kind: rel.kind.name(),
        what: spec.map_or(String::new(), |s| btf.type_name(s.root)),
        why,
    };
    Ok(match (rel.kind, spec) {
        (RelocKind::FieldExists | RelocKind::EnumvalExists, spec) => number(spec.is_some().into()),
        (kind, None) if kind.class() == Class::Type => number(0),
        (_, None) => poison,
        (RelocKind::TypeIdTarget | RelocKind::TypeIdLocal, Some(spec)) => Outcome {
            certain: false,
            ..number(spec.root.0.into())
        },
        (RelocKind::TypeExists | RelocKind::TypeMatches, Some(_)) => number(1),
        (RelocKind::TypeSize, Some(spec)) => number(
            btf.size_of(spec.root)
                .ok_or_else(|| missing("it has no size"))?
                .into(),
        ),
        (RelocKind::EnumvalValue, Some(spec)) => {
            number(enum_value(btf, spec).ok_or_else(|| missing("it has no such value"))? as u64)
        }
        (_, Some(spec)) => field(rel.kind, btf, spec).map_err(missing)?,
    })
}

fn enum_value(btf: &Btf, spec: &Spec<'_>) -> Option<i64> {
    let step = spec.steps.first()?;
    match btf.ty(step.ty)? {
        Type::Enum(e) | Type::Enum64(e) => Some(e.values.get(step.index as usize)?.value),
        _ => None,
    }
}

fn field(kind: RelocKind, btf: &Btf, spec: &Spec<'_>) -> Result<Outcome, &'static str> {
    let step = spec.steps.last().ok_or("it names no field")?;
    let certain = Outcome {
        certain: true,
        ..Outcome::default()
    };
    if step.name.is_none() {
        let size = btf.size_of(step.ty).ok_or("it has no size")?;
        return match kind {
            RelocKind::FieldByteOffset => {
                let (value, signed) = (spec.bit_offset / 8, is_signed(btf, step.ty));
                Ok(Outcome {
                    value,
                    size,
                    ty: step.ty,
                    signed,
                    ..certain
                })
            }
            RelocKind::FieldByteSize => Ok(Outcome {
                value: size.into(),
                ..certain
            }),
            _ => Err("it is an element of an array"),
        };
    }
    let member = btf
        .members(step.ty)
        .get(step.index as usize)
        .ok_or("no such member")?;
    let ty = btf.resolve(member.ty);
    let size = btf.size_of(ty).ok_or("its type has no size")?;
    let signed = is_signed(btf, ty);
    let bitfield = member.bitfield_size != 0;
    let storage = match bitfield {
        true => Storage::of_bitfield(spec.bit_offset, member.bitfield_size.into(), size.into())
            .ok_or("no load of 8 bytes or less holds this bitfield")?,
        false => Storage {
            bit_offset: spec.bit_offset,
            bits: u64::from(size) * 8,
            byte_offset: spec.bit_offset / 8,
            bytes: size.into(),
        },
    };
    // Compilers may load a bitfield in other ways than this, so nothing else can be foretold.
    let out = Outcome {
        certain: !bitfield,
        ..Outcome::default()
    };
    let shift = |value: Option<u64>| value.ok_or("it is wider than 64 bits");
    Ok(match kind {
        RelocKind::FieldByteOffset if bitfield => Outcome {
            value: storage.byte_offset,
            signed,
            ..out
        },
        RelocKind::FieldByteOffset => Outcome {
            value: storage.byte_offset,
            size,
            ty,
            signed,
            ..out
        },
        RelocKind::FieldByteSize => Outcome {
            value: storage.bytes,
            ..out
        },
        RelocKind::FieldSigned => Outcome {
            value: signed.into(),
            ..certain
        },
        RelocKind::FieldLshiftU64 => Outcome {
            value: shift(storage.left_shift(btf.is_big_endian()))?,
            ..out
        },
        RelocKind::FieldRshiftU64 => Outcome {
            value: shift(64u64.checked_sub(storage.bits))?,
            ..certain
        },
        _ => return Err("it is a field"),
    })
}

/// The aligned load that holds a field.
struct Storage {
    bit_offset: u64,
    bits: u64,
    byte_offset: u64,
    bytes: u64,
}

impl Storage {
    /// The smallest aligned power of two of bytes, from the declared type's size up to 8, that
    /// holds all bits. `None` when 8 are not enough.
    fn of_bitfield(bit_offset: u64, bits: u64, size: u64) -> Option<Storage> {
        let mut bytes = size;
        while bytes != 0 && bytes <= 16 {
            let byte_offset = bit_offset / 8 / bytes * bytes;
            if bit_offset + bits - byte_offset * 8 <= bytes * 8 {
                return Some(Storage {
                    bit_offset,
                    bits,
                    byte_offset,
                    bytes,
                });
            }
            if bytes >= 8 {
                return None;
            }
            bytes *= 2;
        }
        None
    }

    /// How far to shift the loaded value left, so that the field's top bit is bit 63.
    fn left_shift(&self, big_endian: bool) -> Option<u64> {
        let before = self.bit_offset.checked_sub(self.byte_offset * 8)?;
        match big_endian {
            true => (8u64.checked_sub(self.bytes)? * 8).checked_add(before),
            false => 64u64.checked_sub(before + self.bits),
        }
    }
}

fn is_signed(btf: &Btf, ty: TypeId) -> bool {
    match btf.resolved(ty) {
        Some(Type::Int { encoding, .. }) => encoding.signed,
        Some(Type::Enum(e) | Type::Enum64(e)) => e.signed,
        _ => false,
    }
}

/// Both answers together.
pub(super) fn patch(
    original: &Outcome,
    outcome: &Outcome,
    local: &Btf,
    target: &Btf,
) -> Resolution {
    if outcome.poison || original.poison {
        return Resolution::Failed;
    }
    // Zero extension keeps the value of pointers and unsigned integers whatever the width.
    let keeps_value = match (local.ty(original.ty), target.ty(outcome.ty)) {
        (Some(Type::Ptr(_)), Some(Type::Ptr(_))) => true,
        (Some(Type::Int { encoding: a, .. }), Some(Type::Int { encoding: b, .. })) => {
            !a.signed && !b.signed
        }
        _ => false,
    };
    Resolution::Value(Patch {
        value: outcome.value,
        original: original.certain.then_some(original.value),
        original_size: original.size,
        size: outcome.size,
        fail_memsz_adjust: original.size != outcome.size && !keeps_value,
        signed: outcome.signed,
    })
}
