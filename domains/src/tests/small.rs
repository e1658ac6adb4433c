//! Every operation on every member, at 4 bits (halves of 2), where an abstract number is a set of 16 bits.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::Random;
use crate::range::{Range, Span};
use crate::scalar::Product;
use crate::tnum::{Tnum, low_mask};

pub const BITS: u32 = 4;
pub const HALF: u32 = BITS / 2;
pub type Small = Product<BITS>;

/// The numbers that all three parts hold.
pub fn members(of: &Small) -> u16 {
    let between = |span: Span| match span.is_empty() {
        true => 0u32,
        false => (2 << span.hi) - (1 << span.lo),
    };
    let of_range = |range: Range| (between(range.pos) | between(range.neg)) as u16;
    // Each bit of a tnum that is known leaves half of all numbers.
    let of_tnum = [0xaaaau16, 0xcccc, 0xf0f0, 0xff00]
        .into_iter()
        .enumerate()
        .fold(u16::MAX, |all, (bit, ones)| {
            match (of.tnum.mask() >> bit & 1, of.tnum.value() >> bit & 1) {
                (1, _) => all,
                (_, 1) => all & ones,
                _ => all & !ones,
            }
        });
    of_tnum & of_range(of.wide) & of_range(of.low()).wrapping_mul(0x1111)
}

pub fn numbers(set: u16) -> impl Iterator<Item = u64> + Clone {
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

pub fn ranges(bits: u32) -> Vec<Range> {
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

#[test]
fn members_are_what_contains_says() {
    for (product, set) in all() {
        let contained = (0..16).filter(|&x| product.contains(x));
        assert_eq!(contained.fold(0, |set, x| set | 1u16 << x), *set);
    }
}

/// Every abstract number with its members.
pub fn all() -> &'static [(Small, u16)] {
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

pub fn cut(x: u64, bits: u32, signed: bool) -> i64 {
    let x = (x & low_mask(bits)) as i64;
    if signed && x >> (bits - 1) != 0 {
        x - (1 << bits)
    } else {
        x
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
            assert_eq!(
                exact, count,
                "a cast is no longer always the best: {name} {bits}"
            );
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
fn any_number_of_some_bits_is_an_unknown_one_cut_off() {
    for n in 1..=4 {
        assert_eq!(Small::any_of(n), Small::unknown().zero_extend(n));
        let max = low_mask(n);
        assert_eq!(Some(Small::any_of(n)), Small::from_unsigned(0, max));
    }
    for n in 1..=64 {
        let max = low_mask(n);
        assert_eq!(
            Some(crate::Scalar::any_of(n)),
            crate::Scalar::from_unsigned(0, max)
        );
        assert_eq!(
            crate::Scalar::any_of(n),
            crate::Scalar::unknown().zero_extend(n)
        );
    }
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
