//! Loops that copy, fill or add up memory in a known number of laps → the same, sixteen bytes a lap.
//!
//! Most laps are done before the loop by a new one, whose lap does `K` of its laps at once; the loop itself does
//! those that are left, at least one, so that every value it leaves is what it was.
//!
//! ```text
//! head(i, s):                    before: base = …
//!   s' = s + load16 (base + i)   wide(i, v): v' = v + load16x4 (base + i)
//!   i' = i + 2              →                i' = i + 8; if i' != most: wide(i', v')
//!   if i' != 1480: head(i', s')    after: s = v0 + v1 + v2 + v3; head(most, s)
//! ```
//!
//! **Invariant:** the loop is one block with one way out, whose laps are counted when it is compiled: all of them
//! are made, so each byte that is accessed would be accessed anyway.
//!
//! **Invariant:** what a lap stores, no lap done with it loads: both places have the same base and lie
//! sixteen bytes or more apart, or are in regions that do not meet.

mod shape;
mod values;

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, Function, Inst, InstBuilder, InstructionData, MemFlagsData, Type,
    Value, types,
};

use shape::{counter, entry, work};
use values::Linear;

/// Bytes of a vector.
const VECTOR: i64 = 16;
/// Fewer wide laps are not worth the way there.
const MIN_WIDE: u64 = 3;
/// Instructions of a lap.
const MAX_INSTS: usize = 24;

/// The function has loops of one short block, which alone are changed.
pub(crate) fn short_loops(func: &Function) -> bool {
    func.layout.blocks().any(|head| {
        let branch = func.layout.last_inst(head).map(|i| func.dfg.insts[i]);
        let Some(InstructionData::Brif { blocks, .. }) = branch else {
            return false;
        };
        let back = |to: BlockCall| to.block(&func.dfg.value_lists) == head;
        blocks.into_iter().any(back) && func.layout.block_insts(head).count() <= MAX_INSTS
    })
}

/// Changes every such loop of the function; false when there is none.
pub(crate) fn widen(func: &mut Function) -> bool {
    let blocks: Vec<Block> = func.layout.blocks().collect();
    let mut any = false;
    for head in blocks {
        if let Some(found) = Lap::of(func, head) {
            any |= found.put_before(func);
        }
    }
    any
}

/// A loop's block, as far as all kinds of it are alike.
struct Lap {
    head: Block,
    /// The branch outside that leads to it.
    from: Inst,
    /// What it hands to the parameters.
    init: Vec<Value>,
    counter: Counter,
    work: Work,
}

/// A parameter that every lap adds a number to.
struct Counter {
    /// Number among the parameters.
    at: usize,
    first: i64,
    step: i64,
    laps: u64,
}

/// What a lap does beside counting.
enum Work {
    Copy { from: Place, to: Place },
    Fill { with: Filling, to: Place },
    Sum { from: Place, into: Sum },
}

/// What no lap changes, and every lap stores.
#[derive(Clone, Copy)]
enum Filling {
    Value(Value),
    Number(Type, i64),
}

/// A parameter that what is loaded is added to.
#[derive(Clone, Copy)]
struct Sum {
    at: usize,
    /// 32 or 64 bits, of the parameter's 64.
    bits: u32,
}

/// Where a lap accesses memory: `size` bytes at the sum of `terms`, the counter times `scale`, and `offset`.
#[derive(Clone)]
struct Place {
    size: i64,
    flags: MemFlagsData,
    sum: Linear,
}

impl Lap {
    fn of(func: &Function, head: Block) -> Option<Lap> {
        let branch = func.layout.last_inst(head)?;
        let dfg = &func.dfg;
        let InstructionData::Brif { arg, blocks, .. } = dfg.insts[branch] else {
            return None;
        };
        let to = blocks.map(|b| b.block(&dfg.value_lists));
        let back = to.iter().position(|b| *b == head)?;
        if to[0] == to[1] || func.layout.block_insts(head).count() > MAX_INSTS {
            return None;
        }
        let values = |args: &mut dyn Iterator<Item = BlockArg>| {
            args.map(|a| Some(dfg.resolve_aliases(a.as_value()?)))
                .collect::<Option<Vec<Value>>>()
        };
        let next = values(&mut blocks[back].args(&dfg.value_lists))?;
        let (from, init) = entry(func, head)?;
        let counter = counter(func, head, &init, &next, arg, back == 0)?;
        let work = work(func, head, &next, &counter)?;
        Some(Lap {
            head,
            from,
            init,
            counter,
            work,
        })
    }

