//! Exploration → [`Recorded`]: every state that was walked, in a form that a running machine can be held against.
//!
//! # What must hold
//!
//! A run is *followed* through the states walked ([`Follower`]): before each instruction, the machine lies inside
//! of a walked state at that instruction which comes next after one that it lay inside of before. This is what the
//! proof claims, by induction over the run:
//!
//! - A step of the machine from inside a state leads inside one of the states that the same step of the verifier
//!   gives (soundness of checks and transfers, and of what is said of both ways of a branch).
//! - Where a path was cut, the machine lies inside the state that was cut and then also inside the stored state
//!   that cut it, from which the run is followed on (soundness of coverage).
//!
//! This is stronger than to ask for any state at the instruction, and it needs no search.
//!
//! *Inside* leaves out what the proof leaves out, and nothing else:
//!
//! - Registers that are not live, and whatever is `Uninit`: nothing reads it before it is written.
//! - Numbers that are not *reliable*. A stored state that cut a path may have been entered with any number where
//!   none was needed of it, so a number is reliable when its origin was marked as needed, or when everything that
//!   it was computed from is reliable. A stored state that never cut a path is entered by its own path only: its
//!   numbers are as reliable as those they were on that path.
//! - Slots likewise: of a stored state that cut a path those that were read, of another those of its own path and
//!   those written since.
//!
//! Marks and reads are taken when exploration has ended. They only grow, and those of a stored state that cuts by
//! what was needed are final when it does so; so nothing is asked for here that was not compared there.
//!
//! Beyond value by value it is checked that numbers of one link differ by what the link says, that copies of a
//! pointer are NULL together, that packet pointers of one id have one base with the bytes behind it that were
//! proved, and that no more records are held than there are references.
//!
//! A static subprogram that is walked on its own ([`crate::summary`]) is a recording of its own: from a call that it
//! was taken for, a run is followed into it, and out of it to the states behind the call. Its arguments are as reliable
//! as they decided something; frames above it are empty in it, and not compared.
//!
//! Recorded is the walk of the program's main function, with what it calls. Global functions and functions that are
//! called later have walks of their own, which are not.
//!
//! **Invariant:** nothing here takes part in a verdict.

use std::fmt;

use probity_isa::{Pc, Reg};

use crate::env::{MAX_FRAMES, Slots};
use crate::liveness::Liveness;
use crate::origin::{Origin, Origins};
use crate::stack::{Byte, SLOTS, SlotSet};
use crate::state::State;
use crate::value::{Id, Number, Pointer, To, Value};

/// What a machine says of itself before an instruction.
pub trait Concrete {
    /// Frames under way; the last one runs.
    fn frames(&self) -> usize;
    /// A register of a frame. Of a frame that waits for a call only r6 to r10 are asked for.
    fn reg(&self, frame: usize, reg: Reg) -> u64;
    /// A byte of a frame's stack, `off` (negative) from its frame pointer.
    fn stack(&self, frame: usize, off: i64) -> Option<u8>;
    /// Where such a region may start; `None` when the machine cannot tell, and any address goes.
    fn starts(&self, base: Base) -> Option<Vec<u64>>;
    /// References held (ring buffer records); `None` when it cannot tell.
    fn references(&self) -> Option<usize>;
}

/// What a pointer's offset counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Context,
    /// The frame pointer of this frame, counted from the outermost.
    Frame(usize),
    /// The map itself, by its index in the object.
    Map(usize),
    /// Some value of the map.
    MapValue(usize),
    Packet,
    PacketMeta,
    PacketEnd,
    /// A ring buffer record of so many bytes.
    Record(u32),
    /// The subprogram that starts here.
    Function(Pc),
    /// Memory of other kinds.
    Other,
}

/// A run left the states that were walked: the verifier was wrong about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    pub pc: Pc,
    /// The states that it might have been inside of, each with what is wrong.
    pub why: Vec<String>,
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "instruction {} is reached outside of every state",
            self.pc
        )?;
        if self.why.is_empty() {
            write!(f, ": none was walked there on this way")?;
        }
        for why in &self.why {
            write!(f, "\n  {why}")?;
        }
        Ok(())
    }
}

