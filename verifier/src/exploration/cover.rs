//! When one state covers another: every machine state that the second stands for, the first stands for too.
//!
//! - `Uninit` covers everything: no path from it reads the location.
//! - A number covers the numbers in its set, if the links that the covering state relies on hold in the other.
//! - A pointer covers the same kind with the same constant offset and a variable one in its set. A packet pointer covers
//!   those whose two offsets together are in its set, if at least as many bytes are known to be there. Where its base
//!   has an id, that is any place in the packet: of one that nothing is added to, all that is asked is what is behind it.
//! - Ids are names: they are compared through a map from one state's to the other's.
//! - Stack bytes: unwritten and unknown ones cover everything that may be read, zeros cover zeros, spills the values they cover.
//!
//! - Objects on the stack, and what is lent of it, always count: kind, state, identity and reference.
//!
//! **Invariant:** registers that are dead at the point, and slots that nothing read, are not compared.
//!
//! A stored state remembers the spot that failed last ([`Failed`]) and has it compared first: most states that are
//! compared with it differ there again. A spot is compared without the ids and links of the others, so it fails alone
//! only where the whole comparison would.

use std::cell::Cell;

use probity_domains::Scalar;
use probity_isa::{Reg, RegSet};

use crate::induction::Head;
use crate::liveness::Liveness;
use crate::names::Names;
use crate::origin::{Origin, Origins};
use crate::stack::{Byte, ByteSet, SLOTS, Slot, SlotSet};
use crate::state::{Frame, State};
use crate::value::{HEAD, Id, Number, Pointer, To, Value};

/// How much of the stored state must hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// What was needed: the stored state is explored completely.
    Needed,
    /// Everything, by inclusion: the stored state is still being explored.
    Within,
    /// The very same.
    Exact,
}

/// What programs may do that matters to a comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    /// Stack bytes that were never written may be read.
    pub uninit: bool,
    /// Accesses need not be aligned: nothing is asked of a packet pointer but what is behind it.
    pub unaligned: bool,
}

/// A register or a stack slot of a frame, in one number: the frame, then a register or one more than their number and a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Spot(u16);

/// Where a stored state last did not cover another one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failed {
    spot: Option<Spot>,
    holds: Holds,
}

/// What a stored state holds at a spot, as far as it rules other values out in every mode.
#[derive(Clone, Copy, Debug, Default)]
enum Holds {
    /// Anything.
    #[default]
    Unknown,
    /// A number between these, unsigned, as long as it is needed.
    Number { min: u64, max: u64, of: Origin },
    /// A pointer, and where it is none into a packet, with this offset.
    Pointer { to: To, off: i64, null: bool },
    /// A packet pointer to between these places, counted from its base, whatever that is.
    Place {
        to: To,
        null: bool,
        min: i64,
        max: i64,
    },
}

/// A state that is compared with many stored ones, which mostly differ from it at the same spot.
pub(crate) struct Glance<'a> {
    new: &'a State,
    origins: &'a Origins,
    /// Where it was looked at last, and what it holds there.
    spot: Option<Spot>,
    seen: Seen,
}

enum Seen {
    /// Nothing that says anything.
    Nothing,
    Uninit,
    /// A number between these, unsigned.
    Number(u64, u64),
    /// A pointer, and whether into a packet.
    Pointer {
        to: To,
        off: i64,
        null: bool,
        /// Into a packet: the first and the last place, if they are known.
        places: Option<(i64, i64)>,
        packet: bool,
    },
}

