//! Lines of a program: arithmetic, memory, branches and loops.

use probity_isa::{AluOp, AtomicOp, Imm64, Insn, JmpOp, Reg, Size, Src, SwapOp, Width};

use super::{ARRAY, CELLS, Features, HASH, Kind, PROGRAMS, Rng, reg};

/// What a register most likely holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Is {
    Nothing,
    Number,
    Context,
    /// 16 bytes that may be read and written.
    Value,
    MaybeValue,
    Stack,
    Packet,
    PacketEnd,
    Record,
}

/// How a subprogram is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sub {
    /// With the context, a number, and memory of its caller.
    Plain,
    /// By `bpf_loop`.
    Loop,
    /// By `bpf_for_each_map_elem`.
    Element,
}

pub(super) struct Generator<'r> {
    pub r: &'r mut Rng,
    pub kind: Kind,
    pub features: Features,
    pub code: Vec<Insn>,
    pub is: [Is; 11],
    /// Calls to patch: where, and which subprogram.
    pub calls: Vec<(usize, usize)>,
    pub subs: Vec<Sub>,
    /// The subprogram that is written.
    pub inside: Option<usize>,
    /// Loops around the current line.
    pub loops: u32,
}

const ALU: [AluOp; 9] = [
    AluOp::Add,
    AluOp::Sub,
    AluOp::Mul,
    AluOp::Or,
    AluOp::And,
    AluOp::Xor,
    AluOp::Lsh,
    AluOp::Rsh,
    AluOp::Arsh,
];
const DIVISIONS: [AluOp; 4] = [AluOp::Div, AluOp::SDiv, AluOp::Mod, AluOp::SMod];
const JUMPS: [JmpOp; 11] = [
    JmpOp::Eq,
    JmpOp::Ne,
    JmpOp::Gt,
    JmpOp::Ge,
    JmpOp::Lt,
    JmpOp::Le,
    JmpOp::SGt,
    JmpOp::SGe,
    JmpOp::SLt,
    JmpOp::SLe,
    JmpOp::Set,
];
const SIZES: [Size; 4] = [Size::B, Size::H, Size::W, Size::DW];

fn is_shift(op: AluOp) -> bool {
    matches!(op, AluOp::Lsh | AluOp::Rsh | AluOp::Arsh)
}

impl<'r> Generator<'r> {
    pub fn new(r: &'r mut Rng, kind: Kind, features: Features) -> Generator<'r> {
        Generator {
            r,
            kind,
            features,
            code: Vec::new(),
            is: [Is::Nothing; 11],
            calls: Vec::new(),
            subs: Vec::new(),
            inside: None,
            loops: 0,
        }
    }

    pub fn on(&self, feature: Features) -> bool {
        self.features.has(feature)
    }

    pub fn entry(&mut self) {
        self.is = [Is::Nothing; 11];
        self.is[1] = Is::Context;
        self.is[10] = Is::Stack;
        self.mov(6, 1);
        // Linux takes no program whose stack bytes are read before they are written by a helper's size.
        for slot in 1..=4 {
            self.store_imm(Size::DW, -8 * slot, 0);
        }
        self.imm(7, 3);
        self.lookup(ARRAY);
        let imm = self.r.number();
        self.imm(8, imm);
        if self.is[9] == Is::Value {
            for dst in [7, 8] {
                let size = self.r.of(&SIZES);
                self.code.push(Insn::Load {
                    size,
                    signed: false,
                    dst: reg(dst),
                    base: Reg::R9,
                    off: (dst as i16 - 7) * 8,
                });
            }
        }
    }

    /// Leaves the program or subprogram.
    pub fn end(&mut self) {
        let value = match self.inside.and_then(|n| self.subs.get(n)) {
            None if !self.on(Features::MISTAKES) => 0,
            None => self.r.of(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 7, -1]),
            Some(Sub::Plain) => self.r.number(),
            Some(_) => self.r.of(&[0, 0, 0, 1]),
        };
        self.imm(0, value);
        self.code.push(Insn::Exit);
    }

