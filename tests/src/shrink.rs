//! A program that fails → a smaller one that still fails.

use probity_isa::{CallTarget, Imm64, Insn, Pc};

use crate::generate::Program;

/// Drops instructions, many at once and then one by one, while `fails` holds.
pub fn shrink(mut program: Program, fails: &dyn Fn(&Program) -> bool) -> Program {
    let mut size = program.code.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut smaller = false;
        while at < program.code.len() {
            match without(&program, at, at + size) {
                Some(less) if less.code.len() < program.code.len() && fails(&less) => {
                    program = less;
                    smaller = true;
                }
                _ => at += size,
            }
        }
        if !smaller || size > 1 {
            size /= 2;
        }
    }
    program
}

/// The program without these slots; jumps into them go to what follows. `None` when nothing sensible is left.
pub fn without(program: &Program, from: Pc, to: Pc) -> Option<Program> {
    let code = &program.code;
    let to = to.min(code.len());
    // 64-bit immediates go as a whole.
    let gone = |pc: Pc| (from..to).contains(&pc);
    let drop: Vec<bool> = (0..code.len())
        .map(|pc| match code[pc] {
            Insn::Imm64High => pc.checked_sub(1).is_some_and(gone),
            _ => gone(pc),
        })
        .collect();
    // The new slot of each old one, and of what follows it when it is dropped.
    let mut new = Vec::with_capacity(code.len() + 1);
    let mut n = 0;
    for d in &drop {
        new.push(n);
        n += usize::from(!d);
    }
    new.push(n);
    let moved = |target: i64| new.get(usize::try_from(target).ok()?).copied();
    let mut out = Vec::with_capacity(n);
    for (pc, insn) in code.iter().enumerate() {
        if drop[pc] {
            continue;
        }
        let mut insn = *insn;
        let jump = code[pc].jump_target(pc).map(moved);
        let call = code[pc].subprog_target(pc).map(moved);
        if let Some(target) = jump.or(call) {
            let far = target? as i64 - new[pc] as i64 - 1;
            match &mut insn {
                Insn::JumpIf { rel, .. } | Insn::MayGoto { rel } => *rel = far.try_into().ok()?,
                Insn::Jump { rel, .. } => *rel = far.try_into().ok()?,
                Insn::Call(CallTarget::Subprog { rel }) => *rel = far.try_into().ok()?,
                Insn::LoadImm64 {
                    imm: Imm64::Func { rel },
                    ..
                } => *rel = far.try_into().ok()?,
                _ => return None,
            }
        }
        out.push(insn);
    }
    let mut subprogs: Vec<(String, Pc)> = program
        .subprogs
        .iter()
        .map(|(name, start)| (name.clone(), new[*start]))
        .collect();
    // A subprogram without instructions is none.
    let ends: Vec<Pc> = subprogs.iter().skip(1).map(|s| s.1).chain([n]).collect();
    let mut ends = ends.into_iter();
    subprogs.retain(|s| ends.next().is_some_and(|end| end > s.1));
    let first = subprogs.first().map_or(n, |s| s.1);
    (first > 0).then_some(Program {
        section: program.section,
        code: out,
        subprogs,
    })
}