impl<'a> Glance<'a> {
    pub(crate) fn at(new: &'a State, origins: &'a Origins) -> Glance<'a> {
        Glance {
            new,
            origins,
            spot: None,
            seen: Seen::Nothing,
        }
    }

    /// Whether the stored state that failed so certainly does not cover this one.
    #[inline]
    pub(crate) fn rules_out(&mut self, failed: &mut Failed) -> bool {
        let Some(spot) = failed.spot else {
            return false;
        };
        if self.spot != Some(spot) {
            self.spot = Some(spot);
            self.seen = self.look(spot);
        }
        match (&mut failed.holds, &self.seen) {
            (Holds::Unknown, _) | (_, Seen::Nothing) => false,
            (Holds::Number { min, max, of }, Seen::Number(low, high)) => {
                (low < min || high > max) && self.needs(of)
            }
            (Holds::Number { of, .. }, _) => self.needs(of),
            (
                Holds::Pointer { to, off, null },
                Seen::Pointer {
                    to: other,
                    off: at,
                    null: may_be,
                    packet,
                    ..
                },
            ) => at != off && !packet || may_be != null || other != to,
            (
                Holds::Place { to, null, min, max },
                Seen::Pointer {
                    to: other,
                    null: may_be,
                    places,
                    ..
                },
            ) => {
                may_be != null
                    || other != to
                    || places.is_some_and(|(first, last)| first < *min || last > *max)
            }
            _ => true,
        }
    }

    /// Whether the number is needed. One that is for good is forgotten: it need not be looked up any more.
    #[inline]
    fn needs(&self, of: &mut Origin) -> bool {
        if *of == Origin::NONE {
            return true;
        }
        let needed = self.origins.is_needed(*of);
        if needed && self.origins.is_final() {
            *of = Origin::NONE;
        }
        needed
    }

    fn look(&self, spot: Spot) -> Seen {
        let Some(frame) = self.new.frames.get(spot.frame()) else {
            return Seen::Nothing;
        };
        match spot.place() {
            Ok(reg) => Seen::of(&frame.regs.get(reg.index())),
            Err(slot) => match frame.stack.slot(slot) {
                slot if slot.spilled() == 8 => Seen::of(slot.held()),
                _ => Seen::Nothing,
            },
        }
    }
}

impl Seen {
    fn of(value: &Value) -> Seen {
        match value {
            Value::Uninit => Seen::Uninit,
            Value::Number(n) => Seen::Number(n.set.umin(), n.set.umax()),
            Value::Pointer(p) => Seen::Pointer {
                to: p.to,
                off: p.off,
                null: p.null,
                places: places(p).filter(|_| p.is_packet()),
                packet: p.is_packet(),
            },
        }
    }
}

/// The first and the last place that a pointer with a variable part may point to, counted from its base.
fn places(p: &Pointer) -> Option<(i64, i64)> {
    let at = |var: i64| p.off.checked_add(var);
    Some((at(p.var.smin())?, at(p.var.smax())?))
}

impl Spot {
    fn reg(frame: u8, reg: Reg) -> Spot {
        Spot(u16::from(frame) << 8 | reg.index() as u16)
    }

    fn slot(frame: u8, slot: usize) -> Spot {
        Spot(u16::from(frame) << 8 | (Reg::COUNT + slot) as u16)
    }

    fn frame(self) -> usize {
        usize::from(self.0 >> 8)
    }

    /// The register, or else the slot.
    fn place(self) -> Result<Reg, usize> {
        let at = self.0 as u8;
        Reg::new(at).ok_or_else(|| usize::from(at) - Reg::COUNT)
    }
}

/// Whether a packet pointer's positions are among those of `a`, with what `a` says is there; `shifted`: any place in
/// the packet may be the base of an id.
pub(crate) fn within_packet(a: &Pointer, b: &Pointer, shifted: bool) -> bool {
    if shifted && a.id != 0 && a.var.as_constant() == Some(0) {
        return match found_there(b, a.off) {
            Some(range) => a.range <= range,
            None => a.off == b.off && a.range <= b.range && includes(&a.var, &b.var),
        };
    }
    if a.off == b.off {
        return a.range <= b.range && includes(&a.var, &b.var);
    }
    let Some(further) = b.off.checked_sub(a.off) else {
        return false;
    };
    let there = match a.range {
        0 => true,
        // Nothing is known of where the packet ends.
        _ if b.range == 0 => false,
        n => i64::from(n)
            .checked_add(further)
            .is_some_and(|n| n <= i64::from(b.range)),
    };
    there
        && a.var
            .includes(&b.var.add64(&Scalar::constant(further as u64)))
}

