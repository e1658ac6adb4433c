//! Kernel structures by BTF: typed contexts, and loads through typed pointers.
//!
//! - A context that is typed by its target's prototype is an array of 64-bit arguments: numbers for integers and
//!   enumerations, typed pointers for pointers to structures, numbers for other pointers.
//! - A load through a typed pointer stays within one member; a pointer member gives a typed pointer.
//!
//! **Invariant:** what a typed pointer leads to is read by loads that may fault and then give 0, so nothing
//! of its content is believed, and nothing is written.

use probity_btf::{Btf, Type, TypeId};
use probity_isa::Reg;
use probity_objfile::{Hook, Target};
use probity_platform::{Platform, Targets};

use crate::env::Env;
use crate::memory::{Kind, Place, describe};
use crate::reject::{Explain, Outcome, fail, unsupported};
use crate::report::{Region, Rule};
use crate::value::{Pointer, To, Trust, Value};

/// The prototype that types a program's context.
#[derive(Clone, Debug)]
pub(crate) struct TypedContext {
    /// Types of the arguments, in words of the context.
    pub args: Vec<TypeId>,
    /// What the function returns, where the program runs when it has: the word after the arguments.
    pub ret: Option<TypeId>,
    /// Pointers may be NULL where nothing says that they are not.
    pub nullable: bool,
    /// How far the pointers among the arguments are to be believed.
    pub trust: Trust,
    /// What a program that stands in for the function returns.
    pub returned: Returned,
}

/// What a hook makes of a program's return value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returned {
    Integer,
    Bool,
    Nothing,
}

/// The prototype for a program's target; `Err` when it is not known or not modelled.
pub(crate) fn context(
    platform: &Platform,
    hook: &Hook,
    attach: Option<u32>,
) -> Outcome<TypedContext> {
    let target = &hook.target;
    let lists = &platform.targets;
    if let Target::Function { name, .. } = target {
        attachable(lists, name, attach, hook.sleepable)?;
    }
    let Some(types) = platform.types.as_deref() else {
        return Err(unsupported(
            "contexts typed by BTF without the kernel's types",
        ));
    };
    let missing = |name: &str| {
        let must = "the program's target is known to the platform";
        fail(
            Rule::ProgramKind,
            must,
            &format!("its types have no `{name}`"),
        )
    };
    let (name, ret, skip, nullable) = match target {
        Target::RawTracepoint { name } => {
            let full = format!("btf_trace_{name}");
            let Some(id) = types.find_typedef(&full) else {
                return Err(missing(&full));
            };
            let proto = types.pointee(id).and_then(|p| proto(types, p));
            // The first parameter is the tracepoint's own.
            let Some((mut args, _)) = proto else {
                return Err(missing(&full));
            };
            if !args.is_empty() {
                args.remove(0);
            }
            return Ok(TypedContext {
                args,
                ret: None,
                nullable: false,
                trust: Trust::Plain,
                returned: Returned::Integer,
            });
        }
        Target::Function { name, ret, .. } => match attach {
            Some(LSM_MAC | LSM_CGROUP) => (format!("bpf_lsm_{name}"), false, 0, false),
            Some(TRACE_ITER) => (format!("bpf_iter_{name}"), false, 0, true),
            Some(TRACE_FENTRY | MODIFY_RETURN) => (name.clone(), false, 0, false),
            Some(TRACE_FEXIT) => (name.clone(), true, 0, false),
            _ => {
                return Err(unsupported(&format!(
                    "contexts typed by BTF for targets such as `{name}` (ret: {ret})"
                )));
            }
        },
        _ => return Err(unsupported("contexts typed by BTF without a target")),
    };
    let Some(func) = types.find_func(&name) else {
        return Err(missing(&name));
    };
    let Some((args, result)) = proto(types, func) else {
        return Err(missing(&name));
    };
    let args = args.into_iter().skip(skip).collect();
    let hook_name = match attach {
        Some(LSM_MAC | LSM_CGROUP) => name.strip_prefix("bpf_lsm_"),
        _ => None,
    };
    Ok(TypedContext {
        args,
        ret: ret.then_some(result),
        nullable,
        trust: match hook_name {
            Some(hook) if lists.lsm_untrusted.contains(&hook) => Trust::Untrusted,
            _ => Trust::Plain,
        },
        returned: match hook_name {
            Some(hook) if lists.lsm_bool.contains(&hook) => Returned::Bool,
            Some(_) => returned(types, result),
            None => Returned::Integer,
        },
    })
}

