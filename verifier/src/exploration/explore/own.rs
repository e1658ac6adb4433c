//! A call of a static subprogram that was called before → the states behind it, by a summary ([`crate::summary`]).
//!
//! The subprogram is walked by an explorer of its own, whose paths end where it exits. When that fails, nothing of it
//! stays, and the path goes on into the subprogram as it would have. So it does when something fails behind the call
//! and all ends were joined to one.

use std::rc::Rc;

use probity_isa::{CallTarget, Insn, Pc, Reg};

use crate::env::Env;
use crate::global::is_global;
use crate::origin::Origin;
use crate::reject::{Failure, Outcome, fail, internal};
use crate::report::Rule;
use crate::stack::SlotSet;
use crate::state::State;
use crate::summary::{self, End, MOST_ENDS, Summary, may_return};
use crate::value::Value;
use crate::worst::Called;

use super::attempt::Kind;
use super::{Explorer, MAX_WAITING, Waiting};

/// What an explorer of a subprogram alone keeps.
pub(super) struct Own {
    /// Frames above it.
    above: usize,
    /// Slots of the frame above in which copies of arguments are.
    copies: SlotSet,
    /// What it was entered with.
    entry: State,
    /// Each with what it was made from: r0, and copies that were narrowed.
    ends: Vec<(End, Vec<Origin>)>,
    /// It gives up when so many instructions are processed.
    limit: usize,
    /// It gave up.
    over: bool,
}

impl Own {
    /// The path is still in the subprogram, and there is time left.
    pub(super) fn goes_on(&mut self, state: &State, processed: usize) -> Outcome<()> {
        self.over |= processed >= self.limit;
        match self.over || state.frames.len() <= self.above {
            true => Err(internal(
                "a subprogram walked on its own ends soon, by an exit",
            )),
            false => Ok(()),
        }
    }

    /// Frames above it, and the origins of its arguments.
    pub(super) fn given(&self) -> (usize, [Origin; 5]) {
        (self.above, summary::origins(&self.entry))
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the instruction ends the subprogram.
    pub(super) fn ends_at(&self, insn: &Insn, state: &State) -> bool {
        matches!(insn, Insn::Exit) && state.frames.len() == self.above + 1
    }

    /// The subprogram exits in this state.
    pub(super) fn end(&mut self, env: &mut Env<'_>, state: &State, pc: Pc) -> Outcome<()> {
        let r0 = *state.reg(Reg::R0);
        let kept = state.references.is_empty() && state.regions.is_empty();
        if !kept || !may_return(&r0) {
            return Err(internal(
                "a subprogram walked on its own leaves nothing behind",
            ));
        }
        let copies = summary::copies_at(state, self.copies);
        let before = summary::copies_at(&self.entry, self.copies);
        // How r0 is related to an argument is compared only with a copy of that.
        let mut r0 = r0;
        let mut related = 0;
        let mut made = Vec::new();
        if let Value::Number(n) = &mut r0 {
            made.push(n.origin);
            related = n.link;
            let is = |v: &Value| v.as_number().is_some_and(|c| c.link == related);
            if related != 0 && !copies.iter().any(is) {
                (n.link, n.add, related) = (0, 0, 0);
            }
        }
        for (now, was) in copies.iter().zip(&before) {
            if let (Value::Number(n), Value::Number(w)) = (now, was)
                && (n.set != w.set || related != 0 && n.link == related)
            {
                made.push(n.origin);
            }
        }
        for origin in &made {
            env.origins.need_at_end(*origin);
        }
        // Nothing writes these.
        if let Some(reads) = env.reads.get_mut(self.above.wrapping_sub(1)) {
            reads.0 |= self.copies.0;
        }
        let end = End {
            pc,
            r0,
            from: 0,
            copies,
        };
        if let Some(known) = self.ends.iter_mut().find(|e| e.0.same(&end)) {
            known.1.extend(made);
            return Ok(());
        }
        self.ends.push((end, made));
        Ok(())
    }

    /// All ends, when all is walked.
    fn all_ends(self, env: &Env<'_>) -> Vec<End> {
        let given = summary::origins(&self.entry);
        let from = |made: &[Origin]| {
            let bits = made.iter().map(|o| env.origins.made_from(*o, &given));
            bits.fold(0, |all, bits| all | bits)
        };
        let ends = self.ends.into_iter();
        ends.map(|(end, made)| End {
            from: from(&made),
            ..end
        })
        .collect()
    }

    /// What there is of ends, to be put back when an attempt fails.
    pub(super) fn mark(&self) -> Vec<usize> {
        self.ends.iter().map(|e| e.1.len()).collect()
    }

    pub(super) fn undo(&mut self, mark: &[usize]) {
        self.ends.truncate(mark.len());
        for (end, made) in self.ends.iter_mut().zip(mark) {
            end.1.truncate(*made);
        }
    }
}

/// What one instruction of a subprogram may take, and any subprogram.
const WORTH: usize = 16;
const LEAST_WORTH: usize = 400;

impl Explorer<'_> {
    /// The call at the path's instruction is made by a summary, if one can be had: whether it was.
    pub(super) fn call(
        &mut self,
        env: &mut Env<'_>,
        path: &mut Waiting,
        trace: &mut dyn FnMut(Pc, &State),
    ) -> Result<bool, Box<Failure>> {
        let pc = path.pc;
        let Some(subprog) = static_callee(env, pc) else {
            return Ok(false);
        };
        if self.inline.take() == Some(pc) {
            return Ok(false);
        }
        let calls = env.summaries.entry(subprog).or_default();
        calls.entered = calls.entered.saturating_add(1);
        if calls.entered == 1
            || !env.cfg.branches(subprog)
            || !summary::suits(env, &path.state, subprog)
        {
            return Ok(false);
        }
        env.obligations[pc].check(&path.state, env.insn(pc))?;
        let entry = summary::entry(env, &path.state, subprog, pc);
        let Some(calls) = env.summaries.get_mut(&subprog) else {
            return Ok(false);
        };
        let promising = calls.promising();
        let known = env
            .summaries
            .get(&subprog)
            .and_then(|c| c.covering(env, &entry));
        let hit = known.is_some();
        let summary = match known {
            Some(summary) => Some(summary),
            None if promising => self.summarise(env, entry, subprog, trace),
            None => None,
        };
        if let Some(calls) = env.summaries.get_mut(&subprog) {
            calls.hits += u32::from(hit);
            calls.failed += u32::from(promising && summary.is_none());
        }
        match summary {
            Some(summary) => self.behind(env, path, &summary, trace),
            None => Ok(false),
        }
    }