/// All states of one program's exploration.
#[derive(Debug)]
pub struct Recorded {
    visits: Vec<Visit>,
    nodes: Vec<Node>,
    /// By origin.
    reliable: Vec<bool>,
    live: Liveness,
    starts: Vec<Pc>,
    /// Frames that it says nothing of.
    above: usize,
    /// Subprograms walked on their own.
    calls: Vec<Recorded>,
}

#[derive(Debug)]
struct Visit {
    pc: Pc,
    state: State,
    /// The stored state that its segment started from.
    node: usize,
    next: Vec<u32>,
    /// The stored state that cut the path here.
    cut: Option<usize>,
    /// The call that is made here is one of [`Recorded::calls`].
    call: Option<u32>,
}

/// A stored state.
#[derive(Debug, Default)]
struct Node {
    /// Where it was walked from.
    first: Option<u32>,
    /// Slots that are as its state says.
    slots: Slots,
}

/// A place in the exploration; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(u32);

/// What an exploration keeps for [`Recorded`].
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    visits: Vec<Visit>,
    firsts: Vec<Option<u32>>,
}

/// A stored state at the end of exploration.
pub(crate) struct Stored {
    pub parent: Option<usize>,
    pub way: Slots,
    pub reads: Slots,
    /// It cut some path.
    pub cuts: bool,
    /// It is a guess, or a join, for what its parent stands for, whose path went on from it.
    pub guess: bool,
}

impl Recorder {
    fn push(
        &mut self,
        pc: Pc,
        state: &State,
        node: usize,
        from: Place,
        cut: Option<usize>,
    ) -> Place {
        let Ok(at) = u32::try_from(self.visits.len()) else {
            return Place(0);
        };
        if let Some(v) = from
            .0
            .checked_sub(1)
            .and_then(|n| self.visits.get_mut(n as usize))
        {
            v.next.push(at);
        }
        self.visits.push(Visit {
            pc,
            state: state.clone(),
            node,
            next: Vec::new(),
            cut,
            call: None,
        });
        Place(at + 1)
    }

    /// The state before an instruction that is about to be walked. `node`: where its segment started.
    pub(crate) fn visit(&mut self, pc: Pc, state: &State, node: usize, from: Place) -> Place {
        let at = self.push(pc, state, node, from, None);
        if self.firsts.len() <= node {
            self.firsts.resize(node + 1, None);
        }
        if self.firsts[node].is_none() {
            self.firsts[node] = at.0.checked_sub(1);
        }
        at
    }

    pub(crate) fn len(&self) -> usize {
        self.visits.len()
    }

    /// Forgets what was walked after `visits`, in segments from `node` on; `place`: the last visit before.
    pub(crate) fn truncate(&mut self, visits: usize, node: usize, place: Place) {
        self.visits.truncate(visits);
        self.firsts.truncate(node);
        let last = (place.0 as usize).checked_sub(1);
        if let Some(v) = last.and_then(|n| self.visits.get_mut(n)) {
            v.next.retain(|n| (*n as usize) < visits);
        }
    }

    /// The state is covered by the stored state `by`.
    pub(crate) fn cut(&mut self, pc: Pc, state: &State, node: usize, from: Place, by: usize) {
        self.push(pc, state, node, from, Some(by));
    }

    /// The call that was visited last is taken for a walk of the subprogram on its own.
    pub(crate) fn calls(&mut self, place: Place, call: u32) {
        let at = (place.0 as usize).checked_sub(1);
        if let Some(v) = at.and_then(|n| self.visits.get_mut(n)) {
            v.call = Some(call);
        }
    }

