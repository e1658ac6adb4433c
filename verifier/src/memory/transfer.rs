//! What resolved accesses do: the values that loads give, and what stores leave behind.

use probity_domains::Scalar;
use probity_isa::{Reg, Size, Src};
use probity_platform::FieldKind;

use super::{Place, describe};
use crate::env::Env;
use crate::reject::{Explain, Outcome, fail, internal, unsupported};
use crate::report::Rule;
use crate::stack::{Byte, place as slot_place};
use crate::state::State;
use crate::value::{Pointer, Socket, To, Trust, Value};

/// Slots of the current segment that are read.
pub(crate) fn touch_read(env: &mut Env<'_>, state: &State, frame: usize, low: i64, high: i64) {
    let Some(reads) = env.reads.get_mut(frame) else {
        return;
    };
    let written = state.written.get(frame);
    let mut at = low;
    while at < high {
        let (slot, byte) = slot_place(at);
        if !written.contains(slot) {
            reads.insert(slot);
        }
        at += 8 - byte as i64;
    }
}

/// Slots of the current segment that are written whole: the bytes beside a part are still read through its slot.
fn touch_write(state: &mut State, frame: usize, off: i64, size: i64) {
    if let Some(w) = state.written.get_mut(frame)
        && size == 8
        && off % 8 == 0
    {
        w.insert(slot_place(off).0);
    }
}

/// What a resolved load gives.
pub(crate) fn load(
    env: &mut Env<'_>,
    state: &State,
    place: Place,
    reg: Reg,
    size: Size,
    signed: bool,
) -> Outcome<Value> {
    let bits = size.bits();
    let any = || Value::number(Scalar::any_of(bits));
    let value = match place {
        Place::Plain => any(),
        Place::Typed {
            type_id,
            trust,
            null,
        } => {
            let p = Pointer {
                // Found through what may end: it ends with it.
                parent: state.reg(reg).as_pointer().map_or(0, |p| p.parent),
                ..Pointer::new(To::Kernel { type_id, trust })
            };
            Value::Pointer(if null { p.or_null(env.fresh_id()) } else { p })
        }
        Place::Argument(v) => *v,
        Place::Kptr(_) | Place::Within(_) => any(),
        Place::Constant(x) => Value::constant(x),
        Place::Field(kind) => field_value(env, kind)?.unwrap_or_else(any),
        Place::Stack { frame, low, high } => {
            let end = high + size.bytes() as i64;
            crate::object::apart(state, frame, low, end).map_err(|e| e.about(reg))?;
            touch_read(env, state, frame, low, end);
            let Some(stack) = state.frames.get(frame).map(|f| &f.stack) else {
                return Err(internal("a frame that is pointed to has not returned").about(reg));
            };
            if !env.uninit_ok()
                && let Some(at) = stack.unwritten(low, end)
            {
                let known = format!("fp{at:+} was never written on this path");
                return Err(fail(
                    Rule::Uninitialised,
                    "stack bytes are written before they are read",
                    &known,
                )
                .about(reg));
            }
            if low == high {
                match stack.load(low, size.bytes()) {
                    Some(v) => v,
                    None => {
                        let known = format!("fp{low:+} holds part of a spilled pointer");
                        let must = "a spilled pointer is read back whole";
                        return Err(fail(Rule::BadPointer, must, &known).about(reg));
                    }
                }
            } else {
                let zero = stack.zero(low, end);
                if !env.leaks_ok() && stack.spills().any(|(_, v)| v.as_pointer().is_some()) {
                    return Err(fail(
                        Rule::PointerLeak,
                        "pointers do not become numbers",
                        "the stack holds some",
                    )
                    .about(reg));
                }
                if zero { Value::constant(0) } else { any() }
            }
        }
    };
    Ok(match value {
        Value::Number(mut n) if signed => {
            let set = n.set.movsx64(bits);
            if set != n.set {
                n.link = 0;
                n.add = 0;
            }
            n.set = set;
            Value::Number(n)
        }
        v => v,
    })
}

