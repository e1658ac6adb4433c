//! Random programs: what is accepted is run on random input, and must stay within what was proved.
//!
//! The programs compute with numbers, branch, loop, spill, and index a map value. The machine here is a
//! second, dumber one: every register is a number, and an access outside of the stack and of the map value
//! is an error. `TEST_SEED=N` repeats a run, `TEST_PROGRAMS=N` says how many programs.

use std::sync::Arc;

use probity_isa::{AluOp, CallTarget, Imm64, Insn, JmpOp, Reg, Size, Src, Width};
use probity_objfile::{Map, ObjectBuilder, ProgramDef};
use probity_platform::{Platform, Policy, Version};
use probity_verifier::{Options, Verdict, VerifiedProgram, verify};

const VALUE: u64 = 0x1000_0000_0000;
const VALUE_BYTES: u64 = 16;
const STACK: u64 = 0x2000_0000_0000;
const CONTEXT: u64 = 0x3000_0000_0000;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// Numbers at which arithmetic and bounds go wrong.
    fn number(&mut self) -> u64 {
        let base: u64 = self.of(&[
            0u64,
            1,
            2,
            7,
            8,
            15,
            16,
            0x7f,
            0xff,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            1 << 32,
        ]);
        let base = match self.below(4) {
            0 => base.wrapping_neg(),
            1 => base << 31,
            2 => self.next() >> self.below(64),
            _ => base,
        };
        base.wrapping_add(self.below(3)).wrapping_sub(1)
    }
}

fn reg(n: u8) -> Reg {
    Reg::new(n).expect("a register")
}

