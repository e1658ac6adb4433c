//! `.maps` (BTF definitions), `maps` (structures of numbers) → [`Map`]s, with their static initialisers.

use std::collections::HashMap;

use probity_btf::{Btf, Composite, Member, Type, TypeId, VarLinkage};

use crate::elf::{Elf, Symbol};
use crate::{Error, Initial, Map};

const RINGBUF: u32 = 27;
const USER_RINGBUF: u32 = 31;
const PROG_ARRAY: u32 = 3;
const ARRAY_OF_MAPS: u32 = 12;
const HASH_OF_MAPS: u32 = 13;
/// Ring buffers are sized in pages of the machines we know.
const PAGE: u32 = 4096;

/// Where a map was defined, for relocations that point there.
pub(crate) struct Place {
    pub section: usize,
    pub offset: u64,
    pub size: u64,
    /// Bytes from `offset` to the first static initialiser, if there may be any.
    pub values: Option<u64>,
}

/// Maps of `.maps`, in the order of their definition.
pub(crate) fn btf_maps(elf: &Elf<'_>, btf: Option<&Btf>) -> Result<Vec<(Map, Place)>, Error> {
    let Some(section) = elf.find(".maps") else {
        return Ok(Vec::new());
    };
    let btf = btf.ok_or_else(|| Error::NoBtf("section `.maps`".into()))?;
    let missing = || Error::section(".maps", "the types have no DATASEC of that name");
    let Some(Type::DataSec { vars, .. }) = btf.find_datasec(".maps").and_then(|id| btf.ty(id))
    else {
        return Err(missing());
    };
    let size = elf.sections[section].size;
    // Types of linked objects may give the place that a map had in its own file; its symbol is where it is.
    let symbols = elf.symbols.iter().filter(|s| s.section == section);
    let symbols: HashMap<&str, u64> = symbols.map(|s| (&*s.name, s.value)).collect();
    let mut maps: Vec<(Map, Place)> = Vec::with_capacity(vars.len());
    for v in vars.iter() {
        let name = btf.name(v.var);
        if name.is_empty() {
            return Err(Error::section(".maps", "a map has no name"));
        }
        let error = |what: &str| Error::map(name, what);
        let offset = symbols.get(name).copied().unwrap_or(v.offset.into());
        if offset.saturating_add(v.size.into()) > size {
            return Err(error("its definition lies outside section `.maps`"));
        }
        let Some(Type::Var { ty, linkage }) = btf.ty(v.var) else {
            return Err(error("its definition is not a variable"));
        };
        match linkage {
            VarLinkage::Global => {}
            VarLinkage::Extern => return Err(error("it is defined in another object")),
            _ => return Err(error("it is static; maps must be global")),
        }
        let Some(Type::Struct(def)) = btf.resolved(ty) else {
            return Err(error("its definition is not a structure"));
        };
        if def.size > v.size {
            return Err(error("its definition is larger than its variable"));
        }
        let map = definition(btf, name, def, false)?;
        let values = def.members.iter().last().filter(|m| m.name == "values");
        maps.push((
            map,
            Place {
                section,
                offset,
                size: v.size.into(),
                values: values.map(|m| u64::from(m.bit_offset / 8)),
            },
        ));
    }
    Ok(maps)
}

/// One BTF definition: each member is an attribute, numbers being lengths of arrays.
pub(crate) fn definition(
    btf: &Btf,
    name: &str,
    def: Composite<'_>,
    inner: bool,
) -> Result<Map, Error> {
    let mut map = Map::new(name, 0, 0, 0, 0);
    let error = |what: String| Err(Error::map(name, what));
    let members = def.members.len();
    for (i, m) in def.members.iter().enumerate() {
        match m.name {
            "type" => map.kind = attribute(btf, name, &m)?,
            "max_entries" => map.max_entries = attribute(btf, name, &m)?,
            "map_flags" => map.flags = attribute(btf, name, &m)?,
            "numa_node" => map.numa_node = Some(attribute(btf, name, &m)?),
            "key_size" => set_size(name, "key", &mut map.key_size, attribute(btf, name, &m)?)?,
            "value_size" => set_size(
                name,
                "value",
                &mut map.value_size,
                attribute(btf, name, &m)?,
            )?,
            "key" => {
                let (ty, size) = pointed(btf, name, &m)?;
                set_size(name, "key", &mut map.key_size, size)?;
                map.key_type = Some(ty);
            }
            "value" => {
                let (ty, size) = pointed(btf, name, &m)?;
                set_size(name, "value", &mut map.value_size, size)?;
                map.value_type = Some(ty);
            }
            "map_extra" => map.map_extra = long_attribute(btf, name, &m)?,
            "pinning" if inner => return error("an inner map cannot be pinned".into()),
            "pinning" => {
                map.pinned = match attribute(btf, name, &m)? {
                    0 => false,
                    1 => true,
                    n => return error(format!("invalid pinning value {n}")),
                }
            }
            "values" if inner => return error("maps nested deeper than one level".into()),
            "values" if i + 1 != members => {
                return error("`values` must be its last member".into());
            }
            "values" => {
                set_size(name, "value", &mut map.value_size, 4)?;
                map.inner = values(btf, name, &map, &m)?;
            }
            unknown => return error(format!("unknown attribute `{unknown}`")),
        }
    }
    if map.kind == 0 {
        return error("it has no type".into());
    }
    map.set_max_entries(map.max_entries);
    Ok(map)
}

