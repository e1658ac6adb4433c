//! Symbols of executable sections → the object's functions, each a range of instructions.

use std::collections::HashSet;

use object::elf;

use crate::Error;
use crate::elf::{Elf, SLOT, Symbol};

/// A function of the object.
#[derive(Clone, Debug)]
pub(crate) struct Func {
    pub name: String,
    pub section: usize,
    /// Slots into its section.
    pub start: usize,
    /// Slots.
    pub len: usize,
    pub bind_global: bool,
    pub hidden: bool,
}

/// All functions, by section and place, each place once: of several names the first global one.
pub(crate) fn functions(elf: &Elf<'_>) -> Result<Vec<Func>, Error> {
    let mut funcs: Vec<Func> = Vec::new();
    for sym in &elf.symbols {
        let Some(section) = elf.sections.get(sym.section).filter(|s| s.is_exec()) else {
            continue;
        };
        if !sym.is_func() {
            continue;
        }
        let error = |what: &str| Error::Symbol {
            section: section.name.to_string(),
            symbol: sym.name.to_string(),
            what: what.into(),
        };
        let end = sym.value.checked_add(sym.size);
        if end.is_none_or(|end| end > section.size) {
            return Err(error("the function reaches beyond its section"));
        }
        if sym.size == 0 || sym.size % SLOT != 0 || sym.value % SLOT != 0 {
            return Err(error("a function must consist of whole instructions"));
        }
        if sym.name.is_empty() {
            return Err(error("a function has no name"));
        }
        funcs.push(Func {
            name: sym.name.to_string(),
            section: sym.section,
            start: (sym.value / SLOT) as usize,
            len: (sym.size / SLOT) as usize,
            bind_global: !sym.is_local(),
            hidden: sym.is_hidden(),
        });
    }
    for section in untyped_sections(elf, &funcs) {
        untyped_functions(elf, section, &mut funcs)?;
    }
    funcs.sort_by_key(|f| (f.section, f.start, !f.bind_global));
    funcs.dedup_by(|b, a| (a.section, a.start, a.len) == (b.section, b.start, b.len));
    for pair in funcs.windows(2) {
        if pair[0].section == pair[1].section && pair[0].start + pair[0].len > pair[1].start {
            return Err(Error::Symbol {
                section: elf.section_name(pair[1].section).into(),
                symbol: pair[1].name.clone(),
                what: format!("it overlaps function `{}`", pair[0].name),
            });
        }
    }
    Ok(funcs)
}

/// Sections of code without a function's symbol.
fn untyped_sections(elf: &Elf<'_>, funcs: &[Func]) -> Vec<usize> {
    let with_functions: HashSet<usize> = funcs.iter().map(|f| f.section).collect();
    let bare = |&i: &usize| {
        let section = &elf.sections[i];
        section.is_exec() && section.size != 0 && !with_functions.contains(&i)
    };
    (0..elf.sections.len()).filter(bare).collect()
}

/// The functions of a section as LLVM up to 8 wrote it: their symbols have neither type nor size, so
/// each reaches to the next one. A section without any is one function of its name.
fn untyped_functions(elf: &Elf<'_>, index: usize, funcs: &mut Vec<Func>) -> Result<(), Error> {
    let section = &elf.sections[index];
    let named = |sym: &&Symbol<'_>| {
        sym.section == index
            && !sym.is_local()
            && sym.kind == elf::STT_NOTYPE
            && !sym.name.is_empty()
    };
    let mut starts: Vec<(u64, &str, bool)> = elf
        .symbols
        .iter()
        .filter(named)
        .map(|sym| (sym.value, &*sym.name, sym.is_hidden()))
        .collect();
    starts.sort_by_key(|s| s.0);
    starts.dedup_by_key(|s| s.0);
    if starts.is_empty() {
        starts.push((0, &*section.name, false));
    }
    for (i, &(start, name, hidden)) in starts.iter().enumerate() {
        let end = starts.get(i + 1).map_or(section.size, |next| next.0);
        if start >= end
            || end > section.size
            || !start.is_multiple_of(SLOT)
            || !end.is_multiple_of(SLOT)
        {
            return Err(Error::Symbol {
                section: section.name.to_string(),
                symbol: name.into(),
                what: "a function must consist of whole instructions".into(),
            });
        }
        funcs.push(Func {
            name: name.into(),
            section: index,
            start: (start / SLOT) as usize,
            len: ((end - start) / SLOT) as usize,
            bind_global: true,
            hidden,
        });
    }
    Ok(())
}
