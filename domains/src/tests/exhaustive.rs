//! Every operation and comparison on pairs of abstract numbers at 4 bits, held against the results of all members.
//!
//! A set of members is 16 bits. For one right operand the concrete results of a set are the union over
//! its two halves, each looked up in a table of 256, so that a pair costs little more than the operation
//! under test. A run takes some right operands and all left ones; with `PROBITY_EXHAUSTIVE` set, all
//! pairs: ten million, nearly a thousand million operations, some minutes when optimised.
//!
//! Source: the method of Vishwanathan et al., "Verifying the Verifier", CAV 2023, without a solver.

use std::sync::OnceLock;
use std::time::Instant;

use super::Random;
use super::small::{BITS, HALF, Small, all, cut, members, numbers};
use crate::branch::Comparison;
use crate::tnum::low_mask;

type Abstract = fn(&Small, &Small) -> Small;
type Concrete = fn(i64, i64, u32) -> i64;

/// An operation at both widths, whether its numbers are signed, the second implementation on numbers
/// cut to the width, and how often (of a hundred) its results have to be the best ones, at the least.
struct Operation {
    name: &'static str,
    wide: Abstract,
    half: Abstract,
    signed: bool,
    exact: Concrete,
    least: f64,
}

macro_rules! operation {
    ($name:literal, $wide:ident, $half:ident, $signed:literal, $least:literal, $exact:expr) => {
        Operation {
            name: $name,
            wide: Small::$wide,
            half: Small::$half,
            signed: $signed,
            exact: $exact,
            least: $least,
        }
    };
}

/// The precision is that of all pairs at the full width, rounded down.
#[rustfmt::skip]
const OPERATIONS: [Operation; 13] = [
    operation!("add", add64, add32, false, 91.0, |a, b, _| a + b),
    operation!("sub", sub64, sub32, false, 91.0, |a, b, _| a - b),
    operation!("mul", mul64, mul32, false, 49.0, |a, b, _| a * b),
    operation!("div", div64, div32, false, 60.0, |a, b, _| if b == 0 { 0 } else { a / b }),
    operation!("mod", mod64, mod32, false, 20.0, |a, b, _| if b == 0 { a } else { a % b }),
    operation!("sdiv", sdiv64, sdiv32, true, 89.0, |a, b, _| if b == 0 { 0 } else { a / b }),
    operation!("smod", smod64, smod32, true, 65.0, |a, b, _| if b == 0 { a } else { a % b }),
    operation!("and", and64, and32, false, 95.0, |a, b, _| a & b),
    operation!("or", or64, or32, false, 95.0, |a, b, _| a | b),
    operation!("xor", xor64, xor32, false, 91.0, |a, b, _| a ^ b),
    operation!("lsh", lsh64, lsh32, false, 89.0, |a, k, bits| a << (k & i64::from(bits - 1))),
    operation!("rsh", rsh64, rsh32, false, 86.0, |a, k, bits| a >> (k & i64::from(bits - 1))),
    operation!("arsh", arsh64, arsh32, true, 92.0, |a, k, bits| a >> (k & i64::from(bits - 1))),
];

/// How near results come to the best.
#[derive(Clone, Copy, Default)]
struct Precision {
    results: u64,
    best: u64,
    extra: u64,
}

impl Precision {
    fn count(&mut self, has: u16, needed: u16) {
        self.results += 1;
        self.best += u64::from(has == best(needed));
        self.extra += u64::from((has & !needed).count_ones());
    }

    fn percent(self) -> f64 {
        self.best as f64 * 100.0 / self.results as f64
    }

    fn print(self, name: &str, bits: u32) {
        println!(
            "{name:8} {bits}: best in {:6.2}% of {}, {:.2} members more than needed",
            self.percent(),
            self.results,
            self.extra as f64 / self.results as f64
        );
    }
}

/// The members of the smallest abstract number that holds `set`.
fn best(set: u16) -> u16 {
    static BEST: OnceLock<Vec<u16>> = OnceLock::new();
    BEST.get_or_init(|| {
        let of = |set: u16| {
            let joined = numbers(set)
                .map(Small::constant)
                .reduce(|all, x| all.join(&x));
            joined.map_or(0, |joined| members(&joined))
        };
        (0..=u16::MAX).map(of).collect()
    })[usize::from(set)]
}

