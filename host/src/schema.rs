//! The maps of two versions of an object, by their types → which are kept, which migrated, and what keeps that from being possible.
//!
//! **Invariant:** a map that both versions name is the same one for both, or its elements are in the new one, or the
//! replacement is refused; it is never two maps unless whoever replaces says so (`fresh`).

use std::fmt;
use std::sync::Arc;

use probity_btf::{Btf, Type, TypeId};
use probity_objfile::{self as objfile, DataKind, Object};
use probity_runtime::Map;

/// Why a map of the new version cannot have what the old one holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub map: String,
    pub what: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "map `{}`: {}; replace with fresh maps, or name it anew",
            self.map, self.what
        )
    }
}

/// What becomes of the old version's maps.
#[derive(Default)]
pub(crate) struct Plan {
    pub keep: Vec<Arc<Map>>,
    /// By name: elements are to be copied while nobody calls.
    pub migrate: Vec<Migration>,
    /// Names of maps that the new version has no more.
    pub dropped: Vec<String>,
}

pub(crate) struct Migration {
    pub old: Arc<Map>,
    how: Change,
}

/// What a replacement has to do with a map that both versions define.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is the same one for both.
    Kept,
    /// Values of the old one are the first bytes of the new.
    Elements,
    /// Variables that stay: offsets before and after, and bytes.
    Variables(Vec<(usize, usize, usize)>),
}

/// Kinds of which elements can be copied one by one: hash, array, those of each CPU, LRU, LPM.
const COPIED: &[u32] = &[1, 2, 5, 6, 9, 10, 11];

/// `held` gives the old version's map of a name, where it exists in process.
pub(crate) fn plan(
    old: &Object,
    new: &Object,
    held: impl Fn(&str) -> Option<Arc<Map>>,
    fresh: impl Fn(&str) -> bool,
) -> Result<Plan, Vec<Conflict>> {
    let mut plan = Plan::default();
    let mut conflicts = Vec::new();
    for before in &old.maps {
        let Some(map) = held(&before.name).filter(|m| !m.frozen()) else {
            continue;
        };
        let Some(after) = new.maps.iter().find(|m| m.name == before.name) else {
            plan.dropped.push(before.name.clone());
            continue;
        };
        if fresh(&before.name) {
            continue;
        }
        let compared = match map.is_portable() {
            true => compare(old, before, new, after),
            false => Err(FOREIGN.into()),
        };
        match compared {
            Ok(Change::Kept) => plan.keep.push(map),
            Ok(how) => plan.migrate.push(Migration { old: map, how }),
            Err(what) => conflicts.push(Conflict {
                map: before.name.clone(),
                what,
            }),
        }
    }
    match conflicts.is_empty() {
        true => Ok(plan),
        false => Err(conflicts),
    }
}

const FOREIGN: &str = "it holds what only one generation can use (programs, maps, timers)";

/// What becomes of the map of that name where its elements are copied from outside, as those of the kernel's maps are; why it cannot
/// be, otherwise.
pub fn change(old: &Object, new: &Object, map: &str) -> Result<Change, String> {
    let of = |o: &'_ Object| o.maps.iter().find(|m| m.name == map).cloned();
    let (Some(a), Some(b)) = (of(old), of(new)) else {
        return Err("one version has no such map".into());
    };
    let managed = |o: &Object, m: &objfile::Map| {
        let types = o.btf.as_deref().zip(m.value_type);
        types.is_some_and(|(btf, ty)| managed(btf, ty, 0))
    };
    let change = compare(old, &a, new, &b)?;
    match change != Change::Kept && (managed(old, &a) || managed(new, &b)) {
        true => Err(FOREIGN.into()),
        false => Ok(change),
    }
}

/// The type holds what the kernel keeps in it: its own structures, or pointers that are tagged.
fn managed(btf: &Btf, ty: TypeId, depth: u32) -> bool {
    if depth > DEPTH {
        return true;
    }
    let ty = btf.resolve(ty);
    match btf.ty(ty) {
        Some(Type::Struct(_) | Type::Union(_)) => {
            btf.name(ty).starts_with("bpf_")
                || btf
                    .members(ty)
                    .iter()
                    .any(|m| managed(btf, m.ty, depth + 1))
        }
        Some(Type::Array { elem, .. }) => managed(btf, elem, depth + 1),
        Some(Type::Ptr(to)) => matches!(btf.ty(to), Some(Type::TypeTag { .. })),
        _ => false,
    }
}

