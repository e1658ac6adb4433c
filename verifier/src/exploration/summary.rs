//! A call of a static subprogram → what any call of it does that starts from no more: its *summary*.
//!
//! A subprogram that is called again is walked on its own: from its arguments alone, to all its ends. What comes of
//! that is applied to the call, and to later ones whose arguments are among those it was walked from.
//!
//! Why that is right:
//!
//! 1. *The callee depends on its arguments only.* It is called where nothing is held or entered ([`suits`]), its live
//!    arguments are numbers and pointers to what is no caller's stack, and no caller's frame is part of a callback or
//!    lent. So nothing that it executes can reach a caller's frame, and the frames above it are empty in its walk.
//!    How deep it is called counts as well: a summary holds for calls of the same depth.
//! 2. *A summary covers a call* when the arguments of its walk include the call's ([`crate::cover`], all of them and
//!    by inclusion, not only what was needed), with the same relations among them, and pointers at the same offsets.
//!    Whatever is right from the larger arguments is right from the call's: facts, stack depths, proofs that loops end.
//! 3. *Ends.* Every end of the walk is kept with its r0. In the walk r0 counts as needed at each end, so no path is cut
//!    by another one that ends with another r0. A run of the callee ends as one of the ends says, so the caller goes
//!    on from each of them: r0 is that of the end, r1 to r5 are lost, all else is as it was, since the callee leaves
//!    with nothing held or entered, does not change the packet and does not throw (else there is no summary).
//! 4. *What it says of its arguments.* Where the caller has copies of an argument, these learn what the callee finds
//!    out: the walk keeps a copy of its own ([`copied`]) in the empty frame above, which counts as read and, where it
//!    was narrowed, as needed at every end.
//! 5. *What counts as needed.* In the walk the arguments have origins of their own, which lead nowhere. Those that
//!    decided something are needed of each call's arguments when the summary is applied. Those that r0, or a narrowed
//!    copy, was made from ([`End::from`]) are parents of the origin that it gets in the caller. So no mark leads from
//!    one call to another, and none is made late in a state that was closed before.
//! 6. *Names.* Ids and links of the arguments of which there are copies are those of the call in r0: with the copies,
//!    which are needed at an end where r0 is linked to one, every cut in the walk compared how they are related.
//!    Any other id of r0 is new in each call, and a link is none: two calls give values of their own.
//! 7. *Worst case.* The walk is a graph of its own ([`crate::worst`]), whose longest way each call adds.
//! 8. A walk in which anything fails, or that takes too long, leaves nothing behind, and the call is walked with its
//!    caller's frames: so a summary may be less than what a walk says, and no verdict is lost in the callee.
//!
//! 9. Many ends that give numbers are joined to one that includes them. It may be too large for what follows: the call
//!    is an attempt then ([`crate::explore`]), and is walked when something fails behind it.
//!
//! **Invariant:** a summary belongs to one walk of the program ([`crate::walks`]): what may sleep and what the context
//! is are the same for all its calls.

use std::cell::Cell;
use std::rc::Rc;

use probity_domains::Scalar;
use probity_isa::{Pc, Reg};

use crate::branch::{set_null, sync};
use crate::call::ARGS;
use crate::cover::{Failed, Mode, covers};
use crate::env::{Env, MAX_FRAMES, Slots};
use crate::origin::Origin;
use crate::stack::SlotSet;
use crate::state::{Frame, State};
use crate::value::{Hold, Number, Pointer, To, Trust, Value};

/// What is known of the calls of one subprogram.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// How often it was called.
    pub entered: u32,
    /// Walks of it that came to nothing.
    pub failed: u32,
    /// Summaries made, and calls that one made before covered.
    pub made: u32,
    pub hits: u32,
    kept: Vec<Rc<Summary>>,
}

/// Walks that may come to nothing, and summaries that may cover no other call, before there are no more.
const MOST_FAILED: u32 = 2;
const MOST_DULL: u32 = 4;
/// Summaries kept of one subprogram.
const MOST_KEPT: usize = 16;
/// Ends of one summary; more are joined.
pub(crate) const MOST_ENDS: usize = 4;

impl Calls {
    /// Whether another summary may be worth it.
    pub(crate) fn promising(&self) -> bool {
        self.failed < MOST_FAILED
            && self.kept.len() < MOST_KEPT
            && (self.made < MOST_DULL || self.hits * 2 >= self.made)
    }

    pub(crate) fn keep(&mut self, summary: Rc<Summary>) {
        self.made += 1;
        self.kept.push(summary);
    }

