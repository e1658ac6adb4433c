//! [`Object`] → the bytes of a relocatable ELF object that clang's tools, libbpf, aya and
//! [`crate::open`] read.
//!
//! **Invariant:** reading it back gives the same programs, maps, data, externs and types under the
//! same type ids; subprograms shared by several programs are in the file once.

mod funcs;
pub(crate) mod image;
pub(crate) mod types;

use std::collections::{HashMap, HashSet};

use object::write::{SectionId, SymbolId};
use probity_btf::{
    BtfExt, CoreRecord, ExtSection, FuncLinkage, FuncRecord, IntEncoding, LineRecord, TypeId,
};

use crate::elf::SLOT;
use crate::link::{JUMP_TABLES, LD_IMM64};
use crate::{DataKind, DataSection, Error, ExternKind, Initial, Object};

use funcs::{Func, Ref};
use image::{Binding, Content, Image, R_64, R_ABS64, R_CALL};
use types::{Types, is_defined, section_name};

/// The bytes of an object file.
pub fn write(object: &Object) -> Result<Vec<u8>, Error> {
    let funcs = funcs::functions(object)?;
    let sections = section_names(object, &funcs);
    let types = types::types(object, &sections)?;
    let mut writer = Writer {
        object,
        funcs,
        types,
        image: Image::new(),
        maps: HashMap::new(),
        values: HashMap::new(),
        externs: Vec::new(),
        places: Vec::new(),
    };
    writer.place_functions();
    writer.license_and_version();
    writer.data()?;
    writer.map_definitions()?;
    writer.externs();
    writer.references()?;
    writer.initial_values()?;
    writer.struct_ops()?;
    writer.variables();
    writer.type_sections();
    writer.image.finish()
}

/// Names of all sections that may have a DATASEC.
fn section_names(object: &Object, funcs: &[Func<'_>]) -> HashSet<String> {
    let mut names: HashSet<String> = funcs.iter().map(|f| f.section.clone()).collect();
    let data = object.maps.iter().filter_map(|m| m.data.as_ref());
    names.extend(data.map(|d| section_name(object, &d.section).to_owned()));
    names.extend(
        object
            .struct_ops
            .iter()
            .map(struct_ops_section)
            .map(String::from),
    );
    if object.license.is_some() {
        names.insert("license".into());
    }
    if object.kernel_version.is_some() {
        names.insert("version".into());
    }
    names.remove(".kconfig");
    names
}

fn struct_ops_section(ops: &crate::StructOps) -> &'static str {
    match (ops.optional, ops.link) {
        (false, false) => ".struct_ops",
        (false, true) => ".struct_ops.link",
        (true, false) => "?.struct_ops",
        (true, true) => "?.struct_ops.link",
    }
}

struct Writer<'a> {
    object: &'a Object,
    funcs: Vec<Func<'a>>,
    types: Types,
    image: Image,
    /// Map → the symbol of its definition.
    maps: HashMap<usize, SymbolId>,
    /// Map → the section that is its data.
    values: HashMap<usize, SymbolId>,
    externs: Vec<SymbolId>,
    /// Where each function is.
    places: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    section: SectionId,
    /// Bytes.
    offset: u64,
    symbol: SymbolId,
}

