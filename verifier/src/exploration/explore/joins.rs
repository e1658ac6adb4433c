//! Two states that come to one merge point → one that includes both.
//!
//! - Numbers become what both can be; a link stays where both relate the same numbers by it.
//! - Pointers to the same become one whose variable part is what both can be; of packets what both know to be there.
//! - Bytes of the stack become what is common to both.
//! - What is of different kinds has no join: nothing would be known of it.
//!
//! **Invariant:** a join stands for a path only where it includes the path's state, by [`crate::cover`]'s judgement
//! ([`includes`]). That is all that soundness needs; that it includes the other state too is a matter of speed.
//!
//! **Invariant:** how far a value is from the one at an open loop's head is kept, or there is no join.

use std::cell::Cell;

use probity_domains::Scalar;
use probity_isa::{Pc, Reg};

use crate::cover::{Failed, Mode, covers, found_there};
use crate::env::{Env, Slots};
use crate::guess::{join_slot, same_callback};
use crate::names::Names;
use crate::stack::{Byte, SLOTS};
use crate::state::State;
use crate::value::{HEAD, Id, Number, Pointer, To, Value};

/// Whether the larger state includes the other.
pub(super) fn includes(env: &Env<'_>, pc: Pc, larger: &State, state: &State) -> bool {
    covers(
        larger,
        state,
        env.live,
        pc,
        &Slots::default(),
        Mode::Within,
        &env.origins,
        env.granted(),
        &Cell::<Failed>::default(),
        None,
    )
}

/// A join under way, of an old state with a new one.
#[derive(Default)]
struct Join {
    /// Ids of the old state, and of the new one.
    names: Names,
    /// Packet bases of the old state and the new one, how much further the new offsets are; and the join's.
    fresh: Vec<(Id, Id, i64, Id)>,
    /// Links of the new state, those of the old one, and how much further the `add`s are.
    links: Vec<(Id, Id, i64)>,
}

/// A state that includes both, with the clocks of the new one, and what was written on its path.
pub(super) fn join(env: &mut Env<'_>, pc: Pc, old: &State, new: &State) -> Option<State> {
    if !old.alike(new) || old.references.len() != new.references.len() {
        return None;
    }
    let mut j = Join::default();
    let regions = old
        .regions
        .covers(&new.regions, &mut |a, b| j.names.same(a, b));
    let mut references = old.references.iter().zip(new.references.iter());
    if !regions || !references.all(|(a, b)| j.names.same(a.id, b.id)) {
        return None;
    }
    let mut state = new.clone();
    for f in 0..new.frames.len() {
        let (a, b) = (&old.frames[f], &new.frames[f]);
        if !same_callback(a, b) || !j.names.objects(a, b) {
            return None;
        }
        for r in live_in(env, pc, new, f) {
            let (x, y) = (a.regs.get(r), b.regs.get(r));
            let value = j.value(env, &x, &y)?;
            if value != *y {
                state.frame_at(f)?.regs[r] = value;
            }
        }
        for s in 0..a.stack.len().max(b.stack.len()).min(SLOTS) {
            let (x, y) = (a.stack.slot(s), b.stack.slot(s));
            if x.bytes.has(Byte::Object) || y.bytes.has(Byte::Object) {
                if x.bytes != y.bytes {
                    return None;
                }
                continue;
            }
            let spilled = x.spilled() > 0 && x.spilled() == y.spilled();
            if x.bytes == y.bytes && !spilled {
                continue;
            }
            let value = match spilled {
                true => j.value(env, &x.value(), &y.value())?,
                false if y.spilled() > 0 && headed(y.held()) => return None,
                false => Value::Uninit,
            };
            if x.bytes == y.bytes && value == y.value() {
                continue;
            }
            let stack = &mut state.frame_at(f)?.stack;
            join_slot(stack, s, x, y, |_, _| value)?;
        }
    }
    Some(state)
}

fn live_in(env: &Env<'_>, pc: Pc, state: &State, f: usize) -> impl Iterator<Item = usize> + use<> {
    let live = match state.frames.get(f + 1) {
        Some(callee) => env.live.across_call(callee.return_pc),
        None => env.live.at(pc),
    };
    let mut regs = live.iter();
    std::iter::from_fn(move || regs.by_ref().find(|r| *r != Reg::R10).map(Reg::index))
}

