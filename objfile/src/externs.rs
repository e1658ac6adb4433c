//! Undefined symbols → [`Extern`]s: kernel functions, kernel variables, kernel configuration.

use std::collections::HashMap;

use probity_btf::{Btf, FuncLinkage, Kind, Type, TypeId, VarLinkage};

use crate::data::data_map;
use crate::elf::Elf;
use crate::{DataKind, DataSection, Error, Extern, ExternKind, Map};

/// Bytes of all `.kconfig` variables.
const MAX_KCONFIG: u32 = 1 << 20;

/// The object's externs, and which one each undefined symbol is. Appends the `.kconfig` map when
/// there are configuration variables.
pub(crate) fn externs(
    elf: &Elf<'_>,
    btf: Option<&Btf>,
    maps: &mut Vec<Map>,
) -> Result<(Vec<Extern>, HashMap<usize, usize>), Error> {
    let mut found = Vec::new();
    for (index, symbol) in elf.symbols.iter().enumerate() {
        if !symbol.is_extern() || symbol.name.is_empty() {
            continue;
        }
        let btf = btf.ok_or_else(|| Error::NoBtf(format!("extern `{}`", symbol.name)))?;
        let (ext, align) = external(btf, &symbol.name, symbol.is_weak(), maps.len())?;
        found.push((index, ext, align));
    }
    // libbpf's order: configuration first, by alignment, size and name, so that the layout of
    // the map is the same as with it.
    found.sort_by(|(_, a, a_align), (_, b, b_align)| {
        let key = |e: &Extern| match e.kind {
            ExternKind::Kconfig { size, .. } => (0, size),
            _ => (1, 0),
        };
        let (a_class, a_size) = key(a);
        let (b_class, b_size) = key(b);
        (a_class, b_align, a_size, &a.name).cmp(&(b_class, a_align, b_size, &b.name))
    });

    let mut end = 0u32;
    let mut any = false;
    for (_, ext, align) in &mut found {
        let ExternKind::Kconfig { offset, size, .. } = &mut ext.kind else {
            continue;
        };
        any = true;
        let place = end.checked_next_multiple_of((*align).max(1));
        let next = place.and_then(|p| p.checked_add(*size));
        let (Some(place), Some(next)) = (place, next.filter(|&n| n <= MAX_KCONFIG)) else {
            return Err(Error::TooBig {
                what: "variables of `.kconfig`, in bytes".into(),
                size: u64::from(end) + u64::from(*size),
                max: MAX_KCONFIG.into(),
            });
        };
        *offset = place;
        end = next;
    }
    if any {
        let data = DataSection {
            kind: DataKind::Kconfig,
            section: ".kconfig".into(),
            bytes: vec![0; end as usize],
            datasec: btf.and_then(|btf| btf.find_datasec(".kconfig")),
        };
        maps.push(data_map(btf, data));
    }

    let by_symbol = found
        .iter()
        .enumerate()
        .map(|(i, &(symbol, ..))| (symbol, i))
        .collect();
    Ok((
        found.into_iter().map(|(_, ext, _)| ext).collect(),
        by_symbol,
    ))
}

/// One extern and its alignment; `kconfig` is the index the map of configuration will have.
fn external(btf: &Btf, name: &str, weak: bool, kconfig: usize) -> Result<(Extern, u32), Error> {
    let error = |what: &str| Error::external(name, what);
    let is_extern = |id: &TypeId| {
        matches!(
            btf.ty(*id),
            Some(
                Type::Var {
                    linkage: VarLinkage::Extern,
                    ..
                } | Type::Func {
                    linkage: FuncLinkage::Extern,
                    ..
                }
            )
        )
    };
    let id = btf.find_all(name).find(is_extern).ok_or_else(|| {
        error("the types say nothing about it (is it declared `__ksym` or `__kconfig`?)")
    })?;
    let section = btf
        .types()
        .filter_map(|(sec, ty)| match ty {
            Type::DataSec { vars, .. } if vars.iter().any(|v| v.var == id) => Some(sec),
            _ => None,
        })
        .map(|sec| btf.name(sec))
        .next()
        .ok_or_else(|| error("another object defines it, or it lacks `__ksym` or `__kconfig`"))?;
    let (kind, align) = match (section, btf.ty(id)) {
        (".ksyms", Some(Type::Func { .. })) => (ExternKind::Kfunc, 1),
        (".ksyms", Some(Type::Var { ty, .. })) => {
            let typed = btf.resolve(ty) != TypeId::VOID;
            (ExternKind::Ksym { typed }, 1)
        }
        (".kconfig", Some(Type::Var { ty, .. })) => {
            if !is_kconfig_type(btf, ty) {
                return Err(error(&format!(
                    "a kernel configuration value cannot be of type `{}`",
                    btf.type_name(ty)
                )));
            }
            let size = btf
                .size_of(ty)
                .ok_or_else(|| error("its type has no size"))?;
            let align = btf
                .align_of(ty)
                .ok_or_else(|| error("its type has no alignment"))?;
            let kind = ExternKind::Kconfig {
                map: kconfig,
                offset: 0,
                size,
            };
            (kind, align)
        }
        (".kconfig", _) => return Err(error("a function cannot be in `.kconfig`")),
        (other, _) => {
            return Err(error(&format!(
                "externs in section `{other}` are not supported"
            )));
        }
    };
    let ext = Extern {
        name: name.into(),
        kind,
        weak,
        type_id: Some(id),
    };
    Ok((ext, align))
}

/// Integers, `bool`, `char`, arrays of it, and `enum libbpf_tristate`.
fn is_kconfig_type(btf: &Btf, id: TypeId) -> bool {
    let id = btf.resolve(id);
    match btf.ty(id) {
        Some(Type::Int { size, encoding, .. }) => match encoding.bool {
            true => size == 1,
            false => matches!(size, 1 | 2 | 4 | 8),
        },
        Some(Type::Enum(e) | Type::Enum64(e)) => {
            btf.name(id) == "libbpf_tristate" && (e.size == 4 || btf.kind(id) == Some(Kind::Enum64))
        }
        Some(Type::Array { elem, len, .. }) => {
            len > 0
                && matches!(btf.resolved(elem), Some(Type::Int { size: 1, encoding, .. }) if !encoding.bool)
        }
        _ => false,
    }
}
