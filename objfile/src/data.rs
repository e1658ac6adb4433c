//! `.rodata`, `.data`, `.bss` and arena sections → single-value array maps.

use std::collections::HashMap;

use probity_btf::{Btf, Type, VarLinkage};

use crate::elf::{Elf, Section, Symbol};
use crate::{DataKind, DataSection, Error, Map};

pub(crate) const ARRAY: u32 = 2;
pub(crate) const ARENA: u32 = 33;
/// `BPF_F_RDONLY_PROG`.
pub(crate) const RDONLY_PROG: u32 = 1 << 7;
/// `BPF_F_MMAPABLE`.
pub(crate) const MMAPABLE: u32 = 1 << 10;
/// Bytes of all data sections of an object together: schedulers have tables of 160 MiB in `.bss`.
const MAX_DATA: u64 = 512 << 20;
/// clang puts variables of address space 1 here.
pub(crate) const ARENA_SECTION: &str = ".addr_space.1";

/// What kind of data section this is, if it is one.
fn kind(section: &Section<'_>) -> Option<DataKind> {
    let name: &str = &section.name;
    let is = |base: &str| {
        name.strip_prefix(base)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if section.is_exec() || section.size == 0 {
        None
    } else if section.is_progbits() && is(".data") {
        Some(DataKind::Data)
    } else if section.is_progbits() && is(".rodata") {
        Some(DataKind::Rodata)
    } else if section.is_nobits() && is(".bss") {
        Some(DataKind::Bss)
    } else if section.is_progbits() && name == ARENA_SECTION {
        Some(DataKind::Arena)
    } else {
        None
    }
}

/// Appends a map for each data section, and says which section each map is made from;
/// an arena's data goes into the arena that there is.
pub(crate) fn data_maps(
    elf: &Elf<'_>,
    btf: Option<&Btf>,
    maps: &mut Vec<Map>,
) -> Result<Vec<(usize, usize)>, Error> {
    let mut total = 0u64;
    let mut made = Vec::new();
    for (index, s) in elf.sections.iter().enumerate() {
        let Some(kind) = kind(s) else { continue };
        total = total.saturating_add(s.size);
        if total > MAX_DATA {
            return Err(Error::TooBig {
                what: format!("data sections up to `{}`, in bytes", s.name),
                size: total,
                max: MAX_DATA,
            });
        }
        let bytes = match kind {
            DataKind::Bss => vec![0; s.size as usize],
            _ => s.bytes()?.to_vec(),
        };
        let section = s.name.to_string();
        let datasec = btf.and_then(|btf| btf.find_datasec(&section));
        let data = DataSection {
            kind,
            section,
            bytes,
            datasec,
        };
        if kind == DataKind::Arena {
            let Some(arena) = maps.iter().position(|m| m.kind == ARENA) else {
                return Err(Error::section(
                    &s.name,
                    "the object has arena variables and no arena",
                ));
            };
            let pages = data.bytes.len().div_ceil(4096);
            if pages > maps[arena].max_entries as usize {
                return Err(Error::map(
                    &maps[arena].name,
                    format!("the arena is smaller than the {pages} pages of its variables"),
                ));
            }
            maps[arena].data = Some(data);
            made.push((index, arena));
            continue;
        }
        made.push((index, maps.len()));
        maps.push(data_map(btf, data));
    }
    Ok(made)
}

/// The map that holds a data section.
pub(crate) fn data_map(btf: Option<&Btf>, data: DataSection) -> Map {
    // Sizes were limited above.
    let size = data.bytes.len() as u32;
    let mut map = Map::new(&data.section, ARRAY, 4, size, 1);
    if matches!(data.kind, DataKind::Rodata | DataKind::Kconfig) {
        map.flags |= RDONLY_PROG;
    }
    if let (Some(btf), Some(datasec)) = (btf, data.datasec) {
        map.value_type = Some(datasec);
        if let Some(Type::DataSec { vars, .. }) = btf.ty(datasec)
            && vars.iter().any(|v| is_shown(btf.ty(v.var)))
        {
            map.flags |= MMAPABLE;
        }
    }
    map.data = Some(data);
    map
}

/// Only global variables are mapped for user space.
fn is_shown(var: Option<Type<'_>>) -> bool {
    matches!(var, Some(Type::Var { linkage, .. }) if linkage != VarLinkage::Static)
}

/// Clang leaves sizes of DATASECs and places of global variables to be filled in from the
/// section headers and symbols.
pub(crate) fn fix_datasecs(elf: &Elf<'_>, btf: &mut Btf) -> Result<(), Error> {
    let datasecs: Vec<_> = btf
        .types()
        .filter(|(_, ty)| matches!(ty, Type::DataSec { size: 0, .. }))
        .map(|(id, _)| id)
        .collect();
    if datasecs.is_empty() {
        return Ok(());
    }
    let globals: HashMap<&str, &Symbol<'_>> = elf
        .symbols
        .iter()
        .filter(|s| s.kind == object::elf::STT_OBJECT && !s.is_local())
        .map(|s| (&*s.name, s))
        .collect();
    for id in datasecs {
        let name = btf.name(id).to_owned();
        // These two stand for what the kernel has.
        if name == ".kconfig" || name == ".ksyms" {
            continue;
        }
        let Some(section) = elf.find(&name) else {
            return Err(Error::section(
                &name,
                "the types have it and the object has not",
            ));
        };
        let size = elf.sections[section].size;
        let size = u32::try_from(size).map_err(|_| Error::TooBig {
            what: format!("section `{name}`"),
            size,
            max: MAX_DATA,
        })?;
        let broken = |error| Error::Btf {
            section: ".BTF",
            error,
        };
        btf.set_datasec_size(id, size).map_err(broken)?;
        let Some(Type::DataSec { vars, .. }) = btf.ty(id) else {
            continue;
        };
        let (mut places, mut hidden) = (Vec::new(), Vec::new());
        for (i, v) in vars.iter().enumerate() {
            let Some(Type::Var { linkage, .. }) = btf.ty(v.var) else {
                return Err(Error::section(
                    &name,
                    "its DATASEC holds something that is not a variable",
                ));
            };
            if linkage != VarLinkage::Global {
                continue;
            }
            let var = btf.name(v.var);
            let symbol = globals.get(var);
            let place = symbol.and_then(|s| u32::try_from(s.value).ok());
            if symbol.is_some_and(|s| s.is_hidden()) {
                hidden.push(v.var);
            }
            let Some(place) = place else {
                return Err(Error::section(
                    &name,
                    format!("variable `{var}` has no symbol"),
                ));
            };
            places.push((i, place, v.size));
        }
        for (i, offset, size) in places {
            btf.set_sec_var(id, i, offset, size).map_err(broken)?;
        }
        // Nobody outside may see them, so the map need not be open to user space.
        for var in hidden {
            btf.set_var_linkage(var, VarLinkage::Static)
                .map_err(broken)?;
        }
    }
    Ok(())
}
