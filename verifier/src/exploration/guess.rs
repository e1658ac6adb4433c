//! States of a loop's first laps → a guess of what holds at its head in every lap.
//!
//! Nothing here is trusted. A guess is walked like any state, and it stands only when every path back to the
//! head lies within it ([`crate::cover`]), with its induction variables where their steps say ([`crate::induction`]).
//!
//! - A location whose value moved by the same step in both laps is an *induction variable*. Later laps may add steps:
//!   a lap moves it by one of a range of steps. Comparisons of the laps tell how many laps there can be at most.
//! - Another number that changed is unknown when nothing needed it so far; otherwise it is widened, to constants that
//!   the loop compares with.
//! - Whatever else differs is uninitialised: nothing may read it.

use std::rc::Rc;

use probity_domains::Scalar;
use probity_isa::{JmpOp, Pc, Reg, Width};

use crate::env::Env;
use crate::induction::{Head, Induction};
use crate::stack::{Byte, Slot, Stack};
use crate::state::{Frame, State};
use crate::value::{HEAD, Id, Number, Pointer, To, Value};

/// A comparison of numbers on the way, and where it led.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compared {
    /// When, in instructions processed.
    pub at: usize,
    pub op: JmpOp,
    pub width: Width,
    pub x: Scalar,
    pub y: Scalar,
    pub taken: bool,
}

/// The last two comparisons at one instruction, the newer one first.
pub(crate) type Pair = [Option<Compared>; 2];

/// Fewer laps are walked.
const FEW_LAPS: u64 = 3;
/// More are not believed.
const MOST_LAPS: u64 = 1 << 30;
/// What varies alike is not farther apart.
const MOST_APART: u64 = 1 << 20;
/// Steps are smaller.
const MOST_STEP: u64 = 1 << 31;
/// Laps with so many open branches take ways that are worth being one.
const BRANCHES: usize = 2;
/// Most induction variables of one loop.
const MOST_INDUCTIONS: usize = 32;

/// The state at the head two laps ago, one lap ago, and now, with the times when the first two were stored.
pub(crate) struct Laps<'a> {
    pub states: [&'a State; 2],
    pub times: [usize; 2],
    pub now: &'a State,
}