/// How many bytes are known to be behind the place `off` before a packet pointer, when that is known to be in the packet.
pub(crate) fn found_there(p: &Pointer, off: i64) -> Option<u32> {
    let further = u32::try_from(p.off.checked_sub(off)?).ok()?;
    let range = p.range.checked_sub(further)?;
    (p.range > 0 && p.var.smin() >= 0).then_some(range)
}

/// Whether all of `b` are in `a`. Most are constants, and differ.
#[inline]
fn includes(a: &Scalar, b: &Scalar) -> bool {
    match (a.as_constant(), b.as_constant()) {
        (Some(x), Some(y)) => x == y,
        (Some(_), None) => false,
        _ => a.includes(b),
    }
}

struct Comparison<'a> {
    mode: Mode,
    /// `old` is the guess at a loop's head, and `new` a lap later.
    lap: Option<Head>,
    origins: &'a Origins,
    granted: Granted,
    /// Ids of NULL checks, packet bases and references; one to one.
    names: Names,
    /// Packet bases: the old one, the new one, and how much further the new one's offsets are.
    bases: Vec<(Id, Id, i64)>,
    /// Links: the old one, the new one, and how much further the new one's `add`s are.
    links: Vec<(Id, Option<Id>, i64)>,
    failed: &'a Cell<Failed>,
}

/// Whether `old`, at instruction `pc`, covers `new`. `reads` are the slots that matter, frame by frame;
/// `failed` says where `old` did not cover another state before, and is set where it does not cover this one.
pub(crate) fn covers(
    old: &State,
    new: &State,
    live: &Liveness,
    pc: usize,
    reads: &[SlotSet],
    mode: Mode,
    origins: &Origins,
    granted: Granted,
    failed: &Cell<Failed>,
    lap: Option<&mut Head>,
) -> bool {
    if old.frames.len() != new.frames.len() || old.references.len() != new.references.len() {
        return false;
    }
    let mut c = Comparison {
        mode,
        lap: lap.as_deref().cloned(),
        origins,
        granted,
        names: Names::default(),
        bases: Vec::new(),
        links: Vec::new(),
        failed,
    };
    let live_in = |i: usize| match old.frames.get(i + 1) {
        Some(callee) => live.across_call(callee.return_pc),
        None => live.at(pc),
    };
    let slots_in = |i: usize| match mode {
        Mode::Needed => reads.get(i).copied().unwrap_or(SlotSet(0)),
        _ => SlotSet::ALL,
    };
    if let Some(spot) = failed.get().spot {
        let i = spot.frame();
        if let (Some(a), Some(b)) = (old.frames.get(i), new.frames.get(i))
            && !c.spot(spot, a, b, live_in(i), slots_in(i))
        {
            return false;
        }
        c.names.clear();
        c.bases.clear();
        c.links.clear();
    }
    if !old
        .regions
        .covers(&new.regions, &mut |a, b| c.names.same(a, b))
    {
        return false;
    }
    for (a, b) in old.references.iter().zip(new.references.iter()) {
        if !c.names.same(a.id, b.id) {
            return false;
        }
    }
    // The innermost frame differs most often.
    for (i, (a, b)) in old.frames.iter().zip(&new.frames).enumerate().rev() {
        if a.subprog != b.subprog || a.return_pc != b.return_pc {
            return false;
        }
        match (&a.callback, &b.callback) {
            (None, None) => {}
            (Some(x), Some(y)) if x.call_pc == y.call_pc && x.subprog == y.subprog => {
                if x.left.is_some_and(|n| y.left.is_none_or(|m| m > n)) {
                    return false;
                }
                let same = |(x, y): (&Value, &Value)| c.value(x, y);
                if !x.args.iter().zip(&y.args).all(same) || !c.value(&x.result, &y.result) {
                    return false;
                }
            }
            _ => return false,
        }
        if !c.frame(i, a, b, live_in(i), slots_in(i)) {
            return false;
        }
    }
    if let (Some(head), Some(after)) = (lap, c.lap) {
        if !after.holds() {
            return false;
        }
        *head = after;
    }
    true
}

