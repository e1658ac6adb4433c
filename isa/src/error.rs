//! What can be wrong with bytes, instructions or text.

use crate::{Insn, Pc};

/// A field of an instruction slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldName {
    Dst,
    Src,
    Off,
    Imm,
    /// Any field but the immediate in the second slot of a 64-bit immediate.
    Reserved,
    /// The immediate of the second slot.
    NextImm,
}

impl std::fmt::Display for FieldName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FieldName::Dst => "destination register",
            FieldName::Src => "source register",
            FieldName::Off => "offset",
            FieldName::Imm => "immediate",
            FieldName::Reserved => "second slot's opcode, registers or offset",
            FieldName::NextImm => "second slot's immediate",
        })
    }
}

/// Everything that this crate can refuse; each variant says where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{len} bytes are not a whole number of 8-byte instructions")]
    Length { len: usize },
    #[error("instruction {pc}: opcode {opcode:#04x} does not exist")]
    Opcode { pc: Pc, opcode: u8 },
    #[error("instruction {pc}: opcode {opcode:#04x} with {field} {value} does not exist")]
    Reserved {
        pc: Pc,
        opcode: u8,
        field: FieldName,
        value: i32,
    },
    #[error(
        "instruction {pc}: opcode {opcode:#04x} does not use the {field}, which must be 0 but is {value}"
    )]
    UnusedField {
        pc: Pc,
        opcode: u8,
        field: FieldName,
        value: i32,
    },
    #[error("instruction {pc}: {field} {value} is not one of r0 to r10")]
    Register { pc: Pc, field: FieldName, value: u8 },
    #[error("instruction {pc}: the second slot of a 64-bit immediate is missing")]
    Incomplete { pc: Pc },
    #[error("instruction {pc} is past the end of a program of {len}")]
    OutOfProgram { pc: Pc, len: usize },
    #[error("instruction {pc}: {insn:?} has no encoding")]
    NoEncoding { pc: Pc, insn: Insn },
    #[error("instruction {pc}: the second slot of a 64-bit immediate stands alone")]
    LoneHigh { pc: Pc },
    /// Assembly text; line and column count from 1, columns in characters.
    #[error("{line}:{column}: {message}")]
    Text {
        line: usize,
        column: usize,
        message: String,
    },
}
