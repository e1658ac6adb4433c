//! Numbers come back from their words as they were.

use super::random::any;
use super::{Random, rounds};
use crate::scalar::Scalar;

fn same(x: Scalar) {
    assert_eq!(Scalar::from_words(&x.words()), x);
}

#[test]
fn a_number_comes_back() {
    let mut random = Random::new();
    for _ in 0..rounds(20_000) {
        same(any::<64>(&mut random));
        same(Scalar::constant(random.next()));
        let bits = 1 + random.below(64) as u32;
        same(Scalar::any_of(bits));
    }
    let bound = |min, max| Scalar::from_signed(min, max).expect("min <= max");
    same(Scalar::unknown());
    same(bound(i64::MIN, -1));
    same(bound(-1, -1));
    same(bound(-1, 0));
    same(bound(i64::MIN, i64::MIN));
}

#[test]
fn most_words_are_0() {
    let count = |x: Scalar| x.words().iter().filter(|w| **w != 0).count();
    assert_eq!(count(Scalar::constant(0)), 0);
    assert_eq!(count(Scalar::constant(7)), 5);
    assert_eq!(count(Scalar::any_of(8)), 3);
}
