//! A map's value type, or an allocated structure → the fields of it that the kernel manages.
//!
//! **Invariant:** whatever could be such a field is one here, if only one that nothing may touch: behind a
//! typedef, in a union, misaligned, or where the kernel would not take the type.
//!
//! Source: the kernel's special BTF types, type tags, and `contains:` declaration tags.

use std::collections::BTreeMap;

use probity_btf::{Btf, Kind, Type, TypeId};
use probity_objfile::Map;
use probity_platform::{Managed, ManagedField, Platform};

use crate::special::{Holds, Special, SpecialField};

/// Whose fields they are.
#[derive(Clone, Copy)]
pub(crate) enum Owner<'a> {
    Map(&'a Map),
    Allocated,
}

struct Parse<'a> {
    btf: &'a Btf,
    contains: &'a Contains,
    platform: &'a Platform,
    allocated: bool,
    fields: Vec<SpecialField>,
    problem: Option<String>,
    steps: u32,
}

/// A declaration that the search came through.
#[derive(Clone, Copy)]
struct Via {
    /// What a declaration tag would be on: a structure with a member's index, or a variable.
    on: TypeId,
    member: Option<u32>,
    /// The kernel would not look here.
    hidden: bool,
}

const MAX_DEPTH: u32 = 16;
const MAX_STEPS: u32 = 10_000;

/// What each list and tree holds: the values of `contains:` tags, by what they are on.
#[derive(Debug, Default)]
pub(crate) struct Contains(BTreeMap<(u32, Option<u32>), Vec<String>>);

impl Contains {
    /// All of them, in one pass over the types.
    pub(crate) fn of(btf: &Btf) -> Contains {
        let mut all: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for id in btf.of_kind(Kind::DeclTag) {
            if let Some(Type::DeclTag {
                target,
                component,
                value,
                ..
            }) = btf.ty(id)
                && let Some(what) = value.strip_prefix("contains:")
            {
                let on = all.entry((target.0, component)).or_default();
                on.push(what.to_string());
            }
        }
        Contains(all)
    }
}

/// The managed fields of a type.
pub(crate) fn parse(
    btf: &Btf,
    contains: &Contains,
    id: TypeId,
    platform: &Platform,
    owner: Owner<'_>,
) -> Special {
    let mut p = Parse {
        btf,
        contains,
        platform,
        allocated: matches!(owner, Owner::Allocated),
        fields: Vec::new(),
        problem: None,
        steps: 0,
    };
    let whole = Via {
        on: id,
        member: None,
        hidden: false,
    };
    match btf.ty(id) {
        Some(Type::DataSec { vars, .. }) => {
            for v in vars.iter() {
                let via = Via { on: v.var, ..whole };
                if let Some(Type::Var { ty, .. }) = btf.ty(v.var) {
                    p.field(ty, v.offset.into(), via, 0);
                }
            }
        }
        Some(Type::Struct(_)) => {
            // The kernel looks for fields of an allocated structure only where one is a member of it.
            let hidden = p.allocated && !direct(btf, platform, id);
            p.members(id, 0, Via { hidden, ..whole }, 0);
        }
        Some(_) => {
            let hidden = Via {
                hidden: true,
                ..whole
            };
            p.field(id, 0, hidden, 0);
        }
        None => {}
    }
    p.fields.sort_by_key(|f| f.offset);
    let mut special = Special {
        fields: p.fields,
        problem: p.problem,
        inner: None,
    };
    if special.problem.is_none() && !special.fields.is_empty() {
        special.problem = problem(&special, platform, owner);
    }
    special.refuse(None);
    special
}

