//! Every arithmetic instruction and comparison, on corner values, against a calculation of its own.

use crate::harness::{Pair, assemble, context, in_process, prove};

const CORNERS: &[u64] = &[
    0,
    1,
    2,
    7,
    31,
    32,
    33,
    63,
    64,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1234_5678_9abc_def0,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_0000_0000,
    0xffff_ffff_8000_0000,
    0xffff_ffff_ffff_ffff,
];

/// What an operator should give, in 128 bits so that nothing overflows.
fn expected(op: &str, wide: bool, a: u64, b: u64) -> u64 {
    let bits = if wide { 64 } else { 32 };
    let mask = if wide { u64::MAX } else { u64::from(u32::MAX) };
    let (ua, ub) = (u128::from(a & mask), u128::from(b & mask));
    let signed = |v: u64| {
        if wide {
            i128::from(v as i64)
        } else {
            i128::from(v as i32)
        }
    };
    let (sa, sb) = (signed(a), signed(b));
    let shift = (b % bits) as u32;
    let v = match op {
        "+=" => ua.wrapping_add(ub) as u64,
        "-=" => ua.wrapping_sub(ub) as u64,
        "*=" => ua.wrapping_mul(ub) as u64,
        "/=" => ua.checked_div(ub).unwrap_or(0) as u64,
        "%=" => ua.checked_rem(ub).unwrap_or(ua) as u64,
        "s/=" => sa.checked_div(sb).unwrap_or(0) as u64,
        "s%=" => sa.checked_rem(sb).unwrap_or(sa) as u64,
        "|=" => a | b,
        "&=" => a & b,
        "^=" => a ^ b,
        "<<=" => (ua << shift) as u64,
        ">>=" => (ua >> shift) as u64,
        "s>>=" => (sa >> shift) as u64,
        _ => unreachable!("{op}"),
    };
    v & mask
}

fn holds(op: &str, wide: bool, a: u64, b: u64) -> bool {
    let mask = if wide { u64::MAX } else { u64::from(u32::MAX) };
    let signed = |v: u64| if wide { v as i64 } else { i64::from(v as i32) };
    let (sa, sb, a, b) = (signed(a), signed(b), a & mask, b & mask);
    match op {
        "==" => a == b,
        "!=" => a != b,
        ">" => a > b,
        ">=" => a >= b,
        "<" => a < b,
        "<=" => a <= b,
        "s>" => sa > sb,
        "s>=" => sa >= sb,
        "s<" => sa < sb,
        "s<=" => sa <= sb,
        "&" => a & b != 0,
        _ => unreachable!("{op}"),
    }
}

/// Assembles a body that works on r2 and r3 (both unknown to the verifier) and leaves r0.
fn pair(body: &str) -> Pair {
    let platform = in_process();
    let text = format!(
        ".license \"GPL\"\n.section raw_tracepoint\n.globl main\nmain:\nr2 = *(u64 *)(r1 + 0)\nr3 = *(u64 *)(r1 + 8)\n{body}\nexit\n"
    );
    let object = assemble(&platform, "alu", &text).unwrap_or_else(|e| panic!("{text}{e}"));
    let verified = prove(&platform, &object).unwrap_or_else(|e| panic!("{text}{e}"));
    Pair::new(verified).unwrap_or_else(|e| panic!("{text}{e}"))
}

fn check(pair: &Pair, what: &str, a: u64, b: u64, want: u64) {
    let (i, j) = pair.call(0, &|| context(17, &[a, b], &[]), 0);
    assert_eq!(i.result, Ok(want), "interp: {what}, {a:#x}, {b:#x}");
    assert_eq!(j.result, Ok(want), "jit: {what}, {a:#x}, {b:#x}");
}

const OPS: &[&str] = &[
    "+=", "-=", "*=", "/=", "%=", "s/=", "s%=", "|=", "&=", "^=", "<<=", ">>=", "s>>=",
];

#[test]
fn arithmetic_with_registers() {
    for wide in [true, false] {
        for op in OPS {
            let r = if wide { "r" } else { "w" };
            let body = format!("{r}2 {op} {r}3\nr0 = r2");
            let p = pair(&body);
            for &a in CORNERS {
                for &b in CORNERS {
                    check(&p, &body, a, b, expected(op, wide, a, b));
                }
            }
        }
    }
}