    /// What follows the call at `pc` was wrong: it is walked.
    pub(super) fn walk_call(&mut self, env: &mut Env<'_>, pc: Pc) {
        self.inline = Some(pc);
        let calls = static_callee(env, pc).and_then(|s| env.summaries.get_mut(&s));
        if let Some(calls) = calls {
            calls.failed += 1;
        }
    }

    /// Walks the subprogram on its own.
    fn summarise(
        &mut self,
        env: &mut Env<'_>,
        entry: State,
        subprog: usize,
        trace: &mut dyn FnMut(Pc, &State),
    ) -> Option<Rc<Summary>> {
        let started = self.stats.processed;
        let limit = started + WORTH * env.cfg.reach(subprog) + LEAST_WORTH;
        let limits = [
            self.attempts.last().map(|a| a.end),
            self.own.as_ref().map(|o| o.limit),
        ];
        let limit = limits.into_iter().flatten().fold(limit, usize::min);
        let begun = env.begin_attempt();
        let mark = env.worst.mark();
        let before = env.worst.begin_part();
        let reads = std::mem::take(&mut env.reads);
        let recorder = env.recorder.take();
        env.recorder = recorder.is_some().then(Box::default);
        env.shifted_up = None;
        let above = entry.frames.len() - 1;
        let given = summary::origins(&entry);
        let mut inner = Explorer::new(env, self.stats, self.budget);
        inner.own = Some(Own {
            above,
            copies: summary::copies(&entry),
            entry: entry.clone(),
            ends: Vec::new(),
            limit,
            over: false,
        });
        let stood = self.pressure.stood();
        inner.wasted = self.wasted + stood;
        inner.watch = self.watch;
        std::mem::swap(&mut inner.compared, &mut self.compared);
        std::mem::swap(&mut inner.loops, &mut self.loops);
        let result = inner.run(env, entry.clone(), trace);
        std::mem::swap(&mut inner.compared, &mut self.compared);
        std::mem::swap(&mut inner.loops, &mut self.loops);
        let wasted = inner.wasted - stood;
        let abandoned = inner.attempts.len();
        let ends = inner
            .own
            .take()
            .map(|o| o.all_ends(env))
            .unwrap_or_default();
        drop(inner);
        env.reads = reads;
        env.shifted_up = None;
        env.recorder = recorder;
        for _ in 0..abandoned {
            env.keep_attempt();
        }
        let few = ends.len() <= MOST_ENDS || ends.iter().all(End::is_number);
        if result.is_err() || ends.is_empty() || !few {
            env.worst.forget_part(before, mark);
            env.undo_attempt(begun);
            self.wasted += self.stats.processed - started;
            return None;
        }
        self.wasted = wasted;
        let part = env.worst.end_part(before);
        let recorded = env.recorder.as_ref().and(env.recorded.take());
        let recorded = recorded.and_then(|r| {
            env.recorded_calls.push(r);
            u32::try_from(env.recorded_calls.len() - 1).ok()
        });
        let bits = given.iter().enumerate();
        let decided = bits.fold(0, |all, (i, o)| {
            all | u8::from(env.origins.decided(*o)) << i
        });
        env.journal.summary(subprog);
        env.keep_attempt();
        let coarse = ends.len() > MOST_ENDS;
        let summary = Rc::new(Summary {
            ends: match coarse {
                true => vec![summary::joined(&entry, &ends)],
                false => ends,
            },
            entry,
            coarse,
            decided,
            part,
            recorded,
        });
        if let Some(calls) = env.summaries.get_mut(&subprog) {
            calls.keep(summary.clone());
        }
        Some(summary)
    }

