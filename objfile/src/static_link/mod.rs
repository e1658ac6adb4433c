//! Several relocatable objects → one, as a linker makes it: sections of a name one after the other, names resolved,
//! types merged, everything that counts from the beginning of a section adjusted.
//!
//! - A function or variable is defined once; a weak definition gives way to a strong one, and of several weak ones the
//!   first stays. Static ones are each object's own. A map is shared by all that define it alike.
//! - An `extern` is resolved by a definition of the same type. What nobody defines stays an `extern`.
//! - `license` and `version` are there once, and are the same in all.
//! - Code of a definition that gave way stays in its section, without a name; nothing refers to it.
//!
//! **Invariant:** every clash that is found is told, with both objects; none is decided by the order of objects.
//!
//! **Invariant:** nothing is believed of the inputs but what `elf` and `btf` have checked; an offset that leaves its
//! section is an error.
//!
//! Source: behaviour of libbpf's linker (`bpftool gen object`).

mod names;
mod types;

use std::collections::{BTreeMap, HashMap};

use object::elf::{SHF_ALLOC, SHF_WRITE};
use object::write::{SectionId, SymbolId};
use probity_btf::{Btf, BtfExt};

use crate::Error;
use crate::elf::{Elf, Reloc, SLOT, Symbol};
use crate::link::{CALL, JUMP_TABLES, LD_IMM64};
use crate::write::image::{Binding, Content, Image, R_64, R_ABS64, R_CALL};

use names::{Names, Owner};

/// `R_BPF_64_ABS32`, `R_BPF_64_NODYLD32`.
const R_ABS32: u32 = 3;
const R_NODYLD32: u32 = 4;
/// Real sections are aligned to pages at most.
const MAX_ALIGN: u64 = 4096;
/// Bytes of all sections together.
const MAX_SIZE: u64 = 256 << 20;

/// What came of linking.
#[derive(Clone, Debug)]
pub struct Linked {
    /// A relocatable object.
    pub bytes: Vec<u8>,
    /// Functions and variables that no object defines and that are not the kernel's.
    pub unresolved: Vec<String>,
}

/// Why objects do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    #[error("{file}: {error}")]
    Object { file: String, error: Error },
    #[error("{}", list(.0))]
    Clashes(Vec<Clash>),
    #[error("nothing to link")]
    Nothing,
    #[error("the linked object: {0}")]
    Result(Error),
}

/// Two objects that do not agree on something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}`: {what} (in {first} and {second})")]
pub struct Clash {
    /// Of the symbol or section.
    pub name: String,
    pub first: String,
    pub second: String,
    pub what: String,
}

fn list(clashes: &[Clash]) -> String {
    let lines: Vec<String> = clashes.iter().map(Clash::to_string).collect();
    lines.join("\n")
}

pub(crate) struct Input<'a> {
    pub file: &'a str,
    pub elf: Elf<'a>,
    pub btf: Option<Btf>,
    pub ext: Option<BtfExt>,
    /// By section: where it went, and from which byte on.
    pub places: HashMap<usize, (SectionId, u64)>,
}

impl Input<'_> {
    fn error(&self, error: Error) -> LinkError {
        LinkError::Object {
            file: self.file.to_owned(),
            error,
        }
    }

    /// Is the symbol nobody else's business? Tables of jumps have global names, the same ones in each object.
    pub fn is_own(&self, s: &Symbol<'_>) -> bool {
        s.is_local() || self.elf.section_name(s.section) == JUMP_TABLES
    }

    /// From which byte of the linked section on an input's section is.
    pub fn base(&self, section: usize) -> u64 {
        self.places.get(&section).map_or(0, |p| p.1)
    }
}

/// Links objects, each with the name that messages call it by.
pub fn link(objects: &[(&str, &[u8])]) -> Result<Linked, LinkError> {
    if objects.is_empty() {
        return Err(LinkError::Nothing);
    }
    let mut inputs = Vec::new();
    for &(file, bytes) in objects {
        inputs.push(input(file, bytes)?);
    }
    let mut image = Image::new();
    let sizes = place_sections(&mut inputs, &mut image)?;
    let mut types = types::merge(&inputs);
    let names = names::resolve(&inputs, &types)?;
    let symbols = write_symbols(&inputs, &names, &mut image)?;
    relocate(&inputs, &names, &symbols, &mut image)?;
    types
        .write(&inputs, &names, &sizes, &mut image)
        .map_err(LinkError::Result)?;
    let bytes = image.finish().map_err(LinkError::Result)?;
    Ok(Linked {
        bytes,
        unresolved: names.unresolved(),
    })
}

