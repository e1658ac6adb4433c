//! Lines about strings and bits: written into the frame, and handed to the kernel functions that search them.
//!
//! A string ends in the frame or in a map's value; nothing behind it is the same on two engines.

use probity_isa::{AluOp, Insn, JmpOp, Size, Src, Width};

use super::body::{Generator, Is};
use super::reg;
use super::structures::Kfunc;

/// The iterator of bits in the frame, 16 bytes that nothing else writes.
const BITS: i32 = -176;
/// Bytes of the frame's strings, the last word of which ends them.
const TEXT: i16 = -32;
/// Letters that are found again.
const LETTERS: [u8; 6] = *b"aAbB\xe9b";

impl Generator<'_> {
    fn letters(&mut self) -> i32 {
        let mut bytes = [0; 4];
        let length = self.r.of(&[1, 3, 4, 4, 4, 4]);
        for byte in &mut bytes[..length] {
            *byte = self.r.of(&LETTERS);
        }
        i32::from_le_bytes(bytes)
    }

    /// Some words of letters, and an end.
    fn write_text(&mut self) {
        for off in (TEXT..-8).step_by(4) {
            let letters = self.letters();
            self.store_imm(Size::W, off, letters);
        }
        let letters = self.letters();
        self.store_imm(Size::W, -8, letters);
        self.store_imm(Size::W, -4, 0);
    }

    /// The address of a string; sometimes of none.
    fn string_in(&mut self, dst: usize) {
        match self.r.below(12) {
            0 => {
                let wrong = self.r.of(&[0, 1, 4096, -1]);
                self.imm(dst, wrong);
            }
            1 | 2 if self.is[9] == Is::Value => {
                self.code.push(Insn::Store {
                    size: Size::B,
                    base: reg(9),
                    off: 15,
                    src: Src::Imm(0),
                });
                self.mov(dst, 9);
                let off = self.r.below(16) as i32;
                self.alu(AluOp::Add, dst, Src::Imm(off));
            }
            n => {
                let off = match n % 2 {
                    0 => i32::from(TEXT),
                    _ => self.r.below(28) as i32 + i32::from(TEXT),
                };
                self.stack(dst, off);
            }
        }
    }

    fn letter_in(&mut self, dst: usize) {
        let letter = match self.r.once_in(4) {
            true => self.r.of(&[0, 1, 0x161, -1]),
            false => i32::from(self.r.of(&LETTERS)),
        };
        self.imm(dst, letter);
    }

    fn count_in(&mut self, dst: usize) {
        let count = self.r.of(&[0, 1, 2, 4, 5, 31, 1000, -1]);
        self.imm(dst, count);
    }

    pub(super) fn text(&mut self) {
        if !self.r.once_in(3) {
            self.write_text();
        }
        self.string_in(1);
        let kfunc = self.r.of(&[
            Kfunc::Strcmp,
            Kfunc::Strcasecmp,
            Kfunc::Strstr,
            Kfunc::Strspn,
            Kfunc::Strcspn,
            Kfunc::Strnstr,
            Kfunc::Strlen,
            Kfunc::Strnlen,
            Kfunc::Strchr,
            Kfunc::Strchrnul,
            Kfunc::Strrchr,
            Kfunc::Strnchr,
        ]);
        match kfunc {
            Kfunc::Strlen => {}
            Kfunc::Strnlen => self.count_in(2),
            Kfunc::Strchr | Kfunc::Strchrnul | Kfunc::Strrchr => self.letter_in(2),
            Kfunc::Strnchr => {
                self.count_in(2);
                self.letter_in(3);
            }
            _ => {
                self.string_in(2);
                self.count_in(3);
            }
        }
        self.kfunc(kfunc, Is::Number);
        // An `int`: nothing is promised of the upper half.
        self.code.push(Insn::Mov {
            width: Width::W32,
            dst: reg(0),
            src: Src::Reg(reg(0)),
        });
    }

    /// Some bits of words in the frame.
    pub(super) fn bits(&mut self) {
        self.write_text();
        self.stack(1, BITS);
        self.stack(2, TEXT.into());
        let words = self.r.of(&[0, 1, 2, 4, 4, 512]);
        self.imm(3, words);
        self.kfunc(Kfunc::BitsNew, Is::Number);
        for _ in 0..self.r.below(4) {
            self.stack(1, BITS);
            self.kfunc(Kfunc::BitsNext, Is::Nothing);
            self.skip_if(JmpOp::Eq, 0, |g| {
                g.code.push(Insn::Load {
                    size: Size::W,
                    signed: false,
                    dst: reg(8),
                    base: reg(0),
                    off: 0,
                });
                g.is[8] = Is::Number;
            });
        }
        self.stack(1, BITS);
        self.kfunc(Kfunc::BitsDestroy, Is::Nothing);
        self.imm(0, 0);
    }
}
