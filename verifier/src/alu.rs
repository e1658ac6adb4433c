//! Arithmetic and moves: numbers by the domain's functions, pointers by the few operations that keep them pointers.

use probity_domains::Scalar;
use probity_isa::{AluOp, Pc, Reg, Size, Src, SwapOp, Width};

use crate::env::Env;
use crate::memory::describe;
use crate::origin::Origin;
use crate::reject::{Explain, Failure, Outcome, fail};
use crate::report::Rule;
use crate::state::State;
use crate::value::{HEAD, Known, Number, Pointer, To, Value};

/// Offsets of pointers stay within plus and minus this, so that sums never wrap.
const MAX_OFFSET: i64 = 1 << 29;

pub(crate) fn operand(state: &State, src: Src) -> Value {
    match src {
        Src::Reg(r) => *state.reg(r),
        Src::Imm(i) => Value::constant(i64::from(i) as u64),
    }
}

/// The same in place; `imm` has room for a constant.
pub(crate) fn operand_in<'a>(state: &'a State, src: Src, imm: &'a mut Value) -> &'a Value {
    match src {
        Src::Reg(r) => state.reg(r),
        Src::Imm(_) => {
            *imm = operand(state, src);
            imm
        }
    }
}

pub(crate) fn mov(
    env: &mut Env<'_>,
    state: &mut State,
    pc: Pc,
    width: Width,
    dst: Reg,
    src: Src,
) -> Outcome<()> {
    let value = match (src, width) {
        (Src::Imm(i), Width::W64) => Value::constant(i64::from(i) as u64),
        (Src::Imm(i), Width::W32) => Value::constant(u64::from(i as u32)),
        (Src::Reg(r), Width::W64) => {
            link(env, state, r);
            *state.reg(r)
        }
        (Src::Reg(r), Width::W32) => match state.reg(r) {
            // Unchanged: then it is a copy.
            Value::Number(n) if n.set.umax() <= u64::from(u32::MAX) => {
                link(env, state, r);
                *state.reg(r)
            }
            Value::Number(n) => unlinked(n.set.mov32(), *n),
            Value::Pointer(p) => truncated(env, p, dst)?,
            Value::Uninit => Value::Uninit,
        },
    };
    state.set(pc, dst, value);
    Ok(())
}

/// Gives a number that is about to be copied a link, so that its copies narrow together.
pub(crate) fn link(env: &mut Env<'_>, state: &mut State, reg: Reg) {
    if let Value::Number(n) = state.reg(reg)
        && n.link == 0
        && n.set.as_constant().is_none()
        && let Value::Number(n) = &mut state.frame_mut().regs[reg.index()]
    {
        n.link = env.fresh_id();
        n.add = 0;
    }
}

fn unlinked(set: Scalar, from: Number) -> Value {
    Value::Number(Number {
        set,
        link: 0,
        add: 0,
        origin: from.origin,
    })
}

/// A part of a pointer is a number, where pointers may become numbers.
fn truncated(env: &Env<'_>, p: &Pointer, reg: Reg) -> Outcome<Value> {
    if env.leaks_ok() {
        return Ok(Value::number(Scalar::unknown().mov32()));
    }
    let known = format!("it would copy the low half of {}", describe(env, p));
    Err(fail(Rule::PointerLeak, "pointers do not become numbers", &known).about(reg))
}

pub(crate) fn mov_sx(
    env: &mut Env<'_>,
    state: &mut State,
    pc: Pc,
    width: Width,
    dst: Reg,
    src: Reg,
    from: Size,
) -> Outcome<()> {
    let value = match *state.reg(src) {
        Value::Number(n) => {
            let set = match width {
                Width::W64 => n.set.movsx64(from.bits()),
                Width::W32 => n.set.movsx32(from.bits()),
            };
            // Unchanged when the sign bit is never set: then it is a copy.
            if n.set.umax() >> (from.bits() - 1) == 0 {
                link(env, state, src);
                *state.reg(src)
            } else {
                unlinked(set, n)
            }
        }
        Value::Pointer(p) => {
            if !env.leaks_ok() {
                truncated(env, &p, src)?;
            }
            let any = Scalar::unknown();
            Value::number(match width {
                Width::W64 => any.movsx64(from.bits()),
                Width::W32 => any.movsx32(from.bits()),
            })
        }
        Value::Uninit => Value::Uninit,
    };
    state.set(pc, dst, value);
    Ok(())
}

pub(crate) fn neg(env: &Env<'_>, state: &mut State, pc: Pc, width: Width, dst: Reg) -> Outcome<()> {
    let n = number(env, state, dst, "is negated", width.bits())?;
    let set = match width {
        Width::W64 => n.set.neg64(),
        Width::W32 => n.set.neg32(),
    };
    state.set(pc, dst, unlinked(set, n));
    Ok(())
}

