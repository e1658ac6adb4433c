//! A failure and the state it happened in → a [`Rejection`] that a person can act on.

use probity_btf::TypeId;
use probity_isa::{CallTarget, Insn, Pc};
use probity_objfile::Program;
use probity_platform::Platform;

use crate::explore::Stopped;
use crate::report::{Rejection, Step};
use crate::trail;

/// Most instructions told in a trail, and most branches where no register explains a failure.
const CAUSES: usize = 10;
const TURNS: usize = 4;

/// `insns`: the program's instructions, if they were decoded.
pub(crate) fn rejection(
    program: &Program,
    insns: Vec<Insn>,
    platform: &Platform,
    stopped: &Stopped,
) -> Rejection {
    let insns = match insns.is_empty() {
        true => probity_isa::decode(&program.insns).unwrap_or_default(),
        false => insns,
    };
    let f = &stopped.failure;
    let pc = Some(stopped.pc).filter(|pc| *pc < program.insns.len());
    let text = |pc: Pc| insns.get(pc).map(|insn| shown(insn, pc, program, platform));
    let step = |pc: Pc, what: String| Step {
        pc,
        line: program.line_at(pc).cloned(),
        what,
    };
    let starts: Vec<Pc> = program.subprogs.iter().map(|s| s.start).collect();
    let found = trail::causes(&insns, &starts, &stopped.turns, stopped.pc, &f.regs, CAUSES);
    let mut trail: Vec<Step> = found
        .iter()
        .filter_map(|cause| {
            let insn = text(cause.pc)?;
            Some(step(
                cause.pc,
                match cause.taken {
                    Some(true) => format!("taken: {insn}"),
                    Some(false) => format!("not taken: {insn}"),
                    None => insn,
                },
            ))
        })
        .collect();
    for reg in &f.regs {
        if let Some(at) = stopped.state.set_at(*reg)
            && matches!(insns.get(at), Some(Insn::Call(_)))
            && !insns[at].defs().contains(*reg)
            && let Some(insn) = text(at)
        {
            trail.push(step(at, format!("{insn}: {reg} is no pointer any more")));
        }
    }
    if trail.is_empty() {
        trail = last_turns(stopped, &insns, &text, &step);
    }
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

/// The branches that led to a failure that the path does not explain, and what set the registers in it.
fn last_turns(
    stopped: &Stopped,
    insns: &[Insn],
    text: &dyn Fn(Pc) -> Option<String>,
    step: &dyn Fn(Pc, String) -> Step,
) -> Vec<Step> {
    let skip = stopped.turns.len().saturating_sub(TURNS);
    let turns = stopped.turns.iter().skip(skip);
    let set = stopped.failure.regs.iter().filter_map(|reg| {
        let at = stopped.state.set_at(*reg)?;
        Some(step(at, text(at)?))
    });
    let turns = turns.filter_map(|turn| {
        let insn = insns.get(turn.pc)?;
        let jumped = insn.jump_target(turn.pc) == i64::try_from(turn.to).ok();
        let what = if jumped { "taken" } else { "not taken" };
        Some(step(turn.pc, format!("{what}: {}", text(turn.pc)?)))
    });
    let mut steps: Vec<Step> = set.chain(turns).collect();
    steps.dedup();
    steps
}

/// An instruction as a person reads it: calls by the name of what they call.
fn shown(insn: &Insn, pc: Pc, program: &Program, platform: &Platform) -> String {
    let name = match insn {
        Insn::Call(CallTarget::Helper(id)) => {
            platform.helper(*id).map(|h| format!("bpf_{}", h.name))
        }
        Insn::Call(CallTarget::Kfunc { id, .. }) => platform
            .types
            .as_deref()
            .map(|t| t.name(TypeId(*id)).to_string()),
        Insn::Call(CallTarget::Subprog { .. }) => insn
            .subprog_target(pc)
            .and_then(|to| usize::try_from(to).ok())
            .and_then(|to| program.subprogs.iter().find(|s| s.start == to))
            .map(|s| s.name.clone()),
        _ => None,
    };
    match name.filter(|n| !n.is_empty()) {
        Some(name) => format!("call {name}"),
        None => insn.to_string(),
    }
}
