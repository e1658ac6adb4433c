//! The typed form of one instruction, and the raw 8 bytes it comes from.

use std::fmt;

/// Index of an 8-byte instruction slot, counted from the start of a program.
pub type Pc = usize;

/// One undecoded instruction slot, little endian in files: opcode, two register
/// nibbles (source high), a 16-bit offset and a 32-bit immediate (RFC 9669, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RawInsn {
    pub opcode: u8,
    pub dst: u8,
    pub src: u8,
    pub off: i16,
    pub imm: i32,
}

impl RawInsn {
    pub fn from_bytes(b: [u8; 8]) -> RawInsn {
        RawInsn {
            opcode: b[0],
            dst: b[1] & 0xf,
            src: b[1] >> 4,
            off: i16::from_le_bytes([b[2], b[3]]),
            imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    #[inline]
    pub fn to_bytes(self) -> [u8; 8] {
        let o = self.off.to_le_bytes();
        let i = self.imm.to_le_bytes();
        [
            self.opcode,
            (self.src << 4) | (self.dst & 0xf),
            o[0],
            o[1],
            i[0],
            i[1],
            i[2],
            i[3],
        ]
    }
}

/// A register, r0 to r10. r10 is the read-only frame pointer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg(u8);

impl Reg {
    pub const R0: Reg = Reg(0);
    pub const R1: Reg = Reg(1);
    pub const R2: Reg = Reg(2);
    pub const R3: Reg = Reg(3);
    pub const R4: Reg = Reg(4);
    pub const R5: Reg = Reg(5);
    pub const R6: Reg = Reg(6);
    pub const R7: Reg = Reg(7);
    pub const R8: Reg = Reg(8);
    pub const R9: Reg = Reg(9);
    pub const R10: Reg = Reg(10);
    /// How many registers there are.
    pub const COUNT: usize = 11;

    /// `None` above r10.
    pub const fn new(n: u8) -> Option<Reg> {
        if n <= 10 { Some(Reg(n)) } else { None }
    }

    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// r0, r1, … r10.
    pub fn all() -> impl Iterator<Item = Reg> {
        (0..=10).map(Reg)
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl fmt::Debug for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// Operation width of arithmetic and comparison. A 32-bit result is zero-extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    W32,
    W64,
}

impl Width {
    pub const fn bits(self) -> u32 {
        match self {
            Width::W32 => 32,
            Width::W64 => 64,
        }
    }
}

/// Size of a memory access, or of the low part that a sign-extending move reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Size {
    B,
    H,
    W,
    DW,
}

impl Size {
    pub const fn bytes(self) -> usize {
        match self {
            Size::B => 1,
            Size::H => 2,
            Size::W => 4,
            Size::DW => 8,
        }
    }

    pub const fn bits(self) -> u32 {
        self.bytes() as u32 * 8
    }

    pub const fn from_bytes(n: usize) -> Option<Size> {
        match n {
            1 => Some(Size::B),
            2 => Some(Size::H),
            4 => Some(Size::W),
            8 => Some(Size::DW),
            _ => None,
        }
    }
}

/// Second operand. An immediate is sign-extended to 64 bits in 64-bit operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Src {
    Reg(Reg),
    Imm(i32),
}

/// Two-operand arithmetic. Division and modulo are unsigned but for `SDiv`, `SMod`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AluOp {
    Add,
    Sub,
    Mul,
    Div,
    SDiv,
    Mod,
    SMod,
    Or,
    And,
    Xor,
    Lsh,
    Rsh,
    Arsh,
}

/// Comparison of a conditional jump; `Set` is `dst & src != 0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JmpOp {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    SGt,
    SGe,
    SLt,
    SLe,
    Set,
}

/// Byte-order conversions: `le`/`be` swap where the host's order differs and
/// truncate to `bits`; `bswap` always swaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SwapOp {
    ToLe,
    ToBe,
    Bswap,
}

/// Read-modify-write operations on memory (`Size::W` or `Size::DW`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AtomicOp {
    Add {
        fetch: bool,
    },
    Or {
        fetch: bool,
    },
    And {
        fetch: bool,
    },
    Xor {
        fetch: bool,
    },
    /// Always fetches: the old value goes to the source register.
    Xchg,
    /// Compares with r0 and always loads the old value into r0.
    Cmpxchg,
}

