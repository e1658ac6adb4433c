//! Kernel structures by BTF: loads and stores through typed pointers.
//!
//! A load through a typed pointer stays within one member; a pointer member gives a typed pointer.
//!
//! **Invariant:** what a typed pointer leads to is read by loads that may fault and then give 0, so nothing
//! of its content is believed, and nothing is written but what a row of the platform allows.

use probity_btf::{Btf, Leaf, Type, TypeId};
use probity_isa::Reg;

use crate::env::Env;
use crate::memory::{Kind, Place, describe};
use crate::reject::{Explain, Outcome, fail, unsupported};
use crate::report::{Region, Rule};
use crate::state::State;
use crate::value::{MapRef, Pointer, To, Trust, Value};

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
    let must = || format!("the load stays within a member of `struct {name}`");
    let at = p.constant_offset().map(|o| o.saturating_add(off));
    let Some(at) = at.filter(|at| *at >= 0) else {
        return Err(fail(Rule::OutOfBounds, &must(), &describe(env, p)).about(reg));
    };
    if kind.writes() {
        let may = trust != Trust::Untrusted && crate::typed::may_write(env, types, id, at, size);
        if may {
            return Ok((Place::Plain, Region::Kernel, Some(at)));
        }
        let must = format!("the program may write {size} bytes at offset {at} of `struct {name}`");
        return Err(fail(Rule::ReadOnly, &must, &describe(env, p)).about(reg));
    }
    if types.resolve(id) == TypeId(0) {
        // Bytes of which nothing is known, and whose address is any number.
        return Ok((Place::Plain, Region::Kernel, Some(at)));
    }
    let there = types.members_at(id, at as u64, size as u64);
    let there = there.unwrap_or_default();
    let best = Leaf::best(&there, at as u64, size as u64);
    let Some(leaf) = best.and_then(|i| there.get(i)) else {
        if in_numbers(types, id, at as u64, size as u64) {
            return Ok((Place::Plain, Region::Kernel, Some(at)));
        }
        let known = format!(
            "{size} bytes at offset {at} ({}) do not",
            types.path_at(id, at as u64)
        );
        return Err(fail(Rule::OutOfBounds, &must(), &known).about(reg));
    };
    let number = Ok((Place::Plain, Region::Kernel, Some(at)));
    match types.resolved(leaf.field.ty) {
        Some(Type::Ptr(pointed)) => {
            let whole = size == 8 && leaf.field.byte_offset() == at as u64 && kind == Kind::Read;
            match pointee(types, pointed) {
                Some(to) if whole => {
                    let (trust, null) =
                        crate::trust::walk(env, state, types, id, leaf, pointed, to, trust);
                    // Padding beside a pointer is a union in form only.
                    let padded = there.iter().filter(|l| !l.field.bitfield).count() == 1;
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
                    Err(fail(Rule::OutOfBounds, &must(), &known).about(reg))
                }
                _ => number,
            }
        }
        _ => number,
    }
}

/// Memory of a kernel structure that helpers may read: within one member.
pub(crate) fn readable(
    env: &Env<'_>,
    p: &Pointer,
    type_id: u32,
    reg: Reg,
    size: i64,
) -> Outcome<()> {
    let types = env.platform.types.as_deref();
    let (at, size) = (
        p.constant_offset().and_then(|o| u64::try_from(o).ok()),
        u64::try_from(size).ok(),
    );
    if let (Some(types), Some(at), Some(size)) = (types, at, size) {
        let id = TypeId(type_id);
        if types.member_at(id, at, size).is_some() || in_numbers(types, id, at, size) {
            return Ok(());
        }
    }
    let must = "the memory given stays within a member of the kernel's structure";
    Err(fail(Rule::OutOfBounds, must, &describe(env, p)).about(reg))
}

/// Whether bytes lie within one array of numbers, of whatever width.
fn in_numbers(types: &Btf, id: TypeId, off: u64, size: u64) -> bool {
    let (mut id, mut off) = (types.resolve(id), off);
    for _ in 0..64 {
        let Some(Type::Struct(s) | Type::Union(s)) = types.ty(id) else {
            return false;
        };
        let holds = |m: &probity_btf::Member<'_>| {
            let field = types.member_field(m)?;
            let at = off.checked_sub(field.byte_offset())?;
            (!field.bitfield && at.checked_add(size)? <= field.byte_size()).then_some((m.ty, at))
        };
        let Some((ty, at)) = s.members.iter().find_map(|m| holds(&m)) else {
            return false;
        };
        let (mut ty, mut at, mut array) = (types.resolve(ty), at, false);
        for _ in 0..16 {
            let Some(Type::Array { elem, .. }) = types.ty(ty) else {
                break;
            };
            let step = u64::from(types.size_of(elem).unwrap_or(0));
            if step == 0 {
                return false;
            }
            array = true;
            at %= step;
            ty = types.resolve(elem);
        }
        match types.ty(ty) {
            Some(Type::Struct(_) | Type::Union(_)) => (id, off) = (ty, at),
            Some(Type::Int { .. } | Type::Enum(_) | Type::Enum64(_)) => return array,
            _ => return false,
        }
    }
    false
}

