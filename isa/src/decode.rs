//! Bytes → raw slots → instructions.
//!
//! **Invariant:** whatever decodes encodes to the same bytes again; a slot with a non-zero
//! unused field, a reserved opcode or a register above r10 does not decode.
//!
//! Source: RFC 9669, sections 3 to 5.

use crate::form::{Form, Operands};
use crate::index;
use crate::table::{Field, Kind, Row, rows_of};
use crate::{Error, FieldName, Insn, Pc, RawInsn, Reg};

/// Splits little-endian bytes into slots.
pub fn from_bytes(bytes: &[u8]) -> Result<Vec<RawInsn>, Error> {
    let (slots, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(Error::Length { len: bytes.len() });
    }
    Ok(slots.iter().map(|s| RawInsn::from_bytes(*s)).collect())
}

/// Decodes a whole program: one [`Insn`] for each slot.
pub fn decode(raw: &[RawInsn]) -> Result<Vec<Insn>, Error> {
    let mut insns = Vec::with_capacity(raw.len());
    while let Some(slot) = raw.get(insns.len()) {
        let insn = match plain(*slot, raw.get(insns.len() + 1)) {
            Some(insn) => insn,
            None => decode_at(raw, insns.len())?,
        };
        insns.push(insn);
        if insn.slots() == 2 {
            insns.push(Insn::Imm64High);
        }
    }
    Ok(insns)
}

/// Decodes the instruction that starts at slot `pc`.
pub fn decode_at(raw: &[RawInsn], pc: Pc) -> Result<Insn, Error> {
    let slot = *raw
        .get(pc)
        .ok_or(Error::OutOfProgram { pc, len: raw.len() })?;
    if let Some(insn) = plain(slot, raw.get(pc + 1)) {
        return Ok(insn);
    }
    let row = find_row(slot, pc)?;
    let next = match row.kind {
        Kind::LoadImm64(_) => Some(*raw.get(pc + 1).ok_or(Error::Incomplete { pc })?),
        _ => None,
    };
    let ops = operands(row, slot, next, pc)?;
    Ok(Form {
        kind: row.kind,
        ops,
    }
    .to_insn())
}

/// An instruction, if nothing is wrong with it: most are. What is wrong with others is found field by field.
#[inline]
fn plain(slot: RawInsn, next: Option<&RawInsn>) -> Option<Insn> {
    let row = index::row_of_slot(slot)?;
    let next = match row.kind {
        Kind::LoadImm64(_) => {
            let next = next?;
            let unused = RawInsn { imm: 0, ..*next } == RawInsn::default();
            let allowed = next.imm == 0 || !matches!(row.next, Field::Unused);
            if !unused || !allowed {
                return None;
            }
            next.imm
        }
        _ => 0,
    };
    let ops = Operands {
        dst: plain_register(row.dst, slot.dst)?,
        src: plain_register(row.src, slot.src)?,
        off: slot.off,
        imm: slot.imm,
        next,
    };
    let kind = row.kind;
    Some(Form { kind, ops }.to_insn())
}

/// The register; r0 where the field says what the instruction is.
#[inline]
fn plain_register(field: Field, value: u8) -> Option<Reg> {
    match field {
        Field::Is(_) => Some(Reg::R0),
        _ => Reg::new(value),
    }
}

/// The row whose selecting fields are those of `slot`; else the field that no row agrees with.
fn find_row(slot: RawInsn, pc: Pc) -> Result<&'static Row, Error> {
    let opcode = slot.opcode;
    let mut mismatch = None;
    for row in rows_of(opcode) {
        let fields = [
            (FieldName::Src, row.src, i32::from(slot.src)),
            (FieldName::Off, row.off, i32::from(slot.off)),
            (FieldName::Imm, row.imm, slot.imm),
        ];
        match fields
            .into_iter()
            .find(|(_, field, value)| matches!(field, Field::Is(n) if n != value))
        {
            None => return Ok(row),
            Some(wrong) => mismatch = Some(wrong),
        }
    }
    Err(match mismatch {
        None => Error::Opcode { pc, opcode },
        Some((field, _, value)) => Error::Reserved {
            pc,
            opcode,
            field,
            value,
        },
    })
}

fn operands(row: &Row, slot: RawInsn, next: Option<RawInsn>, pc: Pc) -> Result<Operands, Error> {
    let register = |name, field, value: u8| match (field, Reg::new(value)) {
        (Field::Is(_), _) => Ok(Reg::R0),
        (_, None) => Err(Error::Register {
            pc,
            field: name,
            value,
        }),
        (_, Some(r)) => Ok(r),
    };
    let opcode = slot.opcode;
    let unused = |name, field, value: i32| match (field, value) {
        (Field::Unused, 1.. | ..=-1) => Err(Error::UnusedField {
            pc,
            opcode,
            field: name,
            value,
        }),
        _ => Ok(()),
    };
    unused(FieldName::Dst, row.dst, i32::from(slot.dst))?;
    unused(FieldName::Src, row.src, i32::from(slot.src))?;
    unused(FieldName::Off, row.off, i32::from(slot.off))?;
    unused(FieldName::Imm, row.imm, slot.imm)?;
    let mut next_imm = 0;
    if let Some(next) = next {
        let reserved = RawInsn { imm: 0, ..next };
        if reserved != RawInsn::default() {
            let head = reserved.to_bytes();
            let value = i32::from_le_bytes([head[0], head[1], head[2], head[3]]);
            return Err(Error::UnusedField {
                pc,
                opcode,
                field: FieldName::Reserved,
                value,
            });
        }
        unused(FieldName::NextImm, row.next, next.imm)?;
        next_imm = next.imm;
    }
    Ok(Operands {
        dst: register(FieldName::Dst, row.dst, slot.dst)?,
        src: register(FieldName::Src, row.src, slot.src)?,
        off: slot.off,
        imm: slot.imm,
        next: next_imm,
    })
}
