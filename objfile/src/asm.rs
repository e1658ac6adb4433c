//! Assembly text → [`Object`], by way of the ELF bytes that an assembler would have written.
//!
//! The syntax is that of `probity_isa::assemble`. What the text does not say is filled in: the
//! code that a section starts with is a program, functions get types, instructions the lines of
//! the text. Text that brings its own `.BTF` (clang's `-S -g`) is taken at its word.

use std::collections::{HashMap, HashSet};

use object::write::{SectionId, SymbolId};
use probity_btf::{
    BtfBuilder, BtfExt, ExtSection, FuncLinkage, FuncRecord, IntEncoding, LineRecord, SecVar,
    VarLinkage,
};
use probity_isa::{
    Assembly, Binding as Bind, Content as Body, Label, LabelKind, MapDecl, RefKind, encode,
    to_bytes,
};

use crate::elf::SLOT;
use crate::write::image::{Binding, Content, Image, R_64, R_ABS64, R_CALL};
use crate::write::types::{Numbers, define};
use crate::{Error, Map, Object, open};

/// `enum bpf_map_type` by number, without `BPF_MAP_TYPE_`.
const MAP_KINDS: &[&str] = &[
    "unspec",
    "hash",
    "array",
    "prog_array",
    "perf_event_array",
    "percpu_hash",
    "percpu_array",
    "stack_trace",
    "cgroup_array",
    "lru_hash",
    "lru_percpu_hash",
    "lpm_trie",
    "array_of_maps",
    "hash_of_maps",
    "devmap",
    "sockmap",
    "cpumap",
    "xskmap",
    "sockhash",
    "cgroup_storage",
    "reuseport_sockarray",
    "percpu_cgroup_storage",
    "queue",
    "stack",
    "sk_storage",
    "devmap_hash",
    "struct_ops",
    "ringbuf",
    "inode_storage",
    "task_storage",
    "bloom_filter",
    "user_ringbuf",
    "cgrp_storage",
    "arena",
    "insn_array",
];

/// Assembles a file called `name`. `helper` knows the numbers of helpers.
pub fn assemble(
    name: &str,
    text: &str,
    helper: &dyn Fn(&str) -> Option<u32>,
) -> Result<Object, Error> {
    let assembly = probity_isa::assemble(text, helper).map_err(Error::Assembly)?;
    let stem = name.rsplit('/').next().unwrap_or(name);
    let stem = stem.split('.').next().unwrap_or(stem);
    let mut assembler = Assembler {
        assembly: &assembly,
        lines: text.lines().collect(),
        file: name,
        stem,
        image: Image::new(),
        sections: Vec::new(),
        symbols: HashMap::new(),
        functions: Vec::new(),
        types: BtfBuilder::new(),
    };
    let typed = assembly.section(".BTF").is_some();
    assembler.place_sections()?;
    assembler.labels();
    if typed && !assembly.maps.is_empty() {
        return Err(at_line(
            assembly.maps[0].line,
            "`.map` does not go together with a `.BTF` section",
        ));
    }
    assembler.map_definitions()?;
    assembler.references(typed)?;
    if !typed {
        assembler.type_sections();
    }
    open(stem, &assembler.image.finish()?)
}

fn at_line(line: u32, message: impl Into<String>) -> Error {
    Error::Assembly(probity_isa::Error::Text {
        line: line as usize,
        column: 1,
        message: message.into(),
    })
}

/// A function of the file, for its types and lines.
struct Function {
    name: String,
    /// Index into the assembly's sections.
    section: usize,
    offset: u64,
    main: bool,
}

struct Assembler<'a> {
    assembly: &'a Assembly,
    lines: Vec<&'a str>,
    file: &'a str,
    stem: &'a str,
    image: Image,
    sections: Vec<SectionId>,
    /// Symbol and place of each name.
    symbols: HashMap<&'a str, (SymbolId, usize, u64)>,
    functions: Vec<Function>,
    types: BtfBuilder,
}

impl<'a> Assembler<'a> {
    fn place_sections(&mut self) -> Result<(), Error> {
        self.image.section(".text", Content::Code);
        for s in &self.assembly.sections {
            let content = match &s.content {
                Body::Code { .. } => Content::Code,
                Body::Zeros(_) => Content::Bss,
                Body::Data(_) if s.name.starts_with(".rodata") => Content::Rodata,
                Body::Data(_) if s.name.starts_with(".BTF") => Content::Note,
                Body::Data(_) => Content::Data,
            };
            let id = self.image.section(&s.name, content);
            match &s.content {
                Body::Code { insns, .. } => {
                    let raw = encode(insns).map_err(Error::Assembly)?;
                    self.image.append(id, &to_bytes(&raw), SLOT);
                }
                Body::Data(bytes) => {
                    self.image.append(id, bytes, s.align.max(1));
                }
                Body::Zeros(size) => {
                    self.image.append_zeros(id, *size, s.align.max(1));
                }
            }
            self.sections.push(id);
        }
        Ok(())
    }

