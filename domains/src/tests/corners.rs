//! Every operation on intervals between all values where something turns over, at their bounds.

use super::random::{cut, operations};
use crate::branch::Comparison;
use crate::scalar::Scalar;
use crate::tnum::low_mask;

const VALUES: [u64; 15] = [
    0,
    1,
    2,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0x8000_0000_0000_0001,
    0xffff_ffff_0000_0000,
    0xffff_ffff_8000_0000,
    0xffff_ffff_ffff_ffff,
];

/// Every interval between two of the values, unsigned and signed.
fn intervals() -> Vec<Scalar> {
    let pairs = VALUES
        .iter()
        .flat_map(|&a| VALUES.iter().map(move |&b| (a, b)));
    let mut all: Vec<Scalar> = pairs
        .flat_map(|(a, b)| {
            [
                Scalar::from_unsigned(a, b),
                Scalar::from_signed(a as i64, b as i64),
            ]
        })
        .flatten()
        .collect();
    all.sort_by_key(|x| (x.umin(), x.umax(), x.smin(), x.smax()));
    all.dedup();
    all
}

fn bounds(of: &Scalar) -> Vec<u64> {
    let mut all = vec![of.umin(), of.umax(), of.smin() as u64, of.smax() as u64];
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn intervals_hold_what_lies_between() {
    for &a in &VALUES {
        for &b in &VALUES {
            let unsigned = Scalar::from_unsigned(a, b);
            let signed = Scalar::from_signed(a as i64, b as i64);
            assert_eq!(unsigned.is_some(), a <= b);
            assert_eq!(signed.is_some(), a as i64 <= b as i64);
            for &x in &VALUES {
                assert_eq!(unsigned.is_some_and(|of| of.contains(x)), a <= x && x <= b);
                let between = a as i64 <= x as i64 && x as i64 <= b as i64;
                assert_eq!(signed.is_some_and(|of| of.contains(x)), between);
            }
            if let Some(of) = unsigned {
                assert_eq!((of.umin(), of.umax()), (a, b));
            }
            if let Some(of) = signed {
                assert_eq!((of.smin(), of.smax()), (a as i64, b as i64));
            }
        }
    }
}

#[test]
fn operations_between_corners() {
    let all = intervals();
    // Half of the pairs, for time; operands in both orders all the same.
    let pairs = all
        .iter()
        .enumerate()
        .flat_map(|(i, a)| all.iter().skip(i % 2).step_by(2).map(move |b| (a, b)));
    for (a, b) in pairs {
        let (in_a, in_b) = (bounds(a), bounds(b));
        for (name, abstractly, bits, signed, concrete) in operations::<64>() {
            // Shifts by unknown counts are slow, and tried elsewhere.
            if name.contains("sh") && b.as_constant().is_none() {
                continue;
            }
            let result = abstractly(a, b);
            for &x in &in_a {
                for &y in &in_b {
                    let exact = concrete(cut(x, bits, signed), cut(y, bits, signed), bits) as u64
                        & low_mask(bits);
                    assert!(
                        result.contains(exact),
                        "{name} of {a} and {b} is {result}, loses {exact:#x} of {x:#x}, {y:#x}"
                    );
                }
            }
        }
    }
}

#[test]
fn branches_between_corners() {
    let all = intervals();
    for a in &all {
        for b in &all {
            for op in Comparison::ALL {
                let (wide, low) = (op.decide64(a, b), op.decide32(a, b));
                for &x in &bounds(a) {
                    for &y in &bounds(b) {
                        assert!(
                            wide.is_none_or(|d| d == op.holds64(x, y)),
                            "{op:?} of {a} and {b}: {wide:?}"
                        );
                        assert!(
                            low.is_none_or(|d| d == op.holds32(x, y)),
                            "{op:?} of halves of {a} and {b}: {low:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn refinements_between_corners() {
    let all: Vec<Scalar> = intervals().into_iter().step_by(3).collect();
    for a in &all {
        for b in &all {
            for op in Comparison::ALL {
                for taken in [true, false] {
                    let (wide, low) = (op.refine64(taken, a, b), op.refine32(taken, a, b));
                    for &x in &bounds(a) {
                        for &y in &bounds(b) {
                            let keeps = |to: &Option<(Scalar, Scalar)>| {
                                to.is_some_and(|(a, b)| a.contains(x) && b.contains(y))
                            };
                            assert!(
                                op.holds64(x, y) != taken || keeps(&wide),
                                "{op:?} {taken} of {a} and {b}: {wide:?}"
                            );
                            assert!(
                                op.holds32(x, y) != taken || keeps(&low),
                                "{op:?} {taken} of halves of {a} and {b}: {low:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}
