//! An object's types → the `.BTF` section to be written: ids stay, definitions of maps and
//! functions that the types lack are added, what stands for nothing in the file is blanked.

use std::collections::{HashMap, HashSet};

use probity_btf::{
    Btf, BtfBuilder, FuncLinkage, IntEncoding, Kind, MemberDef, SecVar, Type, TypeId, VarLinkage,
};

use crate::maps::definition;
use crate::{Error, ExternKind, Initial, Map, Object};

/// A map of the `.maps` section.
pub(crate) struct MapVar {
    /// Index into [`Object::maps`].
    pub map: usize,
    /// Bytes into `.maps`.
    pub offset: u32,
    pub size: u32,
    /// Bytes from `offset` to the initialisers.
    pub values: u32,
}

/// A variable of a section that is to have a symbol.
pub(crate) struct Variable {
    pub section: String,
    pub name: String,
    pub offset: u32,
    pub size: u32,
}

pub(crate) struct Types {
    pub builder: BtfBuilder,
    pub maps: Vec<MapVar>,
    pub variables: Vec<Variable>,
    /// Whether there are any types at all.
    pub any: bool,
}

/// The section that a data section's map is written to. The values of `.kconfig` are constants
/// once they are known, and nothing in the file asks for them any more.
pub(crate) fn section_name<'a>(object: &Object, section: &'a str) -> &'a str {
    let asked = |e: &crate::Extern| matches!(e.kind, ExternKind::Kconfig { .. });
    match section {
        ".kconfig" if !object.externs.iter().any(asked) => ".rodata.kconfig",
        name => name,
    }
}

/// `written` says whether a section of that name will be in the file.
pub(crate) fn types(object: &Object, written: &HashSet<String>) -> Result<Types, Error> {
    let empty = Btf::default();
    let btf = object.btf.as_deref().unwrap_or(&empty);
    if btf.base().is_some() {
        return Err(Error::section(
            ".BTF",
            "types that continue others cannot be written",
        ));
    }
    let mut types = Types {
        builder: BtfBuilder::new(),
        maps: Vec::new(),
        variables: Vec::new(),
        any: object.btf.is_some(),
    };
    // Ids of the new types follow those of the old.
    let maps_datasec = btf.find_datasec(".maps");
    let mut known: HashMap<&str, (SecVar, TypeId)> = HashMap::new();
    if let Some(Type::DataSec { vars, .. }) = maps_datasec.and_then(|id| btf.ty(id)) {
        for v in vars.iter() {
            if let Some(Type::Var {
                ty,
                linkage: VarLinkage::Global,
            }) = btf.ty(v.var)
            {
                known.insert(btf.name(v.var), (v, ty));
            }
        }
    }
    let statics = hidden_functions(object, btf);
    let mut late_maps = None;
    let mut blank = vec![false; btf.len() as usize];
    for (id, ty) in btf.types() {
        let gone = match ty {
            Type::Void => continue,
            Type::DataSec { .. } if Some(id) == maps_datasec => {
                late_maps = Some(id);
                false
            }
            Type::DataSec { .. } => {
                let name = btf.name(id);
                let asked = object.externs.iter().any(|e| match e.kind {
                    ExternKind::Kconfig { .. } => name == ".kconfig",
                    ExternKind::Kfunc | ExternKind::Ksym { .. } => name == ".ksyms",
                });
                !asked && !written.contains(section_name(object, name))
            }
            Type::Func {
                linkage: FuncLinkage::Extern,
                ..
            }
            | Type::Var {
                linkage: VarLinkage::Extern,
                ..
            } => {
                let name = btf.name(id);
                let kconfig = matches!(ty, Type::Var { .. }) && in_kconfig(btf, id);
                !kconfig && !object.externs.iter().any(|e| e.name == name)
            }
            _ => false,
        };
        blank[id.0 as usize] = gone;
    }
    for (id, ty) in btf.types() {
        let b = &mut types.builder;
        let is_blank = |id: TypeId| blank.get(id.0 as usize).copied().unwrap_or(false);
        match ty {
            Type::Void => {}
            _ if is_blank(id) => {
                b.const_(TypeId::VOID);
            }
            Type::DeclTag { target, .. } if is_blank(target) => {
                b.const_(TypeId::VOID);
            }
            Type::DataSec { .. } if Some(id) == late_maps => {
                // Its place is kept, its content is not known yet.
                b.const_(TypeId::VOID);
            }
            Type::DataSec { size, vars } => {
                let name = btf.name(id);
                let section = section_name(object, name);
                let mut vars: Vec<SecVar> = vars.iter().filter(|v| !is_blank(v.var)).collect();
                // The kernel wants them in order.
                vars.sort_by_key(|v| v.offset);
                b.datasec(section, size, &vars);
                for v in vars {
                    if matches!(
                        btf.ty(v.var),
                        Some(Type::Var {
                            linkage: VarLinkage::Global,
                            ..
                        })
                    ) {
                        types.variables.push(Variable {
                            section: section.to_owned(),
                            name: btf.name(v.var).to_owned(),
                            offset: v.offset,
                            size: v.size,
                        });
                    }
                }
            }
            Type::Var {
                ty,
                linkage: VarLinkage::Extern,
            } if !object.externs.iter().any(|e| e.name == btf.name(id)) => {
                // A configuration value that is known now.
                b.var(btf.name(id), ty, VarLinkage::Static);
            }
            Type::Func {
                proto,
                linkage: FuncLinkage::Global,
            } if statics.contains(&id) => {
                b.func(btf.name(id), proto, FuncLinkage::Static);
            }
            _ => {
                b.copy(btf, id, |to| to);
            }
        }
    }
    let datasec = map_definitions(object, btf, &known, &mut types)?;
    if let Some((size, vars)) = datasec {
        types.any = true;
        match late_maps {
            Some(id) => types.builder = with_datasec(&types.builder, id, size, &vars)?,
            None => {
                types.builder.datasec(".maps", size, &vars);
            }
        }
    }
    Ok(types)
}