impl Parse<'_> {
    fn out_of_steps(&mut self, depth: u32) -> bool {
        self.steps += 1;
        let out = depth > MAX_DEPTH || self.steps > MAX_STEPS || self.fields.len() > 256;
        if out && self.problem.is_none() {
            self.problem = Some("it is nested too deeply".into());
            self.fields.push(SpecialField {
                offset: 0,
                size: u64::MAX >> 1,
                name: "a deeply nested value",
                kind: None,
                holds: Holds::Nothing,
            });
        }
        out
    }

    fn members(&mut self, id: TypeId, base: u64, via: Via, depth: u32) {
        for (index, m) in self.btf.members(id).iter().enumerate() {
            if self.out_of_steps(depth) {
                return;
            }
            if m.bit_offset % 8 != 0 && !via.hidden {
                self.refuse("it has a bitfield inside of a byte".into());
            }
            let offset = base.saturating_add(u64::from(m.bit_offset / 8));
            let via = Via {
                on: id,
                member: u32::try_from(index).ok(),
                ..via
            };
            self.field(m.ty, offset, via, depth + 1);
        }
    }

    /// What a member, a variable or an array of them is.
    fn field(&mut self, ty: TypeId, offset: u64, via: Via, depth: u32) {
        if self.out_of_steps(depth) {
            return;
        }
        match self.btf.ty(ty) {
            Some(Type::Array { elem, len, .. }) => self.array(elem, len, offset, via, depth),
            Some(Type::Struct(c)) => {
                let name = self.btf.name(ty);
                match self.platform.managed.find(name, false) {
                    Some(row) => {
                        let size = c.size.max(row.size);
                        let known = c.size == row.size;
                        self.push(row, offset, size, via, known);
                    }
                    None => self.members(ty, offset, via, depth),
                }
            }
            Some(Type::Union(_)) => {
                let via = Via {
                    hidden: true,
                    ..via
                };
                self.members(ty, offset, via, depth);
            }
            Some(Type::Ptr(to)) => self.pointer(to, offset, via),
            Some(Type::Volatile(to)) if matches!(self.btf.ty(to), Some(Type::Ptr(_))) => {
                self.field(to, offset, via, depth + 1);
            }
            Some(Type::Typedef(to) | Type::Volatile(to) | Type::Const(to) | Type::Restrict(to)) => {
                let via = Via {
                    hidden: true,
                    ..via
                };
                self.field(to, offset, via, depth + 1);
            }
            Some(Type::TypeTag { target, .. }) => {
                let via = Via {
                    hidden: true,
                    ..via
                };
                self.field(target, offset, via, depth + 1);
            }
            _ => {}
        }
    }

    fn array(&mut self, elem: TypeId, len: u32, offset: u64, via: Via, depth: u32) {
        // A flexible array lies behind the value.
        if len == 0 {
            return;
        }
        let before = self.fields.len();
        self.field(elem, offset, via, depth + 1);
        let found: Vec<SpecialField> = self.fields.get(before..).unwrap_or_default().to_vec();
        if found.is_empty() || len == 1 {
            return;
        }
        for f in &found {
            let row = self.platform.managed.fields.iter();
            if row.filter(|r| Some(r.kind) == f.kind).any(|row| !row.array) {
                self.refuse(format!("it has an array of `{}`", f.name));
            }
        }
        let step = u64::from(self.btf.size_of(elem).unwrap_or(0));
        for i in 1..u64::from(len.min(257)) {
            for f in &found {
                let offset = f.offset.saturating_add(i.saturating_mul(step));
                self.fields.push(SpecialField { offset, ..*f });
            }
            if self.out_of_steps(depth) {
                return;
            }
        }
    }

    fn push(&mut self, row: &'static ManagedField, offset: u64, size: u32, via: Via, known: bool) {
        let sought = match self.allocated {
            true => row.allocated,
            false => !row.maps.is_empty(),
        };
        let known =
            known && sought && !via.hidden && offset.is_multiple_of(u64::from(row.align.max(1)));
        let holds = match row.kind {
            Managed::ListHead | Managed::RbRoot if known => match self.nodes(row.kind, via) {
                Ok(holds) => holds,
                Err(why) => {
                    self.refuse(format!("its `{}` {why}", row.name));
                    Holds::Nothing
                }
            },
            _ => Holds::Nothing,
        };
        self.fields.push(SpecialField {
            offset,
            size: size.into(),
            name: row.name,
            kind: known.then_some(row.kind),
            holds,
        });
    }

    /// What a list or tree holds: its `contains:TYPE:MEMBER` tag.
    fn nodes(&mut self, kind: Managed, via: Via) -> Result<Holds, String> {
        let tags = self.contains.0.get(&(via.on.0, via.member));
        let Some([tag]) = tags.map(Vec::as_slice) else {
            return Err("does not say once what it contains".into());
        };
        let Some((name, member)) = tag.split_once(':') else {
            return Err(format!("contains `{tag}`, which names no member"));
        };
        let Some(id) = self.btf.find(name, Kind::Struct) else {
            return Err(format!("contains `{name}`, which is no structure"));
        };
        let members = self.btf.members(id);
        let many = u32::try_from(members.len()).unwrap_or(u32::MAX);
        self.steps = self.steps.saturating_add(many);
        let mut found = members.iter().filter(|m| m.name == member);
        let (Some(m), None) = (found.next(), found.next()) else {
            return Err(format!(
                "contains `{name}`, which has no one member `{member}`"
            ));
        };
        let wanted = match kind {
            Managed::ListHead => Managed::ListNode,
            _ => Managed::RbNode,
        };
        let row = self.platform.managed.find(self.btf.name(m.ty), false);
        let node = matches!(self.btf.ty(m.ty), Some(Type::Struct(_)))
            && row.is_some_and(|r| r.kind == wanted);
        if !node || m.bit_offset % 64 != 0 {
            return Err(format!("contains `{name}`, whose `{member}` is no node"));
        }
        Ok(Holds::Nodes {
            type_id: id.0,
            offset: u64::from(m.bit_offset / 8),
        })
    }

    /// A pointer, when it is tagged.
    fn pointer(&mut self, to: TypeId, offset: u64, via: Via) {
        let Some(Type::TypeTag { target, value, .. }) = self.btf.ty(to) else {
            return;
        };
        let Some(row) = self.platform.managed.find(value, true) else {
            if !via.hidden {
                self.refuse(format!("it has a pointer tagged `{value}`"));
            }
            return;
        };
        let mut field = SpecialField {
            offset,
            size: row.size.into(),
            name: row.name,
            kind: None,
            holds: Holds::Nothing,
        };
        let sought = !self.allocated || row.allocated;
        if sought && !via.hidden && offset.is_multiple_of(8) {
            match self.pointee(row.kind, target) {
                Ok(holds) => {
                    field.kind = Some(row.kind);
                    field.holds = holds;
                }
                Err(why) => self.refuse(why),
            }
        }
        self.fields.push(field);
    }

    fn pointee(&self, kind: Managed, target: TypeId) -> Result<Holds, String> {
        if matches!(self.btf.ty(target), Some(Type::TypeTag { .. })) {
            return Err("it has a pointer with two tags".into());
        }
        let id = self.btf.resolve(target);
        if !matches!(self.btf.ty(id), Some(Type::Struct(_))) {
            return Err("it has a kernel pointer that does not lead to a structure".into());
        }
        let name = self.btf.name(id);
        let Some(types) = self.platform.types.as_deref() else {
            return Err(format!(
                "whether the kernel has a structure `{name}` is not known without its types"
            ));
        };
        let size = self.btf.size_of(id).unwrap_or(0);
        match (types.find_struct(name), kind) {
            (None, Managed::Uptr) if size == 0 || size > self.platform.managed.page => {
                Err(format!("its uptr leads to {size} bytes"))
            }
            (None, _) => Ok(Holds::Local { type_id: id.0 }),
            (Some(found), Managed::KptrUntrusted) => Ok(Holds::Kernel { type_id: found.0 }),
            (Some(found), Managed::Kptr) if self.platform.managed.kptr(name).is_some() => {
                Ok(Holds::Kernel { type_id: found.0 })
            }
            (Some(_), _) => Err(format!(
                "the kernel does not know how to release a `struct {name}` that a value points to"
            )),
        }
    }

    fn refuse(&mut self, why: String) {
        self.problem.get_or_insert(why);
    }
}

