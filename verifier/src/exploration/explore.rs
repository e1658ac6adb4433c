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

mod at;
mod attempt;
mod gather;
mod joins;
mod laps;
mod meet;
mod nodes;
mod own;
mod pressure;
mod provisional;

use probity_isa::{Insn, Pc};

use self::at::At;
use self::attempt::Attempt;
use self::gather::{Held, Parting};
use self::meet::Visit;
use self::nodes::{Back, Node};
use self::own::Own;
use self::pressure::Pressure;
use self::provisional::Provisional;
use crate::alu::operand_in;
use crate::env::Env;
use crate::guess::{Compared, Pair};
use crate::induction::Head;
use crate::meets::Meets;
use crate::numbered::Numbered;
use crate::recorded::{Place, Stored};
use crate::regs::IdleHalves;
use crate::reject::{Failure, fail, internal};
use crate::report::{Rule, Stats};
use crate::shared::push;
use crate::state::State;
use crate::step::{Step, step};
use crate::value::Value;
use crate::worst::{self, Way};

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

/// A branch taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub pc: Pc,
    pub to: Pc,
}

/// The same as it is kept, for there are many, and the one before it on the path.
#[derive(Clone, Copy, Debug, Default)]
struct Turned {
    before: u32,
    pc: u32,
    to: u32,
}

/// Why exploration stopped, and in which state.
pub(crate) struct Stopped {
    pub failure: Box<Failure>,
    pub pc: Pc,
    pub state: Box<State>,
    /// Branches on the way, oldest first.
    pub turns: Vec<Turn>,
}

/// Most paths that may wait at once.
const MAX_WAITING: usize = 1 << 16;

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
    at: At,
    /// What closed nodes share.
    idle: IdleHalves,
    /// Nodes before this one were packed, if they were to be.
    packed: usize,
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
    /// Instructions outside of the loop that the innermost attempt guesses, below this one.
    outside: usize,
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
    /// Cuts on trial, of attempts under way.
    provisional: Vec<Provisional>,
    /// Where laps start that are walked without such cuts.
    exactly: Numbered<Pc, ()>,
    /// Where laps start that are walked one by one: no larger state stands for them.
    lap_by_lap: Numbered<Pc, ()>,
    /// How deep a state is that is about to be stored.
    deep: u64,
    /// Counted from 1.
    turns: Vec<Turned>,
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

/// What became of a path.
enum End {
    Over,
    Held,
}