fn in_kconfig(btf: &Btf, var: TypeId) -> bool {
    match btf.find_datasec(".kconfig").and_then(|id| btf.ty(id)) {
        Some(Type::DataSec { vars, .. }) => vars.iter().any(|v| v.var == var),
        _ => false,
    }
}

/// The same types with the one that kept the place of `.maps` replaced.
fn with_datasec(
    builder: &BtfBuilder,
    at: TypeId,
    size: u32,
    vars: &[SecVar],
) -> Result<BtfBuilder, Error> {
    let btf = builder.build().map_err(broken)?;
    let mut copy = BtfBuilder::new();
    for (id, ty) in btf.types() {
        if id == at {
            copy.datasec(".maps", size, vars);
        } else if !matches!(ty, Type::Void) {
            copy.copy(&btf, id, |to| to);
        }
    }
    Ok(copy)
}

/// Functions whose types say global, but which no other object may see.
fn hidden_functions(object: &Object, btf: &Btf) -> HashSet<TypeId> {
    let subprogs = || object.programs.iter().flat_map(|p| &p.subprogs);
    let global: HashSet<_> = subprogs()
        .filter(|s| s.global)
        .filter_map(|s| s.func)
        .collect();
    subprogs()
        .filter_map(|s| s.func)
        .filter(|id| !global.contains(id) && btf.kind(*id) == Some(Kind::Func))
        .collect()
}

/// Defines every map that is not made from a data section or by the linker.
fn map_definitions(
    object: &Object,
    btf: &Btf,
    known: &HashMap<&str, (SecVar, TypeId)>,
    types: &mut Types,
) -> Result<Option<(u32, Vec<SecVar>)>, Error> {
    let mut vars = Vec::new();
    let mut offset = 0u32;
    let mut numbers = Numbers::default();
    for (index, map) in object.maps.iter().enumerate() {
        if !is_defined(map) {
            continue;
        }
        let slots = map
            .initial
            .iter()
            .map(|&(slot, _)| slot.saturating_add(1))
            .max()
            .unwrap_or(0);
        let same = known
            .get(map.name.as_str())
            .filter(|&&(_, ty)| is_same(btf, ty, map, slots > 0));
        let (var, def_size) = match same {
            Some(&(v, ty)) => (v.var, btf.size_of(ty).unwrap_or(0)),
            None => {
                let (ty, size) = define(&mut types.builder, btf, map, &mut numbers)?;
                (types.builder.var(&map.name, ty, VarLinkage::Global), size)
            }
        };
        let too_big = || Error::TooBig {
            what: format!("initial values of map `{}`", map.name),
            size: slots.into(),
            max: 1 << 20,
        };
        if slots > 1 << 20 {
            return Err(too_big());
        }
        let size = def_size + slots * 8;
        let next = offset.checked_add(size).ok_or_else(too_big)?;
        types.maps.push(MapVar {
            map: index,
            offset,
            size,
            values: def_size,
        });
        vars.push(SecVar { var, offset, size });
        offset = next;
    }
    Ok((!vars.is_empty()).then_some((offset, vars)))
}

