//! Every operation on sampled members, at 8 bits and at 64, around the values where carries and signs turn.

use super::{Random, rounds};
use crate::branch::Comparison;
use crate::range::Range;
use crate::scalar::{Product, Scalar};
use crate::tnum::{Tnum, low_mask};

/// A number near one where something happens, or any.
fn corner(random: &mut Random, bits: u32) -> u64 {
    let half = bits / 2;
    let base = match random.below(9) {
        0 | 1 => 0,
        2 => 1 << (half - 1),
        3 => 1 << half,
        4 => 1 << (bits - 1),
        5 => (1 << (bits - 1)) | (1 << (half - 1)),
        6 => 1 << random.below(bits as usize),
        7 => low_mask(half) << (bits - half),
        _ => random.next(),
    };
    let near = [0, 1, 2, 3, 7].map(|x: u64| {
        if random.below(2) == 0 {
            x
        } else {
            x.wrapping_neg()
        }
    });
    base.wrapping_add(random.pick(&near)) & low_mask(bits)
}

fn any_tnum(random: &mut Random, bits: u32) -> Tnum {
    let mask = match random.below(5) {
        0 => u64::MAX,
        1 => corner(random, bits),
        2 => random.next() & random.next(),
        3 => random.next() | random.next(),
        _ => low_mask(1 + random.below(bits as usize) as u32),
    };
    Tnum::new(corner(random, bits), mask).cast(bits)
}

fn any_range(random: &mut Random, bits: u32) -> Range {
    let (a, b, c, d) = (
        corner(random, bits),
        corner(random, bits),
        corner(random, bits),
        corner(random, bits),
    );
    let unsigned = Range::unsigned(a.min(b), a.max(b), bits);
    let (c, d) = (cut(c, bits, true) as i64, cut(d, bits, true) as i64);
    let signed = Range::signed(c.min(d), c.max(d), bits);
    match random.below(5) {
        0 => Range::full(bits),
        1 => unsigned,
        2 => signed,
        3 => unsigned.meet(signed),
        _ => unsigned.join(Range::unsigned(
            c as u64 & low_mask(bits),
            c as u64 & low_mask(bits),
            bits,
        )),
    }
}

pub fn any<const BITS: u32>(random: &mut Random) -> Product<BITS> {
    loop {
        let found = match random.below(6) {
            0 => Some(Product::constant(corner(random, BITS))),
            1 => Some(
                (0..random.below(4)).fold(Product::constant(corner(random, BITS)), |all, _| {
                    all.join(&Product::constant(corner(random, BITS)))
                }),
            ),
            2 => Product::from_tnum(any_tnum(random, BITS)),
            3 => Product::from_parts(
                Tnum::unknown(BITS),
                any_range(random, BITS),
                Range::full(BITS / 2),
            ),
            _ => Product::from_parts(
                any_tnum(random, BITS),
                any_range(random, BITS),
                any_range(random, BITS / 2),
            ),
        };
        if let Some(found) = found {
            return found;
        }
    }
}

/// Some members, among them the bounds and what lies next to corners.
pub fn sample<const BITS: u32>(of: &Product<BITS>, random: &mut Random) -> Vec<u64> {
    let mask = low_mask(BITS);
    let mut all = vec![
        of.umin(),
        of.umax(),
        of.smin() as u64 & mask,
        of.smax() as u64 & mask,
    ];
    for _ in 0..8 {
        let x = corner(random, BITS);
        let high = x & !low_mask(BITS / 2);
        let low = of.low();
        all.extend([
            of.tnum().value() | (x & of.tnum().mask()),
            x,
            high | low.umin(),
            high | low.umax(),
        ]);
        all.extend(of.tnum().at_least(x));
        all.extend(of.tnum().at_most(x));
    }
    all.retain(|&x| of.contains(x));
    all.sort_unstable();
    all.dedup();
    while all.len() > 12 {
        all.swap_remove(random.below(all.len()));
    }
    all
}

