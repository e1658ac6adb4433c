//! The graph of stored states → the most instructions that one run executes.
//!
//! While paths are walked, [`Worst`] keeps how many instructions lie between stored states, where paths end, and where
//! they are cut. A run follows these edges, so the longest way through them is a bound for all runs.
//! It is found afterwards, node by node, in the order in which they were closed:
//!
//! - An edge leads to a node that was closed before, or *back* to one that was open: the head of a cycle.
//!   For each node the longest way to an end is kept, and the longest way back to each head.
//! - When the head's turn comes, the longest lap is taken as often as there can be laps; then it is a node like others.
//! - A node below it that is met later adds the head's way to its own way back to it.
//!
//! Every cycle goes through its head by an edge back, so what bounds these edges bounds the cycle:
//!
//! - A guessed loop ([`crate::induction`]) by how far the induction variable gets that stays within its bounds.
//! - Others by clocks ([`crate::clocks`]): the oldest that changed on a lap has ticked, and ticks as often at most as
//!   what it belongs to allows. Several that tick in one cycle multiply.
//!
//! A static subprogram that is walked on its own ([`crate::summary`]) is a graph of its own, a *part*: what its longest
//! way executes, each call adds that is taken for it.
//!
//! Names of clocks mean different ones of the same [`Kind`] where a path was cut by a node of another one, so bounds are
//! those of the kind: the greatest of all that were started.
//!
//! **Invariant:** a bound may be too large, never too small; what has none says why.

use probity_isa::{CallTarget, Insn, Pc, Reg};
use probity_platform::{Callback as Calls, MostCalls};

use crate::clocks::Clocks;
use crate::env::Env;
use crate::global;
use crate::induction::Head;
use crate::numbered::Numbered;
use crate::object::Spot;
use crate::reject::{Outcome, fail};
use crate::report::{NoBound, Rule};
use crate::shared::push;
use crate::state::State;
use crate::value::{Id, MapRef, Value};
use crate::walks::Role;

/// Instructions, or why their number has no bound. `Err` is more than any number.
pub(crate) type Cost = Result<u64, NoBound>;

fn plus(a: Cost, b: Cost) -> Cost {
    Ok(a?.saturating_add(b?))
}

fn times(laps: Cost, lap: Cost) -> Cost {
    match (laps, lap) {
        (Ok(0), _) => Ok(0),
        (laps, lap) => Ok(laps?.saturating_mul(lap?)),
    }
}

fn greater(a: Cost, b: Cost) -> Cost {
    Ok(a?.max(b?))
}

/// The longest way to an end, where there is one, and another.
fn longer(known: &mut Option<Cost>, way: Cost) {
    *known = Some(known.map_or(way, |k| greater(k, way)));
}

/// What was walked since the last stored state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    pub insns: u64,
    /// The last call on it of what is walked on its own ([`Log::calls`]); 0: none.
    calls: u32,
}

/// What a clock belongs to: states that cover each other agree in this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A call that is given a subprogram.
    Call(Pc),
    /// Iterators of this type at this place of the stack.
    Iterator {
        type_id: u32,
        spot: Spot,
    },
    MayGoto,
}

/// How an edge came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// To a state stored on the path, or to one that cut it when all was known of it.
    To,
    /// To an open one that cut the path, after a clock had ticked.
    Back,
    /// Another lap of a guessed loop.
    Lap,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    from: u32,
    /// [`END`]: the program ends.
    to: u32,
    lap: bool,
    /// Those of its way.
    calls: u32,
    insns: u64,
}

const END: u32 = u32::MAX;

/// What bounds the laps through a node.
#[derive(Clone, Debug, Default)]
struct Laps {
    /// Of the guess.
    guessed: Option<u64>,
    /// Clocks when it was stored, if laps tick them.
    clocks: Vec<(Id, u32)>,
}

/// What is walked on its own, and called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// A global function.
    Global(usize),
    /// A static subprogram from one entry: a part.
    Part(usize),
}

/// Costs of what is called, as far as they are known.
#[derive(Debug, Default)]
struct Costs {
    globals: Numbered<usize, Cost>,
    parts: Numbered<usize, Cost>,
}

