//! A kernel function's arguments against its prototype and flags.
//!
//! **Invariant:** nothing of the state changes here; what the call will do is gathered in [`Found`].
//!
//! **Invariant:** memory is only given when it is certainly there: NULL goes where the prototype says so.

use probity_isa::Reg;
use probity_platform::{KfuncFlag, KfuncSpecial, MemAccess};

use crate::args;
use crate::call::ARGS;
use crate::env::Env;
use crate::kernel;
use crate::memory::describe;
use crate::reject::{Explain, Failure, Outcome, fail, unsupported};
use crate::report::Rule;
use crate::state::State;
use crate::value::{Number, Pointer, Socket, To, Trust, Value};
use crate::{arena, dynptr, irq, iter, later, timer};

use super::prototype::{Param, Pointee};
use super::{Call, Found, ParamKind, wrong};

pub(super) fn check(env: &mut Env<'_>, state: &State, call: &Call<'_>) -> Outcome<Found> {
    let mut found = Found::default();
    let params = call.proto.clone();
    if params.params.len() > ARGS.len() {
        let known = format!("{} has {}", call.row.name, params.params.len());
        let must = "kernel functions take at most five arguments";
        return Err(fail(Rule::CallNotAllowed, must, &known));
    }
    for (index, param) in params.params.iter().enumerate() {
        let reg = ARGS[index];
        argument(env, state, call, index, param, &mut found)
            .map_err(|e| if e.regs.is_empty() { e.about(reg) } else { e })?;
    }
    if call.row.has(KfuncFlag::Release) && found.release.is_none() {
        let must = format!("{} is given a reference to release", call.row.name);
        let known = "no argument carries one";
        return Err(fail(Rule::Reference, &must, known).about(Reg::R1));
    }
    Ok(found)
}

