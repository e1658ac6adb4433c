//! What a guess for all laps of a loop claims at the loop's head, and whether the ways back to it confirm that.
//!
//! Why what stands is right. Let the head be visited with `v(0), v(1), ..` in some run, for one induction variable.
//!
//! 1. *Moved*: at each way back the value is linked to the head's, and differs from it by a step that is allowed.
//!    A link is kept only by what gives the same sum in all 64 bits, so `v(k + 1) - v(k)` is that step, modulo 2^64.
//!    *Within*: at each way back the value lies in the head's set `S`. Each variable must do the same one of both, or
//!    both, on all ways back ([`Head::holds`]).
//! 2. Some variable `d` does both, and all its steps have one sign. `S` spans less than 2^62 and steps are less than
//!    2^31, so `v(k)` does not lead around: with every lap it is farther from `v(0)`, by its *pace* at least.
//!    It cannot be farther than the farthest value `e` that any way back brings, so there are at most
//!    `(e - v(0)) / pace` laps. This is taken from the ways back, not from what was guessed: comparisons that the
//!    guess was made of need not end the loop.
//! 3. So the loop ends. A variable that is within is in its `S` in every lap. One that only moved is in
//!    `v(0) + [least, most] * k`, and `S` has room for `Head::laps` laps, which must not be fewer than those of 2.
//! 4. By induction over laps: if the head's state includes the visits up to lap `k`, the walk from it included what led
//!    to lap `k + 1`, and so 1 to 3 hold of that.
//! 5. `d` starts at one constant and moves by multiples of a unit: then a value at a way back that no whole units lead
//!    to is none that a run has ([`Induction::rounded`]). This uses that it moved on all ways back.
//! 6. Locations of one link differ by constants at the head; each is held against its own set and step.
//!
//! 3 (for those that only moved) and 5 hold of what is entered at the head from the guess, with all its relations.
//! Another state that its sets include need not have them: such a head, and all states that lead back to it, cut no
//! path once it is closed ([`Head::relational`]). While it is open, states tied to it cut only paths with the same
//! links and constants. Any other head is a state like all others: sets alone say that its values stay within, and
//! the numbers that ends depend on count as needed.
//!
//! Clocks ([`crate::clocks`]) may tick on the way back: the argument above does not ask for them. A way back on which a
//! clock was lost or started anew is no lap of the guess.

use probity_domains::{Scalar, Tnum};

use crate::value::{Id, Value};

/// Most numbers from the least to the greatest that an induction variable reaches.
const MOST_REACH: i128 = 1 << 62;

/// A number or pointer that every lap moves by a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Induction {
    /// The link of the number at the head, or the base of the pointer.
    pub link: Id,
    /// The steps that laps may make: from `least` to `most`, multiples of `unit`.
    pub least: i64,
    pub most: i64,
    unit: u64,
    /// Where it is at the guess, without what the locations of one link differ by.
    pub from: Scalar,
}

impl Induction {
    pub(crate) fn new(link: Id, step: i64, from: Scalar) -> Induction {
        Induction {
            link,
            least: step,
            most: step,
            unit: step.unsigned_abs(),
            from,
        }
    }

    pub(crate) fn allows(&self, step: i64) -> bool {
        let multiple = match self.unit {
            0 => step == 0,
            unit => step.unsigned_abs().is_multiple_of(unit),
        };
        multiple && (self.least..=self.most).contains(&step)
    }

    /// Also this step.
    pub(crate) fn with(self, step: i64) -> Induction {
        Induction {
            least: self.least.min(step),
            most: self.most.max(step),
            unit: gcd(self.unit, step.unsigned_abs()),
            ..self
        }
    }

    /// The same from elsewhere.
    pub(crate) fn starting(self, link: Id, from: Scalar) -> Induction {
        Induction { link, from, ..self }
    }

    /// The least that a lap moves it, when it never stays nor turns back.
    fn pace(&self) -> Option<u64> {
        match (self.least, self.most) {
            (1.., _) => Some(self.least.unsigned_abs()),
            (_, ..=-1) => Some(self.most.unsigned_abs()),
            _ => None,
        }
    }

    /// Where it is in any of `count` laps from the guess on.
    pub(crate) fn reached(&self, count: u64) -> Option<Scalar> {
        let way = |step: i64| i128::from(step).checked_mul(i128::from(count));
        let low = i128::from(self.from.smin()) + way(self.least)?.min(0);
        let high = i128::from(self.from.smax()) + way(self.most)?.max(0);
        // Far from all there is, so that no step leads around.
        if high - low > MOST_REACH {
            return None;
        }
        let range = match (u64::try_from(low), i64::try_from(low), i64::try_from(high)) {
            (Ok(low), _, Ok(high)) => Scalar::from_unsigned(low, high as u64)?,
            (_, Ok(low), Ok(high)) => Scalar::from_signed(low, high)?,
            _ => return None,
        };
        // The low bits that no step changes.
        let kept = (1u64 << self.unit.trailing_zeros().min(63)) - 1;
        let t = self.from.tnum();
        let known = kept & !t.mask();
        let low = Scalar::from_tnum(Tnum::new(t.value() & known, !known))?;
        range.meet(&low)
    }