    /// Whether the code that a section starts with is a program.
    fn starts_program(&self, section: usize) -> bool {
        let code = |i: usize| matches!(self.assembly.sections[i].content, Body::Code { .. });
        let name = |i: usize| self.assembly.sections[i].name.as_str();
        let others = (0..self.assembly.sections.len()).any(|i| code(i) && name(i) != ".text");
        code(section) && (name(section) != ".text" || !others)
    }

    fn labels(&mut self) {
        for (index, s) in self.assembly.sections.iter().enumerate() {
            let starts = self.starts_program(index);
            for label in &s.labels {
                let global = label.binding != Bind::Local;
                let main = label.kind == LabelKind::Function
                    && (starts && label.offset == 0 || global && s.name != ".text");
                self.label(index, label, main);
            }
        }
    }

    /// Code that the text does not name is called after the section, which may be no name at all.
    fn function_name(&self, index: usize, label: &Label) -> String {
        let code = |s: &&probity_isa::Section| matches!(s.content, Body::Code { .. });
        if label.name != self.assembly.sections[index].name {
            label.name.clone()
        } else if self.assembly.sections.iter().filter(code).count() == 1 {
            crate::write::identifier(self.stem)
        } else {
            crate::write::identifier(&label.name)
        }
    }

    fn label(&mut self, index: usize, label: &'a Label, main: bool) {
        let section = self.sections[index];
        let given = Binding {
            global: label.binding != Bind::Local,
            weak: label.binding == Bind::Weak,
            hidden: label.hidden,
        };
        let typed = self.assembly.section(".BTF").is_some();
        let symbol = match label.kind {
            LabelKind::Function => {
                let binding = match (main, typed) {
                    (true, _) => Binding {
                        global: true,
                        ..given
                    },
                    (false, true) => given,
                    // Without a prototype it cannot be verified on its own.
                    (false, false) => Binding {
                        hidden: true,
                        ..given
                    },
                };
                let name = self.function_name(index, label);
                let symbol = self
                    .image
                    .function(&name, section, label.offset, label.size, binding);
                self.functions.push(Function {
                    name,
                    section: index,
                    offset: label.offset,
                    main,
                });
                symbol
            }
            LabelKind::Object => {
                self.image
                    .variable(&label.name, section, label.offset, label.size, given)
            }
            LabelKind::Place => self.image.section_symbol(section),
        };
        self.symbols
            .insert(&label.name, (symbol, index, label.offset));
    }

    /// `.map` declarations.
    fn map_definitions(&mut self) -> Result<(), Error> {
        if self.assembly.maps.is_empty() {
            return Ok(());
        }
        let section = self.image.section(".maps", Content::Data);
        let mut numbers = Numbers::default();
        let none = probity_btf::Btf::default();
        let mut vars = Vec::new();
        let mut offset = 0u32;
        for decl in &self.assembly.maps {
            let map = map(decl)?;
            let (ty, size) = define(&mut self.types, &none, &map, &mut numbers)?;
            let var = self.types.var(&decl.name, ty, VarLinkage::Global);
            self.image.append(section, &vec![0; size as usize], 1);
            let symbol = self.image.variable(
                &decl.name,
                section,
                offset.into(),
                size.into(),
                Binding::GLOBAL,
            );
            // Sections of the text come first; this one is none of them.
            self.symbols
                .insert(&decl.name, (symbol, usize::MAX, offset.into()));
            vars.push(SecVar { var, offset, size });
            offset = offset.saturating_add(size);
        }
        self.types.datasec(".maps", offset, &vars);
        Ok(())
    }

    fn references(&mut self, typed: bool) -> Result<(), Error> {
        for (index, s) in self.assembly.sections.iter().enumerate() {
            let section = self.sections[index];
            for r in &s.refs {
                let known = self.symbols.get(r.name.as_str()).copied();
                let (symbol, place) = match known {
                    Some((symbol, _, place)) => (symbol, place),
                    None if typed => {
                        let symbol = self.image.undefined(&r.name, false);
                        self.symbols.insert(&r.name, (symbol, usize::MAX, 0));
                        (symbol, 0)
                    }
                    None => {
                        return Err(at_line(
                            r.line,
                            format!(
                                "there is no `{}`: not a helper, a function, a map or data",
                                r.name
                            ),
                        ));
                    }
                };
                let by_section = self
                    .assembly
                    .sections
                    .iter()
                    .flat_map(|s| &s.labels)
                    .any(|l| l.name == r.name && l.kind == LabelKind::Place);
                let addend = if by_section {
                    i64::try_from(place)
                        .ok()
                        .and_then(|p| p.checked_add(r.addend))
                } else {
                    Some(r.addend)
                };
                let addend =
                    addend.ok_or_else(|| at_line(r.line, "the address is out of range"))?;
                let kind = match r.kind {
                    RefKind::Call => R_CALL,
                    RefKind::Address | RefKind::Map => {
                        let imm = i32::try_from(addend)
                            .map_err(|_| at_line(r.line, "the address is out of range"))?;
                        self.image
                            .patch(section, r.offset.saturating_add(4), &imm.to_le_bytes());
                        R_64
                    }
                    RefKind::Data { size } => {
                        let loaded = s.name == ".maps"
                            || s.name.contains("struct_ops")
                            || s.name.starts_with(".data");
                        if loaded && size == 8 {
                            self.image.patch(section, r.offset, &addend.to_le_bytes());
                            R_ABS64
                        } else {
                            let value = place.wrapping_add_signed(r.addend).to_le_bytes();
                            let value = value.get(..size.into()).unwrap_or(&value);
                            self.image.patch(section, r.offset, value);
                            continue;
                        }
                    }
                };
                self.image.relocate(section, r.offset, symbol, kind)?;
            }
        }
        Ok(())
    }

