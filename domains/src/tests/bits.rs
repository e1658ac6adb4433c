//! Tnums with unknown bits at the ends of both halves of 64 bits: every function gives the smallest tnum
//! that holds the results of all members.

use crate::tnum::Tnum;

/// The ends of the halves, and one bit in the middle.
const AT: [u32; 5] = [0, 7, 31, 32, 63];

/// Each of these bits 0, 1 or unknown; the others 0. With all members.
fn all() -> Vec<(Tnum, Vec<u64>)> {
    let mut all = vec![(Tnum::constant(0), vec![0])];
    for at in AT {
        let bit = 1u64 << at;
        let with = |tnum: &Tnum, value, mask| Tnum::new(tnum.value() | value, tnum.mask() | mask);
        all = all
            .iter()
            .flat_map(|(tnum, members)| {
                let ones: Vec<u64> = members.iter().map(|x| x | bit).collect();
                let both = members.iter().chain(&ones).copied().collect();
                [
                    (*tnum, members.clone()),
                    (with(tnum, bit, 0), ones),
                    (with(tnum, 0, bit), both),
                ]
            })
            .collect();
    }
    all
}

/// The bits that are the same in all.
fn best(of: impl Iterator<Item = u64>) -> Option<Tnum> {
    let all = of.fold(None, |all: Option<(u64, u64)>, x| {
        Some(all.map_or((x, x), |(ones, any)| (ones & x, any | x)))
    });
    all.map(|(ones, any)| Tnum::new(ones, any & !ones))
}

#[test]
fn questions_are_answered_as_of_the_members() {
    for (tnum, members) in all() {
        let of = |f: fn(u64) -> i128| members.iter().map(move |&x| f(x));
        assert_eq!(i128::from(tnum.umin()), of(i128::from).min().unwrap_or(0));
        assert_eq!(i128::from(tnum.umax()), of(i128::from).max().unwrap_or(0));
        let signed = |x| i128::from(x as i64);
        assert_eq!(i128::from(tnum.smin()), of(signed).min().unwrap_or(0));
        assert_eq!(i128::from(tnum.smax()), of(signed).max().unwrap_or(0));
        let only = (members.len() == 1).then(|| members[0]);
        assert_eq!(tnum.as_constant(), only);
        let zeros = members.iter().map(|x| x.trailing_zeros()).min();
        assert_eq!(Some(tnum.trailing_zeros()), zeros, "{tnum}");
        for size in (0..64).map(|at| 1u64 << at) {
            let aligned = members.iter().all(|x| x % size == 0);
            assert_eq!(tnum.is_aligned(size), aligned, "{tnum} by {size:#x}");
        }
        assert!(tnum.is_aligned(0));
        for x in AT
            .map(|at| 1u64 << at)
            .into_iter()
            .chain(members.iter().copied())
        {
            assert_eq!(tnum.contains(x), members.contains(&x));
        }
    }
}

#[test]
fn functions_of_one_are_exact() {
    for (tnum, members) in all() {
        let check = |name: &str, result: Tnum, f: &dyn Fn(u64) -> u64| {
            let expected = best(members.iter().map(|&x| f(x)));
            assert_eq!(Some(result), expected, "{name} of {tnum}");
        };
        check("not", tnum.not(), &|x| !x);
        check("neg", tnum.neg(), &u64::wrapping_neg);
        check("subreg", tnum.subreg(), &|x| x & 0xffff_ffff);
        check("clear_subreg", tnum.clear_subreg(), &|x| x >> 32 << 32);
        check("swap 8", tnum.swap_bytes(8), &u64::swap_bytes);
        check("swap 4", tnum.swap_bytes(4), &|x| {
            (x as u32).swap_bytes().into()
        });
        check("swap 2", tnum.swap_bytes(2), &|x| {
            (x as u16).swap_bytes().into()
        });
        for count in [0, 1, 7, 31, 32, 33, 63] {
            check("lsh", tnum.lsh(count), &|x| x << count);
            check("rsh", tnum.rsh(count), &|x| x >> count);
            check("arsh", tnum.arsh(count, 64), &|x| {
                (x as i64 >> count) as u64
            });
            if count < 32 {
                check("arsh of 32", tnum.subreg().arsh(count, 32), &|x| {
                    u64::from((x as i32 >> count) as u32)
                });
            }
        }
        for bits in [1, 8, 31, 32, 33, 63, 64] {
            let up = 64 - bits;
            check("cast", tnum.cast(bits), &|x| x << up >> up);
            let extended = |x: u64| ((x << up) as i64 >> up) as u64;
            check("sign_extend", tnum.sign_extend(bits, 64), &extended);
            if bits < 32 {
                check("sign_extend to 32", tnum.sign_extend(bits, 32), &|x| {
                    extended(x) & 0xffff_ffff
                });
            }
        }
    }
}

