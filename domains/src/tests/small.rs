//! Every operation on every member, at 4 bits (halves of 2), where an abstract number is a set of 16 bits.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::Random;
use crate::branch::Comparison;
use crate::range::{Range, Span};
use crate::scalar::Product;
use crate::tnum::{Tnum, low_mask};

const BITS: u32 = 4;
const HALF: u32 = BITS / 2;
type Small = Product<BITS>;

fn members(of: &Small) -> u16 {
    (0..16).filter(|&x| of.contains(x)).map(|x| 1 << x).sum()
}

fn numbers(set: u16) -> impl Iterator<Item = u64> + Clone {
    (0..16).filter(move |x| set >> x & 1 != 0)
}

fn tnums(bits: u32) -> Vec<Tnum> {
    let all = 0..1 << bits;
    all.clone()
        .flat_map(|mask| {
            all.clone()
                .filter(move |value| value & mask == 0)
                .map(move |v| Tnum::new(v, mask))
        })
        .collect()
}

fn ranges(bits: u32) -> Vec<Range> {
    let sides = |lo: u64, hi: u64| {
        let mut all: Vec<Span> = (lo..=hi)
            .flat_map(|a| (a..=hi).map(move |b| Span { lo: a, hi: b }))
            .collect();
        all.push(Span::EMPTY);
        all
    };
    let sign = 1 << (bits - 1);
    let (pos, neg) = (sides(0, sign - 1), sides(sign, low_mask(bits)));
    pos.iter()
        .flat_map(|&pos| neg.iter().map(move |&neg| Range { pos, neg }))
        .collect()
}

/// Every abstract number with its members.
fn all() -> &'static [(Small, u16)] {
    static ALL: OnceLock<Vec<(Small, u16)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut found = HashMap::new();
        let set =
            |f: &dyn Fn(u64) -> bool| -> u16 { (0..16).filter(|&x| f(x)).map(|x| 1 << x).sum() };
        let wides: Vec<_> = ranges(BITS)
            .into_iter()
            .map(|r| (r, set(&|x| r.contains(x))))
            .collect();
        let lows: Vec<_> = ranges(HALF)
            .into_iter()
            .map(|r| (r, set(&|x| r.contains(x & 3))))
            .collect();
        let mut rounds_lost = 0;
        for tnum in tnums(BITS) {
            let of_tnum = set(&|x| tnum.contains(x));
            for &(wide, of_wide) in &wides {
                for &(low, of_low) in &lows {
                    let expected = of_tnum & of_wide & of_low;
                    match Small::from_parts(tnum, wide, low) {
                        None => assert_eq!(expected, 0, "{tnum} {wide:?} {low:?}"),
                        Some(reduced) => {
                            // Reduction neither loses nor adds a member.
                            let kept = *found.entry(reduced).or_insert_with(|| members(&reduced));
                            assert_eq!(kept, expected, "{tnum} {wide:?} {low:?} became {reduced}");
                            rounds_lost += u64::from(expected == 0);
                        }
                    }
                }
            }
        }
        println!(
            "{} abstract numbers, {rounds_lost} empty products not seen to be",
            found.len()
        );
        let mut all: Vec<_> = found.into_iter().collect();
        all.sort_by_key(|(product, set)| (*set, format!("{product:?}")));
        all
    })
}

#[test]
fn reduction_is_sound_idempotent_and_close_to_best() {
    let mut sets: HashMap<u16, Vec<Small>> = HashMap::new();
    for (product, set) in all() {
        assert_eq!(
            Small::from_parts(product.tnum, product.wide, product.low()),
            Some(*product)
        );
        sets.entry(*set).or_default().push(*product);
    }
    let several = sets.values().filter(|of| of.len() > 1).count();
    println!("{} sets, {several} with several reduced forms", sets.len());
    for (set, of) in sets.iter().filter(|(_, of)| of.len() > 1).take(10) {
        println!("{set:016b} {of:?}");
    }
}

type Abstract = fn(&Small, &Small) -> Small;
type Concrete = fn(i64, i64) -> i64;

