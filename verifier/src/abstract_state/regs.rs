//! The registers of one frame, by number.
//!
//! Each half is copied when one of its registers is written and the copy that shares it still needs the old value:
//! r0 to r5, which change all the time, and r6 to r10, which mostly keep what they were given.
//!
//! A half of a state of which only a part is looked at any more keeps that part ([`Regs::narrow_to`]).

use std::ops::{Index, IndexMut};
use std::rc::Rc;

use probity_isa::{Reg, RegSet};

use crate::shared::own;
use crate::value::Value;

/// r0 to r5.
const LOW: usize = 6;

#[derive(Clone, Debug)]
pub(crate) struct Regs {
    low: Half<LOW>,
    high: Half<{ Reg::COUNT - LOW }>,
}

#[derive(Clone, Debug)]
enum Half<const N: usize> {
    All(Rc<[Value; N]>),
    Few(Rc<Few>),
}

/// What is left of a half.
#[derive(Debug)]
struct Few {
    /// By register, four bits each: [`Few::LOST`], [`Few::IDLE`], or its place among the values and 1.
    places: u32,
    values: Vec<Value>,
}

type Low = Rc<[Value; LOW]>;
type High = Rc<[Value; Reg::COUNT - LOW]>;

/// Halves of which nothing is needed, by which of their registers hold a number, one bit each.
#[derive(Debug, Default)]
pub(crate) struct IdleHalves {
    low: Vec<(u8, Low)>,
    high: Vec<(u8, High)>,
}

impl Default for Regs {
    fn default() -> Regs {
        Regs {
            low: Half::All(Rc::new([Value::Uninit; LOW])),
            high: Half::All(Rc::new([Value::Uninit; Reg::COUNT - LOW])),
        }
    }
}

impl Index<usize> for Regs {
    type Output = Value;

    #[inline]
    fn index(&self, reg: usize) -> &Value {
        match reg {
            0..LOW => self.low.get(reg),
            _ => self.high.get(reg - LOW),
        }
    }
}

impl IndexMut<usize> for Regs {
    #[inline]
    fn index_mut(&mut self, reg: usize) -> &mut Value {
        match reg {
            0..LOW => &mut self.low.own()[reg],
            _ => &mut self.high.own()[reg - LOW],
        }
    }
}

impl Few {
    /// The register holds nothing that is looked at.
    const LOST: u32 = 0;
    /// It holds a number that nothing needs.
    const IDLE: u32 = 15;

    #[cold]
    #[inline(never)]
    fn get(&self, reg: usize) -> &Value {
        match self.places >> (4 * reg) & 15 {
            Few::LOST => &Value::Uninit,
            Few::IDLE => &Value::IDLE,
            place => &self.values[place as usize - 1],
        }
    }
}

impl<const N: usize> Half<N> {
    #[inline]
    fn get(&self, reg: usize) -> &Value {
        match self {
            Half::All(all) => &all[reg],
            Half::Few(few) => few.get(reg),
        }
    }

    /// To write to.
    #[inline]
    fn own(&mut self) -> &mut [Value; N] {
        if let Half::Few(_) = self {
            self.make_whole();
        }
        match self {
            Half::All(all) => own(all),
            Half::Few(_) => unreachable!("it was just made whole"),
        }
    }

    #[cold]
    #[inline(never)]
    fn make_whole(&mut self) {
        *self = Half::All(Rc::new(std::array::from_fn(|reg| *self.get(reg))));
    }

    /// What it holds, but for idle numbers of what is left of one.
    #[inline]
    fn values(&self) -> &[Value] {
        match self {
            Half::All(all) => &all[..],
            Half::Few(few) => &few.values,
        }
    }

    /// Keeps what is looked at, where that is not all; `known` are halves of which that is nothing. Some is kept apart
    /// only if it is to be `cut`.
    fn narrow_to(
        &mut self,
        first: usize,
        live: RegSet,
        needed: impl Fn(&Value) -> bool,
        cut: bool,
        known: &mut Vec<(u8, Rc<[Value; N]>)>,
    ) {
        let Half::All(all) = self else {
            return;
        };
        // Where others have it too, a copy would take more room.
        let cut = cut && Rc::strong_count(all) == 1;
        let live = live.without(RegSet::of(Reg::R10)).bits() >> first;
        let (mut idle, mut places, mut kept) = (0, 0, 0);
        for (i, v) in all.iter().enumerate() {
            if live >> i & 1 == 0 || !v.is_init() {
                continue;
            }
            let place = match needed(v) {
                true if !cut => return,
                true => {
                    kept += 1;
                    kept
                }
                false => {
                    idle |= 1 << i;
                    Few::IDLE
                }
            };
            places |= place << (4 * i);
        }
        if kept == 0 {
            *self = Half::All(common(known, idle));
            return;
        }
        if (kept as usize) < N - 1 {
            let mut values = Vec::with_capacity(kept as usize);
            let stays = |i: &usize| !matches!(places >> (4 * i) & 15, Few::LOST | Few::IDLE);
            values.extend((0..N).filter(stays).map(|i| all[i]));
            *self = Half::Few(Rc::new(Few { places, values }));
        }
    }
}

impl Regs {
    /// Keeps what a comparison looks at that is about live registers other than r10, and of numbers about those that
    /// are `needed`: a half of which it looks at none is shared. One of which it looks at some is `cut` down to that.
    pub(crate) fn narrow_to(
        &mut self,
        live: RegSet,
        needed: impl Fn(&Value) -> bool,
        cut: bool,
        idle: &mut IdleHalves,
    ) {
        self.low.narrow_to(0, live, &needed, cut, &mut idle.low);
        self.high.narrow_to(LOW, live, &needed, cut, &mut idle.high);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Value> {
        self.low.values().iter().chain(self.high.values())
    }

    /// Changes every value for which `wanted` holds.
    pub(crate) fn for_each(
        &mut self,
        wanted: impl Fn(&Value) -> bool,
        mut f: impl FnMut(&mut Value),
    ) {
        if self.low.values().iter().any(&wanted) {
            let low = self.low.own();
            low.iter_mut().filter(|v| wanted(v)).for_each(&mut f);
        }
        if self.high.values().iter().any(&wanted) {
            let high = self.high.own();
            high.iter_mut().filter(|v| wanted(v)).for_each(&mut f);
        }
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