    /// `given`: the origins of what a subprogram was called with, below so many frames, when it is walked on its own.
    pub(crate) fn finish(
        self,
        stored: &[Stored],
        origins: &Origins,
        live: Liveness,
        starts: Vec<Pc>,
        given: Option<(usize, [Origin; 5])>,
    ) -> Recorded {
        let (above, given) = given.unwrap_or_default();
        let mut nodes: Vec<Node> = Vec::with_capacity(stored.len());
        for (n, s) in stored.iter().enumerate() {
            let mut slots = s.reads;
            if !s.cuts {
                // Parents are stored before their children.
                slots = match s.parent.and_then(|p| nodes.get(p)) {
                    Some(parent) => both(&parent.slots, &s.way),
                    None => [SlotSet::ALL; MAX_FRAMES],
                };
            }
            nodes.push(Node {
                first: self.firsts.get(n).copied().flatten(),
                slots,
            });
        }
        // What a state cuts that was walked on from as a guess, goes on there too.
        for (n, s) in stored.iter().enumerate().filter(|(_, s)| s.guess) {
            let first = nodes[n].first;
            if let Some(parent) = s.parent.and_then(|p| nodes.get_mut(p))
                && parent.first.is_none()
            {
                parent.first = first;
            }
        }
        // Origins that stored states gave to their numbers, where these states cut paths.
        let mut entered = vec![false; origins.len()];
        for (node, s) in nodes.iter().zip(stored) {
            let Some(visit) = node.first.and_then(|v| self.visits.get(v as usize)) else {
                continue;
            };
            if !s.cuts {
                continue;
            }
            for v in visit.state.values() {
                if let Value::Number(n) = v
                    && let Some(e) = entered.get_mut(n.origin.index())
                {
                    *e = true;
                }
            }
        }
        let mut reliable: Vec<bool> = Vec::with_capacity(origins.len());
        for (at, entered) in entered.into_iter().enumerate() {
            let of = |o: Origin| reliable.get(o.index()).copied().unwrap_or(false);
            let origin = Origin::at(at);
            // What counts as needed at an end only was compared, too.
            let compared = !entered || origins.is_needed(origin);
            let made = compared && origins.parents(origin).into_iter().all(of);
            let good = origins.decided(origin) || made && !given.contains(&origin);
            reliable.push(good || origin == Origin::NONE);
        }
        Recorded {
            visits: self.visits,
            nodes,
            reliable,
            live,
            starts,
            above,
            calls: Vec::new(),
        }
    }
}

fn both(a: &Slots, b: &Slots) -> Slots {
    std::array::from_fn(|i| SlotSet(a[i].0 | b[i].0))
}

/// One run, held against the states instruction by instruction.
#[derive(Clone, Debug)]
pub struct Follower<'r> {
    recorded: &'r Recorded,
    /// The states that the machine lay inside of before the last instruction, each with those of the calls above.
    inside: Vec<Thread>,
    started: bool,
}

/// A state, and those in which the calls that led to it were made; the innermost last. Each belongs to one of
/// [`Recorded::calls`], or to the main function.
type Thread = Vec<(Option<u32>, u32)>;

impl Recorded {
    /// What it was called from was walked on its own, too.
    pub(crate) fn with_calls(mut self, calls: Vec<Recorded>) -> Recorded {
        self.calls = calls;
        self
    }

