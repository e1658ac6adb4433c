//! Values of a loop's block → how they are made of what no lap changes, the counter, and numbers.
//!
//! **Invariant:** what is not recognised is `None`, or the value itself.

use cranelift_codegen::ir::types;
use cranelift_codegen::ir::{Block, Function, Inst, InstructionData, Opcode, Value, ValueDef};

/// A sum of what no lap changes, the counter times `scale`, and `offset`.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Linear {
    /// What no lap changes, sorted.
    pub terms: Vec<Value>,
    pub scale: i64,
    pub offset: i64,
}

/// The value of which this is the low part.
pub(super) fn low(func: &Function, v: Value) -> Value {
    let mut v = func.dfg.resolve_aliases(v);
    while let Some(of) = unary(func, v, Opcode::Ireduce) {
        v = of;
    }
    v
}

/// The value of which this is the zero-extension.
pub(super) fn extended(func: &Function, v: Value) -> Value {
    let v = func.dfg.resolve_aliases(v);
    unary(func, v, Opcode::Uextend).unwrap_or(v)
}

pub(super) fn unary(func: &Function, v: Value, wanted: Opcode) -> Option<Value> {
    match func.dfg.insts[def(func, v)?] {
        InstructionData::Unary { opcode, arg } if opcode == wanted => {
            Some(func.dfg.resolve_aliases(arg))
        }
        _ => None,
    }
}

pub(super) fn def(func: &Function, v: Value) -> Option<Inst> {
    match func.dfg.value_def(func.dfg.resolve_aliases(v)) {
        ValueDef::Result(inst, _) => Some(inst),
        _ => None,
    }
}

pub(super) fn constant(func: &Function, v: Value) -> Option<i64> {
    match func.dfg.insts[def(func, v)?] {
        InstructionData::UnaryImm {
            opcode: Opcode::Iconst,
            imm,
        } if func.dfg.value_type(v) == types::I64 => Some(imm.bits()),
        _ => None,
    }
}

/// What `v` is more than `base`, when that is known.
pub(super) fn plus(func: &Function, v: Value, base: Value) -> Option<i64> {
    let v = func.dfg.resolve_aliases(v);
    if v == base {
        return Some(0);
    }
    let InstructionData::Binary { opcode, args } = func.dfg.insts[def(func, v)?] else {
        return None;
    };
    let [x, y] = args.map(|v| func.dfg.resolve_aliases(v));
    match opcode {
        Opcode::Iadd if x == base => constant(func, y),
        Opcode::Iadd if y == base => constant(func, x),
        Opcode::Isub if x == base => constant(func, y).map(i64::wrapping_neg),
        _ => None,
    }
}

/// Computed before the loop.
pub(super) fn outside(func: &Function, head: Block, v: Value) -> bool {
    match func.dfg.value_def(v) {
        ValueDef::Result(inst, _) => func.layout.inst_block(inst).is_some_and(|b| b != head),
        ValueDef::Param(block, _) => block != head,
        _ => false,
    }
}

/// An address as a sum.
pub(super) fn linear(
    func: &Function,
    head: Block,
    counter: Value,
    v: Value,
    depth: usize,
) -> Option<Linear> {
    let v = func.dfg.resolve_aliases(v);
    if v == counter {
        return Some(Linear {
            scale: 1,
            ..Linear::default()
        });
    }
    if let Some(offset) = constant(func, v) {
        return Some(Linear {
            offset,
            ..Linear::default()
        });
    }
    if outside(func, head, v) {
        return Some(Linear {
            terms: vec![v],
            ..Linear::default()
        });
    }
    let depth = depth.checked_sub(1)?;
    let InstructionData::Binary { opcode, args } = func.dfg.insts[def(func, v)?] else {
        return None;
    };
    let of = |v| linear(func, head, counter, v, depth);
    match opcode {
        Opcode::Iadd => {
            let (mut x, y) = (of(args[0])?, of(args[1])?);
            x.terms.extend(y.terms);
            x.scale = x.scale.wrapping_add(y.scale);
            x.offset = x.offset.wrapping_add(y.offset);
            Some(x)
        }
        Opcode::Ishl => {
            let (mut x, by) = (of(args[0])?, constant(func, args[1])?);
            let by = u32::try_from(by).ok().filter(|b| *b < 64)?;
            x.scale = x.scale.wrapping_shl(by);
            x.offset = x.offset.wrapping_shl(by);
            x.terms.is_empty().then_some(x)
        }
        _ => None,
    }
}