/// A state that includes `laps.now` and, if it is guessed right, all that follow at the head.
/// `lean`: where laps branch, what nothing needed so far is unknown, though it moves by steps: states that differ in
/// it alone are then one.
pub(crate) fn guess(
    env: &mut Env<'_>,
    pc: Pc,
    laps: &Laps<'_>,
    compared: &[(Pc, Pair)],
    known: &mut Vec<u64>,
    lean: bool,
) -> Option<(State, Head)> {
    let pairs: Vec<[Compared; 2]> = compared
        .iter()
        .filter_map(|(_, pair)| match pair {
            [Some(b), Some(a)]
                if b.at >= laps.times[1] && a.at >= laps.times[0] && a.at < laps.times[1] =>
            {
                Some([*a, *b])
            }
            _ => None,
        })
        .collect();
    let mut counts: Vec<u64> = pairs.iter().filter_map(most_laps).collect();
    counts.retain(|n| (FEW_LAPS..=MOST_LAPS).contains(n));
    counts.sort_unstable();
    counts.dedup();
    // Comparisons of these laps may have made room for those of other paths.
    match counts.is_empty() {
        true => counts = known.clone(),
        false => *known = counts.clone(),
    }
    let count = *counts.first()?;
    counts.remove(0);
    let [first, second] = laps.states;
    if second.clocks != laps.now.clocks && !laps.now.clocks.lap_since(&second.clocks) {
        return None;
    }
    let thresholds = thresholds(&pairs);
    let open = |[_, b]: &&[Compared; 2]| b.x.as_constant().is_none() || b.y.as_constant().is_none();
    let lean = lean && pairs.iter().filter(open).count() >= BRANCHES;
    let compared = |set: &Scalar| {
        let mut operands = pairs.iter().flatten().flat_map(|c| [&c.x, &c.y]);
        operands.any(|x| x == set)
    };
    let mut inductions: Vec<Induction> = Vec::new();
    let state = general(env, pc, second, laps.now, &mut |env, place, old, new| {
        let wanted = |env: &Env<'_>, first: &Value| match (first, old, new) {
            (Value::Number(a), Value::Number(b), Value::Number(c)) if lean => {
                let needed = [a, b].into_iter().any(|n| env.origins.is_needed(n.origin));
                needed || compared(&b.set) || compared(&c.set)
            }
            _ => true,
        };
        let step = step_of(old, new).filter(|s| {
            let first = place.of(first).filter(|v| wanted(env, v));
            first.and_then(|v| step_of(&v, old)) == Some(*s) && inductions.len() < MOST_INDUCTIONS
        });
        let induction = step.and_then(|step| {
            let part = moving_part(new)?;
            // What is known and moves alike differs by what it differs by now.
            let like = |i: &&Induction| {
                i.least == step && i.most == step && i.from.as_constant().is_some()
            };
            if let Some(c) = part.as_constant()
                && let Some(like) = inductions.iter().find(like)
                && let Some(k) = like.from.as_constant()
                && let Some(add) = (c as i64).checked_sub(k as i64)
                && add.unsigned_abs() < MOST_APART
            {
                return at_head(env, new, like, add, count);
            }
            let i = Induction::new(env.fresh_id() | HEAD, step, part);
            let value = at_head(env, new, &i, 0, count)?;
            inductions.push(i);
            Some(value)
        });
        // It stayed in the first lap, and moved in the second.
        let stayed = match (place.of(first), old) {
            (Some(Value::Number(a)), Value::Number(b)) => {
                a.set == b.set && env.origins.is_needed(b.origin)
            }
            _ => false,
        };
        let induction = induction.or_else(|| {
            let step =
                step_of(old, new).filter(|_| stayed && inductions.len() < MOST_INDUCTIONS)?;
            let i = Induction::new(env.fresh_id() | HEAD, step, moving_part(new)?).with(0);
            let value = at_head(env, new, &i, 0, count)?;
            inductions.push(i);
            Some(value)
        });
        induction.unwrap_or_else(|| widened(env, old, new, &thresholds))
    })?;
    (!inductions.is_empty()).then(|| (state, Head::new(inductions, count, counts)))
}

/// Another guess, after a path came back to the head in the state `back`, which `tried` does not include.
pub(crate) fn again(
    env: &mut Env<'_>,
    pc: Pc,
    tried: &State,
    head: &Head,
    back: &State,
    compared: &[(Pc, Pair)],
) -> Option<(State, Head)> {
    let pairs: Vec<[Compared; 2]> = compared
        .iter()
        .filter_map(|(_, pair)| Some([pair[1]?, pair[0]?]))
        .collect();
    let thresholds = thresholds(&pairs);
    let mut laps = head.laps;
    let mut more = head.more.clone();
    let mut kept: Vec<Induction> = Vec::new();
    let mut changed = false;
    // What stays comes from where the guess was made.
    let mut state = general(env, pc, back, tried, &mut |env, _, new, old| {
        let Some(i) = head.of(old) else {
            let value = match sometimes(env, old, new, laps, &mut kept) {
                Some(value) => value,
                None => wider(env, old, new, &thresholds),
            };
            changed |= value != *old;
            return value;
        };
        let step = step_from(old, new);
        if step.is_some_and(|s| i.allows(s)) {
            if kept.iter().all(|k| k.link != i.link) {
                kept.push(*i);
            }
            return *old;
        }
        changed = true;
        let add = match old {
            Value::Number(n) => n.add,
            _ => 0,
        };
        // Other steps: it is on its own from now on.
        if let Some(step) = step
            && step.unsigned_abs() < MOST_STEP
            && kept.len() < MOST_INDUCTIONS
        {
            let from = i.from.add64(&Scalar::constant(add as u64));
            let own = i.with(step).starting(env.fresh_id() | HEAD, from);
            if let Some(value) = at_head(env, old, &own, 0, laps) {
                kept.push(own);
                return value;
            }
        }
        // It does not move by steps after all.
        match (old, new) {
            (Value::Number(a), Value::Number(b)) => {
                let plain = |n: &Number| {
                    Value::Number(Number {
                        link: 0,
                        add: 0,
                        ..*n
                    })
                };
                wider(env, &plain(a), &plain(b), &thresholds)
            }
            _ => Value::Uninit,
        }
    })?;
    if kept.is_empty() {
        return None;
    }
    if changed {
        return Some((state, Head::new(kept, laps, more)));
    }
    // All is as guessed, but there are more laps than it has room for.
    laps = *more.first()?;
    more.remove(0);
    let mut room = true;
    let at = Head::new(kept, laps, more);
    state.for_each(
        |v| at.of(v).is_some(),
        |v| {
            let add = v.as_number().map_or(0, |n| n.add);
            if let Some(i) = at.of(v) {
                match at_head(env, v, i, add, laps) {
                    Some(value) => *v = value,
                    None => room = false,
                }
            }
        },
    );
    room.then_some((state, at))
}

