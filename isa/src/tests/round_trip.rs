//! Bytes → instructions → bytes.

use super::samples;
use crate::index::row_of;
use crate::table::{Field, Kind, TABLE};
use crate::*;

#[test]
fn every_encodable_instruction_round_trips() {
    let mut count = 0;
    for row in &TABLE {
        for raw in samples::of(row) {
            let insns = decode(&raw).unwrap_or_else(|e| panic!("{raw:x?}: {e}"));
            assert_eq!(insns.len(), raw.len());
            assert_eq!(
                encode(&insns).unwrap_or_else(|e| panic!("{insns:?}: {e}")),
                raw,
                "{insns:?}"
            );
            assert_eq!(from_bytes(&to_bytes(&raw)).unwrap(), raw);
            count += 1;
        }
    }
    assert!(count > 10_000, "only {count} samples");
}

#[test]
fn rows_of_an_opcode_exclude_each_other() {
    for (i, a) in TABLE.iter().enumerate() {
        assert!(
            std::ptr::eq(row_of(a.kind).unwrap(), a),
            "{:?} has two rows",
            a.kind
        );
        for b in &TABLE[i + 1..] {
            if a.opcode == b.opcode {
                let differ = |x, y| matches!((x, y), (Field::Is(m), Field::Is(n)) if m != n);
                let fields = [(a.src, b.src), (a.off, b.off), (a.imm, b.imm)];
                assert!(
                    fields.iter().any(|(x, y)| differ(*x, *y)),
                    "{a:?} and {b:?}"
                );
            }
        }
    }
}

/// Each unused field of each row, set to something, is refused; so is a register above r10.
#[test]
fn unused_fields_must_be_zero() {
    for row in &TABLE {
        let good = samples::of(row).swap_remove(0);
        let refuse = |change: fn(&mut RawInsn), slot: usize, what: &str| {
            let mut bad = good.clone();
            change(&mut bad[slot]);
            let result = decode(&bad);
            assert!(result.is_err(), "{what} of {}: {result:?}", row.text);
        };
        let unused = |field| field == Field::Unused;
        if unused(row.dst) {
            refuse(|s| s.dst = 1, 0, "dst");
        }
        if unused(row.src) {
            refuse(|s| s.src = 1, 0, "src");
            refuse(|s| s.src = 9, 0, "src");
        }
        if unused(row.off) {
            refuse(|s| s.off = 1, 0, "off");
            refuse(|s| s.off = -1, 0, "off");
        }
        if unused(row.imm) {
            refuse(|s| s.imm = 1, 0, "imm");
            refuse(|s| s.imm = i32::MIN, 0, "imm");
        }
        refuse(|s| s.dst = 11, 0, "dst 11");
        refuse(|s| s.src = 11, 0, "src 11");
        if matches!(row.kind, Kind::LoadImm64(_)) {
            refuse(|s| s.opcode = 0x18, 1, "second opcode");
            refuse(|s| s.dst = 1, 1, "second dst");
            refuse(|s| s.src = 1, 1, "second src");
            refuse(|s| s.off = 1, 1, "second off");
            if unused(row.next) {
                refuse(|s| s.imm = 1, 1, "second imm");
            }
            assert_eq!(decode(&good[..1]), Err(Error::Incomplete { pc: 0 }));
        }
    }
}

/// A second description of which opcodes exist, by class, to check the table by.
#[test]
fn opcodes_that_exist() {
    for opcode in 0..=255u8 {
        let (class, code, x) = (opcode & 7, opcode >> 4, opcode & 8 != 0);
        let (mode, size) = (opcode >> 5, opcode >> 3 & 3);
        let double = size == 3;
        let exists = match class {
            0 => opcode == 0x18 || (matches!(mode, 1 | 2) && !double),
            1 => mode == 3 || (mode == 4 && !double),
            2 => mode == 3,
            3 => matches!(mode, 3 | 6),
            4 => code <= 0xd && !(code == 8 && x),
            5 => code <= 0xd && !(code == 9 && x) || opcode == 0xe5,
            6 => code <= 0xd && !matches!(code, 8 | 9) && opcode != 0x0e,
            _ => code <= 0xd && !(matches!(code, 8 | 0xd) && x),
        };
        assert_eq!(
            table::rows_of(opcode).next().is_some(),
            exists,
            "{opcode:#04x}"
        );
    }
}

