//! Stack bytes over the deepest chain of calls.

use probity_isa::{CallTarget, Insn};

use crate::env::Env;
use crate::reject::{Failure, Outcome, fail};
use crate::report::Rule;

/// Frames are rounded up to this many bytes, as a compiled program's are.
const ROUND: i64 = 16;
/// A program that may be replaced by a tail call inside of a subprogram leaves its callers' frames in place.
const TAIL_CALL_BYTES: i64 = 256;

/// The bytes of the deepest chain, or why it is too deep.
pub(crate) fn check(env: &Env<'_>) -> Outcome<usize> {
    let cfg = env.cfg;
    let n = cfg.subprogs.len();
    let mut calls: Vec<Vec<usize>> = vec![Vec::new(); n];
    let mut tail = vec![false; n];
    for (pc, insn) in cfg.insns.iter().enumerate() {
        let Some(from) = cfg.subprog_at(pc) else {
            continue;
        };
        if let Some(to) = insn.subprog_target(pc).and_then(|t| cfg.subprog_entry(t)) {
            calls[from].push(to);
        }
        if let Insn::Call(CallTarget::Helper(id)) = insn {
            tail[from] |= env
                .platform
                .helper(*id)
                .is_some_and(|h| h.effects.may_not_return);
        }
    }
    let own = |s: usize| (env.stack_depth[s].max(1) + ROUND - 1) / ROUND * ROUND;
    // Deepest chain that ends with each subprogram's frame; callers come before callees in no fixed
    // order, so relax until nothing changes: there is no recursion, so at most `n` rounds.
    let mut above: Vec<i64> = vec![-1; n];
    above[0] = 0;
    for _ in 0..=n {
        let mut changed = false;
        for s in 0..n {
            if above[s] < 0 {
                continue;
            }
            for &c in &calls[s] {
                let depth = above[s] + own(s);
                if depth > above[c] {
                    above[c] = depth;
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
    let limit = env
        .policy
        .max_stack
        .unwrap_or(usize::MAX)
        .min(env.platform.limits.stack_bytes);
    let mut deepest = 0;
    for s in (0..n).filter(|s| above[*s] >= 0) {
        let depth = above[s] + own(s);
        let at = |rule, must: &str, known: &str| {
            Err(Box::new(Failure {
                pc: Some(cfg.subprogs[s].start),
                ..*fail(rule, must, known)
            }))
        };
        if depth > limit as i64 {
            let known = format!(
                "the chain that ends with `{}` takes {depth}",
                cfg.subprogs[s].name
            );
            return at(
                Rule::StackDepth,
                &format!("a chain of calls takes at most {limit} bytes of stack"),
                &known,
            );
        }
        if s > 0 && tail[s] && above[s] >= TAIL_CALL_BYTES {
            let known = format!(
                "the callers of `{}` take {}",
                cfg.subprogs[s].name, above[s]
            );
            let must = format!(
                "a subprogram with a tail call has less than {TAIL_CALL_BYTES} bytes of stack above it"
            );
            return at(Rule::StackDepth, &must, &known);
        }
        deepest = deepest.max(depth);
    }
    Ok(deepest as usize)
}
