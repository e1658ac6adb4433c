//! Stack bytes and frames over the deepest chains of calls, and what may not happen below a callback.
//!
//! Chains start at the program's entry and at each function that is called later on its own. For each number
//! of frames above it, a subprogram's worst case is kept: more bytes above it are never better.
//!
//! **Invariant:** dead calls count too: a chain here is as long as any that can run.

use probity_isa::{CallTarget, Insn};

use crate::cfg::Cfg;
use crate::env::{Env, MAX_FRAMES};
use crate::reject::{Failure, Outcome, fail};
use crate::report::Rule;

/// Frames are rounded up to this many bytes, as a compiled program's are.
const ROUND: i64 = 16;
/// A program that may be replaced by a tail call inside of a subprogram leaves its callers' frames in place.
const TAIL_CALL_BYTES: i64 = 256;
/// Frames from this size on are moved to the private stack, where there is one.
const PRIVATE_BYTES: i64 = 64;

/// The worst chain that ends above a subprogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Above {
    /// As the limit counts them.
    bytes: i64,
    /// As the programs use them.
    used: i64,
    /// Some callback is in it.
    callback: bool,
}

impl Above {
    fn join(self, other: Above) -> Above {
        Above {
            bytes: self.bytes.max(other.bytes),
            used: self.used.max(other.used),
            callback: self.callback | other.callback,
        }
    }
}

/// What one subprogram brings into a chain.
struct Link {
    calls: Vec<usize>,
    tail_call: bool,
    packet_load: bool,
    throws: bool,
    /// Its frame may be on the private stack.
    private: bool,
}

/// Bytes used by the deepest chain, or why one is too deep.
pub(crate) fn check(env: &Env<'_>) -> Outcome<usize> {
    if env.cfg.subprogs.len() == 1 && env.queue.later().next().is_none() {
        // One frame, and nothing that could lead to it from elsewhere.
        if env.platform.limits.frames > 0 && rounded(env, 0) <= limit(env) {
            return Ok(usize::try_from(own(env, 0)).unwrap_or(0));
        }
    }
    let mut links = links(env)?;
    let later: Vec<usize> = env.queue.later().collect();
    if has_private_stack(env) && !links.iter().any(|l| l.tail_call) {
        let shared = reachable(&links, &later);
        for (s, link) in links.iter_mut().enumerate() {
            link.private = !shared[s] && rounded(env, s) >= PRIVATE_BYTES;
        }
    }
    let mut used = chains(env, &links, 0)?;
    for root in later {
        used = used.max(chains(env, &links, root)?);
    }
    Ok(usize::try_from(used).unwrap_or(0))
}

/// Bytes of stack that a chain may take.
fn limit(env: &Env<'_>) -> i64 {
    let most = env.policy.max_stack.unwrap_or(usize::MAX);
    most.min(env.platform.limits.stack_bytes) as i64
}

fn has_private_stack(env: &Env<'_>) -> bool {
    let attach = env.attach_type().or(env.kind.default_attach);
    env.kind.private_stack.is_some_and(|p| {
        env.platform.version >= p.since
            && (p.attach.is_empty() || attach.is_some_and(|a| p.attach.contains(&a)))
    })
}

/// Bytes of a subprogram's own frame: whole slots.
fn own(env: &Env<'_>, s: usize) -> i64 {
    (env.stack_depth.get(s).copied().unwrap_or(0) + 7) / 8 * 8
}

fn rounded(env: &Env<'_>, s: usize) -> i64 {
    (own(env, s) + ROUND - 1) / ROUND * ROUND
}

