//! A helper's arguments against its row.
//!
//! **Invariant:** nothing of the state changes here; what the call will do is gathered in [`Found`].

mod buffers;
mod structures;

use std::fmt;

use probity_isa::{Pc, Reg};
use probity_platform::{Arg, ArgKind, Callback, Managed, MemAccess, Prototype, Values};

pub(crate) use buffers::{const_str, memory, memory_argument, size_bound};
use buffers::{constant_key, region, size};
use structures::{kernel_argument, kernel_socket};

use crate::call::{ARGS, acquires, is_null};
use crate::dynptr;
use crate::env::Env;
use crate::kptr;
use crate::lock;
use crate::memory::{self, describe};
use crate::regions::Within;
use crate::reject::{Explain, Failure, Outcome, fail, unsupported};
use crate::report::Rule;
use crate::special::SpecialField;
use crate::state::State;
use crate::timer::{self, MapOf};
use crate::value::{Hold, Id, Known, MapRef, Number, Pointer, To, Value};

/// What the arguments of one call are, and what the call will do.
#[derive(Default)]
pub(crate) struct Found {
    pub map: Option<MapRef>,
    /// The `Size` argument last seen.
    pub size: Option<Number>,
    pub alloc: Option<u32>,
    /// Stack bytes that the helper writes.
    pub writes: Vec<StackWrite>,
    pub release: Option<Id>,
    pub acquires: bool,
    /// The key is a constant of a dense map: the lookup does not fail.
    pub present: bool,
    pub callback: Option<(Callback, usize)>,
    /// The lookup that found the map, where it is an inner one.
    pub lookup: Id,
    /// The lock, and whether it is left.
    pub lock: Option<(Within, bool)>,
    /// The field that names its map.
    pub field: Option<MapOf>,
    /// Where an exchange stores.
    pub kptr: Option<SpecialField>,
    /// The structure, of which there is one for each CPU.
    pub percpu: Option<u32>,
    pub dynptr: dynptr::Found,
    /// The type of a kernel's variable that each CPU has.
    pub percpu_kernel: Option<u32>,
}

pub(crate) struct StackWrite {
    pub frame: usize,
    pub low: i64,
    pub high: i64,
    pub size: i64,
}

struct Call<'a> {
    pc: Pc,
    callee: Callee<'a>,
    packet_access: bool,
    found: Found,
}

/// What is called, by the name that people know it by.
#[derive(Clone, Copy)]
pub(crate) enum Callee<'a> {
    /// Of its row, without `bpf_`.
    Helper(&'a str),
    Kernel(&'a str),
    Global(&'a str),
}

impl<'a> Callee<'a> {
    fn name(self) -> &'a str {
        match self {
            Callee::Helper(name) | Callee::Kernel(name) | Callee::Global(name) => name,
        }
    }
}

impl fmt::Display for Callee<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Callee::Helper(name) => write!(f, "bpf_{name}"),
            Callee::Kernel(name) => f.write_str(name),
            Callee::Global(name) => write!(f, "the global function `{name}`"),
        }
    }
}

pub(crate) fn check(
    env: &mut Env<'_>,
    state: &State,
    pc: Pc,
    helper: &str,
    proto: &Prototype,
) -> Outcome<Found> {
    let mut call = Call {
        pc,
        callee: Callee::Helper(helper),
        packet_access: proto.effects.packet_access,
        found: Found::default(),
    };
    for (i, arg) in proto.args.iter().enumerate().take(ARGS.len()) {
        let reg = ARGS[i];
        let next = proto.args.get(i + 1).map(|a| a.kind);
        argument(env, state, &mut call, arg, next, i, proto)
            .map_err(|e| if e.regs.is_empty() { e.about(reg) } else { e })?;
    }
    if proto.effects.changes_packet || call.found.dynptr.moves {
        let count = proto.args.len().min(ARGS.len());
        dynptr::apart_from_packet(state, &ARGS[..count])?;
    }
    call.found.acquires = acquires(env, proto, call.found.map);
    Ok(call.found)
}