/// One walk.
#[derive(Debug, Default)]
pub(crate) struct Log {
    steps: Vec<Step>,
    /// Clocks that ticked on a step, ascending by its index.
    ticks: Vec<(usize, Id)>,
    /// Longest way from each node to an end, without calls; 0: none.
    ends: Vec<u64>,
    /// Nodes in the order in which they were closed, but for the first one, which closes last.
    closed: Vec<u32>,
    laps: Numbered<u32, Laps>,
    /// Calls: the one before on the way, and what is called.
    calls: Vec<(u32, Called)>,
}

/// Where an attempt began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    steps: usize,
    ticks: usize,
    closed: usize,
    calls: usize,
    clocks: usize,
    bounds: usize,
    parts: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Worst {
    log: Log,
    /// Subprograms walked on their own.
    parts: Vec<Log>,
    /// Walks that ended.
    walks: Vec<(Role, usize, Log)>,
    /// What each clock belongs to, ascending.
    clocks: Vec<(Id, Kind)>,
    /// How often clocks of a kind tick at most.
    bounds: Vec<(Kind, Option<u64>)>,
    /// Kinds of which a clock that had ticked less was taken for one that had ticked more.
    loose: Vec<Kind>,
}

impl Worst {
    pub(crate) fn clock(&mut self, id: Id, kind: Kind) {
        self.clocks.push((id, kind));
    }

    /// A clock of the kind ticks so often at most; `None`: nobody knows.
    pub(crate) fn bound(&mut self, kind: Kind, most: Option<u64>) {
        let recent = self.bounds.iter().rev().take(8);
        if !recent.into_iter().any(|b| *b == (kind, most)) {
            self.bounds.push((kind, most));
        }
    }

    fn kind(&self, id: Id) -> Option<Kind> {
        let at = self.clocks.binary_search_by_key(&id, |c| c.0).ok()?;
        Some(self.clocks[at].1)
    }

    /// How often a clock that has ticked `ticks` times ticks still.
    fn left(&self, id: Id, ticks: u32) -> Cost {
        let kind = self.kind(id).ok_or(NoBound::Loop)?;
        let why = match kind {
            Kind::Call(_) => NoBound::Callback,
            Kind::Iterator { .. } => NoBound::Iterator,
            Kind::MayGoto => NoBound::MayGoto,
        };
        let all = self.bounds.iter().filter(|b| b.0 == kind).map(|b| b.1);
        let most = all.reduce(|a, b| Some(a?.max(b?))).flatten().ok_or(why)?;
        match self.loose.contains(&kind) {
            true => Ok(most),
            false => Ok(most.saturating_sub(ticks.into())),
        }
    }

    /// The path calls what is walked on its own.
    pub(crate) fn call(&mut self, way: &mut Way, called: Called) {
        self.log.calls.push((way.calls, called));
        way.calls = u32::try_from(self.log.calls.len()).unwrap_or(END);
    }

    /// The path ends.
    pub(crate) fn end(&mut self, from: usize, way: Way) {
        if way.calls == 0 {
            if self.log.ends.len() <= from {
                self.log.ends.resize(from + 1, 0);
            }
            let end = &mut self.log.ends[from];
            *end = way.insns.max(*end);
        } else {
            let step = Step {
                from: number(from),
                to: END,
                lap: false,
                calls: way.calls,
                insns: way.insns,
            };
            push(&mut self.log.steps, step);
        }
    }

    /// The path, whose clocks are `now`, comes to a node. `there` are that node's clocks, when it was stored before.
    pub(crate) fn edge(
        &mut self,
        (from, at): (usize, &Clocks),
        to: usize,
        way: Way,
        now: &Clocks,
        there: Option<&Clocks>,
        edge: Edge,
    ) {
        if !now.is_empty() {
            let index = self.log.steps.len();
            for id in now.ticked_since(at) {
                self.log.ticks.push((index, id));
            }
            if let Some(there) = there {
                self.taken_for(now, there);
                if edge == Edge::Back {
                    let laps = self.log.laps.entry(number(to)).or_default();
                    if laps.clocks.is_empty() {
                        laps.clocks = there.all().collect();
                    }
                }
            }
        }
        let step = Step {
            from: number(from),
            to: number(to),
            lap: edge == Edge::Lap,
            calls: way.calls,
            insns: way.insns,
        };
        push(&mut self.log.steps, step);
    }