/// What the kernel would refuse of fields that are all right one by one.
fn problem(special: &Special, platform: &Platform, owner: Owner<'_>) -> Option<String> {
    let managed = &platform.managed;
    if special.fields.len() > managed.most {
        return Some(format!(
            "it has {} managed fields; {} is the most",
            special.fields.len(),
            managed.most
        ));
    }
    let count = |kind: Managed| {
        let of_kind = special.fields.iter().filter(|f| f.kind == Some(kind));
        of_kind.count()
    };
    let (maps, kind) = match owner {
        Owner::Map(map) => (
            Some(map),
            platform.map_kind(map.kind).map_or("", |k| k.name),
        ),
        Owner::Allocated => (None, ""),
    };
    const PROGRAM_ACCESS: u32 = 1 << 7 | 1 << 8;
    if maps.is_some_and(|m| m.flags & PROGRAM_ACCESS != 0) {
        return Some("the map is read-only or write-only for programs".into());
    }
    for row in managed.fields.iter().filter(|r| count(r.kind) > 0) {
        if platform.version < row.since {
            return Some(format!("`{}` came with Linux {}", row.name, row.since));
        }
        if !row.many && count(row.kind) > 1 {
            return Some(format!("it has more than one `{}`", row.name));
        }
        match maps {
            Some(map) if !row.maps.contains(&map.kind) => {
                return Some(format!("`{kind}` maps have no `{}` in values", row.name));
            }
            _ => {}
        }
    }
    let (spin, resilient) = (count(Managed::SpinLock), count(Managed::ResSpinLock));
    if spin > 0 && resilient > 0 {
        return Some("it has locks of both kinds".into());
    }
    if special.has(&[Managed::ListHead, Managed::RbRoot]) && spin + resilient == 0 {
        return Some("it has a list or tree and no lock".into());
    }
    if special.has(&[Managed::ListNode])
        && special.has(&[Managed::RbNode])
        && count(Managed::Refcount) == 0
    {
        return Some("it can be in a list and in a tree, and counts no references".into());
    }
    let mut end = 0;
    for f in &special.fields {
        if f.offset < end {
            return Some("its managed fields overlap".into());
        }
        end = f.offset.saturating_add(f.size);
    }
    None
}

