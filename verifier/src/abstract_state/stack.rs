//! The stack of one frame: 64 slots of 8 bytes, each byte unwritten, unknown, zero, part of a spilled value or of an object.
//!
//! - **Element:** per slot eight [`Byte`]s and the [`Value`] that the leading `Byte::Spill`s hold.
//! - **Reads** of exactly what was spilled give it back; other reads give zero or an unknown number.
//! - **Writes** at an unknown offset make every byte they may touch unknown.
//!
//! Few slots hold a value or an object, and stacks are copied often: values and objects lie apart from the bytes,
//! in lists that have no entries for the other slots. Stacks share all but the origins of values, which every stored
//! state has its own of: these lie beside them. Where more is different, they share values that are the same.
//!
//! **Invariant:** `Byte::Spill`s of a slot are its lowest addresses, and there is a value when there is one;
//! a spilled pointer has all eight.
//!
//! **Invariant:** a slot has an object when its bytes are `Byte::Object`; see [`crate::object`] for what changes those.

use std::ops::Range;
use std::rc::Rc;

use probity_domains::Scalar;

use crate::object::Object;
use crate::origin::Origin;
use crate::reject::{Outcome, internal};
use crate::shared::own;
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

/// The bytes of a slot, four bits each, the lowest address in the lowest ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(u32);

/// Bytes of a slot, by the highest of four bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteSet(u32);

impl Byte {
    const ALL: [Byte; 5] = [
        Byte::Unwritten,
        Byte::Misc,
        Byte::Zero,
        Byte::Spill,
        Byte::Object,
    ];
}

impl Bytes {
    const UNWRITTEN: Bytes = Bytes::all(Byte::Unwritten);

    const fn all(kind: Byte) -> Bytes {
        Bytes(0x1111_1111 * kind as u32)
    }

    pub(crate) fn get(self, i: usize) -> Byte {
        let kind = self.0 >> (4 * i) & 0xf;
        Byte::ALL[kind as usize]
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Byte> {
        (0..8).map(move |i| self.get(i))
    }

    /// Those of a kind.
    pub(crate) fn of(self, kind: Byte) -> ByteSet {
        // Kinds take three bits, so a byte of another kind carries into its fourth.
        let other = (self.0 ^ Bytes::all(kind).0) + 0x7777_7777;
        ByteSet(!other & ByteSet::ALL.0)
    }

    pub(crate) fn has(self, kind: Byte) -> bool {
        !self.of(kind).is_empty()
    }

    /// How many bytes a spilled value takes; 0 when none is spilled.
    pub(crate) fn spilled(self) -> usize {
        (!self.of(Byte::Spill).0 & ByteSet::ALL.0).trailing_zeros() as usize / 4
    }

    fn set(&mut self, which: ByteSet, kind: Byte) {
        // From the highest bit of each to all four.
        let mask = which.0 | (which.0 - (which.0 >> 3));
        self.0 = self.0 & !mask | Bytes::all(kind).0 & mask;
    }
}

impl ByteSet {
    const ALL: ByteSet = ByteSet(0x8888_8888);
    pub(crate) const EMPTY: ByteSet = ByteSet(0);

    fn range(which: Range<usize>) -> ByteSet {
        ByteSet::from(which.start).without(ByteSet::from(which.end))
    }

    /// From the `start`th on.
    pub(crate) fn from(start: usize) -> ByteSet {
        match start {
            0..8 => ByteSet(ByteSet::ALL.0 << (4 * start)),
            _ => ByteSet::EMPTY,
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn first(self) -> Option<usize> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as usize / 4)
    }

    pub(crate) fn and(self, other: ByteSet) -> ByteSet {
        ByteSet(self.0 & other.0)
    }

    pub(crate) fn or(self, other: ByteSet) -> ByteSet {
        ByteSet(self.0 | other.0)
    }

    pub(crate) fn without(self, other: ByteSet) -> ByteSet {
        ByteSet(self.0 & !other.0)
    }
}

/// What is known of one slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<'a> {
    pub bytes: Bytes,
    /// Without its origin; [`Value::Uninit`] when there is none.
    held: &'a Value,
    origin: Origin,
}

/// Slots by distance from the frame pointer: slot 0 is the bytes -8 to -1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stack {
    content: Rc<Content>,
    /// Those of the values, one by one; none while there is no value.
    origins: Option<Rc<Vec<Origin>>>,
}

/// All but the origins.
#[derive(Debug, Default)]
struct Content {
    slots: Vec<Entry>,
    values: Vec<Spilled>,
    /// In the order of slots.
    objects: Vec<(usize, Object)>,
}

