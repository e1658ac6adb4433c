//! A program's target → what a load of each word of its context gives, and what the program returns.
//!
//! A typed context is an array of 64-bit words with the arguments of a kernel function, by its prototype in the
//! kernel's types: numbers for integers, enumerations and small structures, typed pointers for pointers to
//! structures, numbers for pointers that no program may follow.
//!
//! **Invariant:** an argument that may be NULL, an error number or gone is never a pointer that may be used as it is.

mod attach;
mod prototype;
mod struct_ops;
mod write;

use probity_btf::{Btf, Type};
use probity_domains::Scalar;
use probity_isa::Reg;
use probity_objfile::{Object, Program, Target};
use probity_platform::{IteratorArg, Platform, StructOps, Targets};

use crate::env::Env;
use crate::memory::Kind;
use crate::reject::{Explain, Outcome, fail, unsupported};
use crate::report::Rule;
use crate::state::{Reference, State};
use crate::value::{Id, Pointer, To, Trust, Value};
use crate::walks::Role;

use prototype::Prototype;
pub(crate) use write::{May, may_write};

// `enum bpf_attach_type`.
const TRACE_FENTRY: u32 = 24;
const TRACE_FEXIT: u32 = 25;
const MODIFY_RETURN: u32 = 26;
const LSM_MAC: u32 = 27;
const TRACE_ITER: u32 = 28;
const LSM_CGROUP: u32 = 43;

/// What a program's target makes of its context.
#[derive(Clone, Debug)]
pub(crate) struct TypedContext {
    /// Ascending by place, without gaps.
    pub args: Vec<Argument>,
    /// The word behind the arguments: what the function returned.
    pub ret: Option<Gives>,
    /// What a program that stands in for the function returns.
    pub returned: Returned,
    /// Only the low half of what the program returns is looked at.
    pub low_half: bool,
    /// For members of structures that the program implements.
    pub ops: Option<&'static StructOps>,
    /// Of `ops`, or of the kernel function.
    pub name: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Argument {
    /// Bytes from the context's start.
    pub at: i64,
    /// In whole words.
    pub size: i64,
    pub gives: Gives,
}

/// What a load of an argument gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Gives {
    /// In any width.
    Number,
    /// What a hook returned so far: the low half is in this range.
    Result { min: i32, max: i32 },
    /// A pointer that is no more than a number.
    Address,
    Structure {
        type_id: u32,
        trust: Trust,
        null: bool,
        /// The program is given the reference, by this number among its arguments, and must release it.
        acquired: bool,
        reference: Id,
    },
    /// Bytes of a map's key or value.
    Bytes { writable: bool },
    /// Nothing: Linux refuses to load it.
    Refused,
}

/// What a hook makes of a program's return value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returned {
    Integer,
    Bool,
    /// r0 may be anything, even uninitialised.
    Nothing,
    /// Exactly this number, whatever the kind says.
    Only(i64),
    /// NULL, or a pointer to this structure with a reference, which is given away.
    Pointer {
        type_id: u32,
    },
}

/// The context of a program; `Err` when its target is not known or not modelled.
pub(crate) fn context(
    platform: &Platform,
    object: &Object,
    program: &Program,
    attach: Option<u32>,
) -> Outcome<TypedContext> {
    let hook = &program.hook;
    if let (Some(_), Target::Function { name, .. }) = (attach, &hook.target) {
        attach::check(platform, name, attach, hook.sleepable)?;
    }
    let Some(types) = platform.types.as_deref() else {
        return Err(unsupported(
            "contexts typed by BTF without the kernel's types",
        ));
    };
    if attach.is_none() {
        return match hook.prog_type.map(|t| t.0) {
            Some(STRUCT_OPS) => struct_ops::context(platform, types, object, program),
            Some(EXT) => Err(fail(
                Rule::ProgramKind,
                "the program whose function is replaced is known",
                "whoever loads the program names it; this verification has none",
            )),
            _ => Err(no_target()),
        };
    }
    match &hook.target {
        Target::RawTracepoint { name } => {
            tracepoint(types, &platform.targets, name, hook.sleepable)
        }
        Target::Function { name, .. } => function(types, &platform.targets, name, attach),
        // Whoever loads it names a function, of a program that is loaded: what reads none of its arguments,
        // nor its result, fits any.
        Target::None if matches!(attach, Some(TRACE_FENTRY | TRACE_FEXIT)) && !hook.sleepable => {
            Ok(TypedContext {
                args: Vec::new(),
                ret: None,
                returned: Returned::Integer,
                low_half: false,
                ops: None,
                name: "a function of another program".to_string(),
            })
        }
        _ => Err(no_target()),
    }
}

fn no_target() -> Box<crate::reject::Failure> {
    let must = "the section names the program's target";
    let known = "it does not, and whoever loads the program has to";
    fail(Rule::ProgramKind, must, known)
}

/// `enum bpf_prog_type`: the two whose programs have no attach type of their own.
const STRUCT_OPS: u32 = 27;
const EXT: u32 = 28;

