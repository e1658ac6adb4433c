//! Optimised IR → IR whose loops decide their exit by the counter's next value.
//!
//! Of `n = i + a; if n != k`, Cranelift makes `if i != k - a`, which keeps `i` alive beside `n`:
//! two registers, and on the way back a move and a second jump. Where `n` goes to the head of the
//! loop as the next `i`, the comparison is turned back.
//!
//! **Invariant:** only comparisons for equality are changed, which hold in wrapping arithmetic.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, Function, Inst, InstBuilder, InstructionData, Opcode, Type, Value, ValueDef,
};

/// Changes every loop of the function that can be.
pub(crate) fn turn(func: &mut Function) {
    let blocks: Vec<Block> = func.layout.blocks().collect();
    for block in blocks {
        let Some(branch) = func.layout.last_inst(block) else {
            continue;
        };
        if let Some(exit) = exit(func, branch) {
            apply(func, branch, exit);
        }
    }
}

/// A comparison to put in place of a branch's.
struct Exit {
    cc: IntCC,
    next: Value,
    ty: Type,
    limit: i64,
}

/// What the branch should compare, when it compares a counter whose next value it hands on.
fn exit(func: &Function, branch: Inst) -> Option<Exit> {
    let InstructionData::Brif { arg, blocks, .. } = func.dfg.insts[branch] else {
        return None;
    };
    let (cc, counter, limit) = comparison(func, arg)?;
    let ValueDef::Param(head, number) = func.dfg.value_def(counter) else {
        return None;
    };
    let ty = func.dfg.value_type(counter);
    for to in blocks {
        if to.block(&func.dfg.value_lists) != head {
            continue;
        }
        let next = to.args(&func.dfg.value_lists).nth(number)?.as_value()?;
        let next = func.dfg.resolve_aliases(next);
        if let Some((base, step)) = sum(func, next)
            && base == counter
        {
            let limit = wrap(ty, limit.wrapping_add(step));
            return Some(Exit {
                cc,
                next,
                ty,
                limit,
            });
        }
    }
    None
}

/// `x == k` or `x != k`.
fn comparison(func: &Function, v: Value) -> Option<(IntCC, Value, i64)> {
    let inst = func.dfg.value_def(func.dfg.resolve_aliases(v)).inst()?;
    let InstructionData::IntCompare {
        opcode: Opcode::Icmp,
        args,
        cond: cc @ (IntCC::Equal | IntCC::NotEqual),
    } = func.dfg.insts[inst]
    else {
        return None;
    };
    let [x, k] = args.map(|v| func.dfg.resolve_aliases(v));
    match (constant(func, x), constant(func, k)) {
        (None, Some(k)) => Some((cc, x, k)),
        (Some(x), None) => Some((cc, k, x)),
        _ => None,
    }
}

/// `x + k`.
fn sum(func: &Function, v: Value) -> Option<(Value, i64)> {
    let inst = func.dfg.value_def(v).inst()?;
    let InstructionData::Binary {
        opcode: opcode @ (Opcode::Iadd | Opcode::Isub),
        args,
    } = func.dfg.insts[inst]
    else {
        return None;
    };
    let [x, y] = args.map(|v| func.dfg.resolve_aliases(v));
    match (opcode, constant(func, x), constant(func, y)) {
        (Opcode::Iadd, None, Some(k)) => Some((x, k)),
        (Opcode::Iadd, Some(k), None) => Some((y, k)),
        (Opcode::Isub, None, Some(k)) => Some((x, k.wrapping_neg())),
        _ => None,
    }
}

fn constant(func: &Function, v: Value) -> Option<i64> {
    let inst = func.dfg.value_def(v).inst()?;
    match func.dfg.insts[inst] {
        InstructionData::UnaryImm {
            opcode: Opcode::Iconst,
            imm,
        } => Some(imm.bits()),
        _ => None,
    }
}

/// A constant as its type holds it.
fn wrap(ty: Type, k: i64) -> i64 {
    match ty.bits() {
        8 => i64::from(k as u8),
        16 => i64::from(k as u16),
        32 => i64::from(k as u32),
        _ => k,
    }
}

fn apply(func: &mut Function, branch: Inst, exit: Exit) {
    let mut at = FuncCursor::new(func).at_inst(branch);
    let limit = at.ins().iconst(exit.ty, exit.limit);
    let decided = at.ins().icmp(exit.cc, exit.next, limit);
    if let Some(arg) = at.func.dfg.inst_args_mut(branch).first_mut() {
        *arg = decided;
    }
}
