//! ELF bytes → sections, symbols and relocations, all indices and ranges checked.
//!
//! **Invariant:** whatever is handed out lies inside the file; a section's bytes are read only
//! when asked for, so damage in sections that nobody reads does no harm.

use std::borrow::Cow;
use std::collections::HashMap;

use object::LittleEndian;
use object::elf;
use object::read::elf::{FileHeader, Rel as _, Rela as _, SectionHeader, Sym as _};

use crate::Error;

type Header = elf::FileHeader64<LittleEndian>;
const LE: LittleEndian = LittleEndian;

/// `EM_BPF`.
const EM_BPF: elf::Machine = elf::Machine(247);
/// The slot of an instruction, in bytes.
pub(crate) const SLOT: u64 = 8;

pub(crate) struct Elf<'a> {
    /// Index 0 is the null section.
    pub sections: Vec<Section<'a>>,
    pub symbols: Vec<Symbol<'a>>,
    /// Relocations by the section they apply to.
    relocs: HashMap<usize, Vec<Reloc>>,
}

pub(crate) struct Section<'a> {
    pub name: Cow<'a, str>,
    pub kind: elf::SectionType,
    pub flags: elf::SectionFlags,
    pub size: u64,
    /// Bytes; 0 and 1 say nothing.
    pub align: u64,
    bytes: Option<&'a [u8]>,
}

#[derive(Clone, Debug)]
pub(crate) struct Symbol<'a> {
    pub name: Cow<'a, str>,
    /// 0 when undefined, `usize::MAX` for absolute, common and other reserved indices.
    pub section: usize,
    pub value: u64,
    pub size: u64,
    pub kind: elf::SymbolType,
    pub bind: elf::SymbolBind,
    pub visibility: elf::SymbolVisibility,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reloc {
    pub offset: u64,
    pub symbol: usize,
    /// `R_BPF_…`.
    pub kind: u32,
    /// Of the rare `SHT_RELA` form; BPF keeps addends in place.
    pub addend: i64,
}

impl Section<'_> {
    pub fn is_exec(&self) -> bool {
        self.kind == elf::SHT_PROGBITS && self.flags.0 & elf::SHF_EXECINSTR.0 != 0
    }

    pub fn is_progbits(&self) -> bool {
        self.kind == elf::SHT_PROGBITS
    }

    pub fn is_nobits(&self) -> bool {
        self.kind == elf::SHT_NOBITS
    }
}

impl<'a> Section<'a> {
    /// The bytes in the file; none for `SHT_NOBITS`.
    pub fn bytes(&self) -> Result<&'a [u8], Error> {
        self.bytes
            .ok_or_else(|| Error::section(&self.name, "its bytes lie outside the file"))
    }
}

impl Symbol<'_> {
    pub fn is_local(&self) -> bool {
        self.bind == elf::STB_LOCAL
    }

    pub fn is_func(&self) -> bool {
        self.kind == elf::STT_FUNC
    }

    pub fn is_section(&self) -> bool {
        self.kind == elf::STT_SECTION
    }

    pub fn is_weak(&self) -> bool {
        self.bind == elf::STB_WEAK
    }

    pub fn is_hidden(&self) -> bool {
        matches!(self.visibility, elf::STV_HIDDEN | elf::STV_INTERNAL)
    }

    /// Undefined, without a type, not local: what C's `extern` leaves.
    pub fn is_extern(&self) -> bool {
        self.section == 0 && !self.is_local() && self.kind == elf::STT_NOTYPE
    }
}

impl<'a> Elf<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Elf<'a>, Error> {
        let header = header(bytes)?;
        let table = header.sections(LE, bytes).map_err(malformed)?;
        let mut sections = Vec::with_capacity(table.len());
        for (_, s) in table.enumerate() {
            let name = table.section_name(LE, s).map_err(malformed)?;
            sections.push(Section {
                name: String::from_utf8_lossy(name),
                kind: s.sh_type(LE),
                flags: s.sh_flags(LE),
                size: s.sh_size(LE),
                align: s.sh_addralign(LE),
                bytes: s.data(LE, bytes).ok(),
            });
        }

        let symbol_tables = sections.iter().filter(|s| s.kind == elf::SHT_SYMTAB);
        if symbol_tables.count() > 1 {
            return Err(Error::Malformed("more than one symbol table".into()));
        }
        let symtab = table
            .symbols(LE, bytes, elf::SHT_SYMTAB)
            .map_err(malformed)?;
        if symtab.section().0 == 0 {
            return Err(Error::NoSymbols);
        }
        let mut symbols = Vec::with_capacity(symtab.len());
        for (index, s) in symtab.enumerate() {
            let name = s.name(LE, symtab.strings()).map_err(malformed)?;
            let section = match s.st_shndx(LE) {
                elf::SHN_XINDEX => symtab.shndx(LE, index).map_or(usize::MAX, |i| i as usize),
                i if i.0 >= elf::SHN_LORESERVE => usize::MAX,
                i => usize::from(i.0),
            };
            if section != usize::MAX && section >= sections.len() {
                return Err(Error::Malformed(format!(
                    "symbol {} refers to section {section}, which does not exist",
                    index.0
                )));
            }
            symbols.push(Symbol {
                name: String::from_utf8_lossy(name),
                section,
                value: s.st_value(LE),
                size: s.st_size(LE),
                kind: s.st_type(),
                bind: s.st_bind(),
                visibility: s.st_visibility(),
            });
        }