    /// The one kept last is wrong.
    pub(crate) fn forget_last(&mut self) {
        self.kept.pop();
    }

    pub(crate) fn covering(&self, env: &Env<'_>, entry: &State) -> Option<Rc<Summary>> {
        self.kept
            .iter()
            .rev()
            .filter(|s| !s.coarse || self.failed < MOST_FAILED)
            .find(|s| s.covers(env, entry))
            .cloned()
    }
}

/// All ends of a subprogram from one entry.
#[derive(Debug)]
pub(crate) struct Summary {
    /// What it was walked from.
    pub entry: State,
    pub ends: Vec<End>,
    /// There were more, which one stands for: that is tried, and where something fails behind a call, taken back.
    pub coarse: bool,
    /// Arguments that decided something, one bit each.
    pub decided: u8,
    /// Its longest run ([`crate::worst`]).
    pub part: usize,
    /// Its states, where they are recorded.
    pub recorded: Option<u32>,
}

/// A way back to the caller.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub pc: Pc,
    pub r0: Value,
    /// The arguments that r0 or a copy was made from, one bit each.
    pub from: u8,
    /// What is known of the arguments that the caller has copies of.
    pub copies: [Value; 5],
}

/// One end for all, which give numbers back: it says nothing of the arguments.
pub(crate) fn joined(entry: &State, ends: &[End]) -> End {
    let numbers = || ends.iter().filter_map(|e| e.r0.as_number());
    let set = numbers().map(|n| n.set).reduce(|a, b| a.join(&b));
    End {
        pc: ends.last().map_or(0, |e| e.pc),
        r0: Value::number(set.unwrap_or(Scalar::unknown())),
        from: ends.iter().fold(0, |all, e| all | e.from),
        copies: copies_at(entry, copies(entry)),
    }
}

impl End {
    pub(crate) fn is_number(&self) -> bool {
        self.r0.as_number().is_some()
    }

    /// It says the same, whatever it was made from.
    pub(crate) fn same(&self, other: &End) -> bool {
        let plain = |v: &Value| match *v {
            Value::Number(n) => Value::Number(Number {
                origin: Origin::NONE,
                ..n
            }),
            v => v,
        };
        let copies = self.copies.iter().zip(&other.copies);
        plain(&self.r0) == plain(&other.r0) && copies.into_iter().all(|(a, b)| plain(a) == plain(b))
    }
}

/// Whether a call in this state depends on the arguments alone.
pub(crate) fn suits(env: &Env<'_>, state: &State, subprog: usize) -> bool {
    let effects = env.effects.get(subprog).map(|e| e.all).unwrap_or_default();
    let frames = &state.frames;
    !effects.changes_packet
        && !effects.throws
        && frames.len() < env.platform.limits.frames.min(MAX_FRAMES)
        && state.references.is_empty()
        && state.regions.is_empty()
        && frames.iter().all(|f| f.callback.is_none() && f.lent.is_empty())
        // An RCU read section that the callee leaves ends what these lead to.
        && !state.values().any(|v| fleeting(&v))
        && args(env, state, subprog).iter().all(plain)
}

/// A pointer to what may end without being released.
fn fleeting(value: &Value) -> bool {
    let Value::Pointer(p) = value else {
        return false;
    };
    match p.to {
        To::Kernel { trust, .. } => trust == Trust::Rcu,
        To::Allocated { hold, .. } => hold != Hold::Untrusted,
        To::Slice { .. } | To::Dynptr { .. } => true,
        _ => p.reference != 0 || p.parent != 0,
    }
}

/// A value that means the same wherever it is.
fn plain(value: &Value) -> bool {
    match value {
        Value::Uninit | Value::Number(_) => true,
        Value::Pointer(p) => {
            p.reference == 0
                && p.parent == 0
                && matches!(
                    p.to,
                    To::Context
                        | To::Map(_)
                        | To::MapKey(_)
                        | To::MapValue(_)
                        | To::Packet
                        | To::PacketMeta
                        | To::PacketEnd
                        | To::Memory { .. }
                        | To::Buffer { .. }
                        | To::Socket(_)
                        | To::FlowKeys
                        | To::Kernel { .. }
                        | To::PerCpu { .. }
                        | To::Arena
                        | To::Function(_)
                )
        }
    }
}

/// Whether a callee may end with this in r0.
pub(crate) fn may_return(value: &Value) -> bool {
    plain(value) && !fleeting(value)
}

