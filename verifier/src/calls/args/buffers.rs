//! Memory that a call reads or writes: where it is, how much of it, and what a call may leave unwritten.

use probity_isa::{Pc, Reg};
use probity_platform::{Arg, ArgKind, MemAccess, Prototype};

use super::structures::KERNEL;
use super::{Call, Callee, Found, StackWrite, may_be_null, wrong};
use crate::call::ARGS;
use crate::env::Env;
use crate::memory::{self, Kind, describe};
use crate::reject::{Explain, Outcome, fail, internal};
use crate::report::Rule;
use crate::state::State;
use crate::value::{Known, MapRef, Number, Pointer, To, Trust, Value};
use crate::{kernel, object};

/// A size argument, and with it the memory argument before it.
pub(super) fn size(
    env: &mut Env<'_>,
    state: &State,
    call: &mut Call<'_>,
    index: usize,
    n: Number,
    zero_ok: bool,
    proto: &Prototype,
) -> Outcome<()> {
    call.found.size = Some(n);
    let reg = ARGS[index];
    let most = size_bound(env, reg, index, call.callee, &n)? as u64;
    if n.set.umin() == 0 && !zero_ok {
        let must = format!(
            "argument {} of {} is a size of at least 1",
            index + 1,
            call.callee
        );
        return Err(fail(
            Rule::BadArgument,
            &must,
            &format!("{reg} may be 0: {}", Known(&n.set)),
        )
        .about(reg));
    }
    let Some(before) = index.checked_sub(1) else {
        return Ok(());
    };
    let Some(Arg {
        kind: ArgKind::Mem { access } | ArgKind::MapMem { access },
        ..
    }) = proto.args.get(before)
    else {
        return Ok(());
    };
    let memory = ARGS[before];
    if let Value::Number(m) = *state.reg(memory) {
        env.origins.need(m.origin);
        if most == 0 {
            return Ok(());
        }
        let must = format!(
            "argument {} of {} is memory when its size is not 0",
            before + 1,
            call.callee
        );
        return Err(fail(
            Rule::BadArgument,
            &must,
            &format!("{memory} is NULL, {reg} is {}", Known(&n.set)),
        )
        .about(memory)
        .about(reg));
    }
    region(
        env,
        state,
        call,
        memory,
        before,
        n.set.umin() as i64,
        most as i64,
        *access,
    )
}

/// Memory of `size` bytes that a global function may read and write: the stack bytes that it may change.
pub(crate) fn memory(
    env: &mut Env<'_>,
    state: &State,
    function: &str,
    index: usize,
    p: Pointer,
    size: i64,
) -> Outcome<Vec<StackWrite>> {
    let mut call = Call {
        // Kernel structures are only read, so nothing is recorded.
        pc: Pc::MAX,
        callee: Callee::Global(function),
        packet_access: true,
        found: Found::default(),
    };
    let access = MemAccess::ReadWrite;
    let reg = ARGS[index];
    region_of(env, state, &mut call, p, reg, index, size, size, access)?;
    Ok(call.found.writes)
}

/// The greatest value of a size, which must have one.
pub(crate) fn size_bound(
    env: &mut Env<'_>,
    reg: Reg,
    index: usize,
    callee: Callee<'_>,
    n: &Number,
) -> Outcome<i64> {
    env.origins.need(n.origin);
    let must = || {
        format!(
            "argument {} of {callee} is a size with an upper bound",
            index + 1
        )
    };
    if n.set.smin() < 0 {
        let known = format!("{reg} may be negative: {}", Known(&n.set));
        let e = fail(Rule::OutOfBounds, &must(), &known).about(reg);
        return Err(
            e.hint("use an unsigned type, and mask it or compare it with the size of the memory")
        );
    }
    let most = n.set.umax();
    if most >= 1 << 29 {
        let known = format!("{reg} is {}", Known(&n.set));
        let e = fail(Rule::OutOfBounds, &must(), &known).about(reg);
        return Err(e.hint("mask it, or compare it with the size of the memory"));
    }
    Ok(most as i64)
}

/// Memory given to a kernel function, of `least` to `most` bytes: the stack bytes that it may write.
pub(crate) fn memory_argument(
    env: &mut Env<'_>,
    state: &State,
    name: &str,
    index: usize,
    least: i64,
    most: i64,
    access: MemAccess,
) -> Outcome<Vec<StackWrite>> {
    let mut call = Call {
        pc: Pc::MAX,
        callee: Callee::Kernel(name),
        packet_access: true,
        found: Found::default(),
    };
    let reg = ARGS[index];
    region(env, state, &mut call, reg, index, least, most, access)?;
    Ok(call.found.writes)
}

/// Memory that a helper reads or writes, of `least` to `most` bytes.
pub(super) fn region(
    env: &mut Env<'_>,
    state: &State,
    call: &mut Call<'_>,
    reg: Reg,
    index: usize,
    least: i64,
    most: i64,
    access: MemAccess,
) -> Outcome<()> {
    let Value::Pointer(p) = *state.reg(reg) else {
        return Err(wrong(
            env,
            call.callee,
            index,
            state.reg(reg),
            "a pointer to memory",
        ));
    };
    if p.null {
        return Err(may_be_null(env, call.callee, index, &p));
    }
    region_of(env, state, call, p, reg, index, least, most, access)
}