pub(crate) fn swap(
    env: &Env<'_>,
    state: &mut State,
    pc: Pc,
    op: SwapOp,
    dst: Reg,
    bits: u8,
) -> Outcome<()> {
    let n = number(env, state, dst, "has its bytes swapped", bits.into())?;
    let bits = u32::from(bits);
    let set = match op {
        SwapOp::ToLe => n.set.to_le(bits),
        SwapOp::ToBe => n.set.to_be(bits),
        SwapOp::Bswap => n.set.bswap(bits),
    };
    state.set(pc, dst, unlinked(set, n));
    Ok(())
}

fn number(env: &Env<'_>, state: &State, reg: Reg, what: &str, bits: u32) -> Outcome<Number> {
    match state.reg(reg) {
        Value::Number(n) => Ok(*n),
        Value::Pointer(_) if env.leaks_ok() => {
            let set = Scalar::unknown().zero_extend(bits);
            Ok(Number {
                set,
                link: 0,
                add: 0,
                origin: Default::default(),
            })
        }
        Value::Pointer(p) => {
            let must = format!("what {what} is a number");
            let known = format!("{reg} is {}", describe(env, p));
            Err(fail(Rule::PointerArithmetic, &must, &known).about(reg))
        }
        Value::Uninit => {
            let must = format!("{reg} is initialised");
            Err(fail(
                Rule::Uninitialised,
                &must,
                &format!("{reg} was never written"),
            )
            .about(reg))
        }
    }
}

pub(crate) fn alu(
    env: &mut Env<'_>,
    state: &mut State,
    pc: Pc,
    op: AluOp,
    width: Width,
    dst: Reg,
    src: Src,
) -> Outcome<()> {
    let mut imm = Value::Uninit;
    let value = match (state.reg(dst), operand_in(state, src, &mut imm)) {
        (Value::Number(_), Value::Number(_))
            if let Some(x) = extended(env, pc, op, width, dst, src) =>
        {
            Value::Number(x)
        }
        (Value::Number(x), Value::Number(y)) => {
            shifts_up(env, state, pc, op, width, dst, src);
            let set = if op == AluOp::Xor && src == Src::Reg(dst)
                || op == AluOp::Sub && src == Src::Reg(dst)
            {
                Scalar::constant(0)
            } else if x.set.as_constant().is_some() && y.set.as_constant().is_some() {
                arithmetic(op, width, &x.set, &y.set)
            } else {
                let compute = || arithmetic(op, width, &x.set, &y.set);
                *env.computed.get(pc, &x.set, &y.set, compute)
            };
            let origin = env.origins.both(x.origin, y.origin);
            let mut out = Number {
                set,
                link: 0,
                add: 0,
                origin,
            };
            // A copy plus a constant stays linked to what it was copied from.
            if let Some(by) = moved_by(op, width, &x.set, &y.set)
                && x.link != 0
                && (src.reg().is_none() || x.link & HEAD != 0)
                && (set.as_constant().is_none() || x.link & HEAD != 0)
                && let Some(add) = x.add.checked_add(by).filter(|a| a.abs() < 1 << 40)
            {
                out.link = x.link;
                out.add = add;
                // The constant's own value is in the difference now.
                env.origins.need(y.origin);
            } else if env.thorough()
                && x.origin != Origin::NONE
                && y.set.as_constant().is_some()
                && let AluOp::And | AluOp::Rsh | AluOp::Mod = op
            {
                let any = Scalar::unknown();
                let compute = || arithmetic(op, width, &any, &y.set);
                // Whatever it is made of.
                if *env.computed_of_any.get(pc, &any, &y.set, compute) == set {
                    out.origin = y.origin;
                }
            }
            Value::Number(out)
        }
        // By its low half alone, so that any arithmetic does.
        (Value::Pointer(p), b) if p.to == To::Arena && b.is_init() => Value::Pointer(*p),
        (Value::Number(n), Value::Pointer(p))
            if p.to == To::Arena && op == AluOp::Add && width == Width::W64 =>
        {
            env.origins.need(n.origin);
            crate::arena::added(*p, &n.set, dst)?
        }
        (Value::Pointer(p), Value::Number(n)) => {
            pointer(env, op, width, *p, *n, dst, src.reg(), true)?
        }
        (Value::Number(n), Value::Pointer(p)) => {
            pointer(env, op, width, *p, *n, dst, src.reg(), false)?
        }
        (Value::Pointer(p), Value::Pointer(q)) => {
            if op == AluOp::Sub && env.leaks_ok() {
                let any = Scalar::unknown();
                Value::number(if width == Width::W64 {
                    any
                } else {
                    any.mov32()
                })
            } else {
                let known = format!(
                    "{dst} is {}, the other operand is {}",
                    describe(env, p),
                    describe(env, q)
                );
                let must = match op {
                    AluOp::Sub => {
                        "the difference of two pointers is not told to programs without privilege"
                    }
                    _ => "two pointers are only subtracted",
                };
                return Err(fail(Rule::PointerArithmetic, must, &known).about(dst));
            }
        }
        _ => Value::Uninit,
    };
    state.set(pc, dst, value);
    Ok(())
}