fn argument(
    env: &mut Env<'_>,
    state: &State,
    call: &mut Call<'_>,
    arg: &Arg,
    next: Option<ArgKind>,
    index: usize,
    proto: &Prototype,
) -> Outcome<()> {
    let reg = ARGS[index];
    let value = *state.reg(reg);
    if !value.is_init() {
        let must = format!("argument {} of {} is initialised", index + 1, call.callee);
        return Err(fail(
            Rule::Uninitialised,
            &must,
            &format!("{reg} was never written on this path"),
        )
        .about(reg));
    }
    let null = is_null(arg, &value);
    if null && let Value::Number(n) = value {
        env.origins.need(n.origin);
    }
    let wrong = |env: &Env<'_>, what: &str| wrong(env, call.callee, index, &value, what);
    match arg.kind {
        ArgKind::Anything => memory::no_leak(env, &value, reg),
        ArgKind::Scalar => match value {
            Value::Number(_) => Ok(()),
            _ => Err(wrong(env, "a number")),
        },
        ArgKind::Zero => match value {
            Value::Number(n) => {
                env.origins.need(n.origin);
                if n.set.as_constant() == Some(0) {
                    Ok(())
                } else {
                    Err(wrong(env, "the constant 0"))
                }
            }
            _ => Err(wrong(env, "the constant 0")),
        },
        ArgKind::Map => {
            let Value::Pointer(p) = value else {
                return Err(wrong(env, "a map"));
            };
            let To::Map(map) = p.to else {
                return Err(wrong(env, "a map"));
            };
            if p.null {
                return Err(may_be_null(env, call.callee, index, &p));
            }
            let def = env.map(map)?;
            let kind = env.map_kind(def)?;
            let attach = env.attach_type();
            if !kind.allows(call.callee.name(), env.kind.kind)
                && !kind.allows_at(call.callee.name(), attach)
            {
                let known = format!("map `{}` is of kind `{}`", def.name, kind.name);
                let must = format!("the map's kind goes with {}", call.callee);
                return Err(fail(Rule::MapKind, &must, &known));
            }
            if env.sleepable() && !kind.sleepable {
                let known = format!("map `{}` is of kind `{}`", def.name, kind.name);
                return Err(fail(
                    Rule::MapKind,
                    "the map's kind goes with sleepable programs",
                    &known,
                ));
            }
            if let Some(field) = call.found.field {
                timer::same_map(env, reg, &p, field)?;
            }
            call.found.map = Some(map);
            call.found.lookup = p.parent;
            Ok(())
        }
        ArgKind::MapKey => {
            if null {
                return Ok(());
            }
            let size = i64::from(env.map(map_of(call)?)?.key_size);
            region(env, state, call, reg, index, size, size, MemAccess::Read)?;
            call.found.present = constant_key(env, state, reg, map_of(call)?)?;
            Ok(())
        }
        ArgKind::MapValue { init } => {
            if null {
                return Ok(());
            }
            let def = env.map(map_of(call)?)?;
            let values = env.map_kind(def)?.values;
            if values == Values::Sockets {
                // What is stored is a socket.
                return match value {
                    Value::Pointer(p)
                        if matches!(p.to, To::Socket(_)) && p.constant_offset() == Some(0) =>
                    {
                        if p.null {
                            Err(may_be_null(env, call.callee, index, &p))
                        } else {
                            Ok(())
                        }
                    }
                    Value::Pointer(p) if matches!(p.to, To::Kernel { .. }) => {
                        kernel_socket(env, call, index, &p, false)
                    }
                    _ => Err(wrong(env, "a socket")),
                };
            }
            let size = i64::from(def.value_size);
            let read = init || values == Values::Read;
            let access = if read {
                MemAccess::Read
            } else {
                MemAccess::Write
            };
            region(env, state, call, reg, index, size, size, access)
        }
        ArgKind::Mem { .. } => {
            // Its size comes with the next argument.
            match (next, value) {
                (Some(ArgKind::Size { .. }), Value::Pointer(_)) => Ok(()),
                (Some(ArgKind::Size { .. }), _) if null => Ok(()),
                (Some(ArgKind::Size { .. }), _) => Err(wrong(env, "a pointer to memory")),
                _ => Err(unsupported(&format!(
                    "{}: memory without a size",
                    call.callee
                ))),
            }
        }
        ArgKind::FixedMem {
            access,
            bytes,
            align,
        } => {
            if null {
                return Ok(());
            }
            let bytes = i64::from(bytes);
            if let Value::Pointer(p) = value
                && align > 1
            {
                memory::aligned(&p, reg, 0, align as usize, true)?;
            }
            region(env, state, call, reg, index, bytes, bytes, access)
        }
        ArgKind::Size { zero_ok } => {
            let Value::Number(n) = value else {
                return Err(wrong(env, "a size in bytes"));
            };
            size(env, state, call, index, n, zero_ok, proto)
        }
        ArgKind::AllocSize => {
            let Value::Number(n) = value else {
                return Err(wrong(env, "a constant size"));
            };
            env.origins.need(n.origin);
            let Some(size) = n
                .set
                .as_constant()
                .and_then(|s| u32::try_from(s).ok())
                .filter(|s| *s < 1 << 30)
            else {
                return Err(wrong(env, "a size known when the program is verified"));
            };
            call.found.alloc = Some(size);
            Ok(())
        }
        ArgKind::Ctx => match value {
            Value::Pointer(p) if !p.null && is_context(env, &p) => {
                if p.constant_offset() != Some(0) {
                    return Err(wrong(env, "the context, unmodified"));
                }
                Ok(())
            }
            _ if null => Ok(()),
            _ => Err(wrong(env, "the context")),
        },
        ArgKind::RingbufMem { release } => match value {
            Value::Pointer(p) if matches!(p.to, To::Record { .. }) => {
                if p.null {
                    return Err(may_be_null(env, call.callee, index, &p));
                }
                if p.constant_offset() != Some(0) || p.reference == 0 {
                    return Err(wrong(env, "the start of a record that was reserved"));
                }
                if release {
                    call.found.release = Some(p.reference);
                }
                Ok(())
            }
            _ => Err(wrong(env, "a record reserved in a ring buffer")),
        },
        ArgKind::ConstStr => const_str(env, &value)
            .ok_or_else(|| wrong(env, "a NUL-terminated string in read-only data")),
        ArgKind::SockCommon { release, .. } | ArgKind::Socket { release } => match value {
            Value::Pointer(p) if matches!(p.to, To::Socket(_)) => {
                let full = !matches!(arg.kind, ArgKind::Socket { .. })
                    || matches!(p.to, To::Socket(crate::value::Socket::Sock));
                if !full {
                    return Err(wrong(env, "a full socket"));
                }
                if p.null && !arg.nullable {
                    return Err(may_be_null(env, call.callee, index, &p));
                }
                if p.constant_offset() != Some(0) {
                    return Err(wrong(env, "a socket, unmodified"));
                }
                if release {
                    if p.reference == 0 {
                        let must = format!("{} is given a reference to release", call.callee);
                        return Err(
                            fail(Rule::Reference, &must, &format!("{reg} carries none")).about(reg)
                        );
                    }
                    call.found.release = Some(p.reference);
                }
                Ok(())
            }
            Value::Pointer(p) if matches!(p.to, To::Kernel { .. }) => match arg.kind {
                ArgKind::SockCommon { btf: true, release } => {
                    kernel_socket(env, call, index, &p, release)
                }
                _ => Err(wrong(env, "a socket")),
            },
            _ if null => Ok(()),
            _ => Err(wrong(env, "a socket")),
        },
        ArgKind::Btf { name, .. } => match value {
            _ if null => Ok(()),
            Value::Pointer(p) if matches!(p.to, To::Kernel { .. }) => {
                kernel_argument(env, call, index, &p, name, arg.nullable)
            }
            _ => Err(wrong(
                env,
                &format!("a pointer to a kernel `struct {name}`"),
            )),
        },
        ArgKind::Func(callback) => match value {
            Value::Pointer(p) => match p.to {
                To::Function(f) if p.constant_offset() == Some(0) => {
                    call.found.callback = Some((callback, f));
                    Ok(())
                }
                _ => Err(wrong(env, "a function of the program")),
            },
            _ => Err(wrong(env, "a function of the program")),
        },
        ArgKind::CallbackCtx => match value {
            Value::Pointer(p) if matches!(p.to, To::Stack { .. }) => Ok(()),
            _ if null => Ok(()),
            _ => Err(wrong(env, "a pointer to the stack, or NULL")),
        },
        ArgKind::SpinLock { leave } => {
            let callee = call.callee.to_string();
            let within = lock::argument(env, reg, &value, Managed::SpinLock, &callee)?;
            call.found.lock = Some((within, leave));
            Ok(())
        }
        ArgKind::Timer => {
            let callee = call.callee.to_string();
            let field = timer::argument(env, reg, &value, Managed::Timer, &callee)?;
            call.found.field = Some(field);
            call.found.map = Some(field.map);
            call.found.lookup = field.lookup;
            Ok(())
        }
        ArgKind::Kptr => {
            let field = match &value {
                Value::Pointer(p) => kptr::destination(env, p),
                _ => None,
            };
            if field.is_none() {
                return Err(wrong(env, "a kernel pointer (kptr) in a map value"));
            }
            call.found.kptr = field;
            Ok(())
        }
        ArgKind::KptrNew => match (value, call.found.kptr) {
            _ if null => Ok(()),
            (Value::Number(n), _) if n.set.as_constant() == Some(0) => {
                env.origins.need(n.origin);
                Ok(())
            }
            (Value::Pointer(p), Some(field)) if kptr::accepts(env, &field, &p) => {
                call.found.release = Some(p.reference);
                Ok(())
            }
            _ => Err(wrong(
                env,
                "a pointer of the field's type that the program owns, or NULL",
            )),
        },
        ArgKind::PercpuBtf => match value {
            Value::Pointer(Pointer {
                to:
                    To::Allocated {
                        type_id,
                        hold: Hold::Rcu,
                        percpu: true,
                    },
                null: false,
                ..
            }) if value.as_pointer().and_then(Pointer::constant_offset) == Some(0) => {
                call.found.percpu = Some(type_id);
                Ok(())
            }
            Value::Pointer(Pointer {
                to: To::Allocated { .. },
                ..
            }) => Err(wrong(
                env,
                "memory of each CPU under RCU protection, not NULL",
            )),
            Value::Pointer(Pointer {
                to: To::PerCpu { type_id },
                null: false,
                ..
            }) if value.as_pointer().and_then(Pointer::constant_offset) == Some(0) => {
                call.found.percpu_kernel = Some(type_id);
                Ok(())
            }
            _ => Err(wrong(env, "a kernel's variable that each CPU has")),
        },
        ArgKind::Dynptr { access } => {
            let found = &mut call.found.dynptr;
            dynptr::helper_argument(env, state, call.callee.name(), reg, access, found)
        }
        ArgKind::MapMem { .. } => match value {
            // Its size comes with the next argument.
            Value::Pointer(p) if matches!(p.to, To::MapValue(_)) && !p.null => Ok(()),
            Value::Pointer(p) if p.null => Err(may_be_null(env, call.callee, index, &p)),
            _ => Err(wrong(env, "memory of a map value")),
        },
    }
}