    /// Clocks of a state that cut a path are taken for the path's.
    fn taken_for(&mut self, now: &Clocks, there: &Clocks) {
        for (id, ticks) in there.all() {
            let Some(kind) = self.kind(id) else { continue };
            let fewer = |c: (Id, u32)| c.1 < ticks && self.kind(c.0) == Some(kind);
            if !self.loose.contains(&kind) && now.all().any(fewer) {
                self.loose.push(kind);
            }
        }
    }

    /// All paths from the node have ended. A guess that stands says how many laps there can be.
    pub(crate) fn close(&mut self, node: usize, head: Option<&Head>) {
        if let Some(head) = head {
            let laps = self.log.laps.entry(number(node)).or_default();
            laps.guessed = head.most_laps();
        }
        if node > 0 {
            self.log.closed.push(number(node));
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            steps: self.log.steps.len(),
            ticks: self.log.ticks.len(),
            closed: self.log.closed.len(),
            calls: self.log.calls.len(),
            clocks: self.clocks.len(),
            bounds: self.bounds.len(),
            parts: self.parts.len(),
        }
    }

    /// What is walked from now on is a part; what was kept of the walk until then.
    pub(crate) fn begin_part(&mut self) -> Log {
        std::mem::take(&mut self.log)
    }

    /// The part is walked, and the walk before it goes on; the part's number.
    pub(crate) fn end_part(&mut self, before: Log) -> usize {
        let part = std::mem::replace(&mut self.log, before);
        self.parts.push(part);
        self.parts.len() - 1
    }

    /// The part came to nothing; `mark` was set before it began.
    pub(crate) fn forget_part(&mut self, before: Log, mark: Mark) {
        self.log = before;
        self.clocks.truncate(mark.clocks);
        self.bounds.truncate(mark.bounds);
        self.parts.truncate(mark.parts);
    }

    /// What was kept since is forgotten: nodes from `node` on are gone.
    pub(crate) fn undo(&mut self, mark: Mark, node: usize) {
        self.log.steps.truncate(mark.steps);
        self.log.ticks.truncate(mark.ticks);
        self.log.ends.truncate(node);
        self.log.closed.truncate(mark.closed);
        self.log.calls.truncate(mark.calls);
        self.log.laps.retain(|n, _| *n < number(node));
        self.clocks.truncate(mark.clocks);
        self.bounds.truncate(mark.bounds);
        self.parts.truncate(mark.parts);
    }

    /// The walk from a subprogram in this role has ended.
    pub(crate) fn ended(&mut self, role: Role, subprog: usize) {
        let log = std::mem::take(&mut self.log);
        // Most programs have one.
        self.walks.reserve_exact(usize::from(self.walks.is_empty()));
        self.walks.push((role, subprog, log));
    }

    /// The most instructions of one run of the program.
    pub(crate) fn of_program(&self) -> Cost {
        let mut known = Costs::default();
        let main = self.of_role(&mut known, |r, _| r == Role::Main);
        // Behind a throw the program goes on there.
        let exception = self.of_role(&mut known, |r, _| r == Role::Exception);
        match plus(main, exception) {
            // Or more than that: sums and products stop there.
            Ok(u64::MAX) => Err(NoBound::Loop),
            cost => cost,
        }
    }

    fn of_role(&self, known: &mut Costs, wanted: impl Fn(Role, usize) -> bool) -> Cost {
        let mut walks = self.walks.iter().filter(|w| wanted(w.0, w.1));
        walks.try_fold(0, |most, w| greater(Ok(most), self.of_walk(known, &w.2)))
    }

    fn of_global(&self, known: &mut Costs, subprog: usize) -> Cost {
        if let Some(cost) = known.globals.get(&subprog) {
            return *cost;
        }
        // No chain of calls is a cycle.
        known.globals.insert(subprog, Err(NoBound::Loop));
        let cost = self.of_role(known, |r, s| r == Role::Global && s == subprog);
        known.globals.insert(subprog, cost);
        cost
    }

    fn of_part(&self, known: &mut Costs, part: usize) -> Cost {
        if let Some(cost) = known.parts.get(&part) {
            return *cost;
        }
        // Parts call older ones.
        let cost = match self.parts.get(part) {
            Some(log) => self.of_walk(known, log),
            None => Err(NoBound::Loop),
        };
        known.parts.insert(part, cost);
        cost
    }

