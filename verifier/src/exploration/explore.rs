//! The exploration of all paths: depth first, cut where a stored state covers the current one.
//!
//! This engine knows no instruction: it asks `step` where execution goes.
//!
//! States are stored at merge points as nodes of a tree. A node is *open* while a path from it is still
//! being walked or waits. Only closed nodes cut paths by what they needed ([`Mode::Needed`]); an open
//! node equal to the current state is a loop that never ends, and the program is rejected.
//!
//! After another lap of a loop that ends by itself ([`crate::clocks`]), an open node that includes the current
//! state cuts the path: what follows was, or is being, checked from the larger state. That is right for what
//! the program may do. That it ends needs more, since the graph of nodes, cuts included, now has cycles:
//!
//! - Open nodes are the ancestors of the current path, so every cycle lies below one node of it, its *head*, and
//!   returns to the head by cuts at which the head was open.
//! - The nodes on the way are *tied* to the head. While it is open, they cut only paths that are *as far* on the
//!   way from it, by its clocks, as they are themselves.
//! - So, whatever inner cycles and cuts a run takes, when it comes back to the head the oldest of the head's clocks
//!   that changed has ticked, and not been started anew: an inner cycle changes a clock of the head only if it
//!   ticked one of the head's that is older still. A run that comes back for ever would tick a clock for ever.
//! - A run that does not come back to the head for ever stays in a smaller cycle, with a head of its own.
//!
//! A loop may also be walked from a *guess* of its state in all laps ([`crate::induction`]), a node of its own below the
//! exact one. Every path that comes back to it must lie within it, as far as it is not an induction variable; what
//! holds of those is argued there. While it is open, nodes tied to it cut only what differs from the guess by the
//! same ([`HEAD`](crate::value::HEAD) links and bases), so that a cut path comes back by the same step. When anything
//! fails below the innermost guess, all that was gathered since is taken back, and the path goes on as it was.
//!
//! When a path is cut by a node, everything that node needed is needed of the current state too:
//! slots become reads of the current segment, numbers are marked through their origins.
//! What a node needs that is open, or tied to one that is, is not known yet: it cuts by inclusion of everything
//! ([`Mode::Within`]), an edge from its numbers to the current ones passes on what will be needed of them, and
//! slots are passed on when the outermost of these nodes closes ([`Explorer::settle`]).
//!
//! Where paths are *gathered* ([`gather`]), they are not walked depth first: an open node counts for a path only when it
//! is above it ([`Explorer::is_above`]).
//!
//! **Invariant:** a path is cut by a closed node only where its marks and `reads` are final ([`nodes`]), else by inclusion of everything.

mod attempt;
mod gather;
mod joins;
mod nodes;
mod own;
mod pressure;

use probity_isa::{Insn, Pc};

use self::attempt::{Attempt, Kind};
use self::gather::{Held, Parting};
use self::nodes::{Back, Entry, Node};
use self::own::Own;
use self::pressure::Pressure;
use crate::alu::operand_in;
use crate::cover::{Mode, covers};
use crate::env::Env;
use crate::guess::{Compared, Pair};
use crate::induction::Head;
use crate::meets::Meets;
use crate::numbered::Numbered;
use crate::recorded::{Place, Stored};
use crate::reject::{Failure, fail, internal};
use crate::report::{Rule, Stats};
use crate::state::State;
use crate::step::{Step, step};
use crate::value::Value;
use crate::worst::{self, Edge, Way};

/// A path that waits to be walked.
struct Waiting {
    pc: Pc,
    state: State,
    parent: usize,
    history: u32,
    /// The instruction before, where states are recorded.
    place: Place,
    /// It came by a back edge.
    back: bool,
    /// The state was stored where it is already.
    met: bool,
    /// The last branch behind which paths are gathered, in `partings`; 0: none.
    entry: u32,
    /// It waited for others to be joined with, or what it came from was gathered once: it does not again.
    alone: bool,
    /// Since the state it comes from was stored.
    way: Way,
    /// What was compared at the branch that leads here, while that is of use.
    compared: Option<Box<(Pc, Pair)>>,
}

/// What is known of the loop at a head.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Guesses that failed.
    failed: u32,
    /// Laps of which nothing could be guessed.
    dull: u32,
    /// How many laps there were when it was guessed last.
    counts: Vec<u64>,
}

/// Loops of which so many guesses failed are walked.
const MOST_FAILED: u32 = 2;
const MOST_DULL: u32 = 8;
/// The lap after which a guess is made.
const GUESS_AT: u32 = 2;