/// May a program be attached so to the function? By name where Linux goes by name; what it knows from lists
/// that are not in its types is refused as such.
fn attachable(lists: &Targets, name: &str, attach: Option<u32>, sleepable: bool) -> Outcome<()> {
    let begins = |all: &[&str]| all.iter().any(|p| name.starts_with(p));
    let refuse = |known: String| {
        let must = "the program may be attached to its target";
        Err(fail(Rule::ProgramKind, must, &known))
    };
    match attach {
        Some(LSM_MAC | LSM_CGROUP) => {
            if lists.lsm_disabled.contains(&name) {
                return refuse(format!("the hook `{name}` is not for programs"));
            }
            if sleepable && !lists.lsm_sleepable.contains(&name) {
                return refuse(format!("the hook `{name}` is not for sleepable programs"));
            }
        }
        Some(TRACE_FENTRY | TRACE_FEXIT | MODIFY_RETURN) => {
            if lists.untraceable.contains(&name) {
                return refuse(format!("`{name}` is not for programs"));
            }
            if attach != Some(TRACE_FENTRY) && lists.never_returning.contains(&name) {
                return refuse(format!("`{name}` does not return"));
            }
            if attach == Some(MODIFY_RETURN) && !begins(lists.replaceable) {
                return Err(unsupported(&format!(
                    "fmod_ret on `{name}` (whether it is open to error injection is not in the kernel's types)"
                )));
            }
            if sleepable && !begins(lists.sleepable) {
                return Err(unsupported(&format!(
                    "sleepable programs on `{name}` (whether it may sleep is not in the kernel's types)"
                )));
            }
        }
        _ => {}
    }
    Ok(())
}

// `enum bpf_attach_type`.
const TRACE_FENTRY: u32 = 24;
const TRACE_FEXIT: u32 = 25;
const MODIFY_RETURN: u32 = 26;
const LSM_MAC: u32 = 27;
const TRACE_ITER: u32 = 28;
const LSM_CGROUP: u32 = 43;

fn returned(types: &Btf, id: TypeId) -> Returned {
    match types.resolved(id) {
        Some(Type::Void) => Returned::Nothing,
        Some(Type::Int { size: 1, .. }) => Returned::Bool,
        _ => Returned::Integer,
    }
}

fn proto(types: &Btf, id: TypeId) -> Option<(Vec<TypeId>, TypeId)> {
    let id = match types.resolved(id)? {
        Type::Func { proto, .. } => proto,
        Type::FuncProto { .. } => types.resolve(id),
        _ => return None,
    };
    match types.ty(id)? {
        Type::FuncProto { ret, params } => Some((params.iter().map(|p| p.ty).collect(), ret)),
        _ => None,
    }
}

/// What a load of `size` bytes at `off` of a typed context gives.
pub(crate) fn context_load(
    env: &mut Env<'_>,
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
    let (Some(typed), Some(types)) = (env.typed.clone(), env.platform.types.clone()) else {
        return Err(unsupported("contexts typed by BTF").about(reg));
    };
    if off < 0 || off % 8 != 0 {
        return bad("arguments start at multiples of 8");
    }
    let index = (off / 8) as usize;
    let ty = match (typed.args.get(index), typed.ret) {
        (Some(ty), _) => *ty,
        (None, Some(ret)) if index == typed.args.len() => ret,
        _ => return bad(&format!("it has {}", typed.args.len())),
    };
    let any = Value::number(probity_domains::Scalar::unknown().zero_extend(size as u32 * 8));
    match types.resolved(ty) {
        Some(Type::Int { .. } | Type::Enum(_) | Type::Enum64(_)) => Ok(any),
        Some(Type::Ptr(to)) => {
            if size != 8 || kind != Kind::Read {
                return bad("a pointer is read whole");
            }
            match pointee(&types, to) {
                None => Ok(any),
                Some(type_id) => {
                    let p = Pointer::new(To::Kernel {
                        type_id,
                        trust: typed.trust,
                    });
                    // The first argument of an iterator is always there.
                    let null = typed.nullable && index > 0;
                    Ok(Value::Pointer(if null {
                        p.or_null(env.fresh_id())
                    } else {
                        p
                    }))
                }
            }
        }
        _ => bad("it is neither a number nor a pointer"),
    }
}

