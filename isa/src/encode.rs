//! Instructions → raw slots → bytes, the inverse of [`crate::decode`].
//!
//! **Invariant:** whatever encodes decodes to the same instructions again. A typed value
//! without an encoding (`Swap` of 13 bits, a sign-extending 64-bit load, a short jump too
//! far) is an error, never another instruction.

use crate::form::{Form, Operands};
use crate::index::row_of;
use crate::table::{Field, Kind, Row};
use crate::{Error, Insn, Pc, RawInsn, Reg};

/// Encodes a program of one [`Insn`] for each slot.
pub fn encode(insns: &[Insn]) -> Result<Vec<RawInsn>, Error> {
    let mut raw = Vec::with_capacity(insns.len());
    while let Some(&insn) = insns.get(raw.len()) {
        let pc = raw.len();
        let (first, second) = encode_one(insn, pc)?;
        raw.push(first);
        if let Some(second) = second {
            match insns.get(pc + 1) {
                Some(Insn::Imm64High) => raw.push(second),
                _ => return Err(Error::Incomplete { pc }),
            }
        }
    }
    Ok(raw)
}

/// The bytes of `raw`, little endian.
pub fn to_bytes(raw: &[RawInsn]) -> Vec<u8> {
    raw.iter().flat_map(|slot| slot.to_bytes()).collect()
}

/// Encodes one instruction, in two slots if it is a 64-bit immediate; `pc` is for errors.
pub fn encode_one(insn: Insn, pc: Pc) -> Result<(RawInsn, Option<RawInsn>), Error> {
    if insn == Insn::Imm64High {
        return Err(Error::LoneHigh { pc });
    }
    let (row, ops) = row_and_operands(insn).ok_or(Error::NoEncoding { pc, insn })?;
    let value = |field, operand: i32| match field {
        Field::Unused => 0,
        Field::Is(n) => n,
        Field::Operand => operand,
    };
    let register = |field, operand: Reg| value(field, operand.index() as i32) as u8;
    let first = RawInsn {
        opcode: row.opcode,
        dst: register(row.dst, ops.dst),
        src: register(row.src, ops.src),
        off: value(row.off, i32::from(ops.off)) as i16,
        imm: value(row.imm, ops.imm),
    };
    let second = match row.kind {
        Kind::LoadImm64(_) => Some(RawInsn {
            imm: value(row.next, ops.next),
            ..RawInsn::default()
        }),
        _ => None,
    };
    Ok((first, second))
}

/// `None` if the instruction has no encoding, as a typed value can describe.
pub(crate) fn row_and_operands(insn: Insn) -> Option<(&'static Row, Operands)> {
    let form = Form::from_insn(insn)?;
    Some((row_of(form.kind)?, form.ops))
}
