//! A loop's block → its counter and its kind of work, when it is one of those known.

use cranelift_codegen::ir::condcodes::{CondCode, IntCC};
use cranelift_codegen::ir::{Block, Function, Inst, InstructionData, Opcode, Value, types};

use super::values::{constant, def, extended, linear, low, outside, plus, unary};
use super::{Counter, Filling, Place, Sum, VECTOR, Work};

/// Bytes that a lap goes on at most.
const MAX_STEP: u64 = 64;
/// Laps that are counted at most.
const MAX_LAPS: u64 = 1 << 14;
/// Of a sum that is an address.
const MAX_DEPTH: usize = 6;

/// The only way into the loop from outside, when it hands on values only.
pub(super) fn entry(func: &Function, head: Block) -> Option<(Inst, Vec<Value>)> {
    let dfg = &func.dfg;
    let mut found = None;
    for block in func.layout.blocks().filter(|b| *b != head) {
        let Some(inst) = func.layout.last_inst(block) else {
            continue;
        };
        let to = dfg.insts[inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
        for call in to.iter().filter(|c| c.block(&dfg.value_lists) == head) {
            let args = call.args(&dfg.value_lists);
            let args = args.map(|a| Some(dfg.resolve_aliases(a.as_value()?)));
            let args = args.collect::<Option<Vec<Value>>>()?;
            if found.replace((inst, args)).is_some() {
                return None;
            }
        }
    }
    found
}

/// The parameter that decides how often the loop is gone through, and how often that is.
pub(super) fn counter(
    func: &Function,
    head: Block,
    init: &[Value],
    next: &[Value],
    decides: Value,
    while_true: bool,
) -> Option<Counter> {
    let params = func.dfg.block_params(head);
    let inst = def(func, decides)?;
    let InstructionData::IntCompare {
        opcode: Opcode::Icmp,
        args,
        cond,
    } = func.dfg.insts[inst]
    else {
        return None;
    };
    let [x, y] = args.map(|v| func.dfg.resolve_aliases(v));
    let (x, limit, cond) = match (constant(func, x), constant(func, y)) {
        (None, Some(k)) => (x, k, cond),
        (Some(k), None) => (y, k, cond.swap_args()),
        _ => return None,
    };
    let cond = if while_true { cond } else { cond.complement() };
    for (at, param) in params.iter().enumerate() {
        if func.dfg.value_type(*param) != types::I64 {
            continue;
        }
        let Some(step) =
            plus(func, next[at], *param).filter(|s| (1..=MAX_STEP).contains(&s.unsigned_abs()))
        else {
            continue;
        };
        // Compared is the counter before or after its step, or something as far from it.
        let Some(ahead) = plus(func, x, *param) else {
            continue;
        };
        let first = constant(func, init[at])?;
        let mut now = first;
        let mut laps = 1;
        while holds(cond, now.wrapping_add(ahead), limit) {
            laps += 1;
            if laps > MAX_LAPS {
                return None;
            }
            now = now.wrapping_add(step);
        }
        return Some(Counter {
            at,
            first,
            step,
            laps,
        });
    }
    None
}

fn holds(cond: IntCC, x: i64, y: i64) -> bool {
    match cond {
        IntCC::Equal => x == y,
        IntCC::NotEqual => x != y,
        IntCC::SignedLessThan => x < y,
        IntCC::SignedGreaterThanOrEqual => x >= y,
        IntCC::SignedGreaterThan => x > y,
        IntCC::SignedLessThanOrEqual => x <= y,
        IntCC::UnsignedLessThan => (x as u64) < y as u64,
        IntCC::UnsignedGreaterThanOrEqual => x as u64 >= y as u64,
        IntCC::UnsignedGreaterThan => x as u64 > y as u64,
        IntCC::UnsignedLessThanOrEqual => x as u64 <= y as u64,
    }
}

/// What the block's instructions do, when that is one of the kinds of work and nothing else.
pub(super) fn work(
    func: &Function,
    head: Block,
    next: &[Value],
    counter: &Counter,
) -> Option<Work> {
    let dfg = &func.dfg;
    let (mut load, mut store) = (None, None);
    for inst in func.layout.block_insts(head) {
        let data = &dfg.insts[inst];
        let opcode = data.opcode();
        if opcode.is_branch() {
            continue;
        }
        if opcode.can_load() {
            if load.replace(inst).is_some() {
                return None;
            }
        } else if opcode.can_store() {
            if store.replace(inst).is_some() {
                return None;
            }
        } else if opcode.other_side_effects() || opcode.can_trap() || opcode.is_call() {
            return None;
        }
    }
    let param = dfg.block_params(head)[counter.at];
    let place = |inst: Inst, address: Value, size: i64, offset: i32| {
        let flags = dfg.insts[inst].memflags_data(dfg)?;
        let mut sum = linear(func, head, param, address, MAX_DEPTH)?;
        sum.offset = sum.offset.wrapping_add(i64::from(offset));
        sum.terms.sort_unstable();
        let forward = sum.scale.wrapping_mul(counter.step) == size;
        (forward && flags.notrap()).then_some(Place { size, flags, sum })
    };
    let from = match load {
        Some(inst) => {
            let InstructionData::Load { arg, offset, .. } = dfg.insts[inst] else {
                return None;
            };
            let size = loaded(func, inst)?;
            let v = dfg.first_result(inst);
            Some((v, place(inst, arg, size, offset.into())?))
        }
        None => None,
    };
    let Some(inst) = store else {
        let (v, from) = from?;
        return sum_of(func, head, next, counter, v, from);
    };
    let InstructionData::Store {
        opcode: Opcode::Store,
        args: [data, address],
        offset,
        ..
    } = dfg.insts[inst]
    else {
        return None;
    };
    // Nothing else goes from lap to lap.
    if dfg.block_params(head).len() != 1 {
        return None;
    }
    let ty = dfg.value_type(data);
    if !matches!(ty, types::I8 | types::I16 | types::I32 | types::I64) {
        return None;
    }
    let to = place(inst, address, i64::from(ty.bytes()), offset.into())?;
    match from {
        Some((v, from)) => {
            let same = low(func, data) == v && from.size == to.size;
            (same && apart(&from, &to)).then_some(Work::Copy { from, to })
        }
        None => {
            let with = filling(func, head, data)?;
            Some(Work::Fill { with, to })
        }
    }
}

fn filling(func: &Function, head: Block, v: Value) -> Option<Filling> {
    let v = func.dfg.resolve_aliases(v);
    let ty = func.dfg.value_type(v);
    if let Some(inst) = def(func, v)
        && let InstructionData::UnaryImm {
            opcode: Opcode::Iconst,
            imm,
        } = func.dfg.insts[inst]
    {
        return Some(Filling::Number(ty, imm.bits()));
    }
    outside(func, head, v).then_some(Filling::Value(v))
}

/// No byte of sixteen from the one place is among the sixteen of the other.
fn apart(a: &Place, b: &Place) -> bool {
    if a.sum.terms == b.sum.terms && a.sum.scale == b.sum.scale {
        let distance = a.sum.offset.wrapping_sub(b.sum.offset);
        return distance.unsigned_abs() >= VECTOR as u64;
    }
    match (a.flags.alias_region(), b.flags.alias_region()) {
        (Some(a), Some(b)) => a != b,
        _ => false,
    }
}

/// Bytes of a load whose result is that of zero-extension, or as wide as what was loaded.
fn loaded(func: &Function, inst: Inst) -> Option<i64> {
    Some(match func.dfg.insts[inst].opcode() {
        Opcode::Uload8 => 1,
        Opcode::Uload16 => 2,
        Opcode::Uload32 => 4,
        Opcode::Load => {
            let ty = func.dfg.value_type(func.dfg.first_result(inst));
            match ty {
                types::I8 | types::I16 | types::I32 | types::I64 => i64::from(ty.bytes()),
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// The loop adds up what it loads.
fn sum_of(
    func: &Function,
    head: Block,
    next: &[Value],
    counter: &Counter,
    loaded: Value,
    from: Place,
) -> Option<Work> {
    let dfg = &func.dfg;
    let params = dfg.block_params(head);
    if params.len() != 2 {
        return None;
    }
    let at = 1 - counter.at;
    if dfg.value_type(params[at]) != types::I64 {
        return None;
    }
    let after = next[at];
    let (bits, sum) = match unary(func, after, Opcode::Uextend) {
        Some(v) if dfg.value_type(v) == types::I32 => (32, v),
        Some(_) => return None,
        None => (64, after),
    };
    let InstructionData::Binary {
        opcode: Opcode::Iadd,
        args,
    } = dfg.insts[def(func, sum)?]
    else {
        return None;
    };
    let [x, y] = args.map(|v| dfg.resolve_aliases(v));
    // Of 32 bits, what is added are the low halves.
    let part = |v: Value| match bits {
        32 => low(func, v),
        _ => v,
    };
    let adds = |a: Value, b: Value| {
        let whole = match bits {
            32 => low(func, a),
            _ => dfg.resolve_aliases(a),
        };
        whole == params[at] && extended(func, part(b)) == loaded
    };
    let wide = matches!((from.size, bits), (1 | 2 | 4, 32) | (4 | 8, 64));
    (wide && (adds(x, y) || adds(y, x))).then_some(Work::Sum {
        from,
        into: Sum { at, bits },
    })
}