/// The same, of what was there first.
fn wider(env: &Env<'_>, old: &Value, new: &Value, thresholds: &[u64]) -> Value {
    match (old, widened(env, old, new, thresholds)) {
        (Value::Number(a), Value::Number(n)) => Value::Number(Number {
            origin: a.origin,
            ..n
        }),
        (_, value) => value,
    }
}

/// A number that did not change in the first laps, and lies elsewhere now: some laps move it.
fn sometimes(
    env: &mut Env<'_>,
    old: &Value,
    new: &Value,
    laps: u64,
    kept: &mut Vec<Induction>,
) -> Option<Value> {
    let (Value::Number(a), Value::Number(b)) = (old, new) else {
        return None;
    };
    let unlike = a.link == 0 || a.link != b.link;
    let step = shift(&a.set, &b.set).filter(|_| unlike && kept.len() < MOST_INDUCTIONS)?;
    if !env.origins.is_needed(a.origin) {
        return None;
    }
    let i = Induction::new(env.fresh_id() | HEAD, step, a.set).with(0);
    let value = at_head(env, old, &i, 0, laps)?;
    kept.push(i);
    Some(value)
}

/// A register or slot of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Reg(usize, usize),
    Slot(usize, usize),
}

impl Place {
    fn of(self, state: &State) -> Option<Value> {
        match self {
            Place::Reg(f, r) => Some(*state.frames.get(f)?.regs.get(r)),
            Place::Slot(f, s) => {
                let slot = state.frames.get(f)?.stack.slot(s);
                (slot.spilled() > 0).then(|| slot.value())
            }
        }
    }
}

