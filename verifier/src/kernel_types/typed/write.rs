//! Which bytes of kernel structures a program may write: by rows.

use probity_btf::{Btf, Type, TypeId};
use probity_platform::Writable;

use crate::env::Env;

/// Where a row lets programs write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct May {
    structure: TypeId,
    start: u64,
    end: u64,
    /// Any part of it; else only from its start.
    parts: bool,
}

impl May {
    fn allows(&self, at: u64, last: u64) -> bool {
        at >= self.start && last <= self.end && (self.parts || at == self.start)
    }
}

/// May the program write `size` bytes at `at` of a structure of the kernel?
pub(crate) fn may_write(env: &Env<'_>, types: &Btf, id: TypeId, at: i64, size: usize) -> bool {
    let Some((start, last)) = extent(at, size) else {
        return false;
    };
    // Programs fill in structures member by member.
    if let Some(may) = env.may_write.get()
        && may.structure == id
        && may.allows(start, last)
    {
        return true;
    }
    let may = find(env, types, id, start, last);
    if may.is_some() {
        env.may_write.set(may);
    }
    may.is_some()
}

fn extent(at: i64, size: usize) -> Option<(u64, u64)> {
    let start = u64::try_from(at).ok()?;
    Some((start, start.checked_add(size as u64)?))
}

fn find(env: &Env<'_>, types: &Btf, id: TypeId, start: u64, last: u64) -> Option<May> {
    let ops = env.typed.as_ref().and_then(|t| t.ops);
    let by_kind = env
        .platform
        .targets
        .writable
        .iter()
        .filter(|w| w.kinds.contains(&env.kind.kind))
        .flat_map(|w| w.fields);
    let name = types.name(id);
    let mut rows = ops
        .into_iter()
        .flat_map(|o| o.writable)
        .chain(by_kind)
        .filter(|w| w.structure == name)
        .peekable();
    rows.peek()?;
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
        .filter_map(|w| field(types, w, id))
        .find(|may| may.allows(start, last))
}

fn field(types: &Btf, row: &Writable, id: TypeId) -> Option<May> {
    if row.field.is_empty() {
        return Some(May {
            structure: id,
            start: 0,
            end: types.size_of(id).unwrap_or(0).into(),
            parts: true,
        });
    }
    let place = types.member_offset(id, row.field).ok()?;
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
    (!place.bitfield).then_some(May {
        structure: id,
        start,
        end,
        parts,
    })
}