/// The results of every set of left operands, from those of each left operand.
struct Images([Vec<u16>; 2]);

impl Images {
    fn new(of: impl Fn(u64) -> u16) -> Images {
        Images([0, 8].map(|from| {
            let mut sets = vec![0; 256];
            for set in 1..256usize {
                let lowest = set.trailing_zeros();
                sets[set] = sets[set & (set - 1)] | of(from + u64::from(lowest));
            }
            sets
        }))
    }

    fn of(&self, set: u16) -> u16 {
        let [low, high] = set.to_le_bytes();
        self.0[0][usize::from(low)] | self.0[1][usize::from(high)]
    }
}

/// The right operands of this run: some, or all.
fn right_operands(count: usize) -> Vec<(Small, u16)> {
    if std::env::var_os("PROBITY_EXHAUSTIVE").is_some() {
        return all().to_vec();
    }
    let mut random = Random::new();
    // Constants are the most frequent, so some of these in any case.
    let constants = (0..4).map(|_| Small::constant(random.next()));
    let mut chosen: Vec<_> = constants.map(|c| (c, members(&c))).collect();
    chosen.extend((4..count).map(|_| random.pick(all())));
    chosen
}

#[test]
fn every_operation_holds_every_result() {
    let started = Instant::now();
    let rights = right_operands(40);
    for operation in &OPERATIONS {
        for (bits, abstractly) in [(BITS, operation.wide), (HALF, operation.half)] {
            let mut precision = Precision::default();
            for (b, in_b) in &rights {
                let images = Images::new(|x| {
                    let x = cut(x, bits, operation.signed);
                    let of = |y| (operation.exact)(x, cut(y, bits, operation.signed), bits);
                    numbers(*in_b).fold(0, |set, y| set | 1 << (of(y) as u64 & low_mask(bits)))
                });
                for (a, in_a) in all() {
                    let result = abstractly(a, b);
                    let (has, needed) = (members(&result), images.of(*in_a));
                    assert_eq!(
                        needed & !has,
                        0,
                        "{} at {bits} bits of {a} and {b} is {result}, needs {needed:016b}",
                        operation.name
                    );
                    precision.count(has, needed);
                }
            }
            precision.print(operation.name, bits);
            // A sample of right operands differs from all of them.
            assert!(
                precision.percent() >= operation.least - 10.0,
                "{} became less precise",
                operation.name
            );
        }
    }
    println!(
        "{} pairs in {:.1?}",
        rights.len() * all().len(),
        started.elapsed()
    );
}

fn holds(op: Comparison, x: u64, y: u64, bits: u32) -> bool {
    let (ux, uy) = (cut(x, bits, false), cut(y, bits, false));
    let (sx, sy) = (cut(x, bits, true), cut(y, bits, true));
    match op {
        Comparison::Eq => ux == uy,
        Comparison::Ne => ux != uy,
        Comparison::Gt => ux > uy,
        Comparison::Ge => ux >= uy,
        Comparison::Lt => ux < uy,
        Comparison::Le => ux <= uy,
        Comparison::Sgt => sx > sy,
        Comparison::Sge => sx >= sy,
        Comparison::Slt => sx < sy,
        Comparison::Sle => sx <= sy,
        Comparison::Set => ux & uy != 0,
    }
}