#[test]
fn values_without_encoding_are_refused() {
    let (dst, src) = (Reg::R1, Reg::R2);
    for insn in [
        Insn::Swap {
            op: SwapOp::ToBe,
            dst,
            bits: 13,
        },
        Insn::Load {
            size: Size::DW,
            signed: true,
            dst,
            base: src,
            off: 0,
        },
        Insn::MovSx {
            width: Width::W32,
            dst,
            src,
            from: Size::W,
        },
        Insn::MovSx {
            width: Width::W64,
            dst,
            src,
            from: Size::DW,
        },
        Insn::Atomic {
            op: AtomicOp::Xchg,
            size: Size::H,
            base: dst,
            off: 0,
            src,
        },
        Insn::LoadPacket {
            size: Size::DW,
            index: None,
            imm: 0,
        },
        Insn::Jump {
            rel: 32768,
            long: false,
        },
    ] {
        assert_eq!(encode(&[insn]), Err(Error::NoEncoding { pc: 0, insn }));
    }
    assert_eq!(encode(&[Insn::Imm64High]), Err(Error::LoneHigh { pc: 0 }));
    let wide = Insn::LoadImm64 {
        dst,
        imm: Imm64::Value(1),
    };
    assert_eq!(encode(&[wide]), Err(Error::Incomplete { pc: 0 }));
    assert_eq!(
        encode(&[wide, Insn::Exit]),
        Err(Error::Incomplete { pc: 0 })
    );
}

#[test]
fn errors_say_where_and_what() {
    let at = |bytes: &[u8]| {
        from_bytes(bytes)
            .and_then(|raw| decode(&raw))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        at(&[0; 7]),
        "7 bytes are not a whole number of 8-byte instructions"
    );
    assert_eq!(at(&[0; 8]), "instruction 0: opcode 0x00 does not exist");
    let exit = [0x95, 0, 0, 0, 0, 0, 0, 0];
    let then = |bytes: [u8; 8]| at(&[exit, bytes].concat());
    assert_eq!(
        then([0xd4, 1, 0, 0, 13, 0, 0, 0]),
        "instruction 1: opcode 0xd4 with immediate 13 does not exist"
    );
    assert_eq!(
        then([0x07, 0x21, 0, 0, 1, 0, 0, 0]),
        "instruction 1: opcode 0x07 does not use the source register, which must be 0 but is 2"
    );
    assert_eq!(
        then([0x0f, 0xb1, 0, 0, 0, 0, 0, 0]),
        "instruction 1: source register 11 is not one of r0 to r10"
    );
    assert_eq!(
        then([0x18, 1, 0, 0, 0, 0, 0, 0]),
        "instruction 1: the second slot of a 64-bit immediate is missing"
    );
}

#[test]
fn versions() {
    let since = |text: &str| {
        let insn: Insn = text.parse().unwrap();
        let since = insn.since().unwrap();
        (insn.cpu_version().unwrap(), since.linux)
    };
    for (text, cpu, linux) in [
        ("r1 += r2", CpuVersion::V1, Some((3, 18))),
        ("if r1 < 5 goto +1", CpuVersion::V2, Some((4, 14))),
        ("if w1 > 5 goto +1", CpuVersion::V3, Some((5, 1))),
        ("lock *(u64 *)(r1 + 0) += r2", CpuVersion::V1, Some((3, 18))),
        ("lock *(u64 *)(r1 + 0) |= r2", CpuVersion::V3, Some((5, 12))),
        ("r1 s/= r2", CpuVersion::V4, Some((6, 6))),
        ("r1 = (s8)r2", CpuVersion::V4, Some((6, 6))),
        (
            "w0 = load_acquire((u8 *)(r1 + 0))",
            CpuVersion::V4,
            Some((6, 15)),
        ),
        ("callx r1", CpuVersion::V1, None),
    ] {
        assert_eq!(since(text), (cpu, linux), "{text}");
    }
    assert_eq!(Insn::Imm64High.cpu_version(), Some(CpuVersion::V1));
}