pub fn cut(x: u64, bits: u32, signed: bool) -> i128 {
    let x = i128::from(x & low_mask(bits));
    if signed && x >> (bits - 1) != 0 {
        x - (1 << bits)
    } else {
        x
    }
}

type Abstract<const BITS: u32> = fn(&Product<BITS>, &Product<BITS>) -> Product<BITS>;

/// The operations, the second implementation on wide signed integers.
pub fn operations<const BITS: u32>() -> Vec<(
    &'static str,
    Abstract<BITS>,
    u32,
    bool,
    fn(i128, i128, u32) -> i128,
)> {
    type P<const BITS: u32> = Product<BITS>;
    let (whole, half) = (BITS, BITS / 2);
    let div = |a: i128, b: i128, _| if b == 0 { 0 } else { a / b };
    let rem = |a: i128, b: i128, _| if b == 0 { a } else { a % b };
    let shl = |a: i128, k: i128, bits: u32| a << (k & i128::from(bits - 1));
    let shr = |a: i128, k: i128, bits: u32| a >> (k & i128::from(bits - 1));
    vec![
        ("add64", P::<BITS>::add64, whole, false, |a, b, _| a + b),
        ("add32", P::<BITS>::add32, half, false, |a, b, _| a + b),
        ("sub64", P::<BITS>::sub64, whole, false, |a, b, _| a - b),
        ("sub32", P::<BITS>::sub32, half, false, |a, b, _| a - b),
        ("mul64", P::<BITS>::mul64, whole, false, |a, b, _| {
            a.wrapping_mul(b)
        }),
        ("mul32", P::<BITS>::mul32, half, false, |a, b, _| a * b),
        ("div64", P::<BITS>::div64, whole, false, div),
        ("div32", P::<BITS>::div32, half, false, div),
        ("mod64", P::<BITS>::mod64, whole, false, rem),
        ("mod32", P::<BITS>::mod32, half, false, rem),
        ("sdiv64", P::<BITS>::sdiv64, whole, true, div),
        ("sdiv32", P::<BITS>::sdiv32, half, true, div),
        ("smod64", P::<BITS>::smod64, whole, true, rem),
        ("smod32", P::<BITS>::smod32, half, true, rem),
        ("and64", P::<BITS>::and64, whole, false, |a, b, _| a & b),
        ("and32", P::<BITS>::and32, half, false, |a, b, _| a & b),
        ("or64", P::<BITS>::or64, whole, false, |a, b, _| a | b),
        ("or32", P::<BITS>::or32, half, false, |a, b, _| a | b),
        ("xor64", P::<BITS>::xor64, whole, false, |a, b, _| a ^ b),
        ("xor32", P::<BITS>::xor32, half, false, |a, b, _| a ^ b),
        ("lsh64", P::<BITS>::lsh64, whole, false, shl),
        ("lsh32", P::<BITS>::lsh32, half, false, shl),
        ("rsh64", P::<BITS>::rsh64, whole, false, shr),
        ("rsh32", P::<BITS>::rsh32, half, false, shr),
        ("arsh64", P::<BITS>::arsh64, whole, true, shr),
        ("arsh32", P::<BITS>::arsh32, half, true, shr),
        ("neg64", |_, b| b.neg64(), whole, false, |_, b, _| -b),
        ("neg32", |_, b| b.neg32(), half, false, |_, b, _| -b),
        ("mov32", |_, b| b.mov32(), half, false, |_, b, _| b),
        ("join", |a, b| a.join(b), whole, false, |a, _, _| a),
        ("join", |a, b| a.join(b), whole, false, |_, b, _| b),
        (
            "widen",
            |a, b| a.widen(b, &[7, 100]),
            whole,
            false,
            |a, _, _| a,
        ),
        (
            "widen",
            |a, b| a.widen(b, &[7, 100]),
            whole,
            false,
            |_, b, _| b,
        ),
    ]
}

