//! Every encodable instruction as one row: its encoding, its meaning, its text and when it came.
//!
//! Decoding, encoding, printing and parsing all read this table; an instruction that is
//! not here does not exist.
//!
//! **Invariant:** rows of the same opcode differ in a field that is [`Field::Is`] in both,
//! so at most one row fits a slot.
//!
//! **Invariant:** no two rows have the same [`Kind`].
//!
//! Source: RFC 9669; for what Linux adds, `include/uapi/linux/bpf.h` and the reserved-field
//! checks of its verifier; the syntax is LLVM's.

use crate::AluOp::*;
use crate::JmpOp::*;
use crate::Size::*;
use crate::SwapOp::*;
use crate::Width::*;
use crate::{AluOp, AtomicOp, JmpOp, Size, SwapOp, Width};
use Kind::*;

/// What one field of a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Nothing: must be zero.
    Unused,
    /// This value, which tells the row from others of the same opcode.
    Is(i32),
    /// An operand: any value, but at most 10 for a register.
    Operand,
}

/// Compiler generation (clang's `-mcpu`) that first emits an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CpuVersion {
    V1,
    V2,
    V3,
    V4,
}

/// Since when an instruction exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    pub cpu: CpuVersion,
    /// First Linux release, major and minor, that accepts it; `None` if none does.
    pub linux: Option<(u8, u8)>,
}

/// An instruction without its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    AluImm(AluOp, Width),
    AluReg(AluOp, Width),
    Neg(Width),
    MovImm(Width),
    MovReg(Width),
    MovSx(Width, Size),
    Swap(SwapOp, u8),
    AddrSpaceCast,
    LoadImm64(Pseudo),
    /// The flag: sign-extending.
    Load(Size, bool),
    StoreImm(Size),
    StoreReg(Size),
    Atomic(AtomicOp, Size),
    LoadAcquire(Size),
    StoreRelease(Size),
    LoadAbs(Size),
    LoadInd(Size),
    Jump,
    JumpLong,
    JumpReg,
    JumpIfImm(JmpOp, Width),
    JumpIfReg(JmpOp, Width),
    MayGoto,
    CallHelper,
    CallSubprog,
    CallKfunc,
    CallReg,
    Exit,
}

/// The kinds of 64-bit immediate, [`crate::Imm64`] without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pseudo {
    Value,
    MapFd,
    MapFdValue,
    BtfId,
    Func,
    MapIdx,
    MapIdxValue,
}

/// One encodable instruction.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub opcode: u8,
    pub dst: Field,
    pub src: Field,
    pub off: Field,
    pub imm: Field,
    /// The immediate of the second slot; `Unused` too for one-slot instructions.
    pub next: Field,
    pub kind: Kind,
    /// The assembly text with operands in braces.
    pub text: &'static str,
    pub since: Since,
}

const fn row(
    opcode: u8,
    [dst, src, off, imm]: [Field; 4],
    kind: Kind,
    text: &'static str,
    since: Since,
) -> Row {
    Row {
        opcode,
        dst,
        src,
        off,
        imm,
        next: U,
        kind,
        text,
        since,
    }
}

const fn wide(pseudo: i32, next: Field, kind: Pseudo, text: &'static str, since: Since) -> Row {
    Row {
        opcode: 0x18,
        dst: F,
        src: is(pseudo),
        off: U,
        imm: F,
        next,
        kind: LoadImm64(kind),
        text,
        since,
    }
}

const U: Field = Field::Unused;
const F: Field = Field::Operand;

const fn is(n: i32) -> Field {
    Field::Is(n)
}

const fn since(cpu: CpuVersion, major: u8, minor: u8) -> Since {
    Since {
        cpu,
        linux: Some((major, minor)),
    }
}

const BASE: Since = since(CpuVersion::V1, 3, 18);
const V2: Since = since(CpuVersion::V2, 4, 14);
const V3_JMP32: Since = since(CpuVersion::V3, 5, 1);
const V3_ATOMIC: Since = since(CpuVersion::V3, 5, 12);
const V4: Since = since(CpuVersion::V4, 6, 6);
const V4_LINUX_6_15: Since = since(CpuVersion::V4, 6, 15);
const LINUX_4_16: Since = since(CpuVersion::V1, 4, 16);
const LINUX_5_2: Since = since(CpuVersion::V1, 5, 2);
const LINUX_5_10: Since = since(CpuVersion::V1, 5, 10);
const LINUX_5_13: Since = since(CpuVersion::V1, 5, 13);
const LINUX_5_14: Since = since(CpuVersion::V1, 5, 14);
const LINUX_6_9: Since = since(CpuVersion::V1, 6, 9);
const LINUX_6_19: Since = since(CpuVersion::V4, 6, 19);
const CALLX: Since = Since {
    cpu: CpuVersion::V1,
    linux: None,
};

