//! Values that nobody uses → nothing.
//!
//! Translation goes forwards, so that it computes halves and wholes of registers that nobody reads in the end, shifts that
//! become rotations, bytes that become words. Each would take every later pass its time before one throws it out.
//!
//! **Invariant:** what is taken out gives nothing that is used, and does nothing else: it cannot trap, and writes nothing.

use cranelift_codegen::ir::{Block, Function, Inst, Opcode, Value};

/// Takes such instructions out of the function; says whether its first parameter, the call's state, is used by what is left.
pub(crate) fn sweep(func: &mut Function) -> bool {
    let mut uses = vec![0u32; func.dfg.num_values()];
    let blocks: Vec<Block> = func.layout.blocks().collect();
    for block in &blocks {
        for inst in func.layout.block_insts(*block) {
            let mut note = |v: Value| {
                let v = func.dfg.resolve_aliases(v);
                if let Some(n) = uses.get_mut(v.as_u32() as usize) {
                    *n += 1;
                }
            };
            match func.dfg.insts[inst].opcode().is_branch() {
                true => func.dfg.inst_values(inst).for_each(note),
                false => func.dfg.inst_args(inst).iter().for_each(|v| note(*v)),
            }
        }
    }
    for block in blocks.into_iter().rev() {
        let mut at = func.layout.last_inst(block);
        while let Some(inst) = at {
            at = func.layout.prev_inst(inst);
            if !harmless(func, inst) {
                continue;
            }
            let used = |v: &Value| uses.get(v.as_u32() as usize).is_none_or(|n| *n > 0);
            if func.dfg.inst_results(inst).iter().any(used) {
                continue;
            }
            for v in func.dfg.inst_args(inst) {
                let v = func.dfg.resolve_aliases(*v);
                if let Some(n) = uses.get_mut(v.as_u32() as usize) {
                    *n = n.saturating_sub(1);
                }
            }
            func.layout.remove_inst(inst);
        }
    }
    let entry = func.layout.entry_block();
    let state = entry.and_then(|b| func.dfg.block_params(b).first());
    let uses = state.and_then(|v| uses.get(v.as_u32() as usize));
    uses.is_none_or(|n| *n > 0)
}

/// It does nothing but give its results.
fn harmless(func: &Function, inst: Inst) -> bool {
    let data = &func.dfg.insts[inst];
    let opcode = data.opcode();
    match opcode {
        Opcode::Load
        | Opcode::Uload8
        | Opcode::Uload16
        | Opcode::Uload32
        | Opcode::Sload8
        | Opcode::Sload16
        | Opcode::Sload32 => data
            .memflags_data(&func.dfg)
            .is_some_and(|flags| flags.notrap()),
        _ => {
            !opcode.is_terminator()
                && !opcode.is_branch()
                && !opcode.is_call()
                && !opcode.can_load()
                && !opcode.can_store()
                && !opcode.can_trap()
                && !opcode.other_side_effects()
        }
    }
}