/// A value without its origin, with its slot.
#[derive(Clone, Debug)]
struct Spilled {
    slot: u8,
    value: Rc<Value>,
}

/// A value without its origin, and that.
fn parted(value: Value) -> (Value, Origin) {
    match value {
        Value::Number(n) => {
            let plain = Number {
                origin: Origin::NONE,
                ..n
            };
            (Value::Number(plain), n.origin)
        }
        other => (other, Origin::NONE),
    }
}

/// The value, with its origin.
fn whole(value: &Value, origin: Origin) -> Value {
    match *value {
        Value::Number(n) => Value::Number(Number { origin, ..n }),
        other => other,
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    bytes: Bytes,
    /// Where its value is in the list; [`NO_VALUE`] when it has none, [`IDLE`] when it is [`Value::IDLE`].
    value: u8,
}

const NO_VALUE: u8 = u8::MAX;
const IDLE: u8 = u8::MAX - 1;

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

    /// One more than the highest slot.
    fn end(self) -> usize {
        SLOTS - self.0.leading_zeros() as usize
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

impl<'a> Slot<'a> {
    const EMPTY: Slot<'static> = Slot {
        bytes: Bytes::UNWRITTEN,
        held: &Value::Uninit,
        origin: Origin::NONE,
    };

    /// How many bytes the spilled value takes; 0 when none is spilled.
    pub(crate) fn spilled(&self) -> usize {
        self.bytes.spilled()
    }

    /// The spilled value; [`Value::Uninit`] when there is none.
    pub(crate) fn value(&self) -> Value {
        whole(self.held, self.origin)
    }

    /// The same in place, without its origin.
    pub(crate) fn held(&self) -> &'a Value {
        self.held
    }

    /// Its origin, when it is a number.
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.held.as_number().map(|_| self.origin)
    }

    /// The spilled value, when it takes all eight bytes.
    pub(crate) fn whole(&self) -> Option<Value> {
        (self.spilled() == 8).then(|| self.value())
    }
}

/// The slot of a byte at `off` (negative), and the byte's place in it.
pub(crate) fn place(off: i64) -> (usize, usize) {
    let up = -off - 1;
    ((up / 8) as usize, 7 - (up % 8) as usize)
}

/// The slots that hold the bytes `[low, high)`, and which of their bytes those are.
fn pieces(low: i64, high: i64) -> impl Iterator<Item = (usize, ByteSet)> {
    let mut at = low;
    std::iter::from_fn(move || {
        if at >= high {
            return None;
        }
        let (slot, first) = place(at);
        let end = (first as i64 + (high - at)).min(8);
        at += end - first as i64;
        Some((slot, ByteSet::range(first..end as usize)))
    })
}

/// What is copied is about to change: with room for one more value.
impl Clone for Content {
    fn clone(&self) -> Content {
        let mut values = Vec::with_capacity(self.values.len() + 1);
        values.extend(self.values.iter().cloned());
        Content {
            slots: self.slots.clone(),
            values,
            objects: self.objects.clone(),
        }
    }
}

impl Content {
    /// The slot's entry; slots up to it are there from now on.
    fn slot_mut(&mut self, slot: usize) -> &mut Entry {
        if self.slots.len() <= slot {
            let empty = Entry {
                bytes: Bytes::UNWRITTEN,
                value: NO_VALUE,
            };
            self.slots.resize(slot + 1, empty);
        }
        &mut self.slots[slot]
    }

    fn value(&self, entry: &Entry) -> &Value {
        match self.values.get(usize::from(entry.value)) {
            Some(s) => &s.value,
            None if entry.value == IDLE => &Value::IDLE,
            None => &Value::Uninit,
        }
    }

    /// The slot's bytes, of which none is spilled any more: these are unknown, and the value is forgotten. So is its
    /// origin; a slot that has a value has some.
    fn scrubbed(&mut self, origins: &mut Option<Rc<Vec<Origin>>>, slot: usize) -> &mut Bytes {
        let entry = self.slot_mut(slot);
        let value = usize::from(entry.value);
        if entry.value != NO_VALUE {
            entry.bytes.set(entry.bytes.of(Byte::Spill), Byte::Misc);
            entry.value = NO_VALUE;
            if value < self.values.len() {
                self.values.swap_remove(value);
                if let Some(origins) = origins {
                    own(origins).swap_remove(value);
                }
            }
            // The last one took its place.
            if let Some(moved) = self.values.get(value) {
                self.slots[usize::from(moved.slot)].value = value as u8;
            }
        }
        &mut self.slots[slot].bytes
    }
}