/// The rows whose opcode is `opcode`.
pub fn rows_of(opcode: u8) -> impl Iterator<Item = &'static Row> {
    places_of(opcode).map(|at| &TABLE[at])
}

/// Their places in the table.
pub(crate) fn places_of(opcode: u8) -> impl Iterator<Item = usize> {
    let mut next = INDEX.first[opcode as usize];
    std::iter::from_fn(move || {
        let at = usize::from(next);
        next = *INDEX.next.get(at)?;
        Some(at)
    })
}

/// The first Linux release that accepts all rows but jumps through a register, or a later one.
pub const NEWEST: (u8, u8) = {
    let mut newest = (0, 0);
    let mut i = 0;
    while i < TABLE.len() {
        if let (Some((major, minor)), false) =
            (TABLE[i].since.linux, matches!(TABLE[i].kind, Kind::JumpReg))
            && (major > newest.0 || major == newest.0 && minor > newest.1)
        {
            newest = (major, minor);
        }
        i += 1;
    }
    newest
};

/// Chains through the table, one an opcode.
struct Index {
    first: [u8; 256],
    next: [u8; TABLE.len()],
}

const NONE: u8 = u8::MAX;
const _: () = assert!(TABLE.len() < NONE as usize);

static INDEX: Index = {
    let mut index = Index {
        first: [NONE; 256],
        next: [NONE; TABLE.len()],
    };
    let mut i = TABLE.len();
    while i > 0 {
        i -= 1;
        let op = TABLE[i].opcode as usize;
        index.next[i] = index.first[op];
        index.first[op] = i as u8;
    }
    index
};