fn set_size(map: &str, what: &str, size: &mut u32, new: u32) -> Result<(), Error> {
    if *size != 0 && *size != new {
        return Err(Error::map(
            map,
            format!("conflicting {what} sizes {size} and {new}"),
        ));
    }
    *size = new;
    Ok(())
}

/// `int (*name)[NUMBER]`.
fn attribute(btf: &Btf, map: &str, m: &Member<'_>) -> Result<u32, Error> {
    match btf.pointee(m.ty).and_then(|to| btf.ty(to)) {
        Some(Type::Array { len, .. }) => Ok(len),
        _ => Err(Error::map(
            map,
            format!("attribute `{}` is not a number", m.name),
        )),
    }
}

/// The same, or an enumeration of one 64-bit value (`__ulong`).
fn long_attribute(btf: &Btf, map: &str, m: &Member<'_>) -> Result<u64, Error> {
    match btf.resolved(m.ty) {
        Some(Type::Enum(e) | Type::Enum64(e)) if e.values.len() == 1 => {
            Ok(e.values.get(0).map_or(0, |v| v.value as u64))
        }
        _ => attribute(btf, map, m).map(u64::from),
    }
}

/// `T *name`: the type and its size.
fn pointed(btf: &Btf, map: &str, m: &Member<'_>) -> Result<(TypeId, u32), Error> {
    let ty = btf
        .pointee(m.ty)
        .ok_or_else(|| Error::map(map, format!("attribute `{}` is not a pointer", m.name)))?;
    let size = btf.size_of(ty).ok_or_else(|| {
        Error::map(
            map,
            format!("the {} type `{}` has no size", m.name, btf.type_name(ty)),
        )
    })?;
    Ok((ty, size))
}

/// `struct inner *values[]` or `void (*values[])()`: the inner map's definition.
fn values(btf: &Btf, name: &str, map: &Map, m: &Member<'_>) -> Result<Option<Box<Map>>, Error> {
    let error = |what: &str| Err(Error::map(name, what));
    let Some(Type::Array { elem, len: 0, .. }) = btf.ty(m.ty) else {
        return error("`values` is not an array without a length");
    };
    let Some(target) = btf.pointee(elem) else {
        return error("`values` does not hold pointers");
    };
    match (map.kind, btf.resolved(target)) {
        (PROG_ARRAY, Some(Type::FuncProto { .. })) => Ok(None),
        (PROG_ARRAY, _) => error("`values` does not hold pointers to functions"),
        (ARRAY_OF_MAPS | HASH_OF_MAPS, Some(Type::Struct(def))) => {
            let inner = definition(btf, &format!("{name}.inner"), def, true)?;
            Ok(Some(Box::new(inner)))
        }
        (ARRAY_OF_MAPS | HASH_OF_MAPS, _) => {
            error("`values` does not hold pointers to a map's definition")
        }
        _ => error("only maps of maps and program arrays have `values`"),
    }
}

impl Map {
    /// Gives it a size as libbpf does: a ring buffer's is rounded up to one that Linux takes.
    pub fn set_max_entries(&mut self, max_entries: u32) {
        self.max_entries = match self.kind {
            RINGBUF | USER_RINGBUF => ring_size(max_entries),
            _ => max_entries,
        };
    }
}

/// Linux wants a power of two of whole pages; libbpf rounds up to one.
fn ring_size(size: u32) -> u32 {
    if size == 0 || size.is_multiple_of(PAGE) && (size / PAGE).is_power_of_two() {
        return size;
    }
    match size.div_ceil(PAGE).checked_next_power_of_two() {
        Some(pages) => pages.checked_mul(PAGE).unwrap_or(size),
        None => size,
    }
}