/// A state of `new`'s shape, in which what differs from `old` is what `join` makes of both.
/// `None` when no state stands for both.
pub(crate) fn general(
    env: &mut Env<'_>,
    pc: Pc,
    old: &State,
    new: &State,
    join: &mut dyn FnMut(&mut Env<'_>, Place, &Value, &Value) -> Value,
) -> Option<State> {
    let renamed = renamed(old, new)?;
    let old = renamed.as_ref().unwrap_or(old);
    if !old.alike(new) || old.regions != new.regions {
        return None;
    }
    let mut state = new.clone();
    for f in 0..new.frames.len() {
        let (a, b) = (&old.frames[f], &new.frames[f]);
        if Rc::ptr_eq(a, b) {
            continue;
        }
        if !same_callback(a, b) || a.lent != b.lent || a.stack.objects() != b.stack.objects() {
            return None;
        }
        let live = match new.frames.get(f + 1) {
            Some(callee) => env.live.across_call(callee.return_pc),
            None => env.live.at(pc),
        };
        for r in live.iter().filter(|r| *r != Reg::R10) {
            let (x, y) = (a.regs.get(r.index()), b.regs.get(r.index()));
            if *x != *y {
                let value = join(env, Place::Reg(f, r.index()), &x, &y);
                Rc::make_mut(&mut state.frames[f]).regs[r.index()] = value;
            }
        }
        for s in 0..a.stack.len().max(b.stack.len()) {
            let (x, y) = (a.stack.slot(s), b.stack.slot(s));
            if x.bytes == y.bytes && x.value() == y.value() {
                continue;
            }
            if x.bytes.has(Byte::Object) || y.bytes.has(Byte::Object) {
                return None;
            }
            let stack = &mut Rc::make_mut(&mut state.frames[f]).stack;
            join_slot(stack, s, x, y, |v, w| join(env, Place::Slot(f, s), v, w))?;
        }
    }
    Some(state)
}

/// The state with other names for the references that it holds: those of `new`, which were acquired at the same places.
/// `None` when it holds others; `Some(None)` when the names are the same.
fn renamed(old: &State, new: &State) -> Option<Option<State>> {
    let pairs = || old.references.iter().zip(new.references.iter());
    if old.references.len() != new.references.len() || pairs().any(|(a, b)| a.pc != b.pc) {
        return None;
    }
    if old.references == new.references {
        return Some(None);
    }
    let to = |id: Id| pairs().find(|(a, _)| a.id == id).map_or(id, |(_, b)| b.id);
    let mut state = old.clone();
    state.references.clone_from(&new.references);
    state.for_each_pointer(
        |p| {
            [p.id, p.reference, p.parent]
                .iter()
                .any(|id| to(*id) != *id)
        },
        |v| {
            if let Value::Pointer(p) = v {
                (p.id, p.reference, p.parent) = (to(p.id), to(p.reference), to(p.parent));
            }
        },
    );
    Some(Some(state))
}

pub(crate) fn same_callback(a: &Frame, b: &Frame) -> bool {
    match (&a.callback, &b.callback) {
        (None, None) => true,
        (Some(x), Some(y)) => {
            Rc::ptr_eq(x, y)
                || x.call_pc == y.call_pc
                    && x.subprog == y.subprog
                    && x.left == y.left
                    && x.args == y.args
                    && x.result == y.result
        }
        _ => false,
    }
}

/// Slot `s` of a stack becomes what is common to two.
pub(crate) fn join_slot(
    stack: &mut Stack,
    s: usize,
    x: Slot<'_>,
    y: Slot<'_>,
    join: impl FnOnce(&Value, &Value) -> Value,
) -> Option<()> {
    let spilled = x.spilled();
    let value = match spilled > 0 && spilled == y.spilled() {
        true => join(&x.value(), &y.value()),
        false => Value::Uninit,
    };
    let low = -8 * (s as i64 + 1);
    let kept = if value.is_init() { spilled } else { 0 };
    for i in kept..8 {
        stack.set_bytes(low + i as i64, 1, join_byte(x, y, i));
    }
    if kept > 0 {
        stack.spill(low, kept, value).ok()?;
    }
    Some(())
}

/// A byte of two slots that hold no common value.
fn join_byte(x: Slot<'_>, y: Slot<'_>, i: usize) -> Byte {
    let kind = |s: Slot<'_>| match s.bytes.get(i) {
        Byte::Spill if s.held().as_number().is_none() => Byte::Unwritten,
        Byte::Spill if s.held().is_zero() => Byte::Zero,
        Byte::Spill => Byte::Misc,
        b => b,
    };
    match (kind(x), kind(y)) {
        (a, b) if a == b => a,
        (Byte::Unwritten, _) | (_, Byte::Unwritten) => Byte::Unwritten,
        _ => Byte::Misc,
    }
}

