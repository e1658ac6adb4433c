//! When one state covers another: every machine state that the second stands for, the first stands for too.
//!
//! - `Uninit` covers everything: no path from it reads the location.
//! - A number covers the numbers in its set, if the links that the covering state relies on hold in the other.
//! - A pointer covers the same kind with the same constant offset, a variable one in its set, and, for
//!   packets, at least as many bytes known to be there.
//! - Ids are names: they are compared through a map from one state's to the other's.
//! - Stack bytes: unwritten and unknown ones cover everything that may be read, zeros cover zeros, spills the values they cover.
//!
//! - Objects on the stack, and what is lent of it, always count: kind, state, identity and reference.
//!
//! **Invariant:** registers that are dead at the point, and slots that nothing read, are not compared.

use std::rc::Rc;

use probity_isa::Reg;

use crate::liveness::Liveness;
use crate::origin::Origins;
use crate::stack::{Byte, SLOTS, Slot, SlotSet};
use crate::state::{Frame, State};
use crate::value::{Id, Number, Pointer, Value};

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

struct Comparison<'a> {
    mode: Mode,
    origins: &'a Origins,
    uninit_ok: bool,
    /// Ids of NULL checks, packet bases and references; one to one.
    ids: Vec<(Id, Id)>,
    /// Links: the old one, the new one, and how much further the new one's `add`s are.
    links: Vec<(Id, Option<Id>, i64)>,
}

/// Whether `old`, at instruction `pc`, covers `new`. `reads` are the slots that matter, frame by frame.
pub(crate) fn covers(
    old: &State,
    new: &State,
    live: &Liveness,
    pc: usize,
    reads: &[SlotSet],
    mode: Mode,
    origins: &Origins,
    uninit_ok: bool,
) -> bool {
    if old.frames.len() != new.frames.len() || old.references.len() != new.references.len() {
        return false;
    }
    let mut c = Comparison {
        mode,
        origins,
        uninit_ok,
        ids: Vec::new(),
        links: Vec::new(),
    };
    if !old
        .regions
        .covers(&new.regions, &mut |a, b| c.same_id(a, b))
    {
        return false;
    }
    for (a, b) in old.references.iter().zip(&new.references) {
        if !c.same_id(a.id, b.id) {
            return false;
        }
    }
    let top = old.frames.len() - 1;
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
        let regs = if i == top {
            live.at(pc)
        } else {
            live.across_call(old.frames[i + 1].return_pc)
        };
        let slots = match mode {
            Mode::Needed => reads.get(i).copied().unwrap_or(SlotSet(0)),
            _ => SlotSet::ALL,
        };
        if !c.frame(a, b, regs, slots) {
            return false;
        }
    }
    true
}

impl Comparison<'_> {
    fn frame(
        &mut self,
        a: &Rc<Frame>,
        b: &Rc<Frame>,
        regs: probity_isa::RegSet,
        slots: SlotSet,
    ) -> bool {
        for r in regs.iter() {
            if r != Reg::R10 && !self.value(&a.regs[r.index()], &b.regs[r.index()]) {
                return false;
            }
        }
        let len = a.stack.len().max(b.stack.len()).min(SLOTS);
        if !self.objects(a, b, len) {
            return false;
        }
        for index in 0..len {
            if slots.contains(index) && !self.slot(a.stack.slot(index), b.stack.slot(index)) {
                return false;
            }
        }
        true
    }

    fn objects(&mut self, a: &Frame, b: &Frame, len: usize) -> bool {
        let lent = a.lent.len() == b.lent.len()
            && a.lent
                .iter()
                .zip(&b.lent)
                .all(|(x, y)| x.low == y.low && x.end == y.end && self.same_id(x.slice, y.slice));
        if !lent {
            return false;
        }
        if !a.stack.objects && !b.stack.objects {
            return true;
        }
        (0..len).all(|i| match (a.stack.slot(i).object, b.stack.slot(i).object) {
            (None, None) => true,
            (Some(x), Some(y)) => {
                x.kind == y.kind
                    && x.part == y.part
                    && x.parts == y.parts
                    && self.same_id(x.id, y.id)
                    && self.same_id(x.reference, y.reference)
            }
            _ => false,
        })
    }

    fn value(&mut self, a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Uninit, _) => self.mode != Mode::Exact || !b.is_init(),
            (Value::Number(a), Value::Number(b)) => self.number(a, b),
            (Value::Pointer(a), Value::Pointer(b)) => self.pointer(a, b),
            _ => false,
        }
    }

    fn number(&mut self, a: &Number, b: &Number) -> bool {
        match self.mode {
            Mode::Exact => a.set == b.set && self.linked(a, b),
            Mode::Needed if !self.origins.is_needed(a.origin) => true,
            _ => a.set.includes(&b.set) && self.linked(a, b),
        }
    }

    fn linked(&mut self, a: &Number, b: &Number) -> bool {
        if a.link == 0 {
            return true;
        }
        let further = b.add.wrapping_sub(a.add);
        let to = (b.link != 0).then_some(b.link);
        match self.links.iter().find(|(old, _, _)| *old == a.link) {
            // The second of two that the stored state relates: they must be related here too.
            Some((_, known, delta)) => to.is_some() && *known == to && *delta == further,
            None => {
                self.links.push((a.link, to, further));
                true
            }
        }
    }

    fn pointer(&mut self, a: &Pointer, b: &Pointer) -> bool {
        if a.to != b.to || a.off != b.off || a.null != b.null {
            return false;
        }
        let var = match self.mode {
            Mode::Exact => a.var == b.var && a.range == b.range,
            _ => a.var.includes(&b.var) && a.range <= b.range,
        };
        var && self.same_id(a.id, b.id)
            && self.same_id(a.reference, b.reference)
            && self.same_id(a.parent, b.parent)
    }

    fn same_id(&mut self, a: Id, b: Id) -> bool {
        if a == 0 || b == 0 {
            return a == b;
        }
        match self.ids.iter().find(|(x, y)| *x == a || *y == b) {
            Some(pair) => *pair == (a, b),
            None => {
                self.ids.push((a, b));
                true
            }
        }
    }

    fn slot(&mut self, a: &Slot, b: &Slot) -> bool {
        let spilled = a.spilled();
        if self.mode == Mode::Exact {
            return a.bytes == b.bytes && (spilled == 0 || self.value(&a.value, &b.value));
        }
        let mut rest = 0;
        if spilled > 0 {
            let idle = self.mode == Mode::Needed
                && matches!(a.value, Value::Number(n) if !self.origins.is_needed(n.origin));
            let same = b.spilled() == spilled;
            if same {
                if !self.value(&a.value, &b.value) {
                    return false;
                }
            } else if !idle || b.whole().is_some_and(|v| v.as_pointer().is_some()) {
                return false;
            }
            if same {
                rest = spilled;
            }
        }
        (rest..8).all(|i| match (a.bytes[i], b.bytes[i]) {
            // Compared with its object.
            (_, Byte::Object) => a.bytes[i] == Byte::Object,
            (Byte::Unwritten, _) => true,
            (Byte::Misc | Byte::Spill, Byte::Unwritten) => self.uninit_ok,
            (Byte::Misc, Byte::Spill) => b.value.as_number().is_some(),
            (Byte::Misc | Byte::Spill, _) => true,
            (Byte::Zero, Byte::Zero) => true,
            (Byte::Zero, Byte::Spill) => b.value.is_zero(),
            (Byte::Object, b) => b == Byte::Object,
            (Byte::Zero, _) => false,
        })
    }
}
