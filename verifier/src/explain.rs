//! A failure and the state it happened in → a [`Rejection`] that a person can act on.

use probity_isa::{Insn, Pc};
use probity_objfile::{Object, Program};

use crate::explore::Stopped;
use crate::report::{Rejection, Step};

/// Most branches told in a trail.
const TURNS: usize = 4;

pub(crate) fn rejection(program: &Program, object: &Object, stopped: &Stopped) -> Rejection {
    let _ = object;
    let insns = probity_isa::decode(&program.insns).unwrap_or_default();
    let f = &stopped.failure;
    let pc = Some(stopped.pc).filter(|pc| *pc < program.insns.len());
    let text = |pc: Pc| insns.get(pc).map(Insn::to_string);
    let step = |pc: Pc, what: String| Step {
        pc,
        line: program.line_at(pc).cloned(),
        what,
    };
    let mut trail = Vec::new();
    for reg in &f.regs {
        if let Some(at) = stopped.state.set_at(*reg)
            && let Some(insn) = text(at)
        {
            trail.push(step(at, format!("{reg} was last set: {insn}")));
        }
    }
    let skip = stopped.turns.len().saturating_sub(TURNS);
    for turn in stopped.turns.iter().skip(skip) {
        if let Some(insn) = text(turn.pc) {
            let jumped = insns.get(turn.pc).and_then(|i| i.jump_target(turn.pc))
                == i64::try_from(turn.to).ok();
            let what = if jumped { "taken" } else { "not taken" };
            trail.push(step(turn.pc, format!("{what}: {insn}")));
        }
    }
    trail.sort_by_key(|s| s.pc);
    trail.dedup();
    Rejection {
        pc,
        insn: pc.and_then(text),
        line: pc.and_then(|pc| program.line_at(pc)).cloned(),
        rule: f.rule,
        must: f.must.clone(),
        known: f.known.clone(),
        trail,
        hint: f.hint.clone(),
    }
}
