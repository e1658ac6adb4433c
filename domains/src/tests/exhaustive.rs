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
/// cut to the width.
struct Operation {
    name: &'static str,
    wide: Abstract,
    half: Abstract,
    signed: bool,
    exact: Concrete,
}

macro_rules! operation {
    ($name:literal, $wide:ident, $half:ident, $signed:literal, $exact:expr) => {
        Operation {
            name: $name,
            wide: Small::$wide,
            half: Small::$half,
            signed: $signed,
            exact: $exact,
        }
    };
}

#[rustfmt::skip]
const OPERATIONS: [Operation; 13] = [
    operation!("add", add64, add32, false, |a, b, _| a + b),
    operation!("sub", sub64, sub32, false, |a, b, _| a - b),
    operation!("mul", mul64, mul32, false, |a, b, _| a * b),
    operation!("div", div64, div32, false, |a, b, _| if b == 0 { 0 } else { a / b }),
    operation!("mod", mod64, mod32, false, |a, b, _| if b == 0 { a } else { a % b }),
    operation!("sdiv", sdiv64, sdiv32, true, |a, b, _| if b == 0 { 0 } else { a / b }),
    operation!("smod", smod64, smod32, true, |a, b, _| if b == 0 { a } else { a % b }),
    operation!("and", and64, and32, false, |a, b, _| a & b),
    operation!("or", or64, or32, false, |a, b, _| a | b),
    operation!("xor", xor64, xor32, false, |a, b, _| a ^ b),
    operation!("lsh", lsh64, lsh32, false, |a, k, bits| a << (k & i64::from(bits - 1))),
    operation!("rsh", rsh64, rsh32, false, |a, k, bits| a >> (k & i64::from(bits - 1))),
    operation!("arsh", arsh64, arsh32, true, |a, k, bits| a >> (k & i64::from(bits - 1))),
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

/// The right operands of this run: some, the same each time, then some at random; or all.
/// How many of them precision is measured with, and whether these are all.
fn right_operands() -> (Vec<(Small, u16)>, usize, bool) {
    if std::env::var_os("PROBITY_EXHAUSTIVE").is_some() {
        return (all().to_vec(), all().len(), true);
    }
    let mut chosen: Vec<_> = all().iter().copied().step_by(83).collect();
    // Constants are the most frequent, so some of these in any case.
    let constants = [0, 1, 4, 7, 10, 15].map(Small::constant);
    chosen.extend(constants.map(|c| (c, members(&c))));
    let measured = chosen.len();
    let mut random = Random::new();
    chosen.extend((0..10).map(|_| random.pick(all())));
    (chosen, measured, false)
}

#[test]
fn every_operation_holds_every_result() {
    let started = Instant::now();
    let (rights, measured, whole) = right_operands();
    let mut found = Vec::new();
    for operation in &OPERATIONS {
        for (bits, abstractly) in [(BITS, operation.wide), (HALF, operation.half)] {
            let mut precision = Precision::default();
            for (nth, (b, in_b)) in rights.iter().enumerate() {
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
                    if nth < measured {
                        precision.count(has, needed);
                    }
                }
            }
            precision.print(operation.name, bits);
            found.push((operation.name, bits, precision.best));
        }
    }
    println!(
        "{} pairs in {:.1?}",
        rights.len() * all().len(),
        started.elapsed()
    );
    no_less_precise(whole, &found, &BEST_RESULTS);
}

/// With the same operands, no fewer best results than there were; more are to be written down.
fn no_less_precise(whole: bool, found: &[(&str, u32, u64)], before: &[(&str, u32, u64)]) {
    if whole || found == before {
        return;
    }
    for (name, bits, count) in found {
        println!("(\"{name}\", {bits}, {count}),");
    }
    let less = found.iter().zip(before).find(|(now, then)| now.2 < then.2);
    assert_eq!(less, None, "an operation became less precise");
    panic!("operations became more precise: write down the figures above");
}