/// Registers that hold numbers: r0 is the map value, r5 and r9 are for accesses.
const NUMBERS: [u8; 6] = [1, 2, 3, 4, 7, 8];
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
const JUMPS: [JmpOp; 11] = [
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

fn width(r: &mut Rng) -> Width {
    if r.below(2) == 0 {
        Width::W32
    } else {
        Width::W64
    }
}

fn source(r: &mut Rng) -> Src {
    if r.below(3) == 0 {
        Src::Reg(reg(r.of(&NUMBERS)))
    } else {
        Src::Imm(r.number() as i32)
    }
}

fn head() -> Vec<Insn> {
    let mov = |dst, src| Insn::Mov {
        width: Width::W64,
        dst,
        src,
    };
    let mut code = vec![
        Insn::Store {
            size: Size::W,
            base: Reg::R10,
            off: -4,
            src: Src::Imm(0),
        },
        mov(Reg::R2, Src::Reg(Reg::R10)),
        Insn::Alu {
            op: AluOp::Add,
            width: Width::W64,
            dst: Reg::R2,
            src: Src::Imm(-4),
        },
        Insn::LoadImm64 {
            dst: Reg::R1,
            imm: Imm64::MapIdx(0),
        },
        Insn::Imm64High,
        Insn::Call(CallTarget::Helper(1)),
        Insn::JumpIf {
            op: JmpOp::Ne,
            width: Width::W64,
            dst: Reg::R0,
            src: Src::Imm(0),
            rel: 1,
        },
        Insn::Exit,
    ];
    for n in NUMBERS {
        code.push(Insn::Load {
            size: Size::DW,
            signed: false,
            dst: reg(n),
            base: Reg::R0,
            off: 8 * i16::from(n & 1),
        });
    }
    for slot in 1..=4 {
        code.push(Insn::Store {
            size: Size::DW,
            base: Reg::R10,
            off: -8 * slot,
            src: Src::Imm(0),
        });
    }
    code
}

fn body(r: &mut Rng, code: &mut Vec<Insn>, most: u64, depth: u32) {
    for _ in 0..1 + r.below(most) {
        let dst = reg(r.of(&NUMBERS));
        match r.below(if depth > 0 { 22 } else { 18 }) {
            0..=4 => {
                let op = r.of(&OPS);
                let width = width(r);
                let src = match (op, source(r)) {
                    (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, Src::Imm(i)) => {
                        Src::Imm(i.rem_euclid(width.bits() as i32))
                    }
                    (AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod, Src::Imm(0)) => {
                        Src::Imm(3)
                    }
                    (_, src) => src,
                };
                code.push(Insn::Alu {
                    op,
                    width,
                    dst,
                    src,
                });
            }
            5..=6 => code.push(Insn::Mov {
                width: width(r),
                dst,
                src: source(r),
            }),
            7 => {
                let from = r.of(&[Size::B, Size::H]);
                code.push(Insn::MovSx {
                    width: width(r),
                    dst,
                    src: reg(r.of(&NUMBERS)),
                    from,
                });
            }
            8 => {
                let size = r.of(&[Size::B, Size::H, Size::W, Size::DW]);
                let signed = size != Size::DW && r.below(2) == 0;
                let off = r.below(VALUE_BYTES / size.bytes() as u64) as i16 * size.bytes() as i16;
                code.push(Insn::Load {
                    size,
                    signed,
                    dst,
                    base: Reg::R0,
                    off,
                });
            }
            9..=10 => {
                let size = r.of(&[Size::B, Size::W, Size::DW, Size::DW]);
                let off = -32 + r.below(32 / size.bytes() as u64) as i16 * size.bytes() as i16;
                let src = Src::Reg(reg(r.of(&NUMBERS)));
                code.push(Insn::Store {
                    size,
                    base: Reg::R10,
                    off,
                    src,
                });
            }
            11..=12 => {
                let size = r.of(&[Size::B, Size::W, Size::DW, Size::DW]);
                let off = -32 + r.below(32 / size.bytes() as u64) as i16 * size.bytes() as i16;
                code.push(Insn::Load {
                    size,
                    signed: false,
                    dst,
                    base: Reg::R10,
                    off,
                });
            }
            13 => code.push(Insn::Alu {
                op: AluOp::And,
                width: Width::W64,
                dst,
                src: Src::Imm(r.below(16) as i32),
            }),
            14..=17 => {
                // Index the map value.
                let mov = Insn::Mov {
                    width: Width::W64,
                    dst: Reg::R5,
                    src: Src::Reg(Reg::R0),
                };
                let add = Insn::Alu {
                    op: AluOp::Add,
                    width: Width::W64,
                    dst: Reg::R5,
                    src: Src::Reg(dst),
                };
                let load = Insn::Load {
                    size: Size::B,
                    signed: false,
                    dst: Reg::R9,
                    base: Reg::R5,
                    off: 0,
                };
                let guard = r.of(&[JmpOp::Gt, JmpOp::Ge, JmpOp::SGt, JmpOp::Ne, JmpOp::Set]);
                let limit = if guard == JmpOp::Set {
                    -16
                } else {
                    r.of(&[15, 15, 15, 7, 16])
                };
                match r.below(6) {
                    0 => {}
                    2 | 3 => {
                        // The guard is on a copy, which may be a little further.
                        let copy = reg(r.of(&NUMBERS));
                        let more = r.of(&[0, 0, 1, -1, 4]);
                        code.push(Insn::Mov {
                            width: Width::W64,
                            dst: copy,
                            src: Src::Reg(dst),
                        });
                        if more != 0 {
                            code.push(Insn::Alu {
                                op: AluOp::Add,
                                width: Width::W64,
                                dst: copy,
                                src: Src::Imm(more),
                            });
                        }
                        body(r, code, 3, depth.min(1));
                        code.push(Insn::JumpIf {
                            op: guard,
                            width: width(r),
                            dst: copy,
                            src: Src::Imm(limit),
                            rel: 3,
                        });
                    }
                    1 => code.push(Insn::Alu {
                        op: AluOp::And,
                        width: Width::W64,
                        dst,
                        src: Src::Imm(r.of(&[15, 7, 8, 12])),
                    }),
                    _ => code.push(Insn::JumpIf {
                        op: guard,
                        width: width(r),
                        dst,
                        src: Src::Imm(limit),
                        rel: 3,
                    }),
                }
                code.extend([mov, add, load]);
            }
            18..=20 => {
                // A branch over something.
                let at = code.len();
                code.push(Insn::Exit);
                body(r, code, 5, depth - 1);
                let rel = (code.len() - at - 1) as i16;
                code[at] = Insn::JumpIf {
                    op: r.of(&JUMPS),
                    width: width(r),
                    dst,
                    src: source(r),
                    rel,
                };
            }
            _ => {
                // A loop that counts, mostly, in r6 or on the stack.
                code.push(Insn::Mov {
                    width: Width::W64,
                    dst: Reg::R6,
                    src: Src::Imm(0),
                });
                let start = code.len();
                body(r, code, 4, 0);
                code.push(Insn::Alu {
                    op: AluOp::Add,
                    width: Width::W64,
                    dst: Reg::R6,
                    src: Src::Imm(1),
                });
                let rel = start as i64 - code.len() as i64 - 1;
                let src = match r.below(4) {
                    0 => Src::Reg(dst),
                    _ => Src::Imm(1 + r.below(12) as i32),
                };
                code.push(Insn::JumpIf {
                    op: JmpOp::Lt,
                    width: Width::W64,
                    dst: Reg::R6,
                    src,
                    rel: rel as i16,
                });
            }
        }
    }
}

/// One run. `Err` says what the proof promised and did not hold.
fn run(p: &VerifiedProgram, value: &mut [u8; VALUE_BYTES as usize]) -> Result<(), String> {
    let insns = p.insns();
    let mut regs = [0u64; 11];
    regs[1] = CONTEXT;
    regs[10] = STACK;
    let mut stack = [0u8; 512];
    let mut pc = 0;
    let most = p.worst_case_insns().ok_or("no bound is known")?;
    for executed in 1..=200_000 {
        if executed > most {
            return Err(format!("{executed} are executed, {most} were proved"));
        }
        let fact = &p.facts()[pc];
        if !fact.reached {
            return Err(format!("{pc} was thought to be dead"));
        }
        let Some(insn) = insns.get(pc) else {
            return Err("off the end".to_string());
        };
        let operand = |src: Src, regs: &[u64; 11]| match src {
            Src::Reg(r) => regs[r.index()],
            Src::Imm(i) => i64::from(i) as u64,
        };
        let mut next = pc + insn.slots();
        match *insn {
            Insn::Mov { width, dst, src } => {
                let v = operand(src, &regs);
                regs[dst.index()] = if width == Width::W32 {
                    u64::from(v as u32)
                } else {
                    v
                };
            }
            Insn::MovSx {
                width,
                dst,
                src,
                from,
            } => {
                let up = 64 - from.bits();
                let v = ((regs[src.index()] << up) as i64 >> up) as u64;
                regs[dst.index()] = if width == Width::W32 {
                    u64::from(v as u32)
                } else {
                    v
                };
            }
            Insn::Alu {
                op,
                width,
                dst,
                src,
            } => {
                let (a, b) = (regs[dst.index()], operand(src, &regs));
                regs[dst.index()] = match width {
                    Width::W64 => alu64(op, a, b),
                    Width::W32 => u64::from(alu32(op, a as u32, b as u32)),
                };
            }
            Insn::JumpIf {
                op,
                width,
                dst,
                src,
                rel,
            } => {
                let (a, b) = (regs[dst.index()], operand(src, &regs));
                let taken = match width {
                    Width::W64 => jump(op, a, b, a as i64, b as i64),
                    Width::W32 => {
                        let (a, b) = (a as u32, b as u32);
                        jump(op, a.into(), b.into(), (a as i32).into(), (b as i32).into())
                    }
                };
                if fact.decided.is_some_and(|d| d != taken) {
                    return Err(format!("{pc} was thought to go the other way"));
                }
                if taken {
                    next = (pc as i64 + 1 + i64::from(rel)) as usize;
                }
            }
            Insn::LoadImm64 { dst, .. } => regs[dst.index()] = 0,
            Insn::Call(_) => {
                regs[0] = VALUE;
                regs[1..=5].fill(0xdead_dead_dead);
            }
            Insn::Load {
                size,
                signed,
                dst,
                base,
                off,
            } => {
                let at = regs[base.index()].wrapping_add(i64::from(off) as u64);
                let bytes = memory(&mut stack, value, at, size.bytes())
                    .ok_or(format!("{pc}: load at {at:#x}"))?;
                let mut word = [0; 8];
                word[..bytes.len()].copy_from_slice(bytes);
                let v = u64::from_le_bytes(word);
                let up = 64 - size.bits();
                regs[dst.index()] = if signed {
                    ((v << up) as i64 >> up) as u64
                } else {
                    v
                };
            }
            Insn::Store {
                size,
                base,
                off,
                src,
            } => {
                let at = regs[base.index()].wrapping_add(i64::from(off) as u64);
                let v = operand(src, &regs).to_le_bytes();
                let bytes = memory(&mut stack, value, at, size.bytes())
                    .ok_or(format!("{pc}: store at {at:#x}"))?;
                bytes.copy_from_slice(&v[..size.bytes()]);
            }
            Insn::Exit => return Ok(()),
            ref other => return Err(format!("{other} is not in these programs")),
        }
        pc = next;
    }
    // Loops are proved to end, not to end soon.
    Ok(())
}

fn memory<'a>(
    stack: &'a mut [u8],
    value: &'a mut [u8],
    at: u64,
    size: usize,
) -> Option<&'a mut [u8]> {
    if let Some(off) = at.checked_sub(VALUE).filter(|o| *o < 1 << 32) {
        return value.get_mut(off as usize..off as usize + size);
    }
    let off = at.checked_sub(STACK - 512).filter(|o| *o < 1 << 32)?;
    stack.get_mut(off as usize..off as usize + size)
}

