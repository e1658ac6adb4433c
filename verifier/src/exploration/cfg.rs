//! A linked program's slots → instructions, subprograms, successors and merge points, or why it is malformed.
//!
//! **Invariant:** in a built [`Cfg`] every successor of every instruction is the start of an instruction of
//! the same subprogram, every instruction can be reached by following them from its subprogram's entry,
//! calls lead to entries, and no chain of direct calls repeats a subprogram.

mod forward;
mod marking;

use probity_isa::{Insn, Pc, RawInsn};
use probity_objfile::Subprog;

use crate::reject::{Failure, Outcome, fail};
use crate::report::Rule;

pub(crate) struct Cfg {
    pub insns: Vec<Insn>,
    pub subprogs: Vec<Subprog>,
    /// Of each instruction.
    marks: Vec<Marks>,
    /// Back edges, ascending.
    backs: Vec<(Pc, Pc)>,
    /// Of each subprogram where there are several, with what it calls: whether it branches or calls, and how many slots
    /// it has.
    spans: Vec<(bool, usize)>,
    pub may_goto: bool,
    /// Calls at the end of a subprogram that do not return, ascending.
    closing: Vec<Pc>,
    /// One subprogram without loops, and so few branches that it is walked through in no time.
    plain: bool,
    /// States are compared somewhere.
    meets: bool,
    /// There may be 64-bit immediates: maps, variables, addresses.
    wide: bool,
    /// There may be calls.
    calls: bool,
}

/// A subprogram calls another.
#[derive(Clone, Copy, Debug)]
struct DirectCall {
    from: usize,
    to: usize,
    pc: Pc,
}

/// What is known of an instruction, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Marks(u8);

impl Marks {
    /// More than one way leads here: states are compared.
    const MERGE: Marks = Marks(1);
    /// A loop's head: a back edge leads here.
    const HEAD: Marks = Marks(2);
    /// It may be in a loop of backward jumps, or in what one calls.
    const CYCLIC: Marks = Marks(4);
    /// Laps lead through here: it is a head, or a jump leads back here.
    const LOOPING: Marks = Marks(8);
    /// Where a lap of a loop that ends by itself starts: `may_goto`, and calls that step an iterator.
    const LAP: Marks = Marks(16);
    /// Following the program's instructions leads here.
    const REACHED: Marks = Marks(32);
    /// Some way leads here.
    const WAY: Marks = Marks(64);

    fn has(self, mark: Marks) -> bool {
        self.0 & mark.0 != 0
    }

    fn add(&mut self, mark: Marks) {
        self.0 |= mark.0;
    }

    /// One more way leads here.
    fn add_way(&mut self) {
        self.add(match self.has(Marks::WAY) {
            true => Marks::MERGE,
            false => Marks::WAY,
        });
    }
}

impl Cfg {
    /// `ends`: calls that do not return, which may stand at the end of a subprogram.
    pub(crate) fn build(
        raw: &[RawInsn],
        subprogs: &[Subprog],
        frames: usize,
        ends: &dyn Fn(&Insn) -> bool,
    ) -> Outcome<Cfg> {
        let mut cfg = Cfg::decoded(raw)?;
        if !cfg.goes_forward(subprogs) {
            cfg.divide(subprogs, ends)?;
            cfg.check(frames)?;
        } else if cfg!(debug_assertions) {
            let fresh = vec![Marks::default(); cfg.marks.len()];
            let marks = std::mem::replace(&mut cfg.marks, fresh);
            let alone = std::mem::take(&mut cfg.subprogs);
            let checked = cfg.divide(subprogs, ends).and_then(|()| cfg.check(frames));
            debug_assert!(checked.is_ok() && cfg.marks == marks && cfg.backs.is_empty());
            debug_assert!(cfg.subprogs == alone && cfg.closing.is_empty());
        }
        Ok(cfg)
    }

    /// Nothing is divided, checked or marked yet.
    fn decoded(raw: &[RawInsn]) -> Outcome<Cfg> {
        if raw.is_empty() {
            return Err(fail(
                Rule::Malformed,
                "a program has at least one instruction",
                "it has none",
            ));
        }
        let insns = probity_isa::decode(raw).map_err(|e| {
            let pc = decode_error_pc(&e);
            Failure {
                pc,
                ..*fail(
                    Rule::Malformed,
                    "every instruction is one of the instruction set",
                    &e.to_string(),
                )
            }
        })?;
        let n = insns.len();
        Ok(Cfg {
            subprogs: Vec::new(),
            insns,
            // Calls do not end a subprogram, but a throw may: one more, so that there is an instruction behind.
            marks: vec![Marks::default(); n + 1],
            backs: Vec::new(),
            spans: Vec::new(),
            may_goto: false,
            closing: Vec::new(),
            plain: false,
            meets: true,
            wide: true,
            calls: true,
        })
    }