/// Each operation at a width, on numbers already cut to it, the second implementation on signed 64-bit integers.
const OPERATIONS: &[(&str, Abstract, Abstract, bool, Concrete)] = &[
    ("add", Small::add64, Small::add32, false, |a, b| a + b),
    ("sub", Small::sub64, Small::sub32, false, |a, b| a - b),
    ("mul", Small::mul64, Small::mul32, false, |a, b| a * b),
    ("div", Small::div64, Small::div32, false, |a, b| {
        if b == 0 { 0 } else { a / b }
    }),
    ("mod", Small::mod64, Small::mod32, false, |a, b| {
        if b == 0 { a } else { a % b }
    }),
    ("sdiv", Small::sdiv64, Small::sdiv32, true, |a, b| {
        if b == 0 { 0 } else { a / b }
    }),
    ("smod", Small::smod64, Small::smod32, true, |a, b| {
        if b == 0 { a } else { a % b }
    }),
    ("and", Small::and64, Small::and32, false, |a, b| a & b),
    ("or", Small::or64, Small::or32, false, |a, b| a | b),
    ("xor", Small::xor64, Small::xor32, false, |a, b| a ^ b),
];

type Shift = fn(i64, u32) -> i64;
const SHIFTS: &[(&str, Abstract, Abstract, bool, Shift)] = &[
    ("lsh", Small::lsh64, Small::lsh32, false, |a, k| a << k),
    ("rsh", Small::rsh64, Small::rsh32, false, |a, k| a >> k),
    ("arsh", Small::arsh64, Small::arsh32, true, |a, k| a >> k),
];

fn cut(x: u64, bits: u32, signed: bool) -> i64 {
    let x = (x & low_mask(bits)) as i64;
    if signed && x >> (bits - 1) != 0 {
        x - (1 << bits)
    } else {
        x
    }
}

/// All pairs of operands when `PROBITY_EXHAUSTIVE` is set, else some.
fn pairs(count: usize, mut f: impl FnMut((Small, u16), (Small, u16))) {
    let all = all();
    if std::env::var_os("PROBITY_EXHAUSTIVE").is_some() {
        for a in all {
            for b in all {
                f(*a, *b);
            }
        }
        return;
    }
    let mut random = Random::new();
    let constants: Vec<_> = all
        .iter()
        .copied()
        .filter(|(a, _)| a.as_constant().is_some())
        .collect();
    for _ in 0..count / 2 {
        f(random.pick(all), random.pick(all));
        f(random.pick(all), random.pick(&constants));
    }
}

