//! What Linux's verifier once believed of numbers and should not have, one test each.

use crate::branch::Comparison;
use crate::scalar::Scalar;
use crate::tnum::Tnum;

fn constant(x: u64) -> Scalar {
    Scalar::constant(x)
}

fn unsigned(min: u64, max: u64) -> Scalar {
    Scalar::from_unsigned(min, max).expect("min <= max")
}

fn signed(min: i64, max: i64) -> Scalar {
    Scalar::from_signed(min, max).expect("min <= max")
}

/// A 32-bit move of an immediate was recorded sign-extended.
#[test]
fn cve_2017_16995() {
    let moved = constant(-1i64 as u64).mov32();
    assert_eq!(moved.as_constant(), Some(0xffff_ffff));
    assert_eq!(
        Comparison::Ne.decide64(&moved, &constant(-1i64 as u64)),
        Some(true)
    );
}

/// A 32-bit operation kept 64-bit bounds.
#[test]
fn cve_2017_16996() {
    let sum = unsigned(0xffff_fff0, 0x1_0000_0010).add32(&constant(0));
    assert!(sum.umax() <= 0xffff_ffff);
    assert!(sum.contains(0) && sum.contains(0x10) && sum.contains(0xffff_fff0));
    let sum = constant(0xffff_ffff).add32(&constant(1));
    assert_eq!(sum.as_constant(), Some(0));
}

/// 32-bit operations took in the high half.
#[test]
fn cve_2017_17852() {
    let x = constant(0x1234_5678_8000_0000);
    assert_eq!(x.add32(&x).as_constant(), Some(0));
    assert_eq!(x.arsh32(&constant(31)).as_constant(), Some(0xffff_ffff));
    assert_eq!(x.neg32().as_constant(), Some(0x8000_0000));
    assert_eq!(x.div32(&constant(2)).as_constant(), Some(0x4000_0000));
    assert_eq!(
        x.xor32(&constant(0x1_0000_0000)).as_constant(),
        Some(0x8000_0000)
    );
}

/// A logical shift right kept signed bounds.
#[test]
fn cve_2017_17853() {
    let shifted = signed(-1, 1).rsh64(&constant(1));
    assert!(shifted.contains(0x7fff_ffff_ffff_ffff) && shifted.contains(0));
    assert!(shifted.smin() >= 0);
    assert_eq!(shifted.smax(), i64::MAX);
}

/// Sums of large offsets wrapped at 32 bits.
#[test]
fn cve_2017_17854_and_17863() {
    let sum = constant(0x7fff_ffff).add64(&constant(0x7fff_ffff));
    assert_eq!((sum.smin(), sum.smax()), (0xffff_fffe, 0xffff_fffe));
    let sum = signed(0, i64::MAX).add64(&constant(1));
    assert!(sum.contains(i64::MIN as u64) && sum.smin() == i64::MIN);
}

/// A 32-bit shift right was computed on 64-bit bounds.
#[test]
fn cve_2018_18445() {
    let shifted = constant(0x1_8000_0000).rsh32(&constant(31));
    assert_eq!(shifted.as_constant(), Some(1));
    let shifted = unsigned(0x1_0000_0000, 0x2_0000_0000).rsh32(&constant(31));
    assert_eq!((shifted.umin(), shifted.umax()), (0, 1));
}

/// The low half was taken to lie between the low halves of the 64-bit bounds.
#[test]
fn cve_2020_8835() {
    let x = unsigned(1, 0x1_0000_0001);
    assert_eq!((x.u32_min(), x.u32_max()), (0, u32::MAX));
    let (other, _) = Comparison::Ne
        .refine32(true, &x, &constant(5))
        .expect("both ways are possible");
    assert!(
        other.contains(1)
            && other.contains(2)
            && other.contains(0x1_0000_0000)
            && other.as_constant().is_none()
    );
    let (below, _) = Comparison::Le
        .refine32(true, &x, &constant(1))
        .expect("both ways are possible");
    assert!(
        [0x1_0000_0000, 0x1_0000_0001, 1]
            .into_iter()
            .all(|x| below.contains(x))
    );
}

