//! `.struct_ops`, `.struct_ops.link` (and with `?`) → one [`StructOps`] a variable.

use probity_btf::{Btf, Type};

use crate::elf::{Elf, Symbol};
use crate::{Error, StructOps};

const SECTIONS: [&str; 4] = [
    ".struct_ops",
    ".struct_ops.link",
    "?.struct_ops",
    "?.struct_ops.link",
];

/// `program` says whether a symbol is the main function of a program.
pub(crate) fn struct_ops(
    elf: &Elf<'_>,
    btf: Option<&Btf>,
    program: impl Fn(&Symbol<'_>, i64) -> Option<String>,
) -> Result<Vec<StructOps>, Error> {
    let mut found = Vec::new();
    for name in SECTIONS {
        let Some(section) = elf.find(name) else {
            continue;
        };
        if elf.sections[section].size == 0 || !elf.sections[section].is_progbits() {
            continue;
        }
        let btf = btf.ok_or_else(|| Error::NoBtf(format!("section `{name}`")))?;
        let bytes = elf.sections[section].bytes()?;
        let Some(Type::DataSec { vars, .. }) = btf.find_datasec(name).and_then(|id| btf.ty(id))
        else {
            return Err(Error::section(
                name,
                "the types have no DATASEC of that name",
            ));
        };
        for v in vars.iter() {
            let var = btf.name(v.var);
            let error = |what: &str| Error::section(name, format!("variable `{var}`: {what}"));
            let Some(Type::Var { ty, .. }) = btf.ty(v.var) else {
                return Err(error("it is not a variable"));
            };
            let type_id = btf.resolve(ty);
            let Some(Type::Struct(def)) = btf.ty(type_id) else {
                return Err(error("it is not a structure"));
            };
            let type_name = btf.name(type_id);
            if type_name.is_empty() {
                return Err(error("its type has no name"));
            }
            let from = v.offset as usize;
            let data = from
                .checked_add(def.size as usize)
                .and_then(|to| bytes.get(from..to))
                .ok_or_else(|| error("it lies outside the section"))?;
            let mut ops = StructOps {
                name: var.into(),
                type_name: type_name.into(),
                link: name.ends_with(".link"),
                optional: name.starts_with('?'),
                type_id,
                bytes: data.to_vec(),
                members: Vec::new(),
            };
            let (start, end) = (
                u64::from(v.offset),
                u64::from(v.offset) + u64::from(def.size),
            );
            for reloc in elf.relocs(section) {
                if !(start..end).contains(&reloc.offset) {
                    continue;
                }
                let inside = reloc.offset - start;
                let member = def
                    .members
                    .iter()
                    .find(|m| u64::from(m.bit_offset) == inside * 8)
                    .ok_or_else(|| elf.reloc_error(section, reloc, "no member begins there"))?;
                // A reference to a static function holds its place in the section here.
                let at = inside as usize;
                let word = ops
                    .bytes
                    .get_mut(at..at.saturating_add(8))
                    .ok_or_else(|| elf.reloc_error(section, reloc, "it is cut off by the end"))?;
                let mut addend = [0; 8];
                addend.copy_from_slice(word);
                word.fill(0);
                let program = elf
                    .symbols
                    .get(reloc.symbol)
                    .and_then(|symbol| program(symbol, i64::from_le_bytes(addend)))
                    .ok_or_else(|| elf.reloc_error(section, reloc, "it is not a program"))?;
                ops.members.push((member.name.into(), program));
            }
            found.push(ops);
        }
    }
    Ok(found)
}
