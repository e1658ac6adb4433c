//! Objects that kernel and program share on the program's stack: dynptrs, iterators, saved interrupt flags.
//!
//! The kernel writes such an object through the call that makes it and trusts its bytes from then on, so the
//! program must not touch them until it ends.
//!
//! - **Element:** an [`Object`] in each slot that it takes, all eight bytes of which are [`crate::stack::Byte::Object`].
//! - Loads of its bytes, and memory arguments that overlap it, are refused.
//! - Stores destroy a dynptr that holds no reference, and everything made from it; all else they may not hit.
//! - Bytes that a slice may lie in ([`Lent`]) hold any number; storing to them in another way ends the slice.
//!
//! **Invariant:** an object's slots lie side by side, have ascending parts from 0, and are made and ended together.

use std::rc::Rc;

use crate::env::Env;
use crate::memory::stack_of;
use crate::reject::{Explain, Outcome, fail, internal};
use crate::report::Rule;
use crate::stack::{STACK_BYTES, Stack, place};
use crate::state::{Frame, State};
use crate::value::{Id, Pointer, To, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub kind: ObjectKind,
    /// What is made from it names it as its parent.
    pub id: Id,
    /// The reference that it holds, to be released; 0: none.
    pub reference: Id,
    /// Which of its slots this is, from the lowest address, and how many there are.
    pub part: u8,
    pub parts: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    Dynptr(DynptrKind),
    Iterator {
        /// Its structure in the platform's types.
        type_id: u32,
        /// No elements are left.
        drained: bool,
        guard: Guard,
    },
    /// Interrupt flags; saved with a lock or without.
    IrqFlag {
        lock: bool,
    },
}

/// What a dynptr is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DynptrKind {
    /// Memory that stays.
    Local,
    /// A ring buffer's record: a reference.
    Ringbuf,
    /// A packet; `moves`: a write through it may move the packet.
    Packet { moves: bool },
    /// A subprogram's argument: any of them.
    Any,
}

/// What keeps an iterator's elements alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// The iterator itself.
    Own,
    /// The RCU read section in which it began.
    Rcu,
    /// None: that section has ended.
    Lost,
}

impl ObjectKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            ObjectKind::Dynptr(_) => "a dynptr",
            ObjectKind::Iterator { .. } => "an iterator",
            ObjectKind::IrqFlag { .. } => "saved interrupt flags",
        }
    }
}

/// Where an object lies or will lie: its lowest byte, from the frame pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub frame: usize,
    pub off: i64,
}

/// The spot that a pointer to the stack names; `None` when it is no place for an object of so many slots.
pub(crate) fn spot(state: &State, p: &Pointer, parts: usize) -> Option<Spot> {
    let To::Stack { frame } = p.to else {
        return None;
    };
    let off = p.constant_offset()?;
    let fits = off % 8 == 0 && off >= -STACK_BYTES && off + 8 * parts as i64 <= 0;
    (!p.null && fits && parts > 0 && frame < state.frames.len()).then_some(Spot { frame, off })
}

/// The object that starts exactly there.
pub(crate) fn at(state: &State, spot: Spot) -> Option<Object> {
    let stack = &state.frames.get(spot.frame)?.stack;
    stack
        .object(place(spot.off).0)
        .copied()
        .filter(|o| o.part == 0)
}

/// Remembers how deep the stack is.
pub(crate) fn deep(env: &mut Env<'_>, state: &State, spot: Spot) {
    if let Some(f) = state.frames.get(spot.frame) {
        env.stack_used(f.subprog, -spot.off);
    }
}

/// Whether an object may be made there: no other one is in the way that stays.
pub(crate) fn vacant(state: &State, spot: Spot, parts: usize) -> Outcome<()> {
    let Some(frame) = state.frames.get(spot.frame) else {
        return Err(gone());
    };
    let end = spot.off + 8 * parts as i64;
    for (_, o) in within(&frame.stack, spot.off, end) {
        may_end(&o)?;
    }
    Ok(())
}

/// Makes an object; what was there ends.
pub(crate) fn make(
    env: &Env<'_>,
    state: &mut State,
    spot: Spot,
    parts: usize,
    object: Object,
) -> Outcome<()> {
    overwrite(
        env,
        state,
        spot.frame,
        spot.off,
        spot.off + 8 * parts as i64,
    )?;
    for part in 0..parts {
        let index = place(spot.off + 8 * part as i64).0;
        let stack = stack_of(state, spot.frame)?;
        let object = Object {
            part: part as u8,
            parts: parts as u8,
            ..object
        };
        stack.make_object(index, object);
        if let Some(w) = state.written.get_mut(spot.frame) {
            w.insert(index);
        }
    }
    Ok(())
}

/// Changes what is known of an object, in all of its slots.
pub(crate) fn change(state: &mut State, spot: Spot, kind: ObjectKind) {
    let Some(object) = at(state, spot) else {
        return;
    };
    let Some(frame) = state.frame_at(spot.frame) else {
        return;
    };
    for part in 0..i64::from(object.parts) {
        let slot = place(spot.off + 8 * part).0;
        if let Some(o) = frame.stack.object_mut(slot) {
            o.kind = kind;
        }
    }
}