/// Maps of the old `maps` and `maps/NAME` sections: a structure of 32-bit numbers a symbol.
pub(crate) fn legacy_maps(elf: &Elf<'_>) -> Result<Vec<(Map, Place)>, Error> {
    let mut maps = Vec::new();
    for (section, s) in elf.sections.iter().enumerate() {
        if s.name != "maps" && !s.name.starts_with("maps/") || s.is_exec() {
            continue;
        }
        let mut symbols: Vec<&Symbol<'_>> = elf
            .symbols
            .iter()
            .filter(|sym| sym.section == section && !sym.is_section() && !sym.name.is_empty())
            .collect();
        symbols.sort_by_key(|sym| sym.value);
        symbols.dedup_by_key(|sym| sym.value);
        let bytes = s.bytes()?;
        for (i, sym) in symbols.iter().enumerate() {
            let next = symbols.get(i + 1).map_or(bytes.len() as u64, |n| n.value);
            let end = match sym.size {
                0 => next,
                n => sym.value.saturating_add(n),
            };
            let def = usize::try_from(sym.value)
                .ok()
                .zip(usize::try_from(end).ok());
            let def = def
                .and_then(|(from, to)| bytes.get(from..to))
                .ok_or_else(|| {
                    Error::map(
                        &sym.name,
                        format!("its definition lies outside section `{}`", s.name),
                    )
                })?;
            let map = legacy(&sym.name, def)?;
            maps.push((
                map,
                Place {
                    section,
                    offset: sym.value,
                    size: def.len() as u64,
                    values: None,
                },
            ));
        }
    }
    Ok(maps)
}

/// `struct bpf_map_def`: type, key size, value size, entries, flags. What follows must be zero,
/// but for iproute2's `struct bpf_elf_map` of 28 or 36 bytes: id, pinning, inner maps.
fn legacy(name: &str, def: &[u8]) -> Result<Map, Error> {
    let words: Vec<u32> = def
        .chunks_exact(4)
        .map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]))
        .collect();
    let word = |i: usize| words.get(i).copied().unwrap_or(0);
    if words.len() < 4 {
        return Err(Error::map(
            name,
            format!("a definition of {} bytes is too short", def.len()),
        ));
    }
    let mut map = Map::new(name, word(0), word(1), word(2), word(3));
    map.flags = word(4);
    let unknown = match def.len() {
        28 | 36 => {
            map.pinned = word(6) != 0;
            matches!(map.kind, ARRAY_OF_MAPS | HASH_OF_MAPS) || word(7) != 0 || word(8) != 0
        }
        _ => words.iter().skip(5).any(|&w| w != 0),
    };
    if unknown {
        return Err(Error::map(
            name,
            format!("unknown attributes in a definition of {} bytes", def.len()),
        ));
    }
    if map.kind == 0 {
        return Err(Error::map(name, "it has no type"));
    }
    map.set_max_entries(map.max_entries);
    Ok(map)
}

/// Static initialisers: relocations inside `.maps`. `program` says whether a symbol is the main
/// function of a program.
pub(crate) fn initialise(
    elf: &Elf<'_>,
    maps: &mut [Map],
    places: &[Place],
    program: impl Fn(&Symbol<'_>) -> Option<String>,
) -> Result<(), Error> {
    let Some(section) = elf.find(".maps") else {
        return Ok(());
    };
    for reloc in elf.relocs(section) {
        let error = |what: &str| Err(elf.reloc_error(section, reloc, what));
        let inside = |p: &Place| {
            p.section == section
                && p.offset <= reloc.offset
                && reloc.offset < p.offset.saturating_add(p.size)
        };
        let Some(at) = places.iter().position(inside) else {
            return error("no map is defined there");
        };
        let slot = places[at]
            .values
            .and_then(|values| (reloc.offset - places[at].offset).checked_sub(values));
        let Some(slot) = slot
            .filter(|s| s % 8 == 0)
            .and_then(|s| u32::try_from(s / 8).ok())
        else {
            return error("it is not in the map's `values`");
        };
        let Some(symbol) = elf.symbols.get(reloc.symbol) else {
            return error("no such symbol");
        };
        let initial = match maps[at].kind {
            PROG_ARRAY => match program(symbol) {
                Some(name) => Initial::Program(name),
                None => return error("it is not a program"),
            },
            _ => {
                let found = |p: &Place| p.section == symbol.section && p.offset == symbol.value;
                match places.iter().position(found) {
                    Some(index) if symbol.section == section => Initial::Map(index),
                    _ => return error("it is not a map"),
                }
            }
        };
        if maps[at].kind == HASH_OF_MAPS && maps[at].key_size != 4 {
            return error("a hash of maps with initial values must have keys of 4 bytes");
        }
        maps[at].initial.push((slot, initial));
    }
    Ok(())
}
