//! Random programs that are mostly right: registers have kinds, and a line picks registers of the kinds it
//! needs, but for every so often.
//!
//! Maps: 0 an array and 1 a hash of 16-byte values, 2 a ring buffer, 3 an array of programs, 4 perf events.

use probity_isa::{AluOp, AtomicOp, CallTarget, Imm64, Insn, JmpOp, Reg, Size, Src, SwapOp, Width};

pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Numbers at which arithmetic and bounds go wrong.
    pub fn number(&mut self) -> i32 {
        let base = self.of(&[
            0u64,
            1,
            2,
            7,
            8,
            15,
            16,
            0xff,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
        ]);
        let base = match self.below(4) {
            0 => base.wrapping_neg(),
            1 => self.next() >> self.below(64),
            _ => base,
        };
        base.wrapping_add(self.below(3)).wrapping_sub(1) as i32
    }
}

/// What a register most likely holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    Nothing,
    Number,
    Context,
    Value,
    MaybeValue,
    Stack,
    Packet,
    PacketEnd,
    Record,
}

/// A kind of program as the generator sees it.
#[derive(Clone, Copy)]
pub struct Kind {
    pub section: &'static str,
    /// Offsets of the packet's bounds in the context.
    pub packet: Option<(i16, i16)>,
    pub legacy: bool,
    pub tracing: bool,
}

pub const KINDS: &[Kind] = &[
    kind("socket", None, true, false),
    kind("xdp", Some((0, 4)), false, false),
    kind("tc", Some((76, 80)), true, false),
    kind("cgroup_skb/egress", Some((76, 80)), true, false),
    kind("kprobe/x", None, false, true),
    kind("tp/a/b", None, false, true),
    kind("raw_tp/x", None, false, true),
    kind("perf_event", None, false, true),
];

const fn kind(
    section: &'static str,
    packet: Option<(i16, i16)>,
    legacy: bool,
    tracing: bool,
) -> Kind {
    Kind {
        section,
        packet,
        legacy,
        tracing,
    }
}

pub struct Program {
    pub code: Vec<Insn>,
    pub subprogs: Vec<(String, usize)>,
}

pub fn program(r: &mut Rng, kind: Kind) -> Program {
    let mut g = Generator {
        r,
        kind,
        code: Vec::new(),
        is: [Is::Nothing; 11],
        calls: Vec::new(),
        inside: false,
    };
    g.entry();
    let lines = g.r.of(&[6, 12, 25, 40]);
    g.lines(lines, 3);
    g.end();
    let mut subprogs = Vec::new();
    let calls = std::mem::take(&mut g.calls);
    let count = calls.iter().map(|c| c.1 + 1).max().unwrap_or(0);
    for n in 0..count {
        let start = g.code.len();
        subprogs.push((format!("sub{n}"), start));
        for (at, _) in calls.iter().filter(|c| c.1 == n) {
            let rel = start as i32 - *at as i32 - 1;
            g.code[*at] = Insn::Call(CallTarget::Subprog { rel });
        }
        g.subprogram();
    }
    Program {
        code: g.code,
        subprogs,
    }
}

struct Generator<'r> {
    r: &'r mut Rng,
    kind: Kind,
    code: Vec<Insn>,
    is: [Is; 11],
    /// Calls to patch: where, and which subprogram.
    calls: Vec<(usize, usize)>,
    /// Within a subprogram.
    inside: bool,
}

/// No divisions: Linux takes what they leave for unknown, and our ranges for them have a test of their own.
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

fn reg(n: usize) -> Reg {
    Reg::new(n as u8).expect("a register")
}

