//! Every row of the table × registers × interesting numbers, as raw slots.

use crate::RawInsn;
use crate::table::{Field, Kind, Row};

const REGS: [u8; 4] = [0, 1, 6, 10];
const OFFS: [i16; 6] = [0, 1, -1, 17, i16::MIN, i16::MAX];
const IMMS: [i32; 8] = [0, 1, -1, 255, 4096, -4097, i32::MIN, i32::MAX];
const NEXT: [i32; 4] = [0, 1, -1, i32::MIN];

/// All sample encodings of `row`: one slot each, or two.
pub fn of(row: &Row) -> Vec<Vec<RawInsn>> {
    let mut all = Vec::new();
    for dst in values(row.dst, &REGS.map(i32::from)) {
        for src in values(row.src, &REGS.map(i32::from)) {
            for off in values(row.off, &OFFS.map(i32::from)) {
                for imm in values(row.imm, &IMMS) {
                    let (dst, src, off) = (dst as u8, src as u8, off as i16);
                    let first = RawInsn {
                        opcode: row.opcode,
                        dst,
                        src,
                        off,
                        imm,
                    };
                    if matches!(row.kind, Kind::LoadImm64(_)) {
                        for imm in values(row.next, &NEXT) {
                            all.push(vec![
                                first,
                                RawInsn {
                                    imm,
                                    ..RawInsn::default()
                                },
                            ]);
                        }
                    } else {
                        all.push(vec![first]);
                    }
                }
            }
        }
    }
    all
}

fn values(field: Field, operands: &[i32]) -> Vec<i32> {
    match field {
        Field::Unused => vec![0],
        Field::Is(n) => vec![n],
        Field::Operand => operands.to_vec(),
    }
}