fn field_value(env: &mut Env<'_>, kind: FieldKind) -> Outcome<Option<Value>> {
    let maybe = |env: &mut Env<'_>, to: To, nullable: bool| {
        let p = Pointer::new(to);
        Value::Pointer(if nullable {
            p.or_null(env.fresh_id())
        } else {
            p
        })
    };
    Ok(Some(match kind {
        FieldKind::Scalar => return Ok(None),
        FieldKind::PacketData => Value::pointer(To::Packet),
        FieldKind::PacketMeta => Value::pointer(To::PacketMeta),
        FieldKind::PacketEnd => Value::pointer(To::PacketEnd),
        FieldKind::Socket { nullable } => maybe(env, To::Socket(Socket::Sock), nullable),
        FieldKind::SockCommon { nullable } => maybe(env, To::Socket(Socket::SockCommon), nullable),
        FieldKind::FlowKeys => Value::pointer(To::FlowKeys),
        // An option value is bounded by comparing with its end, as a packet is.
        FieldKind::SockoptStart => Value::pointer(To::Packet),
        FieldKind::SockoptEnd => Value::pointer(To::PacketEnd),
        FieldKind::Btf { name, nullable } => {
            let types = env.platform.types.as_deref();
            let Some(id) = types.and_then(|t| t.find_struct(name)) else {
                return Err(unsupported(&format!(
                    "kernel structures without the kernel's types (`{name}`)"
                )));
            };
            let to = To::Kernel {
                type_id: id.0,
                trust: Trust::Trusted,
            };
            maybe(env, to, nullable)
        }
        FieldKind::TracepointBuffer => Value::pointer(To::Buffer {
            writable: true,
            helpers: false,
        }),
    }))
}

/// Writes `value`, of which the low `size` bytes count, to a resolved place. `from`: the register it is in.
pub(crate) fn store(
    env: &mut Env<'_>,
    state: &mut State,
    place: Place,
    base: Reg,
    size: usize,
    src: Src,
) -> Outcome<()> {
    let reg = src.reg();
    if let Place::Stack { frame, low, high } = place {
        // First: the value stored may be what ends with it.
        crate::object::overwrite(env, state, frame, low, high + size as i64)
            .map_err(|e| e.about(base))?;
        let whole = low == high && low % 8 == 0 && size == 8;
        if !whole {
            no_torn_pointer(env, state, frame, low, high + size as i64)
                .map_err(|e| e.about(base))?;
        }
    }
    let value = match src {
        Src::Imm(i) => Value::constant(i64::from(i) as u64),
        Src::Reg(r) => *state.reg(r),
    };
    if let Place::Kptr(holds) = place {
        if let Value::Number(n) = value {
            env.origins.need(n.origin);
        }
        return crate::kptr::store(env, holds, &value, reg.unwrap_or(base));
    }
    if let Place::Within(within) = place {
        return within.check(env, &value, size, reg.unwrap_or(base));
    }
    let Place::Stack { frame, low, high } = place else {
        return no_leak(env, &value, reg.unwrap_or(base));
    };
    let uninit_ok = env.uninit_ok();
    let depth = state.depth();
    if low == high {
        touch_write(state, frame, low, size as i64);
        match value {
            Value::Number(mut n) if low % 8 == 0 => {
                let bits = size as u32 * 8;
                let fits = bits == 64 || n.set.umax() >> bits == 0;
                if fits && n.link == 0 && n.set.as_constant().is_none() {
                    n.link = env.fresh_id();
                    n.add = 0;
                    if let Some(r) = reg {
                        state.frame_mut().regs[r.index()] = Value::Number(n);
                    }
                }
                if !fits {
                    n.set = n.set.zero_extend(bits);
                    n.link = 0;
                    n.add = 0;
                }
                stack_of(state, frame)?.spill(low, size, Value::Number(n))?;
            }
            Value::Pointer(p) => {
                if size != 8 || low % 8 != 0 {
                    let known = format!("{} is stored with {size} bytes", describe(env, &p));
                    return Err(fail(
                        Rule::PointerLeak,
                        "a pointer is spilled whole and aligned",
                        &known,
                    )
                    .about(base));
                }
                if frame != depth && matches!(p.to, To::Stack { .. }) {
                    let must = "a pointer to the stack is not kept in a caller's frame";
                    return Err(
                        fail(Rule::PointerLeak, must, "it would outlive its frame").about(base)
                    );
                }
                stack_of(state, frame)?.spill(low, size, value)?;
            }
            _ => {
                let zero = value.is_zero();
                if zero && let Some(n) = value.as_number() {
                    env.origins.need(n.origin);
                }
                let kind = if zero { Byte::Zero } else { Byte::Misc };
                stack_of(state, frame)?.set_bytes(low, size, kind);
            }
        }
        return Ok(());
    }
    no_leak(env, &value, reg.unwrap_or(base))?;
    let zero = value.is_zero();
    if zero && let Some(n) = value.as_number() {
        env.origins.need(n.origin);
    }
    stack_of(state, frame)?.weaken(low, high + size as i64, zero, uninit_ok);
    Ok(())
}