impl<'s> Explorer<'s> {
    fn new(env: &Env<'_>, stats: &'s mut Stats, budget: usize) -> Explorer<'s> {
        Explorer {
            nodes: Vec::with_capacity(4),
            at: At::new(env.cfg.insns.len()),
            idle: IdleHalves::default(),
            packed: 0,
            attempts: Vec::new(),
            refined: None,
            loops: Numbered::default(),
            pressure: Pressure::new(stats.processed),
            again: (Pc::MAX, 0),
            elsewhere: 0,
            outside: 0,
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
            provisional: Vec::new(),
            exactly: Numbered::default(),
            lap_by_lap: Numbered::default(),
            turns: Vec::new(),
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
        let state = match env.cfg.is_plain() && env.recorder.is_none() {
            false => self.nodes[root].state.clone(),
            // Nothing is ever compared with it, or walked from it again; only its clocks are asked for.
            true => {
                let clocks = self.nodes[root].state.clocks.clone();
                let of_clocks = State {
                    clocks,
                    ..State::default()
                };
                std::mem::replace(&mut self.nodes[root].state, of_clocks)
            }
        };
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
            let mut ended = self.walk(env, &mut path, trace);
            if let Ok(End::Over) = ended {
                // It shares nothing any more with the nodes that close.
                path.state = State::default();
                self.flush(env, path.parent);
                ended = self.close(env, path.parent).map(|()| End::Over);
            }
            match ended {
                Ok(_) => {}
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
                way: n.way.all(),
                reads: n.reads.all(),
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
        path.state.unpack();
        loop {
            let pc = path.pc;
            if pc >= env.cfg.insns.len() || path.state.frames.is_empty() {
                return Err(internal("a path is at an instruction, in a frame"));
            }
            let spent = self.stats.processed;
            if let Some(own) = &mut self.own {
                own.goes_on(&path.state, spent)?;
            }
            if !self.attempts.is_empty() {
                self.outside += usize::from(self.is_outside(pc, &path.state));
            }
            if let Some(attempt) = self.attempts.last()
                && attempt.exhausted(spent, self.elsewhere, self.outside)
            {
                return Err(internal("a larger state is not worth more instructions"));
            }
            if spent - self.wasted - self.pressure.stood() >= self.budget {
                let must = format!("verification takes at most {} instructions", self.budget);
                return Err(fail(Rule::TooComplex, &must, "it would take more"));
            }
            self.stats.processed += 1;
            self.insns += 1;
            if !std::mem::take(&mut path.met) && env.cfg.merges(pc) {
                match self.meet(env, path)? {
                    Visit::Go => path.alone = false,
                    Visit::Cut => return Ok(End::Over),
                    Visit::Hold => return Ok(End::Held),
                    Visit::Elsewhere => {
                        path.state.unpack();
                        continue;
                    }
                }
            }
            if self.gathering > 0 {
                self.enter(path);
            }
            let insn = env.insn(pc);
            let straight = insn.is_straight();
            if !straight && self.call(env, path, trace)? {
                continue;
            }
            env.reach(pc);
            path.way.insns += 1;
            if !straight {
                path.way.insns += env.kfunc_rows.executes(insn);
                if let Some(subprog) = worst::global_call(env, pc) {
                    env.worst
                        .call(&mut path.way, worst::Called::Global(subprog));
                }
            }
            if let Some(r) = &mut env.recorder {
                path.place = r.visit(pc, &path.state, path.parent, path.place);
            }
            if env.options.log_states > 0 {
                trace(pc, &path.state);
            }
            if !straight
                && self.watch > self.stats.processed
                && env.cfg.is_cyclic(pc)
                && let Insn::JumpIf {
                    op,
                    width,
                    dst,
                    src,
                    ..
                } = *insn
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
            if !straight
                && let Some(own) = &mut self.own
                && own.ends_at(insn, &path.state)
            {
                env.obligations[pc].check(&path.state, insn)?;
                own.end(env, &path.state, pc)?;
                env.worst.end(path.parent, path.way);
                return Ok(End::Over);
            }
            match step(env, &mut path.state, pc)? {
                Step::To(next) if straight => {
                    path.back = env.cfg.is_back(pc, next);
                    path.pc = next;
                }
                Step::To(next) => {
                    // Calls and returns count too: a loop may consist of little else.
                    if matches!(
                        insn,
                        Insn::JumpIf { .. } | Insn::Jump { .. } | Insn::Call(_) | Insn::Exit
                    ) {
                        self.jumps += 1;
                    }
                    if matches!(insn, Insn::JumpIf { .. }) {
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
                    self.waits(env, other);
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
        if !env.cfg.is_cyclic(pc) {
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
            && env.cfg.is_cyclic(pc)
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
        let known = [self.turns.len() + 1, pc, to].map(u32::try_from);
        if let [Ok(at), Ok(pc), Ok(to)] = known {
            let turned = Turned {
                before: path.history,
                pc,
                to,
            };
            push(&mut self.turns, turned);
            path.history = at;
        }
    }

    fn turns_to(&self, mut at: u32) -> Vec<Turn> {
        let mut all = Vec::new();
        while let Some(turn) = at.checked_sub(1).and_then(|i| self.turns.get(i as usize)) {
            all.push(Turn {
                pc: turn.pc as Pc,
                to: turn.to as Pc,
            });
            at = turn.before;
        }
        all.reverse();
        all
    }
}
