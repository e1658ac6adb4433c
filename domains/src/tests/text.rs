//! Scalars printed, read and refused.

use super::Random;
use super::random::any;
use crate::scalar::Scalar;
use crate::text::ParseScalarError;
use crate::tnum::Tnum;

#[test]
fn texts_of_typical_values() {
    let bounds = |a, b| Scalar::from_signed(a, b).expect("min <= max");
    let cases = [
        (Scalar::unknown(), "()"),
        (Scalar::constant(0), "0"),
        (Scalar::constant(7), "7"),
        (Scalar::constant(-22i64 as u64), "-22"),
        (Scalar::constant(0xffff_ffff), "0xffffffff"),
        (bounds(1, 8), "(umin=1,umax=8)"),
        (bounds(-5, 3), "(smin=-5,smax=3)"),
        (bounds(0, i64::MAX), "(umax=0x7fffffffffffffff)"),
        (Scalar::unknown().mov32(), "(umax=0xffffffff)"),
        (
            Scalar::unknown().and64(&Scalar::constant(0xf8)),
            "(umax=248,var_off=(0x0; 0xf8))",
        ),
        (
            Scalar::unknown().movsx64(32),
            "(smin=-0x80000000,smax=0x7fffffff)",
        ),
    ];
    for (scalar, text) in cases {
        assert_eq!(scalar.to_string(), text);
        assert_eq!(text.parse(), Ok(scalar));
    }
    let low = crate::Comparison::Lt.refine32(true, &Scalar::unknown(), &Scalar::constant(16));
    let (low, _) = low.expect("possible");
    assert_eq!(low.to_string().parse(), Ok(low));
}

#[test]
fn texts_of_low_halves() {
    let low = |umin, umax, smin, smax| {
        let scalar = Scalar::from_low_bounds(umin, umax, smin, smax);
        let text = scalar.expect("not empty").to_string();
        let facts = text.trim_matches(['(', ')']).split(',');
        let of_low: Vec<_> = facts.filter(|fact| fact.contains("32=")).collect();
        of_low.join(",")
    };
    let (smin, smax) = (i32::MIN, i32::MAX);
    // Of two ways to say the same, the unsigned one, unless the low half may be negative.
    assert_eq!(low(0, 16, smin, smax), "umax32=16");
    assert_eq!(low(3, 16, smin, smax), "umin32=3,umax32=16");
    assert_eq!(low(0, u32::MAX, -3, 16), "smin32=-3,smax32=16");
    assert_eq!(low(3, u32::MAX, smin, 16), "smax32=16,umin32=3");
    assert_eq!(low(0, u32::MAX - 3, smin, smax), "umax32=0xfffffffc");
}

#[test]
fn large_numbers_are_hexadecimal() {
    let text = |x: u64| Scalar::constant(x).to_string();
    assert_eq!(text(1 << 20), "1048576");
    assert_eq!(text((1 << 20) + 1), "0x100001");
    assert_eq!(text((1u64 << 20).wrapping_neg()), "-1048576");
    assert_eq!(text(1 << 63), "-0x8000000000000000");
    assert_eq!(text(1 << 63).parse(), Ok(Scalar::constant(1 << 63)));
    assert!("-0x8000000000000001".parse::<Scalar>().is_err());
}

#[test]
fn only_what_says_nothing_is_unknown() {
    assert!(Scalar::unknown().is_unknown());
    let most = [
        Scalar::from_unsigned(1, u64::MAX),
        Scalar::from_unsigned(0, u64::MAX - 1),
        Scalar::from_signed(i64::MIN + 1, i64::MAX),
        Scalar::from_signed(i64::MIN, i64::MAX - 1),
        Scalar::from_low_bounds(0, u32::MAX - 1, i32::MIN, i32::MAX),
        Scalar::from_tnum(Tnum::new(0, u64::MAX - (1 << 40))),
    ];
    for scalar in most {
        assert!(scalar.is_some_and(|scalar| !scalar.is_unknown()));
    }
    assert_eq!("()".parse(), Ok(Scalar::unknown()));
}

#[test]
fn kernel_like_texts_are_read() {
    let text = "(smin=0, smax=255, umin=0, umax=255, var_off=(0x0; 0xff))";
    assert_eq!(text.parse(), Ok(Scalar::unknown().zero_extend(8)));
    assert_eq!(" ( ) ".parse(), Ok(Scalar::unknown()));
    assert_eq!("-0x1".parse(), Ok(Scalar::constant(u64::MAX)));
    assert_eq!(
        "18446744073709551615".parse(),
        Ok(Scalar::constant(u64::MAX))
    );
    assert_eq!(
        "(var_off=(0x4; 0x3))".parse(),
        Ok(Scalar::from_tnum(Tnum::new(4, 3)).expect("not empty"))
    );
}

#[test]
fn what_is_printed_is_read_back() {
    let mut random = Random::new();
    for _ in 0..3_000 {
        let scalar = any::<64>(&mut random);
        assert_eq!(scalar.to_string().parse(), Ok(scalar));
        // So does what is put together again from the bounds.
        let wide = Scalar::from_bounds(scalar.umin(), scalar.umax(), scalar.smin(), scalar.smax());
        let low = Scalar::from_low_bounds(
            scalar.u32_min(),
            scalar.u32_max(),
            scalar.s32_min(),
            scalar.s32_max(),
        );
        let bits = Scalar::from_tnum(scalar.tnum());
        let again = wide.and_then(|wide| wide.meet(&low?)?.meet(&bits?));
        assert_eq!(again, Some(scalar));
    }
}

#[test]
fn bad_texts_are_refused() {
    let parse = |text: &str| text.parse::<Scalar>().expect_err("refused");
    assert_eq!(parse("x"), ParseScalarError::Number("x".into()));
    assert_eq!(parse(""), ParseScalarError::Number(String::new()));
    assert_eq!(
        parse("99999999999999999999"),
        ParseScalarError::Number("99999999999999999999".into())
    );
    assert_eq!(parse("(umin=-1)"), ParseScalarError::Number("-1".into()));
    assert_eq!(
        parse("(smin=0x8000000000000000)"),
        ParseScalarError::Number("0x8000000000000000".into())
    );
    assert_eq!(parse("(width=3)"), ParseScalarError::Fact("width".into()));
    assert_eq!(parse("(umin)"), ParseScalarError::Form("umin".into()));
    assert_eq!(
        parse("(var_off=(1; 2)umin=3)"),
        ParseScalarError::Form("umin=3".into())
    );
    assert_eq!(parse("(var_off=3)"), ParseScalarError::Form("3".into()));
    assert_eq!(
        parse("(umin=8,umax=7)"),
        ParseScalarError::Empty("(umin=8,umax=7)".into())
    );
    for text in [
        "(",
        ")",
        "(=)",
        "(umin=",
        "(umin=1,,)",
        "((",
        "(var_off=(",
        "(var_off=()",
        "--1",
        "(é=1)",
        "0x",
    ] {
        parse(text);
    }
}
