//! What is known of the fields that the kernel manages inside of map values and allocated structures (locks, timers,
//! kernel pointers, lists, trees), and which of an object's types the kernel would take at all.
//!
//! **Invariant:** whatever could be such a field is one here, if only one that nothing may touch: behind a
//! typedef, in a union, misaligned, or where the kernel would not take the type.
//!
//! Source: the kernel's special BTF types, type tags, and `contains:` declaration tags.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::OnceLock;

use probity_btf::{Btf, Kind, TypeId};
use probity_isa::{Imm64, Insn};
use probity_objfile::{Map, Object};
use probity_platform::{Managed, Platform, ProgKind};

use crate::cfg::Cfg;
use crate::managed::{self, Contains, Owner, parse};
use crate::numbered::Numbered;
use crate::reject::{Failure, Outcome, fail};
use crate::report::{Rule, Verified};

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

/// A field of a value or of an allocated structure that the kernel manages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialField {
    /// Bytes from the start of the value.
    pub offset: u64,
    /// Bytes; more than the value has where it is nested too deeply to be looked at.
    pub size: u64,
    /// `bpf_spin_lock`, `kptr`, …
    pub name: &'static str,
    /// `None`: not to be touched in any way.
    pub kind: Option<Managed>,
    pub holds: Holds,
}

/// What a field leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
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

/// What is known of an object's types as a whole, once it is asked for: the same for all of its programs.
#[derive(Default)]
pub(crate) struct Declared {
    refused: OnceLock<Option<String>>,
    contains: OnceLock<Contains>,
}

/// Records of allocated structures by type, as they are asked for.
pub(crate) struct Records<'a> {
    known: RefCell<Numbered<u32, Rc<Special>>>,
    declared: &'a Declared,
}

impl Special {
    /// Of a map's values, and of its inner map's.
    /// `declared`: of the object's types.
    pub(crate) fn of(
        map: &Map,
        btf: Option<&Btf>,
        platform: &Platform,
        declared: &Declared,
    ) -> Special {
        let mut special = match (btf, map.value_type) {
            (Some(btf), Some(id)) => {
                let contains = declared.contains(btf);
                parse(btf, contains, id, platform, Owner::Map(map))
            }
            _ => Special::default(),
        };
        special.refuse(btf.and_then(|btf| declared.refused(btf, platform)));
        special.inner = map
            .inner
            .as_deref()
            .map(|m| Box::new(Special::of(m, btf, platform, declared)));
        special
    }

    /// None of the fields is of use.
    pub(crate) fn refuse(&mut self, why: Option<&str>) {
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

/// Managed fields of a map's values, and of those of the map that it holds.
#[derive(Clone, Debug, Default)]
pub struct MapFields {
    /// Ascending by offset.
    pub own: Vec<SpecialField>,
    pub inner: Vec<SpecialField>,
}

impl Verified {
    /// What is managed in the values of each of the object's maps, as the proof has it.
    pub fn map_fields(&self) -> Vec<MapFields> {
        let object = &self.relocated().object;
        let (btf, declared) = (object.btf.as_deref(), Declared::default());
        let of = |map| {
            let special = Special::of(map, btf, self.platform(), &declared);
            MapFields {
                own: special.fields,
                inner: special.inner.map(|s| s.fields).unwrap_or_default(),
            }
        };
        object.maps.iter().map(of).collect()
    }

    /// What is managed in a structure of the object's types that programs allocate.
    pub fn structure_fields(&self, type_id: u32) -> Vec<SpecialField> {
        let btf = self.relocated().object.btf.as_deref();
        let declared = Declared::default();
        let special = Records::new(&declared).get(btf, self.platform(), type_id);
        special.fields.clone()
    }
}

impl Declared {
    fn contains(&self, btf: &Btf) -> &Contains {
        self.contains.get_or_init(|| Contains::of(btf))
    }

    /// Why the kernel would take none of the object's types.
    fn refused(&self, btf: &Btf, platform: &Platform) -> Option<&str> {
        let why = self.refused.get_or_init(|| refused(btf, platform, self));
        why.as_deref()
    }
}

impl<'a> Records<'a> {
    pub(crate) fn new(declared: &'a Declared) -> Records<'a> {
        Records {
            known: RefCell::default(),
            declared,
        }
    }

    /// The fields of an allocated structure of the program's types.
    pub(crate) fn get(&self, btf: Option<&Btf>, platform: &Platform, type_id: u32) -> Rc<Special> {
        if let Some(known) = self.known.borrow().get(&type_id) {
            return known.clone();
        }
        let found = match btf {
            Some(btf) => {
                let contains = self.declared.contains(btf);
                parse(btf, contains, TypeId(type_id), platform, Owner::Allocated)
            }
            None => Special::default(),
        };
        let found = Rc::new(found);
        self.known.borrow_mut().insert(type_id, found.clone());
        found
    }

    /// Why the kernel would take none of the object's types.
    pub(crate) fn refused(&self, btf: &Btf, platform: &Platform) -> Option<&str> {
        self.declared.refused(btf, platform)
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

/// Why the kernel would take none of the object's types: a structure among them that it could allocate, and
/// that is wrong in its managed fields.
fn refused(btf: &Btf, platform: &Platform, declared: &Declared) -> Option<String> {
    if !managed::mentioned(btf, platform) {
        return None;
    }
    let records = Records::new(declared);
    let mut found = 0;
    for id in btf.of_kind(Kind::Struct) {
        if !managed::direct(btf, platform, id) {
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