/// A value for both, which further laps may stay within.
fn widened(env: &Env<'_>, old: &Value, new: &Value, thresholds: &[u64]) -> Value {
    match (old, new) {
        (Value::Number(a), Value::Number(b)) => {
            // Of one link, it is the same number, of which the comparisons on the way say something else.
            let same = a.link != 0 && a.link == b.link && a.add == b.add;
            let (link, add) = if same { (b.link, b.add) } else { (0, 0) };
            let set = match same || env.origins.is_needed(a.origin) {
                _ if a.set.includes(&b.set) => a.set,
                true => a.set.widen(&a.set.join(&b.set), thresholds),
                false => Scalar::unknown(),
            };
            Value::Number(Number {
                set,
                link,
                add,
                origin: b.origin,
            })
        }
        (Value::Pointer(a), Value::Pointer(b)) => {
            let same = a.to == b.to && a.null == b.null && a.off == b.off;
            let held = a.reference == b.reference && a.parent == b.parent;
            if !same || !held || (a.id == 0) != (b.id == 0) {
                return Value::Uninit;
            }
            if a.var == b.var {
                return Value::Pointer(Pointer {
                    range: a.range.min(b.range),
                    base: if a.base == b.base { b.base } else { 0 },
                    ..*b
                });
            }
            let var = a.var.widen(&a.var.join(&b.var), thresholds);
            Value::Pointer(Pointer {
                var,
                range: 0,
                base: 0,
                ..*b
            })
        }
        _ => Value::Uninit,
    }
}

/// How far a value moved from one lap to the next, when nothing else about it changed.
fn step_of(old: &Value, new: &Value) -> Option<i64> {
    match (old, new) {
        (Value::Number(a), Value::Number(b)) => shift(&a.set, &b.set),
        (Value::Pointer(a), Value::Pointer(b)) => {
            let same = a.to == b.to
                && a.null == b.null
                && a.reference == b.reference
                && a.parent == b.parent
                && !matches!(a.to, To::Stack { .. } if a.var != b.var);
            let packet = a.is_packet() || a.id == b.id;
            let step = match a.var == b.var {
                true => b.off.checked_sub(a.off)?,
                false if a.off == b.off => shift(&a.var, &b.var)?,
                false => return None,
            };
            (same && packet && !a.null && step != 0).then_some(step)
        }
        _ => None,
    }
}

/// The same of a value and the one that it became on the way from the head: they are related, not only alike.
fn step_from(head: &Value, back: &Value) -> Option<i64> {
    match (head, back) {
        (Value::Number(a), Value::Number(b)) if a.link != 0 && a.link == b.link => {
            Some(b.add.wrapping_sub(a.add))
        }
        (Value::Pointer(a), Value::Pointer(b)) if a.base != 0 && a.base == b.base => {
            b.off.checked_sub(a.off)
        }
        _ => None,
    }
}

fn shift(a: &Scalar, b: &Scalar) -> Option<i64> {
    let step = i128::from(b.smin()) - i128::from(a.smin());
    let same = step == i128::from(b.smax()) - i128::from(a.smax());
    let small = step != 0 && step.unsigned_abs() < 1 << 31;
    (same && small).then_some(step as i64)
}

/// What moves of a value.
fn moving_part(value: &Value) -> Option<Scalar> {
    match value {
        Value::Number(n) => Some(n.set),
        Value::Pointer(p) => Some(p.var),
        Value::Uninit => None,
    }
}

/// The value at the head of an induction variable, to which its location adds `add`, for `count` laps.
/// `now` is its value in some lap.
fn at_head(env: &mut Env<'_>, now: &Value, i: &Induction, add: i64, count: u64) -> Option<Value> {
    let reached = i.reached(count)?;
    Some(match now {
        Value::Number(n) => {
            let set = match add {
                0 => reached,
                _ => {
                    let from = i.from.add64(&Scalar::constant(add as u64));
                    i.starting(i.link, from).reached(count)?
                }
            };
            Value::Number(Number {
                set,
                link: i.link,
                add,
                origin: n.origin,
            })
        }
        Value::Pointer(p) => {
            let id = match p.is_packet() {
                true => env.fresh_id(),
                false => p.id,
            };
            Value::Pointer(Pointer {
                off: p.off.checked_add(add)?,
                var: reached,
                id,
                range: 0,
                base: i.link,
                ..*p
            })
        }
        Value::Uninit => return None,
    })
}