/// The instruction set. The fields in brackets are dst, src, off and imm: `U` unused, `F` an operand.
#[rustfmt::skip]
pub static TABLE: [Row; 182] = [
    // Arithmetic, 64 bits: RFC 9669, section 4.1.
    row(0x07, [F, U, U, F], AluImm(Add, W64), "{dst} += {imm}", BASE),
    row(0x0f, [F, F, U, U], AluReg(Add, W64), "{dst} += {src}", BASE),
    row(0x17, [F, U, U, F], AluImm(Sub, W64), "{dst} -= {imm}", BASE),
    row(0x1f, [F, F, U, U], AluReg(Sub, W64), "{dst} -= {src}", BASE),
    row(0x27, [F, U, U, F], AluImm(Mul, W64), "{dst} *= {imm}", BASE),
    row(0x2f, [F, F, U, U], AluReg(Mul, W64), "{dst} *= {src}", BASE),
    row(0x37, [F, U, is(0), F], AluImm(Div, W64), "{dst} /= {imm}", BASE),
    row(0x3f, [F, F, is(0), U], AluReg(Div, W64), "{dst} /= {src}", BASE),
    row(0x37, [F, U, is(1), F], AluImm(SDiv, W64), "{dst} s/= {imm}", V4),
    row(0x3f, [F, F, is(1), U], AluReg(SDiv, W64), "{dst} s/= {src}", V4),
    row(0x47, [F, U, U, F], AluImm(Or, W64), "{dst} |= {imm}", BASE),
    row(0x4f, [F, F, U, U], AluReg(Or, W64), "{dst} |= {src}", BASE),
    row(0x57, [F, U, U, F], AluImm(And, W64), "{dst} &= {imm}", BASE),
    row(0x5f, [F, F, U, U], AluReg(And, W64), "{dst} &= {src}", BASE),
    row(0x67, [F, U, U, F], AluImm(Lsh, W64), "{dst} <<= {imm}", BASE),
    row(0x6f, [F, F, U, U], AluReg(Lsh, W64), "{dst} <<= {src}", BASE),
    row(0x77, [F, U, U, F], AluImm(Rsh, W64), "{dst} >>= {imm}", BASE),
    row(0x7f, [F, F, U, U], AluReg(Rsh, W64), "{dst} >>= {src}", BASE),
    row(0x97, [F, U, is(0), F], AluImm(Mod, W64), "{dst} %= {imm}", BASE),
    row(0x9f, [F, F, is(0), U], AluReg(Mod, W64), "{dst} %= {src}", BASE),
    row(0x97, [F, U, is(1), F], AluImm(SMod, W64), "{dst} s%= {imm}", V4),
    row(0x9f, [F, F, is(1), U], AluReg(SMod, W64), "{dst} s%= {src}", V4),
    row(0xa7, [F, U, U, F], AluImm(Xor, W64), "{dst} ^= {imm}", BASE),
    row(0xaf, [F, F, U, U], AluReg(Xor, W64), "{dst} ^= {src}", BASE),
    row(0xc7, [F, U, U, F], AluImm(Arsh, W64), "{dst} s>>= {imm}", BASE),
    row(0xcf, [F, F, U, U], AluReg(Arsh, W64), "{dst} s>>= {src}", BASE),
    row(0x87, [F, U, U, U], Neg(W64), "{dst} = -{dst}", BASE),
    row(0xb7, [F, U, U, F], MovImm(W64), "{dst} = {imm}", BASE),
    row(0xbf, [F, F, is(0), U], MovReg(W64), "{dst} = {src}", BASE),
    row(0xbf, [F, F, is(8), U], MovSx(W64, B), "{dst} = (s8){src}", V4),
    row(0xbf, [F, F, is(16), U], MovSx(W64, H), "{dst} = (s16){src}", V4),
    row(0xbf, [F, F, is(32), U], MovSx(W64, W), "{dst} = (s32){src}", V4),
    row(0xbf, [F, F, is(1), F], AddrSpaceCast, "{dst} = addr_space_cast({src}, {to}, {from})", LINUX_6_9),
    // Arithmetic, 32 bits: RFC 9669, section 4.1.
    row(0x04, [F, U, U, F], AluImm(Add, W32), "{dst32} += {imm32}", BASE),
    row(0x0c, [F, F, U, U], AluReg(Add, W32), "{dst32} += {src32}", BASE),
    row(0x14, [F, U, U, F], AluImm(Sub, W32), "{dst32} -= {imm32}", BASE),
    row(0x1c, [F, F, U, U], AluReg(Sub, W32), "{dst32} -= {src32}", BASE),
    row(0x24, [F, U, U, F], AluImm(Mul, W32), "{dst32} *= {imm32}", BASE),
    row(0x2c, [F, F, U, U], AluReg(Mul, W32), "{dst32} *= {src32}", BASE),
    row(0x34, [F, U, is(0), F], AluImm(Div, W32), "{dst32} /= {imm32}", BASE),
    row(0x3c, [F, F, is(0), U], AluReg(Div, W32), "{dst32} /= {src32}", BASE),
    row(0x34, [F, U, is(1), F], AluImm(SDiv, W32), "{dst32} s/= {imm32}", V4),
    row(0x3c, [F, F, is(1), U], AluReg(SDiv, W32), "{dst32} s/= {src32}", V4),
    row(0x44, [F, U, U, F], AluImm(Or, W32), "{dst32} |= {imm32}", BASE),
    row(0x4c, [F, F, U, U], AluReg(Or, W32), "{dst32} |= {src32}", BASE),
    row(0x54, [F, U, U, F], AluImm(And, W32), "{dst32} &= {imm32}", BASE),
    row(0x5c, [F, F, U, U], AluReg(And, W32), "{dst32} &= {src32}", BASE),
    row(0x64, [F, U, U, F], AluImm(Lsh, W32), "{dst32} <<= {imm32}", BASE),
    row(0x6c, [F, F, U, U], AluReg(Lsh, W32), "{dst32} <<= {src32}", BASE),
    row(0x74, [F, U, U, F], AluImm(Rsh, W32), "{dst32} >>= {imm32}", BASE),
    row(0x7c, [F, F, U, U], AluReg(Rsh, W32), "{dst32} >>= {src32}", BASE),
    row(0x94, [F, U, is(0), F], AluImm(Mod, W32), "{dst32} %= {imm32}", BASE),
    row(0x9c, [F, F, is(0), U], AluReg(Mod, W32), "{dst32} %= {src32}", BASE),
    row(0x94, [F, U, is(1), F], AluImm(SMod, W32), "{dst32} s%= {imm32}", V4),
    row(0x9c, [F, F, is(1), U], AluReg(SMod, W32), "{dst32} s%= {src32}", V4),
    row(0xa4, [F, U, U, F], AluImm(Xor, W32), "{dst32} ^= {imm32}", BASE),
    row(0xac, [F, F, U, U], AluReg(Xor, W32), "{dst32} ^= {src32}", BASE),
    row(0xc4, [F, U, U, F], AluImm(Arsh, W32), "{dst32} s>>= {imm32}", BASE),
    row(0xcc, [F, F, U, U], AluReg(Arsh, W32), "{dst32} s>>= {src32}", BASE),
    row(0x84, [F, U, U, U], Neg(W32), "{dst32} = -{dst32}", BASE),
    row(0xb4, [F, U, U, F], MovImm(W32), "{dst32} = {imm32}", BASE),
    row(0xbc, [F, F, is(0), U], MovReg(W32), "{dst32} = {src32}", BASE),
    row(0xbc, [F, F, is(8), U], MovSx(W32, B), "{dst32} = (s8){src32}", V4),
    row(0xbc, [F, F, is(16), U], MovSx(W32, H), "{dst32} = (s16){src32}", V4),
    // Byte swaps: section 4.2.
    row(0xd4, [F, U, U, is(16)], Swap(ToLe, 16), "{dst} = le16 {dst}", BASE),
    row(0xd4, [F, U, U, is(32)], Swap(ToLe, 32), "{dst} = le32 {dst}", BASE),
    row(0xd4, [F, U, U, is(64)], Swap(ToLe, 64), "{dst} = le64 {dst}", BASE),
    row(0xdc, [F, U, U, is(16)], Swap(ToBe, 16), "{dst} = be16 {dst}", BASE),
    row(0xdc, [F, U, U, is(32)], Swap(ToBe, 32), "{dst} = be32 {dst}", BASE),
    row(0xdc, [F, U, U, is(64)], Swap(ToBe, 64), "{dst} = be64 {dst}", BASE),
    row(0xd7, [F, U, U, is(16)], Swap(Bswap, 16), "{dst} = bswap16 {dst}", V4),
    row(0xd7, [F, U, U, is(32)], Swap(Bswap, 32), "{dst} = bswap32 {dst}", V4),
    row(0xd7, [F, U, U, is(64)], Swap(Bswap, 64), "{dst} = bswap64 {dst}", V4),
    // Jumps: section 4.3.
    row(0x05, [U, U, F, U], Jump, "goto {rel}", BASE),
    row(0x06, [U, U, U, F], JumpLong, "gotol {rel32}", V4),
    row(0x0d, [F, U, U, U], JumpReg, "gotox {dst}", LINUX_6_19),
    row(0xe5, [U, is(0), F, U], MayGoto, "may_goto {rel}", LINUX_6_9),
    row(0x15, [F, U, F, F], JumpIfImm(Eq, W64), "if {dst} == {imm} goto {rel}", BASE),
    row(0x1d, [F, F, F, U], JumpIfReg(Eq, W64), "if {dst} == {src} goto {rel}", BASE),
    row(0x25, [F, U, F, F], JumpIfImm(Gt, W64), "if {dst} > {imm} goto {rel}", BASE),
    row(0x2d, [F, F, F, U], JumpIfReg(Gt, W64), "if {dst} > {src} goto {rel}", BASE),
    row(0x35, [F, U, F, F], JumpIfImm(Ge, W64), "if {dst} >= {imm} goto {rel}", BASE),
    row(0x3d, [F, F, F, U], JumpIfReg(Ge, W64), "if {dst} >= {src} goto {rel}", BASE),
    row(0x45, [F, U, F, F], JumpIfImm(Set, W64), "if {dst} & {imm} goto {rel}", BASE),
    row(0x4d, [F, F, F, U], JumpIfReg(Set, W64), "if {dst} & {src} goto {rel}", BASE),
    row(0x55, [F, U, F, F], JumpIfImm(Ne, W64), "if {dst} != {imm} goto {rel}", BASE),
    row(0x5d, [F, F, F, U], JumpIfReg(Ne, W64), "if {dst} != {src} goto {rel}", BASE),
    row(0x65, [F, U, F, F], JumpIfImm(SGt, W64), "if {dst} s> {imm} goto {rel}", BASE),
    row(0x6d, [F, F, F, U], JumpIfReg(SGt, W64), "if {dst} s> {src} goto {rel}", BASE),
    row(0x75, [F, U, F, F], JumpIfImm(SGe, W64), "if {dst} s>= {imm} goto {rel}", BASE),
    row(0x7d, [F, F, F, U], JumpIfReg(SGe, W64), "if {dst} s>= {src} goto {rel}", BASE),
    row(0xa5, [F, U, F, F], JumpIfImm(Lt, W64), "if {dst} < {imm} goto {rel}", V2),
    row(0xad, [F, F, F, U], JumpIfReg(Lt, W64), "if {dst} < {src} goto {rel}", V2),
    row(0xb5, [F, U, F, F], JumpIfImm(Le, W64), "if {dst} <= {imm} goto {rel}", V2),
    row(0xbd, [F, F, F, U], JumpIfReg(Le, W64), "if {dst} <= {src} goto {rel}", V2),
    row(0xc5, [F, U, F, F], JumpIfImm(SLt, W64), "if {dst} s< {imm} goto {rel}", V2),
    row(0xcd, [F, F, F, U], JumpIfReg(SLt, W64), "if {dst} s< {src} goto {rel}", V2),
    row(0xd5, [F, U, F, F], JumpIfImm(SLe, W64), "if {dst} s<= {imm} goto {rel}", V2),
    row(0xdd, [F, F, F, U], JumpIfReg(SLe, W64), "if {dst} s<= {src} goto {rel}", V2),
    row(0x16, [F, U, F, F], JumpIfImm(Eq, W32), "if {dst32} == {imm32} goto {rel}", V3_JMP32),
    row(0x1e, [F, F, F, U], JumpIfReg(Eq, W32), "if {dst32} == {src32} goto {rel}", V3_JMP32),
    row(0x26, [F, U, F, F], JumpIfImm(Gt, W32), "if {dst32} > {imm32} goto {rel}", V3_JMP32),
    row(0x2e, [F, F, F, U], JumpIfReg(Gt, W32), "if {dst32} > {src32} goto {rel}", V3_JMP32),
    row(0x36, [F, U, F, F], JumpIfImm(Ge, W32), "if {dst32} >= {imm32} goto {rel}", V3_JMP32),
    row(0x3e, [F, F, F, U], JumpIfReg(Ge, W32), "if {dst32} >= {src32} goto {rel}", V3_JMP32),
    row(0x46, [F, U, F, F], JumpIfImm(Set, W32), "if {dst32} & {imm32} goto {rel}", V3_JMP32),
    row(0x4e, [F, F, F, U], JumpIfReg(Set, W32), "if {dst32} & {src32} goto {rel}", V3_JMP32),
    row(0x56, [F, U, F, F], JumpIfImm(Ne, W32), "if {dst32} != {imm32} goto {rel}", V3_JMP32),
    row(0x5e, [F, F, F, U], JumpIfReg(Ne, W32), "if {dst32} != {src32} goto {rel}", V3_JMP32),
    row(0x66, [F, U, F, F], JumpIfImm(SGt, W32), "if {dst32} s> {imm32} goto {rel}", V3_JMP32),
    row(0x6e, [F, F, F, U], JumpIfReg(SGt, W32), "if {dst32} s> {src32} goto {rel}", V3_JMP32),
    row(0x76, [F, U, F, F], JumpIfImm(SGe, W32), "if {dst32} s>= {imm32} goto {rel}", V3_JMP32),
    row(0x7e, [F, F, F, U], JumpIfReg(SGe, W32), "if {dst32} s>= {src32} goto {rel}", V3_JMP32),
    row(0xa6, [F, U, F, F], JumpIfImm(Lt, W32), "if {dst32} < {imm32} goto {rel}", V3_JMP32),
    row(0xae, [F, F, F, U], JumpIfReg(Lt, W32), "if {dst32} < {src32} goto {rel}", V3_JMP32),
    row(0xb6, [F, U, F, F], JumpIfImm(Le, W32), "if {dst32} <= {imm32} goto {rel}", V3_JMP32),
    row(0xbe, [F, F, F, U], JumpIfReg(Le, W32), "if {dst32} <= {src32} goto {rel}", V3_JMP32),
    row(0xc6, [F, U, F, F], JumpIfImm(SLt, W32), "if {dst32} s< {imm32} goto {rel}", V3_JMP32),
    row(0xce, [F, F, F, U], JumpIfReg(SLt, W32), "if {dst32} s< {src32} goto {rel}", V3_JMP32),
    row(0xd6, [F, U, F, F], JumpIfImm(SLe, W32), "if {dst32} s<= {imm32} goto {rel}", V3_JMP32),
    row(0xde, [F, F, F, U], JumpIfReg(SLe, W32), "if {dst32} s<= {src32} goto {rel}", V3_JMP32),
    row(0x85, [U, is(0), U, F], CallHelper, "call {helper}", BASE),
    row(0x85, [U, is(1), U, F], CallSubprog, "call pc{rel32}", LINUX_4_16),
    row(0x85, [U, is(2), F, F], CallKfunc, "call kfunc[{id}, {module}]", LINUX_5_13),
    row(0x8d, [F, U, U, U], CallReg, "callx {dst}", CALLX),
    row(0x95, [U, U, U, U], Exit, "exit", BASE),
    // Loads and stores: sections 5.1 and 5.2.
    row(0x61, [F, F, F, U], Load(W, false), "{dst} = *(u32 *)({src} {off})", BASE),
    row(0x69, [F, F, F, U], Load(H, false), "{dst} = *(u16 *)({src} {off})", BASE),
    row(0x71, [F, F, F, U], Load(B, false), "{dst} = *(u8 *)({src} {off})", BASE),
    row(0x79, [F, F, F, U], Load(DW, false), "{dst} = *(u64 *)({src} {off})", BASE),
    row(0x81, [F, F, F, U], Load(W, true), "{dst} = *(s32 *)({src} {off})", V4),
    row(0x89, [F, F, F, U], Load(H, true), "{dst} = *(s16 *)({src} {off})", V4),
    row(0x91, [F, F, F, U], Load(B, true), "{dst} = *(s8 *)({src} {off})", V4),
    row(0x62, [F, U, F, F], StoreImm(W), "*(u32 *)({dst} {off}) = {imm32}", BASE),
    row(0x63, [F, F, F, U], StoreReg(W), "*(u32 *)({dst} {off}) = {src}", BASE),
    row(0x6a, [F, U, F, F], StoreImm(H), "*(u16 *)({dst} {off}) = {imm32}", BASE),
    row(0x6b, [F, F, F, U], StoreReg(H), "*(u16 *)({dst} {off}) = {src}", BASE),
    row(0x72, [F, U, F, F], StoreImm(B), "*(u8 *)({dst} {off}) = {imm32}", BASE),
    row(0x73, [F, F, F, U], StoreReg(B), "*(u8 *)({dst} {off}) = {src}", BASE),
    row(0x7a, [F, U, F, F], StoreImm(DW), "*(u64 *)({dst} {off}) = {imm}", BASE),
    row(0x7b, [F, F, F, U], StoreReg(DW), "*(u64 *)({dst} {off}) = {src}", BASE),
    // Atomic operations: section 5.3; load-acquire and store-release are Linux's.
    row(0xc3, [F, F, F, is(0x00)], Atomic(AtomicOp::Add { fetch: false }, W), "lock *(u32 *)({dst} {off}) += {src32}", BASE),
    row(0xc3, [F, F, F, is(0x01)], Atomic(AtomicOp::Add { fetch: true }, W), "{src32} = atomic_fetch_add((u32 *)({dst} {off}), {src32})", V3_ATOMIC),
    row(0xc3, [F, F, F, is(0x40)], Atomic(AtomicOp::Or { fetch: false }, W), "lock *(u32 *)({dst} {off}) |= {src32}", V3_ATOMIC),
    row(0xc3, [F, F, F, is(0x41)], Atomic(AtomicOp::Or { fetch: true }, W), "{src32} = atomic_fetch_or((u32 *)({dst} {off}), {src32})", V3_ATOMIC),
    row(0xc3, [F, F, F, is(0x50)], Atomic(AtomicOp::And { fetch: false }, W), "lock *(u32 *)({dst} {off}) &= {src32}", V3_ATOMIC),
    row(0xc3, [F, F, F, is(0x51)], Atomic(AtomicOp::And { fetch: true }, W), "{src32} = atomic_fetch_and((u32 *)({dst} {off}), {src32})", V3_ATOMIC),
    row(0xc3, [F, F, F, is(0xa0)], Atomic(AtomicOp::Xor { fetch: false }, W), "lock *(u32 *)({dst} {off}) ^= {src32}", V3_ATOMIC),
    row(0xc3, [F, F, F, is(0xa1)], Atomic(AtomicOp::Xor { fetch: true }, W), "{src32} = atomic_fetch_xor((u32 *)({dst} {off}), {src32})", V3_ATOMIC),
    row(0xc3, [F, F, F, is(0xe1)], Atomic(AtomicOp::Xchg, W), "{src32} = xchg32_32({dst} {off}, {src32})", V3_ATOMIC),
    row(0xc3, [F, F, F, is(0xf1)], Atomic(AtomicOp::Cmpxchg, W), "w0 = cmpxchg32_32({dst} {off}, w0, {src32})", V3_ATOMIC),
    row(0xdb, [F, F, F, is(0x00)], Atomic(AtomicOp::Add { fetch: false }, DW), "lock *(u64 *)({dst} {off}) += {src}", BASE),
    row(0xdb, [F, F, F, is(0x01)], Atomic(AtomicOp::Add { fetch: true }, DW), "{src} = atomic_fetch_add((u64 *)({dst} {off}), {src})", V3_ATOMIC),
    row(0xdb, [F, F, F, is(0x40)], Atomic(AtomicOp::Or { fetch: false }, DW), "lock *(u64 *)({dst} {off}) |= {src}", V3_ATOMIC),
    row(0xdb, [F, F, F, is(0x41)], Atomic(AtomicOp::Or { fetch: true }, DW), "{src} = atomic_fetch_or((u64 *)({dst} {off}), {src})", V3_ATOMIC),
    row(0xdb, [F, F, F, is(0x50)], Atomic(AtomicOp::And { fetch: false }, DW), "lock *(u64 *)({dst} {off}) &= {src}", V3_ATOMIC),
    row(0xdb, [F, F, F, is(0x51)], Atomic(AtomicOp::And { fetch: true }, DW), "{src} = atomic_fetch_and((u64 *)({dst} {off}), {src})", V3_ATOMIC),
    row(0xdb, [F, F, F, is(0xa0)], Atomic(AtomicOp::Xor { fetch: false }, DW), "lock *(u64 *)({dst} {off}) ^= {src}", V3_ATOMIC),
    row(0xdb, [F, F, F, is(0xa1)], Atomic(AtomicOp::Xor { fetch: true }, DW), "{src} = atomic_fetch_xor((u64 *)({dst} {off}), {src})", V3_ATOMIC),
    row(0xdb, [F, F, F, is(0xe1)], Atomic(AtomicOp::Xchg, DW), "{src} = xchg_64({dst} {off}, {src})", V3_ATOMIC),
    row(0xdb, [F, F, F, is(0xf1)], Atomic(AtomicOp::Cmpxchg, DW), "r0 = cmpxchg_64({dst} {off}, r0, {src})", V3_ATOMIC),
    row(0xc3, [F, F, F, is(0x100)], LoadAcquire(W), "{dst32} = load_acquire((u32 *)({src} {off}))", V4_LINUX_6_15),
    row(0xc3, [F, F, F, is(0x110)], StoreRelease(W), "store_release((u32 *)({dst} {off}), {src32})", V4_LINUX_6_15),
    row(0xcb, [F, F, F, is(0x100)], LoadAcquire(H), "{dst32} = load_acquire((u16 *)({src} {off}))", V4_LINUX_6_15),
    row(0xcb, [F, F, F, is(0x110)], StoreRelease(H), "store_release((u16 *)({dst} {off}), {src32})", V4_LINUX_6_15),
    row(0xd3, [F, F, F, is(0x100)], LoadAcquire(B), "{dst32} = load_acquire((u8 *)({src} {off}))", V4_LINUX_6_15),
    row(0xd3, [F, F, F, is(0x110)], StoreRelease(B), "store_release((u8 *)({dst} {off}), {src32})", V4_LINUX_6_15),
    row(0xdb, [F, F, F, is(0x100)], LoadAcquire(DW), "{dst} = load_acquire((u64 *)({src} {off}))", V4_LINUX_6_15),
    row(0xdb, [F, F, F, is(0x110)], StoreRelease(DW), "store_release((u64 *)({dst} {off}), {src})", V4_LINUX_6_15),
    // 64-bit immediates: section 5.4. The last field is the immediate of the second slot.
    wide(0, F, Pseudo::Value, "{dst} = {imm64} ll", BASE),
    wide(1, U, Pseudo::MapFd, "{dst} = map[fd:{simm}] ll", BASE),
    wide(2, F, Pseudo::MapFdValue, "{dst} = map[fd:{simm}][0]+{next} ll", LINUX_5_2),
    wide(3, F, Pseudo::BtfId, "{dst} = btf[id:{id}, module:{next}] ll", LINUX_5_10),
    wide(4, U, Pseudo::Func, "{dst} = subprog[{rel32}] ll", LINUX_5_13),
    wide(5, U, Pseudo::MapIdx, "{dst} = map[idx:{id}] ll", LINUX_5_14),
    wide(6, F, Pseudo::MapIdxValue, "{dst} = map[idx:{id}][0]+{next} ll", LINUX_5_14),
    // Legacy packet loads: section 5.5.
    row(0x20, [U, U, U, F], LoadAbs(W), "r0 = *(u32 *)skb[{imm32}]", BASE),
    row(0x40, [U, F, U, F], LoadInd(W), "r0 = *(u32 *)skb[{src}{off32}]", BASE),
    row(0x28, [U, U, U, F], LoadAbs(H), "r0 = *(u16 *)skb[{imm32}]", BASE),
    row(0x48, [U, F, U, F], LoadInd(H), "r0 = *(u16 *)skb[{src}{off32}]", BASE),
    row(0x30, [U, U, U, F], LoadAbs(B), "r0 = *(u8 *)skb[{imm32}]", BASE),
    row(0x50, [U, F, U, F], LoadInd(B), "r0 = *(u8 *)skb[{src}{off32}]", BASE),
];

