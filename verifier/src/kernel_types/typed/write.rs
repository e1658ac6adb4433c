//! Which bytes of kernel structures a program may write: by rows.

use probity_btf::{Btf, Type, TypeId};
use probity_platform::Writable;

use crate::env::Env;

/// May the program write `size` bytes at `at` of a structure of the kernel?
pub(crate) fn may_write(env: &Env<'_>, types: &Btf, id: TypeId, at: i64, size: usize) -> bool {
    let ops = env.typed.as_ref().and_then(|t| t.ops);
    let by_kind = env
        .platform
        .targets
        .writable
        .iter()
        .filter(|w| w.kinds.contains(&env.kind.kind))
        .flat_map(|w| w.fields);
    ops.into_iter()
        .flat_map(|o| o.writable)
        .chain(by_kind)
        .any(|w| field(types, w, id, at, size))
}

fn field(types: &Btf, row: &Writable, id: TypeId, at: i64, size: usize) -> bool {
    if types.name(id) != row.structure {
        return false;
    }
    let Ok(at) = u64::try_from(at) else {
        return false;
    };
    let Some(last) = at.checked_add(size as u64) else {
        return false;
    };
    if row.field.is_empty() {
        return last <= u64::from(types.size_of(id).unwrap_or(0));
    }
    let Ok(place) = types.member_offset(id, row.field) else {
        return false;
    };
    let start = place.byte_offset().saturating_add(u64::from(row.head));
    let end = place
        .byte_offset()
        .saturating_add(place.byte_size())
        .saturating_sub(u64::from(row.tail));
    // A number is written from its start.
    let parts = matches!(
        types.resolved(place.ty),
        Some(Type::Array { .. } | Type::Struct(_) | Type::Union(_))
    );
    !place.bitfield && at >= start && last <= end && (parts || at == start)
}