impl Generator<'_> {
    fn entry(&mut self) {
        self.is = [Is::Nothing; 11];
        self.is[1] = Is::Context;
        self.is[10] = Is::Stack;
        self.mov(6, 1);
        // Linux takes no program whose stack bytes are read before they are written by a helper's size.
        for slot in 1..=4 {
            self.code.push(Insn::Store {
                size: Size::DW,
                base: Reg::R10,
                off: -8 * slot,
                src: Src::Imm(0),
            });
        }
        self.imm(7, 3);
        self.lookup(0);
        let imm = self.r.number();
        self.imm(8, imm);
    }

    fn end(&mut self) {
        let value = self.r.of(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 7, -1]);
        self.imm(0, value);
        self.code.push(Insn::Exit);
    }

    fn subprogram(&mut self) {
        self.is = [Is::Nothing; 11];
        self.is[1] = Is::Context;
        self.is[2] = Is::Number;
        self.is[10] = Is::Stack;
        self.inside = true;
        self.mov(6, 1);
        self.mov(7, 2);
        self.code.push(Insn::Store {
            size: Size::DW,
            base: Reg::R10,
            off: -8,
            src: Src::Imm(0),
        });
        self.is[3] = Is::Nothing;
        self.lines(4, 1);
        if self.is[7] == Is::Number && !self.r.once_in(3) {
            self.mov(0, 7);
            self.code.push(Insn::Exit);
        } else {
            self.end();
        }
    }

    fn imm(&mut self, dst: usize, value: i32) {
        self.code.push(Insn::Mov {
            width: Width::W64,
            dst: reg(dst),
            src: Src::Imm(value),
        });
        self.is[dst] = Is::Number;
    }

    fn mov(&mut self, dst: usize, src: usize) {
        self.code.push(Insn::Mov {
            width: Width::W64,
            dst: reg(dst),
            src: Src::Reg(reg(src)),
        });
        self.is[dst] = self.is[src];
    }

    fn alu(&mut self, op: AluOp, dst: usize, src: Src) {
        self.code.push(Insn::Alu {
            op,
            width: Width::W64,
            dst: reg(dst),
            src,
        });
    }

    fn map(&mut self, dst: usize, index: u32) {
        self.code.push(Insn::LoadImm64 {
            dst: reg(dst),
            imm: Imm64::MapIdx(index),
        });
        self.code.push(Insn::Imm64High);
        self.is[dst] = Is::Nothing;
    }

    fn call(&mut self, helper: u32, result: Is) {
        self.code.push(Insn::Call(CallTarget::Helper(helper)));
        self.called(result);
    }

    fn called(&mut self, result: Is) {
        self.is[0] = result;
        self.is[1..=5].fill(Is::Nothing);
    }

    fn width(&mut self) -> Width {
        self.r.of(&[Width::W32, Width::W64, Width::W64])
    }

    /// A register of this kind, if there is one; now and then just any register.
    fn pick(&mut self, is: Is) -> Option<usize> {
        if self.r.once_in(120) {
            return Some(self.r.below(11) as usize);
        }
        let all: Vec<usize> = (0..11).filter(|n| self.is[*n] == is).collect();
        (!all.is_empty()).then(|| self.r.of(&all))
    }

    /// A register to write to; r6 keeps the context.
    fn dst(&mut self) -> usize {
        self.r.of(&[0, 1, 2, 3, 4, 5, 7, 8, 9])
    }

    fn source(&mut self) -> Src {
        if self.r.once_in(2)
            && let Some(n) = self.pick(Is::Number)
        {
            return Src::Reg(reg(n));
        }
        Src::Imm(self.r.number())
    }

    /// The stack's address in a register.
    fn stack(&mut self, dst: usize, off: i32) {
        self.mov(dst, 10);
        self.alu(AluOp::Add, dst, Src::Imm(off));
    }

    /// Looks up in a map; the result may be checked at once.
    fn lookup(&mut self, map: u32) {
        self.code.push(Insn::Store {
            size: Size::W,
            base: Reg::R10,
            off: -4,
            src: Src::Imm(0),
        });
        self.stack(2, -4);
        self.map(1, map);
        self.call(1, Is::MaybeValue);
        if !self.r.once_in(8) {
            self.mov(9, 0);
            if !self.r.once_in(8) {
                self.check(0);
                self.is[9] = Is::Value;
            }
        }
    }

    /// Leaves the program if the register is NULL.
    fn check(&mut self, n: usize) {
        self.code.push(Insn::JumpIf {
            op: JmpOp::Ne,
            width: Width::W64,
            dst: reg(n),
            src: Src::Imm(0),
            rel: 2,
        });
        let kept = self.is;
        self.end();
        self.is = kept;
        self.is[n] = match self.is[n] {
            Is::MaybeValue => Is::Value,
            other => other,
        };
    }

    fn lines(&mut self, count: u64, depth: u32) {
        for _ in 0..count {
            self.line(depth);
        }
    }

    fn line(&mut self, depth: u32) {
        match self.r.below(34) {
            0..=5 => self.arithmetic(),
            6 => {
                let (dst, from) = (self.dst(), self.r.below(11) as usize);
                if self.is[from] != Is::Nothing {
                    self.mov(dst, from);
                }
            }
            7 => {
                let (dst, number) = (self.dst(), self.r.number());
                self.imm(dst, number);
            }
            8..=10 => self.load(),
            11..=12 => self.store(),
            13..=15 => self.index(),
            16 => self.context(),
            17 => self.spill(),
            18 => self.fill(),
            19..=20 => self.packet(),
            21..=25 => self.helper(),
            26 => self.atomic(),
            27 => {
                let map = self.r.of(&[0, 0, 1, 1, 1, 3]);
                self.lookup(map);
            }
            28 => {
                if let Some(n) = self.pick(Is::MaybeValue) {
                    self.check(n);
                }
            }
            29..=31 if depth > 0 => self.branch(depth),
            32 if depth > 0 => self.repeat(),
            33 if !self.inside => self.subprogram_call(),
            _ => self.arithmetic(),
        }
    }

    fn arithmetic(&mut self) {
        let Some(dst) = self.pick(Is::Number) else {
            return;
        };
        let (op, width) = (self.r.of(&ALU), self.width());
        match self.r.below(12) {
            0 => {
                let from = self.r.of(&[Size::B, Size::H]);
                let Some(src) = self.pick(Is::Number) else {
                    return;
                };
                self.code.push(Insn::MovSx {
                    width,
                    dst: reg(dst),
                    src: reg(src),
                    from,
                });
                return;
            }
            1 => {
                self.code.push(Insn::Neg {
                    width,
                    dst: reg(dst),
                });
                return;
            }
            2 => {
                let (op, bits) = (
                    self.r.of(&[SwapOp::ToLe, SwapOp::ToBe]),
                    self.r.of(&[16, 32, 64]),
                );
                self.code.push(Insn::Swap {
                    op,
                    dst: reg(dst),
                    bits,
                });
                return;
            }
            _ => {}
        }
        let src = match (op, self.source()) {
            (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, Src::Imm(i)) => {
                Src::Imm(i.rem_euclid(width.bits() as i32))
            }
            // Linux takes what these leave for unknown where it does not know the number.
            (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, _) => {
                Src::Imm(self.r.below(width.bits().into()) as i32)
            }
            (_, src) => src,
        };
        self.code.push(Insn::Alu {
            op,
            width,
            dst: reg(dst),
            src,
        });
    }

    /// A pointer and an offset within what it points to, mostly.
    fn place(&mut self, size: Size) -> Option<(usize, i16)> {
        let is = self
            .r
            .of(&[Is::Stack, Is::Value, Is::Value, Is::Packet, Is::Record]);
        let base = self.pick(is)?;
        let bytes = size.bytes() as i16;
        let step = if self.r.once_in(10) { 1 } else { bytes };
        let slots = (16 / step) as u64;
        let off = self.r.below(slots) as i16 * step;
        let off = if base == 10 { off - 32 } else { off };
        Some((
            base,
            if self.r.once_in(60) {
                self.r.number() as i16
            } else {
                off
            },
        ))
    }

    fn load(&mut self) {
        let size = self.r.of(&SIZES);
        let dst = self.dst();
        let Some((base, off)) = self.place(size) else {
            return;
        };
        let signed = size != Size::DW && self.r.once_in(4);
        self.code.push(Insn::Load {
            size,
            signed,
            dst: reg(dst),
            base: reg(base),
            off,
        });
        self.is[dst] = Is::Number;
    }

    fn store(&mut self) {
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

    /// A pointer plus a number that was brought into bounds, mostly.
    fn index(&mut self) {
        let is = self.r.of(&[Is::Value, Is::Value, Is::Stack, Is::Packet]);
        let (Some(base), Some(number)) = (self.pick(is), self.pick(Is::Number)) else {
            return;
        };
        let dst = self.dst();
        if dst == number {
            return;
        }
        let limit = self.r.of(&[15, 15, 15, 12, 7, 16]);
        match self.r.below(6) {
            0 => {}
            1..=2 => self.alu(AluOp::And, number, Src::Imm(self.bits())),
            3 => {
                let shift = self.r.of(&[60, 61, 59]);
                self.alu(AluOp::Rsh, number, Src::Imm(shift));
            }
            _ => {
                let op = self.r.of(&[JmpOp::Le, JmpOp::Le, JmpOp::Lt, JmpOp::SLe]);
                let width = self.width();
                self.code.push(Insn::JumpIf {
                    op,
                    width,
                    dst: reg(number),
                    src: Src::Imm(limit),
                    rel: 2,
                });
                let kept = self.is;
                self.end();
                self.is = kept;
            }
        }
        self.mov(dst, base);
        let op = self.r.of(&[AluOp::Add, AluOp::Add, AluOp::Add, AluOp::Sub]);
        self.alu(op, dst, Src::Reg(reg(number)));
        if self.is[base] == Is::Stack {
            let off = self.r.of(&[-16, -32, -17]);
            self.alu(AluOp::Add, dst, Src::Imm(off));
        }
        let size = self.r.of(&[Size::B, Size::B, Size::W, Size::DW]);
        let into = self.dst();
        self.is[dst] = Is::Nothing;
        self.code.push(if self.r.once_in(2) {
            self.is[into] = Is::Number;
            Insn::Load {
                size,
                signed: false,
                dst: reg(into),
                base: reg(dst),
                off: 0,
            }
        } else {
            Insn::Store {
                size,
                base: reg(dst),
                off: 0,
                src: Src::Imm(5),
            }
        });
    }

    fn bits(&self) -> i32 {
        [15, 7, 8, 12][self.code.len() % 4]
    }

    fn context(&mut self) {
        let Some(base) = self.pick(Is::Context) else {
            return;
        };
        let dst = self.dst();
        let size = self.r.of(&[Size::W, Size::W, Size::DW, Size::H, Size::B]);
        let off = self.r.below(50) as i16 * 4;
        if self.r.once_in(6) {
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

    fn spill(&mut self) {
        let src = self.r.below(10) as usize;
        if self.is[src] == Is::Nothing {
            return;
        }
        let off = -8 * (1 + self.r.below(4) as i16);
        self.code.push(Insn::Store {
            size: Size::DW,
            base: Reg::R10,
            off,
            src: Src::Reg(reg(src)),
        });
        if self.r.once_in(2) {
            let dst = self.dst();
            self.code.push(Insn::Load {
                size: Size::DW,
                signed: false,
                dst: reg(dst),
                base: Reg::R10,
                off,
            });
            self.is[dst] = self.is[src];
        }
    }

    fn fill(&mut self) {
        let dst = self.dst();
        let off = -8 * (1 + self.r.below(4) as i16);
        self.code.push(Insn::Load {
            size: Size::DW,
            signed: false,
            dst: reg(dst),
            base: Reg::R10,
            off,
        });
        self.is[dst] = Is::Number;
    }

    fn packet(&mut self) {
        if self.kind.legacy && self.is[6] == Is::Context && self.r.once_in(3) {
            let size = self.r.of(&[Size::B, Size::H, Size::W]);
            let index = match self.pick(Is::Number) {
                Some(n) if self.r.once_in(2) => Some(reg(n)),
                _ => None,
            };
            let imm = self.r.below(64) as i32;
            self.code.push(Insn::LoadPacket { size, index, imm });
            self.called(Is::Number);
            return;
        }
        let (Some((data, end)), Some(context)) = (self.kind.packet, self.pick(Is::Context)) else {
            return;
        };
        for (dst, off, is) in [(2, data, Is::Packet), (3, end, Is::PacketEnd)] {
            self.code.push(Insn::Load {
                size: Size::W,
                signed: false,
                dst: reg(dst),
                base: reg(context),
                off,
            });
            self.is[dst] = is;
        }
        if let Some(number) = self.pick(Is::Number)
            && self.r.once_in(3)
        {
            self.alu(AluOp::And, number, Src::Imm(63));
            self.alu(AluOp::Add, 2, Src::Reg(reg(number)));
        }
        let length = self.r.of(&[16, 16, 16, 15, 8, 34]);
        self.mov(1, 2);
        self.alu(AluOp::Add, 1, Src::Imm(length));
        let op = self
            .r
            .of(&[JmpOp::Le, JmpOp::Le, JmpOp::Le, JmpOp::Lt, JmpOp::Ge]);
        self.code.push(Insn::JumpIf {
            op,
            width: Width::W64,
            dst: Reg::R1,
            src: Src::Reg(Reg::R3),
            rel: 2,
        });
        let kept = self.is;
        self.end();
        self.is = kept;
        self.is[1] = Is::Nothing;
        let keep = self.r.of(&[4, 5, 7, 8]);
        self.mov(keep, 2);
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
        let Some((base, off)) = self.place(size) else {
            return;
        };
        let Some(src) = self.pick(Is::Number) else {
            return;
        };
        self.code.push(Insn::Atomic {
            op,
            size,
            base: reg(base),
            off,
            src: reg(src),
        });
    }

    fn number_in(&mut self, dst: usize) {
        match self.pick(Is::Number) {
            Some(n) if n != dst => self.mov(dst, n),
            _ => {
                let number = self.r.number();
                self.imm(dst, number);
            }
        }
    }

    /// A size for a helper: constant, or a number in bounds.
    fn size_in(&mut self, dst: usize) {
        if self.r.once_in(2) {
            let size = self.r.of(&[8, 16, 16, 1, 32, 0, 33]);
            return self.imm(dst, size);
        }
        self.number_in(dst);
        self.alu(AluOp::And, dst, Src::Imm(15));
        if !self.r.once_in(4) {
            self.alu(AluOp::Add, dst, Src::Imm(1));
        }
    }

    fn memory_in(&mut self, dst: usize) {
        let is = self.r.of(&[Is::Stack, Is::Value, Is::Packet, Is::Record]);
        match self.pick(is) {
            Some(n) if is != Is::Stack && n != dst => self.mov(dst, n),
            _ => {
                let off = self.r.of(&[-16, -32, -32, -24, -8]);
                self.stack(dst, off);
            }
        }
    }

    fn context_in(&mut self, dst: usize) {
        if let Some(n) = self.pick(Is::Context) {
            self.mov(dst, n);
        }
    }

    fn helper(&mut self) {
        match self.r.below(if self.kind.tracing { 14 } else { 12 }) {
            0 => self.call(7, Is::Number),
            1 => {
                // map_update_elem
                let map = self.r.of(&[0, 1, 1, 1, 3]);
                self.memory_in(3);
                self.memory_in(2);
                self.map(1, map);
                let flags = self.r.of(&[0, 0, 1, 2]);
                self.imm(4, flags);
                self.call(2, Is::Number);
            }
            2 => {
                let map = self.r.of(&[1, 1, 1, 0]);
                self.memory_in(2);
                self.map(1, map);
                self.call(3, Is::Number);
            }
            3..=4 => self.record(),
            5 => {
                // perf_event_output
                self.size_in(5);
                self.memory_in(4);
                self.context_in(1);
                self.map(2, 4);
                self.imm(3, 0);
                self.call(25, Is::Number);
            }
            6 => {
                // tail_call
                self.number_in(3);
                self.context_in(1);
                self.map(2, 3);
                self.call(12, Is::Number);
            }
            7 => {
                // trace_printk
                self.size_in(2);
                self.memory_in(1);
                self.number_in(3);
                self.call(6, Is::Number);
            }
            8 if !self.kind.tracing => {
                // skb_load_bytes, which xdp does not have
                self.number_in(2);
                self.size_in(4);
                self.memory_in(3);
                self.context_in(1);
                self.call(26, Is::Number);
            }
            9 if !self.kind.tracing => {
                // xdp_adjust_head, skb_pull_data
                let helper = if self.kind.section == "xdp" { 44 } else { 39 };
                self.number_in(2);
                self.context_in(1);
                self.call(helper, Is::Number);
                for is in &mut self.is {
                    if matches!(is, Is::Packet | Is::PacketEnd) {
                        *is = Is::Nothing;
                    }
                }
            }
            10 => {
                // csum_diff, ringbuf_output
                if self.kind.tracing || self.r.once_in(2) {
                    self.size_in(3);
                    self.memory_in(2);
                    self.map(1, 2);
                    self.imm(4, 0);
                    self.call(130, Is::Number);
                } else {
                    self.memory_in(1);
                    self.memory_in(3);
                    let size = self.r.of(&[4, 8, 16, 0]);
                    self.imm(2, size);
                    self.imm(4, size);
                    self.number_in(5);
                    self.call(28, Is::Number);
                }
            }
            12 => {
                // get_current_comm
                self.size_in(2);
                self.memory_in(1);
                self.call(16, Is::Number);
            }
            13 => {
                // probe_read_kernel
                self.number_in(3);
                self.size_in(2);
                self.memory_in(1);
                self.call(113, Is::Number);
            }
            _ => self.call(5, Is::Number),
        }
    }

    /// A record of the ring buffer: reserved, written, given back, mostly.
    fn record(&mut self) {
        self.map(1, 2);
        self.imm(2, 16);
        self.imm(3, 0);
        self.call(131, Is::Nothing);
        if !self.r.once_in(12) {
            self.check(0);
        }
        self.mov(8, 0);
        self.is[8] = Is::Record;
        for _ in 0..self.r.below(4) {
            self.store();
        }
        if self.is[8] == Is::Record && !self.r.once_in(12) {
            self.mov(1, 8);
            self.imm(2, 0);
            let helper = self.r.of(&[132, 133]);
            self.call(helper, Is::Nothing);
            for is in &mut self.is {
                if *is == Is::Record {
                    *is = Is::Nothing;
                }
            }
        }
    }

    fn branch(&mut self, depth: u32) {
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
        let op = self.r.of(&JUMPS);
        self.code.push(Insn::Exit);
        let before = self.is;
        let count = 1 + self.r.below(5);
        self.lines(count, depth - 1);
        for (is, was) in self.is.iter_mut().zip(before) {
            if *is != was {
                *is = Is::Nothing;
            }
        }
        self.code[at] = Insn::JumpIf {
            op,
            width,
            dst: reg(dst),
            src,
            rel: (self.code.len() - at - 1) as i16,
        };
    }

    fn repeat(&mut self) {
        let counter = self.r.of(&[7, 8, 9]);
        self.imm(counter, 0);
        let start = self.code.len();
        self.lines(2, 0);
        self.alu(AluOp::Add, counter, Src::Imm(1));
        let limit = 1 + self.r.below(12) as i32;
        let rel = start as i64 - self.code.len() as i64 - 1;
        self.code.push(Insn::JumpIf {
            op: JmpOp::Lt,
            width: Width::W64,
            dst: reg(counter),
            src: Src::Imm(limit),
            rel: rel as i16,
        });
    }

    fn subprogram_call(&mut self) {
        self.number_in(2);
        self.context_in(1);
        let which = self.r.below(2) as usize;
        let which = which.min(self.calls.iter().map(|c| c.1 + 1).max().unwrap_or(0));
        self.calls.push((self.code.len(), which));
        self.code.push(Insn::Exit);
        self.called(Is::Number);
    }
}