    pub fn store_imm(&mut self, size: Size, off: i16, imm: i32) {
        self.code.push(Insn::Store {
            size,
            base: Reg::R10,
            off,
            src: Src::Imm(imm),
        });
    }

    pub fn imm(&mut self, dst: usize, value: i32) {
        self.code.push(Insn::Mov {
            width: Width::W64,
            dst: reg(dst),
            src: Src::Imm(value),
        });
        self.is[dst] = Is::Number;
    }

    pub fn mov(&mut self, dst: usize, src: usize) {
        self.code.push(Insn::Mov {
            width: Width::W64,
            dst: reg(dst),
            src: Src::Reg(reg(src)),
        });
        self.is[dst] = self.is[src];
    }

    pub fn alu(&mut self, op: AluOp, dst: usize, src: Src) {
        self.code.push(Insn::Alu {
            op,
            width: Width::W64,
            dst: reg(dst),
            src,
        });
    }

    pub fn map(&mut self, dst: usize, index: u32) {
        self.code.push(Insn::LoadImm64 {
            dst: reg(dst),
            imm: Imm64::MapIdx(index),
        });
        self.code.push(Insn::Imm64High);
        self.is[dst] = Is::Nothing;
    }

    pub fn width(&mut self) -> Width {
        match self.on(Features::ALU32) {
            true => self.r.of(&[Width::W32, Width::W64, Width::W64]),
            false => Width::W64,
        }
    }

    /// A register of this kind, if there is one; now and then just any register.
    pub fn pick(&mut self, is: Is) -> Option<usize> {
        if self.on(Features::MISTAKES) && self.r.once_in(300) {
            return Some(self.r.below(11) as usize);
        }
        let all: Vec<usize> = (0..11).filter(|n| self.is[*n] == is).collect();
        (!all.is_empty()).then(|| self.r.of(&all))
    }

    /// A register to write to; r6 keeps the context.
    pub fn dst(&mut self) -> usize {
        self.r.of(&[0, 1, 2, 3, 4, 5, 7, 8, 9])
    }

    pub fn source(&mut self) -> Src {
        if self.r.once_in(2)
            && let Some(n) = self.pick(Is::Number)
        {
            return Src::Reg(reg(n));
        }
        Src::Imm(self.r.number())
    }

    /// The stack's address in a register.
    pub fn stack(&mut self, dst: usize, off: i32) {
        self.mov(dst, 10);
        self.alu(AluOp::Add, dst, Src::Imm(off));
    }

    /// Leaves the program if the register is NULL.
    pub fn check(&mut self, n: usize) {
        self.guard(JmpOp::Ne, Width::W64, n, Src::Imm(0));
        for m in 0..11 {
            // A copy made before is not NULL either.
            if self.is[m] == Is::MaybeValue && (m == n || m == 9) {
                self.is[m] = Is::Value;
            }
        }
    }

    /// Leaves the program unless the comparison holds.
    pub fn guard(&mut self, op: JmpOp, width: Width, dst: usize, src: Src) {
        let at = self.code.len();
        self.code.push(Insn::Exit);
        let kept = self.is;
        self.end();
        self.is = kept;
        self.jump_here(at, op, width, dst, src);
    }

    /// Makes the instruction at `at` a jump to here.
    fn jump_here(&mut self, at: usize, op: JmpOp, width: Width, dst: usize, src: Src) {
        self.code[at] = Insn::JumpIf {
            op,
            width,
            dst: reg(dst),
            src,
            rel: (self.code.len() - at - 1) as i16,
        };
    }

    pub fn lines(&mut self, count: u64, depth: u32) {
        for _ in 0..count {
            self.line(depth);
        }
    }

