//! Lines about an arena: casts, and accesses at, beside and far from the pages that are there.
//!
//! Only low halves of addresses are followed, since the arena of each instance lies elsewhere.

use probity_isa::{AluOp, AtomicOp, Insn, Reg, Size, Src};

use super::body::{Generator, Is, SIZES};
use super::{ARENA, Features, reg};

/// Pages that oracles make be there, of those that the arena has.
pub const THERE: [u32; 2] = [0, 2];
/// Pages of the arena.
pub const PAGES: u32 = 4;
/// Low half of the first page's address.
const FIRST: i32 = 64 << 10;
/// The address space of programs' numbers.
const NUMBERS: u16 = 1;

/// Whether the program needs an arena.
pub(super) fn needed(code: &[Insn]) -> bool {
    code.iter().any(|i| matches!(i, Insn::AddrSpaceCast { .. }))
}

impl Generator<'_> {
    /// The program names its arena, and has a pointer into it.
    pub fn first_arena(&mut self) {
        if self.arena {
            self.map(0, ARENA);
            self.imm(5, FIRST + 4090);
            self.cast(5, 5, 0);
        }
    }

    fn cast(&mut self, dst: usize, src: usize, to: u16) {
        self.code.push(Insn::AddrSpaceCast {
            dst: reg(dst),
            src: reg(src),
            to,
            from: NUMBERS - to,
        });
        self.is[dst] = if to == 0 { Is::Arena } else { Is::Number };
    }

    pub(super) fn arena(&mut self) {
        let Some(base) = self.pick(Is::Arena) else {
            return self.enter_arena();
        };
        match self.r.below(12) {
            0 | 1 => self.enter_arena(),
            2 => {
                let by = self.r.of(&[1, 6, 4096, 8190, -8, -4093, 0x7fff_ffff]);
                self.alu(AluOp::Add, base, Src::Imm(by));
            }
            3 => {
                // There and back.
                let dst = self.dst();
                self.cast(dst, base, NUMBERS);
                self.code.push(Insn::Mov {
                    width: probity_isa::Width::W32,
                    dst: reg(dst),
                    src: Src::Reg(reg(dst)),
                });
            }
            4..=6 => self.arena_load(base),
            7 | 8 => {
                let (size, src, off) = (self.r.of(&SIZES), self.source(), self.beside());
                let base = reg(base);
                self.code.push(Insn::Store {
                    size,
                    base,
                    off,
                    src,
                });
            }
            9 if self.on(Features::ACQUIRE_RELEASE) => self.arena_ordered(base),
            _ if self.on(Features::ATOMIC) => self.arena_atomic(base),
            _ => self.arena_load(base),
        }
    }

    /// A number becomes a pointer into the arena.
    fn enter_arena(&mut self) {
        let Some(number) = self.pick(Is::Number) else {
            return;
        };
        if self.is[number] == Is::Stack {
            return;
        }
        if !self.r.once_in(6) {
            self.alu(AluOp::And, number, Src::Imm(0x3fff));
            self.alu(AluOp::Add, number, Src::Imm(FIRST));
        }
        self.cast(number, number, 0);
    }

    /// Offsets: near, and as far as they go.
    fn beside(&mut self) -> i16 {
        let far = [0x7fff, -0x8000, 4096, -4096, 4089];
        match self.r.below(4) {
            0 => self.r.of(&far),
            _ => self.r.below(32) as i16 - 16,
        }
    }

    fn arena_load(&mut self, base: usize) {
        let (size, dst, off) = (self.r.of(&SIZES), self.dst(), self.beside());
        self.code.push(Insn::Load {
            size,
            signed: size != Size::DW && self.on(Features::SIGN_EXTENSION) && self.r.once_in(3),
            dst: reg(dst),
            base: reg(base),
            off,
        });
        self.is[dst] = Is::Number;
    }

    fn arena_ordered(&mut self, base: usize) {
        let (size, dst, off) = (self.r.of(&SIZES), self.dst(), self.beside());
        let base = reg(base);
        match self.pick(Is::Number) {
            Some(src) if self.r.once_in(2) => self.code.push(Insn::StoreRelease {
                size,
                base,
                off,
                src: reg(src),
            }),
            _ => {
                self.is[dst] = Is::Number;
                self.code.push(Insn::LoadAcquire {
                    size,
                    dst: reg(dst),
                    base,
                    off,
                });
            }
        }
    }

    fn arena_atomic(&mut self, base: usize) {
        let Some(src) = self.pick(Is::Number) else {
            return;
        };
        let (size, off) = (self.r.of(&[Size::W, Size::DW]), self.beside());
        let fetch = self.r.once_in(2);
        let mut ops = vec![
            AtomicOp::Add { fetch },
            AtomicOp::Or { fetch },
            AtomicOp::And { fetch },
            AtomicOp::Xor { fetch },
            AtomicOp::Xchg,
        ];
        if self.is[Reg::R0.index()] == Is::Number {
            ops.push(AtomicOp::Cmpxchg);
        }
        // Mostly aligned.
        if !self.r.once_in(4) {
            self.alu(AluOp::And, base, Src::Imm(-8));
        }
        let off = if self.r.once_in(4) { off } else { off & !7 };
        let op = self.r.of(&ops);
        self.code.push(Insn::Atomic {
            op,
            size,
            base: reg(base),
            off,
            src: reg(src),
        });
    }
}