/// Whether the types have anything that could make a structure of theirs [`direct`].
pub(crate) fn mentioned(btf: &Btf, platform: &Platform) -> bool {
    let managed = &platform.managed;
    let tag = |id: TypeId| managed.find(btf.name(id), true).is_some();
    let structure = |id: TypeId| {
        let mut rows = managed.fields.iter().filter(|f| !f.tag && f.allocated);
        rows.any(|f| btf.name_is(id, f.name))
    };
    btf.of_kind(Kind::TypeTag).any(tag) || btf.of_kind(Kind::Struct).any(structure)
}

/// One of the structure's own members is a managed field.
pub(crate) fn direct(btf: &Btf, platform: &Platform, id: TypeId) -> bool {
    btf.members(id).iter().any(|m| {
        let managed = &platform.managed;
        let ty = match btf.ty(m.ty) {
            Some(Type::Volatile(to)) => btf.ty(to),
            ty => ty,
        };
        match ty {
            Some(Type::Struct(_)) => managed
                .find(btf.name(m.ty), false)
                .is_some_and(|r| r.allocated),
            Some(Type::Ptr(to)) => match btf.ty(to) {
                Some(Type::TypeTag { value, .. }) => managed.find(value, true).is_some(),
                _ => false,
            },
            _ => false,
        }
    })
}