impl Comparison<'_> {
    fn frame(&mut self, i: usize, a: &Frame, b: &Frame, regs: RegSet, slots: SlotSet) -> bool {
        let frame = i as u8;
        for reg in regs.without(RegSet::of(Reg::R10)).iter() {
            let old = a.regs.get(reg.index());
            if !self.value(&old, &b.regs.get(reg.index())) {
                self.fail(Spot::reg(frame, reg), &old);
                return false;
            }
        }
        let len = a.stack.len().max(b.stack.len()).min(SLOTS);
        if !self.names.objects(a, b) {
            return false;
        }
        for slot in slots.below(len).iter() {
            if !self.slot(&a.stack.slot(slot), &b.stack.slot(slot)) {
                // A slot that is compared now may be one that nothing needs later.
                let value = match self.mode {
                    Mode::Needed => a.stack.slot(slot).whole().unwrap_or(Value::Uninit),
                    _ => Value::Uninit,
                };
                self.fail(Spot::slot(frame, slot), &value);
                return false;
            }
        }
        true
    }

    fn fail(&self, spot: Spot, old: &Value) {
        let any_place =
            |p: &Pointer| self.granted.unaligned && p.id != 0 && p.var.as_constant() == Some(0);
        let holds = match old {
            Value::Number(n) => Holds::Number {
                min: n.set.umin(),
                max: n.set.umax(),
                of: n.origin,
            },
            Value::Pointer(p)
                if p.is_packet()
                    && !any_place(p)
                    && let Some((min, max)) = places(p) =>
            {
                Holds::Place {
                    to: p.to,
                    null: p.null,
                    min,
                    max,
                }
            }
            Value::Pointer(p) => Holds::Pointer {
                to: p.to,
                off: p.off,
                null: p.null,
            },
            _ => Holds::Unknown,
        };
        let spot = Some(spot);
        self.failed.set(Failed { spot, holds });
    }

    /// One register or slot, if it is compared at all.
    fn spot(&mut self, spot: Spot, a: &Frame, b: &Frame, regs: RegSet, slots: SlotSet) -> bool {
        match spot.place() {
            Ok(reg) => {
                !regs.contains(reg)
                    || self.value(&a.regs.get(reg.index()), &b.regs.get(reg.index()))
            }
            Err(slot) => {
                !slots.contains(slot) || self.slot(&a.stack.slot(slot), &b.stack.slot(slot))
            }
        }
    }

    fn value(&mut self, a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Uninit, _) => self.mode != Mode::Exact || !b.is_init(),
            (Value::Number(a), Value::Number(b)) => self.number(a, a.origin, b),
            (Value::Pointer(a), Value::Pointer(b)) => self.pointer(a, b),
            _ => false,
        }
    }

    /// The values that two slots hold.
    fn held(&mut self, a: &Slot, b: &Slot) -> bool {
        match (a.held(), a.origin(), b.held()) {
            (Value::Number(x), Some(of), Value::Number(y)) => self.number(x, of, y),
            (x, _, y) => self.value(x, y),
        }
    }

    /// The first is `of` this origin.
    #[inline]
    fn number(&mut self, a: &Number, of: Origin, b: &Number) -> bool {
        if a.link & HEAD != 0
            && let Some(lap) = &mut self.lap
            && let Some(i) = lap.inductions.iter().position(|i| i.link == a.link)
        {
            let step = (b.link == a.link).then(|| b.add.wrapping_sub(a.add));
            let less = |s: &Scalar| s.add64(&Scalar::constant(a.add.wrapping_neg() as u64));
            let more = |s: &Scalar| s.add64(&Scalar::constant(a.add as u64));
            return match a.add {
                0 => lap.confirm(i, step, &b.set, |set| a.set.includes(set)),
                _ => lap.confirm(i, step, &less(&b.set), |set| a.set.includes(&more(set))),
            };
        }
        match self.mode {
            Mode::Exact => a.set == b.set && self.linked(a, b),
            Mode::Needed if !self.origins.is_needed(of) => true,
            _ => includes(&a.set, &b.set) && self.linked(a, b),
        }
    }

    fn linked(&mut self, a: &Number, b: &Number) -> bool {
        if a.link == 0 {
            return true;
        }
        if a.link & HEAD != 0 && self.mode == Mode::Within {
            // Paths from here may lead back to the head, and count on this.
            return b.link == a.link && b.add == a.add;
        }
        self.relates(a.link, b.link, b.add.wrapping_sub(a.add))
    }

    /// What has a link or base in the stored state has another one in the new state, and is so much further from it.
    fn relates(&mut self, old: Id, new: Id, further: i64) -> bool {
        let to = (new != 0).then_some(new);
        match self.links.iter().find(|(link, _, _)| *link == old) {
            // The second of two that the stored state relates: they must be related here too.
            Some((_, known, delta)) => to.is_some() && *known == to && *delta == further,
            None => {
                self.links.push((old, to, further));
                true
            }
        }
    }

    fn pointer(&mut self, a: &Pointer, b: &Pointer) -> bool {
        if a.to != b.to || a.null != b.null {
            return false;
        }
        if a.base & HEAD != 0
            && let Some(lap) = &mut self.lap
            && let Some(i) = lap.inductions.iter().position(|i| i.link == a.base)
        {
            let step = b.off.checked_sub(a.off).filter(|_| b.base == a.base);
            // Where it is, as a part of it that varies.
            let var = match step {
                Some(step) => b.var.add64(&Scalar::constant(step as u64)),
                None => b.var,
            };
            let within = step.is_some() || a.off == b.off;
            return a.range == 0
                && lap.confirm(i, step, &var, |set| within && a.var.includes(set))
                && (a.is_packet() || self.names.same(a.id, b.id))
                && self.names.same(a.reference, b.reference)
                && self.names.same(a.parent, b.parent);
        }
        if a.base != 0 && self.mode == Mode::Within && (a.base != b.base || a.off != b.off) {
            return false;
        }
        if a.off != b.off && (!a.is_packet() || self.mode == Mode::Exact) {
            return false;
        }
        if a.is_packet() && self.mode != Mode::Exact {
            return within_packet(a, b, self.granted.unaligned)
                && self.same_base(a, b)
                && self.names.same(a.reference, b.reference)
                && self.names.same(a.parent, b.parent);
        }
        let var = match self.mode {
            Mode::Exact => a.var == b.var && a.range == b.range,
            _ => includes(&a.var, &b.var) && a.range <= b.range,
        };
        var && (a.base == 0 || self.relates(a.base, b.base, 0))
            && self.names.same(a.id, b.id)
            && self.names.same(a.reference, b.reference)
            && self.names.same(a.parent, b.parent)
    }

    /// Packet pointers that share a variable part share one in the other state, all as far from it.
    fn same_base(&mut self, a: &Pointer, b: &Pointer) -> bool {
        let further = b.off.wrapping_sub(a.off);
        if a.id == 0 {
            return b.id == 0 && further == 0;
        }
        match self.bases.iter().find(|(old, _, _)| *old == a.id) {
            Some((_, new, delta)) => *new == b.id && *delta == further,
            None => {
                self.bases.push((a.id, b.id, further));
                true
            }
        }
    }

    fn slot(&mut self, a: &Slot, b: &Slot) -> bool {
        let spilled = a.spilled();
        if self.mode == Mode::Exact || a.bytes == b.bytes {
            return a.bytes == b.bytes && (spilled == 0 || self.held(a, b));
        }
        let mut rest = 0;
        if spilled > 0 {
            let idle = self.mode == Mode::Needed
                && a.origin().is_some_and(|of| !self.origins.is_needed(of));
            let same = b.spilled() == spilled;
            if same {
                if !self.held(a, b) {
                    return false;
                }
            } else if !idle || b.whole().is_some_and(|v| v.as_pointer().is_some()) {
                return false;
            }
            if same {
                rest = spilled;
            }
        }
        let (a, b, value) = (a.bytes, b.bytes, b.held());
        let written = a.of(Byte::Misc).or(a.of(Byte::Spill));
        let (object, other) = (a.of(Byte::Object), b.of(Byte::Object));
        // Objects are compared with each other.
        let mut wrong = object.without(other).or(other.without(object));
        if !self.granted.uninit {
            wrong = wrong.or(written.and(b.of(Byte::Unwritten)));
        }
        if value.as_number().is_none() {
            wrong = wrong.or(a.of(Byte::Misc).and(b.of(Byte::Spill)));
        }
        let zero = match value.is_zero() {
            true => b.of(Byte::Zero).or(b.of(Byte::Spill)),
            false => b.of(Byte::Zero),
        };
        wrong = wrong.or(a.of(Byte::Zero).without(zero));
        wrong.and(ByteSet::from(rest)).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packet pointers at places around each other, some of them at the ends of what 64 bits count.
    fn pointers() -> Vec<Pointer> {
        let bounds = |min, max| Scalar::from_signed(min, max).expect("min <= max");
        let mut all = Vec::new();
        for off in [0, 1, 4, -4, 1 << 20, i64::MIN, i64::MAX] {
            for var in [
                Scalar::constant(0),
                Scalar::constant(4),
                Scalar::constant(u64::MAX),
                bounds(0, 3),
                bounds(-4, 8),
                bounds(i64::MIN, 0),
                Scalar::unknown(),
            ] {
                for (id, range) in [(0, 0), (0, 8), (1, 0), (1, 4)] {
                    for (to, null) in [
                        (To::Packet, false),
                        (To::Packet, true),
                        (To::PacketMeta, false),
                    ] {
                        all.push(Pointer {
                            off,
                            var,
                            id,
                            range,
                            null,
                            ..Pointer::new(to)
                        });
                    }
                }
            }
        }
        all
    }

    /// A glance rules out no packet pointer that the comparison finds covered, and most of the others.
    #[test]
    fn a_glance_at_a_packet_pointer_rules_out_none_that_is_covered() {
        let origins = Origins::new();
        let all = pointers();
        let spot = Spot::reg(0, Reg::R1);
        for unaligned in [false, true] {
            let granted = Granted {
                uninit: false,
                unaligned,
            };
            let (mut covered, mut ruled_out, mut others) = (0, 0, 0);
            for new in &all {
                let mut state = State::entry(0);
                state.frame_mut().regs[Reg::R1.index()] = Value::Pointer(*new);
                for old in &all {
                    let failed = Cell::<Failed>::default();
                    let mut c = Comparison {
                        mode: Mode::Within,
                        lap: None,
                        origins: &origins,
                        granted,
                        names: Names::default(),
                        bases: Vec::new(),
                        links: Vec::new(),
                        failed: &failed,
                    };
                    c.fail(spot, &Value::Pointer(*old));
                    let is_covered = c.pointer(old, new);
                    let out = Glance::at(&state, &origins).rules_out(&mut failed.get());
                    assert!(!(is_covered && out), "{old:?} covers {new:?}");
                    covered += usize::from(is_covered);
                    ruled_out += usize::from(out);
                    others += usize::from(!is_covered && !out);
                }
            }
            assert!(
                covered > all.len() && ruled_out > others,
                "{covered} {ruled_out} {others}"
            );
        }
    }
}
