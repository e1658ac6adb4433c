//! Operations and comparisons at 64 and 32 bits on sets put together from values around which something
//! turns over, held against wrapping arithmetic on members; what fails is shrunk. `TEST_SEED` repeats a run.
//!
//! The sets are plain bounds and bits, of which membership is decided here and not by the crate.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};

use super::{Random, rounds};
use crate::{Comparison, Scalar, Tnum};

fn runner(cases: usize) -> TestRunner {
    let mut random = Random::new();
    let seed = [0; 4].map(|_| random.next().to_le_bytes()).concat();
    let config = Config {
        cases: rounds(cases) as u32,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

/// 0, powers of two, the ends of every width, all with their neighbours and negations; those near 0 first.
fn values() -> Vec<u64> {
    let powers = (0..64).map(|bit| 1u64 << bit);
    let ends = [8, 16, 32, 64].map(|bits: u32| u64::MAX >> (64 - bits));
    let mut all: Vec<u64> = powers
        .chain(ends)
        .flat_map(|x| [x.wrapping_sub(1), x, x.wrapping_add(1)])
        .flat_map(|x| [x, x.wrapping_neg()])
        .collect();
    all.sort_by_key(|&x| ((x as i64).unsigned_abs(), x));
    all.dedup();
    all
}

fn value() -> impl Strategy<Value = u64> {
    // Small numbers often, because they are shift counts and divisors that do something.
    prop_oneof![1 => 0..70u64, 4 => prop::sample::select(values())]
}

/// All, one, or what lies between two.
fn interval<T: Copy + Ord + std::fmt::Debug>(
    all: (T, T),
    cast: fn(u64) -> T,
) -> impl Strategy<Value = (T, T)> {
    prop_oneof![
        4 => Just(all),
        1 => value().prop_map(move |x| (cast(x), cast(x))),
        3 => (value(), value()).prop_map(move |(x, y)| {
            let (x, y) = (cast(x), cast(y));
            (x.min(y), x.max(y))
        }),
    ]
}

/// The numbers of which all of this is true.
#[derive(Clone, Copy, Debug)]
struct Set {
    unsigned: (u64, u64),
    signed: (i64, i64),
    /// The known bits, and which are unknown.
    bits: (u64, u64),
    low: (u32, u32),
    low_signed: (i32, i32),
}

impl Set {
    fn contains(self, x: u64) -> bool {
        let within = |lo: i128, x: i128, hi: i128| lo <= x && x <= hi;
        within(self.unsigned.0.into(), x.into(), self.unsigned.1.into())
            && within(
                self.signed.0.into(),
                (x as i64).into(),
                self.signed.1.into(),
            )
            && within(self.low.0.into(), (x as u32).into(), self.low.1.into())
            && within(
                self.low_signed.0.into(),
                (x as i32).into(),
                self.low_signed.1.into(),
            )
            && (x ^ self.bits.0) & !self.bits.1 == 0
    }

    fn scalar(self) -> Option<Scalar> {
        let wide = Scalar::from_bounds(
            self.unsigned.0,
            self.unsigned.1,
            self.signed.0,
            self.signed.1,
        )?;
        let low =
            Scalar::from_low_bounds(self.low.0, self.low.1, self.low_signed.0, self.low_signed.1)?;
        let bits = Scalar::from_tnum(Tnum::new(self.bits.0, self.bits.1))?;
        wide.meet(&low)?.meet(&bits)
    }

    /// Members near to `seeds` and to the ends, some of them if there are many.
    fn members(self, seeds: [u64; 4]) -> Vec<u64> {
        let ends = [
            self.unsigned.0,
            self.unsigned.1,
            self.signed.0 as u64,
            self.signed.1 as u64,
            self.bits.0,
            self.bits.0 | self.bits.1,
        ];
        let lows = [
            self.low.0,
            self.low.1,
            self.low_signed.0 as u32,
            self.low_signed.1 as u32,
        ];
        let with_low = |x: u64, low: u32| (x >> 32 << 32) | u64::from(low);
        let mut all: Vec<u64> = seeds
            .into_iter()
            .chain(ends)
            .flat_map(|x| [x].into_iter().chain(lows.map(|low| with_low(x, low))))
            .flat_map(|x| [x, (x & self.bits.1) | (self.bits.0 & !self.bits.1)])
            .filter(|&x| self.contains(x))
            .collect();
        all.sort_unstable();
        all.dedup();
        let every = all.len().div_ceil(6).max(1);
        let last = all.last().copied();
        let mut some: Vec<u64> = all.into_iter().step_by(every).chain(last).collect();
        some.dedup();
        some
    }
}

fn set() -> impl Strategy<Value = Set> {
    let bits = prop_oneof![2 => Just((0, u64::MAX)), 3 => (value(), value())];
    (
        interval((0, u64::MAX), |x| x),
        interval((i64::MIN, i64::MAX), |x| x as i64),
        bits,
        interval((0, u32::MAX), |x| x as u32),
        interval((i32::MIN, i32::MAX), |x| x as i32),
        // How many of these facts are true of the set; one more often than all.
        prop_oneof![4 => 0..5usize, 1 => Just(5), 1 => Just(6)],
    )
        .prop_map(|(unsigned, signed, bits, low, low_signed, which)| {
            let keep = |index: usize| which == index || which == 6 || (which == 5 && index < 3);
            Set {
                unsigned: if keep(0) { unsigned } else { (0, u64::MAX) },
                signed: if keep(1) {
                    signed
                } else {
                    (i64::MIN, i64::MAX)
                },
                bits: if keep(2) { bits } else { (0, u64::MAX) },
                low: if keep(3) { low } else { (0, u32::MAX) },
                low_signed: if keep(4) {
                    low_signed
                } else {
                    (i32::MIN, i32::MAX)
                },
            }
        })
}

/// Runs `check` on pairs of sets that are not empty, with members of each.
fn on_pairs(cases: usize, check: impl Fn(&Scalar, &Scalar, &[u64], &[u64]) -> TestCaseResult) {
    let tried = Cell::new(0);
    let input = (set(), set(), prop::array::uniform4(value()));
    let result = runner(cases).run(&input, |(a, b, seeds)| {
        let (in_a, in_b) = (a.members(seeds), b.members(seeds));
        let (a, b) = match (a.scalar(), b.scalar()) {
            (Some(a), Some(b)) => (a, b),
            (a, b) => {
                prop_assert!(a.is_some() || in_a.is_empty(), "lost {in_a:x?}");
                prop_assert!(b.is_some() || in_b.is_empty(), "lost {in_b:x?}");
                return Ok(());
            }
        };
        for (of, members) in [(&a, &in_a), (&b, &in_b)] {
            let lost = members.iter().find(|&&x| !of.contains(x));
            prop_assert_eq!(lost, None, "{}", of);
        }
        tried.set(tried.get() + in_a.len() * in_b.len());
        check(&a, &b, &in_a, &in_b)
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    println!("{} pairs of members", tried.get());
    assert!(tried.get() > 5 * cases, "the sets are mostly empty");
}

type Abstract = fn(&Scalar, &Scalar) -> Scalar;
type Operation = (
    &'static str,
    Abstract,
    fn(u64, u64) -> u64,
    Abstract,
    fn(u32, u32) -> u32,
);

/// Both widths, each with plain arithmetic.
#[rustfmt::skip]
const OPERATIONS: [Operation; 14] = [
    ("add", Scalar::add64, u64::wrapping_add, Scalar::add32, u32::wrapping_add),
    ("sub", Scalar::sub64, u64::wrapping_sub, Scalar::sub32, u32::wrapping_sub),
    ("mul", Scalar::mul64, u64::wrapping_mul, Scalar::mul32, u32::wrapping_mul),
    ("div", Scalar::div64, |x, y| x.checked_div(y).unwrap_or(0),
            Scalar::div32, |x, y| x.checked_div(y).unwrap_or(0)),
    ("mod", Scalar::mod64, |x, y| x.checked_rem(y).unwrap_or(x),
            Scalar::mod32, |x, y| x.checked_rem(y).unwrap_or(x)),
    ("sdiv", Scalar::sdiv64, |x, y| if y == 0 { 0 } else { (x as i64).wrapping_div(y as i64) as u64 },
             Scalar::sdiv32, |x, y| if y == 0 { 0 } else { (x as i32).wrapping_div(y as i32) as u32 }),
    ("smod", Scalar::smod64, |x, y| if y == 0 { x } else { (x as i64).wrapping_rem(y as i64) as u64 },
             Scalar::smod32, |x, y| if y == 0 { x } else { (x as i32).wrapping_rem(y as i32) as u32 }),
    ("and", Scalar::and64, |x, y| x & y, Scalar::and32, |x, y| x & y),
    ("or", Scalar::or64, |x, y| x | y, Scalar::or32, |x, y| x | y),
    ("xor", Scalar::xor64, |x, y| x ^ y, Scalar::xor32, |x, y| x ^ y),
    ("lsh", Scalar::lsh64, |x, k| x.wrapping_shl(k as u32), Scalar::lsh32, u32::wrapping_shl),
    ("rsh", Scalar::rsh64, |x, k| x.wrapping_shr(k as u32), Scalar::rsh32, u32::wrapping_shr),
    ("arsh", Scalar::arsh64, |x, k| (x as i64).wrapping_shr(k as u32) as u64,
             Scalar::arsh32, |x, k| (x as i32).wrapping_shr(k) as u32),
    ("neg", |_, b| b.neg64(), |_, y| y.wrapping_neg(), |_, b| b.neg32(), |_, y| y.wrapping_neg()),
];

#[test]
fn operations_hold_what_arithmetic_gives() {
    on_pairs(1_500, |a, b, in_a, in_b| {
        for (name, wide, exact, half, exact_half) in OPERATIONS {
            let (wide, half) = (wide(a, b), half(a, b));
            for (&x, &y) in in_a.iter().flat_map(|x| in_b.iter().map(move |y| (x, y))) {
                let result = exact(x, y);
                prop_assert!(
                    wide.contains(result),
                    "{name}64 of {a} and {b} is {wide}, loses {result:#x} of {x:#x}, {y:#x}"
                );
                let result = u64::from(exact_half(x as u32, y as u32));
                prop_assert!(
                    half.contains(result),
                    "{name}32 of {a} and {b} is {half}, loses {result:#x} of {x:#x}, {y:#x}"
                );
            }
            let constants = a.as_constant().is_some() && b.as_constant().is_some();
            prop_assert!(
                !constants || (wide.as_constant().is_some() && half.as_constant().is_some()),
                "{name} of {a} and {b} is {wide} or {half}"
            );
        }
        Ok(())
    });
}

type Holds = (Comparison, fn(u64, u64) -> bool, fn(u32, u32) -> bool);

#[rustfmt::skip]
const COMPARISONS: [Holds; 11] = [
    (Comparison::Eq, |x, y| x == y, |x, y| x == y),
    (Comparison::Ne, |x, y| x != y, |x, y| x != y),
    (Comparison::Gt, |x, y| x > y, |x, y| x > y),
    (Comparison::Ge, |x, y| x >= y, |x, y| x >= y),
    (Comparison::Lt, |x, y| x < y, |x, y| x < y),
    (Comparison::Le, |x, y| x <= y, |x, y| x <= y),
    (Comparison::Sgt, |x, y| x as i64 > y as i64, |x, y| x as i32 > y as i32),
    (Comparison::Sge, |x, y| x as i64 >= y as i64, |x, y| x as i32 >= y as i32),
    (Comparison::Slt, |x, y| (x as i64) < y as i64, |x, y| (x as i32) < y as i32),
    (Comparison::Sle, |x, y| x as i64 <= y as i64, |x, y| x as i32 <= y as i32),
    (Comparison::Set, |x, y| x & y != 0, |x, y| x & y != 0),
];

#[test]
fn branches_keep_what_takes_them() {
    on_pairs(1_500, |a, b, in_a, in_b| {
        for (op, holds, holds_half) in COMPARISONS {
            let (wide, half) = (op.decide64(a, b), op.decide32(a, b));
            let refined = [false, true].map(|taken| op.refine64(taken, a, b));
            let refined_half = [false, true].map(|taken| op.refine32(taken, a, b));
            for (&x, &y) in in_a.iter().flat_map(|x| in_b.iter().map(move |y| (x, y))) {
                for (bits, taken, decision, refined) in [
                    (64, holds(x, y), wide, &refined),
                    (32, holds_half(x as u32, y as u32), half, &refined_half),
                ] {
                    prop_assert!(
                        decision.is_none_or(|decision| decision == taken),
                        "{op:?} {bits} of {a} and {b} is {decision:?}, not of {x:#x}, {y:#x}"
                    );
                    let left = refined[usize::from(taken)];
                    prop_assert!(
                        left.is_some_and(|(a, b)| a.contains(x) && b.contains(y)),
                        "{op:?} {bits} {taken} of {a} and {b} is {left:?}, loses {x:#x}, {y:#x}"
                    );
                }
            }
        }
        Ok(())
    });
}