/// The arguments that the subprogram may read.
fn args(env: &Env<'_>, state: &State, subprog: usize) -> [Value; 5] {
    let live = env.live.at(env.cfg.subprogs[subprog].start);
    ARGS.map(|r| match live.contains(r) {
        true => *state.reg(r),
        false => Value::Uninit,
    })
}

/// The slot of the empty frame above that keeps a copy of argument `i`.
fn slot(i: usize) -> SlotSet {
    SlotSet(1 << i)
}

/// The arguments that the caller has copies of, which it may use behind the call.
fn copied(env: &Env<'_>, state: &State, args: &[Value; 5], return_pc: Pc) -> u8 {
    let mut bits = 0;
    for (i, arg) in args.iter().enumerate() {
        let same = |v: &Value| match (arg, v) {
            (Value::Number(a), Value::Number(b)) => a.link != 0 && a.link == b.link,
            (Value::Number(a), Value::Pointer(b)) => a.link != 0 && a.link == b.base,
            (Value::Pointer(a), Value::Pointer(b)) if a.is_packet() => a.to == b.to && a.id == b.id,
            (Value::Pointer(a), Value::Pointer(b)) => a.id != 0 && a.id == b.id,
            _ => false,
        };
        let some = state.frames.iter().enumerate().any(|(f, frame)| {
            let back = state.frames.get(f + 1).map_or(return_pc, |f| f.return_pc);
            let mut regs = env.live.across_call(back).iter();
            regs.any(|r| same(&frame.regs.get(r.index())))
                || frame.stack.spills().any(|(_, v)| same(v))
        });
        bits |= u8::from(some) << i;
    }
    bits
}

/// What the subprogram is walked from when it is called in this state, and the slots that keep copies.
pub(crate) fn entry(env: &mut Env<'_>, state: &State, subprog: usize, call: Pc) -> State {
    let start = env.cfg.subprogs[subprog].start;
    let args = args(env, state, subprog);
    let copied = copied(env, state, &args, call + 1);
    let mut names: Vec<(u32, u32)> = Vec::new();
    let mut named = |env: &mut Env<'_>, id: u32| match names.iter().find(|n| n.0 == id) {
        Some(n) => n.1,
        None => {
            names.push((id, env.fresh_id()));
            names[names.len() - 1].1
        }
    };
    let depth = state.frames.len();
    let mut inside = State::entry(subprog);
    inside.frames = (0..=depth)
        .map(|i| Rc::new(Frame::new(subprog, i, start)))
        .collect();
    for (i, (r, value)) in ARGS.into_iter().zip(args).enumerate() {
        let value = match value {
            Value::Number(n) => Value::Number(Number {
                link: match n.link {
                    0 => env.fresh_id(),
                    link => named(env, link),
                },
                origin: env.origins.stored(Origin::NONE),
                ..n
            }),
            Value::Pointer(p) => Value::Pointer(Pointer {
                id: match p.id {
                    0 => 0,
                    id => named(env, id),
                },
                base: 0,
                ..p
            }),
            Value::Uninit => continue,
        };
        inside.frame_mut().regs[r.index()] = value;
        if copied >> i & 1 == 1 {
            let above = Rc::make_mut(&mut inside.frames[depth - 1]);
            // The first byte of a slot: that cannot fail.
            let _ = above.stack.spill(-8 * (i as i64 + 1), 8, value);
        }
    }
    if let Some(written) = inside.written.get_mut(depth) {
        *written = SlotSet::ALL;
    }
    inside
}

/// The slots in which an entry keeps copies.
pub(crate) fn copies(entry: &State) -> SlotSet {
    let above = entry.frames.len().checked_sub(2).map(|i| &entry.frames[i]);
    let spills = above.into_iter().flat_map(|f| f.stack.spills());
    spills.fold(SlotSet(0), |all, (s, _)| SlotSet(all.0 | slot(s).0))
}

/// The origins of the arguments in an entry.
pub(crate) fn origins(entry: &State) -> [Origin; 5] {
    ARGS.map(|r| entry.reg(r).as_number().map_or(Origin::NONE, |n| n.origin))
}

/// What an end says of the arguments, from the state in which the subprogram exits.
pub(crate) fn copies_at(state: &State, kept: SlotSet) -> [Value; 5] {
    let above = state.frames.len().checked_sub(2).map(|i| &state.frames[i]);
    std::array::from_fn(|i| {
        let slot = above.filter(|_| kept.contains(i)).map(|f| f.stack.slot(i));
        slot.and_then(|s| s.whole()).unwrap_or(Value::Uninit)
    })
}

