//! What r0 is after a call of a kernel function: by its prototype's type, its flags and what its arguments were.
//!
//! **Invariant:** a number is any 64-bit one: the calling convention says nothing of what is above the type's width.

use probity_btf::{Type, TypeId};
use probity_platform::{KfuncFlag, KfuncSpecial as Special};

use crate::env::Env;
use crate::reject::{Outcome, fail, unsupported};
use crate::report::Rule;
use crate::state::State;
use crate::value::{Pointer, To, Trust, Value};
use crate::{arena, dynptr};

use super::prototype::Returns;
use super::{Call, Found};

pub(super) fn result(
    env: &mut Env<'_>,
    state: &State,
    call: &Call<'_>,
    found: &Found,
) -> Outcome<Value> {
    let row = call.row;
    let pointer = match row.special {
        Some(Special::DynptrSlice { writable }) => {
            return dynptr::slice(env, state, call, found, writable);
        }
        Some(Special::ArenaAlloc) => return arena::pages(env, found),
        Some(Special::RdonlyCast) => return rdonly_cast(call, found),
        Some(Special::CastToKernelContext) => {
            let Some(id) = env.contexts.kernel(env.kind) else {
                let must = "the kernel sees the context as a structure";
                let known = format!("that of `{}` programs it does not", env.kind.name);
                return Err(fail(Rule::CallNotAllowed, must, &known));
            };
            kernel(id, Trust::Trusted)
        }
        _ => match call.proto.ret {
            Returns::Void => return Ok(Value::Uninit),
            Returns::Number | Returns::VoidPointer => return Ok(Value::unknown()),
            Returns::Structure(id) => kernel(id, trust(call)),
            Returns::Memory(size) => {
                let (size, writable) = match (found.buffer, size) {
                    (Some(buffer), _) => buffer,
                    (None, Some(size)) => (size, row.special == Some(Special::WritableResult)),
                    (None, None) => {
                        return Err(unsupported(&format!("the result of {}", row.name)));
                    }
                };
                if row.has(KfuncFlag::Acquire) {
                    return Err(unsupported(&format!("the reference of {}", row.name)));
                }
                Pointer {
                    // It goes with what it was found through.
                    reference: found.reference,
                    ..Pointer::new(To::Memory { size, writable })
                }
            }
            Returns::Unknown => {
                return Err(unsupported(&format!("the result of {}", row.name)));
            }
        },
    };
    let acquires = row.has(KfuncFlag::Acquire);
    let null = row.has(KfuncFlag::RetNull);
    let id = env.fresh_id();
    let pointer = match acquires {
        true => Pointer {
            reference: id,
            ..pointer
        },
        // It goes with what it was found through.
        false => Pointer {
            parent: found.parent,
            ..pointer
        },
    };
    Ok(Value::Pointer(match null {
        true => pointer.or_null(id),
        false => pointer,
    }))
}

fn kernel(id: TypeId, trust: Trust) -> Pointer {
    Pointer::new(To::Kernel {
        type_id: id.0,
        trust,
    })
}

fn trust(call: &Call<'_>) -> Trust {
    let has = |f| call.row.has(f);
    if has(KfuncFlag::RcuProtected) {
        Trust::Rcu
    } else if has(KfuncFlag::Acquire) || has(KfuncFlag::IterNext) {
        Trust::Trusted
    } else {
        Trust::Plain
    }
}

/// Any address as a kernel structure, or as bytes, that loads may read and nothing else.
fn rdonly_cast(call: &Call<'_>, found: &Found) -> Outcome<Value> {
    let id = found
        .constant
        .and_then(|c| u32::try_from(c).ok())
        .map(TypeId);
    let fine = id.filter(|id| {
        let ty = call.types.ty(*id);
        matches!(ty, Some(Type::Struct(_) | Type::Union(_) | Type::Void))
    });
    match fine {
        Some(id) => Ok(Value::Pointer(kernel(id, Trust::Untrusted))),
        None => {
            let must = format!("argument 2 of {} is the id of a structure", call.row.name);
            let known = match id {
                Some(id) => format!("type {id} is `{}`", call.types.type_name(id)),
                None => "it is none of the kernel's types".to_string(),
            };
            Err(fail(Rule::BadArgument, &must, &known))
        }
    }
}