fn compare(
    old: &Object,
    a: &objfile::Map,
    new: &Object,
    b: &objfile::Map,
) -> Result<Change, String> {
    if let (Some(x), Some(y)) = (&a.data, &b.data) {
        return variables(old, x, new, y);
    }
    if a.data.is_some() != b.data.is_some() || a.kind != b.kind || a.flags != b.flags {
        return Err("it is of another kind now".into());
    }
    let pair = |x: Option<TypeId>, y: Option<TypeId>| match (
        old.btf.as_deref().zip(x),
        new.btf.as_deref().zip(y),
    ) {
        (Some((p, x)), Some((q, y))) => Some(Some((p, x, q, y))),
        (None, None) => Some(None),
        _ => None,
    };
    let same_key = match pair(a.key_type, b.key_type) {
        Some(Some((p, x, q, y))) => same(p, x, q, y, 0),
        Some(None) => true,
        None => return Err("one version has types of it, the other has not".into()),
    };
    if a.key_size != b.key_size || !same_key {
        return Err("its keys are of another type now".into());
    }
    if b.max_entries < a.max_entries {
        return Err(format!(
            "it had room for {} elements, now for {}",
            a.max_entries, b.max_entries
        ));
    }
    let grown = match pair(a.value_type, b.value_type) {
        Some(Some((p, x, q, y))) if same(p, x, q, y, 0) => false,
        Some(Some((p, x, q, y))) if extends(p, x, q, y) => true,
        Some(None) if a.value_size == b.value_size => false,
        _ => return Err("its values are of another type now".into()),
    };
    if !grown && a.max_entries == b.max_entries && a.value_size == b.value_size {
        return Ok(Change::Kept);
    }
    match COPIED.contains(&a.kind) && b.value_size >= a.value_size {
        true => Ok(Change::Elements),
        false => Err("elements of its kind cannot be moved into a larger one".into()),
    }
}

/// Global variables: those that both versions have and start alike keep their values.
fn variables(
    old: &Object,
    a: &objfile::DataSection,
    new: &Object,
    b: &objfile::DataSection,
) -> Result<Change, String> {
    if !matches!(a.kind, DataKind::Data | DataKind::Bss) || a.kind != b.kind {
        return Err("it is another section now".into());
    }
    let list =
        |o: &Object, d: &objfile::DataSection| -> Option<Vec<(String, TypeId, usize, usize)>> {
            let btf = o.btf.as_deref()?;
            let Some(Type::DataSec { vars, .. }) = btf.ty(d.datasec?) else {
                return None;
            };
            let of = vars.iter().map(|v| {
                let ty = match btf.ty(v.var) {
                    Some(Type::Var { ty, .. }) => ty,
                    _ => v.var,
                };
                (
                    btf.name(v.var).to_string(),
                    ty,
                    v.offset as usize,
                    v.size as usize,
                )
            });
            Some(of.collect())
        };
    let (Some(before), Some(after), Some(p), Some(q)) =
        (list(old, a), list(new, b), &old.btf, &new.btf)
    else {
        return match a.bytes == b.bytes {
            true => Ok(Change::Kept),
            false => Err("without types nobody knows which variable is which".into()),
        };
    };
    let mut moved = Vec::new();
    for (name, x, from, size) in &before {
        let Some((_, y, to, len)) = after.iter().find(|v| v.0 == *name) else {
            continue;
        };
        let initial = |bytes: &[u8], at: usize| {
            let end = at.checked_add(*size)?;
            Some(bytes.get(at..end)?.to_vec())
        };
        // An author who gives a variable another value to start with means it.
        if size == len
            && same(p, *x, q, *y, 0)
            && initial(&a.bytes, *from) == initial(&b.bytes, *to)
        {
            moved.push((*from, *to, *size));
        }
    }
    let all = moved.len() == before.len() && before.len() == after.len();
    match all && moved.iter().all(|(from, to, _)| from == to) && a.bytes.len() == b.bytes.len() {
        true => Ok(Change::Kept),
        false => Ok(Change::Variables(moved)),
    }
}

