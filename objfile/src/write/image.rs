//! Sections, symbols and relocations → ELF bytes, through the `object` crate.

use std::collections::HashMap;

use object::write::{
    Object, Relocation, SectionId, StandardSegment, Symbol, SymbolFlags, SymbolId, SymbolSection,
};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolKind, SymbolScope,
    elf,
};

use crate::Error;

/// `R_BPF_64_64`: a 64-bit immediate.
pub(crate) const R_64: u32 = 1;
/// `R_BPF_64_ABS64`: a word of data.
pub(crate) const R_ABS64: u32 = 2;
/// `R_BPF_64_32`: a call.
pub(crate) const R_CALL: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Code,
    Data,
    Rodata,
    Bss,
    /// Types, lines: not loaded.
    Note,
}

/// How a symbol is bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Binding {
    pub global: bool,
    pub weak: bool,
    pub hidden: bool,
}

impl Binding {
    pub const GLOBAL: Binding = Binding {
        global: true,
        weak: false,
        hidden: false,
    };
    pub const LOCAL: Binding = Binding {
        global: false,
        weak: false,
        hidden: false,
    };
}

/// An ELF object that is being put together.
pub(crate) struct Image {
    object: Object<'static>,
    sections: HashMap<String, SectionId>,
}

impl Image {
    pub fn new() -> Image {
        Image {
            object: Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little),
            sections: HashMap::new(),
        }
    }

    /// The section of this name, made when it is new.
    pub fn section(&mut self, name: &str, content: Content) -> SectionId {
        if let Some(&id) = self.sections.get(name) {
            return id;
        }
        let kind = match content {
            Content::Code => SectionKind::Text,
            Content::Data => SectionKind::Data,
            Content::Rodata => SectionKind::ReadOnlyData,
            Content::Bss => SectionKind::UninitializedData,
            Content::Note => SectionKind::Other,
        };
        let segment = self.object.segment_name(StandardSegment::Data).to_vec();
        let id = self
            .object
            .add_section(segment, name.as_bytes().to_vec(), kind);
        self.sections.insert(name.to_owned(), id);
        id
    }

    pub fn has(&self, name: &str) -> bool {
        self.sections.contains_key(name)
    }

    /// Appends bytes and says where they begin.
    pub fn append(&mut self, section: SectionId, bytes: &[u8], align: u64) -> u64 {
        self.object.append_section_data(section, bytes, align)
    }

    pub fn append_zeros(&mut self, section: SectionId, size: u64, align: u64) -> u64 {
        self.object.append_section_bss(section, size, align)
    }

    /// Overwrites bytes that were appended before; outside of them it does nothing.
    pub fn patch(&mut self, section: SectionId, offset: u64, bytes: &[u8]) {
        let data = self.object.section_mut(section).data_mut();
        let range = usize::try_from(offset).ok().and_then(|from| {
            let to = from.checked_add(bytes.len())?;
            data.get_mut(from..to)
        });
        if let Some(place) = range {
            place.copy_from_slice(bytes);
        }
    }

    /// The symbol that stands for a section's first byte.
    pub fn section_symbol(&mut self, section: SectionId) -> SymbolId {
        self.object.section_symbol(section)
    }

    pub fn function(
        &mut self,
        name: &str,
        section: SectionId,
        at: u64,
        size: u64,
        binding: Binding,
    ) -> SymbolId {
        self.symbol(
            name,
            SymbolKind::Text,
            SymbolSection::Section(section),
            at,
            size,
            binding,
        )
    }

    pub fn variable(
        &mut self,
        name: &str,
        section: SectionId,
        at: u64,
        size: u64,
        binding: Binding,
    ) -> SymbolId {
        self.symbol(
            name,
            SymbolKind::Data,
            SymbolSection::Section(section),
            at,
            size,
            binding,
        )
    }

    /// A name that another object (or the kernel) is to define.
    pub fn undefined(&mut self, name: &str, weak: bool) -> SymbolId {
        let binding = Binding {
            weak,
            ..Binding::GLOBAL
        };
        self.symbol(
            name,
            SymbolKind::Unknown,
            SymbolSection::Undefined,
            0,
            0,
            binding,
        )
    }

    fn symbol(
        &mut self,
        name: &str,
        kind: SymbolKind,
        section: SymbolSection,
        value: u64,
        size: u64,
        binding: Binding,
    ) -> SymbolId {
        // Said outright, because the crate would make undefined symbols of some kinds typed ones.
        let bind = match binding {
            Binding { global: false, .. } => elf::STB_LOCAL,
            Binding { weak: true, .. } => elf::STB_WEAK,
            _ => elf::STB_GLOBAL,
        };
        let ty = match kind {
            SymbolKind::Text => elf::STT_FUNC,
            SymbolKind::Data => elf::STT_OBJECT,
            _ => elf::STT_NOTYPE,
        };
        let visibility = match binding.hidden {
            true => elf::STV_HIDDEN,
            false => elf::STV_DEFAULT,
        };
        self.object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value,
            size,
            kind,
            scope: match binding.global {
                true => SymbolScope::Dynamic,
                false => SymbolScope::Compilation,
            },
            weak: binding.weak,
            section,
            flags: SymbolFlags::Elf {
                st_info: elf::SymbolInfo::new(bind, ty),
                st_other: elf::SymbolOther::default().with_visibility(visibility),
            },
        })
    }

    /// BPF keeps addends in place: whatever is to be added must be in the section's bytes.
    pub fn relocate(
        &mut self,
        section: SectionId,
        offset: u64,
        symbol: SymbolId,
        kind: u32,
    ) -> Result<(), Error> {
        self.object
            .add_relocation(
                section,
                Relocation {
                    offset,
                    symbol,
                    addend: 0,
                    flags: RelocationFlags::Elf {
                        r_type: elf::RelocationType(kind),
                    },
                },
            )
            .map_err(|e| Error::Malformed(e.to_string()))
    }

    pub fn finish(self) -> Result<Vec<u8>, Error> {
        self.object
            .write()
            .map_err(|e| Error::Malformed(e.to_string()))
    }
}