/// The context, also where it is plain memory.
fn is_context(env: &Env<'_>, p: &Pointer) -> bool {
    let memory = matches!(env.kind.context, probity_platform::Context::Memory { .. });
    let whole = env.context.as_pointer().is_some_and(|c| c.to == p.to);
    p.to == To::Context || memory && whole && p.parent == 0 && p.reference == 0
}

fn map_of(call: &Call<'_>) -> Outcome<MapRef> {
    call.found
        .map
        .ok_or_else(|| unsupported(&format!("{}: a key or value without a map", call.callee)))
}

fn wrong(
    env: &Env<'_>,
    callee: Callee<'_>,
    index: usize,
    value: &Value,
    what: &str,
) -> Box<Failure> {
    let reg = ARGS[index];
    let known = known_argument(env, reg, value);
    let must = format!("argument {} of {callee} is {what}", index + 1);
    fail(Rule::BadArgument, &must, &known).about(reg)
}

/// What is known of an argument, for messages.
pub(crate) fn known_argument(env: &Env<'_>, reg: Reg, value: &Value) -> String {
    match value {
        Value::Pointer(p) if p.null => format!("{reg} is {} or NULL", describe(env, p)),
        Value::Pointer(p) => format!("{reg} is {}", describe(env, p)),
        Value::Number(n) => format!("{reg} is a number: {}", Known(&n.set)),
        Value::Uninit => format!("{reg} is uninitialised"),
    }
}

fn may_be_null(env: &Env<'_>, callee: Callee<'_>, index: usize, p: &Pointer) -> Box<Failure> {
    let reg = ARGS[index];
    let must = format!("argument {} of {callee} is not NULL", index + 1);
    let known = format!("{reg} is {} or NULL", describe(env, p));
    fail(Rule::NullDereference, &must, &known)
        .about(reg)
        .hint("test it for NULL before the call")
}