/// A branch taken, and the one before it on the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub before: u32,
    pub pc: Pc,
    pub to: Pc,
}

/// Why exploration stopped, and in which state.
pub(crate) struct Stopped {
    pub failure: Box<Failure>,
    pub pc: Pc,
    pub state: Box<State>,
    /// Branches on the way, oldest first.
    pub turns: Vec<Turn>,
}

/// Most paths that may wait at once, and most states kept.
const MAX_WAITING: usize = 1 << 16;
const MAX_STORED: usize = 1 << 18;

pub(crate) fn explore(
    env: &mut Env<'_>,
    entry: State,
    budget: usize,
    stats: &mut Stats,
    trace: &mut dyn FnMut(Pc, &State),
) -> Result<(), Box<Stopped>> {
    Explorer::new(env, stats, budget).run(env, entry, trace)
}

struct Explorer<'s> {
    #[expect(
        clippy::vec_box,
        reason = "large, and not to be moved when the list grows"
    )]
    nodes: Vec<Box<Node>>,
    /// Nodes at each instruction that is a merge point.
    at: Vec<Vec<Entry>>,
    /// Larger states on trial, the innermost last: open nodes, each below the one before.
    attempts: Vec<Attempt>,
    /// What to try instead of the guess that just failed.
    refined: Option<(State, Head)>,
    loops: Numbered<Pc, Known>,
    pressure: Pressure,
    /// Where something failed in an attempt last, and how often it did before, with no success since.
    again: (Pc, u32),
    /// Instructions processed below attempts that are over.
    elsewhere: usize,
    /// Loops of which a guess failed, or none was found, and which; since the first attempt that is under way.
    missed: Vec<(Pc, bool)>,
    /// Comparisons in loops of which the first laps are being walked.
    compared: Numbered<Pc, Pair>,
    /// Comparisons are kept until so many instructions are processed.
    watch: usize,
    /// Instructions processed below guesses that failed.
    wasted: usize,
    waiting: Vec<Waiting>,
    /// Attempts under way that gather paths.
    gathering: usize,
    /// While paths are gathered, the nodes that the path comes from, ascending ([`Explorer::trace`]).
    above: Vec<usize>,
    meets: Option<Meets>,
    /// No state to gather from is looked for before so many instructions are processed.
    looked: usize,
    /// Paths at merge points that wait for others to come there.
    held: Vec<Held>,
    /// Paths that were joined with others, and the node that stands for them: they wait for it to be closed.
    followers: Vec<(usize, Waiting)>,
    /// Branches that were passed behind which paths are gathered.
    partings: Vec<Parting>,
    /// Not settled yet, ascending; and how many were made.
    backs: Vec<Back>,
    cuts: usize,
    /// How deep a state is that is about to be stored.
    deep: u64,
    turns: Vec<Turn>,
    stats: &'s mut Stats,
    budget: usize,
    /// Since a state was stored, on whatever path: how many instructions, and how many of them jumped.
    insns: u32,
    jumps: u32,
    /// Of a subprogram that is walked on its own.
    own: Option<Own>,
    /// The call that the path is at is walked, whatever is known of it.
    inline: Option<Pc>,
}

enum Visit {
    Go,
    Cut,
    /// The path waits for others.
    Hold,
    /// It starts again from elsewhere.
    Elsewhere,
}

/// What became of a path.
enum End {
    Over,
    Held,
}

impl<'s> Explorer<'s> {
    fn new(env: &Env<'_>, stats: &'s mut Stats, budget: usize) -> Explorer<'s> {
        Explorer {
            nodes: Vec::new(),
            at: env.cfg.insns.iter().map(|_| Vec::new()).collect(),
            attempts: Vec::new(),
            refined: None,
            loops: Numbered::default(),
            pressure: Pressure::new(stats.processed),
            again: (Pc::MAX, 0),
            elsewhere: 0,
            missed: Vec::new(),
            compared: Numbered::default(),
            watch: 0,
            wasted: 0,
            waiting: Vec::new(),
            gathering: 0,
            above: Vec::new(),
            meets: None,
            looked: 0,
            held: Vec::new(),
            followers: Vec::new(),
            partings: Vec::new(),
            cuts: 0,
            deep: 0,
            backs: Vec::new(),
            turns: vec![Turn {
                before: 0,
                pc: 0,
                to: 0,
            }],
            stats,
            budget,
            insns: 0,
            jumps: 0,
            own: None,
            inline: None,
        }
    }
}