    /// Follows a run from the program's entry.
    pub fn follow(&self) -> Follower<'_> {
        Follower {
            recorded: self,
            inside: Vec::new(),
            started: false,
        }
    }

    fn part(&self, call: Option<u32>) -> Option<&Recorded> {
        match call {
            None => Some(self),
            Some(call) => self.calls.get(call as usize),
        }
    }

    fn first(&self) -> Option<u32> {
        self.nodes.first().and_then(|n| n.first)
    }

    /// Where a run may be after the last instruction that it was in `thread` before, with so many frames now.
    fn next(&self, thread: &Thread, frames: usize) -> Vec<Thread> {
        let mut thread = thread.clone();
        let Some(&(part, visit)) = thread.last() else {
            return Vec::new();
        };
        let of = |part, visit: u32| self.part(part)?.visits.get(visit as usize);
        if let Some(call) = of(part, visit).and_then(|v: &Visit| v.call) {
            let entered = self.part(Some(call)).and_then(Recorded::first);
            thread.extend(entered.map(|first| (Some(call), first)));
            return vec![thread];
        }
        // Out of subprograms that are left.
        while thread.len() > 1
            && let Some(&(part, _)) = thread.last()
            && self.part(part).is_some_and(|p| frames <= p.above)
        {
            thread.pop();
        }
        let Some((part, visit)) = thread.pop() else {
            return Vec::new();
        };
        let next = of(part, visit)
            .map(|v| v.next.as_slice())
            .unwrap_or_default();
        next.iter()
            .map(|n| thread.iter().copied().chain([(part, *n)]).collect())
            .collect()
    }

    /// How many states were walked.
    pub fn states(&self) -> usize {
        self.visits.len()
    }

    /// The states at an instruction, as text.
    pub fn at(&self, pc: Pc) -> impl Iterator<Item = String> {
        let here = self.visits.iter().filter(move |v| v.pc == pc);
        here.map(|v| v.state.to_string().trim_start().to_string())
    }

    /// Whether a machine lies inside of a state; otherwise what does not.
    fn contains(&self, v: &Visit, m: &impl Concrete) -> Result<(), String> {
        let state = &v.state;
        if state.frames.len() != m.frames() {
            return Err(format!("{} frames, not {}", m.frames(), state.frames.len()));
        }
        let mut c = Check {
            recorded: self,
            links: Vec::new(),
            nulls: Vec::new(),
            bases: Vec::new(),
        };
        let held = self.nodes.get(v.node).map(|n| n.slots).unwrap_or_default();
        let slots = both(&held, &state.written.all());
        let top = state.frames.len() - 1;
        for (i, frame) in state.frames.iter().enumerate().skip(self.above) {
            let live = match state.frames.get(i + 1) {
                Some(callee) => self.live.across_call(callee.return_pc),
                None => self.live.at(v.pc),
            };
            let name = |what: String| match i == top {
                true => what,
                false => format!("frame {i}'s {what}"),
            };
            for r in live.iter().filter(|r| *r != Reg::R10) {
                c.value(m, &frame.regs.get(r.index()), m.reg(i, r))
                    .map_err(|e| format!("{} {e}", name(r.to_string())))?;
            }
            let slots = slots.get(i).copied().unwrap_or_default();
            for index in (0..frame.stack.len().min(SLOTS)).filter(|s| slots.contains(*s)) {
                let slot = frame.stack.slot(index);
                let off = -(index as i64 + 1) * 8;
                let bytes: Option<Vec<u8>> = (0..8).map(|b| m.stack(i, off + b)).collect();
                let Some(bytes) = bytes else {
                    return Err(name(format!("fp{off} cannot be read")));
                };
                let spilled = slot.spilled();
                if spilled > 0 {
                    let mut word = [0; 8];
                    word[..spilled].copy_from_slice(&bytes[..spilled]);
                    c.value(m, &slot.value(), u64::from_le_bytes(word))
                        .map_err(|e| format!("{} {e}", name(format!("fp{off}"))))?;
                }
                for (b, (kind, is)) in slot.bytes.iter().zip(&bytes).enumerate() {
                    if kind == Byte::Zero && *is != 0 {
                        let off = off + b as i64;
                        return Err(name(format!("fp{off} is {is:#x}, not 0")));
                    }
                }
            }
        }
        match m.references() {
            Some(n) if n > state.references.len() => Err(format!(
                "{n} references are held, not {}",
                state.references.len()
            )),
            _ => Ok(()),
        }
    }
}

impl Follower<'_> {
    /// The machine is about to execute `pc`.
    pub fn step(&mut self, pc: Pc, machine: &impl Concrete) -> Result<(), Outside> {
        let recorded = self.recorded;
        let mut open: Vec<Thread> = if self.started {
            let frames = machine.frames();
            let inside = self.inside.iter();
            inside.flat_map(|t| recorded.next(t, frames)).collect()
        } else {
            self.started = true;
            recorded
                .first()
                .into_iter()
                .map(|v| vec![(None, v)])
                .collect()
        };
        let mut inside: Vec<Thread> = Vec::new();
        let mut why = Vec::new();
        while let Some(mut thread) = open.pop() {
            let Some(&(part, at)) = thread.last() else {
                continue;
            };
            let Some(walked) = recorded.part(part) else {
                continue;
            };
            let Some(v) = walked.visits.get(at as usize).filter(|v| v.pc == pc) else {
                continue;
            };
            match (walked.contains(v, machine), v.cut) {
                (Ok(()), None) if inside.contains(&thread) => {}
                (Ok(()), None) => inside.push(thread),
                (Ok(()), Some(by)) => {
                    thread.pop();
                    if let Some(first) = walked.nodes.get(by).and_then(|n| n.first) {
                        thread.push((part, first));
                        open.push(thread);
                    }
                }
                (Err(e), _) => why.push(format!("{e}; state {at}:{}", v.state)),
            }
        }
        if inside.is_empty() {
            return Err(Outside { pc, why });
        }
        self.inside = inside;
        Ok(())
    }
}