#[test]
fn functions_of_two_are_exact() {
    type Op = (&'static str, fn(Tnum, Tnum) -> Tnum, fn(u64, u64) -> u64);
    let operations: [Op; 6] = [
        ("add", Tnum::add, u64::wrapping_add),
        ("sub", Tnum::sub, u64::wrapping_sub),
        ("and", Tnum::and, |x, y| x & y),
        ("or", Tnum::or, |x, y| x | y),
        ("xor", Tnum::xor, |x, y| x ^ y),
        ("with_subreg", Tnum::with_subreg, |x, y| {
            x >> 32 << 32 | y & 0xffff_ffff
        }),
    ];
    let all = all();
    // Some on the right, for time; a step that meets every state of every bit.
    for (b, in_b) in all.iter().step_by(7) {
        for (a, in_a) in &all {
            let pairs = || in_a.iter().flat_map(|&x| in_b.iter().map(move |&y| (x, y)));
            for (name, op, exact) in operations {
                let expected = best(pairs().map(|(x, y)| exact(x, y)));
                assert_eq!(Some(op(*a, *b)), expected, "{name} of {a} and {b}");
            }
            let product = a.mul(*b);
            for (x, y) in pairs() {
                assert!(product.contains(x.wrapping_mul(y)), "{a} by {b}: {product}");
            }
            let joined = best(in_a.iter().chain(in_b).copied());
            assert_eq!(Some(a.join(*b)), joined, "{a} or {b}");
            let common = best(in_a.iter().filter(|x| in_b.contains(x)).copied());
            assert_eq!(a.intersect(*b), common, "{a} and {b}");
            let includes = in_b.iter().all(|y| in_a.contains(y));
            assert_eq!(a.includes(*b), includes, "{a} includes {b}");
        }
    }
}

#[test]
fn members_near_a_number_are_found_at_64_bits() {
    let near: Vec<u64> = AT
        .into_iter()
        .flat_map(|at| [(1u64 << at) - 1, 1 << at, (1 << at) + 1])
        .chain([u64::MAX, (1 << 63) | (1 << 32), u64::MAX >> 1])
        .collect();
    for (tnum, members) in all() {
        for &x in &near {
            let above = members.iter().copied().filter(|&y| y >= x).min();
            let below = members.iter().copied().filter(|&y| y <= x).max();
            assert_eq!(tnum.at_least(x), above, "{tnum} from {x:#x}");
            assert_eq!(tnum.at_most(x), below, "{tnum} to {x:#x}");
        }
        for &x in members.iter().step_by(3) {
            for &y in members.iter().filter(|&&y| y >= x) {
                let between = members.iter().copied().filter(|z| (x..=y).contains(z));
                assert_eq!(
                    Some(tnum.narrow(x, y)),
                    best(between),
                    "{tnum} {x:#x} {y:#x}"
                );
            }
        }
    }
}

#[test]
fn intervals_become_the_bits_they_share() {
    for min in 0..40u64 {
        for max in min..40 {
            assert_eq!(Some(Tnum::range(min, max)), best(min..=max));
            let (high_min, high_max) = (min << 58, max << 58);
            if high_min >> 58 == min && high_max >> 58 == max && min < max {
                // The bits below take every value.
                let below = best((min..=max).map(|x| x << 58)).expect("not empty");
                let expected = Tnum::new(below.value(), below.mask() | ((1 << 58) - 1));
                assert_eq!(Tnum::range(high_min, high_max), expected);
            }
        }
    }
    assert_eq!(Tnum::range(0, u64::MAX), Tnum::UNKNOWN);
}