/// Other spellings that are read but never written: the other name of a register where its
/// width is not encoded, and the kernel log's atomics.
#[rustfmt::skip]
pub static ALIASES: [(Kind, &str); 29] = [
    // What clang itself prints for a zero-extension.
    (MovReg(W32), "{dst} = {src32}"),
    (Load(B, false), "{dst32} = *(u8 *)({src} {off})"),
    (StoreReg(B), "*(u8 *)({dst} {off}) = {src32}"),
    (LoadAcquire(B), "{dst} = load_acquire((u8 *)({src} {off}))"),
    (StoreRelease(B), "store_release((u8 *)({dst} {off}), {src})"),
    (Load(H, false), "{dst32} = *(u16 *)({src} {off})"),
    (StoreReg(H), "*(u16 *)({dst} {off}) = {src32}"),
    (LoadAcquire(H), "{dst} = load_acquire((u16 *)({src} {off}))"),
    (StoreRelease(H), "store_release((u16 *)({dst} {off}), {src})"),
    (Load(W, false), "{dst32} = *(u32 *)({src} {off})"),
    (StoreReg(W), "*(u32 *)({dst} {off}) = {src32}"),
    (LoadAcquire(W), "{dst} = load_acquire((u32 *)({src} {off}))"),
    (StoreRelease(W), "store_release((u32 *)({dst} {off}), {src})"),
    (Atomic(AtomicOp::Add { fetch: false }, W), "lock *(u32 *)({dst} {off}) += {src}"),
    (Atomic(AtomicOp::Add { fetch: true }, W), "{src} = atomic_fetch_add((u32 *)({dst} {off}), {src})"),
    (Atomic(AtomicOp::Or { fetch: false }, W), "lock *(u32 *)({dst} {off}) |= {src}"),
    (Atomic(AtomicOp::Or { fetch: true }, W), "{src} = atomic_fetch_or((u32 *)({dst} {off}), {src})"),
    (Atomic(AtomicOp::And { fetch: false }, W), "lock *(u32 *)({dst} {off}) &= {src}"),
    (Atomic(AtomicOp::And { fetch: true }, W), "{src} = atomic_fetch_and((u32 *)({dst} {off}), {src})"),
    (Atomic(AtomicOp::Xor { fetch: false }, W), "lock *(u32 *)({dst} {off}) ^= {src}"),
    (Atomic(AtomicOp::Xor { fetch: true }, W), "{src} = atomic_fetch_xor((u32 *)({dst} {off}), {src})"),
    (Atomic(AtomicOp::Xchg, W), "{src} = atomic_xchg((u32 *)({dst} {off}), {src})"),
    (Atomic(AtomicOp::Cmpxchg, W), "r0 = atomic_cmpxchg((u32 *)({dst} {off}), r0, {src})"),
    (Atomic(AtomicOp::Add { fetch: true }, DW), "{src} = atomic64_fetch_add((u64 *)({dst} {off}), {src})"),
    (Atomic(AtomicOp::Or { fetch: true }, DW), "{src} = atomic64_fetch_or((u64 *)({dst} {off}), {src})"),
    (Atomic(AtomicOp::And { fetch: true }, DW), "{src} = atomic64_fetch_and((u64 *)({dst} {off}), {src})"),
    (Atomic(AtomicOp::Xor { fetch: true }, DW), "{src} = atomic64_fetch_xor((u64 *)({dst} {off}), {src})"),
    (Atomic(AtomicOp::Xchg, DW), "{src} = atomic64_xchg((u64 *)({dst} {off}), {src})"),
    (Atomic(AtomicOp::Cmpxchg, DW), "r0 = atomic64_cmpxchg((u64 *)({dst} {off}), r0, {src})"),
];