/// Constants that the loop compares with, and their neighbours.
fn thresholds(pairs: &[[Compared; 2]]) -> Vec<u64> {
    let mut all: Vec<u64> = pairs
        .iter()
        .flat_map(|[_, b]| [&b.x, &b.y])
        .filter_map(|s| s.as_constant())
        .flat_map(|c| [c.wrapping_sub(1), c, c.wrapping_add(1)])
        .chain([u64::from(u8::MAX), u64::from(u16::MAX), u64::from(u32::MAX)])
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// How many more laps the comparison lets pass at most, when one side moves and the other one stays.
fn most_laps(pair: &[Compared; 2]) -> Option<u64> {
    let [a, b] = pair;
    if a.taken != b.taken {
        return None;
    }
    let signed = matches!(b.op, JmpOp::SGt | JmpOp::SGe | JmpOp::SLt | JmpOp::SLe);
    let range = |s: &Scalar| -> (i128, i128) {
        match (b.width, signed) {
            (Width::W64, false) => (s.umin().into(), s.umax().into()),
            (Width::W64, true) => (s.smin().into(), s.smax().into()),
            (Width::W32, false) => (s.u32_min().into(), s.u32_max().into()),
            (Width::W32, true) => (s.s32_min().into(), s.s32_max().into()),
        }
    };
    let moved = |from: (i128, i128), to: (i128, i128)| {
        (to.0 - from.0 == to.1 - from.1).then_some(to.0 - from.0)
    };
    let (x, y) = (range(&b.x), range(&b.y));
    let (dx, dy) = (moved(range(&a.x), x), moved(range(&a.y), y));
    // What must hold for the loop to go on, with the side that moves first.
    let mut on = Relation::of(b.op, b.taken)?;
    let (x, y, step) = match (dx, dy) {
        (Some(d), _) if d != 0 && dy == Some(0) => (x, y, d),
        (_, Some(d)) if d != 0 && dx == Some(0) => {
            on = on.exchanged();
            (y, x, d)
        }
        // The bound may be narrowed by each lap's test.
        (Some(d), None) if d != 0 => (x, y, d),
        _ => return None,
    };
    let whole = match b.width {
        Width::W64 => 1i128 << 64,
        Width::W32 => 1i128 << 32,
    };
    let room = match (on, step > 0) {
        (Relation::Less, true) => y.1 - 1 - x.0,
        (Relation::LessEqual, true) => y.1 - x.0,
        (Relation::Greater, false) => x.1 - 1 - y.0,
        (Relation::GreaterEqual, false) => x.1 - y.0,
        // It moves away from the bound, until it passes 0: so compilers test ranges.
        (Relation::Greater | Relation::GreaterEqual, true) if !signed => whole - 1 - x.0,
        (Relation::Less | Relation::LessEqual, false) if !signed => x.1,
        (Relation::NotEqual, _) => {
            // On the way there it may pass 0.
            let way = ((y.0 - x.0) * step.signum()).rem_euclid(whole);
            let laps = way / step.abs();
            let exact = x.0 == x.1 && y.0 == y.1 && way % step == 0 && laps >= 1;
            return exact.then(|| u64::try_from(laps - 1).ok())?;
        }
        _ => return None,
    };
    u64::try_from((room / step.abs()).max(0)).ok()
}

#[derive(Clone, Copy)]
enum Relation {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    NotEqual,
}

impl Relation {
    /// What holds behind a comparison on the side where it led.
    fn of(op: JmpOp, taken: bool) -> Option<Relation> {
        use Relation::*;
        Some(match (op, taken) {
            (JmpOp::Lt | JmpOp::SLt, true) | (JmpOp::Ge | JmpOp::SGe, false) => Less,
            (JmpOp::Le | JmpOp::SLe, true) | (JmpOp::Gt | JmpOp::SGt, false) => LessEqual,
            (JmpOp::Gt | JmpOp::SGt, true) | (JmpOp::Le | JmpOp::SLe, false) => Greater,
            (JmpOp::Ge | JmpOp::SGe, true) | (JmpOp::Lt | JmpOp::SLt, false) => GreaterEqual,
            (JmpOp::Ne, true) | (JmpOp::Eq, false) => NotEqual,
            _ => return None,
        })
    }

    fn exchanged(self) -> Relation {
        use Relation::*;
        match self {
            Less => Greater,
            LessEqual => GreaterEqual,
            Greater => Less,
            GreaterEqual => LessEqual,
            NotEqual => NotEqual,
        }
    }
}