fn argument(
    env: &mut Env<'_>,
    state: &State,
    call: &Call<'_>,
    index: usize,
    param: &Param,
    found: &mut Found,
) -> Outcome<()> {
    let reg = ARGS[index];
    let value = *state.reg(reg);
    let row = call.row;
    if param.kind == ParamKind::Ignored {
        return Ok(());
    }
    if !value.is_init() {
        let must = format!("argument {} of {} is initialised", index + 1, row.name);
        let known = format!("{reg} was never written on this path");
        return Err(fail(Rule::Uninitialised, &must, &known).about(reg));
    }
    match param.kind {
        ParamKind::Scalar
        | ParamKind::Constant
        | ParamKind::BufferSize { .. }
        | ParamKind::Size { .. } => {
            let Value::Number(n) = value else {
                return Err(wrong(env, state, call, reg, "a number"));
            };
            return number(env, state, call, index, param, n, found);
        }
        _ => {}
    }
    let trusting = [KfuncFlag::TrustedArgs, KfuncFlag::Release, KfuncFlag::Rcu];
    let trusting = trusting.iter().any(|f| row.has(*f));
    let null = value.is_zero();
    if null && let Value::Number(n) = value {
        env.origins.need(n.origin);
    }
    if trusting && !param.nullable && (null || value.as_pointer().is_some_and(|p| p.null)) {
        return Err(may_be_null(env, state, call, reg));
    }
    if let Value::Pointer(p) = value
        && p.parent != 0
        && matches!(p.to, To::Kernel { .. })
    {
        found.parent = p.parent;
    }
    if let Value::Pointer(p) = value
        && p.reference != 0
        && matches!(
            p.to,
            To::Kernel { .. } | To::Socket(_) | To::Allocated { .. } | To::Record { .. }
        )
    {
        found.reference = p.reference;
        if row.has(KfuncFlag::Release) {
            if found.release.is_some() {
                let must = format!("{} is given one reference", row.name);
                return Err(fail(Rule::Reference, &must, "it is given two").about(reg));
            }
            found.release = Some(p.reference);
            if p.constant_offset() != Some(0) {
                return Err(wrong(
                    env,
                    state,
                    call,
                    reg,
                    "the start of what is released",
                ));
            }
        }
    }
    if null && param.nullable && param.kind != ParamKind::Context {
        return Ok(());
    }
    match &param.kind {
        ParamKind::Context => match value {
            Value::Pointer(p) if p.to == To::Context && !p.null => {
                if p.constant_offset() != Some(0) {
                    return Err(wrong(env, state, call, reg, "the context, unmodified"));
                }
                Ok(())
            }
            _ => Err(wrong(env, state, call, reg, "the context")),
        },
        ParamKind::Map => {
            let Value::Pointer(p) = value else {
                return Err(wrong(env, state, call, reg, "a map"));
            };
            // One that the kernel gave, where no field of a map's value has to go with it.
            if let To::Kernel { type_id, trust } = p.to
                && index == 0
                && (trust == Trust::Trusted || p.reference != 0)
                && !p.null
                && p.constant_offset() == Some(0)
                && call.types.name(probity_btf::TypeId(type_id)) == "bpf_map"
            {
                return Ok(());
            }
            match p.to {
                To::Map(map) if !p.null && p.constant_offset() == Some(0) => {
                    if let Some(field) = found.field {
                        timer::same_map(env, reg, &p, field)?;
                    }
                    found.map = Some(map);
                    Ok(())
                }
                To::Kernel {
                    trust: Trust::Trusted,
                    ..
                } if !p.null && arena::takes(call, &p) => Ok(()),
                _ => Err(wrong(env, state, call, reg, "a map")),
            }
        }
        ParamKind::String => args::const_str(env, &value).ok_or_else(|| {
            let what = "a NUL-terminated string in read-only data";
            wrong(env, state, call, reg, what)
        }),
        // Nobody else would walk it.
        ParamKind::Callback
            if !matches!(
                row.special,
                Some(KfuncSpecial::AsyncCallback(_) | KfuncSpecial::RbtreeAdd)
            ) =>
        {
            Err(unsupported(&format!("the function given to {}", row.name)))
        }
        ParamKind::Callback => match value {
            Value::Pointer(Pointer {
                to: To::Function(f),
                off: 0,
                ..
            }) => {
                found.callback = Some(f);
                Ok(())
            }
            _ => Err(wrong(env, state, call, reg, "a function of the program")),
        },
        ParamKind::Dynptr { uninit, constant } => {
            dynptr::argument(env, state, call, reg, *uninit, *constant, found)
        }
        ParamKind::Iterator { type_id } => iter::argument(env, state, call, reg, *type_id, found),
        ParamKind::IrqFlag => irq::argument(env, state, call, reg, found),
        // The functions known to take such are `alloc::special`.
        ParamKind::ResilientLock
        | ParamKind::Allocated
        | ParamKind::Refcounted
        | ParamKind::ListHead
        | ParamKind::ListNode
        | ParamKind::TreeRoot
        | ParamKind::TreeNode => Err(unsupported(&format!(
            "memory with managed fields as an argument of {}",
            row.name
        ))),
        ParamKind::WorkQueue | ParamKind::TaskWork | ParamKind::Timer => {
            later::argument(env, call, reg, &value, &param.kind, found)
        }
        ParamKind::Pointer(to) => pointer(env, state, call, index, param, to, value, found),
        ParamKind::Unknown(what) => Err(unsupported(&format!(
            "kernel functions with arguments of type `{what}`"
        ))),
        ParamKind::Ignored
        | ParamKind::Scalar
        | ParamKind::Constant
        | ParamKind::Size { .. }
        | ParamKind::BufferSize { .. } => Ok(()),
    }
}