/// A load of a field of a map itself.
pub(crate) fn load_map(
    env: &Env<'_>,
    state: &State,
    p: &Pointer,
    map: MapRef,
    reg: Reg,
    off: i64,
    size: usize,
) -> Outcome<(Place, Region, Option<i64>)> {
    let structure = env.map_kind(env.map(map)?)?.structure;
    let types = env.platform.types.as_deref();
    let Some(id) = types.and_then(|t| t.find_struct(structure)) else {
        return Err(
            unsupported("fields of `struct bpf_map` without the kernel's types").about(reg),
        );
    };
    load(
        env,
        state,
        p,
        id.0,
        Trust::Plain,
        reg,
        off,
        size,
        Kind::Read,
    )
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

/// The kernel structure that a pointer is known by, and how far it is to be believed.
pub(crate) fn structure_of(types: &Btf, p: &Pointer) -> Option<(u32, Trust)> {
    match p.to {
        To::Kernel { type_id, trust } => Some((type_id, trust)),
        To::Socket(socket) => {
            let id = types.find_struct(socket.kernel_name()?)?;
            Some((id.0, Trust::Trusted))
        }
        To::Map(_) => Some((types.find_struct("bpf_map")?.0, Trust::Trusted)),
        _ => None,
    }
}

/// Whether at `off` of structure `have` there begins a structure `want`: it itself, or a member, or a member's
/// member. `strict`: it itself only.
pub(crate) fn is_within(types: &Btf, have: u32, off: i64, want: TypeId, strict: bool) -> bool {
    let Ok(mut off) = u64::try_from(off) else {
        return false;
    };
    let want = types.resolve(want);
    let mut id = types.resolve(TypeId(have));
    if off == 0 && id == want {
        return true;
    }
    if strict {
        return false;
    }
    // Structures do not hold themselves, but hostile types might say so.
    for _ in 0..64 {
        let Some((next, rest)) = member_structure(types, id, off) else {
            return false;
        };
        (id, off) = (next, rest);
        if off == 0 && id == want {
            return true;
        }
    }
    false
}

/// The first member that covers byte `off` and is a structure or union, or an array of such, and what is left of `off` in it.
fn member_structure(types: &Btf, id: TypeId, off: u64) -> Option<(TypeId, u64)> {
    let Some(Type::Struct(s) | Type::Union(s)) = types.ty(id) else {
        return None;
    };
    for m in s.members.iter() {
        let field = types.member_field(&m)?;
        if field.bitfield || off < field.byte_offset() {
            continue;
        }
        let at = off - field.byte_offset();
        let (mut ty, mut at_in) = (types.resolve(m.ty), at);
        // Arrays of arrays of structures.
        for _ in 0..16 {
            let Some(Type::Array { elem, .. }) = types.ty(ty) else {
                break;
            };
            let step = u64::from(types.size_of(elem).unwrap_or(0));
            if step == 0 || at >= field.byte_size() {
                break;
            }
            at_in %= step;
            ty = types.resolve(elem);
        }
        if at >= field.byte_size() {
            continue;
        }
        return match types.ty(ty) {
            Some(Type::Struct(_) | Type::Union(_)) => Some((ty, at_in)),
            _ => None,
        };
    }
    None
}

/// Two names of structures of which one is the other that is not set up yet (`___init`): never taken for each other.
pub(crate) fn aliases_without_cast(a: &str, b: &str) -> bool {
    const SUFFIX: &str = "___init";
    a.strip_suffix(SUFFIX) == Some(b) || b.strip_suffix(SUFFIX) == Some(a)
}

/// The last RCU read section ended: what it protected may be read, and is not believed any more.
pub(crate) fn rcu_ended(state: &mut State) {
    state.for_each_pointer(
        |p| {
            matches!(
                p.to,
                To::Kernel {
                    trust: Trust::Rcu,
                    ..
                }
            )
        },
        |v| {
            if let Value::Pointer(p) = v
                && let To::Kernel { trust, .. } = &mut p.to
            {
                *trust = Trust::Untrusted;
                p.null = false;
                p.id = 0;
            }
        },
    );
}