    /// Laps of the loop that a wide lap does.
    fn width(&self) -> u64 {
        let bytes = match &self.work {
            Work::Copy { from, .. } => from.size,
            Work::Fill { to, .. } => to.size,
            // Two vectors of sums.
            Work::Sum { from, into } => match (from.size, into.bits) {
                (1 | 2, _) => return 8,
                (4, 32) => return 8,
                _ => return 4,
            },
        };
        (VECTOR / bytes) as u64
    }

    fn put_before(self, func: &mut Function) -> bool {
        let width = self.width();
        let laps = (self.counter.laps - 1) / width;
        if laps < MIN_WIDE {
            return false;
        }
        let step = self.counter.step.wrapping_mul(width as i64);
        let most = self
            .counter
            .first
            .wrapping_add(step.wrapping_mul(laps as i64));
        let (before, wide, after) = (
            func.dfg.make_block(),
            func.dfg.make_block(),
            func.dfg.make_block(),
        );
        for block in [before, wide, after] {
            func.layout.insert_block(block, self.head);
        }
        retarget(func, self.from, self.head, before);
        let mut at = FuncCursor::new(func);
        // Before: what no lap changes.
        at.goto_bottom(before);
        let first = at.ins().iconst(types::I64, self.counter.first);
        let (places, with, sum) = match &self.work {
            Work::Copy { from, to } => (vec![from, to], None, None),
            Work::Fill { with, to } => (vec![to], Some(*with), None),
            Work::Sum { from, into } => (vec![from], None, Some(*into)),
        };
        let bases: Vec<Value> = places.iter().map(|p| p.base(&mut at)).collect();
        let with = with.map(|f| {
            let v = match f {
                Filling::Value(v) => v,
                Filling::Number(ty, n) => at.ins().iconst(ty, n),
            };
            let lane = at.func.dfg.value_type(v);
            at.ins().splat(vector_of(lane), v)
        });
        let lanes = sum.map(|s| match s.bits {
            32 => types::I32X4,
            _ => types::I64X2,
        });
        let mut args = vec![BlockArg::from(first)];
        if let Some(ty) = lanes {
            let zero = at.func.dfg.constants.insert(vec![0u8; 16].into());
            let zero = at.ins().vconst(ty, zero);
            args.extend([BlockArg::from(zero); 2]);
        }
        at.ins().jump(wide, &args);
        // A wide lap.
        let counter = at.func.dfg.append_block_param(wide, types::I64);
        let sums: Vec<Value> = (lanes.iter().flat_map(|ty| [*ty, *ty]))
            .map(|ty| at.func.dfg.append_block_param(wide, ty))
            .collect();
        at.goto_bottom(wide);
        let addresses: Vec<(Value, i32)> = places
            .iter()
            .zip(&bases)
            .map(|(p, base)| p.address(&mut at, *base, counter))
            .collect();
        let mut carried = Vec::new();
        match (&self.work, &addresses[..]) {
            (Work::Copy { from, to }, [(a, x), (b, y)]) => {
                let v = at.ins().load(types::I8X16, from.flags, *a, *x);
                at.ins().store(to.flags, v, *b, *y);
            }
            (Work::Fill { to, .. }, [(b, y)]) => {
                let v = with.unwrap_or(first);
                at.ins().store(to.flags, v, *b, *y);
            }
            (Work::Sum { from, into }, [(a, x)]) => {
                let found = load_lanes(&mut at, from, into.bits, *a, *x);
                let pairs = sums.iter().zip(found);
                carried = pairs.map(|(s, v)| at.ins().iadd(*s, v)).collect();
            }
            _ => {}
        }
        let by = at.ins().iconst(types::I64, step);
        let next = at.ins().iadd(counter, by);
        let limit = at.ins().iconst(types::I64, most);
        let more = at.ins().icmp(IntCC::NotEqual, next, limit);
        let mut args = vec![BlockArg::from(next)];
        args.extend(carried.iter().map(|v| BlockArg::from(*v)));
        at.ins().brif(more, wide, &args, after, &[]);
        // After: the loop goes on from there.
        at.goto_bottom(after);
        let mut args = self.init.clone();
        args[self.counter.at] = at.ins().iconst(types::I64, most);
        if let Some(into) = sum {
            args[into.at] = total(&mut at, into, self.init[into.at], &carried);
        }
        let args: Vec<_> = args.into_iter().map(Into::into).collect();
        at.ins().jump(self.head, &args);
        true
    }
}