    /// The path goes on behind the call, from the first end; from the others later.
    fn behind(
        &mut self,
        env: &mut Env<'_>,
        path: &mut Waiting,
        summary: &Summary,
        trace: &mut dyn FnMut(Pc, &State),
    ) -> Result<bool, Box<Failure>> {
        let pc = path.pc;
        if summary.coarse {
            // Its only end is possible: it says nothing of the arguments.
            let state = path.state.clone();
            let n = self.attempt(env, path, Kind::Call, state, 1, usize::MAX);
            // It stands for the state that it was stored from, as a join does.
            self.nodes[n].joined = true;
        }
        summary.need(env, &path.state);
        let mut states: Vec<State> = Vec::new();
        for end in &summary.ends {
            states.extend(summary.behind(env, &path.state, end, pc));
        }
        let Some(first) = states.first().cloned() else {
            return Ok(false);
        };
        if self.waiting.len() + states.len() > MAX_WAITING {
            let must = format!("at most {MAX_WAITING} paths wait to be walked");
            return Err(fail(Rule::TooComplex, &must, "there would be more"));
        }
        env.reach(pc);
        path.way.insns += 1;
        env.worst.call(&mut path.way, Called::Part(summary.part));
        if let Some(r) = &mut env.recorder {
            path.place = r.visit(pc, &path.state, path.parent, path.place);
            if let Some(call) = summary.recorded {
                r.calls(path.place, call);
            }
        }
        if env.options.log_states > 0 {
            trace(pc, &path.state);
        }
        self.jumps += 2;
        self.flush(env, path.parent);
        let next = env.cfg.next(pc);
        for state in states.into_iter().skip(1).rev() {
            self.nodes[path.parent].open += 1;
            let waiting = Waiting {
                pc: next,
                state,
                parent: path.parent,
                history: path.history,
                place: path.place,
                back: false,
                met: false,
                entry: path.entry,
                alone: false,
                way: path.way,
                compared: None,
            };
            self.waits(env, waiting);
        }
        path.state = first;
        path.back = false;
        path.pc = next;
        Ok(true)
    }
}

/// The static subprogram that the instruction calls.
fn static_callee(env: &Env<'_>, pc: Pc) -> Option<usize> {
    let insn = env.insn(pc);
    let Insn::Call(CallTarget::Subprog { .. }) = insn else {
        return None;
    };
    let entry = env.cfg.subprog_entry(insn.subprog_target(pc)?)?;
    (env.options.summaries && !is_global(env, entry)).then_some(entry)
}