/// How many results are the best ones there are, of those measured in a short run.
#[rustfmt::skip]
const BEST_RESULTS: [(&str, u32, u64); 26] = [
    ("add", 4, 134488), ("add", 2, 142875),
    ("sub", 4, 134488), ("sub", 2, 142875),
    ("mul", 4, 79295), ("mul", 2, 139515),
    ("div", 4, 102604), ("div", 2, 142875),
    ("mod", 4, 37085), ("mod", 2, 122279),
    ("sdiv", 4, 128129), ("sdiv", 2, 142875),
    ("smod", 4, 91239), ("smod", 2, 129697),
    ("and", 4, 138109), ("and", 2, 142875),
    ("or", 4, 138222), ("or", 2, 142875),
    ("xor", 4, 133541), ("xor", 2, 142875),
    ("lsh", 4, 130771), ("lsh", 2, 142875),
    ("rsh", 4, 124594), ("rsh", 2, 142875),
    ("arsh", 4, 134414), ("arsh", 2, 142875),
];

/// The same for what comparisons decide and refine.
#[rustfmt::skip]
const BEST_BRANCHES: [(&str, u32, u64); 44] = [
    ("Eq", 4, 515026), ("Eq", 4, 28039),
    ("Eq", 2, 557562), ("Eq", 2, 6969),
    ("Ne", 4, 515026), ("Ne", 4, 28039),
    ("Ne", 2, 557562), ("Ne", 2, 6969),
    ("Gt", 4, 546518), ("Gt", 4, 12491),
    ("Gt", 2, 545402), ("Gt", 2, 13049),
    ("Ge", 4, 543468), ("Ge", 4, 14016),
    ("Ge", 2, 543428), ("Ge", 2, 14036),
    ("Lt", 4, 543468), ("Lt", 4, 14016),
    ("Lt", 2, 543428), ("Lt", 2, 14036),
    ("Le", 4, 546518), ("Le", 4, 12491),
    ("Le", 2, 545402), ("Le", 2, 13049),
    ("Sgt", 4, 553508), ("Sgt", 4, 8996),
    ("Sgt", 2, 552838), ("Sgt", 2, 9331),
    ("Sge", 4, 556210), ("Sge", 4, 7645),
    ("Sge", 2, 546816), ("Sge", 2, 12342),
    ("Slt", 4, 556210), ("Slt", 4, 7645),
    ("Slt", 2, 546816), ("Slt", 2, 12342),
    ("Sle", 4, 553508), ("Sle", 4, 8996),
    ("Sle", 2, 552838), ("Sle", 2, 9331),
    ("Set", 4, 410701), ("Set", 4, 14349),
    ("Set", 2, 521470), ("Set", 2, 12961),
];

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
    let (rights, measured, whole) = right_operands();
    let mut found = Vec::new();
    for op in Comparison::ALL {
        for bits in [BITS, HALF] {
            let (mut decidable, mut decided) = (0u64, 0u64);
            let mut precision = Precision::default();
            for (nth, (b, in_b)) in rights.iter().enumerate() {
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
                        let counts = nth < measured && left_a == 0;
                        decidable += u64::from(counts);
                        decided += u64::from(counts && decision.is_some());
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
                            if nth < measured {
                                precision.count(has, left);
                            }
                        }
                    }
                }
            }
            let name = format!("{op:?}");
            precision.print(&name, bits);
            let share = decided as f64 * 100.0 / decidable as f64;
            println!("{name:8} {bits}: decides {share:.2}% of {decidable}");
            found.push((name.clone(), bits, precision.best));
            found.push((name, bits, decided));
        }
    }
    println!(
        "{} pairs in {:.1?}",
        rights.len() * all().len(),
        started.elapsed()
    );
    let found: Vec<_> = found
        .iter()
        .map(|(name, bits, count)| (name.as_str(), *bits, *count))
        .collect();
    no_less_precise(whole, &found, &BEST_BRANCHES);
}

#[test]
fn order_join_meet_and_widening_are_lawful() {
    let mut precision = Precision::default();
    let (mut included, mut subsets) = (0u64, 0u64);
    for (b, in_b) in right_operands().0 {
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