impl Summary {
    fn covers(&self, env: &Env<'_>, entry: &State) -> bool {
        let start = env.cfg.subprogs[entry.frame().subprog].start;
        let same_place = |r: Reg| match (self.entry.reg(r), entry.reg(r)) {
            (Value::Pointer(a), Value::Pointer(b)) => a.off == b.off,
            _ => true,
        };
        copies(&self.entry) == copies(entry)
            && ARGS.into_iter().all(same_place)
            && covers(
                &self.entry,
                entry,
                env.live,
                start,
                &Slots::default(),
                Mode::Within,
                &env.origins,
                env.granted(),
                &Cell::new(Failed::default()),
                None,
            )
    }

    /// The call at `pc` in this state needs of its arguments what the callee needed.
    pub(crate) fn need(&self, env: &mut Env<'_>, state: &State) {
        for (i, r) in ARGS.into_iter().enumerate() {
            if self.decided >> i & 1 == 1
                && let Value::Number(n) = state.reg(r)
            {
                env.origins.need(n.origin);
            }
        }
    }

    /// The state behind the call at `pc`, made in `state`, when the callee ends so. `None`: it does not.
    pub(crate) fn behind(
        &self,
        env: &mut Env<'_>,
        state: &State,
        end: &End,
        pc: Pc,
    ) -> Option<State> {
        let given = ARGS.map(|r| *state.reg(r));
        let mut origin = Origin::NONE;
        for (i, v) in given.iter().enumerate() {
            if end.from >> i & 1 == 1
                && let Value::Number(n) = v
            {
                origin = env.origins.both(origin, n.origin);
            }
        }
        let mut behind = state.clone();
        for (i, (v, copy)) in given.iter().zip(&end.copies).enumerate() {
            let walked = self.entry.reg(ARGS[i]);
            match (v, walked, copy) {
                (Value::Number(n), Value::Number(w), Value::Number(c)) if c.set != w.set => {
                    let Some(set) = n.set.meet(&c.set) else {
                        env.origins.need(n.origin);
                        env.origins.need(origin);
                        return None;
                    };
                    let origin = env.origins.both(n.origin, origin);
                    let to = Number { set, origin, ..*n };
                    if n.link != 0 {
                        sync(env, &mut behind, n.link, n.add, to);
                    }
                }
                (Value::Pointer(p), Value::Pointer(w), Value::Number(_)) if w.null => {
                    set_null(env, &mut behind, p.id, 0, true);
                }
                (Value::Pointer(p), Value::Pointer(w), Value::Pointer(c)) => {
                    if w.null && !c.null {
                        set_null(env, &mut behind, p.id, 0, false);
                    }
                    if p.is_packet() && c.range > w.range {
                        behind.for_each_pointer(
                            |q| q.to == p.to && q.id == p.id,
                            |v| {
                                if let Value::Pointer(q) = v {
                                    q.range = q.range.max(c.range);
                                }
                            },
                        );
                    }
                }
                _ => {}
            }
        }
        behind.frame_mut().lose(&ARGS, pc);
        let r0 = self.result(env, &given, end, origin);
        behind.set(end.pc, Reg::R0, r0);
        Some(behind)
    }

    /// r0, in the caller's names.
    fn result(&self, env: &mut Env<'_>, given: &[Value; 5], end: &End, origin: Origin) -> Value {
        let walked = ARGS.map(|r| *self.entry.reg(r));
        let pairs = || walked.iter().zip(given);
        match end.r0 {
            Value::Uninit => Value::Uninit,
            Value::Number(n) => {
                let related = pairs().find_map(|(w, g)| match (w, g) {
                    (Value::Number(w), Value::Number(g)) if n.link != 0 && w.link == n.link => {
                        let add = n.add.wrapping_sub(w.add).wrapping_add(g.add);
                        (g.link != 0).then_some((g.link, add))
                    }
                    _ => None,
                });
                let (link, add) = related.unwrap_or((0, 0));
                Value::Number(Number {
                    set: n.set,
                    link,
                    add,
                    origin,
                })
            }
            Value::Pointer(p) => {
                // That it is the same is compared only with a copy.
                let kept = copies(&self.entry);
                let given = pairs().enumerate().find_map(|(i, (w, g))| match (w, g) {
                    (Value::Pointer(w), Value::Pointer(g)) if w.id == p.id && kept.contains(i) => {
                        Some(g.id)
                    }
                    _ => None,
                });
                let id = match p.id {
                    0 => 0,
                    _ => given.unwrap_or_else(|| env.fresh_id()),
                };
                Value::Pointer(Pointer { id, base: 0, ..p })
            }
        }
    }
}