impl Writer<'_> {
    /// Finds a place for each function, main functions first.
    fn place_functions(&mut self) {
        // Compilers always have it, and some readers look for it.
        self.image.section(".text", Content::Code);
        for f in &self.funcs {
            let section = self.image.section(&f.section, Content::Code);
            let bytes: Vec<u8> = f.insns.iter().flat_map(|i| i.to_bytes()).collect();
            let offset = self.image.append(section, &bytes, SLOT);
            let binding = if f.global {
                Binding::GLOBAL
            } else {
                Binding::LOCAL
            };
            let symbol = self
                .image
                .function(&f.name, section, offset, bytes.len() as u64, binding);
            self.places.push(Place {
                section,
                offset,
                symbol,
            });
        }
    }

    fn license_and_version(&mut self) {
        if let Some(license) = &self.object.license {
            let section = self.image.section("license", Content::Data);
            let mut bytes = license.clone().into_bytes();
            bytes.push(0);
            self.image.append(section, &bytes, 1);
        }
        if let Some(version) = self.object.kernel_version {
            let section = self.image.section("version", Content::Data);
            self.image.append(section, &version.to_le_bytes(), 4);
        }
    }

    fn data(&mut self) -> Result<(), Error> {
        let asked = |e: &crate::Extern| matches!(e.kind, ExternKind::Kconfig { .. });
        let kconfig = self.object.externs.iter().any(asked);
        for (index, map) in self.object.maps.iter().enumerate() {
            let Some(data) = &map.data else { continue };
            // What is still asked of the kernel is no data yet.
            if data.kind == DataKind::Kconfig && kconfig {
                continue;
            }
            let section = self.data_section(data)?;
            let symbol = self.image.section_symbol(section);
            self.values.insert(index, symbol);
        }
        Ok(())
    }

    fn data_section(&mut self, data: &DataSection) -> Result<SectionId, Error> {
        let name = section_name(self.object, &data.section);
        if self.image.has(name) {
            return Err(Error::section(name, "two maps are made from it"));
        }
        let content = match data.kind {
            DataKind::Rodata | DataKind::Kconfig => Content::Rodata,
            DataKind::Data | DataKind::Arena => Content::Data,
            DataKind::Bss => Content::Bss,
        };
        let id = self.image.section(name, content);
        match content {
            Content::Bss => self.image.append_zeros(id, data.bytes.len() as u64, SLOT),
            _ => self.image.append(id, &data.bytes, SLOT),
        };
        Ok(id)
    }

    fn map_definitions(&mut self) -> Result<(), Error> {
        if self.types.maps.is_empty() {
            return Ok(());
        }
        let section = self.image.section(".maps", Content::Data);
        for v in &self.types.maps {
            let map = &self.object.maps[v.map];
            self.image.append(section, &vec![0; v.size as usize], 1);
            let symbol = self.image.variable(
                &map.name,
                section,
                v.offset.into(),
                v.size.into(),
                Binding::GLOBAL,
            );
            self.maps.insert(v.map, symbol);
        }
        debug_assert_eq!(
            self.types.maps.len(),
            self.object.maps.iter().filter(|m| is_defined(m)).count()
        );
        Ok(())
    }

    fn externs(&mut self) {
        for e in &self.object.externs {
            let symbol = self.image.undefined(&e.name, e.weak);
            self.externs.push(symbol);
        }
    }

    /// Relocations of instructions.
    fn references(&mut self) -> Result<(), Error> {
        let mut tables: HashMap<(usize, Vec<usize>), SymbolId> = HashMap::new();
        for (f, func) in self.funcs.iter().enumerate() {
            let place = self.places[f];
            for (at, r) in &func.refs {
                let offset = place.offset + *at as u64 * SLOT;
                let error =
                    |what: &str| Error::program(&func.name, format!("instruction {at} {what}"));
                let mut insn = func.insns[*at];
                let (symbol, imm) = match r {
                    Ref::Map(map) => {
                        let symbol = self.maps.get(map);
                        (
                            *symbol
                                .ok_or_else(|| error("refers to a map that is a data section"))?,
                            0,
                        )
                    }
                    Ref::Value { map, off } => {
                        let symbol = self.values.get(map);
                        let what =
                            "takes the address of a value of a map that is not a data section";
                        (*symbol.ok_or_else(|| error(what))?, *off as i32)
                    }
                    Ref::Extern(index) => {
                        let symbol = self.externs.get(*index);
                        (
                            *symbol
                                .ok_or_else(|| error("refers to an extern that does not exist"))?,
                            insn.imm,
                        )
                    }
                    // Like compilers, by name when others may see it, and otherwise by place.
                    Ref::Call(callee) | Ref::FuncAddr(callee) => {
                        let target = self.places[*callee];
                        let call = matches!(r, Ref::Call(_));
                        let (symbol, from) = match self.funcs[*callee].global {
                            true => (target.symbol, 0),
                            false => (self.image.section_symbol(target.section), target.offset),
                        };
                        let imm = if call {
                            (from / SLOT) as i64 - 1
                        } else {
                            from as i64
                        };
                        if !call {
                            insn.src = 0;
                        }
                        (
                            symbol,
                            i32::try_from(imm)
                                .map_err(|_| error("is too far from what it calls"))?,
                        )
                    }
                    Ref::JumpTable { name, targets } => {
                        let symbol = match tables.get(&(f, targets.clone())) {
                            Some(&symbol) => symbol,
                            None => {
                                let section = self.image.section(JUMP_TABLES, Content::Rodata);
                                let bytes: Vec<u8> = targets
                                    .iter()
                                    .flat_map(|&t| (place.offset + t as u64 * SLOT).to_le_bytes())
                                    .collect();
                                let at = self.image.append(section, &bytes, 8);
                                let size = bytes.len() as u64;
                                let symbol =
                                    self.image.variable(name, section, at, size, Binding::LOCAL);
                                tables.insert((f, targets.clone()), symbol);
                                symbol
                            }
                        };
                        (symbol, 0)
                    }
                };
                insn.imm = imm;
                self.image.patch(place.section, offset, &insn.to_bytes());
                let kind = if insn.opcode == LD_IMM64 {
                    R_64
                } else {
                    R_CALL
                };
                self.image.relocate(place.section, offset, symbol, kind)?;
            }
        }
        Ok(())
    }

    /// Pointers in `.maps` to inner maps and programs.
    fn initial_values(&mut self) -> Result<(), Error> {
        for v in &self.types.maps {
            let map = &self.object.maps[v.map];
            let section = self.image.section(".maps", Content::Data);
            for (slot, initial) in &map.initial {
                let symbol = match initial {
                    Initial::Map(index) => self.maps.get(index).copied(),
                    Initial::Program(name) => self.main(name).map(|i| self.places[i].symbol),
                };
                let symbol = symbol.ok_or_else(|| {
                    Error::map(
                        &map.name,
                        format!("slot {slot} is to hold something that does not exist"),
                    )
                })?;
                let offset = u64::from(v.offset) + u64::from(v.values) + u64::from(*slot) * 8;
                self.image.relocate(section, offset, symbol, R_ABS64)?;
            }
        }
        Ok(())
    }

    /// Index of a program's main function.
    fn main(&self, program: &str) -> Option<usize> {
        self.object.programs.iter().position(|p| p.name == program)
    }

    fn struct_ops(&mut self) -> Result<(), Error> {
        let Some(btf) = &self.object.btf else {
            return Ok(());
        };
        // Places come from the types, which keep them.
        for ops in &self.object.struct_ops {
            let name = struct_ops_section(ops);
            let error =
                |what: &str| Error::section(name, format!("variable `{}`: {what}", ops.name));
            let datasec = btf.find_datasec(name).and_then(|id| btf.ty(id));
            let Some(probity_btf::Type::DataSec { vars, size }) = datasec else {
                return Err(error("the types have no such section"));
            };
            let place = vars.iter().find(|v| btf.name(v.var) == ops.name);
            let place = place
                .ok_or_else(|| error("the types have no such variable"))?
                .offset;
            let fresh = !self.image.has(name);
            let section = self.image.section(name, Content::Data);
            if fresh {
                if u64::from(size) > 64 << 20 {
                    return Err(error("its section is too large"));
                }
                self.image.append(section, &vec![0; size as usize], SLOT);
            }
            if u64::from(place) + ops.bytes.len() as u64 > u64::from(size) {
                return Err(error("it does not fit its section"));
            }
            self.image.patch(section, place.into(), &ops.bytes);
            for (member, program) in &ops.members {
                let at = btf
                    .members(ops.type_id)
                    .iter()
                    .find(|m| m.name == member.as_str());
                let at = at.ok_or_else(|| error("it has no such member"))?.bit_offset / 8;
                let target = self
                    .main(program)
                    .ok_or_else(|| error("it names no program"))?;
                let offset = u64::from(place) + u64::from(at);
                self.image
                    .relocate(section, offset, self.places[target].symbol, R_ABS64)?;
            }
        }
        Ok(())
    }

    /// Global variables, as the types say; readers of the types look for their symbols.
    fn variables(&mut self) {
        for v in &self.types.variables {
            if self.image.has(&v.section) {
                let section = self.image.section(&v.section, Content::Data);
                self.image.variable(
                    &v.name,
                    section,
                    v.offset.into(),
                    v.size.into(),
                    Binding::GLOBAL,
                );
            }
        }
    }

    /// `.BTF` and `.BTF.ext`.
    fn type_sections(&mut self) {
        let typed = self.funcs.iter().any(|f| f.ty.is_some());
        let described = |f: &Func<'_>| !f.lines.is_empty() || !f.core.is_empty();
        if !self.types.any && !typed && !self.funcs.iter().any(described) {
            return;
        }
        let builder = &mut self.types.builder;
        let mut ext = BtfExt::default();
        let mut by_section: HashMap<&str, usize> = HashMap::new();
        let mut proto = None;
        let mut order: Vec<usize> = (0..self.funcs.len()).collect();
        order.sort_by_key(|&f| self.places[f].offset);
        for f in order {
            let (func, place) = (&self.funcs[f], self.places[f]);
            let next = by_section.len();
            let at = *by_section.entry(&func.section).or_insert(next);
            if at == next {
                fn empty<T>(section: &str) -> ExtSection<T> {
                    ExtSection {
                        section: section.to_owned(),
                        records: Vec::new(),
                    }
                }
                ext.funcs.push(empty(&func.section));
                ext.lines.push(empty(&func.section));
                ext.core_relos.push(empty(&func.section));
            }
            // Files are far smaller than 4 GiB.
            let offset = |pc: usize| (place.offset + (pc - func.base) as u64 * SLOT) as u32;
            // A kernel that knows one function of a program wants to know them all.
            let type_id = func.ty.unwrap_or_else(|| {
                let proto = *proto.get_or_insert_with(|| {
                    let int = builder.int("int", 4, IntEncoding::SIGNED);
                    builder.func_proto(int, &[])
                });
                builder.func(&identifier(&func.name), proto, FuncLinkage::Static)
            });
            ext.funcs[at].records.push(FuncRecord {
                insn_off: place.offset as u32,
                type_id,
            });
            for l in func.lines {
                ext.lines[at].records.push(LineRecord {
                    insn_off: offset(l.pc),
                    file: builder.string(&l.file),
                    text: builder.string(&l.text),
                    line: l.line,
                    column: l.column,
                });
            }
            for c in func.core {
                ext.core_relos[at].records.push(CoreRecord {
                    insn_off: offset(c.pc),
                    type_id: TypeId(c.type_id.0),
                    access: builder.string(&c.access),
                    kind: c.kind,
                });
            }
        }
        let ext = ext.to_bytes(builder);
        let btf = builder.to_bytes();
        for (name, bytes) in [(".BTF", btf), (".BTF.ext", ext)] {
            // Without functions there is nothing to say about them, and libbpf minds.
            if name == ".BTF" || !self.funcs.is_empty() {
                let section = self.image.section(name, Content::Note);
                self.image.append(section, &bytes, 4);
            }
        }
    }
}

/// The kernel takes names of C only.
pub(crate) fn identifier(name: &str) -> String {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out: String = name.chars().map(|c| if ok(c) { c } else { '_' }).collect();
    if !out.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        out.insert(0, '_');
    }
    out
}
