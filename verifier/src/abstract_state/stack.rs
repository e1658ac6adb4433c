//! The stack of one frame: 64 slots of 8 bytes, each byte unwritten, unknown, zero, part of a spilled value or of an object.
//!
//! - **Element:** per slot eight [`Byte`]s and the [`Value`] that the leading `Byte::Spill`s hold.
//! - **Reads** of exactly what was spilled give it back; other reads give zero or an unknown number.
//! - **Writes** at an unknown offset make every byte they may touch unknown.
//!
//! **Invariant:** `Byte::Spill`s of a slot are its lowest addresses, and there is a value when there is one;
//! a spilled pointer has all eight.
//!
//! **Invariant:** a slot has an object when its bytes are `Byte::Object`; see [`crate::object`] for what changes those.

use std::rc::Rc;

use probity_domains::Scalar;

use crate::object::Object;
use crate::origin::Origin;
use crate::reject::{Outcome, internal};
use crate::value::{Number, Value};

/// Bytes of one frame's stack.
pub(crate) const STACK_BYTES: i64 = 512;
pub(crate) const SLOTS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Byte {
    /// Never written.
    Unwritten,
    /// Some number.
    Misc,
    Zero,
    /// Part of the spilled value.
    Spill,
    /// Part of an object that kernel and program share.
    Object,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slot {
    pub bytes: [Byte; 8],
    pub value: Value,
    /// There is one when the bytes are its.
    pub object: Option<Object>,
}

/// Slots by distance from the frame pointer: slot 0 is the bytes -8 to -1.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stack {
    slots: Rc<Vec<Slot>>,
    /// Objects were made here, and may be here still.
    pub objects: bool,
}

/// Slots, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotSet(pub u64);

impl SlotSet {
    pub(crate) const ALL: SlotSet = SlotSet(u64::MAX);

    pub(crate) fn insert(&mut self, slot: usize) {
        self.0 |= 1u64.checked_shl(slot as u32).unwrap_or(0);
    }

    pub(crate) fn contains(self, slot: usize) -> bool {
        slot < SLOTS && self.0 >> slot & 1 == 1
    }

    /// Those of the first `len` slots.
    pub(crate) fn below(self, len: usize) -> SlotSet {
        match len {
            0..SLOTS => SlotSet(self.0 & ((1 << len) - 1)),
            _ => self,
        }
    }

    /// In ascending order.
    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let slot = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            (slot < SLOTS).then_some(slot)
        })
    }
}

impl Slot {
    pub(crate) const EMPTY: Slot = Slot {
        bytes: [Byte::Unwritten; 8],
        value: Value::Uninit,
        object: None,
    };

    /// How many bytes the spilled value takes; 0 when none is spilled.
    pub(crate) fn spilled(&self) -> usize {
        self.bytes.iter().take_while(|b| **b == Byte::Spill).count()
    }

    /// The spilled value, when it takes all eight bytes.
    pub(crate) fn whole(&self) -> Option<&Value> {
        (self.spilled() == 8).then_some(&self.value)
    }

    /// The spilled bytes become unknown ones: the value is forgotten.
    fn scrub(&mut self) {
        for b in &mut self.bytes {
            if *b == Byte::Spill {
                *b = Byte::Misc;
            }
        }
        self.value = Value::Uninit;
    }
}

/// The slot of a byte at `off` (negative), and the byte's place in it.
pub(crate) fn place(off: i64) -> (usize, usize) {
    let up = -off - 1;
    ((up / 8) as usize, 7 - (up % 8) as usize)
}

