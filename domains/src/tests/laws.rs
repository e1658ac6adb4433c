//! What order, join, meet and widening owe each other, at 64 bits, on values around which something turns over.

use super::random::{any, sample};
use super::{Random, rounds};
use crate::scalar::Scalar;
use crate::tnum::Tnum;

/// 0, the ends of every width, and powers of two, each with its neighbours.
fn values() -> Vec<u64> {
    let ends = [8, 16, 32, 64].map(|bits: u32| [u64::MAX >> (64 - bits), 1 << (bits - 1)]);
    let powers = (0..64).step_by(5).map(|bit| 1u64 << bit);
    let around = |x: u64| [x.wrapping_sub(1), x, x.wrapping_add(1), x.wrapping_neg()];
    let mut all: Vec<u64> = ends
        .into_iter()
        .flatten()
        .chain(powers)
        .flat_map(around)
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Intervals with these ends, and tnums with these values and masks.
fn chosen(random: &mut Random, values: &[u64]) -> Scalar {
    loop {
        let (x, y) = (random.pick(values), random.pick(values));
        let found = match random.below(4) {
            0 => Scalar::from_unsigned(x.min(y), x.max(y)),
            1 => Scalar::from_signed((x as i64).min(y as i64), (x as i64).max(y as i64)),
            2 => Scalar::from_tnum(Tnum::new(x, y)),
            _ => Some(any::<64>(random)),
        };
        if let Some(found) = found {
            return found;
        }
    }
}

#[test]
fn laws_at_64_bits() {
    let mut random = Random::new();
    let values = values();
    let (mut ordered, mut disjoint) = (0, 0);
    for _ in 0..rounds(6_000) {
        let [a, b, c] = [0; 3].map(|_| chosen(&mut random, &values));
        let (in_a, in_b) = (sample(&a, &mut random), sample(&b, &mut random));
        // A partial order, of which the elements are sets.
        assert!(a.includes(&a));
        if a.includes(&b) {
            assert!(in_b.iter().all(|&y| a.contains(y)), "{a} includes {b}");
            assert!(a == b || !b.includes(&a), "{a} and {b} include each other");
            assert_eq!((a.join(&b), a.meet(&b)), (a, Some(b)));
            assert_eq!(a.widen(&b, &values), a);
        }
        // The join is an upper bound, the same in any order, and below any other.
        let join = a.join(&b);
        assert!(join.includes(&a) && join.includes(&b), "{a}, {b}: {join}");
        assert_eq!(join, b.join(&a));
        assert_eq!((a.join(&a), a.meet(&a)), (a, Some(a)));
        let all = join.join(&c);
        assert!(all.includes(&a) && all.includes(&b) && all.includes(&c));
        assert!(
            !c.includes(&a) || !c.includes(&b) || c.includes(&join),
            "{a}, {b}, {c}"
        );
        // The meet is a lower bound with every common member, and what is below both is below it.
        let meet = a.meet(&b);
        assert_eq!(meet, b.meet(&a));
        match meet {
            Some(meet) => {
                assert!(a.includes(&meet) && b.includes(&meet), "{a}, {b}: {meet}");
                ordered += usize::from(meet != a && meet != b);
                if let Some(lower) = meet.meet(&c) {
                    // Transitive: below the meet is below both, and below the join of both.
                    assert!(a.includes(&lower) && b.includes(&lower) && join.includes(&lower));
                }
            }
            None => disjoint += 1,
        }
        for &x in in_a.iter().chain(&in_b) {
            let both = a.contains(x) && b.contains(x);
            assert_eq!(
                meet.is_some_and(|meet| meet.contains(x)),
                both,
                "{a}, {b}, {x:#x}"
            );
            assert!(join.contains(x), "{a}, {b}: {join} loses {x:#x}");
        }
        let thresholds = [random.pick(&values), random.pick(&values)];
        let wide = a.widen(&b, &thresholds);
        assert!(wide.includes(&join), "{a} widened by {b} is {wide}");
    }
    println!("{ordered} proper meets, {disjoint} empty ones");
    assert!(ordered > 100 && disjoint > 100);
}

/// Each step loses a bit, moves a bound to a threshold, or moves it to its end: a chain is no longer than that.
#[test]
fn widening_chains_are_bounded() {
    let mut random = Random::new();
    let values = values();
    for _ in 0..rounds(300) {
        let thresholds: Vec<u64> = (0..random.below(4)).map(|_| random.pick(&values)).collect();
        let mut x = chosen(&mut random, &values);
        let mut steps = 0;
        for _ in 0..200 {
            let wide = x.widen(&chosen(&mut random, &values), &thresholds);
            steps += usize::from(wide != x);
            x = wide;
        }
        // Eight bounds, each past every threshold and three ends of its own; 64 bits.
        let most = 8 * (thresholds.len() + 4) + 64;
        assert!(steps <= most, "{steps} steps with {thresholds:x?}");
    }
}

#[test]
fn widening_goes_to_the_nearest_threshold() {
    let unsigned = |a, b| Scalar::from_unsigned(a, b).expect("min <= max");
    let signed = |a, b| Scalar::from_signed(a, b).expect("min <= max");
    let constant = Scalar::constant;
    let bounds = |x: Scalar| (x.umin(), x.umax());
    let signed_bounds = |x: Scalar| (x.smin(), x.smax());
    // What did not move stays; what did goes on to a threshold, its own included, in any order.
    let up = |next, thresholds: &[u64]| bounds(unsigned(10, 20).widen(&next, thresholds));
    assert_eq!(up(unsigned(10, 33), &[1000, 40, 100]), (10, 40));
    assert_eq!(up(unsigned(10, 33), &[32, 33]), (10, 33));
    assert_eq!(up(unsigned(10, 33), &[32, 34]), (10, 34));
    assert_eq!(up(unsigned(7, 20), &[2, 6, 4, 8]), (6, 20));
    assert_eq!(up(unsigned(7, 20), &[7, 6]), (7, 20));
    assert_eq!(up(unsigned(7, 33), &[8, 9, 25]), (0, 0x7fff_ffff));
    assert_eq!(up(unsigned(12, 15), &[0, 100]), (10, 20));
    // Without one, to an end of the low half, then of the whole.
    let past = 1u64 << 33;
    assert_eq!(up(unsigned(10, past), &[]), (10, i64::MAX as u64));
    let down = |next| signed_bounds(signed(-10, -1).widen(&signed(next, -1), &[]));
    assert_eq!(down(-20), (i64::from(i32::MIN), -1));
    assert_eq!(down(i64::from(i32::MIN)), (i64::from(i32::MIN), -1));
    let below = |x: i64| signed(i64::from(i32::MIN) - x, -1);
    let wide = below(10).widen(&below(20), &[]);
    assert_eq!(signed_bounds(wide), (-1 << 32, -1));
    assert_eq!(down((-1 << 32) - 1), (i64::MIN, -1));
    // A side that was empty takes what comes.
    let both = signed(3, 5).widen(&signed(-7, 5), &[]);
    assert_eq!(signed_bounds(both), (-7, 5));
    // Bits are lost upwards from the first that is, within the low half if all are there.
    let lost = |a, b: u64| constant(a).widen(&constant(b), &[]);
    let high = 5u64 << 32;
    assert_eq!(
        bounds(lost(high, high | 0xffff_ffff)),
        (high, high | 0xffff_ffff)
    );
    let from_bits = |value, mask| Scalar::from_tnum(Tnum::new(value, mask)).expect("not empty");
    assert_eq!(lost(0, 1 << 31), from_bits(0, 1 << 31));
    assert_eq!(lost(0, 1 << 32), from_bits(0, 0x7fff_ffff_0000_0000));
    assert_eq!(lost(8, 24).tnum(), Tnum::new(8, 0x7fff_fff0));
}