    /// Types and lines for a text that has none.
    fn type_sections(&mut self) {
        let b = &mut self.types;
        let int = b.int("int", 4, IntEncoding::SIGNED);
        let pointer = b.ptr(probity_btf::TypeId::VOID);
        let program = b.func_proto(int, &[("ctx", pointer)]);
        let plain = b.func_proto(int, &[]);
        let file = b.string(self.file);
        let mut ext = BtfExt::default();
        self.functions.sort_by_key(|f| (f.section, f.offset));
        let mut described = HashSet::new();
        for (index, s) in self.assembly.sections.iter().enumerate() {
            let Body::Code { lines, .. } = &s.content else {
                continue;
            };
            let mut funcs = Vec::new();
            for f in self.functions.iter().filter(|f| f.section == index) {
                if !described.insert((index, f.offset)) {
                    continue;
                }
                let name = crate::write::identifier(&f.name);
                let type_id = match f.main {
                    true => b.func(&name, program, FuncLinkage::Global),
                    false => b.func(&name, plain, FuncLinkage::Static),
                };
                funcs.push(FuncRecord {
                    insn_off: u32::try_from(f.offset).unwrap_or(u32::MAX),
                    type_id,
                });
            }
            let mut records: Vec<LineRecord> = Vec::new();
            let mut last = 0;
            for (slot, &line) in lines.iter().enumerate() {
                let offset = slot as u64 * SLOT;
                let begins = described.contains(&(index, offset));
                if line == 0 || line == last && !begins {
                    continue;
                }
                last = line;
                let text = self.lines.get(line as usize - 1).map_or("", |l| l.trim());
                records.push(LineRecord {
                    insn_off: u32::try_from(offset).unwrap_or(u32::MAX),
                    file,
                    text: b.string(text),
                    line,
                    column: 0,
                });
            }
            ext.funcs.push(ExtSection {
                section: s.name.clone(),
                records: funcs,
            });
            ext.lines.push(ExtSection {
                section: s.name.clone(),
                records,
            });
        }
        let ext = ext.to_bytes(b);
        let btf = b.to_bytes();
        for (name, bytes) in [(".BTF", btf), (".BTF.ext", ext)] {
            let section = self.image.section(name, Content::Note);
            self.image.append(section, &bytes, 4);
        }
    }
}

fn map(decl: &MapDecl) -> Result<Map, Error> {
    let error = |what: String| Err(at_line(decl.line, format!("map `{}`: {what}", decl.name)));
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse::<u64>().ok(),
    };
    let word = decl.kind.to_ascii_lowercase();
    let word = word.strip_prefix("bpf_map_type_").unwrap_or(&word);
    let kind = match number(word) {
        Some(n) => u32::try_from(n).ok(),
        None => MAP_KINDS.iter().position(|&k| k == word).map(|n| n as u32),
    };
    let Some(kind) = kind.filter(|&k| k != 0) else {
        return error(format!("there is no map kind `{}`", decl.kind));
    };
    let mut map = Map::new(
        &decl.name,
        kind,
        decl.key_size,
        decl.value_size,
        decl.max_entries,
    );
    map.flags = decl.flags;
    for (name, value) in &decl.attributes {
        let value = number(value);
        match (name.as_str(), value) {
            ("map_extra", Some(n)) => map.map_extra = n,
            ("numa_node", Some(n)) if n <= u64::from(u32::MAX) => map.numa_node = Some(n as u32),
            ("pinning", Some(n)) if n <= 1 => map.pinned = n == 1,
            ("map_extra" | "numa_node" | "pinning", _) => {
                return error(format!("attribute `{name}` is not such a number"));
            }
            _ => return error(format!("there is no attribute `{name}`")),
        }
    }
    Ok(map)
}
