use probity_isa::{AluOp, Insn, JmpOp, Reg, Size, Src, SwapOp, Width};

use super::*;

const INTERESTING: [u64; 26] = [
    0,
    1,
    2,
    3,
    7,
    31,
    32,
    33,
    63,
    64,
    65,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    0x1234_5678_9abc_def0,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_0000_0000,
    u64::MAX,
];

const OPS: [AluOp; 13] = [
    AluOp::Add,
    AluOp::Sub,
    AluOp::Mul,
    AluOp::Div,
    AluOp::SDiv,
    AluOp::Mod,
    AluOp::SMod,
    AluOp::Or,
    AluOp::And,
    AluOp::Xor,
    AluOp::Lsh,
    AluOp::Rsh,
    AluOp::Arsh,
];

/// The standard's words in arithmetic that cannot overflow.
fn model(op: AluOp, width: Width, dst: u64, src: u64) -> u64 {
    let bits = width.bits();
    let modulus = 1i128 << bits;
    let unsigned = |v: u64| i128::from(v) % modulus;
    let signed = |v: u64| {
        let u = unsigned(v);
        if u >= modulus / 2 { u - modulus } else { u }
    };
    let (a, b, sa, sb) = (unsigned(dst), unsigned(src), signed(dst), signed(src));
    let count = b % i128::from(bits);
    let power = 1i128 << count;
    let result = match op {
        AluOp::Add => a + b,
        AluOp::Sub => a - b,
        AluOp::Mul => (a as u128).wrapping_mul(b as u128) as i128,
        AluOp::Div => {
            if b == 0 {
                0
            } else {
                a / b
            }
        }
        AluOp::SDiv => {
            if b == 0 {
                0
            } else {
                sa / sb
            }
        }
        AluOp::Mod => {
            if b == 0 {
                a
            } else {
                a % b
            }
        }
        AluOp::SMod => {
            if b == 0 {
                a
            } else {
                sa % sb
            }
        }
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh => (a as u128).wrapping_mul(power as u128) as i128,
        AluOp::Rsh => a / power,
        AluOp::Arsh => sa.div_euclid(power),
    };
    result.rem_euclid(modulus) as u64
}

#[test]
fn arithmetic_is_that_of_the_standard_on_interesting_values() {
    for op in OPS {
        for width in [Width::W32, Width::W64] {
            for a in INTERESTING {
                for b in INTERESTING {
                    assert_eq!(
                        alu(op, width, a, b),
                        model(op, width, a, b),
                        "{op:?} {width:?} {a:#x} {b:#x}"
                    );
                }
            }
        }
    }
}

#[test]
fn corner_cases_of_division() {
    let min = i64::MIN as u64;
    assert_eq!(alu(AluOp::SDiv, Width::W64, min, u64::MAX), min);
    assert_eq!(alu(AluOp::SMod, Width::W64, min, u64::MAX), 0);
    assert_eq!(
        alu(AluOp::SDiv, Width::W32, 0x8000_0000, 0xffff_ffff),
        0x8000_0000
    );
    assert_eq!(alu(AluOp::SDiv, Width::W64, -7i64 as u64, 2), -3i64 as u64);
    assert_eq!(alu(AluOp::SMod, Width::W64, -7i64 as u64, 2), -1i64 as u64);
    assert_eq!(alu(AluOp::Div, Width::W64, 5, 0), 0);
    assert_eq!(alu(AluOp::Mod, Width::W64, 5, 0), 5);
    // The dividend is cut to 32 bits even where nothing is divided.
    assert_eq!(alu(AluOp::Mod, Width::W32, 0xffff_ffff_0000_0005, 0), 5);
    assert_eq!(alu(AluOp::SMod, Width::W32, 0xffff_ffff_0000_0005, 0), 5);
}

#[test]
fn negation_moves_and_swaps() {
    assert_eq!(neg(Width::W64, 1), u64::MAX);
    assert_eq!(neg(Width::W32, 1), 0xffff_ffff);
    assert_eq!(neg(Width::W32, 0x8000_0000), 0x8000_0000);
    let run = |insn, r1: u64| {
        let mut regs = [0; Reg::COUNT];
        regs[1] = r1;
        assert!(step(insn, &mut regs));
        regs[1]
    };
    let dst = Reg::R1;
    let sx = |width, from| Insn::MovSx {
        width,
        dst,
        src: dst,
        from,
    };
    assert_eq!(run(sx(Width::W64, Size::B), 0x80), 0xffff_ffff_ffff_ff80);
    assert_eq!(run(sx(Width::W32, Size::B), 0x80), 0xffff_ff80);
    assert_eq!(run(sx(Width::W32, Size::H), 0x1_7fff), 0x7fff);
    assert_eq!(
        run(sx(Width::W64, Size::W), 0x8000_0000),
        0xffff_ffff_8000_0000
    );
    let swap = |op, bits| Insn::Swap { op, dst, bits };
    let v = 0x1122_3344_5566_7788;
    assert_eq!(run(swap(SwapOp::ToLe, 16), v), 0x7788);
    assert_eq!(run(swap(SwapOp::ToLe, 32), v), 0x5566_7788);
    assert_eq!(run(swap(SwapOp::ToLe, 64), v), v);
    for op in [SwapOp::ToBe, SwapOp::Bswap] {
        assert_eq!(run(swap(op, 16), v), 0x8877);
        assert_eq!(run(swap(op, 32), v), 0x8877_6655);
        assert_eq!(run(swap(op, 64), v), 0x8877_6655_4433_2211);
    }
    let mov = |width, imm| Insn::Mov {
        width,
        dst,
        src: Src::Imm(imm),
    };
    assert_eq!(run(mov(Width::W64, -1), 0), u64::MAX);
    assert_eq!(run(mov(Width::W32, -1), 0), 0xffff_ffff);
}