/// Remembers the number whose low half is moved up, when the next instruction moves it down again:
/// so code for machines without 32-bit moves extends numbers.
fn shifts_up(
    env: &mut Env<'_>,
    state: &State,
    pc: Pc,
    op: AluOp,
    width: Width,
    dst: Reg,
    src: Src,
) {
    if (op, width, src) == (AluOp::Lsh, Width::W64, Src::Imm(32))
        && let Value::Number(x) = *state.reg(dst)
    {
        let next = env.cfg.next(pc);
        let alone = next < env.cfg.insns.len() && !env.cfg.merges(next);
        env.shifted_up = alone.then_some((next, dst, x));
    }
}

/// The number before both shifts, when they change nothing.
fn extended(
    env: &mut Env<'_>,
    pc: Pc,
    op: AluOp,
    width: Width,
    dst: Reg,
    src: Src,
) -> Option<Number> {
    let bits = match op {
        AluOp::Rsh => 32,
        AluOp::Arsh => 31,
        _ => return None,
    };
    if (width, src) != (Width::W64, Src::Imm(32)) {
        return None;
    }
    let (at, reg, x) = env.shifted_up.take()?;
    (at == pc && reg == dst && x.set.umax() >> bits == 0).then_some(x)
}

/// What is added to `x` in all 64 bits, when that is one constant.
fn moved_by(op: AluOp, width: Width, x: &Scalar, y: &Scalar) -> Option<i64> {
    let k = y.as_constant()? as i64;
    // Only what is small, so that sums do not wrap.
    let small = |k: i64| (-(1 << 31)..1 << 31).contains(&k);
    match (op, width) {
        (AluOp::Add, Width::W64) if small(k) => Some(k),
        (AluOp::Sub, Width::W64) if small(k) => Some(-k),
        (AluOp::Add | AluOp::Sub, Width::W32) => {
            // In 32 bits a sum is the same when it neither wraps nor loses upper bits.
            let k = i64::from(k as i32) * if op == AluOp::Add { 1 } else { -1 };
            let low = i128::from(x.umin()) + i128::from(k);
            let high = i128::from(x.umax()) + i128::from(k);
            (low >= 0 && high <= i128::from(u32::MAX)).then_some(k)
        }
        // A mask that takes nothing away.
        (AluOp::And, Width::W64) => {
            let kept = x.tnum().value() | x.tnum().mask();
            (kept & !(k as u64) == 0).then_some(0)
        }
        (AluOp::And, Width::W32) => {
            let kept = x.tnum().value() | x.tnum().mask();
            (kept & !u64::from(k as u32) == 0).then_some(0)
        }
        _ => None,
    }
}

fn arithmetic(op: AluOp, width: Width, x: &Scalar, y: &Scalar) -> Scalar {
    match (op, width) {
        (AluOp::Add, Width::W64) => x.add64(y),
        (AluOp::Add, Width::W32) => x.add32(y),
        (AluOp::Sub, Width::W64) => x.sub64(y),
        (AluOp::Sub, Width::W32) => x.sub32(y),
        (AluOp::Mul, Width::W64) => x.mul64(y),
        (AluOp::Mul, Width::W32) => x.mul32(y),
        (AluOp::Div, Width::W64) => x.div64(y),
        (AluOp::Div, Width::W32) => x.div32(y),
        (AluOp::SDiv, Width::W64) => x.sdiv64(y),
        (AluOp::SDiv, Width::W32) => x.sdiv32(y),
        (AluOp::Mod, Width::W64) => x.mod64(y),
        (AluOp::Mod, Width::W32) => x.mod32(y),
        (AluOp::SMod, Width::W64) => x.smod64(y),
        (AluOp::SMod, Width::W32) => x.smod32(y),
        (AluOp::Or, Width::W64) => x.or64(y),
        (AluOp::Or, Width::W32) => x.or32(y),
        (AluOp::And, Width::W64) => x.and64(y),
        (AluOp::And, Width::W32) => x.and32(y),
        (AluOp::Xor, Width::W64) => x.xor64(y),
        (AluOp::Xor, Width::W32) => x.xor32(y),
        (AluOp::Lsh, Width::W64) => x.lsh64(y),
        (AluOp::Lsh, Width::W32) => x.lsh32(y),
        (AluOp::Rsh, Width::W64) => x.rsh64(y),
        (AluOp::Rsh, Width::W32) => x.rsh32(y),
        (AluOp::Arsh, Width::W64) => x.arsh64(y),
        (AluOp::Arsh, Width::W32) => x.arsh32(y),
    }
}

