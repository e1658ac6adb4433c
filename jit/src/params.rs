//! Parameters of blocks that only ever are one other value → that value.
//!
//! Registers become values before the blocks' predecessors are all known, so that a loop's blocks take
//! parameters for what the loop does not change. Each costs a register or a move, and hides from the
//! passes after it what it is.
//!
//! **Invariant:** a parameter is replaced by `v` only when every way into its block passes `v` or the
//! parameter itself: then `v` is computed on every way there.

use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, Function, Inst, Value};

/// Rounds after which what is left stays: each finds all parameters that only depend on those found before.
const MAX_ROUNDS: usize = 8;

/// What a parameter was seen to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Seen {
    #[default]
    Nothing,
    One(Value),
    Many,
}

/// Removes such parameters from the function.
pub(crate) fn remove(func: &mut Function) {
    let mut same: SecondaryMap<Value, Option<Value>> = SecondaryMap::new();
    let mut any = false;
    for _ in 0..MAX_ROUNDS {
        if !round(func, &mut same) {
            break;
        }
        any = true;
    }
    if any {
        rewrite(func, &same);
    }
}

/// What a value is, as far as it is known.
fn resolve(func: &Function, same: &SecondaryMap<Value, Option<Value>>, v: Value) -> Value {
    let mut v = func.dfg.resolve_aliases(v);
    while let Some(other) = same[v] {
        v = func.dfg.resolve_aliases(other);
    }
    v
}

fn terminators(func: &Function) -> impl Iterator<Item = Inst> {
    let blocks = func.layout.blocks();
    blocks.filter_map(|b| func.layout.last_inst(b))
}

/// Finds more of them; false when there are none.
fn round(func: &Function, same: &mut SecondaryMap<Value, Option<Value>>) -> bool {
    let mut seen: SecondaryMap<Value, Seen> = SecondaryMap::new();
    let dfg = &func.dfg;
    for inst in terminators(func) {
        let to = dfg.insts[inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
        for call in to {
            let params = dfg.block_params(call.block(&dfg.value_lists));
            for (param, arg) in params.iter().zip(call.args(&dfg.value_lists)) {
                let found = match arg {
                    BlockArg::Value(v) => resolve(func, same, v),
                    _ => {
                        seen[*param] = Seen::Many;
                        continue;
                    }
                };
                if found == *param || same[*param].is_some() {
                    continue;
                }
                seen[*param] = match seen[*param] {
                    Seen::Nothing => Seen::One(found),
                    Seen::One(v) if v == found => Seen::One(v),
                    _ => Seen::Many,
                };
            }
        }
    }
    let mut more = false;
    for block in func.layout.blocks() {
        for &param in dfg.block_params(block) {
            if let Seen::One(v) = seen[param] {
                // Two that are each other, and nothing else, are no value at all.
                let v = resolve(func, same, v);
                if v != param {
                    same[param] = Some(v);
                    more = true;
                }
            }
        }
    }
    more
}

fn rewrite(func: &mut Function, same: &SecondaryMap<Value, Option<Value>>) {
    let blocks: Vec<Block> = func.layout.blocks().collect();
    let branches: Vec<Inst> = terminators(func).collect();
    for inst in branches {
        let dfg = &mut func.dfg;
        let params: Vec<Vec<bool>> = dfg.insts[inst]
            .branch_destination(&dfg.jump_tables, &dfg.exception_tables)
            .iter()
            .map(|call| {
                let params = dfg.block_params(call.block(&dfg.value_lists));
                params.iter().map(|p| same[*p].is_none()).collect()
            })
            .collect();
        let calls =
            dfg.insts[inst].branch_destination_mut(&mut dfg.jump_tables, &mut dfg.exception_tables);
        for (call, stay) in calls.iter_mut().zip(&params) {
            if stay.iter().all(|s| *s) {
                continue;
            }
            let args = call.args(&dfg.value_lists).zip(stay);
            let kept: Vec<BlockArg> = args.filter(|(_, stay)| **stay).map(|(a, _)| a).collect();
            // A new one: instructions that optimisation has replaced may share the old one's list.
            let block = call.block(&dfg.value_lists);
            *call = BlockCall::new(block, kept, &mut dfg.value_lists);
        }
    }
    for block in blocks {
        let params = func.dfg.block_params(block).to_vec();
        for param in params.into_iter().filter(|p| same[*p].is_some()) {
            let v = resolve(func, same, param);
            func.dfg.remove_block_param(param);
            func.dfg.change_to_alias(param, v);
        }
    }
    func.dfg.resolve_all_aliases();
}
