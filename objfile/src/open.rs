//! ELF bytes → [`Object`]: the phases.

use std::sync::Arc;

use probity_btf::{Btf, BtfExt};

use crate::elf::{Elf, Symbol};
use crate::functions::{Func, functions};
use crate::link::Linker;
use crate::{Error, Object, data, externs, maps, struct_ops};

/// Reads an object file. `name` is for people: the file's stem.
///
/// The result is the same on every machine: nothing is resolved against a kernel yet.
pub fn open(name: &str, bytes: &[u8]) -> Result<Object, Error> {
    let elf = Elf::parse(bytes)?;
    let (mut btf, ext) = types(&elf)?;
    if let Some(btf) = &mut btf {
        data::fix_datasecs(&elf, btf)?;
    }
    let btf = btf.as_ref();
    let funcs = functions(&elf)?;
    let mains = main_functions(&elf, &funcs);

    let mut defined = maps::legacy_maps(&elf)?;
    defined.extend(maps::btf_maps(&elf, btf)?);
    let (mut maps, places): (Vec<_>, Vec<_>) = defined.into_iter().unzip();
    maps::initialise(&elf, &mut maps, &places, |sym| {
        main_at(&elf, &funcs, &mains, sym, 0)
    })?;
    let data = data::data_maps(&elf, btf, &mut maps)?;
    let (externs, by_symbol) = externs::externs(&elf, btf, &mut maps)?;
    let struct_ops = struct_ops::struct_ops(&elf, btf, |sym, addend| {
        main_at(&elf, &funcs, &mains, sym, addend)
    })?;

    let linker = Linker {
        elf: &elf,
        funcs: &funcs,
        btf,
        ext: ext.as_ref(),
        places: &places,
        data: &data,
        externs: &by_symbol,
    };
    let programs = linker.link(&mains, &mut maps)?;
    Ok(Object {
        name: name.to_owned(),
        elf: Arc::from(bytes),
        license: license(&elf)?,
        kernel_version: kernel_version(&elf)?,
        programs,
        maps,
        btf: btf.cloned().map(Arc::new),
        externs,
        struct_ops,
    })
}

fn types(elf: &Elf<'_>) -> Result<(Option<Btf>, Option<BtfExt>), Error> {
    let bytes = |name| match elf.find(name) {
        Some(section) if elf.sections[section].is_progbits() => {
            elf.sections[section].bytes().map(Some)
        }
        Some(_) => Err(Error::section(name, "it has no bytes")),
        None => Ok(None),
    };
    let broken = |section| move |error| Error::Btf { section, error };
    let Some(btf) = bytes(".BTF")? else {
        return Ok((None, None));
    };
    let btf = Btf::parse(btf).map_err(broken(".BTF"))?;
    let ext = match bytes(".BTF.ext")? {
        Some(ext) => Some(BtfExt::parse(ext, &btf).map_err(broken(".BTF.ext"))?),
        None => None,
    };
    Ok((Some(btf), ext))
}

/// Entry points: global functions outside `.text`. An object of `.text` alone has its global
/// functions for programs, of no known type.
fn main_functions(elf: &Elf<'_>, funcs: &[Func]) -> Vec<usize> {
    let globals = || funcs.iter().enumerate().filter(|(_, f)| f.bind_global);
    let mains: Vec<usize> = globals()
        .filter(|(_, f)| elf.section_name(f.section) != ".text")
        .map(|(i, _)| i)
        .collect();
    if !mains.is_empty() {
        return mains;
    }
    globals().map(|(i, _)| i).collect()
}

/// The program whose main function a symbol (and, for section symbols, an addend) names.
fn main_at(
    elf: &Elf<'_>,
    funcs: &[Func],
    mains: &[usize],
    symbol: &Symbol<'_>,
    addend: i64,
) -> Option<String> {
    let section = elf.sections.get(symbol.section)?;
    let addend = if symbol.is_section() { addend } else { 0 };
    let at = symbol.value.checked_add_signed(addend)?;
    if !section.is_exec() || at % 8 != 0 {
        return None;
    }
    let func = mains
        .iter()
        .map(|&i| &funcs[i])
        .find(|f| f.section == symbol.section && f.start as u64 == at / 8)?;
    Some(func.name.clone())
}

fn license(elf: &Elf<'_>) -> Result<Option<String>, Error> {
    let Some(section) = elf.find("license") else {
        return Ok(None);
    };
    let bytes = elf.sections[section].bytes()?;
    let text = bytes.split(|&b| b == 0).next().unwrap_or(&[]);
    // libbpf and the kernel keep no more either.
    let text = text.get(..127).unwrap_or(text);
    Ok(Some(String::from_utf8_lossy(text).into_owned()))
}

fn kernel_version(elf: &Elf<'_>) -> Result<Option<u32>, Error> {
    let Some(section) = elf.find("version") else {
        return Ok(None);
    };
    match elf.sections[section].bytes()? {
        &[a, b, c, d] => Ok(Some(u32::from_le_bytes([a, b, c, d]))),
        other => Err(Error::section(
            "version",
            format!("{} bytes instead of 4", other.len()),
        )),
    }
}