    fn line(&mut self, depth: u32) {
        use Features as F;
        // What, how often, and the feature that it takes.
        type Line = fn(&mut Generator<'_>, u32);
        const LINES: &[(Line, u64, F)] = &[
            (|g, _| g.arithmetic(), 6, F::NONE),
            (|g, _| g.copy(), 1, F::NONE),
            (|g, _| g.constant(), 1, F::NONE),
            (|g, _| g.load(), 3, F::NONE),
            (|g, _| g.store(), 2, F::NONE),
            (|g, _| g.extend(), 1, F::SIGN_EXTENSION),
            (|g, _| g.swap(), 1, F::BYTE_SWAP),
            (|g, _| g.divide(), 2, F::DIVISION),
            (|g, _| g.index(Is::Value), 3, F::INDEX),
            (|g, _| g.index(Is::Packet), 1, F::PACKET),
            (|g, _| g.index(Is::Stack), 2, F::VARIABLE_STACK),
            (|g, _| g.linked(), 2, F::LINK),
            (|g, _| g.context(), 1, F::CONTEXT),
            (|g, _| g.spill(), 2, F::SPILL),
            (|g, _| g.fill(), 2, F::SPILL),
            (|g, _| g.packet(), 2, F::PACKET),
            (|g, _| g.legacy(), 1, F::LEGACY_PACKET),
            (|g, _| g.helper(), 4, F::HELPER),
            (|g, _| g.tail_call(), 1, F::TAIL_CALL),
            (|g, _| g.record(), 2, F::RECORD),
            (|g, _| g.atomic(), 2, F::ATOMIC),
            (|g, _| g.ordered(), 1, F::ACQUIRE_RELEASE),
            (|g, _| g.lookups(), 1, F::LOOKUP),
            (|g, _| g.null_check(), 1, F::LOOKUP),
            (|g, d| g.branch(d), 3, F::BRANCH),
            (|g, d| g.repeat(d), 1, F::LOOP),
            (|g, d| g.may_goto(d), 1, F::MAY_GOTO),
            (|g, _| g.subprogram_call(), 1, F::SUBPROGRAM),
            (|g, _| g.callback_call(), 1, F::CALLBACK),
        ];
        let on = |f: F| f == F::NONE || self.on(f);
        let all: u64 = LINES.iter().filter(|l| on(l.2)).map(|l| l.1).sum();
        let mut at = self.r.next() % all;
        for (line, weight, feature) in LINES {
            if !(*feature == F::NONE || self.on(*feature)) {
                continue;
            }
            if at < *weight {
                return line(self, depth);
            }
            at -= weight;
        }
    }

    fn arithmetic(&mut self) {
        let Some(dst) = self.pick(Is::Number) else {
            return;
        };
        let (op, width) = (self.r.of(&ALU), self.width());
        if self.r.once_in(10) {
            self.code.push(Insn::Neg {
                width,
                dst: reg(dst),
            });
            return;
        }
        if width == Width::W32 && self.r.once_in(5) {
            let src = self.source();
            self.code.push(Insn::Mov {
                width,
                dst: reg(dst),
                src,
            });
            return;
        }
        let src = match (op, self.source()) {
            (op, Src::Imm(i)) if is_shift(op) => Src::Imm(i.rem_euclid(width.bits() as i32)),
            (op, _) if is_shift(op) && !self.on(Features::SHIFT_BY_REGISTER) => {
                Src::Imm(self.r.below(width.bits().into()) as i32)
            }
            (_, Src::Reg(r)) if r == reg(dst) && !self.on(Features::SAME_OPERAND) => Src::Imm(5),
            (_, src) => src,
        };
        self.code.push(Insn::Alu {
            op,
            width,
            dst: reg(dst),
            src,
        });
    }

    fn divide(&mut self) {
        let Some(dst) = self.pick(Is::Number) else {
            return;
        };
        let (op, width) = (self.r.of(&DIVISIONS), self.width());
        let src = match self.source() {
            Src::Imm(0) => Src::Imm(3),
            src => src,
        };
        self.code.push(Insn::Alu {
            op,
            width,
            dst: reg(dst),
            src,
        });
    }

    fn extend(&mut self) {
        let (Some(dst), Some(src)) = (self.pick(Is::Number), self.pick(Is::Number)) else {
            return;
        };
        let width = self.width();
        let from = match width {
            Width::W64 => self.r.of(&[Size::B, Size::H, Size::W]),
            Width::W32 => self.r.of(&[Size::B, Size::H]),
        };
        self.code.push(Insn::MovSx {
            width,
            dst: reg(dst),
            src: reg(src),
            from,
        });
    }

    fn swap(&mut self) {
        let Some(dst) = self.pick(Is::Number) else {
            return;
        };
        self.code.push(Insn::Swap {
            op: self.r.of(&[SwapOp::ToLe, SwapOp::ToBe, SwapOp::Bswap]),
            dst: reg(dst),
            bits: self.r.of(&[16, 32, 64]),
        });
    }

    fn copy(&mut self) {
        let (dst, from) = (self.dst(), self.r.below(11) as usize);
        if self.is[from] != Is::Nothing {
            self.mov(dst, from);
        }
    }

    fn constant(&mut self) {
        let dst = self.dst();
        if self.r.once_in(3) {
            let word = self.r.word();
            self.code.push(Insn::LoadImm64 {
                dst: reg(dst),
                imm: Imm64::Value(word),
            });
            self.code.push(Insn::Imm64High);
            self.is[dst] = Is::Number;
            return;
        }
        let number = self.r.number();
        self.imm(dst, number);
    }

    /// A pointer and an offset within what it points to, mostly.
    pub fn place(&mut self, size: Size) -> Option<(usize, i16)> {
        let kinds = [Is::Stack, Is::Value, Is::Value, Is::Packet, Is::Record];
        let is = self.r.of(&kinds);
        let base = self.pick(is).or_else(|| self.pick(Is::Stack))?;
        let bytes = size.bytes() as i16;
        let unaligned = self.on(Features::MISTAKES) && self.r.once_in(40);
        let step = if unaligned { 1 } else { bytes };
        let off = self.r.below((16 / step) as u64) as i16 * step;
        let off = if self.is[base] == Is::Stack {
            off - 32
        } else {
            off
        };
        if self.on(Features::MISTAKES) && self.r.once_in(150) {
            return Some((base, self.r.number() as i16));
        }
        Some((base, off))
    }

    fn load(&mut self) {
        let size = self.r.of(&SIZES);
        let dst = self.dst();
        let Some((base, off)) = self.place(size) else {
            return;
        };
        let signed = size != Size::DW && self.on(Features::SIGN_EXTENSION) && self.r.once_in(3);
        self.code.push(Insn::Load {
            size,
            signed,
            dst: reg(dst),
            base: reg(base),
            off,
        });
        self.is[dst] = Is::Number;
    }

    pub fn store(&mut self) {
        let size = self.r.of(&SIZES);
        let src = self.source();
        let Some((base, off)) = self.place(size) else {
            return;
        };
        self.code.push(Insn::Store {
            size,
            base: reg(base),
            off,
            src,
        });
    }

    /// Brings a number into bounds, mostly.
    fn bound(&mut self, number: usize) {
        let limit = self.r.of(&[15, 15, 15, 12, 7, 16]);
        let careless = if self.on(Features::MISTAKES) {
            12
        } else {
            1 << 32
        };
        if self.r.once_in(careless) {
            return;
        }
        match self.r.below(8) {
            0..=2 => {
                let mask = self.r.of(&[15, 7, 8, 12, 11]);
                self.alu(AluOp::And, number, Src::Imm(mask));
            }
            3 => {
                let shift = self.r.of(&[60, 61]);
                self.alu(AluOp::Rsh, number, Src::Imm(shift));
            }
            4 if self.on(Features::DIVISION) => {
                self.alu(AluOp::Mod, number, Src::Imm(limit));
            }
            _ => {
                let ops = [JmpOp::Le, JmpOp::Le, JmpOp::Lt, JmpOp::Le, JmpOp::SLe];
                let op = self.r.of(&ops);
                let width = self.width();
                self.guard(op, width, number, Src::Imm(limit));
                if op == JmpOp::SLe && !self.r.once_in(4) {
                    self.guard(JmpOp::SGe, width, number, Src::Imm(0));
                }
                if width == Width::W32 && !self.r.once_in(4) {
                    self.code.push(Insn::Mov {
                        width,
                        dst: reg(number),
                        src: Src::Reg(reg(number)),
                    });
                }
            }
        }
    }

    /// A pointer plus a number that was brought into bounds, mostly.
    fn index(&mut self, is: Is) {
        let (Some(base), Some(number)) = (self.pick(is), self.pick(Is::Number)) else {
            return;
        };
        let dst = self.dst();
        if dst == number || self.is[dst] == Is::Record || self.is[dst] == Is::Stack {
            return;
        }
        self.bound(number);
        self.access(dst, base, number);
    }

    /// Accesses `base + number`, by way of `dst`.
    fn access(&mut self, dst: usize, base: usize, number: usize) {
        let stack = self.is[base] == Is::Stack;
        if self.r.once_in(4) && !stack {
            let width = self.r.of(&[1, 4]);
            self.alu(AluOp::And, number, Src::Imm(16 - width));
        }
        self.mov(dst, base);
        if stack {
            let off = self.r.of(&[-16, -32, -32, -24]);
            self.alu(AluOp::Add, dst, Src::Imm(off));
        }
        let op = match self.on(Features::MISTAKES) && self.r.once_in(8) {
            true => AluOp::Sub,
            false => AluOp::Add,
        };
        self.alu(op, dst, Src::Reg(reg(number)));
        // Accesses at a variable offset of the stack are aligned or of one byte.
        let size = match self.r.below(if stack { 9 } else { 6 }) {
            0 => Size::W,
            1 => Size::DW,
            _ => Size::B,
        };
        if stack && size != Size::B {
            let bytes = size.bytes() as i32;
            self.code.pop();
            self.alu(AluOp::And, number, Src::Imm(16 - bytes));
            self.alu(op, dst, Src::Reg(reg(number)));
        }
        let into = self.dst();
        self.is[dst] = Is::Nothing;
        if self.r.once_in(2) {
            self.is[into] = Is::Number;
            self.code.push(Insn::Load {
                size,
                signed: size != Size::DW && self.on(Features::SIGN_EXTENSION) && self.r.once_in(4),
                dst: reg(into),
                base: reg(dst),
                off: 0,
            });
        } else {
            let src = match self.r.below(3) {
                0 => Src::Imm(0),
                1 => self.source(),
                _ => Src::Imm(5),
            };
            if src.reg().is_some_and(|s| s == reg(dst)) {
                return;
            }
            self.code.push(Insn::Store {
                size,
                base: reg(dst),
                off: 0,
                src,
            });
        }
    }

    /// A guard on a copy that is a little further, by way of the stack or not, which bounds the number itself.
    fn linked(&mut self) {
        let (Some(base), Some(number)) = (self.pick(Is::Value), self.pick(Is::Number)) else {
            return;
        };
        let (copy, dst) = (self.dst(), self.dst());
        let used = [Is::Value, Is::Stack, Is::Record];
        if copy == number || copy == dst || dst == number || used.contains(&self.is[copy]) {
            return;
        }
        let more = self.r.of(&[0, 0, 1, 4, -1, 100]);
        if self.r.once_in(4) {
            self.code.push(Insn::Store {
                size: Size::DW,
                base: Reg::R10,
                off: -40,
                src: Src::Reg(reg(number)),
            });
            self.code.push(Insn::Load {
                size: Size::DW,
                signed: false,
                dst: reg(copy),
                base: Reg::R10,
                off: -40,
            });
            self.is[copy] = Is::Number;
        } else {
            self.mov(copy, number);
        }
        if more != 0 {
            self.alu(AluOp::Add, copy, Src::Imm(more));
        }
        if more < 0 {
            self.guard(JmpOp::SGe, Width::W64, copy, Src::Imm(0));
        }
        self.guard(JmpOp::Le, Width::W64, copy, Src::Imm(15 + more));
        if more > 0 {
            self.guard(JmpOp::Ge, Width::W64, copy, Src::Imm(more));
        }
        if base != dst {
            self.access(dst, base, number);
        }
    }

    fn context(&mut self) {
        let Some(base) = self.pick(Is::Context) else {
            return;
        };
        let dst = self.dst();
        if self.is[dst] == Is::Record {
            return;
        }
        // Fields that may be read as they are; with mistakes any.
        let (size, off) = match (self.on(Features::MISTAKES), self.kind.section) {
            (true, _) if self.r.once_in(4) => (
                self.r.of(&[Size::W, Size::W, Size::DW, Size::H, Size::B]),
                self.r.below(50) as i16 * 4,
            ),
            (_, "xdp") => (Size::W, self.r.of(&[12, 16])),
            (_, "socket" | "tc" | "cgroup_skb/egress") => (Size::W, self.r.of(&[0, 4, 8, 16])),
            (_, _) => (Size::DW, self.r.below(8) as i16 * 8 + 8),
        };
        if self.on(Features::MISTAKES) && self.r.once_in(6) {
            self.code.push(Insn::Store {
                size,
                base: reg(base),
                off,
                src: Src::Imm(1),
            });
            return;
        }
        self.code.push(Insn::Load {
            size,
            signed: false,
            dst: reg(dst),
            base: reg(base),
            off,
        });
        self.is[dst] = Is::Number;
    }

    /// Stores a register whole, or a part of a number, and sometimes loads some of it again.
    fn spill(&mut self) {
        let src = self.r.below(10) as usize;
        if self.is[src] == Is::Nothing {
            return;
        }
        let slot = -8 * (1 + self.r.below(5) as i16);
        let number = self.is[src] == Is::Number;
        let size = match number {
            true => self.r.of(&[Size::B, Size::H, Size::W, Size::DW, Size::DW]),
            false => Size::DW,
        };
        let off = match number && self.r.once_in(4) {
            true => slot + self.r.below(8 / size.bytes() as u64) as i16 * size.bytes() as i16,
            false => slot,
        };
        self.code.push(Insn::Store {
            size,
            base: Reg::R10,
            off,
            src: Src::Reg(reg(src)),
        });
        if self.r.once_in(2) {
            let dst = self.dst();
            let size = match number && self.r.once_in(3) {
                true => self.r.of(&SIZES),
                false => size,
            };
            self.code.push(Insn::Load {
                size,
                signed: false,
                dst: reg(dst),
                base: Reg::R10,
                off: off / size.bytes() as i16 * size.bytes() as i16,
            });
            self.is[dst] = if number { Is::Number } else { self.is[src] };
        }
    }

    fn fill(&mut self) {
        let dst = self.dst();
        let size = self.r.of(&[Size::DW, Size::DW, Size::W, Size::H, Size::B]);
        let bytes = size.bytes() as i16;
        let off = -40 + self.r.below(40 / bytes as u64) as i16 * bytes;
        self.code.push(Insn::Load {
            size,
            signed: size != Size::DW && self.on(Features::SIGN_EXTENSION) && self.r.once_in(3),
            dst: reg(dst),
            base: Reg::R10,
            off,
        });
        self.is[dst] = Is::Number;
    }

    fn atomic(&mut self) {
        let size = self.r.of(&[Size::W, Size::DW, Size::DW]);
        let fetch = self.r.once_in(2);
        let op = match self.r.below(6) {
            0 => AtomicOp::Or { fetch },
            1 => AtomicOp::And { fetch },
            2 => AtomicOp::Xor { fetch },
            3 => AtomicOp::Xchg,
            4 if self.is[0] == Is::Number => AtomicOp::Cmpxchg,
            _ => AtomicOp::Add { fetch },
        };
        let is = self.r.of(&[Is::Stack, Is::Value, Is::Record]);
        let (Some(base), Some(src)) = (self.pick(is), self.pick(Is::Number)) else {
            return;
        };
        let off = self.r.below(16 / size.bytes() as u64) as i16 * size.bytes() as i16;
        self.code.push(Insn::Atomic {
            op,
            size,
            base: reg(base),
            off: if self.is[base] == Is::Stack {
                off - 32
            } else {
                off
            },
            src: reg(src),
        });
    }

    fn ordered(&mut self) {
        let size = self.r.of(&SIZES);
        let is = self.r.of(&[Is::Stack, Is::Value]);
        let (Some(base), Some(src)) = (self.pick(is), self.pick(Is::Number)) else {
            return;
        };
        let off = self.r.below(16 / size.bytes() as u64) as i16 * size.bytes() as i16;
        let off = if self.is[base] == Is::Stack {
            off - 32
        } else {
            off
        };
        let dst = self.dst();
        if self.r.once_in(2) {
            self.is[dst] = Is::Number;
            self.code.push(Insn::LoadAcquire {
                size,
                dst: reg(dst),
                base: reg(base),
                off,
            });
        } else {
            self.code.push(Insn::StoreRelease {
                size,
                base: reg(base),
                off,
                src: reg(src),
            });
        }
    }

    fn lookups(&mut self) {
        let maps = match self.on(Features::MISTAKES) {
            true => [ARRAY, CELLS, HASH, HASH, CELLS, PROGRAMS],
            false => [ARRAY, CELLS, HASH, HASH, CELLS, HASH],
        };
        let map = self.r.of(&maps);
        self.lookup(map);
    }

    fn null_check(&mut self) {
        if let Some(n) = self.pick(Is::MaybeValue) {
            self.check(n);
        }
    }

    /// One way or two; a register that they leave otherwise holds nothing behind them.
    fn branch(&mut self, depth: u32) {
        if depth == 0 {
            return self.arithmetic();
        }
        let at = self.code.len();
        let width = self.width();
        let (dst, src) = match self.r.below(8) {
            0 => {
                // Pointers against each other.
                let is = self.r.of(&[Is::Value, Is::MaybeValue, Is::Packet]);
                match (self.pick(is), self.pick(is)) {
                    (Some(a), Some(b)) => (a, Src::Reg(reg(b))),
                    _ => return,
                }
            }
            1 => match self.pick(Is::MaybeValue) {
                Some(n) => (n, Src::Imm(0)),
                None => return,
            },
            _ => match self.pick(Is::Number) {
                Some(n) => (n, self.source()),
                None => return,
            },
        };
        let width = match self.is[dst] {
            Is::Number => width,
            _ => Width::W64,
        };
        let op = self.r.of(&JUMPS);
        self.code.push(Insn::Exit);
        let before = self.is;
        let count = 1 + self.r.below(5);
        self.lines(count, depth - 1);
        if !self.r.once_in(3) {
            self.meet(before);
            return self.jump_here(at, op, width, dst, src);
        }
        let over = self.code.len();
        self.code.push(Insn::Exit);
        self.jump_here(at, op, width, dst, src);
        let first = std::mem::replace(&mut self.is, before);
        let count = 1 + self.r.below(5);
        self.lines(count, depth - 1);
        self.meet(first);
        self.code[over] = Insn::Jump {
            rel: (self.code.len() - over - 1) as i32,
            long: false,
        };
    }

    /// Behind a branch, registers hold what they hold on both ways.
    fn meet(&mut self, other: [Is; 11]) {
        for (is, was) in self.is.iter_mut().zip(other) {
            if *is != was {
                *is = Is::Nothing;
            }
        }
    }

    /// A loop that counts, mostly, in a register or on the stack, up or down.
    fn repeat(&mut self, depth: u32) {
        if self.loops >= 2 {
            return self.arithmetic();
        }
        self.loops += 1;
        let counter = self.r.of(&[7, 8]);
        let slot = -48 - 8 * self.loops as i16;
        let spilled = self.r.once_in(3);
        let down = self.r.once_in(4);
        let limit = 1 + self.r.below(12) as i32;
        let step = self.r.of(&[1, 1, 1, 2, 3]);
        if spilled {
            self.store_imm(Size::DW, slot, if down { limit * step } else { 0 });
        }
        self.imm(counter, if down { limit * step } else { 0 });
        let start = self.code.len();
        let before = self.is;
        let lines = 1 + self.r.below(3);
        self.lines(lines, depth.saturating_sub(1).min(1));
        let add = if down { -step } else { step };
        if spilled {
            self.code.push(Insn::Load {
                size: Size::DW,
                signed: false,
                dst: reg(counter),
                base: Reg::R10,
                off: slot,
            });
        }
        self.is[counter] = Is::Number;
        self.alu(AluOp::Add, counter, Src::Imm(add));
        if spilled {
            self.code.push(Insn::Store {
                size: Size::DW,
                base: Reg::R10,
                off: slot,
                src: Src::Reg(reg(counter)),
            });
        }
        let (op, to) = match (down, self.r.below(4)) {
            (true, 0) => (JmpOp::SGt, 0),
            (true, _) => (JmpOp::Ne, 0),
            (false, 0) => (JmpOp::Ne, limit * step),
            (false, 1) => (JmpOp::SLt, limit * step),
            (false, _) => (JmpOp::Lt, limit * step),
        };
        let src = match self.pick(Is::Number) {
            Some(n) if self.on(Features::MISTAKES) && self.r.once_in(6) => Src::Reg(reg(n)),
            _ => Src::Imm(to),
        };
        let rel = start as i64 - self.code.len() as i64 - 1;
        let width = self.width();
        self.code.push(Insn::JumpIf {
            op,
            width,
            dst: reg(counter),
            src,
            rel: rel as i16,
        });
        self.meet(before);
        self.loops -= 1;
    }

    /// A loop that `may_goto` ends, or a comparison of its own.
    fn may_goto(&mut self, depth: u32) {
        if self.loops >= 1 {
            return self.arithmetic();
        }
        self.loops += 1;
        let counter = self.r.of(&[7, 8]);
        self.imm(counter, 0);
        let start = self.code.len();
        let before = self.is;
        self.code.push(Insn::Exit);
        let lines = 1 + self.r.below(3);
        self.lines(lines, depth.saturating_sub(1).min(1));
        let out = (self.is[counter] == Is::Number).then(|| {
            self.alu(AluOp::Add, counter, Src::Imm(1));
            self.code.push(Insn::Exit);
            self.code.len() - 1
        });
        let rel = start as i64 - self.code.len() as i64 - 1;
        self.code.push(Insn::Jump {
            rel: rel as i32,
            long: false,
        });
        self.meet(before);
        if let Some(at) = out {
            let limit = 1 + self.r.below(20) as i32;
            self.jump_here(at, JmpOp::Gt, Width::W64, counter, Src::Imm(limit));
        }
        self.code[start] = Insn::MayGoto {
            rel: (self.code.len() - start - 1) as i16,
        };
        self.loops -= 1;
    }
}