    /// Finds the subprograms, and which of them end with a call that does not return.
    fn divide(&mut self, given: &[Subprog], ends: &dyn Fn(&Insn) -> bool) -> Outcome<()> {
        self.subprogs = ranges(&self.insns, given)?;
        let lasts = self.subprogs.iter().filter_map(|s| s.end.checked_sub(1));
        self.closing = lasts.filter(|last| ends(&self.insns[*last])).collect();
        Ok(())
    }

    fn check(&mut self, frames: usize) -> Outcome<()> {
        self.check_flow()?;
        self.check_reachable()?;
        let calls = self.direct_calls();
        self.check_recursion(&calls)?;
        self.check_depth(&calls, frames)?;
        self.find_merges(&calls);
        Ok(())
    }

    /// One subprogram without loops, and so few branches that it is walked through in no time.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// There may be 64-bit immediates: maps, variables, addresses.
    pub(crate) fn has_wide(&self) -> bool {
        self.wide
    }

    /// There may be calls.
    pub(crate) fn has_calls(&self) -> bool {
        self.calls
    }

    /// States are compared somewhere.
    pub(crate) fn meets(&self) -> bool {
        self.meets
    }

    /// The instruction after `pc`.
    pub(crate) fn next(&self, pc: Pc) -> Pc {
        pc + self.insns[pc].slots()
    }

    fn falls_through(&self, pc: Pc) -> bool {
        self.insns[pc].falls_through()
            && (self.closing.is_empty() || self.closing.binary_search(&pc).is_err())
    }

    /// Where execution may go on within the same frame: behind the instruction, and where it leads.
    #[inline]
    pub(crate) fn ways(&self, pc: Pc) -> (Option<Pc>, Option<Pc>) {
        let insn = &self.insns[pc];
        let next = self.falls_through(pc).then_some(self.next(pc));
        let target = insn.jump_target(pc).and_then(|t| usize::try_from(t).ok());
        (next, target)
    }

    /// The same.
    pub(crate) fn successors(&self, pc: Pc) -> impl Iterator<Item = Pc> + use<> {
        let (next, target) = self.ways(pc);
        next.into_iter().chain(target)
    }

    #[inline]
    fn is(&self, pc: Pc, mark: Marks) -> bool {
        self.marks.get(pc).is_some_and(|m| m.has(mark))
    }

    /// More than one way leads here: states are compared.
    #[inline]
    pub(crate) fn merges(&self, pc: Pc) -> bool {
        self.is(pc, Marks::MERGE)
    }

    /// A loop's head: a back edge leads here.
    #[inline]
    pub(crate) fn is_head(&self, pc: Pc) -> bool {
        self.is(pc, Marks::HEAD)
    }

    /// It may be in a loop of backward jumps, or in what one calls.
    #[inline]
    pub(crate) fn is_cyclic(&self, pc: Pc) -> bool {
        self.is(pc, Marks::CYCLIC)
    }

    /// Laps lead through here: it is a head, or a jump leads back here.
    #[inline]
    pub(crate) fn is_looping(&self, pc: Pc) -> bool {
        self.is(pc, Marks::LOOPING)
    }

    /// Where a lap of a loop that ends by itself starts.
    #[inline]
    pub(crate) fn is_lap(&self, pc: Pc) -> bool {
        self.is(pc, Marks::LAP)
    }

    /// Whether the way from one instruction to the other leads to another lap.
    pub(crate) fn is_back(&self, from: Pc, to: Pc) -> bool {
        self.is_head(to) && self.backs.binary_search(&(from, to)).is_ok()
    }

    /// The subprogram that starts at `pc`.
    pub(crate) fn subprog_entry(&self, pc: i64) -> Option<usize> {
        let pc = usize::try_from(pc).ok()?;
        self.subprogs.binary_search_by_key(&pc, |s| s.start).ok()
    }