fn links(env: &Env<'_>) -> Outcome<Vec<Link>> {
    let cfg = env.cfg;
    let one = |s: usize| -> Outcome<Link> {
        let subprog = &cfg.subprogs[s];
        let mut link = Link {
            calls: Vec::new(),
            tail_call: false,
            packet_load: false,
            throws: env.throws_itself(s),
            private: false,
        };
        for pc in subprog.start..subprog.end {
            let insn = &cfg.insns[pc];
            match insn {
                Insn::Call(CallTarget::Helper(id)) => {
                    link.tail_call |= env
                        .platform
                        .helper(*id)
                        .is_some_and(|h| h.effects.may_not_return);
                }
                Insn::LoadPacket { .. } => link.packet_load = true,
                _ => {}
            }
            let to = callee(cfg, insn, pc);
            if to.is_some() && to == env.exception_callback && matches!(insn, Insn::Call(_)) {
                let must = "an exception callback is called by exceptions only";
                let known = format!("`{}` calls it", subprog.name);
                return Err(Box::new(Failure {
                    pc: Some(pc),
                    ..*fail(Rule::CallNotAllowed, must, &known)
                }));
            }
            if let Some(to) = to
                // A function called later adds nothing to the chain that hands it over.
                && (matches!(insn, Insn::Call(_)) || !env.queue.later().any(|l| l == to))
            {
                link.calls.push(to);
            }
        }
        link.calls.sort_unstable();
        link.calls.dedup();
        Ok(link)
    };
    (0..cfg.subprogs.len()).map(one).collect()
}

fn callee(cfg: &Cfg, insn: &Insn, pc: usize) -> Option<usize> {
    insn.subprog_target(pc).and_then(|t| cfg.subprog_entry(t))
}

fn reachable(links: &[Link], from: &[usize]) -> Vec<bool> {
    let mut seen = vec![false; links.len()];
    let mut work = from.to_vec();
    while let Some(s) = work.pop() {
        if let Some(mark) = seen.get_mut(s)
            && !*mark
        {
            *mark = true;
            work.extend(&links[s].calls);
        }
    }
    seen
}

/// The bytes that the deepest chain from `root` uses.
fn chains(env: &Env<'_>, links: &[Link], root: usize) -> Outcome<i64> {
    let most_frames = env.platform.limits.frames.min(MAX_FRAMES);
    let limit = limit(env);
    let at = |s: usize, rule: Rule, must: &str, known: &str| {
        Box::new(Failure {
            pc: Some(env.cfg.subprogs[s].start),
            ..*fail(rule, must, known)
        })
    };
    let name = |s: usize| &env.cfg.subprogs[s].name;
    let mut deepest = 0;
    let mut level: Vec<Option<Above>> = vec![None; links.len()];
    level[root] = Some(Above {
        bytes: 0,
        used: 0,
        callback: false,
    });
    for frames in 1.. {
        let mut next: Vec<Option<Above>> = vec![None; links.len()];
        for (s, above) in level.iter().enumerate() {
            let Some(above) = *above else { continue };
            if frames > most_frames {
                let must = format!("calls nest at most {most_frames} deep");
                let known = format!("`{}` is called deeper", name(s));
                return Err(at(s, Rule::CallDepth, &must, &known));
            }
            let link = &links[s];
            let callback = above.callback || env.callbacks.contains_key(&s);
            if callback && link.packet_load {
                let must = "no callback uses legacy packet loads";
                let known = format!("`{}` does, in a callback", name(s));
                return Err(at(s, Rule::CallNotAllowed, must, &known));
            }
            if callback && link.throws {
                let must = "no callback throws an exception";
                let known = format!("`{}` does, in a callback", name(s));
                return Err(at(s, Rule::CallNotAllowed, must, &known));
            }
            if s != 0 && link.tail_call && above.bytes >= TAIL_CALL_BYTES {
                let must = format!(
                    "a subprogram with a tail call has less than {TAIL_CALL_BYTES} bytes of stack above it"
                );
                let known = format!("the callers of `{}` take {}", name(s), above.bytes);
                return Err(at(s, Rule::StackDepth, &must, &known));
            }
            let bytes = above.bytes + if link.private { 0 } else { rounded(env, s) };
            if bytes.max(rounded(env, s)) > limit {
                let must = format!("a chain of calls takes at most {limit} bytes of stack");
                let known = format!("the chain that ends with `{}` takes {bytes}", name(s));
                return Err(at(s, Rule::StackDepth, &must, &known));
            }
            let used = above.used + own(env, s);
            deepest = deepest.max(used);
            for &c in &link.calls {
                let here = Above {
                    bytes,
                    used,
                    callback,
                };
                next[c] = Some(next[c].map_or(here, |known| known.join(here)));
            }
        }
        if next.iter().all(Option::is_none) {
            break;
        }
        level = next;
    }
    Ok(deepest)
}