/// Bytes that a helper or an atomic operation writes.
pub(crate) fn clobber(
    state: &mut State,
    env: &Env<'_>,
    frame: usize,
    low: i64,
    high: i64,
    size: i64,
) -> Outcome<()> {
    let uninit_ok = env.uninit_ok();
    crate::object::overwrite(env, state, frame, low, high + size)?;
    no_torn_pointer(env, state, frame, low, high + size)?;
    let stack = stack_of(state, frame)?;
    if low == high {
        stack.set_bytes(low, size as usize, Byte::Misc);
        let first = (low + 7).div_euclid(8) * 8;
        for at in (first..low + size - 7).step_by(8) {
            touch_write(state, frame, at, 8);
        }
    } else {
        stack.weaken(low, high + size, false, uninit_ok);
    }
    Ok(())
}

/// A spilled pointer of which some bytes are written, or may be, could be read as a number afterwards.
/// A helper may leave any byte as it was, so what it is given holds none at all.
fn no_torn_pointer(env: &Env<'_>, state: &State, frame: usize, low: i64, end: i64) -> Outcome<()> {
    if env.leaks_ok() {
        return Ok(());
    }
    let Some(stack) = state.frames.get(frame).map(|f| &f.stack) else {
        return Err(internal("a frame that is pointed to has not returned"));
    };
    for (slot, value) in stack.spills() {
        let at = -(slot as i64 + 1) * 8;
        if at < end
            && low < at + 8
            && let Some(p) = value.as_pointer()
        {
            let known = format!("fp{at:+} holds {}", describe(env, p));
            let must = "a spilled pointer is overwritten whole or not at all";
            return Err(fail(Rule::PointerLeak, must, &known));
        }
    }
    Ok(())
}

pub(crate) fn stack_of(state: &mut State, frame: usize) -> Outcome<&mut crate::stack::Stack> {
    match state.frame_at(frame) {
        Some(f) => Ok(&mut f.stack),
        None => Err(internal("a frame that is pointed to has not returned")),
    }
}

/// A pointer must not be stored where it can be seen as a number.
pub(crate) fn no_leak(env: &Env<'_>, value: &Value, reg: Reg) -> Outcome<()> {
    match value {
        Value::Pointer(p) if !env.leaks_ok() => {
            let known = format!("{reg} is {}", describe(env, p));
            Err(fail(
                Rule::PointerLeak,
                "pointers do not become visible as numbers",
                &known,
            )
            .about(reg))
        }
        _ => Ok(()),
    }
}
