//! Types, lines and CO-RE relocations of all objects → `.BTF` and `.BTF.ext` of the linked one.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};

use probity_btf::{
    Btf, BtfBuilder, BtfExt, CoreRecord, ExtSection, FuncLinkage, FuncRecord, LineRecord, Merged,
    SecVar, Type, TypeId, VarLinkage,
};

use super::names::{Names, Owner};
use super::{Input, is_single};
use crate::Error;
use crate::write::image::{Content, Image};

/// How far two types are compared; what is deeper is taken for the same, as pointers to it are.
const DEPTH: usize = 16;
/// Types looked at in all comparisons; what needs more is taken for different.
const STEPS: usize = 1 << 24;

pub(crate) struct Types {
    builder: BtfBuilder,
    /// By input and its id.
    ids: Vec<Vec<TypeId>>,
    /// What was merged.
    merged: Btf,
    /// Any input has types.
    any: bool,
    /// Of [`STEPS`], what is left.
    steps: Cell<usize>,
}

pub(crate) fn merge(inputs: &[Input<'_>]) -> Types {
    let empty = Btf::default();
    let sets: Vec<&Btf> = inputs
        .iter()
        .map(|i| i.btf.as_ref().unwrap_or(&empty))
        .collect();
    let Merged { builder, ids } = probity_btf::merge(&sets);
    Types {
        // Of sets that were checked, so there is nothing to be refused.
        merged: builder.build().unwrap_or_default(),
        builder,
        ids,
        any: inputs.iter().any(|i| i.btf.is_some()),
        steps: Cell::new(STEPS),
    }
}

impl Types {
    fn id(&self, input: usize, id: TypeId) -> TypeId {
        mapped(&self.ids, input, id)
    }

    /// Is a type of one object that of another, qualifiers and names of parameters aside?
    pub fn same(&self, (a, x): (usize, TypeId), (b, y): (usize, TypeId)) -> bool {
        let mut steps = self.steps.get();
        let same = same(
            &self.merged,
            self.id(a, x),
            self.id(b, y),
            DEPTH,
            &mut steps,
        );
        self.steps.set(steps);
        same
    }

    /// In what two objects' functions or variables of a name differ, as far as their types say.
    pub fn differ(
        &self,
        inputs: &[Input<'_>],
        (a, b): (usize, usize),
        name: &str,
    ) -> Option<String> {
        let find = |i: usize| {
            let btf = inputs[i].btf.as_ref()?;
            let mut both = btf.find_all(name).filter_map(|id| match btf.ty(id)? {
                Type::Func { proto, linkage } if linkage != FuncLinkage::Static => {
                    Some((true, proto))
                }
                Type::Var { ty, linkage } if linkage != VarLinkage::Static => Some((false, ty)),
                _ => None,
            });
            both.next()
        };
        let ((fx, x), (fy, y)) = find(a).zip(find(b))?;
        if fx != fy {
            return Some("it is a function in one and a variable in the other".into());
        }
        if self.same((a, x), (b, y)) {
            return None;
        }
        let spelled = |i: usize, id| {
            let btf = inputs[i].btf.as_ref();
            btf.map_or(String::new(), |btf| btf.declare(id, name))
        };
        Some(format!(
            "it is `{}` in one and `{}` in the other",
            spelled(a, x),
            spelled(b, y)
        ))
    }

    /// Adds functions, variables, sections and tags, and writes `.BTF` and `.BTF.ext`.
    pub fn write(
        &mut self,
        inputs: &[Input<'_>],
        names: &Names,
        sizes: &BTreeMap<String, u64>,
        image: &mut Image,
    ) -> Result<(), Error> {
        if !self.any {
            return Ok(());
        }
        let owned = self.named(inputs, names);
        self.sections(inputs, names, sizes, &owned);
        self.tags(inputs, &owned);
        let ext = self.ext(inputs, names);
        let described =
            !ext.funcs.is_empty() || !ext.lines.is_empty() || !ext.core_relos.is_empty();
        if described {
            let bytes = ext.to_bytes(&mut self.builder);
            let section = image.section(".BTF.ext", Content::Note);
            image.append(section, &bytes, 4);
        }
        let section = image.section(".BTF", Content::Note);
        image.append(section, &self.builder.to_bytes(), 4);
        Ok(())
    }

    /// Functions and variables. Answers with those that are an input's own to describe.
    fn named(&mut self, inputs: &[Input<'_>], names: &Names) -> HashSet<(usize, TypeId)> {
        let mut owned = HashSet::new();
        let mut by_name: HashMap<&str, TypeId> = HashMap::new();
        let mut others = Vec::new();
        for (i, input) in inputs.iter().enumerate() {
            let Some(btf) = &input.btf else { continue };
            for (id, ty) in btf.types() {
                let name = btf.name(id);
                let (global, external) = match ty {
                    Type::Func { linkage, .. } => (
                        linkage != FuncLinkage::Static,
                        linkage == FuncLinkage::Extern,
                    ),
                    Type::Var { linkage, .. } => {
                        (linkage != VarLinkage::Static, linkage == VarLinkage::Extern)
                    }
                    _ => continue,
                };
                let single = matches!(ty, Type::Var { .. })
                    && !external
                    && by_name.contains_key(name)
                    && !names.is_owner(name, i);
                let mine = match (global, external) {
                    (false, _) => true,
                    // What nobody has a symbol for is nobody's rival.
                    (true, false) => names.is_owner(name, i) || !names.is_defined(name) && !single,
                    (true, true) => !names.is_defined(name) && !by_name.contains_key(name),
                };
                if !mine {
                    others.push((i, id, name));
                    continue;
                }
                let new = match ty {
                    // Loaders do so when they find out; here it is known.
                    Type::Var { ty, .. } if names.is_hidden_variable(inputs, name) => {
                        let ty = self.id(i, ty);
                        self.builder.var(name, ty, VarLinkage::Static)
                    }
                    _ => {
                        let of_input = &self.ids[i];
                        self.builder.copy(btf, id, |to| {
                            of_input.get(to.0 as usize).copied().unwrap_or(TypeId::VOID)
                        })
                    }
                };
                if global {
                    by_name.entry(name).or_insert(new);
                }
                self.ids[i][id.0 as usize] = new;
                owned.insert((i, id));
            }
        }
        for (i, id, name) in others {
            if let Some(&new) = by_name.get(name) {
                self.ids[i][id.0 as usize] = new;
            }
        }
        owned
    }

    /// What the types say of sections: each variable that is alive, where it is now.
    fn sections(
        &mut self,
        inputs: &[Input<'_>],
        names: &Names,
        sizes: &BTreeMap<String, u64>,
        owned: &HashSet<(usize, TypeId)>,
    ) {
        let mut sections: BTreeMap<&str, Vec<SecVar>> = BTreeMap::new();
        for (i, input) in inputs.iter().enumerate() {
            let Some(btf) = &input.btf else { continue };
            for (id, ty) in btf.types() {
                let Type::DataSec { vars, .. } = ty else {
                    continue;
                };
                let name = btf.name(id);
                let base = input.elf.find(name).map_or(0, |s| input.base(s));
                if sizes.contains_key(name) {
                    sections.entry(name).or_default();
                }
                for v in vars.iter().filter(|v| owned.contains(&(i, v.var))) {
                    let offset = match btf.ty(v.var) {
                        Some(
                            Type::Var {
                                linkage: VarLinkage::Extern,
                                ..
                            }
                            | Type::Func { .. },
                        ) => 0,
                        Some(Type::Var {
                            linkage: VarLinkage::Static,
                            ..
                        }) => base + u64::from(v.offset),
                        _ => match names.all.get(btf.name(v.var)).map(|e| e.owner) {
                            Some(Owner::Defined(o, n)) if o == i => {
                                base + input.elf.symbols[n].value
                            }
                            // It gave way, or lost its symbol.
                            _ => continue,
                        },
                    };
                    let Ok(offset) = u32::try_from(offset) else {
                        continue;
                    };
                    sections.entry(name).or_default().push(SecVar {
                        var: self.id(i, v.var),
                        offset,
                        size: v.size,
                    });
                }
            }
        }
        for (name, mut vars) in sections {
            vars.sort_by_key(|v| v.offset);
            if is_single(name) {
                vars.truncate(1);
            }
            let size = sizes.get(name).copied().unwrap_or(0);
            let size = u32::try_from(size).unwrap_or(u32::MAX);
            self.builder.datasec(name, size, &vars);
        }
    }

    fn tags(&mut self, inputs: &[Input<'_>], owned: &HashSet<(usize, TypeId)>) {
        let mut seen = HashSet::new();
        for (i, input) in inputs.iter().enumerate() {
            let Some(btf) = &input.btf else { continue };
            for (id, ty) in btf.types() {
                let Type::DeclTag {
                    target,
                    component,
                    value,
                    attribute,
                } = ty
                else {
                    continue;
                };
                let named = matches!(btf.ty(target), Some(Type::Func { .. } | Type::Var { .. }));
                let new = self.id(i, target);
                let gone = named && !owned.contains(&(i, target)) || new == TypeId::VOID;
                if gone || !seen.insert((new, component, value, attribute)) {
                    continue;
                }
                self.builder.copy(btf, id, |_| new);
            }
        }
    }

    fn ext(&mut self, inputs: &[Input<'_>], names: &Names) -> BtfExt {
        let (mut funcs, mut lines, mut relos) = (Records::new(), Records::new(), Records::new());
        for (i, input) in inputs.iter().enumerate() {
            let (Some(btf), Some(from)) = (&input.btf, &input.ext) else {
                continue;
            };
            // The place in the linked section of a record of the input's.
            let find = |section: &str| {
                let s = input.elf.find(section)?;
                let &(_, base) = input.places.get(&s)?;
                Some((s, base))
            };
            let place = |(s, base): (usize, u64), offset: u32| {
                let offset = u64::from(offset);
                let outside = offset >= input.elf.sections[s].size;
                if outside || names.is_dead(i, s, offset) {
                    return None;
                }
                u32::try_from(base + offset).ok()
            };
            for s in &from.funcs {
                let Some(section) = find(&s.section) else {
                    continue;
                };
                let to = funcs.of(&s.section);
                for r in &s.records {
                    if let Some(insn_off) = place(section, r.insn_off) {
                        let type_id = self.id(i, r.type_id);
                        to.push(FuncRecord { insn_off, type_id });
                    }
                }
            }
            let builder = &mut self.builder;
            let mut string = |offset| builder.string(btf.str_at(offset).unwrap_or(""));
            for s in &from.lines {
                let Some(section) = find(&s.section) else {
                    continue;
                };
                let to = lines.of(&s.section);
                for r in &s.records {
                    if let Some(insn_off) = place(section, r.insn_off) {
                        to.push(LineRecord {
                            insn_off,
                            file: string(r.file),
                            text: string(r.text),
                            ..r.clone()
                        });
                    }
                }
            }
            for s in &from.core_relos {
                let Some(section) = find(&s.section) else {
                    continue;
                };
                let to = relos.of(&s.section);
                for r in &s.records {
                    if let Some(insn_off) = place(section, r.insn_off) {
                        let access = string(r.access);
                        to.push(CoreRecord {
                            insn_off,
                            type_id: mapped(&self.ids, i, r.type_id),
                            access,
                            kind: r.kind,
                        });
                    }
                }
            }
        }
        let mut ext = BtfExt {
            funcs: funcs.sections,
            lines: lines.sections,
            core_relos: relos.sections,
        };
        for s in &mut ext.funcs {
            s.records.sort_by_key(|r| r.insn_off);
        }
        for s in &mut ext.lines {
            s.records.sort_by_key(|r| r.insn_off);
        }
        for s in &mut ext.core_relos {
            s.records.sort_by_key(|r| r.insn_off);
        }
        ext
    }
}

fn mapped(ids: &[Vec<TypeId>], input: usize, id: TypeId) -> TypeId {
    let ids = ids.get(input);
    ids.and_then(|ids| ids.get(id.0 as usize))
        .copied()
        .unwrap_or(TypeId::VOID)
}

/// Records by section, in the order in which sections appear.
struct Records<T> {
    sections: Vec<ExtSection<T>>,
    by_name: HashMap<String, usize>,
}

impl<T> Records<T> {
    fn new() -> Records<T> {
        Records {
            sections: Vec::new(),
            by_name: HashMap::new(),
        }
    }

    fn of(&mut self, name: &str) -> &mut Vec<T> {
        let next = self.sections.len();
        let at = *self.by_name.entry(name.to_owned()).or_insert(next);
        if at == next {
            self.sections.push(ExtSection {
                section: name.to_owned(),
                records: Vec::new(),
            });
        }
        &mut self.sections[at].records
    }
}

/// Do two types of one set have values of the same form?
fn same(btf: &Btf, x: TypeId, y: TypeId, depth: usize, steps: &mut usize) -> bool {
    let (x, y) = (btf.resolve(x), btf.resolve(y));
    let Some(depth) = depth.checked_sub(1) else {
        return true;
    };
    if x == y {
        return true;
    }
    let Some(left) = steps.checked_sub(1) else {
        return false;
    };
    *steps = left;
    let named = btf.name(x) == btf.name(y);
    match (btf.ty(x), btf.ty(y)) {
        (Some(Type::Ptr(x)), Some(Type::Ptr(y))) => same(btf, x, y, depth, steps),
        // Signs and enumerators aside, as libbpf has it.
        (Some(Type::Int { size: a, .. }), Some(Type::Int { size: b, .. })) => a == b,
        (Some(Type::Float { size: a }), Some(Type::Float { size: b })) => a == b,
        (
            Some(Type::Array {
                elem: a, len: m, ..
            }),
            Some(Type::Array {
                elem: b, len: n, ..
            }),
        ) => (m == n || m == 0 || n == 0) && same(btf, a, b, depth, steps),
        (Some(Type::Enum(a)), Some(Type::Enum(b)))
        | (Some(Type::Enum64(a)), Some(Type::Enum64(b))) => a.size == b.size && named,
        (Some(Type::Struct(a)), Some(Type::Struct(b)))
        | (Some(Type::Union(a)), Some(Type::Union(b))) => {
            named
                && a.size == b.size
                && a.members.len() == b.members.len()
                && a.members.iter().zip(b.members.iter()).all(|(a, b)| {
                    (a.name, a.bit_offset, a.bitfield_size)
                        == (b.name, b.bit_offset, b.bitfield_size)
                        && same(btf, a.ty, b.ty, depth.min(4), steps)
                })
        }
        (Some(Type::Fwd { is_union }), Some(other))
        | (Some(other), Some(Type::Fwd { is_union })) => {
            named
                && match other {
                    Type::Struct(_) => !is_union,
                    Type::Union(_) => is_union,
                    Type::Fwd { is_union: other } => other == is_union,
                    _ => false,
                }
        }
        (
            Some(Type::FuncProto { ret: a, params: m }),
            Some(Type::FuncProto { ret: b, params: n }),
        ) => {
            m.len() == n.len()
                && same(btf, a, b, depth, steps)
                && m.iter()
                    .zip(n.iter())
                    .all(|(a, b)| same(btf, a.ty, b.ty, depth, steps))
        }
        _ => false,
    }
}
