//! Verified program → what its functions look like before translation: block heads and arguments.
//!
//! **Invariant:** an argument that a function does not read before writing is not passed, so
//! that no register lives longer than its uses.

use std::collections::BTreeSet;
use std::ops::Range;

use probity_isa::{CallTarget, Insn, Pc, Reg, RegSet};
use probity_verifier::VerifiedProgram;

/// One function of a program.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub name: String,
    pub range: Range<Pc>,
    /// Registers among r1 to r5 that it is handed.
    pub args: RegSet,
    /// Its address is taken, or others call it: it is called with all of r1 to r5.
    pub callback: bool,
    /// An exception may leave it: its callers look ([`crate::kfunc`]).
    pub throws: bool,
    /// It says where its stack is ([`crate::frames`]).
    pub named: bool,
    /// It makes tail calls, or is made one to ([`crate::tail`]): its calling convention is theirs.
    pub tail: bool,
}

/// The functions of a program, the main one first.
pub(crate) fn functions(
    p: &VerifiedProgram,
    exports: &[String],
    helper_args: &dyn Fn(u32) -> usize,
) -> Vec<Function> {
    let whole = 0..p.insns().len();
    let mut out: Vec<Function> = p
        .subprogs()
        .iter()
        .map(|s| Function {
            name: s.name.clone(),
            range: s.start.min(whole.end)..s.end.min(whole.end),
            args: RegSet::EMPTY,
            callback: s.global && exports.contains(&s.name),
            throws: false,
            named: false,
            tail: false,
        })
        .collect();
    if out.is_empty() {
        out.push(Function {
            name: p.name().to_string(),
            range: whole,
            args: RegSet::EMPTY,
            callback: false,
            throws: false,
            named: false,
            tail: false,
        });
    }
    for (pc, insn) in p.insns().iter().enumerate() {
        if let (Insn::LoadImm64 { .. }, Some(to)) = (insn, insn.subprog_target(pc))
            && let Some(f) = out.iter_mut().find(|f| f.range.start as i64 == to)
        {
            f.callback = true;
        }
    }
    for f in &mut out {
        if f.callback {
            f.args = RegSet::ARGUMENTS;
        }
    }
    if let [main] = &mut out[..] {
        main.args = RegSet::of(Reg::R1);
        return out;
    }
    // What a callee reads, its caller reads: to a fixed point, which few rounds reach as calls nest at most 8 deep.
    loop {
        let mut changed = false;
        for n in 0..out.len() {
            if out[n].callback {
                continue;
            }
            let args = entry_uses(p, &out, n, helper_args);
            changed |= args != out[n].args;
            out[n].args = args;
        }
        if !changed {
            break;
        }
    }
    if let Some(main) = out.first_mut() {
        main.args = RegSet::of(Reg::R1);
    }
    out
}

/// Where control comes together or parts.
pub(crate) fn heads(p: &VerifiedProgram, range: &Range<Pc>) -> BTreeSet<Pc> {
    let mut heads = BTreeSet::from([range.start]);
    let mut pc = range.start;
    while pc < range.end {
        let insn = &p.insns()[pc];
        if reached(p, pc) {
            heads.extend(successors(p, pc).filter(|to| *to != pc + insn.slots()));
            if insn.is_terminator() {
                heads.insert(pc + insn.slots());
            }
        }
        pc += insn.slots();
    }
    heads
}

/// Jumps to jumps that are followed.
const MAX_FOLLOWED: usize = 16;

/// Where a jump to an instruction leads through unconditional jumps of the function.
pub(crate) fn landing(p: &VerifiedProgram, range: &Range<Pc>, mut to: Pc) -> Pc {
    for _ in 0..MAX_FOLLOWED {
        let Some(insn @ Insn::Jump { .. }) = p.insns().get(to).filter(|_| reached(p, to)) else {
            break;
        };
        let next = insn.jump_target(to).and_then(|to| usize::try_from(to).ok());
        match next.filter(|next| range.contains(next)) {
            Some(next) => to = next,
            None => break,
        }
    }
    to
}

/// Some path of the proof comes here.
pub(crate) fn reached(p: &VerifiedProgram, pc: Pc) -> bool {
    p.facts().get(pc).is_some_and(|f| f.reached)
}

/// Where control may go from a reached instruction (not for `gotox`, which has a table).
pub(crate) fn successors(p: &VerifiedProgram, pc: Pc) -> impl Iterator<Item = Pc> {
    let insn = &p.insns()[pc];
    let decided = match insn {
        Insn::JumpIf { .. } => p.facts().get(pc).and_then(|f| f.decided),
        _ => None,
    };
    let jump = insn.jump_target(pc).filter(|_| decided != Some(false));
    let next =
        (insn.falls_through() && decided != Some(true)).then_some((pc + insn.slots()) as i64);
    [jump, next]
        .into_iter()
        .flatten()
        .filter_map(|to| usize::try_from(to).ok())
}

/// Control may go back from there.
pub(crate) fn loops_at(p: &VerifiedProgram, pc: Pc, insn: &Insn) -> bool {
    let table = matches!(insn, Insn::JumpReg { .. });
    // Most instructions are no jumps.
    let jumps = table || insn.jump_target(pc).is_some_and(|to| to <= pc as i64);
    jumps && reached(p, pc) && (table || successors(p, pc).any(|to| to <= pc))
}

/// The arguments live at a function's entry.
fn entry_uses(
    p: &VerifiedProgram,
    functions: &[Function],
    n: usize,
    helper_args: &dyn Fn(u32) -> usize,
) -> RegSet {
    let uses = |pc: Pc, insn: &Insn| insn_uses(functions, insn, pc, helper_args);
    let live = live(p, &functions[n].range, &uses);
    live.first().copied().unwrap_or(RegSet::EMPTY) & RegSet::ARGUMENTS
}

/// The registers that are read before they are written, from each instruction of a function on.
pub(crate) fn live(
    p: &VerifiedProgram,
    range: &Range<Pc>,
    uses: &dyn Fn(Pc, &Insn) -> RegSet,
) -> Vec<RegSet> {
    let mut live = vec![RegSet::EMPTY; range.len()];
    loop {
        // Only what a way back leads to can have been looked at too early.
        let (mut changed, mut back) = (false, false);
        for pc in range.clone().rev() {
            let insn = &p.insns()[pc];
            if !reached(p, pc) || matches!(insn, Insn::Imm64High) {
                continue;
            }
            let mut out = RegSet::EMPTY;
            if let Insn::JumpReg { .. } = insn {
                out = RegSet::ALL;
            }
            for to in successors(p, pc) {
                if range.contains(&to) {
                    back |= to <= pc;
                    out |= live[to - range.start];
                }
            }
            let before = uses(pc, insn) | (out - insn.defs());
            changed |= before != live[pc - range.start];
            live[pc - range.start] = before;
        }
        if !changed || !back {
            return live;
        }
    }
}

fn insn_uses(
    functions: &[Function],
    insn: &Insn,
    pc: Pc,
    helper_args: &dyn Fn(u32) -> usize,
) -> RegSet {
    match insn {
        Insn::Call(CallTarget::Helper(id)) => first_args(helper_args(*id)),
        Insn::Call(CallTarget::Subprog { .. }) => {
            let to = insn.subprog_target(pc);
            functions
                .iter()
                .find(|f| Some(f.range.start as i64) == to)
                .map_or(RegSet::ARGUMENTS, |f| f.args)
        }
        _ => insn.uses(),
    }
}

/// r1 to r`n`.
pub(crate) fn first_args(n: usize) -> RegSet {
    RegSet::ARGUMENTS.iter().take(n).collect()
}