fn operations_hold_sampled_results<const BITS: u32>(rounds: usize) {
    let mut random = Random::new();
    let operations = operations::<BITS>();
    for _ in 0..rounds {
        let (a, b) = (any::<BITS>(&mut random), any::<BITS>(&mut random));
        let (in_a, in_b) = (sample(&a, &mut random), sample(&b, &mut random));
        for (name, abstractly, bits, signed, concrete) in &operations {
            let result = abstractly(&a, &b);
            let again = Product::from_parts(result.tnum(), result.wide, result.low());
            assert_eq!(again, Some(result), "{name} is not reduced");
            for &x in &in_a {
                for &y in &in_b {
                    let exact = concrete(cut(x, *bits, *signed), cut(y, *bits, *signed), *bits);
                    let exact = exact as u64 & low_mask(*bits);
                    assert!(
                        result.contains(exact),
                        "{name} of {a} and {b} is {result}, loses {exact:#x} of {x:#x}, {y:#x}"
                    );
                }
            }
            if let (Some(x), Some(y)) = (a.as_constant(), b.as_constant())
                && !matches!(*name, "join" | "widen")
            {
                assert!(
                    result.as_constant().is_some(),
                    "{name} of {x:#x} and {y:#x} is {result}"
                );
            }
        }
        for n in [1, 3, BITS / 4, BITS / 2, BITS / 2 + 1, BITS] {
            let (zero, sign, sign32) = (a.zero_extend(n), a.sign_extend(n), a.movsx32(n));
            for &x in &in_a {
                let exact = cut(x, n, true) as u64 & low_mask(BITS);
                assert!(
                    zero.contains(x & low_mask(n)),
                    "{a} zero-extended from {n} is {zero}, loses {x:#x}"
                );
                assert!(
                    sign.contains(exact),
                    "{a} sign-extended from {n} is {sign}, loses {x:#x}"
                );
                let exact = cut(x, n.min(BITS / 2), true) as u64 & low_mask(BITS / 2);
                assert!(
                    sign32.contains(exact),
                    "{a} moved from {n} is {sign32}, loses {x:#x}"
                );
            }
        }
    }
}

fn branches_hold_sampled_pairs<const BITS: u32>(rounds: usize) {
    let mut random = Random::new();
    for _ in 0..rounds {
        let (a, b) = (any::<BITS>(&mut random), any::<BITS>(&mut random));
        let (in_a, in_b) = (sample(&a, &mut random), sample(&b, &mut random));
        for op in Comparison::ALL {
            for bits in [BITS, BITS / 2] {
                let wide = bits == BITS;
                let decision = if wide {
                    op.decide64(&a, &b)
                } else {
                    op.decide32(&a, &b)
                };
                for taken in [false, true] {
                    let refined = if wide {
                        op.refine64(taken, &a, &b)
                    } else {
                        op.refine32(taken, &a, &b)
                    };
                    assert!(
                        decision != Some(taken) || refined.is_some(),
                        "{op:?} {bits} of {a} and {b}"
                    );
                    if let Some((new_a, new_b)) = &refined {
                        assert!(a.includes(new_a) && b.includes(new_b));
                    }
                    for &x in &in_a {
                        for &y in in_b.iter().filter(|&&y| holds(op, x, y, bits) == taken) {
                            assert!(
                                decision != Some(!taken),
                                "{op:?} {bits} of {a} and {b}: {x:#x}, {y:#x}"
                            );
                            let kept = refined.is_some_and(|(a, b)| a.contains(x) && b.contains(y));
                            assert!(
                                kept,
                                "{op:?} {bits} {taken} of {a} and {b} is {refined:?}, loses {x:#x}, {y:#x}"
                            );
                        }
                    }
                }
            }
        }
    }
}

