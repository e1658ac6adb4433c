//! Kernel structures by BTF: loads and stores through typed pointers.
//!
//! A load through a typed pointer stays within one member; a pointer member gives a typed pointer.
//!
//! **Invariant:** what a typed pointer leads to is read by loads that may fault and then give 0, so nothing
//! of its content is believed, and nothing is written but what a row of the platform allows.

use probity_btf::{Btf, Type, TypeId};
use probity_isa::Reg;

use crate::env::Env;
use crate::memory::{Kind, Place, describe};
use crate::reject::{Explain, Outcome, fail, unsupported};
use crate::report::{Region, Rule};
use crate::state::State;
use crate::value::{Pointer, Trust};

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
    state: &State,
    p: &Pointer,
    type_id: u32,
    trust: Trust,
    reg: Reg,
    off: i64,
    size: usize,
    kind: Kind,
) -> Outcome<(Place, Region, Option<i64>)> {
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
    if kind.writes() {
        let may = trust != Trust::Untrusted && crate::typed::may_write(env, types, id, at, size);
        if may {
            return Ok((Place::Plain, Region::Kernel, Some(at)));
        }
        let must = format!("the program may write {size} bytes at offset {at} of `struct {name}`");
        return Err(fail(Rule::ReadOnly, &must, &describe(env, p)).about(reg));
    }
    let Some(leaf) = types.member_at(id, at as u64, size as u64) else {
        let known = format!(
            "{size} bytes at offset {at} ({}) do not",
            types.path_at(id, at as u64)
        );
        return Err(fail(Rule::OutOfBounds, &must, &known).about(reg));
    };
    let number = Ok((Place::Plain, Region::Kernel, Some(at)));
    match types.resolved(leaf.field.ty) {
        Some(Type::Ptr(pointed)) => {
            let whole = size == 8 && leaf.field.byte_offset() == at as u64 && kind == Kind::Read;
            match pointee(types, pointed) {
                Some(to) if whole => {
                    let (trust, null) =
                        crate::trust::walk(env, state, types, id, &leaf, pointed, to, trust);
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
                        Place::Typed {
                            type_id: to,
                            trust,
                            null: null && trust != Trust::Untrusted,
                        },
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
