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
    let Ok(start) = u64::try_from(at) else {
        return false;
    };
    let name = types.name(id);
    let mut rows = ops
        .into_iter()
        .flat_map(|o| o.writable)
        .chain(by_kind)
        .filter(|w| w.structure == name)
        .peekable();
    if rows.peek().is_none() {
        return false;
    }
    // Of the many members only those count that lie there.
    let there = types.names_at(id, start);
    let lies_there = |w: &&Writable| match &there {
        Some(names) if !w.field.is_empty() => {
            let first = w.field.split(['.', '[']).next().unwrap_or_default();
            names.contains(&first)
        }
        _ => true,
    };
    rows.filter(lies_there)
        .any(|w| field(types, w, id, start, size))
}

fn field(types: &Btf, row: &Writable, id: TypeId, at: u64, size: usize) -> bool {
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