#[test]
fn arithmetic_with_immediates() {
    for wide in [true, false] {
        for op in OPS {
            for imm in [1i32, 2, 7, 31, -1, -7, i32::MAX, i32::MIN] {
                if (op.contains("<<") || op.contains(">>")) && !(0..32).contains(&imm) {
                    continue;
                }
                let r = if wide { "r" } else { "w" };
                let body = format!("{r}2 {op} {imm}\nr0 = r2");
                let p = pair(&body);
                for &a in CORNERS {
                    check(&p, &body, a, 0, expected(op, wide, a, imm as i64 as u64));
                }
            }
        }
    }
}

#[test]
fn comparisons() {
    for wide in [true, false] {
        for op in [
            "==", "!=", ">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "&",
        ] {
            let r = if wide { "r" } else { "w" };
            let body = format!("r0 = 1\nif {r}2 {op} {r}3 goto yes\nr0 = 0\nyes:");
            let p = pair(&body);
            for &a in CORNERS {
                for &b in CORNERS {
                    check(&p, &body, a, b, u64::from(holds(op, wide, a, b)));
                }
            }
            for imm in [0i32, 1, -1, i32::MAX, i32::MIN] {
                let body = format!("r0 = 1\nif {r}2 {op} {imm} goto yes\nr0 = 0\nyes:");
                let p = pair(&body);
                for &a in CORNERS {
                    check(
                        &p,
                        &body,
                        a,
                        0,
                        u64::from(holds(op, wide, a, imm as i64 as u64)),
                    );
                }
            }
        }
    }
}

#[test]
fn one_operand() {
    type Want = fn(u64) -> u64;
    let cases: &[(&str, Want)] = &[
        ("r2 = -r2", u64::wrapping_neg),
        ("w2 = -w2", |v| u64::from((v as u32).wrapping_neg())),
        ("w2 = w2", |v| v & 0xffff_ffff),
        ("r2 = (s8)r2", |v| v as i8 as u64),
        ("r2 = (s16)r2", |v| v as i16 as u64),
        ("r2 = (s32)r2", |v| v as i32 as u64),
        ("w2 = (s8)w2", |v| u64::from(v as i8 as u32)),
        ("w2 = (s16)w2", |v| u64::from(v as i16 as u32)),
        ("r2 = be16 r2", |v| u64::from((v as u16).swap_bytes())),
        ("r2 = be32 r2", |v| u64::from((v as u32).swap_bytes())),
        ("r2 = be64 r2", u64::swap_bytes),
        ("r2 = le16 r2", |v| v & 0xffff),
        ("r2 = le32 r2", |v| v & 0xffff_ffff),
        ("r2 = le64 r2", |v| v),
        ("r2 = bswap16 r2", |v| u64::from((v as u16).swap_bytes())),
        ("r2 = bswap32 r2", |v| u64::from((v as u32).swap_bytes())),
        ("r2 = bswap64 r2", u64::swap_bytes),
    ];
    for (insn, want) in cases {
        let p = pair(&format!("{insn}\nr0 = r2"));
        for &a in CORNERS {
            check(&p, insn, a, 0, want(a));
        }
    }
}

#[test]
fn memory_of_every_size() {
    for (size, bits) in [("8", 8), ("16", 16), ("32", 32), ("64", 64)] {
        let mask = u64::MAX >> (64 - bits);
        let unsigned = pair(&format!(
            "*(u64 *)(r10 - 8) = r3\n*(u{size} *)(r10 - 8) = r2\nr0 = *(u{size} *)(r10 - 8)"
        ));
        let around = pair(&format!(
            "*(u64 *)(r10 - 8) = r3\n*(u{size} *)(r10 - 8) = r2\nr0 = *(u64 *)(r10 - 8)"
        ));
        // Alone in its bytes: an SSA value.
        let alone = pair(&format!(
            "*(u{size} *)(r10 - 8) = r2\nr0 = *(u{size} *)(r10 - 8)"
        ));
        for &a in CORNERS {
            for &b in [0, u64::MAX, 0x0123_4567_89ab_cdef].iter() {
                check(&unsigned, size, a, b, a & mask);
                check(&around, size, a, b, b & !mask | a & mask);
                check(&alone, size, a, b, a & mask);
            }
        }
        if bits < 64 {
            let signed = pair(&format!(
                "*(u{size} *)(r10 - 8) = r2\nr0 = *(s{size} *)(r10 - 8)"
            ));
            for &a in CORNERS {
                let want = ((a << (64 - bits)) as i64 >> (64 - bits)) as u64;
                check(&signed, size, a, 0, want);
            }
        }
    }
}