fn input<'a>(file: &'a str, bytes: &'a [u8]) -> Result<Input<'a>, LinkError> {
    let wrap = |error| LinkError::Object {
        file: file.to_owned(),
        error,
    };
    let elf = Elf::parse(bytes).map_err(wrap)?;
    let section = |name: &str| match elf.find(name) {
        Some(i) => elf.sections[i].bytes().map(Some),
        None => Ok(None),
    };
    let broken = |section| move |error| wrap(Error::Btf { section, error });
    let btf = match section(".BTF").map_err(wrap)? {
        Some(bytes) => Some(Btf::parse(bytes).map_err(broken(".BTF"))?),
        None => None,
    };
    let ext = match (&btf, section(".BTF.ext").map_err(wrap)?) {
        (Some(btf), Some(bytes)) => Some(BtfExt::parse(bytes, btf).map_err(broken(".BTF.ext"))?),
        _ => None,
    };
    Ok(Input {
        file,
        elf,
        btf,
        ext,
        places: HashMap::new(),
    })
}

/// Those that are loaded, as opposed to what describes them.
fn content(section: &crate::elf::Section<'_>) -> Option<Content> {
    let alloc = section.flags.0 & SHF_ALLOC.0 != 0;
    if section.name == JUMP_TABLES && section.is_progbits() {
        return Some(Content::Rodata);
    }
    if !alloc || section.name.starts_with(".BTF") {
        return None;
    }
    let write = section.flags.0 & SHF_WRITE.0 != 0;
    match () {
        _ if section.is_exec() => Some(Content::Code),
        _ if section.is_nobits() => Some(Content::Bss),
        _ if !section.is_progbits() => None,
        _ if write => Some(Content::Data),
        _ => Some(Content::Rodata),
    }
}

/// There once, the same in all.
pub(crate) fn is_single(section: &str) -> bool {
    matches!(section, "license" | "version")
}

