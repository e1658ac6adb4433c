//! Atomic operations: an aligned read and write of plain memory at once.

use probity_domains::Scalar;
use probity_isa::{AtomicOp, Pc, Reg, Size, Src};

use crate::env::Env;
use crate::memory::{self, Kind, Place};
use crate::reject::{Explain, Outcome, fail};
use crate::report::Rule;
use crate::state::State;
use crate::value::{To, Value};

pub(crate) fn atomic(
    env: &mut Env<'_>,
    state: &mut State,
    pc: Pc,
    op: AtomicOp,
    size: Size,
    base: Reg,
    off: i16,
    src: Reg,
) -> Outcome<()> {
    plain(state, base)?;
    memory::no_leak(env, state.reg(src), src)?;
    if op == AtomicOp::Cmpxchg {
        memory::no_leak(env, state.reg(Reg::R0), Reg::R0)?;
    }
    let place = memory::resolve(env, state, pc, base, off.into(), size.bytes(), Kind::Atomic)?;
    let old = memory::load(env, state, place.clone(), base, size, false)?;
    if let Place::Stack { frame, low, high } = place {
        memory::clobber(state, env, frame, low, high, size.bytes() as i64)?;
    }
    if op.fetches() {
        let to = if op == AtomicOp::Cmpxchg {
            Reg::R0
        } else {
            src
        };
        let value = match old {
            _ if in_arena(state, base) => Value::unknown(),
            Value::Pointer(_) if !env.leaks_ok() => {
                let must = "pointers do not become numbers";
                return Err(fail(
                    Rule::PointerLeak,
                    must,
                    "the operation would fetch a spilled pointer",
                )
                .about(base));
            }
            v if size == Size::DW && v.is_init() => v,
            Value::Number(n) => Value::Number(n),
            _ => Value::number(Scalar::unknown().zero_extend(size.bits())),
        };
        state.set(pc, to, value);
    }
    Ok(())
}

pub(crate) fn load_acquire(
    env: &mut Env<'_>,
    state: &mut State,
    pc: Pc,
    size: Size,
    dst: Reg,
    base: Reg,
    off: i16,
) -> Outcome<()> {
    plain(state, base)?;
    aligned(state, base, off, size)?;
    let place = memory::resolve(env, state, pc, base, off.into(), size.bytes(), Kind::Read)?;
    let value = match in_arena(state, base) {
        true => Value::unknown(),
        false => memory::load(env, state, place, base, size, false)?,
    };
    state.set(pc, dst, value);
    Ok(())
}

pub(crate) fn store_release(
    env: &mut Env<'_>,
    state: &mut State,
    pc: Pc,
    size: Size,
    base: Reg,
    off: i16,
    src: Reg,
) -> Outcome<()> {
    plain(state, base)?;
    aligned(state, base, off, size)?;
    let place = memory::resolve(env, state, pc, base, off.into(), size.bytes(), Kind::Write)?;
    memory::store(env, state, place, base, size.bytes(), Src::Reg(src))
}

/// Where an arena has no page, an atomic operation leaves the register that takes the value as it was in Linux on
/// x86-64, all 64 bits of it, whatever its own verifier takes it for.
fn in_arena(state: &State, base: Reg) -> bool {
    matches!(state.reg(base), Value::Pointer(p) if p.to == To::Arena)
}

fn aligned(state: &State, base: Reg, off: i16, size: Size) -> Outcome<()> {
    match state.reg(base) {
        // Nothing is known of its address.
        Value::Pointer(_) if in_arena(state, base) => Ok(()),
        Value::Pointer(p) => memory::aligned(p, base, off.into(), size.bytes(), true),
        _ => Ok(()),
    }
}

/// Atomic operations are for ordinary memory.
fn plain(state: &State, base: Reg) -> Outcome<()> {
    match state.reg(base) {
        Value::Pointer(p)
            if matches!(
                p.to,
                To::Context | To::Packet | To::PacketMeta | To::FlowKeys | To::Socket(_)
            ) =>
        {
            let must = "atomic operations are on the stack, map values and allocated memory";
            Err(fail(
                Rule::BadPointer,
                must,
                &format!("{base} points to {}", p.to.name()),
            )
            .about(base))
        }
        _ => Ok(()),
    }
}