/// What a 64-bit immediate means (the source-register field of `lddw`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Imm64 {
    /// src 0: a plain number.
    Value(u64),
    /// src 1 `BPF_PSEUDO_MAP_FD`: a map by file descriptor.
    MapFd(i32),
    /// src 2 `BPF_PSEUDO_MAP_VALUE`: the address of `off` bytes into the single value of a map.
    MapFdValue { fd: i32, off: u32 },
    /// src 3 `BPF_PSEUDO_BTF_ID`: address of a kernel variable.
    BtfId { id: u32, module: u32 },
    /// src 4 `BPF_PSEUDO_FUNC`: a subprogram's address; target is the slot `pc + 1 + rel`, `pc` being the first of the two slots.
    Func { rel: i32 },
    /// src 5 `BPF_PSEUDO_MAP_IDX`: a map by index into the object's maps.
    MapIdx(u32),
    /// src 6 `BPF_PSEUDO_MAP_IDX_VALUE`.
    MapIdxValue { index: u32, off: u32 },
}

/// What a call instruction calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallTarget {
    /// src 0: a helper by number.
    Helper(u32),
    /// src 1 `BPF_PSEUDO_CALL`: a subprogram, in slots from the next instruction.
    Subprog { rel: i32 },
    /// src 2 `BPF_PSEUDO_KFUNC_CALL`: a kernel function by BTF id; `module` is the offset field.
    Kfunc { id: u32, module: i16 },
    /// `callx`: the address in a register. Linux refuses it; clang emits it at -O0.
    Reg(Reg),
}

/// One decoded instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Insn {
    Alu {
        op: AluOp,
        width: Width,
        dst: Reg,
        src: Src,
    },
    Neg {
        width: Width,
        dst: Reg,
    },
    Mov {
        width: Width,
        dst: Reg,
        src: Src,
    },
    /// Sign-extending move of the low `from` of `src`.
    MovSx {
        width: Width,
        dst: Reg,
        src: Reg,
        from: Size,
    },
    /// `bits` is 16, 32 or 64.
    Swap {
        op: SwapOp,
        dst: Reg,
        bits: u8,
    },
    /// `dst = addr_space_cast(src, to, from)` of arenas (Linux 6.9).
    AddrSpaceCast {
        dst: Reg,
        src: Reg,
        to: u16,
        from: u16,
    },
    LoadImm64 {
        dst: Reg,
        imm: Imm64,
    },
    /// Second slot of `LoadImm64`; jumping here is an error.
    Imm64High,
    Load {
        size: Size,
        signed: bool,
        dst: Reg,
        base: Reg,
        off: i16,
    },
    Store {
        size: Size,
        base: Reg,
        off: i16,
        src: Src,
    },
    Atomic {
        op: AtomicOp,
        size: Size,
        base: Reg,
        off: i16,
        src: Reg,
    },
    LoadAcquire {
        size: Size,
        dst: Reg,
        base: Reg,
        off: i16,
    },
    StoreRelease {
        size: Size,
        base: Reg,
        off: i16,
        src: Reg,
    },
    /// Legacy packet load into r0 at `imm` (`ld_abs`), or `imm` + `index` (`ld_ind`); r6 holds the context.
    LoadPacket {
        size: Size,
        index: Option<Reg>,
        imm: i32,
    },
    /// `rel` counts slots from the next instruction; `long` is the 32-bit form (`gotol`).
    Jump {
        rel: i32,
        long: bool,
    },
    JumpIf {
        op: JmpOp,
        width: Width,
        dst: Reg,
        src: Src,
        rel: i16,
    },
    /// `gotox`: through a register loaded from a jump table (Linux 6.19, clang 22 at cpu v4).
    JumpReg {
        dst: Reg,
    },
    /// Jumps by `rel` once the program's budget of iterations is used up.
    MayGoto {
        rel: i16,
    },
    Call(CallTarget),
    Exit,
}

impl Insn {
    /// Slots the instruction takes: 2 for `LoadImm64`.
    pub const fn slots(&self) -> usize {
        match self {
            Insn::LoadImm64 { .. } => 2,
            _ => 1,
        }
    }
}