impl Stack {
    pub(crate) fn slot(&self, slot: usize) -> Slot<'_> {
        match self.content.slots.get(slot) {
            Some(entry) => Slot {
                bytes: entry.bytes,
                held: self.content.value(entry),
                origin: match entry.value {
                    IDLE => Origin::IDLE,
                    at => self.origin(at.into()),
                },
            },
            None => Slot::EMPTY,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.content.slots.len()
    }

    /// That of a value, by its place in the list.
    #[inline]
    fn origin(&self, at: usize) -> Origin {
        let origin = self.origins.as_ref().and_then(|o| o.get(at));
        origin.copied().unwrap_or(Origin::NONE)
    }

    /// The value at this place in the list is another one.
    fn set(&mut self, at: usize, value: Value) {
        let (value, origin) = parted(value);
        if let Some(origins) = &mut self.origins
            && origins.get(at).is_some_and(|o| *o != origin)
            && let Some(to) = own(origins).get_mut(at)
        {
            *to = origin;
        }
        if self
            .content
            .values
            .get(at)
            .is_none_or(|s| *s.value == value)
        {
            return;
        }
        let s = &mut own(&mut self.content).values[at];
        match Rc::get_mut(&mut s.value) {
            Some(own) => *own = value,
            None => s.value = Rc::new(value),
        }
    }

    /// To write to, and the origins.
    fn own(&mut self) -> (&mut Content, &mut Option<Rc<Vec<Origin>>>) {
        (own(&mut self.content), &mut self.origins)
    }

    /// All slots that hold a spilled value, in no order, with the values without their origins.
    pub(crate) fn spills(&self) -> impl Iterator<Item = (usize, &Value)> {
        let values = self.content.values.iter();
        values.map(|s| (s.slot.into(), &*s.value))
    }