pub(super) fn missing(name: &str) -> Box<crate::reject::Failure> {
    let must = "the program's target is known to the platform";
    let known = format!("its types have no `{name}`");
    fail(Rule::ProgramKind, must, &known)
}

fn tracepoint(
    types: &Btf,
    targets: &Targets,
    name: &str,
    sleepable: bool,
) -> Outcome<TypedContext> {
    if sleepable {
        let must = "the program may be attached to its target";
        let known = format!("the tracepoint `{name}` does not sleep");
        return Err(fail(Rule::ProgramKind, must, &known));
    }
    let full = ["btf_trace_", name].concat();
    let Some(id) = types.find_typedef(&full) else {
        return Err(missing(&full));
    };
    // Only the functions behind it have names of parameters; the first is shared by tracepoints of a class.
    let named = types
        .find_func(&["__bpf_trace_", name].concat())
        .or_else(|| types.find_func(&["__traceiter_", name].concat()));
    let plain = types.pointee(id);
    let proto = named
        .and_then(|f| Prototype::of(types, f))
        .or_else(|| plain.and_then(|p| Prototype::of(types, p)));
    let Some(mut proto) = proto else {
        return Err(missing(&full));
    };
    // The first parameter is the tracepoint's own.
    if !proto.params.is_empty() {
        proto.params.remove(0);
    }
    let row = targets.tracepoint(name);
    let flag = |bits: u32, index: usize| bits.checked_shr(index as u32).unwrap_or(0) & 1 == 1;
    let args = proto.arguments(types, &mut |index, param, to| {
        if row.is_some_and(|r| flag(r.error, index)) {
            return Gives::Address;
        }
        structure(
            to,
            Trust::Trusted,
            row.is_some_and(|r| flag(r.nullable, index)) || param.ends_with(NULLABLE),
        )
    })?;
    Ok(TypedContext {
        args,
        ret: None,
        returned: Returned::Integer,
        low_half: false,
        ops: None,
        name: name.to_string(),
    })
}

/// How the name of a parameter ends that may be NULL.
pub(super) const NULLABLE: &str = "__nullable";

pub(super) fn structure(type_id: u32, trust: Trust, null: bool) -> Gives {
    Gives::Structure {
        type_id,
        trust,
        null,
        acquired: false,
        reference: 0,
    }
}

fn function(
    types: &Btf,
    targets: &Targets,
    name: &str,
    attach: Option<u32>,
) -> Outcome<TypedContext> {
    let full = match attach {
        Some(LSM_MAC | LSM_CGROUP) => ["bpf_lsm_", name].concat(),
        Some(TRACE_ITER) => ["bpf_iter_", name].concat(),
        Some(TRACE_FENTRY | TRACE_FEXIT | MODIFY_RETURN) => name.to_string(),
        _ => {
            return Err(unsupported(&format!(
                "contexts typed by BTF for targets such as `{name}`"
            )));
        }
    };
    let Some(proto) = types.find_func(&full).and_then(|f| Prototype::of(types, f)) else {
        return Err(missing(&full));
    };
    let iterator = targets.iterator(name);
    let lsm = matches!(attach, Some(LSM_MAC | LSM_CGROUP));
    let args = proto.arguments(types, &mut |index, param, to| match attach {
        Some(TRACE_ITER) if index > 0 => match iterator {
            // What is not known of it is taken to be the least.
            None => structure(to, Trust::Plain, true),
            Some(row) => match row.args.iter().find(|(at, _)| *at == index) {
                Some((_, IteratorArg::Structure { trusted: true })) => {
                    structure(to, Trust::Trusted, true)
                }
                Some((_, IteratorArg::Structure { trusted: false })) => {
                    structure(to, Trust::Plain, true)
                }
                _ => structure(to, Trust::Trusted, param.ends_with(NULLABLE)),
            },
        },
        _ => {
            let trusted =
                attach == Some(TRACE_ITER) || lsm && !targets.lsm_untrusted.contains(&name);
            let trust = if trusted {
                Trust::Trusted
            } else {
                Trust::Plain
            };
            structure(to, trust, param.ends_with(NULLABLE))
        }
    })?;
    let mut typed = TypedContext {
        args,
        ret: None,
        returned: Returned::Integer,
        low_half: attach == Some(LSM_MAC),
        ops: None,
        name: name.to_string(),
    };
    if let (Some(row), Some(TRACE_ITER)) = (iterator, attach) {
        for (index, arg) in row.args {
            if let (IteratorArg::Bytes { writable }, Some(a)) = (arg, typed.args.get_mut(*index)) {
                a.gives = Gives::Bytes {
                    writable: *writable,
                };
            }
        }
    }
    let nothing = matches!(types.resolved(proto.ret), Some(Type::Void) | None);
    let truth = targets.lsm_bool.contains(&name);
    match attach {
        Some(TRACE_FEXIT) => {
            let trust = Trust::Plain;
            typed.ret = Some(prototype::gives(types, proto.ret, &mut |to| {
                structure(to, trust, false)
            }));
        }
        Some(MODIFY_RETURN) => match types.resolved(proto.ret) {
            Some(Type::Int { .. }) => typed.ret = Some(Gives::Number),
            _ => typed.ret = Some(Gives::Refused),
        },
        Some(LSM_MAC | LSM_CGROUP) => {
            typed.ret = Some(match (nothing, truth) {
                (true, _) => Gives::Refused,
                (false, true) if attach == Some(LSM_MAC) => Gives::Result { min: 0, max: 1 },
                (false, false) if attach == Some(LSM_MAC) => Gives::Result { min: -4095, max: 0 },
                _ => Gives::Number,
            });
            typed.returned = match (nothing, attach) {
                (true, Some(LSM_CGROUP)) => Returned::Only(1),
                (true, _) => Returned::Nothing,
                _ if truth => Returned::Bool,
                _ => Returned::Integer,
            };
        }
        _ => {}
    }
    Ok(typed)
}

