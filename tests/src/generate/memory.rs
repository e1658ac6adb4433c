//! Loads and stores: places, indices that are brought into bounds, spills, atomic operations.

use probity_isa::{AluOp, AtomicOp, Insn, JmpOp, Reg, Size, Src, Width};

use super::body::{Generator, Is, SIZES};
use super::{Features, reg};

impl Generator<'_> {
    /// A pointer and an offset within what it points to, mostly.
    pub fn place(&mut self, size: Size) -> Option<(usize, i16)> {
        let kinds = [Is::Stack, Is::Value, Is::Value, Is::Packet, Is::Record];
        let is = match self.held && self.r.once_in(3) {
            true => Is::Structure,
            false => self.r.of(&kinds),
        };
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

    pub(super) fn load(&mut self) {
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
    pub(super) fn bound(&mut self, number: usize) {
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
    pub(super) fn index(&mut self, is: Is) {
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
    pub(super) fn access(&mut self, dst: usize, base: usize, number: usize) {
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
    pub(super) fn linked(&mut self) {
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

    pub(super) fn context(&mut self) {
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
    pub(super) fn spill(&mut self) {
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

    pub(super) fn fill(&mut self) {
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

    pub(super) fn atomic(&mut self) {
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

    pub(super) fn ordered(&mut self) {
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
}