/// The structure that a pointer to `to` leads to, when a program may follow it.
fn pointee(types: &Btf, to: TypeId) -> Option<u32> {
    if let Some(Type::TypeTag { value, .. }) = types.ty(to)
        && matches!(value, "user" | "percpu")
    {
        return None;
    }
    let id = types.resolve(to);
    matches!(types.ty(id), Some(Type::Struct(_) | Type::Union(_))).then_some(id.0)
}

/// A load through a typed pointer: where it goes, and what it gives.
pub(crate) fn load(
    env: &Env<'_>,
    p: &Pointer,
    type_id: u32,
    trust: Trust,
    reg: Reg,
    off: i64,
    size: usize,
    kind: Kind,
) -> Outcome<(Place, Region, Option<i64>)> {
    if kind.writes() {
        return Err(fail(
            Rule::ReadOnly,
            "the memory may be written",
            &describe(env, p),
        )
        .about(reg));
    }
    if !env.gpl {
        let known = "the program's licence is not compatible with the GPL";
        return Err(fail(
            Rule::License,
            "only GPL-compatible programs follow kernel pointers",
            known,
        )
        .about(reg));
    }
    let Some(types) = env.platform.types.as_deref() else {
        return Err(unsupported("typed kernel pointers without the kernel's types").about(reg));
    };
    let id = TypeId(type_id);
    let name = types.name(id);
    let must = format!("the load stays within a member of `struct {name}`");
    let at = p.constant_offset().map(|o| o.saturating_add(off));
    let Some(at) = at.filter(|at| *at >= 0) else {
        return Err(fail(Rule::OutOfBounds, &must, &describe(env, p)).about(reg));
    };
    let Some(leaf) = types.member_at(id, at as u64, size as u64) else {
        let known = format!(
            "{size} bytes at offset {at} ({}) do not",
            types.path_at(id, at as u64)
        );
        return Err(fail(Rule::OutOfBounds, &must, &known).about(reg));
    };
    let number = Ok((Place::Plain, Region::Kernel, Some(at)));
    match types.resolved(leaf.field.ty) {
        Some(Type::Ptr(to)) => {
            let whole = size == 8 && leaf.field.byte_offset() == at as u64 && kind == Kind::Read;
            match pointee(types, to) {
                Some(to) if whole => {
                    // What is found behind a trusted pointer may be gone already.
                    let trust = if trust == Trust::Plain {
                        Trust::Plain
                    } else {
                        Trust::Untrusted
                    };
                    // Padding beside a pointer is a union in form only.
                    let padded = types
                        .members_at(id, at as u64, size as u64)
                        .is_ok_and(|all| all.iter().filter(|l| !l.field.bitfield).count() == 1);
                    let trust = if leaf.in_union && !padded {
                        Trust::Untrusted
                    } else {
                        trust
                    };
                    Ok((
                        Place::Typed { type_id: to, trust },
                        Region::Kernel,
                        Some(at),
                    ))
                }
                _ if !whole => {
                    let known = format!("`{}` is a pointer, and is read whole", leaf.path);
                    Err(fail(Rule::OutOfBounds, &must, &known).about(reg))
                }
                _ => number,
            }
        }
        _ => number,
    }
}

/// Whether a structure is `name`, or its first member is, or that one's first member, and so on.
pub(crate) fn begins_with(types: &Btf, id: TypeId, name: &str) -> bool {
    let mut id = types.resolve(id);
    // Structures do not hold themselves, but hostile types might say so.
    for _ in 0..16 {
        if types.name(id) == name {
            return true;
        }
        let Some(Type::Struct(s)) = types.ty(id) else {
            return false;
        };
        match s.members.get(0) {
            Some(m) if m.bit_offset == 0 => id = types.resolve(m.ty),
            _ => return false,
        }
    }
    false
}