/// The references among the arguments are the program's from the start.
pub(crate) fn enter(env: &mut Env<'_>, state: &mut State) {
    let gives = |a: &Argument| matches!(a.gives, Gives::Structure { acquired: true, .. });
    let Some(typed) = env.typed.as_ref().filter(|t| t.args.iter().any(gives)) else {
        return;
    };
    let mut typed = TypedContext::clone(typed);
    for arg in &mut typed.args {
        if let Gives::Structure {
            acquired: true,
            reference,
            ..
        } = &mut arg.gives
        {
            *reference = env.fresh_id();
            state.references.push(Reference {
                id: *reference,
                pc: 0,
            });
        }
    }
    env.typed = Some(std::rc::Rc::new(typed));
}

/// What a load of `size` bytes at `off` of a typed context gives.
pub(crate) fn load(
    env: &mut Env<'_>,
    state: &State,
    reg: Reg,
    off: i64,
    size: usize,
    kind: Kind,
) -> Outcome<Value> {
    let bad = |known: &str| {
        let must =
            format!("{size} bytes at offset {off} of the context are an argument of the target");
        Err(fail(Rule::ContextAccess, &must, known).about(reg))
    };
    if kind.writes() {
        return bad("a typed context is read-only");
    }
    let Some(typed) = env.typed.clone() else {
        return Err(unsupported("contexts typed by BTF").about(reg));
    };
    if off < 0 || off % 8 != 0 {
        return bad("arguments start at multiples of 8");
    }
    let end = typed.args.last().map_or(0, |a| a.at + a.size);
    let inside = typed
        .args
        .iter()
        .find(|a| a.at <= off && off < a.at + a.size);
    let gives = match (inside, typed.ret) {
        (Some(a), _) => a.gives,
        (None, Some(ret)) if off == end => ret,
        _ => return bad(&format!("it has {}", typed.args.len())),
    };
    let any = Value::number(Scalar::unknown().zero_extend(size as u32 * 8));
    match gives {
        Gives::Number => Ok(any),
        Gives::Result { min, max } => {
            let low = match min < 0 {
                true => Scalar::from_low_bounds(0, u32::MAX, min, max),
                false => Scalar::from_low_bounds(min as u32, max as u32, min, max),
            };
            Ok(match (low, size, kind) {
                (Some(s), 8, _) => Value::number(s),
                (Some(s), 4, Kind::Read) => Value::number(s.mov32()),
                _ => any,
            })
        }
        Gives::Refused => bad("it is neither a number nor a pointer that programs may have"),
        _ if size != 8 || kind != Kind::Read => bad("a pointer is read whole"),
        Gives::Address => Ok(any),
        Gives::Bytes { writable } => {
            let p = Pointer::new(To::Buffer {
                writable,
                helpers: true,
            });
            Ok(Value::Pointer(p.or_null(env.fresh_id())))
        }
        Gives::Structure {
            type_id,
            trust,
            null,
            reference,
            ..
        } => {
            if reference != 0 && !state.holds(reference) {
                return bad("its reference was released");
            }
            let p = Pointer {
                reference,
                ..Pointer::new(To::Kernel { type_id, trust })
            };
            Ok(Value::Pointer(if null {
                p.or_null(env.fresh_id())
            } else {
                p
            }))
        }
    }
}

/// The reference that the program gives away by returning it.
pub(crate) fn returned_reference(env: &Env<'_>, state: &State) -> Option<Id> {
    if env.role != Role::Main {
        return None;
    }
    let Returned::Pointer { type_id: wanted } = env.typed.as_ref()?.returned else {
        return None;
    };
    match state.reg(Reg::R0) {
        Value::Pointer(p) if p.reference != 0 && p.constant_offset() == Some(0) => match p.to {
            To::Kernel { type_id, trust } if type_id == wanted && trust != Trust::Untrusted => {
                Some(p.reference)
            }
            _ => None,
        },
        _ => None,
    }
}