fn holds(op: Comparison, x: u64, y: u64, bits: u32) -> bool {
    let unsigned = cut(x, bits, false).cmp(&cut(y, bits, false));
    let signed = cut(x, bits, true).cmp(&cut(y, bits, true));
    match op {
        Comparison::Eq => unsigned.is_eq(),
        Comparison::Ne => unsigned.is_ne(),
        Comparison::Gt => unsigned.is_gt(),
        Comparison::Ge => unsigned.is_ge(),
        Comparison::Lt => unsigned.is_lt(),
        Comparison::Le => unsigned.is_le(),
        Comparison::Sgt => signed.is_gt(),
        Comparison::Sge => signed.is_ge(),
        Comparison::Slt => signed.is_lt(),
        Comparison::Sle => signed.is_le(),
        Comparison::Set => cut(x & y, bits, false) != 0,
    }
}

#[test]
fn operations_at_8_bits() {
    operations_hold_sampled_results::<8>(rounds(2_000));
}

#[test]
fn operations_at_64_bits() {
    operations_hold_sampled_results::<64>(rounds(2_000));
}

#[test]
fn branches_at_8_bits() {
    branches_hold_sampled_pairs::<8>(rounds(3_000));
}

#[test]
fn branches_at_64_bits() {
    branches_hold_sampled_pairs::<64>(rounds(3_000));
}

#[test]
fn concrete_comparisons_agree() {
    let mut random = Random::new();
    for _ in 0..10_000 {
        let (x, y) = (corner(&mut random, 64), corner(&mut random, 64));
        for op in Comparison::ALL {
            assert_eq!(
                op.holds64(x, y),
                holds(op, x, y, 64),
                "{op:?} {x:#x} {y:#x}"
            );
            assert_eq!(
                op.holds32(x, y),
                holds(op, x, y, 32),
                "{op:?} {x:#x} {y:#x}"
            );
            assert_eq!(
                op.exchanged().holds64(y, x),
                op.holds64(x, y),
                "{op:?} {x:#x} {y:#x}"
            );
        }
    }
}

/// Held against the best abstract number for three parts, found by trying all 256.
#[test]
fn reduction_at_8_bits_is_nearly_best() {
    let mut random = Random::new();
    let rounds = rounds(20_000);
    let mut best = 0;
    for _ in 0..rounds {
        let (tnum, wide, low) = (
            any_tnum(&mut random, 8),
            any_range(&mut random, 8),
            any_range(&mut random, 4),
        );
        let reduced = Product::<8>::from_parts(tnum, wide, low);
        let mut parts: Option<(Tnum, Range, Range)> = None;
        for x in
            (0..256u64).filter(|&x| tnum.contains(x) && wide.contains(x) && low.contains(x & 15))
        {
            assert!(
                reduced.is_some_and(|r| r.contains(x)),
                "{tnum} {wide:?} {low:?} loses {x}"
            );
            let of_x = (
                Tnum::constant(x),
                Range::unsigned(x, x, 8),
                Range::unsigned(x & 15, x & 15, 4),
            );
            parts = Some(parts.map_or(of_x, |(t, w, l)| {
                (t.join(of_x.0), w.join(of_x.1), l.join(of_x.2))
            }));
        }
        // An empty product is always seen to be, and the bounds of the whole are always the best.
        assert_eq!(
            reduced.map(|r| r.wide),
            parts.map(|(_, wide, _)| wide),
            "{tnum} {wide:?} {low:?}"
        );
        best += usize::from(reduced.map(|r| (r.tnum(), r.wide, r.low())) == parts);
    }
    let share = best as f64 / rounds as f64;
    println!("best in {:.2}%", share * 100.0);
    assert!(share > 0.98);
}

