//! Two shifts of one value whose results are put together → a rotation.
//!
//! BPF has no rotations, so that hashes and ciphers are full of `x << k | x >> n - k`.
//!
//! **Invariant:** the two counts add up to the type's bits, and neither is 0: no bit comes from both, so that `or`, `xor`
//! and `add` give the same.

use cranelift_codegen::ir::{InstBuilder, InstructionData, Opcode, Value, ValueDef};
use probity_isa::{AluOp, Src};

use crate::lowerings::Lowerings;
use crate::translate::Translator;

impl Translator<'_, '_> {
    /// `x op y`, when that is a rotation.
    pub(crate) fn rotation(&mut self, op: AluOp, src: Src, x: Value, y: Value) -> Option<Value> {
        if !self.lowerings.has(Lowerings::ROTATES)
            || !matches!(op, AluOp::Or | AluOp::Xor | AluOp::Add)
            || !matches!(src, Src::Reg(_))
        {
            return None;
        }
        let ((first, of, n), (second, of_too, m)) = (self.shift(x)?, self.shift(y)?);
        let (left, right) = match (first, second) {
            (Opcode::Ishl, Opcode::Ushr) => (n, m),
            (Opcode::Ushr, Opcode::Ishl) => (m, n),
            _ => return None,
        };
        let ty = self.b.func.dfg.value_type(of);
        if of != of_too || left <= 0 || right <= 0 || left + right != i64::from(ty.bits()) {
            return None;
        }
        let count = self.number(ty, left);
        Some(self.b.ins().rotl(of, count))
    }

    /// What a value is the shift of by a number, and how far.
    fn shift(&self, v: Value) -> Option<(Opcode, Value, i64)> {
        let dfg = &self.b.func.dfg;
        let result = |v: Value| match dfg.value_def(dfg.resolve_aliases(v)) {
            ValueDef::Result(inst, _) => Some(dfg.insts[inst]),
            _ => None,
        };
        let InstructionData::Binary {
            opcode: opcode @ (Opcode::Ishl | Opcode::Ushr),
            args: [of, by],
        } = result(v)?
        else {
            return None;
        };
        let InstructionData::UnaryImm {
            opcode: Opcode::Iconst,
            imm,
        } = result(by)?
        else {
            return None;
        };
        Some((opcode, dfg.resolve_aliases(of), imm.bits()))
    }
}