#[test]
fn comparisons_are_those_of_wide_integers() {
    let ops = [
        JmpOp::Eq,
        JmpOp::Ne,
        JmpOp::Gt,
        JmpOp::Ge,
        JmpOp::Lt,
        JmpOp::Le,
        JmpOp::SGt,
        JmpOp::SGe,
        JmpOp::SLt,
        JmpOp::SLe,
        JmpOp::Set,
    ];
    for width in [Width::W32, Width::W64] {
        for a in INTERESTING {
            for b in INTERESTING {
                let (ua, ub) = (narrow(width, a), narrow(width, b));
                let signed =
                    |v: u64| (i128::from(v) << (128 - width.bits())) >> (128 - width.bits());
                let (sa, sb) = (signed(ua), signed(ub));
                for op in ops {
                    let expected = match op {
                        JmpOp::Eq => ua == ub,
                        JmpOp::Ne => ua != ub,
                        JmpOp::Gt => ua > ub,
                        JmpOp::Ge => ua >= ub,
                        JmpOp::Lt => ua < ub,
                        JmpOp::Le => ua <= ub,
                        JmpOp::SGt => sa > sb,
                        JmpOp::SGe => sa >= sb,
                        JmpOp::SLt => sa < sb,
                        JmpOp::SLe => sa <= sb,
                        JmpOp::Set => ua & ub != 0,
                    };
                    assert_eq!(
                        compare(op, width, a, b),
                        expected,
                        "{op:?} {width:?} {a:#x} {b:#x}"
                    );
                }
            }
        }
    }
}

/// rbpf 0.4 is a second opinion on what it gets right: not on `le`, 64-bit negation, 32-bit
/// arithmetic shifts, and 32-bit modulo by a zero in a register, which leaves the upper half.
#[test]
fn rbpf_agrees_on_random_straight_line_programs() {
    let seed = std::env::var("TEST_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1u64);
    println!("TEST_SEED={seed}");
    let mut state = seed;
    let mut next = |below: u64| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    let ops = [
        AluOp::Add,
        AluOp::Sub,
        AluOp::Mul,
        AluOp::Div,
        AluOp::Mod,
        AluOp::Or,
        AluOp::And,
        AluOp::Xor,
        AluOp::Lsh,
        AluOp::Rsh,
        AluOp::Arsh,
    ];
    let mut compared = 0;
    for _ in 0..2000 {
        let mut insns = Vec::new();
        for reg in Reg::all().take(10) {
            let v = INTERESTING[next(INTERESTING.len() as u64) as usize];
            insns.push(Insn::LoadImm64 {
                dst: reg,
                imm: probity_isa::Imm64::Value(v),
            });
            insns.push(Insn::Imm64High);
        }
        for _ in 0..20 {
            let reg = |n: u64| Reg::new(n as u8).unwrap();
            let (dst, src) = (reg(next(10)), reg(next(10)));
            let imm = INTERESTING[next(INTERESTING.len() as u64) as usize] as i32;
            let width = if next(2) == 0 { Width::W32 } else { Width::W64 };
            let op = ops[next(ops.len() as u64) as usize];
            let src = if next(2) == 0 {
                Src::Reg(src)
            } else {
                Src::Imm(imm)
            };
            insns.push(match next(8) {
                0 => Insn::Mov { width, dst, src },
                1 => Insn::Neg {
                    width: Width::W32,
                    dst,
                },
                2 => Insn::Swap {
                    op: SwapOp::ToBe,
                    dst,
                    bits: [16, 32, 64][next(3) as usize],
                },
                _ => {
                    let width = if op == AluOp::Arsh { Width::W64 } else { width };
                    // Linux and the standard forbid shifts by an immediate out of range, division by immediate 0.
                    let src = match (op, src) {
                        (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, Src::Imm(i)) => {
                            Src::Imm(i & (width.bits() as i32 - 1))
                        }
                        (AluOp::Div | AluOp::Mod, Src::Imm(0)) => Src::Imm(3),
                        (AluOp::Mod, Src::Reg(_)) if width == Width::W32 => Src::Imm(5),
                        (_, src) => src,
                    };
                    Insn::Alu {
                        op,
                        width,
                        dst,
                        src,
                    }
                }
            });
        }
        // All registers are folded into r0.
        for src in Reg::all().skip(1).take(9) {
            insns.push(Insn::Alu {
                op: AluOp::Mul,
                width: Width::W64,
                dst: Reg::R0,
                src: Src::Imm(31),
            });
            insns.push(Insn::Alu {
                op: AluOp::Add,
                width: Width::W64,
                dst: Reg::R0,
                src: Src::Reg(src),
            });
        }
        insns.push(Insn::Exit);
        let mut regs: Regs = [0; Reg::COUNT];
        for insn in &insns {
            if let Insn::LoadImm64 {
                dst,
                imm: probity_isa::Imm64::Value(v),
            } = insn
            {
                regs[dst.index()] = *v;
            } else {
                step(*insn, &mut regs);
            }
        }
        let bytes = probity_isa::to_bytes(&probity_isa::encode(&insns).unwrap());
        let theirs = rbpf::EbpfVmNoData::new(Some(&bytes))
            .unwrap()
            .execute_program()
            .unwrap();
        assert_eq!(regs[0], theirs, "{insns:#?}");
        compared += 1;
    }
    assert_eq!(compared, 2000);
}
