//! What is said to be the hull of some numbers, held against these numbers, at 5 bits.

use super::small::ranges;
use crate::range::{Range, Span, sign_extend};
use crate::tnum::Tnum;
use crate::{logic, shift};

const BITS: u32 = 5;
const SIGN: u64 = 1 << (BITS - 1);

/// The smallest range that holds these numbers.
fn hull(of: impl Iterator<Item = u64>) -> Range {
    of.fold(Range::EMPTY, |mut all, x| {
        let side = if x < SIGN { &mut all.pos } else { &mut all.neg };
        *side = Span {
            lo: side.lo.min(x),
            hi: side.hi.max(x),
        };
        all
    })
}

/// Every interval within one side.
fn sides() -> Vec<Span> {
    [(0, SIGN - 1), (SIGN, 2 * SIGN - 1)]
        .into_iter()
        .flat_map(|(lo, hi)| (lo..=hi).flat_map(move |a| (a..=hi).map(move |b| Span::new(a, b))))
        .collect()
}

fn range(span: Span) -> Range {
    Range::unsigned(span.lo, span.hi, BITS)
}

#[test]
fn bounds_of_bitwise_operations_are_exact() {
    type Op = (
        &'static str,
        fn(Range, Range, u32) -> Range,
        fn(u64, u64) -> u64,
    );
    let operations: [Op; 3] = [
        ("and", logic::and, |x, y| x & y),
        ("or", logic::or, |x, y| x | y),
        ("xor", logic::xor, |x, y| x ^ y),
    ];
    for &a in &sides() {
        for &b in &sides() {
            for (name, op, exact) in operations {
                let pairs = (a.lo..=a.hi).flat_map(|x| (b.lo..=b.hi).map(move |y| exact(x, y)));
                let result = op(range(a), range(b), BITS);
                assert_eq!(result, hull(pairs), "{name} of {a:?} and {b:?}");
            }
        }
    }
}

#[test]
fn bounds_of_shifts_are_exact() {
    for &a in &sides() {
        for count in 0..BITS {
            let of = |f: &dyn Fn(u64) -> u64| hull((a.lo..=a.hi).map(f));
            let arsh = |x| (sign_extend(x, BITS) >> count) as u64 & (2 * SIGN - 1);
            assert_eq!(shift::rsh(range(a), count, BITS), of(&|x| x >> count));
            assert_eq!(shift::arsh(range(a), count, BITS), of(&arsh), "{a:?}");
            let lsh = of(&|x| x << count & (2 * SIGN - 1));
            assert_eq!(shift::lsh(range(a), count, BITS), lsh, "{a:?} << {count}");
        }
    }
}

#[test]
fn cuts_keep_what_they_should() {
    let tnums = (0..2 * SIGN).flat_map(|mask| (0..2 * SIGN).map(move |x| Tnum::new(x, mask)));
    let tnums: Vec<Tnum> = tnums.collect();
    for whole in ranges(BITS).into_iter().step_by(5) {
        let members = || (0..2 * SIGN).filter(|&x| whole.contains(x));
        for (low_bits, lows) in [(2, ranges(2)), (3, ranges(3))] {
            let mask = (1 << low_bits) - 1;
            for low in lows.into_iter().filter(|low| !low.is_empty()) {
                let kept = hull(members().filter(|x| low.contains(x & mask)));
                assert_eq!(whole.clip_low(low, low_bits), kept, "{whole:?} {low:?}");
            }
        }
        for x in 0..2 * SIGN {
            let bounds = [whole.pos.lo, whole.pos.hi, whole.neg.lo, whole.neg.hi];
            if bounds.contains(&x) {
                assert_eq!(whole.without(x), hull(members().filter(|&y| y != x)));
            } else {
                assert_eq!(whole.without(x), whole);
            }
        }
        for &tnum in tnums.iter().step_by(7) {
            let kept = hull(members().filter(|&x| tnum.contains(x)));
            assert_eq!(whole.clip_tnum(tnum), kept, "{whole:?} {tnum}");
        }
    }
}

#[test]
fn windows_are_the_numbers_that_follow() {
    for lo in 0..4 * SIGN {
        for length in 0..3 * SIGN {
            let window = hull((lo..=lo + length).map(|x| x & (2 * SIGN - 1)));
            assert_eq!(Range::window(lo, length, BITS), window, "{lo} {length}");
        }
    }
    for lo in -20..20i64 {
        for hi in -20..20 {
            let kept = (lo.max(-16)..=hi.min(15)).map(|x| x as u64 & (2 * SIGN - 1));
            assert_eq!(Range::signed(lo, hi, BITS), hull(kept), "{lo}..={hi}");
        }
    }
}