/// A 32-bit disjunction stored 64-bit bounds as 32-bit ones.
#[test]
fn cve_2020_27194() {
    let x = unsigned(1, 0x2_0000_0001);
    for result in [x.or64(&constant(0)), x.or32(&constant(0))] {
        for low in [0u64, 1, 2, 0xffff_ffff] {
            assert!(result.low().contains(low), "{result} loses {low:#x}");
        }
    }
}

/// The remainder of a 32-bit division by zero was believed truncated and was not; here the meaning is fixed: it is.
#[test]
fn cve_2021_3444() {
    let x = constant(0xffff_ffff_0000_0005);
    assert_eq!(x.mod32(&constant(0)).as_constant(), Some(5));
    assert_eq!(x.div32(&constant(0)).as_constant(), Some(0));
    assert_eq!(
        x.mod64(&constant(0)).as_constant(),
        Some(0xffff_ffff_0000_0005)
    );
    assert!(
        Scalar::unknown()
            .mod32(&unsigned(0, 7))
            .contains(0xffff_ffff)
    );
    assert!(Scalar::unknown().mod32(&unsigned(0, 7)).umax() == 0xffff_ffff);
}

/// 32-bit bounds were not updated when both low halves were known: least above greatest.
#[test]
fn cve_2021_3490() {
    let half_known = |low: u64| Scalar::from_tnum(Tnum::new(low, !0xffff_ffff)).expect("not empty");
    let (a, b) = (half_known(1), half_known(2));
    for (result, low) in [(a.and64(&b), 0), (a.or64(&b), 3), (a.xor64(&b), 3)] {
        assert_eq!(result.low_constant(), Some(low));
        assert_eq!((result.u32_min(), result.u32_max()), (low, low));
        assert_eq!(
            (result.s32_min(), result.s32_max()),
            (low as i32, low as i32)
        );
        assert!(result.as_constant().is_none());
    }
}

/// The least and the greatest number were taken into 32 bits apart from each other.
#[test]
fn cve_2021_31440() {
    let x = unsigned(5, 1 << 63);
    assert_eq!((x.u32_min(), x.u32_max()), (0, u32::MAX));
    let x = signed(5, 0x1_0000_0000);
    assert!(x.low().contains(0));
}

/// Signed bounds stayed as they were after a 32-bit move.
#[test]
fn cve_2021_45402() {
    let moved = signed(-2, -1).mov32();
    assert_eq!((moved.smin(), moved.smax()), (0xffff_fffe, 0xffff_ffff));
    assert_eq!((moved.s32_min(), moved.s32_max()), (-2, -1));
    assert_eq!((moved.umin(), moved.umax()), (0xffff_fffe, 0xffff_ffff));
}

/// The constant operand of one branch was changed by the other.
#[test]
fn cve_2024_41003() {
    for op in Comparison::ALL {
        for taken in [true, false] {
            if let Some((_, b)) = op.refine64(taken, &signed(-10, 10), &constant(4)) {
                assert_eq!(b, constant(4));
            }
            if let Some((_, b)) = op.refine32(taken, &signed(-10, 10), &constant(4)) {
                assert_eq!(b, constant(4));
            }
        }
    }
}

/// A signed comparison was relied on for an unsigned index.
#[test]
fn cve_2024_56614() {
    let (index, _) = Comparison::Slt
        .refine64(true, &Scalar::unknown(), &constant(16))
        .expect("possible");
    assert_eq!(index.umax(), u64::MAX);
    let (index, _) = Comparison::Slt
        .refine32(true, &Scalar::unknown().mov32(), &constant(16))
        .expect("possible");
    assert_eq!(index.umax(), 0xffff_ffff);
}

/// The least signed number divided by -1 has no positive counterpart.
#[test]
fn division_of_the_least_number_wraps() {
    let least = constant(i64::MIN as u64);
    let minus_one = constant(u64::MAX);
    assert_eq!(
        least.sdiv64(&minus_one).as_constant(),
        Some(i64::MIN as u64)
    );
    assert_eq!(least.smod64(&minus_one).as_constant(), Some(0));
    let least = constant(0x8000_0000);
    assert_eq!(least.sdiv32(&minus_one).as_constant(), Some(0x8000_0000));
    assert_eq!(least.smod32(&minus_one).as_constant(), Some(0));
    assert!(
        signed(i64::MIN, i64::MIN + 1)
            .sdiv64(&signed(-2, -1))
            .contains(i64::MIN as u64)
    );
}
