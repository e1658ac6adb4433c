//! A path's state → a node of the tree, what is read and needed from it on, and its end when all from it is walked.
//!
//! A node collects the slots that some path from it reads before writing them. When it closes, what was not written on
//! the way to it belongs to its parent too; what is read behind cuts by open nodes is passed on when the outermost of
//! these closes ([`Explorer::settle`]).
//!
//! **Invariant:** a node's `reads` and marks are final when it is closed and tied to no open one. What these do not name of
//! its state is nowhere looked at then, and is thrown away ([`Explorer::narrow`]).

use std::cell::Cell;
use std::rc::Rc;

use probity_isa::Pc;

use super::{Explorer, Waiting};
use crate::cover::{Failed, Mode};
use crate::env::{Env, FrameSlots, MAX_FRAMES, Slots, without};
use crate::induction::Head;
use crate::origin::Origin;
use crate::recorded::Place;
use crate::regs::Regs;
use crate::reject::Outcome;
use crate::shared::push;
use crate::stack::{Byte, SlotSet};
use crate::state::State;
use crate::value::Value;
use crate::worst::Edge;

/// A stored state.
pub(super) struct Node {
    pub(super) pc: Pc,
    pub(super) state: State,
    /// Instructions processed when it was stored.
    pub(super) at: usize,
    /// At a loop's head: laps since the loop was entered.
    pub(super) lap: u32,
    /// The loop was entered here while another node is a guess for it.
    pub(super) entered: bool,
    /// It is a guess for all laps of a loop.
    pub(super) head: Option<Box<Head>>,
    pub(super) parent: Option<usize>,
    /// Paths that start here and have not ended.
    pub(super) open: usize,
    /// Slots that some path from here reads before it writes them.
    pub(super) reads: FrameSlots,
    /// Nodes that were open when they cut a path from here: what follows leads back to them. Ascending.
    pub(super) tied: Vec<usize>,
    /// It is closed, and all of them are, and those that they were tied to.
    free: bool,
    /// Slots written on the way from the parent.
    pub(super) way: FrameSlots,
    /// Cuts not settled when it was stored.
    pub(super) backs: usize,
    /// Paths that it cut.
    pub(super) hits: u32,
    /// It is the join of states that came there.
    pub(super) joined: bool,
    /// It cut paths provisionally: it is looked at once more.
    pub(super) lent: bool,
    /// It keeps only what is compared of it.
    narrow: bool,
    /// Instructions on the way to it from the program's start.
    pub(super) deep: u64,
    /// Where the path that stored it came from, which may start again here.
    pub(super) from: Option<(Place, u32)>,
}

impl Node {
    /// Of a closed one that was looked at by [`Explorer::ties_of_closed`]: the open nodes that it leads back to.
    pub(super) fn open_ties(&self) -> &[usize] {
        match self.free {
            true => &[],
            false => &self.tied,
        }
    }

    /// Its paths are being walked from a guess.
    pub(super) fn on_trial(&self) -> bool {
        self.head.is_some() && self.open > 0
    }
}

/// A node among those at its instruction, with what rules it out at a glance: most of them are, one after the other.
pub(super) struct Entry {
    pub(super) node: usize,
    /// Where it last did not cover another state.
    pub(super) failed: Cell<Failed>,
    /// How many more states it covered than it did not, where one that it covered stands for many.
    credit: i64,
}

impl Entry {
    pub(super) fn new(node: usize) -> Entry {
        Entry {
            node,
            failed: Cell::default(),
            credit: 0,
        }
    }

    /// It did not cover a state; whether it is idle now.
    #[inline]
    pub(super) fn miss(&mut self, patience: u32) -> bool {
        self.credit -= 1;
        self.idle(patience)
    }

    /// It covered a state.
    pub(super) fn hit(&mut self, patience: u32) {
        self.credit += i64::from(patience);
    }

    #[inline]
    pub(super) fn idle(&self, patience: u32) -> bool {
        self.credit + i64::from(patience) < 0
    }
}