    fn of_walk(&self, known: &mut Costs, log: &Log) -> Cost {
        if log.steps.is_empty() {
            return Ok(log.ends.first().copied().unwrap_or(0));
        }
        let mut cost_of = |step: &Step| {
            let (mut cost, mut call) = (Ok(step.insns), step.calls as usize);
            while let Some(&(before, called)) = call.checked_sub(1).and_then(|c| log.calls.get(c)) {
                let callee = match called {
                    Called::Global(subprog) => self.of_global(known, subprog),
                    Called::Part(part) => self.of_part(known, part),
                };
                cost = plus(cost, callee);
                call = before as usize;
            }
            cost
        };
        let nodes = log.closed.len() + 1;
        // Steps of each node, as lists.
        let (mut first, mut next) = (vec![END; nodes], vec![END; log.steps.len()]);
        for (i, step) in log.steps.iter().enumerate() {
            if let Some(first) = first.get_mut(step.from as usize) {
                next[i] = std::mem::replace(first, number(i));
            }
        }
        let mut solved = Solved {
            ends: vec![None; nodes],
            backs: vec![Vec::new(); nodes],
            closed: vec![false; nodes],
        };
        let mut ticked: Numbered<u32, Vec<Id>> = Numbered::default();
        for &n in log.closed.iter().chain([&0]) {
            let node = n as usize;
            let mut end: Option<Cost> = log.ends.get(node).filter(|n| **n > 0).map(|n| Ok(*n));
            let mut backs: Vec<Back> = Vec::new();
            let mut at = first.get(node).copied().unwrap_or(END);
            while let Some(step) = log.steps.get(at as usize) {
                let way = cost_of(step);
                let mut here: Vec<Back> = Vec::new();
                if step.to == END {
                    longer(&mut end, way);
                } else if solved.is_closed(step.to) {
                    solved.resolve(step.to);
                    if let Some(behind) = solved.ends[step.to as usize] {
                        longer(&mut end, plus(way, behind));
                    }
                    let behind = &solved.backs[step.to as usize];
                    here.extend(behind.iter().map(|b| Back {
                        cost: plus(way, b.cost),
                        ..*b
                    }));
                } else {
                    here.push(Back {
                        head: step.to,
                        lap: step.lap,
                        cost: way,
                    });
                }
                let ticks = log.ticks.partition_point(|t| t.0 < at as usize);
                let ticks = log.ticks[ticks..].iter().take_while(|t| t.0 == at as usize);
                for (_, id) in ticks {
                    for b in &here {
                        let ids = ticked.entry(b.head).or_default();
                        if !ids.contains(id) {
                            ids.push(*id);
                        }
                    }
                }
                for b in here {
                    add(&mut backs, b);
                }
                at = next[at as usize];
            }
            // Laps of the guess first: those that tick a clock begin them anew.
            for lap in [true, false] {
                let Some(i) = backs.iter().position(|b| b.head == n && b.lap == lap) else {
                    continue;
                };
                let round = backs.swap_remove(i).cost;
                let laps = log.laps.get(&n);
                let most = match lap {
                    true => laps.and_then(|l| l.guessed).ok_or(NoBound::Loop),
                    false => self.most_ticks(laps, ticked.get(&n)),
                };
                let all = times(most, round);
                end = end.map(|end| plus(end, all));
                for b in &mut backs {
                    b.cost = plus(b.cost, all);
                }
            }
            solved.ends[node] = end;
            solved.backs[node] = backs;
            solved.closed[node] = true;
        }
        solved.ends[0].unwrap_or(Err(NoBound::Loop))
    }

    /// Laps that tick these clocks of a head.
    fn most_ticks(&self, laps: Option<&Laps>, ticked: Option<&Vec<Id>>) -> Cost {
        let (Some(laps), Some(ticked)) = (laps, ticked) else {
            return Err(NoBound::Loop);
        };
        let own: Vec<(Id, u32)> = laps
            .clocks
            .iter()
            .copied()
            .filter(|c| ticked.contains(&c.0))
            .collect();
        match own[..] {
            [] => Err(NoBound::Loop),
            [(id, ticks)] => self.left(id, ticks),
            _ => {
                // What is left of each, the younger ones begun anew with every tick of the older ones.
                let mut all: u64 = 1;
                for (id, _) in own {
                    all = all.saturating_mul(self.left(id, 0)?.saturating_add(1));
                }
                Ok(all)
            }
        }
    }
}