        let mut relocs: HashMap<usize, Vec<Reloc>> = HashMap::new();
        for (i, s) in table.enumerate() {
            let target = s.sh_info(LE) as usize;
            // Those of sections that nobody reads may be anything.
            let read = sections.get(target).is_some_and(|t| reads_relocs_of(t));
            if !matches!(s.sh_type(LE), elf::SHT_REL | elf::SHT_RELA) || !read {
                continue;
            }
            let list = relocs.entry(target).or_default();
            if let Some((rels, _)) = s.rel(LE, bytes).map_err(malformed)? {
                list.extend(rels.iter().map(|r| Reloc {
                    offset: r.r_offset(LE),
                    symbol: r.r_sym(LE) as usize,
                    kind: r.r_type(LE).0,
                    addend: 0,
                }));
            }
            if let Some((relas, _)) = s.rela(LE, bytes).map_err(malformed)? {
                list.extend(relas.iter().map(|r| Reloc {
                    offset: r.r_offset(LE),
                    symbol: r.r_sym(LE, false) as usize,
                    kind: r.r_type(LE, false).0,
                    addend: r.r_addend(LE),
                }));
            }
            if let Some(r) = list.iter().find(|r| r.symbol >= symbols.len()) {
                return Err(Error::section(
                    &sections[i.0].name,
                    format!(
                        "a relocation names symbol {}, which does not exist",
                        r.symbol
                    ),
                ));
            }
        }
        for list in relocs.values_mut() {
            list.sort_by_key(|r| r.offset);
        }
        Ok(Elf {
            sections,
            symbols,
            relocs,
        })
    }

    /// The first section of this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.sections
            .iter()
            .skip(1)
            .position(|s| s.name == name)
            .map(|i| i + 1)
    }

    /// Relocations of a section, ascending by offset.
    pub fn relocs(&self, section: usize) -> &[Reloc] {
        self.relocs.get(&section).map_or(&[], |r| r)
    }

    /// A symbol's name; a section symbol has the section's.
    pub fn symbol_name<'s>(&'s self, symbol: &'s Symbol<'_>) -> &'s str {
        match self.sections.get(symbol.section) {
            Some(section) if symbol.is_section() && symbol.name.is_empty() => &section.name,
            _ => &symbol.name,
        }
    }

    pub fn section_name(&self, section: usize) -> &str {
        self.sections.get(section).map_or("", |s| &s.name)
    }

    pub fn reloc_error(&self, section: usize, reloc: &Reloc, what: impl Into<String>) -> Error {
        Error::Reloc {
            section: self.section_name(section).into(),
            offset: reloc.offset,
            symbol: self
                .symbols
                .get(reloc.symbol)
                .map_or("?", |s| self.symbol_name(s))
                .into(),
            what: what.into(),
        }
    }
}

/// Debug sections have relocations too, and nobody needs them.
fn reads_relocs_of(target: &Section<'_>) -> bool {
    let name: &str = &target.name;
    !(name.starts_with(".debug_") || matches!(name, ".BTF" | ".BTF.ext" | ".eh_frame"))
}

fn header(bytes: &[u8]) -> Result<&Header, Error> {
    if bytes.get(..4) != Some(&elf::ELFMAG) {
        return Err(Error::NotElf);
    }
    // ELFCLASS64, ELFCLASS32.
    match bytes.get(4) {
        Some(2) => {}
        Some(1) => return Err(Error::Class32),
        _ => return Err(Error::Malformed("no ELF class".into())),
    }
    // ELFDATA2LSB, ELFDATA2MSB.
    match bytes.get(5) {
        Some(1) => {}
        Some(2) => return Err(Error::BigEndian),
        _ => return Err(Error::Malformed("no byte order".into())),
    }
    let header = Header::parse(bytes).map_err(malformed)?;
    // Old LLVM wrote machine 0.
    let machine = header.e_machine(LE);
    if machine != EM_BPF && machine != elf::EM_NONE {
        return Err(Error::Machine(machine.0));
    }
    let kind = header.e_type(LE);
    if kind != elf::ET_REL {
        return Err(Error::NotRelocatable(kind.0));
    }
    Ok(header)
}

fn malformed(error: object::read::Error) -> Error {
    Error::Malformed(error.to_string())
}
