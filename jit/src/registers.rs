//! Registers ⇄ what a block knows of them: values of 64 bits, or of 32 that zeros stand above.
//!
//! Most code computes in 32 bits from one 32-bit value to the next. Widening each result and narrowing each operand
//! would be three instructions for one, which later passes take time to take out again.
//!
//! **Invariant:** before control leaves a block that others follow, every register's variable holds its 64 bits
//! ([`Translator::flush`]); a block that has one predecessor, within an instruction's translation, goes on with what
//! is known.

use cranelift_codegen::ir::{Type, Value, types};
use probity_isa::{Reg, Src, Width};

use crate::lowerings::Lowerings;
use crate::translate::Translator;

/// What a block has read from registers and put into them.
#[derive(Default)]
pub(crate) struct Local {
    whole: [Option<Value>; Reg::COUNT],
    /// The low 32 bits.
    half: [Option<Value>; Reg::COUNT],
    /// Registers, a bit each, that are their low halves with zeros above, which no variable holds yet.
    late: u16,
    /// Registers, a bit each, whose upper halves are 0 whatever value stands for them.
    narrow: u16,
}

impl Local {
    /// Where a block begins, with what is known of the registers there.
    pub fn entered(narrow: u16) -> Local {
        Local {
            narrow,
            ..Local::default()
        }
    }

    pub fn whole(&self, r: Reg) -> Option<Value> {
        self.whole[r.index()]
    }

    pub fn half(&self, r: Reg) -> Option<Value> {
        self.half[r.index()]
    }

    /// A register is known to hold that 64-bit value.
    pub fn holds(&self, r: Reg, v: Value) -> bool {
        self.whole(r) == Some(v)
    }

    fn is_late(&self, r: Reg) -> bool {
        self.late >> r.index() & 1 == 1
    }
}

impl Translator<'_, '_> {
    /// A register's 64 bits.
    pub(crate) fn get(&mut self, r: Reg) -> Value {
        if let Some(v) = self.local.whole(r) {
            return v;
        }
        let v = match self.local.half(r).filter(|_| self.local.is_late(r)) {
            Some(half) => {
                let wide = self.widen(half);
                self.words.widened(half, wide);
                self.b.def_var(self.regs[r.index()], wide);
                self.local.late &= !(1 << r.index());
                wide
            }
            None => self.b.use_var(self.regs[r.index()]),
        };
        self.local.whole[r.index()] = Some(v);
        v
    }

    /// The low bits of a register.
    pub(crate) fn low(&mut self, r: Reg, ty: Type) -> Value {
        if ty == types::I64 {
            return self.get(r);
        }
        let v = match self.local.half(r) {
            Some(half) => half,
            None => self.get(r),
        };
        if self.b.func.dfg.value_type(v) == ty {
            return v;
        }
        let low = self.narrow(v, ty);
        if ty == types::I32 && self.lowerings.has(Lowerings::HALVES) {
            self.local.half[r.index()] = Some(low);
        }
        low
    }

    /// The low bits of a second operand; immediates are sign-extended.
    pub(crate) fn low_operand(&mut self, src: Src, ty: Type) -> Value {
        match src {
            Src::Reg(r) => self.low(r, ty),
            Src::Imm(i) => {
                let bits = u64::MAX >> (64 - ty.bits());
                let i = (i64::from(i) as u64 & bits) as i64;
                self.number(ty, i)
            }
        }
    }

    /// Puts 64 bits into a register.
    pub(crate) fn set(&mut self, r: Reg, v: Value) {
        self.b.def_var(self.regs[r.index()], v);
        self.local.whole[r.index()] = Some(v);
        self.local.half[r.index()] = None;
        self.local.late &= !(1 << r.index());
        self.local.narrow &= !(1 << r.index());
    }

    /// Puts 64 bits into a register, or 32 with zeros above.
    pub(crate) fn put(&mut self, r: Reg, v: Value) {
        if self.b.func.dfg.value_type(v) == types::I64 {
            return self.set(r, v);
        }
        if !self.lowerings.has(Lowerings::HALVES) {
            let wide = self.widen(v);
            self.words.widened(v, wide);
            return self.set(r, wide);
        }
        self.local.whole[r.index()] = None;
        self.local.half[r.index()] = Some(v);
        self.local.late |= 1 << r.index();
    }

    /// `dst = src`, of that width.
    pub(crate) fn copy(&mut self, dst: Reg, src: Reg, width: Width) {
        let late = self.local.half(src).filter(|_| self.local.is_late(src));
        if let Some(half) = late {
            return self.put(dst, half);
        }
        let whole = self.get(src);
        let known = self.local.narrow >> src.index() & 1 == 1;
        let narrow = self.lowerings.has(Lowerings::NARROW) && self.narrow.contains(whole) || known;
        if width == Width::W64 || narrow {
            let half = self.local.half(src);
            self.set(dst, whole);
            self.local.half[dst.index()] = half;
            self.local.narrow |= u16::from(known) << dst.index();
        } else {
            let half = self.low(src, types::I32);
            self.put(dst, half);
        }
    }

    /// Gives every register's variable its 64 bits, as control is about to leave the block.
    pub(crate) fn flush(&mut self) {
        for r in Reg::all() {
            if self.local.is_late(r) {
                self.get(r);
            }
        }
    }
}
