//! A [`Kind`], or a slot → its row in the table, without a search.
//!
//! **Invariant:** kinds with rows have numbers of their own; the table does not compile otherwise.

use crate::table::{Field, Kind, Row, TABLE, places_of};
use crate::{AtomicOp, RawInsn, Size, Width};

/// Numbers of one constructor of [`Kind`].
const FAMILY: usize = 64;
/// Constructors of [`Kind`].
const FAMILIES: usize = 28;
const NONE: u8 = u8::MAX;

static PLACES: [u8; FAMILY * FAMILIES] = {
    let mut places = [NONE; FAMILY * FAMILIES];
    let mut i = 0;
    while i < TABLE.len() {
        let number = number(TABLE[i].kind);
        assert!(places[number] == NONE, "two kinds have one number");
        places[number] = i as u8;
        i += 1;
    }
    places
};

/// The row of `kind`, if there is such an instruction.
pub(crate) fn row_of(kind: Kind) -> Option<&'static Row> {
    let place = *PLACES.get(number(kind))?;
    // Kinds that are no instruction (a swap of 13 bits) may have another's number.
    TABLE.get(place as usize).filter(|row| row.kind == kind)
}

const fn number(kind: Kind) -> usize {
    let (family, within) = match kind {
        Kind::AluImm(op, w) => (0, op as usize * 2 + width(w)),
        Kind::AluReg(op, w) => (1, op as usize * 2 + width(w)),
        Kind::Neg(w) => (2, width(w)),
        Kind::MovImm(w) => (3, width(w)),
        Kind::MovReg(w) => (4, width(w)),
        Kind::MovSx(w, s) => (5, width(w) * 4 + size(s)),
        Kind::Swap(op, bits) => (6, op as usize * 4 + (bits as usize >> 4 & 3)),
        Kind::AddrSpaceCast => (7, 0),
        Kind::LoadImm64(pseudo) => (8, pseudo as usize),
        Kind::Load(s, signed) => (9, size(s) * 2 + signed as usize),
        Kind::StoreImm(s) => (10, size(s)),
        Kind::StoreReg(s) => (11, size(s)),
        Kind::Atomic(op, s) => (12, atomic(op) * 4 + size(s)),
        Kind::LoadAcquire(s) => (13, size(s)),
        Kind::StoreRelease(s) => (14, size(s)),
        Kind::LoadAbs(s) => (15, size(s)),
        Kind::LoadInd(s) => (16, size(s)),
        Kind::Jump => (17, 0),
        Kind::JumpLong => (18, 0),
        Kind::JumpReg => (19, 0),
        Kind::JumpIfImm(op, w) => (20, op as usize * 2 + width(w)),
        Kind::JumpIfReg(op, w) => (21, op as usize * 2 + width(w)),
        Kind::MayGoto => (22, 0),
        Kind::CallHelper => (23, 0),
        Kind::CallSubprog => (24, 0),
        Kind::CallKfunc => (25, 0),
        Kind::CallReg => (26, 0),
        Kind::Exit => (27, 0),
    };
    family * FAMILY + within
}

const fn width(width: Width) -> usize {
    width as usize
}

const fn size(size: Size) -> usize {
    size as usize
}

const fn atomic(op: AtomicOp) -> usize {
    match op {
        AtomicOp::Add { fetch } => fetch as usize,
        AtomicOp::Or { fetch } => 2 + fetch as usize,
        AtomicOp::And { fetch } => 4 + fetch as usize,
        AtomicOp::Xor { fetch } => 6 + fetch as usize,
        AtomicOp::Xchg => 8,
        AtomicOp::Cmpxchg => 9,
    }
}

/// What a slot, as the number that its bytes are, must hold in the fields that a row fixes or does not use.
#[derive(Clone, Copy)]
struct Fixed {
    mask: u64,
    value: u64,
}

static FIXED: [Fixed; TABLE.len()] = {
    let mut all = [Fixed { mask: 0, value: 0 }; TABLE.len()];
    let mut i = 0;
    while i < TABLE.len() {
        let row = &TABLE[i];
        all[i] = Fixed {
            mask: 0xff,
            value: row.opcode as u64,
        }
        .with(row.dst, 8, 0xf)
        .with(row.src, 12, 0xf)
        .with(row.off, 16, 0xffff)
        .with(row.imm, 32, 0xffff_ffff);
        i += 1;
    }
    all
};

impl Fixed {
    const fn with(self, field: Field, shift: u32, ones: u32) -> Fixed {
        let value = match field {
            Field::Operand => return self,
            Field::Unused => 0,
            Field::Is(n) => n as u32 & ones,
        };
        Fixed {
            mask: self.mask | (ones as u64) << shift,
            value: self.value | (value as u64) << shift,
        }
    }
}

/// The row of which the slot is an instruction, but for registers above r10 and a second slot.
#[inline]
pub(crate) fn row_of_slot(slot: RawInsn) -> Option<&'static Row> {
    // A register's number has four bits in a slot's bytes.
    if (slot.dst | slot.src) >> 4 != 0 {
        return None;
    }
    let fields = u64::from_le_bytes(slot.to_bytes());
    places_of(slot.opcode)
        .find(|at| FIXED[*at].mask & fields == FIXED[*at].value)
        .map(|at| &TABLE[at])
}