#[test]
fn branches_lose_no_pair_that_takes_them() {
    let started = Instant::now();
    let rights = right_operands(40);
    for op in Comparison::ALL {
        for bits in [BITS, HALF] {
            // A bit test says what no tnum can hold: that some of several bits is set.
            let least = if op == Comparison::Set { 60.0 } else { 95.0 };
            let (mut decidable, mut decided) = (0u64, 0u64);
            let mut precision = Precision::default();
            for (b, in_b) in &rights {
                // For each way, the left operands that can go it, and of each the right ones.
                let ways = [false, true].map(|taken| {
                    let with =
                        |x: u64| numbers(*in_b).filter(move |&y| holds(op, x, y, bits) == taken);
                    let partners = Images::new(|x| with(x).fold(0, |set, y| set | 1 << y));
                    let possible =
                        numbers(0xffff).fold(0, |set, x| set | u16::from(with(x).count() > 0) << x);
                    (possible, partners)
                });
                for (a, in_a) in all() {
                    let wide = bits == BITS;
                    let decision = match wide {
                        true => op.decide64(a, b),
                        false => op.decide32(a, b),
                    };
                    for (taken, (possible, partners)) in [false, true].into_iter().zip(&ways) {
                        let (left_a, left_b) = (in_a & possible, partners.of(*in_a));
                        let refined = match wide {
                            true => op.refine64(taken, a, b),
                            false => op.refine32(taken, a, b),
                        };
                        assert!(
                            left_a == 0 || decision != Some(!taken),
                            "{op:?} {bits} of {a} and {b} is not decided {decision:?}"
                        );
                        decidable += u64::from(left_a == 0);
                        decided += u64::from(left_a == 0 && decision.is_some());
                        let Some((new_a, new_b)) = refined else {
                            assert_eq!(
                                left_a, 0,
                                "{op:?} {bits} {taken} of {a} and {b} is possible"
                            );
                            continue;
                        };
                        assert!(
                            a.includes(&new_a) && b.includes(&new_b),
                            "{op:?} {bits} {taken} of {a}, {b}: {new_a}, {new_b}"
                        );
                        for (new, left) in [(new_a, left_a), (new_b, left_b)] {
                            let has = members(&new);
                            assert_eq!(
                                left & !has,
                                0,
                                "{op:?} {bits} {taken} of {a} and {b}: {new_a} and {new_b}"
                            );
                            precision.count(has, left);
                        }
                    }
                }
            }
            let name = format!("{op:?}");
            precision.print(&name, bits);
            let share = decided as f64 * 100.0 / decidable as f64;
            println!("{name:8} {bits}: decides {share:.2}% of {decidable}");
            assert!(
                precision.percent() >= least,
                "{op:?} refines less precisely"
            );
            let least = if op == Comparison::Set { 40.0 } else { 100.0 };
            assert!(share >= least, "{op:?} decides less");
        }
    }
    println!(
        "{} pairs in {:.1?}",
        rights.len() * all().len(),
        started.elapsed()
    );
}

#[test]
fn order_join_meet_and_widening_are_lawful() {
    let mut precision = Precision::default();
    let (mut included, mut subsets) = (0u64, 0u64);
    for (b, in_b) in right_operands(60) {
        for (a, in_a) in all().iter().copied() {
            let includes = a.includes(&b);
            let subset = in_b & !in_a == 0;
            assert!(!includes || subset, "{a} includes {b}");
            assert!(!includes || !b.includes(&a) || a == b);
            included += u64::from(includes);
            subsets += u64::from(subset);
            let join = a.join(&b);
            assert!(join.includes(&a) && join.includes(&b), "{a}, {b}: {join}");
            assert_eq!(join, b.join(&a));
            // What includes both includes the join.
            assert!(!includes || join == a, "{a} includes {b}, not {join}");
            precision.count(members(&join), in_a | in_b);
            match a.meet(&b) {
                Some(meet) => {
                    assert!(a.includes(&meet) && b.includes(&meet), "{a}, {b}: {meet}");
                    assert_eq!(members(&meet), in_a & in_b);
                }
                None => assert_eq!(in_a & in_b, 0, "{a} meet {b}"),
            }
            for thresholds in [&[] as &[u64], &[5, 12]] {
                let wide = a.widen(&b, thresholds);
                assert!(wide.includes(&join), "{a} widened by {b} is {wide}");
                assert!(!includes || wide == a, "{a} widened by {b} is {wide}");
            }
        }
    }
    precision.print("join", BITS);
    println!("{subsets} subsets, {included} of them seen as included");
    // Equal sets are equal values, so the order is that of the sets and a partial one.
    assert!(included as f64 >= 0.99 * subsets as f64);
}