fn region_of(
    env: &mut Env<'_>,
    state: &State,
    call: &mut Call<'_>,
    p: Pointer,
    reg: Reg,
    index: usize,
    least: i64,
    most: i64,
    access: MemAccess,
) -> Outcome<()> {
    let writes = access != MemAccess::Read;
    let reads = access != MemAccess::Write;
    let kind = if writes { Kind::Write } else { Kind::Read };
    match p.to {
        To::Stack { frame } => {
            let (low, high) = memory::stack_range(env, state, &p, reg, 0, most)?;
            let end = high + most;
            object::apart(state, frame, low, end).map_err(|e| e.about(reg))?;
            let Some(stack) = state.frames.get(frame).map(|f| &f.stack) else {
                return Err(internal("a frame that is pointed to has not returned").about(reg));
            };
            // What a helper may leave unwritten must be initialised like what it reads.
            let partly = low != high || least != most;
            if (reads || partly)
                && !env.uninit_ok()
                && let Some(at) = stack.unwritten(low, end)
            {
                let must = format!("the memory given to {} is initialised", call.callee);
                return Err(fail(
                    Rule::Uninitialised,
                    &must,
                    &format!("fp{at:+} was never written"),
                )
                .about(reg));
            }
            if !env.leaks_ok()
                && stack.spills().any(|(i, v)| {
                    let at = -(i as i64 + 1) * 8;
                    v.as_pointer().is_some() && at < end && low < at + 8
                })
            {
                let must = "pointers do not become visible to helpers as bytes";
                return Err(fail(
                    Rule::PointerLeak,
                    must,
                    "the memory holds a spilled pointer",
                )
                .about(reg));
            }
            if reads {
                memory::touch_read(env, state, frame, low, end);
            }
            if writes && most > 0 {
                let high = if least == most {
                    high
                } else {
                    high.max(low + 1)
                };
                call.found.writes.push(StackWrite {
                    frame,
                    low,
                    high,
                    size: end - high,
                });
            }
            Ok(())
        }
        To::MapValue(map) => {
            memory::map_direction(env, map, reg, kind)?;
            if reads && writes {
                memory::map_direction(env, map, reg, Kind::Read)?;
            }
            let limit = i64::from(env.map(map)?.value_size);
            memory::bounds(env, &p, reg, 0, most, limit)?;
            memory::special_fields(env, &p, reg, 0, most)
        }
        To::MapKey(map) if !writes => {
            let limit = i64::from(env.map(map)?.key_size);
            memory::bounds(env, &p, reg, 0, most, limit)
        }
        To::Packet | To::PacketMeta => {
            if !call.packet_access || writes && !env.kind.packet_write {
                let must = format!("{} takes memory outside of the packet", call.callee);
                return Err(fail(
                    Rule::BadArgument,
                    &must,
                    &format!("{reg} is {}", describe(env, &p)),
                )
                .about(reg));
            }
            memory::packet_bounds(&p, reg, 0, most)
        }
        To::Memory { size, writable } | To::Slice { size, writable, .. } if writable || !writes => {
            memory::bounds(env, &p, reg, 0, most, i64::from(size))
        }
        To::Buffer { writable, helpers } if helpers && (writable || !writes) => {
            memory::buffer(env, &p, reg, most)
        }
        To::Record { size } => memory::bounds(env, &p, reg, 0, most, i64::from(size)),
        To::Kernel { type_id, trust } if trust == Trust::Trusted && !writes => {
            env.record(call.pc, KERNEL)?;
            kernel::readable(env, &p, type_id, reg, most)
        }
        _ => {
            let what = if writes {
                "memory that may be written"
            } else {
                "memory"
            };
            Err(wrong(env, call.callee, index, &Value::Pointer(p), what))
        }
    }
}

/// Whether the key is a constant below the number of a dense map's entries.
pub(super) fn constant_key(
    env: &mut Env<'_>,
    state: &State,
    reg: Reg,
    map: MapRef,
) -> Outcome<bool> {
    let def = env.map(map)?;
    if map.inner || !env.map_kind(def)?.dense || def.key_size != 4 {
        return Ok(false);
    }
    let Value::Pointer(p) = state.reg(reg) else {
        return Ok(false);
    };
    let (To::Stack { frame }, Some(at)) = (p.to, p.constant_offset()) else {
        return Ok(false);
    };
    let stack = match state.frames.get(frame) {
        Some(f) => &f.stack,
        None => return Ok(false),
    };
    if at % 4 != 0 || !(-512..=-4).contains(&at) {
        return Ok(false);
    }
    match stack.load(at, 4) {
        Some(Value::Number(n)) => match n.set.as_constant() {
            Some(k) if k < u64::from(def.max_entries) => {
                env.origins.need(n.origin);
                Ok(true)
            }
            _ => Ok(false),
        },
        _ => Ok(false),
    }
}

/// A constant string: a place in frozen data with a NUL after it.
pub(crate) fn const_str(env: &Env<'_>, value: &Value) -> Option<()> {
    let p = value.as_pointer()?;
    let To::MapValue(map) = p.to else { return None };
    let bytes = env.frozen(map)?;
    let at = usize::try_from(p.constant_offset()?).ok()?;
    (!p.null && bytes.get(at..)?.contains(&0)).then_some(())
}