    /// All spilled values, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = Value> {
        let values = self.content.values.iter().enumerate();
        values.map(|(at, s)| whole(&s.value, self.origin(at)))
    }

    /// Gives every spilled number another origin.
    pub(crate) fn renumber(&mut self, mut other: impl FnMut(Origin) -> Origin) {
        let is_number = |s: &Spilled| s.value.as_number().is_some();
        if let Some(origins) = &mut self.origins
            && self.content.values.iter().any(is_number)
        {
            for (s, origin) in self.content.values.iter().zip(own(origins)) {
                if is_number(s) {
                    *origin = other(*origin);
                }
            }
        }
    }

    /// Changes spilled values in place; `f` says whether it wants a value before it is copied.
    pub(crate) fn for_each_spill(
        &mut self,
        wanted: impl Fn(&Value) -> bool,
        mut f: impl FnMut(&mut Value),
    ) {
        for at in 0..self.content.values.len() {
            let held = &self.content.values[at].value;
            if wanted(held) {
                let mut value = whole(held, self.origin(at));
                f(&mut value);
                self.set(at, value);
            }
        }
    }

    /// Keeps what a comparison looks at that reads only these slots, and of numbers only those whose origins are `needed`;
    /// nothing, where others have it too: a copy would take more room.
    pub(crate) fn narrow_to(&mut self, reads: SlotSet, needed: impl Fn(Origin) -> bool) {
        if Rc::strong_count(&self.content) > 1 {
            return;
        }
        let stays = |(at, s): (usize, &Spilled)| {
            reads.contains(s.slot.into())
                && (s.value.as_number().is_none() || needed(self.origin(at)))
        };
        // There are no more values than slots.
        let values = self.content.values.iter().enumerate();
        let stay: u64 = values.map(|v| u64::from(stays(v)) << v.0).sum();
        let Some(content) = Rc::get_mut(&mut self.content) else {
            return;
        };
        let count = stay.count_ones() as usize;
        if count < content.values.len() {
            let mut kept = Vec::with_capacity(count);
            for (i, s) in content.values.drain(..).enumerate() {
                let slot = usize::from(s.slot);
                content.slots[slot].value = if stay >> i & 1 == 1 {
                    kept.push(s);
                    kept.len() as u8 - 1
                } else if reads.contains(slot) {
                    IDLE
                } else {
                    NO_VALUE
                };
            }
            content.values = kept;
            if let Some(origins) = &self.origins {
                let stay = |i: &usize| stay >> i & 1 == 1;
                let kept = (0..origins.len()).filter(stay).map(|i| origins[i]);
                self.origins = Some(Rc::new(kept.collect()));
            }
        }
        let len = reads.end().min(content.slots.len());
        if len < content.slots.len() {
            content.slots.truncate(len);
            content.slots.shrink_to_fit();
        }
    }

    /// Something else is known of the value that a slot holds.
    pub(crate) fn set_spill(&mut self, slot: usize, value: Value) {
        if let Some(entry) = self.content.slots.get(slot) {
            self.set(entry.value.into(), value);
        }
    }

    /// Stores `value` at a slot's lowest `size` bytes, keeping what is known of it.
    pub(crate) fn spill(&mut self, off: i64, size: usize, value: Value) -> Outcome<()> {
        let (slot, first) = place(off);
        if first != 0 || slot >= SLOTS {
            return Err(internal("a value is spilled to the start of a slot"));
        }
        let (content, origins) = self.own();
        let at = content.values.len() as u8;
        let entry = content.slot_mut(slot);
        // Those of the value that was there.
        entry.bytes.set(entry.bytes.of(Byte::Spill), Byte::Misc);
        entry.bytes.set(ByteSet::range(0..size), Byte::Spill);
        match entry.value {
            NO_VALUE | IDLE => {
                entry.value = at;
                let (value, origin) = parted(value);
                content.values.push(Spilled {
                    slot: slot as u8,
                    value: Rc::new(value),
                });
                own(origins.get_or_insert_default()).push(origin);
            }
            at => self.set(at.into(), value),
        }
        Ok(())
    }

    /// Stores bytes of which only `kind` is known.
    pub(crate) fn set_bytes(&mut self, off: i64, size: usize, kind: Byte) {
        let (content, origins) = self.own();
        for (slot, which) in pieces(off, off + size as i64) {
            content.scrubbed(origins, slot).set(which, kind);
        }
    }

    /// Bytes that may have been written, by a value that is `zero` or not known.
    /// An unwritten byte becomes written only where unwritten bytes may be read anyway.
    pub(crate) fn weaken(&mut self, low: i64, high: i64, zero: bool, uninit_ok: bool) {
        let (content, origins) = self.own();
        for (slot, which) in pieces(low, high) {
            let entry = *content.slot_mut(slot);
            if zero && content.value(&entry).is_zero() {
                continue;
            }
            let bytes = content.scrubbed(origins, slot);
            let mut kept = ByteSet::EMPTY;
            if zero {
                kept = kept.or(bytes.of(Byte::Zero));
            }
            if !uninit_ok {
                kept = kept.or(bytes.of(Byte::Unwritten));
            }
            bytes.set(which.without(kept), Byte::Misc);
        }
    }

    /// The first byte in the range that was never written.
    pub(crate) fn unwritten(&self, low: i64, high: i64) -> Option<i64> {
        pieces(low, high).find_map(|(slot, which)| {
            let there = self.slot(slot);
            let mut unwritten = there.bytes.of(Byte::Unwritten);
            // What is left of a pointer to what is no longer there, where addresses may not be seen.
            if matches!(there.held, Value::Uninit) {
                unwritten = unwritten.or(there.bytes.of(Byte::Spill));
            }
            unwritten
                .and(which)
                .first()
                .map(|byte| byte as i64 - 8 * (slot as i64 + 1))
        })
    }

    /// Whether all bytes in the range are 0, none of them of a spilled value.
    pub(crate) fn zero(&self, low: i64, high: i64) -> bool {
        pieces(low, high).all(|(slot, which)| {
            let zero = self.slot(slot).bytes.of(Byte::Zero);
            which.without(zero).is_empty()
        })
    }

    /// All slots that belong to an object, with what they are of it.
    pub(crate) fn objects(&self) -> &[(usize, Object)] {
        &self.content.objects
    }

    pub(crate) fn object(&self, slot: usize) -> Option<&Object> {
        let found = self.content.objects.iter().find(|(s, _)| *s == slot);
        found.map(|(_, o)| o)
    }

    pub(crate) fn object_mut(&mut self, slot: usize) -> Option<&mut Object> {
        let at = self.content.objects.iter().position(|(s, _)| *s == slot)?;
        Some(&mut own(&mut self.content).objects[at].1)
    }

    /// The slot is a part of an object.
    pub(crate) fn make_object(&mut self, slot: usize, object: Object) {
        let (content, origins) = self.own();
        *content.scrubbed(origins, slot) = Bytes::all(Byte::Object);
        content.objects.retain(|(s, _)| *s != slot);
        let at = content.objects.partition_point(|(s, _)| *s < slot);
        content.objects.insert(at, (slot, object));
    }

    /// The slot is no part of an object any more: it is as if never written.
    pub(crate) fn end_object(&mut self, slot: usize) {
        let (content, origins) = self.own();
        *content.scrubbed(origins, slot) = Bytes::UNWRITTEN;
        content.objects.retain(|(s, _)| *s != slot);
    }

    /// What a load of `size` bytes at `off` gives, zero-extended; `None` for a part of a spilled pointer.
    pub(crate) fn load(&self, off: i64, size: usize) -> Option<Value> {
        let (index, first) = place(off);
        let slot = self.slot(index);
        let spilled = slot.spilled();
        if first == 0 && spilled > 0 && size <= spilled {
            return match slot.value() {
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
        for (index, which) in pieces(off, off + size as i64) {
            let slot = self.slot(index);
            let has = |kind| !slot.bytes.of(kind).and(which).is_empty();
            if has(Byte::Object) {
                return None;
            }
            if has(Byte::Spill) {
                match slot.held {
                    Value::Pointer(_) | Value::Uninit => return None,
                    v => {
                        zero &= v.is_zero();
                        origin = slot.origin;
                    }
                }
            }
            zero &= !has(Byte::Misc) && !has(Byte::Unwritten);
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
        Some(Value::number(Scalar::any_of(bits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(x: u64, origin: usize) -> Value {
        Value::Number(Number {
            set: Scalar::constant(x),
            link: 0,
            add: 0,
            origin: Origin::at(origin),
        })
    }

    fn spilled(values: &[Value]) -> Stack {
        let mut stack = Stack::default();
        for (slot, v) in values.iter().enumerate() {
            let kept = stack.spill(-8 * (slot as i64 + 1), 8, *v);
            assert!(kept.is_ok());
        }
        stack
    }

    #[test]
    fn a_number_comes_back_with_its_origin() {
        let values = [
            number(1, 5),
            Value::pointer(crate::value::To::Context),
            number(1, 6),
        ];
        let mut stack = spilled(&values);
        for (slot, v) in values.iter().enumerate() {
            assert_eq!(stack.slot(slot).whole(), Some(*v));
            assert_eq!(stack.load(-8 * (slot as i64 + 1), 8), Some(*v));
        }
        assert!(stack.values().eq(values));
        stack.set_spill(0, number(2, 7));
        assert_eq!(stack.load(-8, 8), Some(number(2, 7)));
        // The same number from elsewhere.
        assert!(stack.spill(-8, 8, number(2, 8)).is_ok());
        assert_eq!(stack.load(-8, 4), Some(number(2, 8)));
        assert_eq!(stack.slot(0).origin(), Some(Origin::at(8)));
        assert_eq!(stack.slot(1).origin(), None);
    }

    #[test]
    fn other_origins_leave_the_values_shared() {
        let first = spilled(&[number(1, 5), number(2, 6)]);
        let mut second = first.clone();
        second.renumber(|of| Origin::at(of.index() + 10));
        assert!(second.values().eq([number(1, 15), number(2, 16)]));
        assert!(first.values().eq([number(1, 5), number(2, 6)]));
        assert!(Rc::ptr_eq(&first.content, &second.content));
        // Writing to one leaves the other as it was.
        second.for_each_spill(|v| v.as_constant() == Some(1), |v| *v = number(3, 20));
        assert!(second.values().eq([number(3, 20), number(2, 16)]));
        assert!(first.values().eq([number(1, 5), number(2, 6)]));
        for at in 0..2 {
            let of = |stack: &Stack| Rc::as_ptr(&stack.content.values[at].value);
            assert_eq!(of(&first) == of(&second), at == 1);
        }
        // Values that are gone take their origins with them.
        second.set_bytes(-8, 8, Byte::Misc);
        assert!(second.values().eq([number(2, 16)]));
        assert!(second.spill(-24, 8, number(4, 17)).is_ok());
        assert!(second.values().eq([number(2, 16), number(4, 17)]));
    }

    #[test]
    fn what_is_needed_is_told_by_origins() {
        let mut stack = spilled(&[number(1, 5), number(1, 6), number(1, 7)]);
        stack.narrow_to(SlotSet(0b011), |of| of == Origin::at(6));
        assert_eq!(stack.slot(0).value(), Value::IDLE);
        assert_eq!(stack.slot(1).value(), number(1, 6));
        assert_eq!(stack.slot(2).value(), Value::Uninit);
    }
}
