//! The registers of one frame, by number.
//!
//! Each half is copied when one of its registers is written and the copy that shares it still needs the old value:
//! r0 to r5, which change all the time, and r6 to r10, which mostly keep what they were given.
//!
//! Where many states are kept, theirs are packed ([`crate::packed`]); what is written to is unpacked first. Of a state of
//! which only a part is looked at any more that part is kept ([`Regs::narrow_to`]).

use std::ops::{Deref, Index, IndexMut};
use std::rc::Rc;

use probity_isa::{Reg, RegSet};

use crate::packed::{Keep, Packed};
use crate::shared::own;
use crate::value::Value;

/// r0 to r5.
const LOW: usize = 6;
const HIGH: usize = Reg::COUNT - LOW;

type Low = Rc<[Value; LOW]>;
type High = Rc<[Value; HIGH]>;

#[derive(Clone, Debug)]
pub(crate) enum Regs {
    Whole(Low, High),
    Packed(Packed),
}

/// Halves of which nothing is needed, by which of their registers hold a number, one bit each.
#[derive(Debug, Default)]
pub(crate) struct IdleHalves {
    low: Vec<(u8, Low)>,
    high: Vec<(u8, High)>,
}

/// A value that may have been unpacked to be looked at.
pub(crate) enum Held<'a> {
    There(&'a Value),
    Unpacked(Value),
}

impl Deref for Held<'_> {
    type Target = Value;

    #[inline]
    fn deref(&self) -> &Value {
        match self {
            Held::There(v) => v,
            Held::Unpacked(v) => v,
        }
    }
}

impl Default for Regs {
    fn default() -> Regs {
        Regs::Whole(
            Rc::new([Value::Uninit; LOW]),
            Rc::new([Value::Uninit; HIGH]),
        )
    }
}

impl Index<usize> for Regs {
    type Output = Value;

    #[inline]
    fn index(&self, reg: usize) -> &Value {
        match self {
            Regs::Whole(low, _) if reg < LOW => &low[reg],
            Regs::Whole(_, high) => &high[reg - LOW],
            Regs::Packed(packed) => packed.at(reg),
        }
    }
}

impl IndexMut<usize> for Regs {
    #[inline]
    fn index_mut(&mut self, reg: usize) -> &mut Value {
        self.unpack();
        match self {
            Regs::Whole(low, _) if reg < LOW => &mut own(low)[reg],
            Regs::Whole(_, high) => &mut own(high)[reg - LOW],
            Regs::Packed(_) => unreachable!("it was just unpacked"),
        }
    }
}

impl Regs {
    pub(crate) fn is_packed(&self) -> bool {
        matches!(self, Regs::Packed(_))
    }

    /// The same in fewer bytes, for who keeps it and rarely looks at it.
    pub(crate) fn packed(&self) -> Regs {
        match self {
            Regs::Whole(..) => Regs::Packed(Packed::of(|r| Keep::whole(&self[r]))),
            Regs::Packed(packed) => Regs::Packed(packed.clone()),
        }
    }

    /// To be written to.
    #[inline]
    pub(crate) fn unpack(&mut self) {
        if self.is_packed() {
            self.make_whole();
        }
    }

    #[cold]
    #[inline(never)]
    fn make_whole(&mut self) {
        if let Regs::Packed(packed) = self {
            let all = packed.all();
            *self = Regs::Whole(
                Rc::new(std::array::from_fn(|r| all[r])),
                Rc::new(std::array::from_fn(|r| all[LOW + r])),
            );
        }
    }

    /// To look at, by who looks at few: one that is packed stays so.
    #[inline]
    pub(crate) fn get(&self, reg: usize) -> Held<'_> {
        match self {
            Regs::Whole(..) => Held::There(&self[reg]),
            Regs::Packed(packed) => Held::Unpacked(packed.get(reg)),
        }
    }

    /// Keeps what a comparison looks at that is about live registers other than r10, and of numbers about those that
    /// are `needed`: a half of which it looks at none is shared. One of which it looks at some is `cut` down to that.
    pub(crate) fn narrow_to(
        &mut self,
        live: RegSet,
        needed: impl Fn(&Value) -> bool,
        cut: bool,
        idle: &mut IdleHalves,
    ) {
        let live = live.without(RegSet::of(Reg::R10)).bits();
        let is_live = |r: usize| live >> r & 1 == 1;
        if let Regs::Packed(packed) = self {
            let all = packed.all();
            *packed = Packed::of(|r| match is_live(r) {
                true => looked_at(&all[r], &needed),
                false => Keep::Nothing,
            });
            return;
        }
        // Of each half, which registers hold a number that nothing needs, and whether some hold what is looked at.
        let (mut numbers, mut some) = ([0; 2], [false; 2]);
        for r in (0..Reg::COUNT).filter(|r| is_live(*r)) {
            let half = usize::from(r >= LOW);
            match looked_at(&self[r], &needed) {
                Keep::Nothing => {}
                Keep::Idle => numbers[half] |= 1 << (r - half * LOW),
                Keep::Value(_) => some[half] = true,
            }
        }
        let Regs::Whole(low, high) = &mut *self else {
            return;
        };
        if !some[0] {
            *low = common(&mut idle.low, numbers[0]);
        }
        if !some[1] {
            *high = common(&mut idle.high, numbers[1]);
        }
        // Where others have it too, a copy would take more room.
        let own = |shared: usize, some: bool| !some || shared == 1;
        let own = own(Rc::strong_count(low), some[0]) && own(Rc::strong_count(high), some[1]);
        if cut && own && some != [false; 2] {
            let packed = Packed::of(|r| match is_live(r) {
                true => looked_at(&self[r], &needed),
                false => Keep::Nothing,
            });
            *self = Regs::Packed(packed);
        }
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = Value> {
        (0..Reg::COUNT).map(|r| *self.get(r))
    }

    /// Whether any value is so.
    pub(crate) fn any(&self, wanted: impl Fn(&Value) -> bool) -> bool {
        match self {
            Regs::Whole(low, high) => low.iter().chain(high.iter()).any(wanted),
            Regs::Packed(packed) => packed.all().iter().any(wanted),
        }
    }

    /// Changes every value for which `wanted` holds.
    pub(crate) fn for_each(
        &mut self,
        wanted: impl Fn(&Value) -> bool,
        mut f: impl FnMut(&mut Value),
    ) {
        match self {
            Regs::Whole(low, high) => {
                if low.iter().any(&wanted) {
                    own(low).iter_mut().filter(|v| wanted(v)).for_each(&mut f);
                }
                if high.iter().any(&wanted) {
                    own(high).iter_mut().filter(|v| wanted(v)).for_each(&mut f);
                }
            }
            Regs::Packed(packed) => {
                let mut all = packed.all();
                if all.iter().any(&wanted) {
                    all.iter_mut().filter(|v| wanted(v)).for_each(&mut f);
                    *packed = Packed::of(|r| Keep::whole(&all[r]));
                }
            }
        }
    }
}