/// A cut by a node whose reads are not final.
pub(super) struct Back {
    /// The node whose segment was cut, and what that segment had written.
    pub(super) from: usize,
    pub(super) written: Slots,
    pub(super) to: usize,
    /// The number of this cut: they ascend.
    pub(super) at: usize,
}

/// Fewer nodes than these take no room to speak of; tests that store often want to see them cut down all the same.
const FEW: usize = 8;
/// Where there are as many, what a state takes matters more than the time to cut it down.
const MANY: usize = 128;

/// So many that came last are likely to be used soon.
fn latest(env: &Env<'_>) -> usize {
    match env.options.store_often {
        true => 0,
        false => 8,
    }
}

impl Explorer<'_> {
    /// A new node. Its numbers get origins of their own, in the copy that is walked on from too.
    pub(super) fn store(
        &mut self,
        env: &mut Env<'_>,
        pc: Pc,
        parent: Option<usize>,
        mut state: State,
    ) -> usize {
        let way = std::mem::take(&mut state.written);
        let origins = &mut env.origins;
        state.renumber(|of| origins.stored(of));
        self.stats.states += 1;
        self.nodes.push(Box::new(Node {
            pc,
            at: self.stats.processed,
            lap: 0,
            entered: false,
            head: None,
            state,
            parent,
            open: 0,
            reads: FrameSlots::default(),
            tied: Vec::new(),
            free: false,
            way,
            backs: self.cuts,
            hits: 0,
            joined: false,
            lent: false,
            narrow: false,
            deep: self.deep,
            from: None,
        }));
        self.nodes.len() - 1
    }

    /// There are so many states that the room they take matters more than the time to pack them.
    #[inline]
    pub(super) fn many(&self, env: &Env<'_>) -> bool {
        self.nodes.len() >= MANY || env.options.store_often
    }

    /// Nodes that were not the last ones any more when this was looked at before are packed, if there are many.
    pub(super) fn pack_older(&mut self, env: &Env<'_>) {
        if !self.many(env) {
            return;
        }
        let latest = latest(env);
        while self.packed + latest < self.nodes.len() {
            let node = &mut self.nodes[self.packed];
            if !node.narrow {
                node.state.pack();
            }
            self.packed += 1;
        }
    }

    /// A path waits, and those that have waited for longer will for long: they are packed, if there are many states.
    pub(super) fn waits(&mut self, env: &Env<'_>, path: Waiting) {
        push(&mut self.waiting, path);
        if self.many(env)
            && let Some(older) = self.waiting.len().checked_sub(1 + latest(env))
        {
            self.waiting[older].state.pack();
        }
    }

    /// The path comes to a node: that is an edge of the graph that the longest run is found in.
    pub(super) fn leads(&mut self, env: &mut Env<'_>, path: &mut Waiting, to: usize, edge: Edge) {
        let (from, now) = (path.parent, &path.state.clocks);
        let way = std::mem::take(&mut path.way);
        self.deep = self.nodes.get(from).map_or(0, |n| n.deep) + way.insns;
        let clocks = |n: usize| self.nodes.get(n).map(|n| &n.state.clocks);
        if let Some(at) = clocks(from) {
            env.worst.edge((from, at), to, way, now, clocks(to), edge);
        }
    }

    /// The current segment's reads belong to the node it started from.
    pub(super) fn flush(&mut self, env: &mut Env<'_>, node: usize) {
        let reads = std::mem::take(&mut env.reads);
        self.nodes[node].reads.add(&reads);
    }

    /// A path from `node` has ended. It fails where a node closes that does not cover what it was assumed to.
    pub(super) fn close(&mut self, env: &mut Env<'_>, mut node: usize) -> Outcome<()> {
        loop {
            self.nodes[node].open -= 1;
            if self.nodes[node].open > 0 {
                return Ok(());
            }
            let closed = &self.nodes[node];
            env.worst.close(node, closed.head.as_deref());
            let ties = self.ties(node);
            if !ties.is_empty() {
                self.confirm(env, node, false)?;
            } else {
                let cut = self.settle(node);
                self.confirm(env, node, true)?;
                if self.nodes.len() >= FEW || env.options.store_often {
                    for from in cut {
                        self.narrow_up(env, from, node);
                    }
                    self.narrow(env, node);
                }
            }
            let Some(parent) = self.nodes[node].parent else {
                return Ok(());
            };
            // What it needs and was not written on the way to it, its parent needs.
            let closed = &self.nodes[node];
            let needs = without(&closed.reads.all(), &closed.way.all());
            self.nodes[parent].reads.add(&needs);
            self.bind(parent, &ties);
            self.nodes[node].tied = ties;
            self.pressure.closed(node, self.stats.processed);
            self.follow(node);
            if self.attempts.last().is_some_and(|a| a.node == node) {
                self.succeed(env, node);
            }
            node = parent;
        }
    }

    /// Everything below `head` is closed, and leads nowhere else: what is read behind cuts is passed on.
    /// Where these cuts were: nodes that led back until now are final.
    fn settle(&mut self, head: usize) -> Vec<usize> {
        // Cuts made since the head was stored are of paths below it.
        let since = self.nodes[head].backs;
        let mut backs = self
            .backs
            .split_off(self.backs.partition_point(|b| b.at < since));
        let mut changed = !backs.is_empty();
        while changed {
            changed = false;
            for b in &backs {
                let reads = self.nodes[b.to].reads.all();
                changed |= self.pass_on(b.from, &reads, &b.written);
            }
        }
        let cut = backs.iter().map(|b| b.from).collect();
        if self.gathering > 0 {
            // Others, of paths that are not below it, may lead to what is open still.
            backs.retain(|b| self.nodes[b.to].open > 0 || !self.ties(b.to).is_empty());
            self.backs.append(&mut backs);
        }
        cut
    }

    /// The node and those above it, up to the head that they led back to.
    fn narrow_up(&mut self, env: &Env<'_>, mut n: usize, head: usize) {
        while n > head
            && let Some(node) = self.nodes.get(n)
            && !node.narrow
            && node.open == 0
            && self.ties(n).is_empty()
        {
            let parent = node.parent;
            self.narrow(env, n);
            match parent {
                Some(parent) => n = parent,
                None => return,
            }
        }
    }

    /// The node, closed and tied to nothing, keeps what [`crate::cover`] compares of it: it is a third of the states, or less.
    fn narrow(&mut self, env: &Env<'_>, n: usize) {
        let cut = self.many(env);
        let Some(node) = self.nodes.get_mut(n) else {
            return;
        };
        node.narrow = true;
        let is_needed = |of| env.origins.is_needed(of);
        let needed = |v: &Value| v.as_number().is_none_or(|n| is_needed(n.origin));
        let mut live = env.live.at(node.pc);
        for (i, frame) in node.state.frames.iter_mut().enumerate().rev() {
            let above = env.live.across_call(frame.return_pc);
            // Else a copy would take more room than it saves.
            if let Some(frame) = Rc::get_mut(frame) {
                let reads = match i {
                    0..MAX_FRAMES => node.reads.get(i),
                    _ => SlotSet::ALL,
                };
                frame.regs.narrow_to(live, needed, cut, &mut self.idle);
                frame.stack.narrow_to(reads, is_needed);
            }
            live = above;
        }
    }

    /// What is read behind `node`, and not written before, is read from it and from its ancestors. Whether that is new.
    pub(super) fn pass_on(&mut self, mut node: usize, reads: &Slots, written: &Slots) -> bool {
        let (mut reads, mut written) = (*reads, *written);
        let mut changed = false;
        loop {
            if !self.nodes[node].reads.add(&without(&reads, &written)) {
                return changed;
            }
            changed = true;
            let Some(parent) = self.nodes[node].parent else {
                return changed;
            };
            (reads, written) = (self.nodes[node].reads.all(), self.nodes[node].way.all());
            node = parent;
        }
    }

    /// The open nodes that a node leads back to, also by way of others that were open once.
    pub(super) fn ties(&self, n: usize) -> Vec<usize> {
        let tied = &self.nodes[n].tied;
        if tied.iter().all(|t| self.nodes[*t].open > 0) {
            return tied.clone();
        }
        let mut work = tied.clone();
        // Ascending.
        let mut seen: Vec<usize> = Vec::new();
        let mut ties = Vec::new();
        while let Some(at) = work.pop() {
            if let Err(place) = seen.binary_search(&at) {
                seen.insert(place, at);
                match self.nodes[at].open {
                    0 => work.extend(&self.nodes[at].tied),
                    _ => ties.push(at),
                }
            }
        }
        ties.sort_unstable();
        ties
    }

    /// The same of a closed node: what is found stays so, but that they are closed too in their turn.
    pub(super) fn ties_of_closed(&mut self, n: usize) -> &[usize] {
        if !self.nodes[n].free && self.nodes[n].tied.iter().any(|t| self.nodes[*t].open == 0) {
            let ties = self.ties(n);
            match ties.is_empty() {
                true => self.nodes[n].free = true,
                false => self.nodes[n].tied = ties,
            }
        }
        self.nodes[n].open_ties()
    }

    /// `node` leads back to these.
    pub(super) fn bind(&mut self, node: usize, to: &[usize]) {
        let tied = &mut self.nodes[node].tied;
        let new: Vec<usize> = to.iter().filter(|t| **t < node).copied().collect();
        if new.iter().any(|t| !tied.contains(t)) {
            tied.extend(new);
            tied.sort_unstable();
            tied.dedup();
        }
    }

    /// What a node needed, and will need, is needed of a state that it cuts.
    pub(super) fn need(&mut self, env: &mut Env<'_>, path: &Waiting, n: usize, mode: Mode) {
        let node = &self.nodes[n];
        let known = mode == Mode::Needed;
        if !known {
            self.backs.push(Back {
                from: path.parent,
                written: path.state.written.all(),
                to: n,
                at: self.cuts,
            });
            self.cuts += 1;
        }
        let frames = path.state.frames.len().min(MAX_FRAMES);
        let origins = &mut env.origins;
        let mut pass = |a: Option<Origin>, b: Option<Origin>| {
            if let (Some(a), Some(b)) = (a, b) {
                match known {
                    true if !origins.is_needed(a) => {}
                    true => origins.need(b),
                    false => origins.also(a, b),
                }
            }
        };
        for (i, (old, new)) in node
            .state
            .frames
            .iter()
            .zip(&path.state.frames)
            .enumerate()
            .take(frames)
        {
            let live = match path.state.frames.get(i + 1) {
                Some(callee) => env.live.across_call(callee.return_pc),
                None => env.live.at(path.pc),
            };
            for r in live.iter() {
                let of = |regs: &Regs| regs.get(r.index()).origin();
                pass(of(&old.regs), of(&new.regs));
            }
            if let (Some(a), Some(b)) = (&old.callback, &new.callback) {
                let args = a.args.iter().zip(&b.args);
                args.for_each(|(a, b)| pass(a.origin(), b.origin()));
                pass(a.result.origin(), b.result.origin());
            }
            let slots = if known {
                node.reads.get(i)
            } else {
                SlotSet::ALL
            };
            for index in slots.below(new.stack.len()).iter() {
                let (a, b) = (old.stack.slot(index), new.stack.slot(index));
                if b.spilled() == 0 {
                    continue;
                }
                if a.bytes.has(Byte::Zero) {
                    pass(Some(Origin::NONE), b.origin());
                } else if a.spilled() > 0 {
                    pass(a.origin(), b.origin());
                }
            }
            // More may follow, when it is settled.
            env.reads[i].0 |= node.reads.get(i).0 & !path.state.written.get(i).0;
        }
    }
}