    fn check_flow(&self) -> Outcome<()> {
        for s in &self.subprogs {
            for pc in s.start..s.end {
                let insn = &self.insns[pc];
                let straight = insn.is_straight() && pc + 1 < s.end;
                if straight || matches!(insn, Insn::Imm64High) {
                    continue;
                }
                if let Some(target) = insn.jump_target(pc) {
                    self.check_target(s, pc, target)?;
                }
                if matches!(insn, Insn::JumpReg { .. }) {
                    return Err(at(
                        pc,
                        Rule::Malformed,
                        "jumps name where they lead",
                        "a jump through a register, which no Linux up to 6.18 knows",
                    ));
                }
                if self.falls_through(pc) && self.next(pc) >= s.end {
                    let must = "the last instruction of a subprogram is an exit or a jump";
                    return Err(at(
                        pc,
                        Rule::Malformed,
                        must,
                        "execution would run off its end",
                    ));
                }
                if let Some(target) = insn.subprog_target(pc)
                    && self.subprog_entry(target).is_none()
                {
                    let known = format!("slot {target} is none");
                    return Err(at(
                        pc,
                        Rule::Malformed,
                        "a call leads to the start of a subprogram",
                        &known,
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_target(&self, s: &Subprog, pc: Pc, target: i64) -> Outcome<()> {
        let inside = usize::try_from(target).is_ok_and(|t| (s.start..s.end).contains(&t));
        if !inside {
            let must = "a jump stays within its subprogram";
            let known = format!(
                "slot {target} is outside of slots {} to {}",
                s.start,
                s.end - 1
            );
            return Err(at(pc, Rule::Malformed, must, &known));
        }
        if matches!(self.insns[target as usize], Insn::Imm64High) {
            let must = "a jump leads to the start of an instruction";
            let known = format!("slot {target} is the second half of a 64-bit immediate");
            return Err(at(pc, Rule::Malformed, must, &known));
        }
        Ok(())
    }

    fn check_reachable(&mut self) -> Outcome<()> {
        let mut work: Vec<Pc> = self.subprogs.iter().map(|s| s.start).collect();
        while let Some(mut pc) = work.pop() {
            // Straight on as far as it goes; where jumps lead, later.
            while let Some(insn) = self.insns.get(pc)
                && !self.marks[pc].has(Marks::REACHED)
            {
                self.marks[pc].add(Marks::REACHED);
                if insn.is_straight() {
                    pc += 1;
                    continue;
                }
                let target = insn.jump_target(pc).and_then(|t| usize::try_from(t).ok());
                work.extend(target);
                if !self.falls_through(pc) {
                    break;
                }
                pc = self.next(pc);
            }
        }
        let dead =
            |pc: &Pc| !self.is(*pc, Marks::REACHED) && !matches!(self.insns[*pc], Insn::Imm64High);
        match (0..self.insns.len()).find(dead) {
            Some(pc) => Err(at(
                pc,
                Rule::Malformed,
                "every instruction can be reached",
                "no way leads to this one",
            )),
            None => Ok(()),
        }
    }

    /// Chains of calls, dead ones too, are not longer than there are frames.
    fn check_depth(&self, calls: &[DirectCall], frames: usize) -> Outcome<()> {
        if self.subprogs.len() == 1 {
            return Ok(());
        }
        let mut depth = vec![0usize; self.subprogs.len()];
        let mut work = vec![0];
        if let Some(d) = depth.first_mut() {
            *d = 1;
        }
        while let Some(from) = work.pop() {
            for &DirectCall { to, pc, .. } in calls_from(calls, from) {
                if depth[from] >= depth[to] {
                    depth[to] = depth[from] + 1;
                    if depth[to] > frames {
                        let must = format!("calls nest at most {frames} deep");
                        let known = format!("`{}` is called deeper", self.subprogs[to].name);
                        return Err(at(pc, Rule::CallDepth, &must, &known));
                    }
                    work.push(to);
                }
            }
        }
        Ok(())
    }

    /// The subprogram that the instruction calls itself. Functions whose address is taken are called by
    /// whoever gets it: where that is a loop, frames run out in the walk, or the depth of chains is found endless.
    fn callee(&self, pc: Pc) -> Option<usize> {
        let insn = &self.insns[pc];
        matches!(insn, Insn::Call(_))
            .then(|| insn.subprog_target(pc))?
            .and_then(|t| self.subprog_entry(t))
    }

    /// All of them, by where they stand.
    fn direct_calls(&self) -> Vec<DirectCall> {
        let mut calls = Vec::new();
        for (from, s) in self.subprogs.iter().enumerate() {
            let found = (s.start..s.end).filter_map(|pc| Some((pc, self.callee(pc)?)));
            calls.extend(found.map(|(pc, to)| DirectCall { from, to, pc }));
        }
        calls
    }

    fn check_recursion(&self, calls: &[DirectCall]) -> Outcome<()> {
        if calls.is_empty() {
            return Ok(());
        }
        let mut calls = calls.to_vec();
        calls.sort_unstable_by_key(|c| (c.from, c.to, c.pc));
        // 0: not seen, 1: on the way, 2: done.
        let mut mark = vec![0u8; self.subprogs.len()];
        for start in 0..mark.len() {
            if mark[start] == 2 {
                continue;
            }
            let mut stack = vec![(start, calls_from(&calls, start).iter())];
            mark[start] = 1;
            while let Some((at_sub, rest)) = stack.last_mut() {
                match rest.next().copied() {
                    None => {
                        mark[*at_sub] = 2;
                        stack.pop();
                    }
                    Some(DirectCall { to, pc, .. }) if mark[to] == 1 => {
                        let known = format!("`{}` is called while it runs", self.subprogs[to].name);
                        return Err(at(
                            pc,
                            Rule::Recursion,
                            "no subprogram calls itself, directly or not",
                            &known,
                        ));
                    }
                    Some(DirectCall { to, .. }) if mark[to] == 0 => {
                        mark[to] = 1;
                        stack.push((to, calls_from(&calls, to).iter()));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// Those of the subprogram, in a list that is ascending by it.
fn calls_from(calls: &[DirectCall], from: usize) -> &[DirectCall] {
    let start = calls.partition_point(|c| c.from < from);
    let end = calls.partition_point(|c| c.from <= from);
    &calls[start..end]
}

fn at(pc: Pc, rule: Rule, must: &str, known: &str) -> Box<Failure> {
    Box::new(Failure {
        pc: Some(pc),
        ..*fail(rule, must, known)
    })
}

fn decode_error_pc(e: &probity_isa::Error) -> Option<Pc> {
    use probity_isa::Error::*;
    match e {
        Opcode { pc, .. }
        | Reserved { pc, .. }
        | UnusedField { pc, .. }
        | Register { pc, .. }
        | Incomplete { pc }
        | OutOfProgram { pc, .. }
        | NoEncoding { pc, .. }
        | LoneHigh { pc } => Some(*pc),
        _ => None,
    }
}

/// Ascending, as an object's are: found at once; otherwise one by one.
fn by_start(given: &[Subprog], start: Pc) -> Option<&Subprog> {
    let found = given.binary_search_by_key(&start, |s| s.start).ok();
    found
        .and_then(|i| given.get(i))
        .or_else(|| given.iter().find(|s| s.start == start))
}

/// The subprograms given, checked to cover the program; without any, those that calls lead to.
fn ranges(insns: &[Insn], given: &[Subprog]) -> Outcome<Vec<Subprog>> {
    let n = insns.len();
    let mut starts: Vec<Pc> = Vec::with_capacity(2 * given.len() + 1);
    starts.push(0);
    starts.extend(given.iter().map(|s| s.start));
    for (pc, insn) in insns.iter().enumerate() {
        if let Some(t) = insn.subprog_target(pc) {
            match usize::try_from(t) {
                Ok(t) if t < n => starts.push(t),
                _ => {
                    let known = format!("slot {t} is outside of the program");
                    return Err(at(
                        pc,
                        Rule::Malformed,
                        "a call leads to the start of a subprogram",
                        &known,
                    ));
                }
            };
        }
    }
    starts.sort_unstable();
    starts.dedup();
    let mut all = Vec::with_capacity(starts.len());
    for (i, &start) in starts.iter().enumerate() {
        if start >= n || matches!(insns[start], Insn::Imm64High) {
            let must = "a subprogram starts at an instruction";
            return Err(fail(
                Rule::Malformed,
                must,
                &format!("slot {start} is none"),
            ));
        }
        let end = starts.get(i + 1).copied().unwrap_or(n);
        all.push(subprog(given, start, end));
    }
    Ok(all)
}

/// The subprogram at these slots, with the name and type given to what starts there.
fn subprog(given: &[Subprog], start: Pc, end: Pc) -> Subprog {
    match by_start(given, start) {
        Some(s) => Subprog { end, ..s.clone() },
        None => Subprog {
            name: format!("sub_{start}"),
            start,
            end,
            func: None,
            global: false,
        },
    }
}