/// What a comparison looks at of a live register.
fn looked_at<'a>(value: &'a Value, needed: impl Fn(&Value) -> bool) -> Keep<'a> {
    match value.is_init() {
        false => Keep::Nothing,
        true if needed(value) => Keep::Value(value),
        true => Keep::Idle,
    }
}

/// The half in which these registers hold idle numbers, and the others nothing.
fn common<const N: usize>(known: &mut Vec<(u8, Rc<[Value; N]>)>, numbers: u8) -> Rc<[Value; N]> {
    if let Some((_, half)) = known.iter().find(|(n, _)| *n == numbers) {
        return half.clone();
    }
    let value = |i| match numbers >> i & 1 {
        0 => Value::Uninit,
        _ => Value::IDLE,
    };
    let half = Rc::new(std::array::from_fn(value));
    known.push((numbers, half.clone()));
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: RegSet = RegSet::ALL;

    /// All hold their own number, but for r10.
    fn regs() -> Regs {
        let mut regs = Regs::default();
        for r in 0..Reg::COUNT - 1 {
            regs[r] = Value::constant(r as u64);
        }
        regs
    }

    /// Whether it is one of these.
    fn among(numbers: &[u64]) -> impl Fn(&Value) -> bool {
        move |v| v.as_constant().is_some_and(|x| numbers.contains(&x))
    }

    #[test]
    fn what_is_needed_stays_where_it_was() {
        for kept in [
            &[][..],
            &[0],
            &[5],
            &[1, 4],
            &[6],
            &[9],
            &[2, 6, 8],
            &[0, 1, 2, 3, 4, 5],
        ] {
            let mut narrow = regs();
            narrow.narrow_to(LIVE, among(kept), true, &mut IdleHalves::default());
            for r in 0..Reg::COUNT - 1 {
                match kept.contains(&(r as u64)) {
                    true => assert_eq!(narrow[r], Value::constant(r as u64)),
                    // It may stay: what it takes is no room of its own.
                    false => assert!(
                        narrow[r] == Value::IDLE || narrow[r].as_constant() == Some(r as u64)
                    ),
                }
            }
        }
    }

    #[test]
    fn what_is_dead_is_lost() {
        let mut narrow = regs();
        let live = RegSet::of(Reg::R1) | RegSet::of(Reg::R7);
        narrow.narrow_to(live, among(&[1, 2, 7, 8]), true, &mut IdleHalves::default());
        for r in 0..Reg::COUNT {
            let known = matches!(r, 1 | 7).then_some(r as u64);
            assert_eq!(narrow[r].as_constant(), known);
        }
    }

    #[test]
    fn what_is_left_can_be_written() {
        let mut narrow = regs();
        narrow.narrow_to(LIVE, among(&[1, 7]), true, &mut IdleHalves::default());
        let before = narrow.clone();
        narrow[0] = Value::constant(100);
        narrow.for_each(among(&[7]), |v| *v = Value::constant(107));
        let now = [0, 1, 2, 6, 7].map(|r| narrow[r].as_constant());
        assert_eq!(now, [Some(100), Some(1), None, None, Some(107)]);
        assert_eq!(narrow[2], Value::IDLE);
        assert_eq!(before[7].as_constant(), Some(7));
    }

    #[test]
    fn what_is_packed_is_the_same() {
        let mut packed = regs().packed();
        assert!(packed.is_packed() && packed.values().eq(regs().values()));
        assert_eq!(*packed.get(7), packed[7]);
        packed.for_each(among(&[2, 8]), |v| *v = Value::constant(9));
        assert!(packed.is_packed() && packed[2] == packed[9]);
        packed[0] = Value::Uninit;
        assert!(!packed.is_packed());
        let now = [0, 1, 2, 8, 10].map(|r| packed[r].as_constant());
        assert_eq!(now, [None, Some(1), Some(9), Some(9), None]);
    }

    #[test]
    fn a_half_that_another_state_has_is_not_copied() {
        let mut narrow = regs();
        let other = narrow.clone();
        narrow.narrow_to(LIVE, among(&[1, 7]), true, &mut IdleHalves::default());
        assert_eq!(narrow[2].as_constant(), Some(2));
        drop(other);
        narrow.narrow_to(LIVE, among(&[1, 7]), true, &mut IdleHalves::default());
        assert_eq!(narrow[2], Value::IDLE);
    }
}