fn alu64(op: AluOp, a: u64, b: u64) -> u64 {
    match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::SDiv if b == 0 => 0,
        AluOp::SDiv => (a as i64).wrapping_div(b as i64) as u64,
        AluOp::SMod if b == 0 => a,
        AluOp::SMod => (a as i64).wrapping_rem(b as i64) as u64,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh => a << (b & 63),
        AluOp::Rsh => a >> (b & 63),
        AluOp::Arsh => ((a as i64) >> (b & 63)) as u64,
    }
}

fn alu32(op: AluOp, a: u32, b: u32) -> u32 {
    match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::SDiv if b == 0 => 0,
        AluOp::SDiv => (a as i32).wrapping_div(b as i32) as u32,
        AluOp::SMod if b == 0 => a,
        AluOp::SMod => (a as i32).wrapping_rem(b as i32) as u32,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh => a << (b & 31),
        AluOp::Rsh => a >> (b & 31),
        AluOp::Arsh => ((a as i32) >> (b & 31)) as u32,
    }
}

fn jump(op: JmpOp, a: u64, b: u64, sa: i64, sb: i64) -> bool {
    match op {
        JmpOp::Eq => a == b,
        JmpOp::Ne => a != b,
        JmpOp::Gt => a > b,
        JmpOp::Ge => a >= b,
        JmpOp::Lt => a < b,
        JmpOp::Le => a <= b,
        JmpOp::SGt => sa > sb,
        JmpOp::SGe => sa >= sb,
        JmpOp::SLt => sa < sb,
        JmpOp::SLe => sa <= sb,
        JmpOp::Set => a & b != 0,
    }
}

