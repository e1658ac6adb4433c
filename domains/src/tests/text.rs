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