/// `pointer op number`, or `number op pointer` when not `pointer_first`.
fn pointer(
    env: &mut Env<'_>,
    op: AluOp,
    width: Width,
    p: Pointer,
    n: Number,
    dst: Reg,
    other: Option<Reg>,
    pointer_first: bool,
) -> Outcome<Value> {
    let refuse = |env: &Env<'_>, must: &str| {
        let known = format!(
            "{dst} would become {} {} {}",
            describe(env, &p),
            symbol(op),
            Known(&n.set)
        );
        let e = fail(Rule::PointerArithmetic, must, &known).about(dst);
        Err(match other {
            Some(r) => e.about(r),
            None => e,
        })
    };
    if width == Width::W32 {
        if op == AluOp::Sub && env.leaks_ok() {
            return Ok(Value::number(Scalar::unknown().mov32()));
        }
        return refuse(env, "pointer arithmetic is 64-bit");
    }
    if p.null {
        return refuse(
            env,
            "a pointer that may be NULL is tested before it is computed with",
        );
    }
    let zero = n.set.as_constant() == Some(0);
    match p.to {
        To::FlowKeys if n.set.as_constant().is_some() => {}
        To::Map(_) if zero && op == AluOp::Add => {}
        To::Dynptr { .. }
        | To::FlowKeys
        | To::Map(_)
        | To::Arena
        | To::PacketEnd
        | To::Socket(_) => {
            return refuse(env, &format!("{} is not computed with", p.to.name()));
        }
        _ => {}
    }
    let negative = match op {
        AluOp::Add => false,
        AluOp::Sub if !pointer_first => {
            return refuse(env, "a pointer is not subtracted from a number");
        }
        AluOp::Sub if matches!(p.to, To::Stack { .. }) => {
            return refuse(
                env,
                "nothing is subtracted from a stack pointer: add a negative number",
            );
        }
        AluOp::Sub => true,
        _ => {
            return refuse(
                env,
                "numbers are only added to and subtracted from pointers",
            );
        }
    };
    // An offset is a use of the number's value.
    env.origins.need(n.origin);
    sane(env, &n.set, &p, dst, other)?;
    let out = match n.set.as_constant() {
        Some(k) => {
            let k = if negative {
                (k as i64).wrapping_neg()
            } else {
                k as i64
            };
            Pointer {
                off: p.off.wrapping_add(k),
                ..p
            }
        }
        None => {
            let var = if negative {
                p.var.sub64(&n.set)
            } else {
                p.var.add64(&n.set)
            };
            let mut out = Pointer { var, base: 0, ..p };
            if p.is_packet() {
                // A new base: of the bytes behind the old one those are there too that lie behind this one, however
                // far it is.
                out.id = env.fresh_id();
                let further = match negative {
                    false => n.set.smax(),
                    true => n.set.smin().saturating_neg(),
                };
                let left = i64::from(p.range).saturating_sub(further.max(0));
                out.range = u32::try_from(left).unwrap_or(0);
            }
            out
        }
    };
    if out.off.abs() >= MAX_OFFSET {
        return refuse(env, "a pointer's offset stays within 512 MiB");
    }
    sane(env, &out.var, &p, dst, other)?;
    Ok(Value::Pointer(out))
}

/// A number that is added to a pointer has bounds.
fn sane(env: &Env<'_>, n: &Scalar, p: &Pointer, dst: Reg, other: Option<Reg>) -> Outcome<()> {
    let bad = match n.as_constant() {
        Some(k) => (k as i64).unsigned_abs() >= MAX_OFFSET as u64,
        None => n.smin() <= -MAX_OFFSET || n.smin() >= MAX_OFFSET,
    };
    if !bad {
        return Ok(());
    }
    let known = format!("{} is added to {}", Known(n), describe(env, p));
    let must = "what is added to a pointer is bounded from below";
    let e: Box<Failure> = fail(Rule::OutOfBounds, must, &known).about(dst);
    let e = e.hint("test the number first, or use an unsigned type and a mask");
    Err(match other {
        Some(r) => e.about(r),
        None => e,
    })
}

fn symbol(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "+",
        AluOp::Sub => "-",
        AluOp::Mul => "*",
        AluOp::Div | AluOp::SDiv => "/",
        AluOp::Mod | AluOp::SMod => "%",
        AluOp::Or => "|",
        AluOp::And => "&",
        AluOp::Xor => "^",
        AluOp::Lsh => "<<",
        AluOp::Rsh => ">>",
        AluOp::Arsh => "s>>",
    }
}