/// Whether a map has a definition of its own in the file.
pub(crate) fn is_defined(map: &Map) -> bool {
    let made_from_data = map.data.is_some() && map.kind != crate::data::ARENA;
    !made_from_data && map.kind != crate::link::INSN_ARRAY
}

/// Whether a definition among the object's types still says what the map is.
fn is_same(btf: &Btf, ty: TypeId, map: &Map, initial: bool) -> bool {
    let Some(Type::Struct(def)) = btf.resolved(ty) else {
        return false;
    };
    // Initial values follow the structure, where its last member is.
    let values = def.members.iter().last().filter(|m| m.name == "values");
    let at_end = values.map(|m| m.bit_offset / 8) == Some(def.size);
    let Ok(found) = definition(btf, &map.name, def, false) else {
        return false;
    };
    let plain = Map {
        data: None,
        initial: Vec::new(),
        ..map.clone()
    };
    found == plain && (at_end || !initial)
}

/// The types that numbers are spelled with.
#[derive(Default)]
pub(crate) struct Numbers {
    int: Option<TypeId>,
    byte: Option<TypeId>,
}

impl Numbers {
    fn int(&mut self, b: &mut BtfBuilder) -> TypeId {
        *self
            .int
            .get_or_insert_with(|| b.int("int", 4, IntEncoding::SIGNED))
    }

    /// `int (*)[n]`; arrays of 4 GiB and more do not exist, so large numbers are spelled in bytes.
    fn number(&mut self, b: &mut BtfBuilder, n: u32) -> TypeId {
        let index = self.int(b);
        let elem = match n {
            0..0x4000_0000 => index,
            _ => *self
                .byte
                .get_or_insert_with(|| b.int("char", 1, IntEncoding::SIGNED)),
        };
        let array = b.array(elem, index, n);
        b.ptr(array)
    }
}

/// Types of a map's definition, and its size in bytes; types of keys and values are of `btf`.
pub(crate) fn define(
    b: &mut BtfBuilder,
    btf: &Btf,
    map: &Map,
    numbers: &mut Numbers,
) -> Result<(TypeId, u32), Error> {
    let mut members: Vec<(&str, TypeId)> = Vec::new();
    members.push(("type", numbers.number(b, map.kind)));
    for (ty, size, by_type, by_size) in [
        (map.key_type, map.key_size, "key", "key_size"),
        (map.value_type, map.value_size, "value", "value_size"),
    ] {
        match ty.filter(|&ty| btf.size_of(ty) == Some(size)) {
            Some(ty) => members.push((by_type, b.ptr(ty))),
            None if size != 0 => members.push((by_size, numbers.number(b, size))),
            None => {}
        }
    }
    for (name, n) in [
        ("max_entries", map.max_entries),
        ("map_flags", map.flags),
        ("pinning", map.pinned.into()),
    ] {
        if n != 0 {
            members.push((name, numbers.number(b, n)));
        }
    }
    if let Some(node) = map.numa_node {
        members.push(("numa_node", numbers.number(b, node)));
    }
    if map.map_extra != 0 {
        let ty = match u32::try_from(map.map_extra) {
            Ok(n) => numbers.number(b, n),
            Err(_) => {
                let name = format!("__map_extra_{}", map.name);
                b.enum64("", 8, false, &[(&name, map.map_extra as i64)])
            }
        };
        members.push(("map_extra", ty));
    }
    let target = match &map.inner {
        Some(inner) if inner.inner.is_some() => {
            return Err(Error::map(&map.name, "maps nested deeper than one level"));
        }
        Some(inner) => Some(define(b, btf, inner, numbers)?.0),
        None if map
            .initial
            .iter()
            .any(|(_, i)| matches!(i, Initial::Program(_))) =>
        {
            Some(b.func_proto(TypeId::VOID, &[]))
        }
        None if !map.initial.is_empty() => {
            return Err(Error::map(
                &map.name,
                "it has initial values and no definition of the inner map",
            ));
        }
        None => None,
    };
    let size = members.len() as u32 * 8;
    if let Some(target) = target {
        let elem = b.ptr(target);
        let index = numbers.int(b);
        members.push(("values", b.array(elem, index, 0)));
    }
    let members: Vec<_> = members
        .iter()
        .enumerate()
        .map(|(i, &(name, ty))| MemberDef::at(name, ty, i as u32 * 8))
        .collect();
    Ok((b.struct_("", size, &members), size))
}

pub(crate) fn broken(error: probity_btf::Error) -> Error {
    Error::Btf {
        section: ".BTF",
        error,
    }
}