/// Appends section to section of each name. Answers with their sizes.
fn place_sections(
    inputs: &mut [Input<'_>],
    image: &mut Image,
) -> Result<BTreeMap<String, u64>, LinkError> {
    let mut clashes = Vec::new();
    let mut sizes = BTreeMap::new();
    let mut total = 0u64;
    // Name → the first that has it.
    let mut firsts: HashMap<String, (Content, String, Vec<u8>)> = HashMap::new();
    for input in inputs.iter_mut() {
        for (index, s) in input.elf.sections.iter().enumerate() {
            let Some(content) = content(s) else { continue };
            let name = s.name.to_string();
            let bytes = match content {
                Content::Bss => &[],
                _ => s.bytes().map_err(|e| input.error(e))?,
            };
            let align = match s.align {
                0 => 1,
                n if n.is_power_of_two() && n <= MAX_ALIGN => n,
                n => {
                    let what = format!("an alignment of {n} bytes");
                    return Err(input.error(Error::section(&name, what)));
                }
            };
            total = total.saturating_add(s.size);
            if total > MAX_SIZE {
                return Err(LinkError::Result(Error::TooBig {
                    what: format!("sections up to `{name}` of {}", input.file),
                    size: total,
                    max: MAX_SIZE,
                }));
            }
            if let Some((first, file, there)) = firsts.get(&name) {
                let clash = |what: &str| Clash {
                    name: name.clone(),
                    first: file.clone(),
                    second: input.file.to_owned(),
                    what: what.to_owned(),
                };
                if is_single(&name) {
                    if there != bytes {
                        clashes.push(clash("the section's content differs"));
                    }
                    let id = image.section(&name, *first);
                    input.places.insert(index, (id, 0));
                    continue;
                }
                if *first != content {
                    clashes.push(clash(
                        "the sections differ in kind: code, data, constants or zeros",
                    ));
                    continue;
                }
            } else {
                let kept = if is_single(&name) { bytes } else { &[] };
                firsts.insert(
                    name.clone(),
                    (content, input.file.to_owned(), kept.to_vec()),
                );
            }
            let align = align.max(if content == Content::Code { SLOT } else { 1 });
            let id = image.section(&name, content);
            let base = match content {
                Content::Bss => image.append_zeros(id, s.size, align),
                _ => image.append(id, bytes, align),
            };
            input.places.insert(index, (id, base));
            sizes.insert(name, base + s.size);
        }
    }
    match clashes.is_empty() {
        true => Ok(sizes),
        false => Err(LinkError::Clashes(clashes)),
    }
}

/// Symbols of the linked object.
struct Symbols {
    by_name: HashMap<String, SymbolId>,
    /// By input and symbol.
    locals: HashMap<(usize, usize), SymbolId>,
}

fn binding(symbol: &Symbol<'_>, hidden: bool) -> Binding {
    Binding {
        global: !symbol.is_local(),
        weak: symbol.is_weak(),
        hidden,
    }
}

fn write_symbols(
    inputs: &[Input<'_>],
    names: &Names,
    image: &mut Image,
) -> Result<Symbols, LinkError> {
    let mut symbols = Symbols {
        by_name: HashMap::new(),
        locals: HashMap::new(),
    };
    // Local ones first, as ELF wants them.
    for (i, input) in inputs.iter().enumerate() {
        for (n, s) in input.elf.symbols.iter().enumerate() {
            let Some(&(section, base)) = input.places.get(&s.section) else {
                continue;
            };
            if !input.is_own(s) || s.is_section() || s.name.is_empty() {
                continue;
            }
            let at = place(input, s, base)?;
            let id = define(image, s, section, at, Binding::LOCAL);
            symbols.locals.insert((i, n), id);
        }
    }
    for (name, entry) in &names.all {
        let id = match entry.owner {
            Owner::Defined(i, n) => {
                let (input, s) = (&inputs[i], &inputs[i].elf.symbols[n]);
                let (section, base) = input.places[&s.section];
                let at = place(input, s, base)?;
                define(image, s, section, at, binding(s, entry.hidden))
            }
            Owner::Extern(..) => image.undefined(name, entry.weak),
        };
        symbols.by_name.insert(name.clone(), id);
    }
    Ok(symbols)
}

fn place(input: &Input<'_>, s: &Symbol<'_>, base: u64) -> Result<u64, LinkError> {
    let size = input.elf.sections[s.section].size;
    match s.value.checked_add(s.size) {
        Some(end) if end <= size => Ok(base + s.value),
        _ => Err(input.error(Error::Symbol {
            section: input.elf.section_name(s.section).into(),
            symbol: s.name.to_string(),
            what: "it lies outside its section".into(),
        })),
    }
}

fn define(
    image: &mut Image,
    s: &Symbol<'_>,
    section: SectionId,
    at: u64,
    binding: Binding,
) -> SymbolId {
    match s.is_func() {
        true => image.function(&s.name, section, at, s.size, binding),
        false => image.variable(&s.name, section, at, s.size, binding),
    }
}

/// Adjusts what refers to places and names, in all that is still alive.
fn relocate(
    inputs: &[Input<'_>],
    names: &Names,
    symbols: &Symbols,
    image: &mut Image,
) -> Result<(), LinkError> {
    for (i, input) in inputs.iter().enumerate() {
        // Sections in order, so that the same inputs give the same bytes.
        let mut sections: Vec<(usize, (SectionId, u64))> =
            input.places.iter().map(|(&s, &p)| (s, p)).collect();
        sections.sort_by_key(|s| s.0);
        let mut tables = BTreeMap::new();
        for (this, (id, base)) in sections {
            if is_single(input.elf.section_name(this)) {
                continue;
            }
            for r in input.elf.relocs(this) {
                if r.kind == 0 || names.is_dead(i, this, r.offset) {
                    continue;
                }
                let error = |what: &str| Err(input.error(input.elf.reloc_error(this, r, what)));
                let s = &input.elf.symbols[r.symbol];
                if r.addend != 0 {
                    return error("an addend outside of the instruction is not known in BPF");
                }
                let target = input.places.get(&s.section);
                if s.is_local() && s.section == 0 || s.section == usize::MAX {
                    return error("it refers to no section");
                }
                if s.section != 0 && target.is_none() {
                    return error("it refers to a section that is not loaded");
                }
                let symbol = match symbols.locals.get(&(i, r.symbol)) {
                    Some(&symbol) => symbol,
                    None if s.is_section() => {
                        let &(section, shift) = target.unwrap_or(&(id, 0));
                        match shifted(input, this, r, shift) {
                            Ok(Some((at, bytes))) => image.patch(id, base + at, &bytes),
                            Ok(None) => {}
                            Err(what) => return error(what),
                        }
                        image.section_symbol(section)
                    }
                    None => match symbols.by_name.get(&*s.name) {
                        Some(&symbol) => symbol,
                        None => return error("it refers to a symbol without a name"),
                    },
                };
                if input.elf.section_name(s.section) == JUMP_TABLES && !s.is_section() {
                    tables.insert((s.section, s.value, s.size), base);
                }
                let offset = base + r.offset;
                image
                    .relocate(id, offset, symbol, r.kind)
                    .map_err(|e| input.error(e))?;
            }
        }
        // Entries are places in the code section that the table is used from.
        for ((section, value, size), shift) in tables {
            jump_table(input, image, section, value, size, shift)?;
        }
    }
    Ok(())
}

/// The addend of a reference to a section's beginning, which moved by `shift` bytes: where it is, and its new bytes.
fn shifted(
    input: &Input<'_>,
    section: usize,
    r: &Reloc,
    shift: u64,
) -> Result<Option<(u64, Vec<u8>)>, &'static str> {
    const TOO_FAR: &str = "the linked section is too large for it";
    if shift == 0 {
        return Ok(None);
    }
    let s = &input.elf.sections[section];
    let bytes = match s.is_nobits() {
        true => &[],
        false => s.bytes().map_err(|_| "its section has no bytes")?,
    };
    let from = usize::try_from(r.offset).unwrap_or(usize::MAX);
    let here = bytes.get(from..).unwrap_or(&[]);
    // The immediate of an instruction is its second half.
    let (at, opcode) = match (r.kind, here.first()) {
        (R_64 | R_CALL, Some(&opcode)) if s.is_exec() => (4, opcode),
        (R_64 | R_CALL, _) => return Err("there is no instruction"),
        _ => (0, 0),
    };
    let word = |at: usize| here.get(at..at + 4)?.first_chunk::<4>().copied();
    let outside = "it lies outside its section";
    let add32 = |unit: u64| {
        let old = i64::from(i32::from_le_bytes(word(at).ok_or(outside)?));
        let new = i64::try_from(shift / unit)
            .ok()
            .and_then(|n| old.checked_add(n));
        let new = new.and_then(|n| i32::try_from(n).ok()).ok_or(TOO_FAR)?;
        Ok(Some((r.offset + at as u64, new.to_le_bytes().to_vec())))
    };
    match r.kind {
        R_CALL if opcode == CALL => add32(SLOT),
        R_64 if opcode == LD_IMM64 => add32(1),
        R_64 | R_CALL => Err("this instruction cannot be relocated"),
        R_ABS64 => {
            let old = here.first_chunk::<8>().ok_or(outside)?;
            let new = u64::from_le_bytes(*old).checked_add(shift).ok_or(TOO_FAR)?;
            Ok(Some((r.offset, new.to_le_bytes().to_vec())))
        }
        R_ABS32 | R_NODYLD32 => add32(1),
        _ => Err("its kind is not known"),
    }
}

/// Adds `shift` to each entry of a table of places in a code section.
fn jump_table(
    input: &Input<'_>,
    image: &mut Image,
    section: usize,
    value: u64,
    size: u64,
    shift: u64,
) -> Result<(), LinkError> {
    let error = |what: &str| input.error(Error::section(JUMP_TABLES, what));
    let &(id, base) = input
        .places
        .get(&section)
        .ok_or_else(|| error("it is not loaded"))?;
    let bytes = input.elf.sections[section]
        .bytes()
        .map_err(|e| input.error(e))?;
    let range = usize::try_from(value).ok().zip(
        value
            .checked_add(size)
            .and_then(|n| usize::try_from(n).ok()),
    );
    let table = range
        .and_then(|(from, to)| bytes.get(from..to))
        .ok_or_else(|| error("a table lies outside of it"))?;
    for (n, entry) in table.as_chunks::<8>().0.iter().enumerate() {
        let new = u64::from_le_bytes(*entry)
            .checked_add(shift)
            .ok_or_else(|| error("an entry is too large"))?;
        image.patch(id, base + value + n as u64 * 8, &new.to_le_bytes());
    }
    Ok(())
}