impl Explorer<'_> {
    fn run(
        &mut self,
        env: &mut Env<'_>,
        entry: State,
        trace: &mut dyn FnMut(Pc, &State),
    ) -> Result<(), Box<Stopped>> {
        let mut entry = entry;
        if env.cfg.may_goto && entry.frame().clock == 0 {
            let clock = env.fresh_id();
            env.worst.clock(clock, worst::Kind::MayGoto);
            let turns = env.platform.limits.may_goto_turns;
            env.worst.bound(worst::Kind::MayGoto, turns);
            entry.start_frame_clock(clock);
        }
        let start = env.cfg.subprogs[entry.frame().subprog].start;
        let root = self.store(env, start, None, entry);
        let state = self.nodes[root].state.clone();
        self.nodes[root].open = 1;
        self.nodes[root].from = Some((Place::default(), 0));
        let mut path = Waiting {
            pc: start,
            state,
            parent: root,
            history: 0,
            place: Place::default(),
            back: false,
            met: false,
            entry: 0,
            alone: false,
            way: Way::default(),
            compared: None,
        };
        loop {
            match self.walk(env, &mut path, trace) {
                Ok(End::Over) => {
                    self.flush(env, path.parent);
                    self.close(env, path.parent);
                }
                Ok(End::Held) => {}
                Err(failure)
                    if !self.attempts.is_empty()
                        && !self.own.as_ref().is_some_and(Own::is_over) =>
                {
                    let pc = failure.pc.unwrap_or(path.pc);
                    if let Some(exact) = self.fall_back(env, &failure, pc, path.parent) {
                        path = exact;
                    }
                    continue;
                }
                Err(failure) => {
                    return Err(Box::new(Stopped {
                        pc: failure.pc.unwrap_or(path.pc),
                        turns: self.turns_to(path.history),
                        state: Box::new(path.state),
                        failure,
                    }));
                }
            }
            match self.next_path(env) {
                Some(next) => {
                    path = next;
                    if let Some(kept) = path.compared.take() {
                        self.compared.insert(kept.0, kept.1);
                    }
                }
                None => {
                    self.record(env);
                    return Ok(());
                }
            }
        }
    }

    /// What was recorded, with what is known now that all is walked.
    fn record(&self, env: &mut Env<'_>) {
        let Some(recorder) = env.recorder.take() else {
            return;
        };
        let stored: Vec<Stored> = self
            .nodes
            .iter()
            .map(|n| Stored {
                parent: n.parent,
                way: n.way,
                reads: n.reads,
                cuts: n.hits > 0,
                guess: n.head.is_some() || n.joined,
            })
            .collect();
        let starts = env.cfg.subprogs.iter().map(|s| s.start).collect();
        let given = self.own.as_ref().map(Own::given);
        let recorded = recorder.finish(&stored, &env.origins, env.live.clone(), starts, given);
        env.recorded = Some(match self.own {
            Some(_) => recorded,
            None => recorded.with_calls(std::mem::take(&mut env.recorded_calls)),
        });
    }

    /// Walks one path to its end, or to where it is cut.
    fn walk(
        &mut self,
        env: &mut Env<'_>,
        path: &mut Waiting,
        trace: &mut dyn FnMut(Pc, &State),
    ) -> Result<End, Box<Failure>> {
        loop {
            let pc = path.pc;
            if pc >= env.cfg.insns.len() || path.state.frames.is_empty() {
                return Err(internal("a path is at an instruction, in a frame"));
            }
            let spent = self.stats.processed;
            if let Some(own) = &mut self.own {
                own.goes_on(&path.state, spent)?;
            }
            if self
                .attempts
                .last()
                .is_some_and(|a| a.exhausted(spent, self.elsewhere))
            {
                return Err(internal("a larger state is not worth more instructions"));
            }
            if spent - self.wasted - self.pressure.stood() >= self.budget {
                let must = format!("verification takes at most {} instructions", self.budget);
                return Err(fail(Rule::TooComplex, &must, "it would take more"));
            }
            self.stats.processed += 1;
            self.insns += 1;
            if !std::mem::take(&mut path.met) && env.cfg.merges[pc] {
                match self.meet(env, path)? {
                    Visit::Go => path.alone = false,
                    Visit::Cut => return Ok(End::Over),
                    Visit::Hold => return Ok(End::Held),
                    Visit::Elsewhere => continue,
                }
            }
            if self.gathering > 0 {
                self.enter(path);
            }
            if self.call(env, path, trace)? {
                continue;
            }
            env.reach(pc);
            path.way.insns += 1;
            if let Some(subprog) = worst::global_call(env, pc) {
                env.worst
                    .call(&mut path.way, worst::Called::Global(subprog));
            }
            if let Some(r) = &mut env.recorder {
                path.place = r.visit(pc, &path.state, path.parent, path.place);
            }
            if env.options.log_states > 0 {
                trace(pc, &path.state);
            }
            if self.watch > self.stats.processed
                && env.cfg.cyclic[pc]
                && let Insn::JumpIf {
                    op,
                    width,
                    dst,
                    src,
                    ..
                } = *env.insn(pc)
                && let mut imm = Value::Uninit
                && let other = operand_in(&path.state, src, &mut imm)
                && let (Value::Number(x), Value::Number(y)) = (path.state.reg(dst), other)
            {
                let compared = Compared {
                    at: self.stats.processed,
                    op,
                    width,
                    x: x.set,
                    y: y.set,
                    taken: false,
                };
                let pair = self.compared.entry(pc).or_default();
                *pair = [Some(compared), pair[0]];
            }
            if let Some(own) = &mut self.own
                && own.ends_at(env.insn(pc), &path.state)
            {
                env.obligations[pc].check(&path.state, env.insn(pc))?;
                own.end(env, &path.state, pc)?;
                env.worst.end(path.parent, path.way);
                return Ok(End::Over);
            }
            match step(env, &mut path.state, pc)? {
                Step::To(next) => {
                    // Calls and returns count too: a loop may consist of little else.
                    if matches!(
                        env.insn(pc),
                        Insn::JumpIf { .. } | Insn::Jump { .. } | Insn::Call(_) | Insn::Exit
                    ) {
                        self.jumps += 1;
                    }
                    if matches!(env.insn(pc), Insn::JumpIf { .. }) {
                        self.turn(path, pc, next);
                    }
                    self.goes(path, env, next);
                }
                Step::Fork { now, later, state } => {
                    self.jumps += 1;
                    if self.waiting.len() >= MAX_WAITING {
                        let must = format!("at most {MAX_WAITING} paths wait to be walked");
                        return Err(fail(Rule::TooComplex, &must, "there would be more"));
                    }
                    self.flush(env, path.parent);
                    self.nodes[path.parent].open += 1;
                    let mut other = Waiting {
                        pc: later,
                        state: *state,
                        parent: path.parent,
                        history: path.history,
                        place: path.place,
                        back: env.cfg.is_back(pc, later),
                        met: false,
                        entry: path.entry,
                        alone: false,
                        way: path.way,
                        compared: self.compared_now(env, pc, later),
                    };
                    self.turn(&mut other, pc, later);
                    self.waiting.push(other);
                    self.turn(path, pc, now);
                    self.goes(path, env, now);
                }
                Step::End => {
                    env.worst.end(path.parent, path.way);
                    return Ok(End::Over);
                }
            }
        }
    }

    /// The last comparisons at `pc`, if one was made just now, for the way that leads to `to`.
    fn compared_now(&self, env: &Env<'_>, pc: Pc, to: Pc) -> Option<Box<(Pc, Pair)>> {
        if !env.cfg.cyclic[pc] {
            return None;
        }
        let mut pair = *self.compared.get(&pc)?;
        let last = pair[0].as_mut()?;
        if self.watch <= self.stats.processed || last.at != self.stats.processed {
            return None;
        }
        last.taken = to != env.cfg.next(pc);
        Some(Box::new((pc, pair)))
    }

    /// The path goes on at `to`.
    fn goes(&mut self, path: &mut Waiting, env: &Env<'_>, to: Pc) {
        let pc = path.pc;
        if self.watch > self.stats.processed
            && env.cfg.cyclic[pc]
            && let Insn::JumpIf { .. } = env.insn(pc)
            && let Some([Some(last), _]) = self.compared.get_mut(&pc)
            && last.at == self.stats.processed
        {
            last.taken = to != env.cfg.next(pc);
        }
        path.back = env.cfg.is_back(pc, to);
        path.pc = to;
    }

    fn turn(&mut self, path: &mut Waiting, pc: Pc, to: Pc) {
        if let Ok(at) = u32::try_from(self.turns.len()) {
            self.turns.push(Turn {
                before: path.history,
                pc,
                to,
            });
            path.history = at;
        }
    }

    fn turns_to(&self, mut at: u32) -> Vec<Turn> {
        let mut all = Vec::new();
        while at != 0 {
            let Some(turn) = self.turns.get(at as usize) else {
                break;
            };
            all.push(*turn);
            at = turn.before;
        }
        all.reverse();
        all
    }

    /// Compares the current state with those stored at this point, and stores it when that is worth it.
    fn meet(&mut self, env: &mut Env<'_>, path: &mut Waiting) -> Result<Visit, Box<Failure>> {
        let pc = path.pc;
        self.trace(path);
        let lap = lap_starts(env, pc, &path.state);
        let mut list = std::mem::take(&mut self.at[pc]);
        let head = env.cfg.heads[pc];
        let before = match head && path.back {
            true => list.iter().rev().map(|e| e.node).find(|n| {
                let node = &self.nodes[*n];
                node.open > 0 && node.state.alike(&path.state) && self.is_above(*n)
            }),
            false => None,
        };
        if let Some(n) = before
            && let node = &self.nodes[n]
            && node.head.is_some()
            && (path.state.clocks == node.state.clocks
                || path.state.clocks.lap_since(&node.state.clocks))
        {
            self.at[pc] = list;
            return self.lap(env, path, n);
        }
        let mut cut = None;
        let mut looped = false;
        // States that cut nothing for long are forgotten.
        let patience = if env.cfg.looping[pc] { 64 } else { 8 };
        let mut any_idle = false;
        let uninit_ok = env.uninit_ok();
        // What is gathered says nothing of how useful states are elsewhere.
        let counted = match self.gathering {
            0 => 0,
            _ => {
                let mut gathered = self.attempts.iter().filter(|a| a.kind == Kind::Gather);
                gathered.next().map_or(0, |a| a.node)
            }
        };
        for entry in list.iter_mut().rev() {
            if entry.failed.get().again(&path.state, &env.origins) {
                any_idle |= entry.node >= counted && entry.miss(patience);
                continue;
            }
            let n = entry.node;
            let node = &self.nodes[n];
            let open = node.open > 0;
            if open && !self.is_above(n) {
                continue;
            }
            let clocks = &path.state.clocks;
            let mode = if !open {
                match node.tied.is_empty() {
                    true => Mode::Needed,
                    false => {
                        let ties = self.ties(n);
                        let as_far = |o: &usize| {
                            clocks.as_far_as(&node.state.clocks, &self.nodes[*o].state.clocks)
                                && self.is_above(*o)
                        };
                        match ties.is_empty() {
                            true => Mode::Needed,
                            false if !ties.iter().all(as_far) => {
                                any_idle |= entry.idle(patience);
                                continue;
                            }
                            false => Mode::Within,
                        }
                    }
                }
            } else if clocks.lap_since(&node.state.clocks) {
                Mode::Within
            } else {
                Mode::Exact
            };
            if covers(
                &node.state,
                &path.state,
                env.live,
                pc,
                &node.reads,
                mode,
                &env.origins,
                uninit_ok,
                &entry.failed,
                None,
            ) {
                entry.hit(patience);
                match mode {
                    Mode::Exact => looped = true,
                    _ => cut = Some((n, mode)),
                }
                break;
            }
            any_idle |= entry.node >= counted && entry.miss(patience);
        }
        if looped {
            self.at[pc] = list;
            let must = "every loop makes progress towards its end";
            let known = "the loop comes back to this instruction in the same state";
            return Err(Box::new(Failure {
                pc: Some(pc),
                ..*fail(Rule::Unbounded, must, known)
            }));
        }
        if let Some((n, mode)) = cut {
            self.nodes[n].hits += 1;
            let ties = match self.nodes[n].open {
                0 => self.ties(n),
                _ => vec![n],
            };
            self.bind(path.parent, &ties);
            self.need(env, path, n, mode);
            let edge = match self.nodes[n].open {
                0 => Edge::To,
                _ => Edge::Back,
            };
            self.leads(env, path, n, edge);
            if let Some(r) = &mut env.recorder {
                r.cut(pc, &path.state, path.parent, path.place, n);
            }
            self.at[pc] = list;
            return Ok(Visit::Cut);
        }
        let looping = env.cfg.looping[pc];
        if any_idle {
            let nodes = &mut self.nodes;
            list.retain(|entry| {
                if !entry.idle(patience) {
                    return true;
                }
                let node = &mut nodes[entry.node];
                let keep = node.on_trial();
                if !keep && node.open == 0 {
                    // Nothing looks at it any more.
                    node.state.frames.truncate(0);
                }
                keep
            });
        }
        if lap
            && let Some(n) = list.iter().rev().map(|e| e.node).find(|n| {
                let node = &self.nodes[*n];
                node.open > 0
                    && path.state.clocks.lap_since(&node.state.clocks)
                    && self.is_above(*n)
            })
        {
            self.widen(env, &mut path.state, n);
        }
        self.at[pc] = list;
        if self.hold(env, path) {
            return Ok(Visit::Hold);
        }
        if self.gather(env, path) {
            return Ok(Visit::Elsewhere);
        }
        let mut list = std::mem::take(&mut self.at[pc]);
        let hopeless = head
            && self
                .loops
                .get(&pc)
                .is_some_and(|k| k.failed >= MOST_FAILED || k.dull >= MOST_DULL);
        // The first laps of a loop are stored, to see what moves.
        let lap_count = match before {
            Some(n) => self.nodes[n].lap.saturating_add(1),
            None => 0,
        };
        let young = head
            && lap_count <= GUESS_AT
            && env.options.summaries
            && self.wasted < self.budget
            && !hopeless;
        let worth = lap
            || young
            || env.options.store_often
            || self.jumps >= 2 && self.insns >= 8
            || looping && self.insns >= 100;
        if worth {
            if self.nodes.len() >= MAX_STORED {
                self.at[pc] = list;
                let must = format!("at most {MAX_STORED} states are kept");
                return Err(fail(Rule::TooComplex, &must, "there would be more"));
            }
            self.flush(env, path.parent);
            self.leads(env, path, self.nodes.len(), Edge::To);
            let state = std::mem::take(&mut path.state);
            let n = self.store(env, pc, Some(path.parent), state);
            self.nodes[n].lap = lap_count;
            self.nodes[n].open = 1;
            self.nodes[n].from = Some((path.place, path.history));
            path.state = self.nodes[n].state.clone();
            path.parent = n;
            self.jumps = 0;
            self.insns = 0;
            list.push(Entry::new(n));
            self.stats.peak_states = self.stats.peak_states.max(list.len());
        }
        let laps = match (young && lap_count == GUESS_AT, before) {
            (true, Some(second)) => list
                .iter()
                .rev()
                .map(|e| e.node)
                .find(|n| *n < second && self.nodes[*n].open > 0 && self.is_above(*n))
                .filter(|first| self.nodes[*first].lap + 1 == self.nodes[second].lap)
                .map(|first| [first, second]),
            _ => None,
        };
        self.at[pc] = list;
        if young {
            self.watch = self.stats.processed + 100_000;
        }
        if let Some([first, second]) = laps {
            self.guess(env, path, first, second);
        }
        Ok(Visit::Go)
    }

    /// Numbers that changed since the last lap, and that nothing needed so far, become unknown.
    fn widen(&self, env: &Env<'_>, state: &mut State, n: usize) {
        let old = &self.nodes[n].state;
        if old.frames.len() != state.frames.len() {
            return;
        }
        let widened = |a: &Value, b: &Value| match (a, b) {
            (Value::Number(a), Value::Number(b)) => {
                !a.set.includes(&b.set) && !env.origins.is_needed(a.origin)
            }
            _ => false,
        };
        for (a, b) in old.frames.iter().zip(&mut state.frames) {
            let regs: Vec<usize> = (0..probity_isa::Reg::COUNT)
                .filter(|r| widened(&a.regs[*r], &b.regs[*r]))
                .collect();
            let slots: Vec<usize> = (0..a.stack.len().min(b.stack.len()))
                .filter(
                    |s| match (a.stack.slot(*s).whole(), b.stack.slot(*s).whole()) {
                        (Some(a), Some(b)) => widened(a, b),
                        _ => false,
                    },
                )
                .collect();
            if regs.is_empty() && slots.is_empty() {
                continue;
            }
            let b = std::rc::Rc::make_mut(b);
            for r in regs {
                b.regs[r] = Value::unknown();
            }
            for s in slots {
                b.stack.set_spill(s, Value::unknown());
            }
        }
    }
}

/// Whether a lap of a loop that ends by itself starts here.
fn lap_starts(env: &Env<'_>, pc: Pc, state: &State) -> bool {
    let frame = state.frame();
    env.cfg.laps[pc] || frame.callback.is_some() && env.cfg.subprogs[frame.subprog].start == pc
}