    /// Those of `set` that whole units lead to.
    fn rounded(&self, set: &Scalar) -> Option<Scalar> {
        let from = i128::from(self.from.as_constant()? as i64);
        let unit = i128::from(self.unit);
        if unit < 2 {
            return None;
        }
        let low = i128::from(set.smin()) - from;
        let high = i128::from(set.smax()) - from;
        let low = low + (-low).rem_euclid(unit) + from;
        let high = high - high.rem_euclid(unit) + from;
        Scalar::from_signed(low.try_into().ok()?, high.try_into().ok()?)?.meet(set)
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// What a head's guess claims, and what the laps walked so far confirmed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub inductions: Vec<Induction>,
    /// One bit each: in every lap it moved by a step of its own; in every lap it stayed within the head's value,
    /// or would have left it for a number that no whole units lead to.
    moved: u64,
    within: u64,
    rounded: u64,
    /// Most laps after the guess, by what each that never turns back came back with.
    ends: Vec<u64>,
    /// The laps for which there is room in the head's values.
    pub laps: u64,
    /// More laps that comparisons may stand for, ascending.
    pub more: Vec<u64>,
}

impl Head {
    pub(crate) fn new(inductions: Vec<Induction>, laps: u64, more: Vec<u64>) -> Head {
        Head {
            ends: vec![0; inductions.len()],
            inductions,
            moved: u64::MAX,
            within: u64::MAX,
            rounded: 0,
            laps,
            more,
        }
    }

    fn all(&self) -> u64 {
        match self.inductions.len() {
            n if n >= 64 => u64::MAX,
            n => (1 << n) - 1,
        }
    }

    /// An induction variable comes back, where it differs from the head by `step` when that is known,
    /// as `back` less what its location adds; `includes` says whether the head's value includes another one.
    /// Whether that may be right.
    pub(crate) fn confirm(
        &mut self,
        index: usize,
        step: Option<i64>,
        back: &Scalar,
        includes: impl Fn(&Scalar) -> bool,
    ) -> bool {
        let Some(i) = self.inductions.get(index) else {
            return false;
        };
        let bit = 1u64.checked_shl(index as u32).unwrap_or(0);
        let moved = step.is_some_and(|s| i.allows(s));
        let mut back = *back;
        let mut within = includes(&back);
        if moved
            && !within
            && let Some(fewer) = i.rounded(&back)
            && includes(&fewer)
        {
            (within, back) = (true, fewer);
            self.rounded |= bit;
        }
        if !moved {
            self.moved &= !bit;
        }
        if !within {
            self.within &= !bit;
        }
        if let Some(pace) = i.pace() {
            let way = match i.least > 0 {
                true => i128::from(back.smax()) - i128::from(i.from.smin()),
                false => i128::from(i.from.smax()) - i128::from(back.smin()),
            };
            let laps = u64::try_from(way.max(0)).unwrap_or(u64::MAX) / pace;
            self.ends[index] = self.ends[index].max(laps);
        }
        (self.moved | self.within) & !(self.rounded & !self.moved) & bit != 0
    }

    /// Some induction variable bounds the laps, and each of the others is where its steps say, or within bounds.
    pub(crate) fn holds(&self) -> bool {
        let all = self.all();
        if (self.moved | self.within) & all != all || self.rounded & !self.moved & all != 0 {
            return false;
        }
        // Those that only moved are in the head's values for so many laps.
        self.most_laps()
            .is_some_and(|end| self.within & all == all || end <= self.laps)
    }

    /// Most laps from any state within the head's, as far as paths have come back.
    pub(crate) fn most_laps(&self) -> Option<u64> {
        let both = self.moved & self.within & self.all();
        (self.inductions.iter().zip(&self.ends).enumerate())
            .filter(|(n, (i, _))| both >> n & 1 == 1 && i.pace().is_some())
            .map(|(_, (_, end))| *end)
            .min()
    }

    /// Some induction variable stays within its bounds only since another one ends the loop, or since it moves by units.
    pub(crate) fn relational(&self) -> bool {
        self.within & !self.rounded & self.all() != self.all()
    }

    /// The induction variable that a value of the head is.
    pub(crate) fn of(&self, value: &Value) -> Option<&Induction> {
        let link = match value {
            Value::Number(n) => n.link,
            Value::Pointer(p) => p.base,
            Value::Uninit => 0,
        };
        self.inductions.iter().find(|i| i.link == link)
    }
}