/// What the values of one state say of each other.
struct Check<'a> {
    recorded: &'a Recorded,
    /// Link, and what its numbers are before their `add`.
    links: Vec<(Id, u64)>,
    /// Id of a pointer that may be NULL, and whether it is.
    nulls: Vec<(Id, bool)>,
    /// Packet pointers: id and base.
    bases: Vec<(To, Id, u64)>,
}

impl Check<'_> {
    fn value(&mut self, m: &impl Concrete, value: &Value, is: u64) -> Result<(), String> {
        match value {
            Value::Uninit => Ok(()),
            Value::Number(n) => self.number(n, is),
            Value::Pointer(p) => self.pointer(m, p, is),
        }
        .map_err(|e| format!("is {is:#x}: {e}"))
    }

    fn number(&mut self, n: &Number, is: u64) -> Result<(), String> {
        let reliable = &self.recorded.reliable;
        if !reliable.get(n.origin.index()).copied().unwrap_or(false) {
            return Ok(());
        }
        if !n.set.contains(is) {
            return Err(format!("not in {}", Value::Number(*n)));
        }
        if n.link == 0 {
            return Ok(());
        }
        let root = is.wrapping_sub(n.add as u64);
        match self.links.iter().find(|l| l.0 == n.link) {
            Some(l) if l.1 != root => Err(format!(
                "not {:#x}{:+} as link #{} says",
                l.1, n.add, n.link
            )),
            Some(_) => Ok(()),
            None => {
                self.links.push((n.link, root));
                Ok(())
            }
        }
    }

    fn pointer(&mut self, m: &impl Concrete, p: &Pointer, is: u64) -> Result<(), String> {
        // Any number, NULL included.
        if p.to == To::Arena {
            return Ok(());
        }
        if p.null {
            match self.nulls.iter().find(|n| n.0 == p.id) {
                Some(n) if n.1 != (is == 0) => {
                    return Err(format!("a copy with id {} is otherwise", p.id));
                }
                Some(_) => {}
                None => self.nulls.push((p.id, is == 0)),
            }
            if is == 0 {
                return Ok(());
            }
        }
        let base = match p.to {
            To::Context => Base::Context,
            To::Stack { frame } => Base::Frame(frame),
            To::Map(map) if !map.inner => Base::Map(map.index()),
            To::MapValue(map) if !map.inner => Base::MapValue(map.index()),
            To::Packet => Base::Packet,
            To::PacketMeta => Base::PacketMeta,
            To::PacketEnd => Base::PacketEnd,
            To::Record { size } => Base::Record(size),
            To::Function(n) => match self.recorded.starts.get(n) {
                Some(pc) => Base::Function(*pc),
                None => Base::Other,
            },
            _ => Base::Other,
        };
        let Some(starts) = m.starts(base) else {
            return match is {
                0 => Err(format!("NULL, not {p}")),
                _ => Ok(()),
            };
        };
        let before = is.wrapping_sub(p.off as u64);
        let end = match p.to {
            To::Packet => m.starts(Base::PacketEnd),
            To::PacketMeta => m.starts(Base::Packet),
            _ => None,
        };
        // The base of an id is any place in the packet, its end included.
        let room = match end.as_deref() {
            Some([end]) if p.id != 0 => Some(*end),
            _ => None,
        };
        let may_be = |start: u64| {
            let by = before.wrapping_sub(start);
            let beyond =
                |end: u64| by >= p.var.umin() && by <= (end - start).saturating_add(p.var.umax());
            p.var.contains(by) || room.is_some_and(|end| start <= end && beyond(end))
        };
        if !starts.iter().any(|s| may_be(*s)) {
            return Err(format!("not {p}, which starts at {starts:#x?}"));
        }
        if !p.is_packet() {
            return Ok(());
        }
        match self.bases.iter().find(|b| b.0 == p.to && b.1 == p.id) {
            Some(b) if b.2 != before => {
                return Err(format!("not at the base {:#x} of id {}", b.2, p.id));
            }
            Some(_) => {}
            None => self.bases.push((p.to, p.id, before)),
        }
        match end.as_deref() {
            Some([end]) if p.range > 0 && before.wrapping_add(p.range.into()) > *end => {
                Err(format!("{p} ends behind {end:#x}"))
            }
            _ => Ok(()),
        }
    }
}