fn values() -> Map {
    Map {
        name: "values".to_string(),
        kind: 1,
        key_size: 4,
        value_size: VALUE_BYTES as u32,
        max_entries: 1,
        flags: 0,
        map_extra: 0,
        numa_node: None,
        pinned: false,
        key_type: None,
        value_type: None,
        data: None,
        inner: None,
        initial: Vec::new(),
    }
}

#[test]
fn accepted_programs_stay_within_their_proofs() {
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    let seed = number("TEST_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |d| d.as_nanos() as u64)
    });
    let programs = number("TEST_PROGRAMS").unwrap_or(2000);
    eprintln!("TEST_SEED={seed}");
    let platform = Arc::new(Platform::linux(Version(6, 18), None));
    let policy = Policy {
        max_processed: Some(20_000),
        ..Policy::default()
    };
    let mut r = Rng(seed);
    let mut accepted = 0;
    for n in 0..programs {
        let mut code = head();
        let most = r.of(&[8, 14, 30]);
        body(&mut r, &mut code, most, 2);
        code.push(Insn::Mov {
            width: Width::W64,
            dst: Reg::R0,
            src: Src::Imm(0),
        });
        code.push(Insn::Exit);
        let mut builder = ObjectBuilder::new("random");
        builder.add_map(values());
        builder
            .add_program(ProgramDef::new("main", "socket", &code).expect("encodes"))
            .expect("a program");
        let object = builder.build().expect("an object");
        let options = Options {
            store_often: r.below(2) == 0,
            summaries: r.below(4) != 0,
            joins: r.below(4) != 0,
            ..Options::default()
        };
        let report = verify(&object, &platform, &policy, &options).expect("a report");
        let Verdict::Accept(p) = &report.programs[0].verdict else {
            continue;
        };
        accepted += 1;
        for _ in 0..64 {
            let mut value = [0; VALUE_BYTES as usize];
            value[..8].copy_from_slice(&r.number().to_le_bytes());
            value[8..].copy_from_slice(&r.number().to_le_bytes());
            let input = value;
            if let Err(why) = run(p, &mut value) {
                let text: Vec<String> = code
                    .iter()
                    .enumerate()
                    .map(|(pc, i)| format!("{pc:4}: {i}"))
                    .collect();
                panic!(
                    "TEST_SEED={seed}, program {n}, input {input:02x?}: {why}\n{}",
                    text.join("\n")
                );
            }
        }
    }
    eprintln!("{accepted} of {programs} accepted");
    assert!(
        accepted * 20 > programs,
        "too few programs are accepted to prove anything: {accepted} of {programs}"
    );
}