/// It says how far it is from the value at a loop's head.
fn headed(v: &Value) -> bool {
    match v {
        Value::Number(n) => n.link & HEAD != 0,
        Value::Pointer(p) => p.base & HEAD != 0,
        Value::Uninit => false,
    }
}

impl Join {
    /// What stands for both, where `a` is the old state's.
    fn value(&mut self, env: &mut Env<'_>, a: &Value, b: &Value) -> Option<Value> {
        if headed(a) || headed(b) {
            return (a == b || same_number(a, b)).then_some(*b);
        }
        match (a, b) {
            (Value::Uninit, _) | (_, Value::Uninit) => Some(Value::Uninit),
            (Value::Number(x), Value::Number(y)) => Some(Value::Number(Number {
                set: x.set.join(&y.set),
                link: self.link(x, y),
                ..*y
            })),
            (Value::Pointer(x), Value::Pointer(y)) => self.pointer(env, x, y).map(Value::Pointer),
            _ => None,
        }
    }

    /// The link, where the numbers are related to the same others in both states.
    fn link(&mut self, a: &Number, b: &Number) -> Id {
        if a.link == 0 || b.link == 0 {
            return 0;
        }
        let further = b.add.wrapping_sub(a.add);
        match self.links.iter().find(|(new, _, _)| *new == b.link) {
            Some((_, old, delta)) if *old == a.link && *delta == further => b.link,
            Some(_) => 0,
            None => {
                self.links.push((b.link, a.link, further));
                b.link
            }
        }
    }

    fn pointer(&mut self, env: &mut Env<'_>, a: &Pointer, b: &Pointer) -> Option<Pointer> {
        let same = a.to == b.to && a.null == b.null;
        if !same
            || !self.names.same(a.reference, b.reference)
            || !self.names.same(a.parent, b.parent)
        {
            return None;
        }
        if a.is_packet() {
            return Some(self.packet(env, a, b));
        }
        if a.off != b.off || !self.names.same(a.id, b.id) {
            return None;
        }
        let base = if a.base == b.base { b.base } else { 0 };
        let range = a.range.min(b.range);
        if a.var == b.var {
            return Some(Pointer { base, range, ..*b });
        }
        if a.null || matches!(a.to, To::Stack { .. } | To::Context) {
            return None;
        }
        Some(Pointer {
            var: a.var.join(&b.var),
            base: 0,
            range,
            ..*b
        })
    }

    /// Both are seen from the one that has less of a constant offset.
    fn packet(&mut self, env: &mut Env<'_>, a: &Pointer, b: &Pointer) -> Pointer {
        let off = a.off.min(b.off);
        let further = b.off.wrapping_sub(a.off);
        // Of both it is known what is behind a place in the packet: that is as good a base.
        if env.granted().unaligned
            && (a.id != 0 || b.id != 0)
            && let (Some(there), Some(here)) = (found_there(a, off), found_there(b, off))
        {
            return Pointer {
                off,
                var: Scalar::constant(0),
                base: 0,
                range: there.min(here),
                id: self.fresh(env, a.id, b.id, further),
                ..*b
            };
        }
        let from = |p: &Pointer| {
            let further = p.off.wrapping_sub(off);
            let there = i64::from(p.range).saturating_sub(further).max(0);
            (p.var.add64(&Scalar::constant(further as u64)), there as u32)
        };
        let ((x, there), (y, here)) = (from(a), from(b));
        let range = there.min(here);
        if further == 0 && x == y {
            let base = if a.base == b.base { b.base } else { 0 };
            return Pointer { base, range, ..*b };
        }
        Pointer {
            off,
            var: x.join(&y),
            base: 0,
            range,
            id: self.fresh(env, a.id, b.id, further),
            ..*b
        }
    }

    /// The name in the join of what the two name in the old and the new state.
    fn fresh(&mut self, env: &mut Env<'_>, a: Id, b: Id, further: i64) -> Id {
        let same = |(x, y, f, _): &&(Id, Id, i64, Id)| (*x, *y, *f) == (a, b, further);
        if let Some((_, _, _, known)) = self.fresh.iter().find(same) {
            return *known;
        }
        let new = env.fresh_id();
        self.fresh.push((a, b, further, new));
        new
    }
}

/// The same number, but for where it came from.
fn same_number(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.set == b.set && a.link == b.link && a.add == b.add
        }
        _ => false,
    }
}
