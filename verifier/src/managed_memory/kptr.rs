//! Pointers that the kernel manages inside of map values and allocated structures: loads, stores of NULL, exchange.
//!
//! - A load gives a pointer that may be NULL: under RCU protection where its structure outlives such a section, else untrusted.
//! - What owns its structure is exchanged only: the new pointer's reference ends, the old one's begins.
//!
//! **Invariant:** a field that owns its structure changes by exchange alone.

use probity_isa::Reg;
use probity_platform::Managed;

use crate::env::Env;
use crate::memory::{Kind, Place, describe};
use crate::reject::{Explain, Failure, Outcome, fail, unsupported};
use crate::report::Rule;
use crate::special::{Holds, SpecialField};
use crate::state::State;
use crate::trust::in_rcu;
use crate::value::{Hold, Pointer, To, Trust, Value};

/// Fields that are pointers.
pub(crate) const POINTERS: &[Managed] = &[
    Managed::KptrUntrusted,
    Managed::Kptr,
    Managed::PercpuKptr,
    Managed::Uptr,
];

/// Fields that own what they point to.
const OWNERS: &[Managed] = &[Managed::Kptr, Managed::PercpuKptr];

/// A load or store in a map value that meets a managed field; `None` when it meets none.
pub(crate) fn access(
    env: &mut Env<'_>,
    state: &State,
    p: &Pointer,
    reg: Reg,
    off: i64,
    size: i64,
    kind: Kind,
) -> Outcome<Option<Place>> {
    let To::MapValue(map) = p.to else {
        return Ok(None);
    };
    let Some(special) = env.fields(map) else {
        return Ok(None);
    };
    let (low, high) = p.offset_range();
    let (low, high) = (low + i128::from(off), high + i128::from(off));
    let Some(field) = special.overlap(low, high + i128::from(size)).cloned() else {
        return Ok(None);
    };
    if !field.is(POINTERS) {
        return Err(untouchable(&field, special.problem.as_deref()).about(reg));
    }
    let must = || {
        let name = field.name;
        format!("a `{name}` is loaded or stored whole, by a plain load or store")
    };
    let at = p.constant_offset().map(|o| o.wrapping_add(off));
    if at.is_none_or(|at| i128::from(at) != i128::from(field.offset)) || size != 8 {
        let known = match at {
            Some(at) => format!("{size} bytes at offset {at}; it is at {}", field.offset),
            None => "the offset varies".to_string(),
        };
        return Err(fail(Rule::BadPointer, &must(), &known).about(reg));
    }
    match kind {
        Kind::Read => Ok(Some(Place::Argument(Box::new(loaded(env, state, &field)?)))),
        Kind::Write => {
            if !field.is(&[Managed::KptrUntrusted]) {
                let must = format!("a `{}` changes by exchange only", field.name);
                let known = format!("it is at offset {} of the value", field.offset);
                let e = fail(Rule::BadPointer, &must, &known).about(reg);
                return Err(e.hint("use bpf_kptr_xchg()"));
            }
            Ok(Some(Place::Kptr(field.holds)))
        }
        Kind::ReadSigned | Kind::Atomic => {
            Err(fail(Rule::BadPointer, &must(), "this one is not plain").about(reg))
        }
    }
}

/// Nothing but its helpers touches the field.
pub(crate) fn untouchable(field: &SpecialField, problem: Option<&str>) -> Box<Failure> {
    let must = format!("a `{}` is only touched by its helpers", field.name);
    let known = match problem {
        Some(why) => format!(
            "the access overlaps it at offset {}; of the type the kernel would say: {why}",
            field.offset
        ),
        None => format!("the access overlaps it at offset {}", field.offset),
    };
    fail(Rule::BadPointer, &must, &known)
}

/// What a load of the field gives.
fn loaded(env: &mut Env<'_>, state: &State, field: &SpecialField) -> Outcome<Value> {
    let rcu = in_rcu(env, state);
    let to = match (field.holds, field.kind) {
        (Holds::Local { type_id }, Some(Managed::Uptr)) => {
            let size = env
                .object
                .btf
                .as_deref()
                .and_then(|b| b.size_of(probity_btf::TypeId(type_id)));
            let Some(size) = size else {
                return Err(unsupported("user pointers to structures without a size"));
            };
            To::Memory {
                size,
                writable: true,
            }
        }
        (Holds::Kernel { type_id }, kind) => {
            let name = env
                .platform
                .types
                .as_deref()
                .map(|t| t.name(probity_btf::TypeId(type_id)))
                .unwrap_or_default();
            let lasting = kind == Some(Managed::Kptr)
                && env.platform.managed.kptr(name).is_some_and(|k| k.rcu);
            let trust = if lasting && rcu {
                Trust::Rcu
            } else {
                Trust::Untrusted
            };
            To::Kernel { type_id, trust }
        }
        (Holds::Local { type_id }, kind) => {
            let percpu = kind == Some(Managed::PercpuKptr);
            let owned = matches!(kind, Some(Managed::Kptr | Managed::PercpuKptr));
            let node = env
                .record_of(type_id)
                .has(&[Managed::ListNode, Managed::RbNode]);
            let hold = match (owned && rcu, node) {
                (true, true) => Hold::Borrowed { counted: true },
                (true, false) => Hold::Rcu,
                (false, _) => Hold::Untrusted,
            };
            To::Allocated {
                type_id,
                hold,
                percpu,
            }
        }
        _ => return Err(unsupported("kernel pointers in maps (kptr) of this form")),
    };
    let id = env.fresh_id();
    Ok(Value::Pointer(Pointer::new(to).or_null(id)))
}