/// Whatever the instructions are, there is a verdict: no panic, no endless walk.
#[test]
fn mutated_programs_get_a_verdict() {
    let seed = std::env::var("TEST_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(std::process::id().into());
    eprintln!("TEST_SEED={seed}");
    let platform = Arc::new(Platform::linux(Version(6, 18), None));
    let policy = Policy {
        max_processed: Some(2_000),
        ..Policy::default()
    };
    let sections = [
        "socket",
        "xdp",
        "tc",
        "kprobe/x",
        "raw_tp/x",
        "tp/a/b",
        "cgroup_skb/egress",
        "perf_event",
    ];
    let mut r = Rng(seed);
    for _ in 0..3000 {
        let mut code = head();
        body(&mut r, &mut code, 10, 2);
        code.push(Insn::Exit);
        let mut builder = ObjectBuilder::new("mutated");
        builder.add_map(values());
        builder
            .add_program(ProgramDef::new("main", r.of(&sections), &code).expect("encodes"))
            .expect("a program");
        let mut object = builder.build().expect("an object");
        let insns = &mut object.programs[0].insns;
        for _ in 0..1 + r.below(4) {
            let at = r.below(insns.len() as u64) as usize;
            let insn = &mut insns[at];
            match r.below(6) {
                0 => insn.opcode = r.next() as u8,
                1 => insn.dst = r.below(16) as u8,
                2 => insn.src = r.below(16) as u8,
                3 => insn.off = r.number() as i16,
                4 => insn.imm = r.number() as i32,
                _ => {
                    insns.remove(at);
                    if insns.is_empty() {
                        break;
                    }
                }
            }
        }
        let report = verify(&object, &platform, &policy, &Options::default()).expect("a report");
        for p in &report.programs {
            if let Verdict::Reject(r) = &p.verdict {
                assert!(!r.to_string().is_empty());
            }
        }
    }
}