/// Makes the branch go to the other block, which takes no arguments.
fn retarget(func: &mut Function, branch: Inst, old: Block, new: Block) {
    let dfg = &mut func.dfg;
    let calls =
        dfg.insts[branch].branch_destination_mut(&mut dfg.jump_tables, &mut dfg.exception_tables);
    for call in calls {
        if call.block(&dfg.value_lists) == old {
            // Instructions that optimisation has replaced may share the old one's list.
            *call = BlockCall::new(new, [], &mut dfg.value_lists);
        }
    }
}

impl Place {
    /// What no lap changes of the address.
    fn base(&self, at: &mut FuncCursor) -> Value {
        let mut sum = None;
        for term in &self.sum.terms {
            sum = Some(match sum {
                Some(sum) => at.ins().iadd(sum, *term),
                None => *term,
            });
        }
        let near = i32::try_from(self.sum.offset).is_ok_and(|o| o < i32::MAX - 64);
        match (sum, near) {
            (Some(sum), true) => sum,
            (sum, _) => {
                let rest = if near { 0 } else { self.sum.offset };
                let rest = at.ins().iconst(types::I64, rest);
                sum.map_or(rest, |s| at.ins().iadd(s, rest))
            }
        }
    }

    fn address(&self, at: &mut FuncCursor, base: Value, counter: Value) -> (Value, i32) {
        let mut v = counter;
        if self.sum.scale != 1 {
            let scale = at.ins().iconst(types::I64, self.sum.scale);
            v = at.ins().imul(counter, scale);
        }
        let near = i32::try_from(self.sum.offset).ok();
        let near = near.filter(|o| *o < i32::MAX - 64);
        (at.ins().iadd(base, v), near.unwrap_or(0))
    }
}

fn vector_of(lane: Type) -> Type {
    match lane {
        types::I8 => types::I8X16,
        types::I16 => types::I16X8,
        types::I32 => types::I32X4,
        _ => types::I64X2,
    }
}

/// What a wide lap adds to the two vectors of sums.
fn load_lanes(
    at: &mut FuncCursor,
    from: &Place,
    bits: u32,
    address: Value,
    offset: i32,
) -> [Value; 2] {
    let flags = from.flags;
    match (from.size, bits) {
        (1, _) => {
            let v = at.ins().uload8x8(flags, address, offset);
            [at.ins().uwiden_low(v), at.ins().uwiden_high(v)]
        }
        (2, _) => [
            at.ins().uload16x4(flags, address, offset),
            at.ins().uload16x4(flags, address, offset + 8),
        ],
        (4, 32) => [
            at.ins().load(types::I32X4, flags, address, offset),
            at.ins().load(types::I32X4, flags, address, offset + 16),
        ],
        (4, _) => [
            at.ins().uload32x2(flags, address, offset),
            at.ins().uload32x2(flags, address, offset + 8),
        ],
        _ => [
            at.ins().load(types::I64X2, flags, address, offset),
            at.ins().load(types::I64X2, flags, address, offset + 16),
        ],
    }
}

/// The sum so far, as the parameter holds it.
fn total(at: &mut FuncCursor, into: Sum, init: Value, sums: &[Value]) -> Value {
    let lanes = if into.bits == 32 { 4 } else { 2 };
    let mut sum = match into.bits {
        32 => at.ins().ireduce(types::I32, init),
        _ => init,
    };
    let mut all = None;
    for v in sums {
        all = Some(match all {
            Some(all) => at.ins().iadd(all, *v),
            None => *v,
        });
    }
    for lane in 0..lanes {
        if let Some(v) = all {
            let part = at.ins().extractlane(v, lane);
            sum = at.ins().iadd(sum, part);
        }
    }
    match into.bits {
        32 => at.ins().uextend(types::I64, sum),
        _ => sum,
    }
}
