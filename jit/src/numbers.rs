//! Numbers that a function computes with → one value each.
//!
//! A program repeats its immediates; each that is a value of its own takes every pass of the code generator its time.
//!
//! Where the code generator optimises, it makes a number again where it is used, and one for the function is the least
//! that it has to look at; where it does not, one is made in each block, so that none takes a register for long.
//!
//! **Invariant:** where a number's value is used, it was computed: in the function's first block, which comes before all
//! others, or earlier in the same block.

use std::collections::BTreeMap;

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{
    Block, InstBuilder, InstructionData, Opcode, Type, Value, ValueDef, types,
};
use probity_runtime::Call;

use crate::lowerings::Lowerings;
use crate::translate::Translator;

/// The values of numbers, by type.
pub(crate) struct Numbers {
    known: BTreeMap<(u32, i64), Value>,
    /// For the whole function, or else for a block.
    whole: bool,
    /// The block that they are known in.
    block: Option<Block>,
    /// Words of the call's state that do not change.
    words: BTreeMap<i32, Value>,
}

impl Numbers {
    pub fn new(whole: bool) -> Numbers {
        Numbers {
            known: BTreeMap::new(),
            whole,
            block: None,
            words: BTreeMap::new(),
        }
    }

    /// Translation is in that block now.
    fn enter(&mut self, block: Option<Block>) {
        if self.block != block {
            self.block = block;
            self.words.clear();
            if !self.whole {
                self.known.clear();
            }
        }
    }
}

impl Translator<'_, '_> {
    /// A number of that type; bits above the type's are 0.
    pub(crate) fn number(&mut self, ty: Type, bits: i64) -> Value {
        let entry = self.b.func.layout.entry_block();
        let Some(entry) = entry.filter(|_| self.lowerings.has(Lowerings::NUMBERS)) else {
            return self.b.ins().iconst(ty, bits);
        };
        self.numbers.enter(self.b.current_block());
        let key = (ty.bits(), bits);
        if let Some(v) = self.numbers.known.get(&key) {
            return *v;
        }
        let v = match self.numbers.whole {
            true => FuncCursor::new(self.b.func)
                .at_first_insertion_point(entry)
                .ins()
                .iconst(ty, bits),
            false => self.b.ins().iconst(ty, bits),
        };
        self.numbers.known.insert(key, v);
        v
    }

    /// A word of the call's state that stays what it is.
    pub(crate) fn constant_word(&mut self, offset: i32) -> Value {
        if let Some(context) = self.context.filter(|_| offset == Call::CTX) {
            return context;
        }
        self.numbers.enter(self.b.current_block());
        let known = self.numbers.words.get(&offset).copied();
        if let Some(v) = known.filter(|_| self.lowerings.has(Lowerings::NUMBERS)) {
            return v;
        }
        let v = self.call_word(offset);
        self.numbers.words.insert(offset, v);
        v
    }

    /// The number of another type that a number's low bits are, with zeros above.
    fn number_as(&mut self, v: Value, ty: Type) -> Option<Value> {
        let dfg = &self.b.func.dfg;
        let ValueDef::Result(inst, _) = dfg.value_def(v) else {
            return None;
        };
        let InstructionData::UnaryImm {
            opcode: Opcode::Iconst,
            imm,
        } = dfg.insts[inst]
        else {
            return None;
        };
        let bits = ty.bits().min(dfg.value_type(v).bits());
        let kept = imm.bits() as u64 & (u64::MAX >> 64u32.saturating_sub(bits));
        Some(self.number(ty, kept as i64))
    }

    /// The upper half of a 64-bit value is known to be 0.
    pub(crate) fn is_narrow(&self, v: Value) -> bool {
        let dfg = &self.b.func.dfg;
        let number = match dfg.value_def(v) {
            ValueDef::Result(inst, _) => match dfg.insts[inst] {
                InstructionData::UnaryImm {
                    opcode: Opcode::Iconst,
                    imm,
                } => u32::try_from(imm.bits()).is_ok(),
                _ => false,
            },
            _ => false,
        };
        number || self.narrow.contains(v)
    }

    /// Zero-extends to 64 bits.
    pub(crate) fn widen(&mut self, v: Value) -> Value {
        if self.b.func.dfg.value_type(v) == types::I64 {
            return v;
        }
        let number = match self.lowerings.has(Lowerings::NUMBERS) {
            true => self.number_as(v, types::I64),
            false => None,
        };
        let wide = match number {
            Some(number) => number,
            None => self.b.ins().uextend(types::I64, v),
        };
        self.narrow.insert(wide);
        wide
    }

    /// The low bits, of that type.
    pub(crate) fn narrow(&mut self, v: Value, ty: Type) -> Value {
        let dfg = &self.b.func.dfg;
        if dfg.value_type(v) == ty {
            return v;
        }
        if self.lowerings.has(Lowerings::NUMBERS) {
            if let Some(number) = self.number_as(v, ty) {
                return number;
            }
            // What was widened is still there.
            let dfg = &self.b.func.dfg;
            if let ValueDef::Result(inst, _) = dfg.value_def(v)
                && let InstructionData::Unary {
                    opcode: Opcode::Uextend,
                    arg,
                } = dfg.insts[inst]
                && dfg.value_type(arg) == ty
            {
                return dfg.resolve_aliases(arg);
            }
        }
        self.b.ins().ireduce(ty, v)
    }
}