/// Ends the object there: its bytes are as if never written.
pub(crate) fn end(state: &mut State, spot: Spot) -> Outcome<()> {
    let Some(object) = at(state, spot) else {
        return Err(gone());
    };
    for part in 0..i64::from(object.parts) {
        let slot = place(spot.off + 8 * part).0;
        stack_of(state, spot.frame)?.end_object(slot);
    }
    Ok(())
}

/// Every object, with where it starts.
pub(crate) fn all(state: &State) -> Vec<(Spot, Object)> {
    let mut list = Vec::new();
    for (frame, f) in state.frames.iter().enumerate() {
        let found = within(&f.stack, -STACK_BYTES, 0);
        list.extend(found.map(|(off, o)| (Spot { frame, off }, o)));
    }
    list
}

/// Objects that overlap `[low, end)`, each once, with their lowest byte.
fn within(stack: &Stack, low: i64, end: i64) -> impl Iterator<Item = (i64, Object)> + use<> {
    let mut found: Vec<(i64, Object)> = Vec::new();
    for (slot, o) in stack.objects() {
        let at = -(*slot as i64 + 1) * 8;
        if at < end && low < at + 8 {
            let start = at - 8 * i64::from(o.part);
            if !found.iter().any(|(s, _)| *s == start) {
                found.push((start, *o));
            }
        }
    }
    found.into_iter()
}

/// No byte of `[low, end)` belongs to an object: it may be read, or given to a helper.
pub(crate) fn apart(state: &State, frame: usize, low: i64, end: i64) -> Outcome<()> {
    let Some(f) = state.frames.get(frame) else {
        return Err(gone());
    };
    match within(&f.stack, low, end).next() {
        None => Ok(()),
        Some((off, o)) => {
            let must = "an object on the stack is only touched by the functions made for it";
            let known = format!("{} lies at fp{off:+}", o.kind.name());
            Err(fail(Rule::BadPointer, must, &known))
        }
    }
}

/// Whether storing over it ends it, and no more.
fn may_end(o: &Object) -> Outcome<()> {
    match o.kind {
        ObjectKind::Dynptr(_) if o.reference == 0 => Ok(()),
        kind => {
            let must = "what must be given back is not overwritten on the stack";
            let known = format!("{} would be overwritten", kind.name());
            let rule = Rule::Reference;
            Err(fail(rule, must, &known).hint("release, submit, destroy or restore it first"))
        }
    }
}

/// The bytes `[low, end)` are about to be written, or may be: dynptrs there end, and slices that lie there.
pub(crate) fn overwrite(
    env: &Env<'_>,
    state: &mut State,
    frame: usize,
    low: i64,
    end: i64,
) -> Outcome<()> {
    let Some(f) = state.frames.get(frame) else {
        return Err(gone());
    };
    for (off, o) in within(&f.stack, low, end) {
        may_end(&o)?;
        self::end(state, Spot { frame, off })?;
        forget_parent(env, state, o.id);
    }
    take_back(env, state, frame, low, end);
    Ok(())
}

/// What was made from `parent` is no longer there.
pub(crate) fn forget_parent(env: &Env<'_>, state: &mut State, parent: Id) {
    let gone = crate::call::gone(env);
    state.for_each_pointer(|p| p.parent == parent, |v| *v = gone);
}

/// A slice may lie in these bytes of the stack, until something is stored there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lent {
    /// Of the pointers to it.
    pub slice: Id,
    pub low: i64,
    pub end: i64,
}

pub(crate) fn lend(state: &mut State, frame: usize, lent: Lent) -> Outcome<()> {
    let alive = |state: &State, l: &Lent| {
        let is = |v: &Value| v.as_pointer().is_some_and(|p| is_slice(p, l.slice));
        let in_frame = |f: &Rc<Frame>| f.regs.any(is) || f.stack.spills().any(|(_, v)| is(v));
        state.frames.iter().any(in_frame)
    };
    let Some(f) = state.frames.get(frame) else {
        return Err(gone());
    };
    let mut list = f.lent.clone();
    list.retain(|l| alive(state, l));
    list.push(lent);
    if let Some(f) = state.frame_at(frame) {
        f.lent = list;
    }
    Ok(())
}

fn is_slice(p: &Pointer, id: Id) -> bool {
    matches!(p.to, To::Slice { .. }) && p.id == id
}

/// Slices that lie in these bytes of a frame's stack end.
pub(crate) fn take_back(env: &Env<'_>, state: &mut State, frame: usize, low: i64, end: i64) {
    let hit = |l: &Lent| l.low < end && low < l.end;
    let Some(f) = state.frames.get(frame) else {
        return;
    };
    let ended: Vec<Id> = f.lent.iter().filter(|l| hit(l)).map(|l| l.slice).collect();
    if ended.is_empty() {
        return;
    }
    if let Some(f) = state.frame_at(frame) {
        f.lent.retain(|l| !hit(l));
    }
    let gone = crate::call::gone(env);
    state.for_each_pointer(|p| ended.iter().any(|id| is_slice(p, *id)), |v| *v = gone);
}

fn gone() -> Box<crate::reject::Failure> {
    internal("a frame that is pointed to has not returned")
}