#[test]
fn reduction_at_64_bits_is_sound_and_idempotent() {
    let mut random = Random::new();
    for _ in 0..rounds(50_000) {
        let (tnum, wide, low) = (
            any_tnum(&mut random, 64),
            any_range(&mut random, 64),
            any_range(&mut random, 32),
        );
        let reduced = Scalar::from_parts(tnum, wide, low);
        if let Some(reduced) = reduced {
            assert_eq!(
                Scalar::from_parts(reduced.tnum(), reduced.wide, reduced.low()),
                Some(reduced)
            );
        }
        for _ in 0..8 {
            let x = corner(&mut random, 64);
            let near = [
                Some(x),
                tnum.at_least(x),
                tnum.at_most(x),
                Some(tnum.value() | (x & tnum.mask())),
            ];
            for x in near.into_iter().flatten() {
                if tnum.contains(x) && wide.contains(x) && low.contains(x & 0xffff_ffff) {
                    assert!(
                        reduced.is_some_and(|r| r.contains(x)),
                        "{tnum} {wide:?} {low:?} loses {x:#x}"
                    );
                }
            }
        }
    }
}

#[test]
fn byte_swaps_hold_sampled_results() {
    let mut random = Random::new();
    for _ in 0..2_000 {
        let a = any::<64>(&mut random);
        for x in sample(&a, &mut random) {
            assert!(a.bswap(16).contains(u64::from((x as u16).swap_bytes())));
            assert!(a.bswap(32).contains(u64::from((x as u32).swap_bytes())));
            assert!(a.bswap(64).contains(x.swap_bytes()));
            assert!(a.to_le(16).contains(x & 0xffff));
            assert!(a.to_be(32).contains(u64::from((x as u32).swap_bytes())));
        }
        let x = corner(&mut random, 64);
        assert_eq!(
            Scalar::constant(x).bswap(32).as_constant(),
            Some(u64::from((x as u32).swap_bytes()))
        );
    }
}

#[test]
fn widening_at_64_bits_stops() {
    let mut random = Random::new();
    let mut longest = 0;
    for _ in 0..rounds(500) {
        let thresholds: Vec<u64> = (0..random.below(6))
            .map(|_| corner(&mut random, 64))
            .collect();
        let mut x = any::<64>(&mut random);
        let mut steps = 0;
        // What comes next adds a single number, next to a bound or not.
        for _ in 0..400 {
            let near = [
                x.umin().wrapping_sub(1),
                x.umax().wrapping_add(1),
                x.smax().wrapping_add(1) as u64,
                corner(&mut random, 64),
            ];
            let low = (x.umin() & !0xffff_ffff) | u64::from(x.u32_max().wrapping_add(1));
            let next = random.pick(&[
                near[0],
                near[1],
                near[2],
                near[3],
                low,
                x.umax().wrapping_add(0x1_0000),
            ]);
            let wide = x.widen(&Scalar::constant(next), &thresholds);
            assert!(wide.contains(next) && wide.includes(&x));
            steps += usize::from(wide != x);
            x = wide;
        }
        longest = longest.max(steps);
    }
    println!("at most {longest} steps");
    assert!(longest <= 40);
}

#[test]
fn counters_settle_at_once() {
    let constant = Scalar::constant;
    let from_0_to = |end| Scalar::from_unsigned(0, end).expect("0 <= end");
    let step = |of: &Scalar, by: u64, thresholds: &[u64]| {
        of.widen(&of.join(&of.add64(&constant(by))), thresholds)
    };
    assert_eq!(step(&constant(0), 1, &[100, 1000]), from_0_to(100));
    // A stride of a power of two stays.
    let by_4 = step(&constant(0), 4, &[100]);
    assert_eq!((by_4.umax(), by_4.tnum().is_aligned(4)), (100, true));
    // Down to 0, and a 32-bit counter with no threshold.
    assert_eq!(step(&constant(10), u64::MAX, &[]), from_0_to(10));
    let low = constant(0).widen(&constant(1).add32(&constant(0)), &[]);
    assert_eq!((low.umin(), low.umax()), (0, i32::MAX as u64));
    let low = constant(0).widen(&Scalar::constant(u64::MAX), &[]);
    assert_eq!((low.smin(), low.smax()), (-1, 0));
    let low = low.widen(&Scalar::constant(-2i64 as u64), &[]);
    assert_eq!((low.smin(), low.smax()), (i64::from(i32::MIN), 0));
}