/// How near an operation comes to the best abstract result.
#[derive(Default)]
struct Precision(HashMap<(&'static str, u32, bool), (u64, u64, u64)>);

impl Precision {
    fn check(
        &mut self,
        name: &'static str,
        bits: u32,
        a: &Small,
        b: &Small,
        result: &Small,
        needed: u16,
    ) {
        let has = members(result);
        assert_eq!(
            needed & !has,
            0,
            "{name} at {bits} bits of {a} and {b} is {result}, loses {needed:016b}"
        );
        let count = self
            .0
            .entry((name, bits, b.as_constant().is_some()))
            .or_default();
        count.0 += 1;
        count.1 += u64::from(has == best(needed));
        count.2 += u64::from(has.count_ones() - needed.count_ones());
    }
    fn report(self) {
        let mut rows: Vec<_> = self.0.into_iter().collect();
        rows.sort();
        for ((name, bits, constant), (count, exact, extra)) in rows {
            let percent = exact as f64 * 100.0 / count as f64;
            let of = if constant { "by a constant" } else { "" };
            println!(
                "{name:5} {bits} {of:13}: best in {percent:.1}%, {:.2} extra members",
                extra as f64 / count as f64
            );
            let exact_by_constant = [
                "add", "sub", "and", "or", "xor", "lsh", "neg", "mov32", "zext", "sext", "movsx",
            ];
            let least = if constant && exact_by_constant.contains(&name) {
                90.0
            } else {
                10.0
            };
            assert!(percent >= least, "{name} became less precise");
        }
    }
}

/// The members of the smallest abstract number that holds `set`.
fn best(set: u16) -> u16 {
    let mut numbers = numbers(set).map(Small::constant);
    let Some(first) = numbers.next() else {
        return 0;
    };
    members(&numbers.fold(first, |all, x| all.join(&x)))
}

#[test]
fn every_operation_holds_every_result() {
    let mut precision = Precision::default();
    pairs(8_000, |(a, in_a), (b, in_b)| {
        for bits in [BITS, HALF] {
            for (name, wide, half, signed, concrete) in OPERATIONS {
                let result = if bits == BITS {
                    wide(&a, &b)
                } else {
                    half(&a, &b)
                };
                let mut needed = 0;
                for x in numbers(in_a) {
                    for y in numbers(in_b) {
                        let exact = concrete(cut(x, bits, *signed), cut(y, bits, *signed));
                        needed |= 1 << (exact as u64 & low_mask(bits));
                    }
                }
                precision.check(name, bits, &a, &b, &result, needed);
            }
            for (name, wide, half, signed, concrete) in SHIFTS {
                let result = if bits == BITS {
                    wide(&a, &b)
                } else {
                    half(&a, &b)
                };
                let mut needed = 0;
                for x in numbers(in_a) {
                    for y in numbers(in_b) {
                        let exact = concrete(cut(x, bits, *signed), y as u32 % bits);
                        needed |= 1 << (exact as u64 & low_mask(bits));
                    }
                }
                precision.check(name, bits, &a, &b, &result, needed);
            }
        }
    });
    precision.report();
}

#[test]
fn every_cast_holds_every_result() {
    let mut precision = Precision::default();
    for (a, in_a) in all() {
        let mut check = |name, bits, result: Small, f: &dyn Fn(u64) -> u64| {
            let needed = numbers(*in_a)
                .map(|x| 1 << f(x))
                .fold(0, |all, x: u16| all | x);
            precision.check(name, bits, a, a, &result, needed);
        };
        check("neg", 4, a.neg64(), &|x| x.wrapping_neg() & 15);
        check("neg", 2, a.neg32(), &|x| x.wrapping_neg() & 3);
        check("mov32", 2, a.mov32(), &|x| x & 3);
        for n in 1..=4 {
            check("zext", n, a.zero_extend(n), &|x| x & low_mask(n));
            check("sext", n, a.sign_extend(n), &|x| {
                cut(x, n, true) as u64 & 15
            });
            check("movsx", n, a.movsx32(n), &|x| {
                cut(x, n.min(2), true) as u64 & 3
            });
        }
    }
    precision.report();
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
    let mut decided: HashMap<(String, u32), (u64, u64, u64, u64)> = HashMap::new();
    pairs(8_000, |(a, in_a), (b, in_b)| {
        for op in Comparison::ALL {
            for bits in [BITS, HALF] {
                let (decision, refined): (_, [_; 2]) = if bits == BITS {
                    (
                        op.decide64(&a, &b),
                        [false, true].map(|taken| op.refine64(taken, &a, &b)),
                    )
                } else {
                    (
                        op.decide32(&a, &b),
                        [false, true].map(|taken| op.refine32(taken, &a, &b)),
                    )
                };
                let count = decided.entry((format!("{op:?}"), bits)).or_default();
                let mut seen = [false; 2];
                for (taken, refined) in [false, true].into_iter().zip(&refined) {
                    let (mut left_a, mut left_b) = (0, 0);
                    for x in numbers(in_a) {
                        for y in numbers(in_b).filter(|&y| holds(op, x, y, bits) == taken) {
                            left_a |= 1u16 << x;
                            left_b |= 1u16 << y;
                        }
                    }
                    seen[usize::from(taken)] = left_a != 0;
                    let Some((new_a, new_b)) = refined else {
                        assert_eq!(
                            left_a, 0,
                            "{op:?} {bits} {taken} of {a} and {b} is possible"
                        );
                        continue;
                    };
                    assert!(
                        a.includes(new_a) && b.includes(new_b),
                        "{op:?} {bits} {taken} of {a}, {b}: {new_a}, {new_b}"
                    );
                    for (new, left) in [(new_a, left_a), (new_b, left_b)] {
                        let has = members(new);
                        assert_eq!(
                            left & !has,
                            0,
                            "{op:?} {bits} {taken} of {a} and {b}: {new_a} and {new_b}"
                        );
                        count.2 += 1;
                        count.3 += u64::from(has == best(left));
                    }
                }
                if let Some(decision) = decision {
                    assert!(
                        !seen[usize::from(!decision)],
                        "{op:?} {bits} of {a} and {b} is not decided {decision}"
                    );
                }
                count.0 += u64::from(seen[0] != seen[1]);
                count.1 += u64::from(decision.is_some());
            }
        }
    });
    let mut rows: Vec<_> = decided.into_iter().collect();
    rows.sort();
    for ((op, bits), (decidable, decided, refined, best)) in rows {
        println!(
            "{op:4} {bits}: decides {:.1}% of the decidable, refines best in {:.1}%",
            decided as f64 * 100.0 / decidable as f64,
            best as f64 * 100.0 / refined as f64
        );
        // Both bounds of an order are kept; of which bits two numbers share, a tnum can say little.
        let least = if op == "Set" { 0.7 } else { 0.97 };
        assert!(
            best as f64 >= least * refined as f64,
            "{op} refines less precisely"
        );
        assert!(
            decided as f64 >= 0.9 * decidable as f64,
            "{op} decides less"
        );
    }
}

#[test]
fn order_join_and_meet_are_a_lattice() {
    pairs(50_000, |(a, in_a), (b, in_b)| {
        assert!(a.includes(&a));
        if a.includes(&b) {
            assert_eq!(in_b & !in_a, 0, "{a} includes {b}");
            assert!(!b.includes(&a) || a == b, "{a} and {b} include each other");
        }
        let join = a.join(&b);
        assert!(
            join.includes(&a) && join.includes(&b),
            "{a} join {b} is {join}"
        );
        assert_eq!(join, b.join(&a));
        match a.meet(&b) {
            Some(meet) => {
                assert!(
                    a.includes(&meet) && b.includes(&meet),
                    "{a} meet {b} is {meet}"
                );
                assert_eq!(members(&meet), in_a & in_b);
            }
            None => assert_eq!(in_a & in_b, 0, "{a} meet {b}"),
        }
        let wide = a.widen(&b, &[5, 12]);
        assert!(wide.includes(&join), "{a} widened by {b} is {wide}");
    });
}

#[test]
fn widening_stops() {
    let mut random = Random::new();
    let all = all();
    let mut longest = 0;
    for _ in 0..1_000 {
        let thresholds: Vec<u64> = (0..random.below(4)).map(|_| random.next()).collect();
        let (mut x, _) = random.pick(all);
        let mut steps = 0;
        // Whatever comes next, as little more as possible.
        loop {
            let next = all
                .iter()
                .filter(|(y, _)| !x.includes(y))
                .map(|(y, _)| x.join(y));
            let Some(least) = next.min_by_key(|y| members(y).count_ones()) else {
                break;
            };
            let wide = x.widen(&least, &thresholds);
            assert!(wide != x);
            x = wide;
            steps += 1;
        }
        longest = longest.max(steps);
    }
    println!("at most {longest} steps");
    assert!(longest <= 16);
}

#[test]
fn tnum_operations_are_nearly_best() {
    type Op = fn(Tnum, Tnum) -> Tnum;
    let operations: [(&str, Op, fn(u64, u64) -> u64, f64); 7] = [
        ("add", Tnum::add, u64::wrapping_add, 1.0),
        ("sub", Tnum::sub, u64::wrapping_sub, 1.0),
        ("and", Tnum::and, |x, y| x & y, 1.0),
        ("or", Tnum::or, |x, y| x | y, 1.0),
        ("xor", Tnum::xor, |x, y| x ^ y, 1.0),
        ("join", Tnum::join, |x, _| x, 0.0),
        ("mul", Tnum::mul, u64::wrapping_mul, 0.9),
    ];
    let all = tnums(BITS);
    for (name, op, concrete, least) in operations {
        let mut best_results = 0;
        for &a in &all {
            for &b in &all {
                let result = op(a, b).cast(BITS);
                let mut best: Option<Tnum> = None;
                for x in (0..16).filter(|&x| a.contains(x)) {
                    for y in (0..16).filter(|&y| b.contains(y)) {
                        let exact = Tnum::constant(concrete(x, y) & 15);
                        assert!(result.includes(exact), "{name} of {a} and {b} is {result}");
                        best = Some(best.map_or(exact, |best| best.join(exact)));
                    }
                }
                best_results += usize::from(best == Some(result));
                let common = a.intersect(b);
                for x in 0..16 {
                    assert_eq!(
                        common.is_some_and(|c| c.contains(x)),
                        a.contains(x) && b.contains(x)
                    );
                }
                assert_eq!(
                    a.includes(b),
                    (0..16).all(|x| a.contains(x) || !b.contains(x))
                );
            }
        }
        let share = best_results as f64 / (all.len() * all.len()) as f64;
        println!("tnum {name:4}: best in {:.1}%", 100.0 * share);
        assert!(share >= least, "{name}");
    }
}

#[test]
fn tnum_members_next_to_a_number_are_found() {
    for tnum in tnums(BITS) {
        for x in 0..16 {
            let above = (x..16).find(|&y| tnum.contains(y));
            let below = (0..=x).rev().find(|&y| tnum.contains(y));
            assert_eq!(tnum.at_least(x), above, "{tnum} from {x}");
            assert_eq!(tnum.at_most(x), below, "{tnum} to {x}");
            for y in (x..16).filter(|&y| tnum.contains(x) && tnum.contains(y)) {
                let best = (x..=y)
                    .filter(|&z| tnum.contains(z))
                    .map(Tnum::constant)
                    .reduce(Tnum::join);
                assert_eq!(Some(tnum.narrow(x, y)), best, "{tnum} in {x}..={y}");
            }
        }
    }
}
