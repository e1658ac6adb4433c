//! What a well-formed program looks like: where paths meet, where loops are, and how far calls reach.

use std::ops::RangeInclusive;

use probity_isa::{Insn, Pc};
use probity_objfile::Subprog;

use super::{Cfg, DirectCall, Marks, calls_from};
use crate::env::MAX_FRAMES;
use crate::loops;

impl Cfg {
    /// Whether more than one path may lead through each subprogram.
    fn forks(&self, calls: &[DirectCall]) -> Vec<bool> {
        let forking = |insn: &Insn| {
            matches!(
                insn,
                Insn::JumpIf { .. }
                    | Insn::JumpReg { .. }
                    | Insn::MayGoto { .. }
                    | Insn::LoadPacket { .. }
            )
        };
        let own = |s: &Subprog| {
            let insns = &self.insns[s.start..s.end];
            insns.iter().any(forking) || (s.start..s.end).any(|pc| self.takes_address(pc))
        };
        let mut all: Vec<bool> = self.subprogs.iter().map(own).collect();
        // Callees come before or after their callers: until nothing changes.
        loop {
            let mut changed = false;
            for call in calls {
                changed |= all[call.to] && !all[call.from];
                all[call.from] |= all[call.to];
            }
            if !changed {
                return all;
            }
        }
    }

    fn takes_address(&self, pc: Pc) -> bool {
        self.callee(pc).is_none() && self.insns[pc].subprog_target(pc).is_some()
    }

    /// The instruction behind the next call of a helper or kernel function, along the straight way.
    fn behind_next_call(&self, mut pc: Pc) -> Option<Pc> {
        loop {
            pc = self.next(pc);
            match self.insns.get(pc)? {
                Insn::Call(_) if self.callee(pc).is_none() => return Some(self.next(pc)),
                insn if insn.falls_through() && insn.jump_target(pc).is_none() => {}
                _ => return None,
            }
        }
    }

    pub(super) fn find_merges(&mut self, calls: &[DirectCall]) {
        // Where there is one subprogram, nothing returns.
        let forks = match self.subprogs.len() {
            1 => Vec::new(),
            _ => self.forks(calls),
        };
        self.find_spans(&forks, calls);
        for s in &self.subprogs {
            self.marks[s.start].add_way();
        }
        let mut backward: Vec<Pc> = Vec::new();
        for pc in 0..self.insns.len() {
            if self.insns[pc].is_straight() {
                self.marks[pc + 1].add_way();
                continue;
            }
            if matches!(self.insns[pc], Insn::Imm64High) {
                continue;
            }
            let (next, target) = self.ways(pc);
            if let Some(next) = next {
                self.marks[next].add_way();
            }
            if let Some(target) = target {
                self.marks[target].add_way();
                if target <= pc {
                    self.marks[target].add(Marks::LOOPING);
                    backward.push(pc);
                }
            }
            match self.callee(pc) {
                // Where it returns to, callees' paths meet; where it starts, only those of the call.
                Some(callee) => {
                    if forks.get(callee).copied().unwrap_or(true) {
                        let behind = self.next(pc);
                        self.marks[behind].add_way();
                    }
                }
                // Whoever calls it may do so again and again, and goes on behind the call each time.
                None => {
                    let target = self.insns[pc].subprog_target(pc);
                    if let Some(callee) = target.and_then(|t| self.subprog_entry(t)) {
                        self.marks[self.subprogs[callee].start].add(Marks::MERGE);
                        if let Some(behind) = self.behind_next_call(pc) {
                            self.marks[behind].add_way();
                        }
                    }
                }
            }
        }
        self.find_loops(&backward);
        self.find_cyclic();
        for pc in 0..self.insns.len() {
            if matches!(self.insns[pc], Insn::MayGoto { .. }) {
                self.may_goto = true;
                self.lap_at(pc);
            }
        }
    }

    /// A way from an instruction back to itself has a jump that starts there or behind and leads there or before.
    fn find_cyclic(&mut self) {
        if !self.marks.iter().any(|m| m.has(Marks::LOOPING)) {
            return;
        }
        if self.subprogs.len() > 1 {
            self.marks.iter_mut().for_each(|m| m.add(Marks::CYCLIC));
            return;
        }
        // The first instruction that something at or behind the current one jumps back to.
        let mut first = Pc::MAX;
        for pc in (0..self.insns.len()).rev() {
            let target = self.insns[pc].jump_target(pc);
            if let Some(target) = target.and_then(|t| usize::try_from(t).ok())
                && target <= pc
            {
                first = first.min(target);
            }
            if first <= pc {
                self.marks[pc].add(Marks::CYCLIC);
            }
        }
    }

    /// From a loop's head to the last instruction that jumps back to it; compilers seldom put parts of it elsewhere.
    pub(crate) fn loop_at(&self, head: Pc) -> RangeInclusive<Pc> {
        let back = self.backs.iter().filter(|(_, to)| *to == head);
        head..=back.map(|(from, _)| *from).max().unwrap_or(head)
    }

    /// Whether walking the subprogram takes more than reading it.
    pub(crate) fn branches(&self, subprog: usize) -> bool {
        self.spans.get(subprog).is_some_and(|s| s.0)
    }

    /// Slots of the subprogram and of what it calls, each as often as it is called.
    pub(crate) fn reach(&self, subprog: usize) -> usize {
        self.spans.get(subprog).map_or(0, |s| s.1)
    }

    fn find_spans(&mut self, forks: &[bool], calls: &[DirectCall]) {
        if forks.is_empty() {
            return;
        }
        let own = self.subprogs.iter().map(|s| s.end - s.start);
        self.spans = forks.iter().copied().zip(own).collect();
        // No chain of calls is longer than there are frames, so this many passes reach the last of it.
        for _ in 0..MAX_FRAMES {
            let mut changed = false;
            for (from, s) in self.subprogs.iter().enumerate() {
                let called = calls_from(calls, from);
                let slots = called.iter().map(|c| self.spans[c.to].1);
                let slots = slots.fold(s.end - s.start, usize::saturating_add);
                let span = (forks[from] || !called.is_empty(), slots);
                changed |= self.spans[from] != span;
                self.spans[from] = span;
            }
            if !changed {
                return;
            }
        }
    }

    /// `backward`: the jumps backwards, ascending. Every loop has one.
    fn find_loops(&mut self, backward: &[Pc]) {
        for s in &self.subprogs {
            let from = backward.partition_point(|pc| *pc < s.start);
            if backward.get(from).is_some_and(|pc| *pc < s.end) {
                self.backs
                    .extend(loops::back_edges(s.start, s.end, |pc| self.successors(pc)));
            }
        }
        for &(_, head) in &self.backs {
            self.marks[head].add(Marks::HEAD);
            self.marks[head].add(Marks::LOOPING);
        }
    }

    /// Laps are compared where they start.
    pub(crate) fn lap_at(&mut self, pc: Pc) {
        if let Some(marks) = self.marks.get_mut(pc) {
            marks.add(Marks::LAP);
            marks.add(Marks::MERGE);
            self.meets = true;
        }
    }
}
