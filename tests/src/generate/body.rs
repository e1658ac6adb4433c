//! Lines of a program: which there are, and arithmetic.

use probity_isa::{AluOp, Imm64, Insn, JmpOp, Reg, Size, Src, SwapOp, Width};

use super::{ARRAY, Features, Kind, Rng, reg};

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
    /// One that the program allocated: 16 plain bytes come first.
    Structure,
    /// Anywhere in the arena, or beside it.
    Arena,
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
    /// By `bpf_rbtree_add`.
    Less,
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
    /// It is much about structures that it allocates.
    pub structures: bool,
    /// It has strings compared and searched, and bits walked.
    pub texts: bool,
    /// It has an arena.
    pub arena: bool,
    /// One lies in the frame, and the function must give it away.
    pub held: bool,
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
pub(super) const JUMPS: [JmpOp; 11] = [
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
pub(super) const SIZES: [Size; 4] = [Size::B, Size::H, Size::W, Size::DW];

fn is_shift(op: AluOp) -> bool {
    matches!(op, AluOp::Lsh | AluOp::Rsh | AluOp::Arsh)
}

impl<'r> Generator<'r> {
    pub fn new(r: &'r mut Rng, kind: Kind, features: Features) -> Generator<'r> {
        let structures = kind.locks && features.has(Features::STRUCTURE) && r.once_in(2);
        let arena = !structures && features.has(Features::ARENA) && r.once_in(3);
        let texts = !structures && !arena && features.has(Features::TEXT) && r.once_in(3);
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
            structures,
            arena,
            texts,
            held: false,
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
        self.drop_held();
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

    pub fn lines(&mut self, count: u64, depth: u32) {
        for _ in 0..count {
            self.line(depth);
        }
    }

    pub(super) fn line(&mut self, depth: u32) {
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
            (|g, d| g.structure(d), 12, F::STRUCTURE),
            (|g, _| g.arena(), 12, F::ARENA),
            (|g, _| g.text(), 4, F::TEXT),
            (|g, _| g.bits(), 1, F::TEXT),
        ];
        // Where locks may not be taken, no map with one may be used.
        let mut features = self.features;
        if !self.structures {
            features = features.without(F::STRUCTURE);
        }
        if !self.arena {
            features = features.without(F::ARENA);
        }
        if !self.texts {
            features = features.without(F::TEXT);
        }
        let on = |f: F| f == F::NONE || features.has(f);
        let all: u64 = LINES.iter().filter(|l| on(l.2)).map(|l| l.1).sum();
        let mut at = self.r.next() % all;
        for (line, weight, feature) in LINES {
            if !on(*feature) {
                continue;
            }
            if at < *weight {
                return line(self, depth);
            }
            at -= weight;
        }
    }

    pub(super) fn arithmetic(&mut self) {
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

    pub(super) fn divide(&mut self) {
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

    pub(super) fn extend(&mut self) {
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

    pub(super) fn swap(&mut self) {
        let Some(dst) = self.pick(Is::Number) else {
            return;
        };
        self.code.push(Insn::Swap {
            op: self.r.of(&[SwapOp::ToLe, SwapOp::ToBe, SwapOp::Bswap]),
            dst: reg(dst),
            bits: self.r.of(&[16, 32, 64]),
        });
    }

    pub(super) fn copy(&mut self) {
        let (dst, from) = (self.dst(), self.r.below(11) as usize);
        if self.is[from] != Is::Nothing {
            self.mov(dst, from);
        }
    }

    pub(super) fn constant(&mut self) {
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
}
