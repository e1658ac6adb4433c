//! A map's value type, or an allocated structure → the fields of it that the kernel manages (locks, timers,
//! kernel pointers, lists, trees), which programs do not touch directly.
//!
//! **Invariant:** whatever could be such a field is one here, if only one that nothing may touch: behind a
//! typedef, in a union, misaligned, or where the kernel would not take the type.
//!
//! Source: the kernel's special BTF types, type tags, and `contains:` declaration tags.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use probity_btf::{Btf, Kind, Type, TypeId};
use probity_isa::{Imm64, Insn};
use probity_objfile::{Map, Object};
use probity_platform::{Managed, ManagedField, Platform, ProgKind};

use crate::cfg::Cfg;
use crate::reject::{Failure, Outcome, fail};
use crate::report::Rule;

/// Managed fields of one type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Special {
    /// Ascending by offset.
    pub fields: Vec<SpecialField>,
    /// Why the kernel would not take the type with its fields: then none of them is of use.
    pub problem: Option<String>,
    /// Of the map that a map-in-map holds.
    pub inner: Option<Box<Special>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpecialField {
    pub offset: u64,
    pub size: u64,
    /// `bpf_spin_lock`, `kptr`, …
    pub name: &'static str,
    /// `None`: not to be touched in any way.
    pub kind: Option<Managed>,
    pub holds: Holds,
}

/// What a field leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Nothing,
    /// Nodes at `offset` of a structure of the program's types.
    Nodes {
        type_id: u32,
        offset: u64,
    },
    /// A structure of the platform's types.
    Kernel {
        type_id: u32,
    },
    /// A structure of the program's types.
    Local {
        type_id: u32,
    },
}

/// Records of allocated structures by type, as they are asked for.
#[derive(Default)]
pub(crate) struct Records {
    known: RefCell<BTreeMap<u32, Rc<Special>>>,
    refused: OnceCell<Option<String>>,
}

/// Whose fields they are.
#[derive(Clone, Copy)]
enum Owner<'a> {
    Map(&'a Map),
    Allocated,
}

impl Special {
    /// Of a map's values, and of its inner map's.
    /// `refused`: why the kernel takes none of the object's types ([`refused`]).
    pub(crate) fn of(
        map: &Map,
        btf: Option<&Btf>,
        platform: &Platform,
        refused: Option<&str>,
    ) -> Special {
        let mut special = match (btf, map.value_type) {
            (Some(btf), Some(id)) => parse(btf, id, platform, Owner::Map(map)),
            _ => Special::default(),
        };
        special.refuse(refused);
        special.inner = map
            .inner
            .as_deref()
            .map(|m| Box::new(Special::of(m, btf, platform, refused)));
        special
    }

    /// None of the fields is of use.
    fn refuse(&mut self, why: Option<&str>) {
        if self.problem.is_none() {
            self.problem = why.map(str::to_string);
        }
        if self.problem.is_some() {
            for f in &mut self.fields {
                f.kind = None;
                f.holds = Holds::Nothing;
            }
        }
    }

    /// A field that overlaps `[low, high)`.
    pub(crate) fn overlap(&self, low: i128, high: i128) -> Option<&SpecialField> {
        self.fields.iter().find(|f| {
            let from = i128::from(f.offset);
            low < from + i128::from(f.size) && from < high
        })
    }

    /// The field of one of these kinds that starts here.
    pub(crate) fn at(&self, offset: i64, kinds: &[Managed]) -> Option<&SpecialField> {
        self.fields
            .iter()
            .find(|f| i128::from(f.offset) == i128::from(offset) && f.is(kinds))
    }

    pub(crate) fn has(&self, kinds: &[Managed]) -> bool {
        self.fields.iter().any(|f| f.is(kinds))
    }

    /// It matters which value a pointer points to: it has a lock.
    pub(crate) fn locked(&self) -> bool {
        self.has(&[Managed::SpinLock, Managed::ResSpinLock])
    }

    /// It matters which map a value is of: the kernel is given both.
    pub(crate) fn named_with_map(&self) -> bool {
        self.has(&[Managed::Timer, Managed::WorkQueue, Managed::TaskWork])
    }
}

impl SpecialField {
    pub(crate) fn is(&self, kinds: &[Managed]) -> bool {
        self.kind.is_some_and(|k| kinds.contains(&k))
    }
}

impl Records {
    /// The fields of an allocated structure of the program's types.
    pub(crate) fn get(&self, btf: Option<&Btf>, platform: &Platform, type_id: u32) -> Rc<Special> {
        if let Some(known) = self.known.borrow().get(&type_id) {
            return known.clone();
        }
        let found = match btf {
            Some(btf) => parse(btf, TypeId(type_id), platform, Owner::Allocated),
            None => Special::default(),
        };
        let found = Rc::new(found);
        self.known.borrow_mut().insert(type_id, found.clone());
        found
    }

    /// Why the kernel would take none of the object's types.
    pub(crate) fn refused(&self, btf: &Btf, platform: &Platform) -> Option<&str> {
        let why = self.refused.get_or_init(|| refused(btf, platform));
        why.as_deref()
    }

    /// Structures that own structures form chains that end soon: each link is a call when they are freed.
    pub(crate) fn ownership(
        &self,
        btf: Option<&Btf>,
        platform: &Platform,
        special: &Special,
    ) -> Result<(), String> {
        let mut known = BTreeMap::new();
        let most = platform.managed.ownership;
        self.depth(btf, platform, special, most, &mut known)
            .map(|_| ())
            .ok_or_else(|| {
                format!("structures own others that own others, in a circle or over {most} deep")
            })
    }

