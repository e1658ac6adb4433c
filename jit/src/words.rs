//! Loads of single bytes, shifted and put together → loads of words.
//!
//! A compiler that may not assume alignment loads `u32` fields of packed structures byte by byte.
//! Each value is followed as what bytes of memory it is made of; where those are a word, in either
//! byte order, one load takes the place of all.
//!
//! **Invariant:** between the first of the loads and the word's stand no store, no call and no
//! merge of control: the bytes are the same ones.

use cranelift_codegen::ir::{InstBuilder, Value, types};
use probity_isa::{AluOp, Reg, Src, Width};

use crate::memory::Place;
use crate::translate::Translator;

/// Values of a block that are looked through, from the last one.
const MAX_LOOKED: usize = 32;

/// A value as bytes of memory: the offset from `base` of what each byte holds; `None` is 0.
#[derive(Clone, Copy)]
pub(crate) struct Word {
    place: Place,
    bytes: [Option<i32>; 8],
}

impl Word {
    /// What a zero-extended load of `size` bytes gives.
    pub fn loaded(place: Place, size: usize) -> Word {
        let mut bytes = [None; 8];
        for (n, b) in bytes.iter_mut().enumerate().take(size) {
            *b = place.off.checked_add(n as i32);
        }
        Word { place, bytes }
    }

    fn shifted(mut self, bits: i32, width: Width) -> Option<Word> {
        let by = usize::try_from(bits).ok()?;
        if by % 8 != 0 || by >= 64 {
            return None;
        }
        self.bytes.rotate_right(by / 8);
        self.bytes[..by / 8].fill(None);
        Some(self.cut(width))
    }

    fn cut(mut self, width: Width) -> Word {
        if width == Width::W32 {
            self.bytes[4..].fill(None);
        }
        self
    }

    /// Both, where no byte comes from two.
    fn joined(mut self, other: Word) -> Option<Word> {
        if self.place.base != other.place.base || self.place.flags != other.place.flags {
            return None;
        }
        for (b, o) in self.bytes.iter_mut().zip(other.bytes) {
            if b.is_some() && o.is_some() {
                return None;
            }
            *b = b.or(o);
        }
        Some(self)
    }

    /// Bytes of a load that gives the same, its offset, and whether it is in the other byte order.
    fn load(&self) -> Option<(usize, i32, bool)> {
        let size = self.bytes.iter().take_while(|b| b.is_some()).count();
        let rest = self.bytes.get(size..)?;
        if !matches!(size, 2 | 4 | 8) || rest.iter().any(Option::is_some) {
            return None;
        }
        let (first, last) = (self.bytes[0]?, self.bytes[size - 1]?);
        let in_order = |n: usize| first.checked_add(n as i32);
        if (0..size).all(|n| self.bytes[n] == in_order(n)) {
            return Some((size, first, false));
        }
        let reversed = |n: usize| last.checked_add((size - 1 - n) as i32);
        (0..size)
            .all(|n| self.bytes[n] == reversed(n))
            .then_some((size, last, true))
    }
}

/// The values of a block that are bytes of memory.
#[derive(Default)]
pub(crate) struct Words(Vec<(Value, Word)>);

impl Words {
    /// Memory may have changed, or control comes from elsewhere.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    pub fn note(&mut self, v: Value, word: Word) {
        // Blocks are short, and what was loaded last is put together first.
        self.0.push((v, word));
    }

    fn get(&self, v: Value) -> Option<Word> {
        let found = self
            .0
            .iter()
            .rev()
            .take(MAX_LOOKED)
            .find(|(of, _)| *of == v);
        found.map(|(_, word)| *word)
    }

    /// `wide` is `v` with zeros above.
    pub fn widened(&mut self, v: Value, wide: Value) {
        if let Some(word) = self.get(v) {
            self.note(wide, word);
        }
    }
}

impl Translator<'_, '_> {
    /// What `v = x op y` is made of; gives the value of a load that takes its place, if one does.
    pub(crate) fn word(&mut self, op: AluOp, width: Width, src: Src, dst: Reg, v: Value) -> Value {
        if self.words.0.is_empty() {
            return v;
        }
        let Some(a) = self.word_in(dst, width) else {
            return v;
        };
        let word = match (op, src) {
            (AluOp::Lsh, Src::Imm(bits)) => a.cut(width).shifted(bits, width),
            // Where no byte comes from two, a sum has no carries.
            (AluOp::Or | AluOp::Add | AluOp::Xor, Src::Reg(y)) => self
                .word_in(y, width)
                .and_then(|b| a.cut(width).joined(b.cut(width))),
            _ => None,
        };
        let Some(word) = word else { return v };
        let joined = !matches!(op, AluOp::Lsh);
        let v = match word.load() {
            Some((size, off, swapped)) if joined => {
                let v = self.load_word(word.place, size, off, swapped);
                // A word of four bytes is what 32-bit arithmetic gives.
                match (width, size) {
                    (Width::W32, 4) => v,
                    _ => self.widen(v),
                }
            }
            _ => v,
        };
        self.words.note(v, word);
        v
    }

    fn load_word(&mut self, place: Place, size: usize, off: i32, swapped: bool) -> Value {
        let ty = match size {
            2 => types::I16,
            4 => types::I32,
            _ => types::I64,
        };
        let v = self.b.ins().load(ty, place.flags, place.base, off);
        match swapped {
            true => self.b.ins().bswap(v),
            false => v,
        }
    }

    /// What a register is made of.
    fn word_in(&self, r: Reg, width: Width) -> Option<Word> {
        let known = |v: Option<Value>| self.words.get(v?);
        let whole = known(self.local.whole(r));
        match width {
            Width::W32 => known(self.local.half(r)).or(whole),
            Width::W64 => whole,
        }
    }
}
