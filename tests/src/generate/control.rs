//! Branches, guards and loops.

use probity_isa::{AluOp, Insn, JmpOp, Reg, Size, Src, Width};

use super::body::{Generator, Is, JUMPS};
use super::{ARRAY, CELLS, Features, HASH, PROGRAMS, reg};

impl Generator<'_> {
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
    pub(super) fn jump_here(&mut self, at: usize, op: JmpOp, width: Width, dst: usize, src: Src) {
        self.code[at] = Insn::JumpIf {
            op,
            width,
            dst: reg(dst),
            src,
            rel: (self.code.len() - at - 1) as i16,
        };
    }

    pub(super) fn lookups(&mut self) {
        let maps = match self.on(Features::MISTAKES) {
            true => [ARRAY, CELLS, HASH, HASH, CELLS, PROGRAMS],
            false => [ARRAY, CELLS, HASH, HASH, CELLS, HASH],
        };
        let map = self.r.of(&maps);
        self.lookup(map);
    }

    pub(super) fn null_check(&mut self) {
        if let Some(n) = self.pick(Is::MaybeValue) {
            self.check(n);
        }
    }

    /// One way or two; a register that they leave otherwise holds nothing behind them.
    pub(super) fn branch(&mut self, depth: u32) {
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
    pub(super) fn meet(&mut self, other: [Is; 11]) {
        for (is, was) in self.is.iter_mut().zip(other) {
            if *is != was {
                *is = Is::Nothing;
            }
        }
    }

    /// A loop that counts, mostly, in a register or on the stack, up or down.
    pub(super) fn repeat(&mut self, depth: u32) {
        if self.loops >= 2 {
            return self.arithmetic();
        }
        self.loops += 1;
        let counter = self.r.of(&[7, 8]);
        let slot = -48 - 8 * self.loops as i16;
        let spilled = self.r.once_in(3);
        let down = self.r.once_in(4);
        let limit = match self.r.once_in(4) {
            true => 13 + self.r.below(120) as i32,
            false => 1 + self.r.below(12) as i32,
        };
        let step = self.r.of(&[1, 1, 1, 2, 3]);
        // Something else that some laps move, or all.
        let other = match self.loops == 1 && self.r.once_in(2) {
            true => Some(15 - counter),
            false => None,
        };
        if let Some(n) = other {
            let start = self.r.of(&[0, 0, 1]);
            self.imm(n, start);
        }
        if spilled {
            self.store_imm(Size::DW, slot, if down { limit * step } else { 0 });
        }
        self.imm(counter, if down { limit * step } else { 0 });
        let start = self.code.len();
        let before = self.is;
        let indexed = self.r.below(4);
        let top = limit * step;
        if indexed == 0 {
            self.indexed(other.unwrap_or(counter), top);
        }
        let lines = 1 + self.r.below(3);
        self.lines(lines, depth.saturating_sub(1).min(1));
        if let Some(n) = other.filter(|n| self.is[*n] == Is::Number) {
            let number = self.pick(Is::Number);
            match number.filter(|_| self.r.once_in(2)) {
                Some(m) => {
                    let over = self.code.len();
                    self.code.push(Insn::Exit);
                    self.alu(AluOp::Add, n, Src::Imm(step));
                    let op = self.r.of(&[JmpOp::Set, JmpOp::Gt, JmpOp::Eq]);
                    self.jump_here(over, op, Width::W64, m, Src::Imm(1));
                }
                None => self.alu(AluOp::Add, n, Src::Imm(step)),
            }
        }
        if indexed == 1 {
            self.indexed(other.unwrap_or(counter), top);
        }
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

    /// An access where a counter says that goes up to `top`, brought into bounds by a shift, mostly.
    fn indexed(&mut self, counter: usize, top: i32) {
        let (number, dst) = (2, 3);
        let Some(base) = self.pick(Is::Value) else {
            return;
        };
        let free = |is: Is| is != Is::Record && is != Is::Stack;
        let taken = [number, dst].contains(&base) || self.is[counter] != Is::Number;
        if taken || !free(self.is[number]) || !free(self.is[dst]) {
            return;
        }
        let mut shift = 0;
        while top >> shift > 15 {
            shift += 1;
        }
        if self.on(Features::MISTAKES) && self.r.once_in(6) && shift > 0 {
            shift -= 1;
        }
        self.mov(number, counter);
        if shift > 0 {
            self.alu(AluOp::Rsh, number, Src::Imm(shift));
        }
        self.access(dst, base, number);
    }

    /// A loop that `may_goto` ends, or a comparison of its own.
    pub(super) fn may_goto(&mut self, depth: u32) {
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