    fn depth(
        &self,
        btf: Option<&Btf>,
        platform: &Platform,
        special: &Special,
        left: usize,
        known: &mut BTreeMap<u32, usize>,
    ) -> Option<usize> {
        let mut deepest = 0;
        for field in &special.fields {
            let owns = field.kind != Some(Managed::Uptr);
            let (Holds::Nodes { type_id, .. } | Holds::Local { type_id }) = field.holds else {
                continue;
            };
            if !owns {
                continue;
            }
            let below = match known.get(&type_id) {
                Some(depth) => *depth,
                None => {
                    let owned = self.get(btf, platform, type_id);
                    let depth = self.depth(btf, platform, &owned, left.checked_sub(1)?, known)?;
                    known.insert(type_id, depth);
                    depth
                }
            };
            deepest = deepest.max(below + 1);
        }
        (deepest <= left).then_some(deepest)
    }
}

/// The managed fields of the maps that the program names go with the kind of program.
pub(crate) fn usable(
    cfg: &Cfg,
    object: &Object,
    platform: &Platform,
    kind: &ProgKind,
    special: &[Special],
) -> Outcome<()> {
    for (pc, insn) in cfg.insns.iter().enumerate() {
        let Insn::LoadImm64 {
            imm: Imm64::MapIdx(index) | Imm64::MapIdxValue { index, .. },
            ..
        } = insn
        else {
            continue;
        };
        let (Some(map), Some(special)) = (
            object.maps.get(*index as usize),
            special.get(*index as usize),
        ) else {
            continue;
        };
        for row in platform.managed.fields {
            if special.has(&[row.kind]) && row.not_in.contains(&kind.kind) {
                let must = format!("`{}` programs use no map with a `{}`", kind.name, row.name);
                let known = format!("map `{}` has one in its values", map.name);
                let e = fail(Rule::MapKind, &must, &known);
                return Err(Box::new(Failure { pc: Some(pc), ..*e }));
            }
        }
    }
    Ok(())
}

struct Parse<'a> {
    btf: &'a Btf,
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

fn parse(btf: &Btf, id: TypeId, platform: &Platform, owner: Owner<'_>) -> Special {
    let mut p = Parse {
        btf,
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
            let hidden = p.allocated && !p.direct(id);
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

/// Why the kernel would take none of the object's types: a structure among them that it could allocate, and
/// that is wrong in its managed fields.
pub(crate) fn refused(btf: &Btf, platform: &Platform) -> Option<String> {
    let records = Records::default();
    let mut found = 0;
    for (id, ty) in btf.types() {
        let managed = matches!(ty, Type::Struct(_)) && {
            let probe = Parse {
                btf,
                platform,
                allocated: true,
                fields: Vec::new(),
                problem: None,
                steps: 0,
            };
            probe.direct(id)
        };
        if !managed {
            continue;
        }
        found += 1;
        let name = btf.name(id);
        if found > MOST_STRUCTURES {
            return Some(format!(
                "over {MOST_STRUCTURES} structures have managed fields"
            ));
        }
        let record = records.get(Some(btf), platform, id.0);
        if let Some(why) = &record.problem {
            return Some(format!("`struct {name}`: {why}"));
        }
        if let Err(why) = records.ownership(Some(btf), platform, &record) {
            return Some(format!("`struct {name}`: {why}"));
        }
        // What can itself be owned owns only what owns nothing.
        let roots = &[Managed::ListHead, Managed::RbRoot];
        let owned = record.has(&[Managed::ListNode, Managed::RbNode]);
        for field in record.fields.iter().filter(|f| owned && f.is(roots)) {
            if let Holds::Nodes { type_id, .. } = field.holds
                && records.get(Some(btf), platform, type_id).has(roots)
            {
                return Some(format!("`struct {name}` is a link of a chain of owners"));
            }
        }
    }
    None
}

/// More than any object has; hostile types end here.
const MOST_STRUCTURES: usize = 1000;

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

    fn direct(&self, id: TypeId) -> bool {
        self.btf.members(id).iter().any(|m| {
            let managed = &self.platform.managed;
            let ty = match self.btf.ty(m.ty) {
                Some(Type::Volatile(to)) => self.btf.ty(to),
                ty => ty,
            };
            match ty {
                Some(Type::Struct(_)) => managed
                    .find(self.btf.name(m.ty), false)
                    .is_some_and(|r| r.allocated),
                Some(Type::Ptr(to)) => match self.btf.ty(to) {
                    Some(Type::TypeTag { value, .. }) => managed.find(value, true).is_some(),
                    _ => false,
                },
                _ => false,
            }
        })
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
                self.fields.push(SpecialField {
                    offset,
                    ..f.clone()
                });
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
        let mut tags = self.btf.types().filter_map(|(_, t)| match t {
            Type::DeclTag {
                target,
                component,
                value,
                ..
            } if target == via.on && component == via.member => value.strip_prefix("contains:"),
            _ => None,
        });
        let (Some(tag), None) = (tags.next(), tags.next()) else {
            return Err("does not say once what it contains".into());
        };
        let Some((name, member)) = tag.split_once(':') else {
            return Err(format!("contains `{tag}`, which names no member"));
        };
        let Some(id) = self.btf.find(name, Kind::Struct) else {
            return Err(format!("contains `{name}`, which is no structure"));
        };
        let mut found = self.btf.members(id).iter().filter(|m| m.name == member);
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