/// The way back from a node to a head.
#[derive(Clone, Copy, Debug)]
struct Back {
    head: u32,
    /// By a lap of a guessed loop.
    lap: bool,
    cost: Cost,
}

fn add(backs: &mut Vec<Back>, new: Back) {
    let same = |b: &&mut Back| b.head == new.head && b.lap == new.lap;
    match backs.iter_mut().find(same) {
        Some(b) => b.cost = greater(b.cost, new.cost),
        None => backs.push(new),
    }
}

struct Solved {
    /// Longest way to an end; `None`: all ways lead back to heads.
    ends: Vec<Option<Cost>>,
    backs: Vec<Vec<Back>>,
    closed: Vec<bool>,
}

impl Solved {
    fn is_closed(&self, node: u32) -> bool {
        self.closed.get(node as usize).copied().unwrap_or(false)
    }

    /// The node's ways back lead to heads that are open.
    fn resolve(&mut self, node: u32) {
        let node = node as usize;
        loop {
            // A head leads back to older ones only.
            let closed = |b: &&Back| self.is_closed(b.head);
            let Some(back) = self.backs[node]
                .iter()
                .filter(closed)
                .max_by_key(|b| b.head)
            else {
                return;
            };
            let back = *back;
            self.backs[node].retain(|b| b.head != back.head || b.lap != back.lap);
            let head = back.head as usize;
            if let Some(behind) = self.ends[head] {
                longer(&mut self.ends[node], plus(back.cost, behind));
            }
            for i in 0..self.backs[head].len() {
                let b = self.backs[head][i];
                let cost = plus(back.cost, b.cost);
                add(&mut self.backs[node], Back { cost, ..b });
            }
        }
    }
}

fn number(node: usize) -> u32 {
    u32::try_from(node).unwrap_or(END)
}

/// How often a helper calls the subprogram that it is given.
pub(crate) fn calls(
    env: &mut Env<'_>,
    state: &State,
    kind: Calls,
    map: Option<MapRef>,
) -> Option<u64> {
    match kind.most_calls() {
        MostCalls::Number(n) => Some(n),
        MostCalls::FirstArgument { most } => match state.reg(Reg::R1) {
            Value::Number(n) => {
                env.origins.need(n.origin);
                Some(u64::from(n.set.u32_max()).min(most))
            }
            _ => Some(most),
        },
        MostCalls::Elements => {
            let map = map?;
            let def = env.map(map).ok()?;
            let dense = env.map_kind(def).ok()?.dense;
            // Inner maps may have other sizes than the one that stands for them.
            let entries = match map.inner {
                true => u64::from(u32::MAX),
                false => u64::from(def.max_entries),
            };
            match dense {
                true => Some(entries),
                // An element may be deleted, and be found again where the walk comes later: once in each bucket.
                false => Some(entries.saturating_mul(entries.checked_next_power_of_two()?)),
            }
        }
        MostCalls::Unknown => None,
    }
}

/// The global function that the instruction calls.
pub(crate) fn global_call(env: &Env<'_>, pc: Pc) -> Option<usize> {
    let insn = env.insn(pc);
    let Insn::Call(CallTarget::Subprog { .. }) = insn else {
        return None;
    };
    let entry = env.cfg.subprog_entry(insn.subprog_target(pc)?)?;
    global::is_global(env, entry).then_some(entry)
}

/// What the policy says of the count.
pub(crate) fn allowed(env: &Env<'_>, worst: Cost) -> Outcome<()> {
    let Some(most) = env.policy.max_worst_case_insns else {
        return Ok(());
    };
    let known = match worst {
        Ok(n) if n <= most => return Ok(()),
        Ok(n) => format!("it may execute {n}"),
        Err(why) => format!("there is no bound: {}", why.explained()),
    };
    let must = format!("the policy allows a run to execute at most {most} instructions");
    Err(fail(Rule::Policy, &must, &known))
}