/// A plain store to a field that does not own what it points to.
pub(crate) fn store(env: &Env<'_>, holds: Holds, value: &Value, reg: Reg) -> Outcome<()> {
    if value.is_zero() {
        return Ok(());
    }
    let must = "a kernel pointer of the field's type, or NULL, is stored in it";
    match value {
        Value::Pointer(p) if fits(env, holds, p, false) => Ok(()),
        Value::Pointer(p) => {
            let known = format!("{reg} is {}", describe(env, p));
            Err(fail(Rule::BadArgument, must, &known).about(reg))
        }
        v => Err(fail(Rule::BadArgument, must, &format!("{reg} is {v}")).about(reg)),
    }
}

/// Whether a field may hold the pointer.
fn fits(env: &Env<'_>, holds: Holds, p: &Pointer, owner: bool) -> bool {
    if p.constant_offset() != Some(0) {
        return false;
    }
    match (holds, p.to) {
        (Holds::Kernel { type_id }, To::Kernel { type_id: t, trust }) => {
            let name = |id| {
                let types = env.platform.types.as_deref();
                types.map(|b| b.name(probity_btf::TypeId(id)))
            };
            (type_id == t || name(type_id) == name(t))
                && (!owner || p.reference != 0 && trust != Trust::Untrusted)
        }
        (
            Holds::Local { type_id },
            To::Allocated {
                type_id: t, hold, ..
            },
        ) => type_id == t && hold == Hold::Owning,
        _ => false,
    }
}

/// Where an exchange stores: a pointer to a field that owns what it points to.
pub(crate) fn destination(env: &Env<'_>, p: &Pointer) -> Option<SpecialField> {
    if p.null {
        return None;
    }
    let at = p.constant_offset()?;
    match p.to {
        To::MapValue(map) => env.fields(map)?.at(at, OWNERS).cloned(),
        To::Allocated {
            type_id,
            hold: Hold::Owning,
            percpu: false,
        } => env.record_of(type_id).at(at, OWNERS).cloned(),
        _ => None,
    }
}

/// Whether the exchange may put this pointer, which carries a reference, into the field.
pub(crate) fn accepts(env: &Env<'_>, field: &SpecialField, p: &Pointer) -> bool {
    let percpu = matches!(p.to, To::Allocated { percpu: true, .. });
    !p.null
        && p.reference != 0
        && fits(env, field.holds, p, true)
        && percpu == (field.kind == Some(Managed::PercpuKptr))
}

/// The old pointer that an exchange gives, with a reference of its own, or NULL.
pub(crate) fn exchanged(env: &mut Env<'_>, field: &SpecialField) -> Outcome<Value> {
    let to = match field.holds {
        Holds::Kernel { type_id } => To::Kernel {
            type_id,
            trust: Trust::Trusted,
        },
        Holds::Local { type_id } => To::Allocated {
            type_id,
            hold: Hold::Owning,
            percpu: field.kind == Some(Managed::PercpuKptr),
        },
        _ => return Err(unsupported("kernel pointers in maps (kptr) of this form")),
    };
    let id = env.fresh_id();
    let p = Pointer {
        reference: id,
        ..Pointer::new(to)
    };
    Ok(Value::Pointer(p.or_null(id)))
}

/// Memory of each CPU that was given to a field stays readable while RCU protects it.
pub(crate) fn given_away(env: &Env<'_>, state: &mut State, reference: u32) {
    if !in_rcu(env, state) {
        return;
    }
    state.for_each_pointer(
        |p| p.reference == reference && matches!(p.to, To::Allocated { percpu: true, .. }),
        |v| {
            let Value::Pointer(p) = v else { return };
            p.reference = 0;
            if let To::Allocated { hold, .. } = &mut p.to {
                *hold = Hold::Rcu;
            }
        },
    );
}