impl Migration {
    /// Copies what the old map holds into the new one. Nobody calls meanwhile.
    pub fn run(&self, new: &Map) -> Result<(), Conflict> {
        let failed = |what: String| Conflict {
            map: self.old.name().to_string(),
            what,
        };
        match &self.how {
            Change::Kept => Ok(()),
            Change::Elements => {
                for key in self.old.keys() {
                    let Some(mut values) = self.old.lookup_percpu(&key) else {
                        continue;
                    };
                    for v in &mut values {
                        v.resize(new.value_size(), 0);
                    }
                    let all: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
                    let done = match (new.is_percpu(), all.first()) {
                        (true, _) => new.update_percpu(&key, &all, 0),
                        (false, Some(value)) => new.update(&key, value, 0),
                        (false, None) => continue,
                    };
                    done.map_err(|e| failed(format!("an element cannot be moved: {e}")))?;
                }
                Ok(())
            }
            Change::Variables(moved) => {
                let key = [0; 4];
                let (Some(from), Some(mut to)) = (self.old.lookup(&key), new.lookup(&key)) else {
                    return Ok(());
                };
                for (a, b, size) in moved {
                    let source = a.checked_add(*size).and_then(|end| from.get(*a..end));
                    let place = b.checked_add(*size).and_then(|end| to.get_mut(*b..end));
                    if let (Some(source), Some(place)) = (source, place) {
                        place.copy_from_slice(source);
                    }
                }
                new.update(&key, &to, 0).map_err(|e| failed(e.to_string()))
            }
        }
    }
}

/// Deepest types that are compared.
const DEPTH: u32 = 16;

/// The same bytes mean the same: layouts, names of members, widths and signs.
fn same(a: &Btf, x: TypeId, b: &Btf, y: TypeId, depth: u32) -> bool {
    if depth > DEPTH {
        return false;
    }
    let (x, y) = (a.resolve(x), b.resolve(y));
    match (a.ty(x), b.ty(y)) {
        (
            Some(Type::Int { size, encoding, .. }),
            Some(Type::Int {
                size: size_b,
                encoding: encoding_b,
                ..
            }),
        ) => size == size_b && encoding == encoding_b,
        (Some(Type::Ptr(_)), Some(Type::Ptr(_))) => true,
        (
            Some(Type::Array { elem, len, .. }),
            Some(Type::Array {
                elem: elem_b,
                len: len_b,
                ..
            }),
        ) => len == len_b && same(a, elem, b, elem_b, depth + 1),
        (Some(Type::Struct(_)), Some(Type::Struct(_)))
        | (Some(Type::Union(_)), Some(Type::Union(_))) => {
            a.size_of(x) == b.size_of(y)
                && a.members(x).len() == b.members(y).len()
                && prefix(a, x, b, y, depth)
        }
        (Some(Type::Enum(e)), Some(Type::Enum(f)))
        | (Some(Type::Enum64(e)), Some(Type::Enum64(f))) => e.size == f.size,
        (Some(Type::Float { size, .. }), Some(Type::Float { size: size_b, .. })) => size == size_b,
        _ => false,
    }
}

/// The second structure has the members of the first at their places, and more behind them.
fn extends(a: &Btf, x: TypeId, b: &Btf, y: TypeId) -> bool {
    let (x, y) = (a.resolve(x), b.resolve(y));
    let structures = matches!(
        (a.ty(x), b.ty(y)),
        (Some(Type::Struct(_)), Some(Type::Struct(_)))
    );
    structures && a.size_of(x) <= b.size_of(y) && prefix(a, x, b, y, 0)
}

fn prefix(a: &Btf, x: TypeId, b: &Btf, y: TypeId, depth: u32) -> bool {
    let (ours, theirs) = (a.members(x), b.members(y));
    ours.len() <= theirs.len()
        && ours.iter().zip(theirs.iter()).all(|(m, n)| {
            m.name == n.name
                && m.bit_offset == n.bit_offset
                && m.bitfield_size == n.bitfield_size
                && same(a, m.ty, b, n.ty, depth + 1)
        })
}