impl Stack {
    pub(crate) fn slot(&self, index: usize) -> &Slot {
        self.slots.get(index).unwrap_or(&Slot::EMPTY)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn slot_mut(&mut self, index: usize) -> &mut Slot {
        let slots = Rc::make_mut(&mut self.slots);
        if slots.len() <= index {
            slots.resize(index + 1, Slot::EMPTY);
        }
        &mut slots[index]
    }

    /// All slots that hold a spilled value.
    pub(crate) fn spills(&self) -> impl Iterator<Item = (usize, &Value)> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, s)| s.bytes[0] == Byte::Spill)
            .map(|(i, s)| (i, &s.value))
    }

    /// Changes spilled values in place; `f` says whether it wants a value before it is copied.
    pub(crate) fn for_each_spill(
        &mut self,
        wanted: impl Fn(&Value) -> bool,
        mut f: impl FnMut(&mut Value),
    ) {
        let any = self
            .slots
            .iter()
            .any(|s| s.bytes[0] == Byte::Spill && wanted(&s.value));
        if any {
            for s in Rc::make_mut(&mut self.slots) {
                if s.bytes[0] == Byte::Spill && wanted(&s.value) {
                    f(&mut s.value);
                }
            }
        }
    }

    /// Stores `value` at a slot's lowest `size` bytes, keeping what is known of it.
    pub(crate) fn spill(&mut self, off: i64, size: usize, value: Value) -> Outcome<()> {
        let (index, first) = place(off);
        if first != 0 || index >= SLOTS {
            return Err(internal("a value is spilled to the start of a slot"));
        }
        let slot = self.slot_mut(index);
        slot.scrub();
        for (i, b) in slot.bytes.iter_mut().enumerate() {
            if i < size {
                *b = Byte::Spill;
            }
        }
        slot.value = value;
        Ok(())
    }

    /// Stores bytes of which only `kind` is known.
    pub(crate) fn set_bytes(&mut self, off: i64, size: usize, kind: Byte) {
        for at in off..off + size as i64 {
            let (index, byte) = place(at);
            let slot = self.slot_mut(index);
            if slot.bytes[0] == Byte::Spill {
                slot.scrub();
            }
            slot.bytes[byte] = kind;
        }
    }

    /// Bytes that may have been written, by a value that is `zero` or not known.
    /// An unwritten byte becomes written only where unwritten bytes may be read anyway.
    pub(crate) fn weaken(&mut self, low: i64, high: i64, zero: bool, uninit_ok: bool) {
        for at in low..high {
            let (index, byte) = place(at);
            let slot = self.slot_mut(index);
            if slot.bytes[0] == Byte::Spill {
                if zero && slot.value.is_zero() {
                    continue;
                }
                slot.scrub();
            }
            slot.bytes[byte] = match slot.bytes[byte] {
                Byte::Zero if zero => Byte::Zero,
                Byte::Unwritten if !uninit_ok => Byte::Unwritten,
                _ => Byte::Misc,
            };
        }
    }

    /// The first byte in the range that was never written.
    pub(crate) fn unwritten(&self, low: i64, high: i64) -> Option<i64> {
        (low..high).find(|at| {
            let (index, byte) = place(*at);
            self.slot(index).bytes[byte] == Byte::Unwritten
        })
    }

    /// What a load of `size` bytes at `off` gives, zero-extended; `None` for a part of a spilled pointer.
    pub(crate) fn load(&self, off: i64, size: usize) -> Option<Value> {
        let (index, first) = place(off);
        let slot = self.slot(index);
        let spilled = slot.spilled();
        if first == 0 && spilled > 0 && size <= spilled {
            return match slot.value {
                Value::Number(n) => {
                    let bits = size as u32 * 8;
                    let set = n.set.zero_extend(bits);
                    let same = bits == 64 || n.set.umax() >> bits == 0;
                    let link = if same { n.link } else { 0 };
                    Some(Value::Number(Number {
                        set,
                        link,
                        add: if same { n.add } else { 0 },
                        ..n
                    }))
                }
                v if size == 8 => Some(v),
                _ => None,
            };
        }
        let mut zero = true;
        let mut origin = Origin::NONE;
        for at in off..off + size as i64 {
            let (index, byte) = place(at);
            let slot = self.slot(index);
            match slot.bytes[byte] {
                Byte::Zero => {}
                Byte::Spill => match slot.value {
                    Value::Pointer(_) => return None,
                    v => {
                        zero &= v.is_zero();
                        origin = v.as_number().map_or(Origin::NONE, |n| n.origin);
                    }
                },
                Byte::Object => return None,
                Byte::Misc | Byte::Unwritten => zero = false,
            }
        }
        if zero {
            let n = Number {
                set: Scalar::constant(0),
                link: 0,
                add: 0,
                origin,
            };
            return Some(Value::Number(n));
        }
        let bits = size as u32 * 8;
        Some(Value::number(Scalar::unknown().zero_extend(bits)))
    }
}