fn number(
    env: &mut Env<'_>,
    state: &State,
    call: &Call<'_>,
    index: usize,
    param: &Param,
    n: Number,
    found: &mut Found,
) -> Outcome<()> {
    let reg = ARGS[index];
    let known = |env: &mut Env<'_>| {
        env.origins.need(n.origin);
        n.set.as_constant().ok_or_else(|| {
            let what = "a number known when the program is verified";
            wrong(env, state, call, reg, what)
        })
    };
    match param.kind {
        ParamKind::Constant => {
            found.constant = Some(known(env)?);
            Ok(())
        }
        ParamKind::BufferSize { writable } => {
            let Ok(size) = u32::try_from(known(env)?) else {
                return Err(wrong(env, state, call, reg, "a size of 32 bits"));
            };
            // A size of 0 says nothing: the type's size is taken then.
            found.buffer = (size > 0).then_some((size, writable));
            Ok(())
        }
        ParamKind::Size { constant } => {
            sized_memory(env, state, call, index, n, found)?;
            if constant {
                found.constant = Some(known(env)?);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The memory before a size, where that is memory.
fn sized_memory(
    env: &mut Env<'_>,
    state: &State,
    call: &Call<'_>,
    index: usize,
    n: Number,
    found: &mut Found,
) -> Outcome<()> {
    let Some(before) = index.checked_sub(1) else {
        return Ok(());
    };
    let proto = call.proto.clone();
    let Some(Param {
        kind: ParamKind::Pointer(to),
        nullable,
        optional,
    }) = proto.params.get(before)
    else {
        return Ok(());
    };
    let memory = ARGS[before];
    let value = *state.reg(memory);
    if (*nullable || *optional) && value.is_zero() {
        return Ok(());
    }
    if value.as_pointer().is_some_and(is_structure) {
        return Ok(());
    }
    let name = short(call);
    let most = args::size_bound(env, ARGS[index], index, args::Callee::Kernel(name), &n)?;
    if value.is_zero() && most == 0 {
        return Ok(());
    }
    let least = n.set.umin() as i64;
    let access = match call.row.has(KfuncFlag::OneWay) {
        false => MemAccess::ReadWrite,
        true if to.constant => MemAccess::Read,
        true => MemAccess::Write,
    };
    let writes = args::memory_argument(env, state, name, before, least, most, access)?;
    found.writes.extend(writes);
    Ok(())
}

fn short<'a>(call: &Call<'a>) -> &'a str {
    let name = call.row.name;
    name.strip_prefix("bpf_").unwrap_or(name)
}

/// Pointers that Linux knows by a kernel structure.
fn is_structure(p: &Pointer) -> bool {
    matches!(p.to, To::Kernel { .. } | To::Allocated { .. } | To::Map(_))
        || matches!(p.to, To::Socket(s) if s != Socket::XdpSock)
}

fn pointer(
    env: &mut Env<'_>,
    state: &State,
    call: &Call<'_>,
    index: usize,
    param: &Param,
    to: &Pointee,
    value: Value,
    found: &mut Found,
) -> Outcome<()> {
    let reg = ARGS[index];
    if let Value::Pointer(p) = value
        && is_structure(&p)
    {
        return structure(env, state, call, reg, param, to, p);
    }
    let sized = to.sized && state_number(state, index + 1);
    if sized && (to.void || to.bytes(call.types).is_some()) {
        // Checked with its size, which comes next.
        return match value {
            Value::Pointer(p) if p.null => Err(may_be_null(env, state, call, reg)),
            Value::Pointer(_) => Ok(()),
            Value::Number(_) if value.is_zero() => Ok(()),
            _ => Err(wrong(env, state, call, reg, "a pointer to memory")),
        };
    }
    let Some(bytes) = to.bytes(call.types) else {
        let what = match to.structure {
            true => format!("a kernel `struct {}`", call.types.name(to.type_id)),
            false => format!("a `{} *`", call.types.type_name(to.type_id)),
        };
        return Err(wrong(env, state, call, reg, &what));
    };
    match value {
        Value::Pointer(p) if p.null => return Err(may_be_null(env, state, call, reg)),
        Value::Pointer(_) => {}
        _ => {
            let what = format!("a pointer to {bytes} bytes of memory");
            return Err(wrong(env, state, call, reg, &what));
        }
    }
    let bytes = i64::from(bytes);
    let name = short(call);
    let access = MemAccess::ReadWrite;
    let writes = args::memory_argument(env, state, name, index, bytes, bytes, access)?;
    found.writes.extend(writes);
    Ok(())
}

fn state_number(state: &State, index: usize) -> bool {
    ARGS.get(index)
        .is_some_and(|r| matches!(state.reg(*r), Value::Number(_)))
}

/// A pointer to a kernel structure, where one is wanted.
fn structure(
    env: &mut Env<'_>,
    state: &State,
    call: &Call<'_>,
    reg: Reg,
    param: &Param,
    to: &Pointee,
    p: Pointer,
) -> Outcome<()> {
    let row = call.row;
    let types = call.types;
    let name = types.name(to.type_id);
    let what = || format!("a pointer to a kernel `struct {name}`");
    if !to.structure {
        let what = format!("a `{} *`", types.type_name(to.type_id));
        return Err(wrong(env, state, call, reg, &what));
    }
    let Some(off) = p.constant_offset() else {
        return Err(wrong(env, state, call, reg, &what()));
    };
    let Some((type_id, trust)) = kernel::structure_of(types, &p) else {
        return Err(wrong(env, state, call, reg, &what()));
    };
    if p.null && !(param.nullable && (p.reference != 0 || trust == Trust::Rcu)) {
        return Err(may_be_null(env, state, call, reg));
    }
    let trusted = p.reference != 0 || trust == Trust::Trusted;
    let rcu = trust == Trust::Rcu;
    let flagged = |f| row.has(f);
    let fine = if flagged(KfuncFlag::Rcu) {
        trusted || rcu
    } else if flagged(KfuncFlag::TrustedArgs) || flagged(KfuncFlag::Release) {
        trusted
    } else {
        trusted || rcu || trust == Trust::Plain
    };
    if !fine {
        let wanted = match flagged(KfuncFlag::Rcu) {
            true => "a trusted pointer, or one under RCU protection,",
            false => "a trusted pointer",
        };
        let must = format!(
            "argument {} of {} is {wanted} to a kernel `struct {name}`",
            reg.index(),
            row.name
        );
        let known = format!("{reg} is {} ({})", describe(env, &p), trust.name());
        let e = fail(Rule::BadArgument, &must, &known).about(reg);
        return Err(match trust {
            Trust::Rcu => e.hint("take a reference of it first, with its acquire function"),
            Trust::Untrusted => e.hint(
                "read it inside of bpf_rcu_read_lock() and bpf_rcu_read_unlock(), or take a reference",
            ),
            _ => e,
        });
    }
    let given = types.name(probity_btf::TypeId(type_id));
    let strict = flagged(KfuncFlag::Release) && p.reference != 0
        || kernel::aliases_without_cast(given, name);
    let projected = env
        .platform
        .projections
        .iter()
        .any(|(user, kernel)| *user == name && *kernel == given);
    if projected && off == 0 || kernel::is_within(types, type_id, off, to.type_id, strict) {
        return Ok(());
    }
    let must = format!("argument {} of {} is {}", reg.index(), row.name, what());
    let known = match off {
        0 => format!("{reg} points to a `struct {}`", given),
        off => format!("{reg} points to offset {off} of a `struct {}`", given),
    };
    Err(fail(Rule::BadArgument, &must, &known).about(reg))
}

fn may_be_null(env: &Env<'_>, state: &State, call: &Call<'_>, reg: Reg) -> Box<Failure> {
    let must = format!("argument {} of {} is not NULL", reg.index(), call.row.name);
    let known = crate::args::known_argument(env, reg, state.reg(reg));
    fail(Rule::NullDereference, &must, &known)
        .about(reg)
        .hint("test it for NULL before the call")
}
