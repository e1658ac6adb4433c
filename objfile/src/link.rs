//! Functions of executable sections → [`Program`]s: each main function with every subprogram it
//! can reach behind it, calls made relative, references turned into map and extern indices.
//!
//! Subprograms follow in the order in which libbpf appends them (depth first, by first reference),
//! so instruction numbers are the same as in a kernel log of the same object.

mod tables;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use probity_btf::{Btf, BtfExt, Kind, LineRecord, Type, TypeId};
use probity_isa::{Pc, RawInsn};

use crate::elf::{Elf, Reloc, SLOT};
use crate::functions::Func;
use crate::maps::Place;
use crate::{CoreReloc, Error, ExternRef, Hook, Line, Map, Program, Subprog};

/// Slots of all linked programs together: the kernel takes a million instructions a program, and
/// real objects have a tenth of that in all.
const MAX_SLOTS: usize = 4 << 20;

pub(crate) const LD_IMM64: u8 = 0x18;
pub(crate) const CALL: u8 = 0x85;
pub(crate) const PSEUDO_CALL: u8 = 1;
pub(crate) const PSEUDO_FUNC: u8 = 4;
pub(crate) const PSEUDO_MAP_IDX: u8 = 5;
pub(crate) const PSEUDO_MAP_IDX_VALUE: u8 = 6;
/// `BPF_MAP_TYPE_INSN_ARRAY`.
pub(crate) const INSN_ARRAY: u32 = 34;
pub(crate) const JUMP_TABLES: &str = ".jumptables";

/// What the linker needs of the rest of the object.
pub(crate) struct Linker<'a> {
    pub elf: &'a Elf<'a>,
    pub funcs: &'a [Func],
    pub btf: Option<&'a Btf>,
    pub ext: Option<&'a BtfExt>,
    /// Of `maps`, as far as defined in a map section.
    pub places: &'a [Place],
    /// (section, map) of data sections.
    pub data: &'a [(usize, usize)],
    /// Symbol → extern.
    pub externs: &'a HashMap<usize, usize>,
}

/// What an instruction refers to.
enum Ref {
    Map(usize),
    Value { map: usize, addend: u64 },
    Func { section: usize, slot: i64 },
    Extern(usize),
    JumpTable { symbol: usize },
}

/// The records of `.BTF.ext` that belong to one section, by slot.
#[derive(Default)]
struct Info<'a> {
    funcs: BTreeMap<usize, TypeId>,
    lines: Vec<(usize, &'a LineRecord)>,
    core: Vec<(usize, CoreReloc)>,
}

impl<'a> Linker<'a> {
    /// Links the programs whose main functions `mains` are (indices into `funcs`). Jump tables
    /// become maps.
    pub fn link(&self, mains: &[usize], maps: &mut Vec<Map>) -> Result<Vec<Program>, Error> {
        let infos = self.infos()?;
        let mut files = HashMap::new();
        let mut total = 0;
        let mut programs = Vec::with_capacity(mains.len());
        for &main in mains {
            let mut link = Link {
                linker: self,
                infos: &infos,
                strings: &mut files,
                maps,
                budget: MAX_SLOTS - total,
                program: Program {
                    name: self.funcs[main].name.clone(),
                    hook: Hook::parse(self.elf.section_name(self.funcs[main].section)),
                    insns: Vec::new(),
                    subprogs: Vec::new(),
                    lines: Vec::new(),
                    core_relocs: Vec::new(),
                    extern_refs: Vec::new(),
                    jump_tables: Vec::new(),
                    exception_cb: None,
                },
                placed: HashMap::new(),
                tables: Vec::new(),
            };
            link.reach(main)?;
            link.exception_callback(main)?;
            link.jump_tables()?;
            let mut program = link.program;
            // Callees were finished before what stands behind their calls.
            program.extern_refs.sort_by_key(|r| r.pc);
            total += program.insns.len();
            programs.push(program);
        }
        Ok(programs)
    }

    fn infos(&self) -> Result<HashMap<usize, Info<'a>>, Error> {
        let mut infos: HashMap<usize, Info<'a>> = HashMap::new();
        let (Some(ext), Some(btf)) = (self.ext, self.btf) else {
            return Ok(infos);
        };
        let broken = |what| Error::Btf {
            section: ".BTF.ext",
            error: probity_btf::Error::Ext(what),
        };
        let slot = |bytes: u32| match u64::from(bytes) % SLOT {
            0 => Ok((u64::from(bytes) / SLOT) as usize),
            _ => Err(broken("a record is not about a whole instruction")),
        };
        for s in &ext.funcs {
            let Some(section) = self.elf.find(&s.section) else {
                continue;
            };
            let info = infos.entry(section).or_default();
            for r in &s.records {
                info.funcs.insert(slot(r.insn_off)?, r.type_id);
            }
        }
        for s in &ext.lines {
            let Some(section) = self.elf.find(&s.section) else {
                continue;
            };
            let info = infos.entry(section).or_default();
            for r in &s.records {
                info.lines.push((slot(r.insn_off)?, r));
            }
        }
        for s in &ext.core_relos {
            let Some(section) = self.elf.find(&s.section) else {
                continue;
            };
            let info = infos.entry(section).or_default();
            for r in &s.records {
                let access = btf
                    .str_at(r.access)
                    .ok_or_else(|| broken("a CO-RE relocation's access string is not a string"))?;
                let core = CoreReloc {
                    pc: 0,
                    type_id: r.type_id,
                    access: access.to_owned(),
                    kind: r.kind,
                };
                info.core.push((slot(r.insn_off)?, core));
            }
        }
        for info in infos.values_mut() {
            info.lines.sort_by_key(|&(at, _)| at);
            info.core.sort_by_key(|&(at, _)| at);
        }
        Ok(infos)
    }

    /// The function that begins at a place.
    fn func_at(&self, section: usize, slot: i64) -> Option<usize> {
        let slot = usize::try_from(slot).ok()?;
        self.funcs
            .binary_search_by_key(&(section, slot), |f| (f.section, f.start))
            .ok()
    }

    fn resolve(&self, section: usize, reloc: &Reloc, insn: RawInsn) -> Result<Ref, Error> {
        let elf = self.elf;
        let error = |what: String| Err(elf.reloc_error(section, reloc, what));
        let Some(symbol) = elf.symbols.get(reloc.symbol) else {
            return error("no such symbol".into());
        };
        if insn.opcode != LD_IMM64 && insn.opcode != CALL {
            return error(format!(
                "an instruction with opcode {:#04x} cannot be relocated",
                insn.opcode
            ));
        }
        if let Some(&index) = self.externs.get(&reloc.symbol) {
            return Ok(Ref::Extern(index));
        }
        let value = i64::try_from(symbol.value).unwrap_or(i64::MAX);
        let addend = i64::from(insn.imm).saturating_add(reloc.addend);
        let Some(target) = elf
            .sections
            .get(symbol.section)
            .filter(|_| symbol.section != 0)
        else {
            return error("the symbol is not defined in this object".into());
        };
        if insn.opcode == CALL {
            if insn.src != PSEUDO_CALL {
                return error("a call of a helper cannot be relocated".into());
            }
            if !target.is_exec() || value % SLOT as i64 != 0 {
                return error("it is not a function".into());
            }
            let slot = (value / SLOT as i64)
                .saturating_add(addend)
                .saturating_add(1);
            return Ok(Ref::Func {
                section: symbol.section,
                slot,
            });
        }
        if target.is_exec() {
            let at = value.saturating_add(addend);
            if at % SLOT as i64 != 0 {
                return error("it is not a function".into());
            }
            return Ok(Ref::Func {
                section: symbol.section,
                slot: at / SLOT as i64,
            });
        }
        if target.name == JUMP_TABLES {
            return Ok(Ref::JumpTable {
                symbol: reloc.symbol,
            });
        }
        if let Some(&(_, map)) = self.data.iter().find(|(s, _)| *s == symbol.section) {
            // Addresses exist only when the maps do; libbpf leaves zeros there without a word.
            if let Some(pointer) = elf.relocs(symbol.section).first() {
                let what = "a pointer in data that a program uses cannot have an initial value";
                return Err(elf.reloc_error(symbol.section, pointer, what));
            }
            return Ok(Ref::Value {
                map,
                addend: symbol.value,
            });
        }
        // Map structures have no parts to point to; a section symbol carries the place in the instruction.
        let at = value.saturating_add(if symbol.is_section() { addend } else { 0 });
        let place = |p: &Place| p.section == symbol.section && i64::try_from(p.offset) == Ok(at);
        if let Some(map) = self.places.iter().position(place) {
            return Ok(Ref::Map(map));
        }
        if self.places.iter().any(|p| p.section == symbol.section) {
            return error("no map is defined there".into());
        }
        error(format!("section `{}` cannot be referred to", target.name))
    }
}

/// One program while it is linked.
struct Link<'l, 'a> {
    linker: &'l Linker<'a>,
    infos: &'l HashMap<usize, Info<'a>>,
    strings: &'l mut HashMap<u32, Arc<str>>,
    maps: &'l mut Vec<Map>,
    /// Slots that may still be used.
    budget: usize,
    program: Program,
    /// Function → index into `program.subprogs`.
    placed: HashMap<usize, usize>,
    /// Where jump tables are loaded: pc, symbol, addend.
    tables: Vec<(Pc, usize, i32)>,
}

impl Link<'_, '_> {
    fn error(&self, what: impl Into<String>) -> Error {
        Error::program(&self.program.name, what)
    }

    /// Places a function and all that it can reach.
    fn reach(&mut self, func: usize) -> Result<(), Error> {
        if self.placed.contains_key(&func) {
            return Ok(());
        }
        // (function, its place in the program, next slot inside it); a stack of our own, because
        // chains of calls may be as long as the file.
        let mut stack = vec![(func, self.place(func)?, 0)];
        while let Some((func, base, next)) = stack.pop() {
            let len = self.linker.funcs[func].len;
            let mut i = next;
            while i < len {
                let insn = self.program.insns[base + i];
                let slots = if insn.opcode == LD_IMM64 { 2 } else { 1 };
                if i + slots > len {
                    return Err(self.error("its last instruction is cut off"));
                }
                if let Some(callee) = self.instruction(func, base, i)?
                    && !self.placed.contains_key(&callee)
                {
                    // Come back to this instruction when the callee is placed, with all behind it.
                    stack.push((func, base, i));
                    stack.push((callee, self.place(callee)?, 0));
                    break;
                }
                i += slots;
            }
        }
        Ok(())
    }

    /// Copies a function to the end of the program.
    fn place(&mut self, func: usize) -> Result<usize, Error> {
        let linker = self.linker;
        let f = &linker.funcs[func];
        let base = self.program.insns.len();
        if base + f.len > self.budget {
            return Err(Error::TooBig {
                what: format!(
                    "instructions of all linked programs, at `{}`",
                    self.program.name
                ),
                size: (MAX_SLOTS - self.budget + base + f.len) as u64,
                max: MAX_SLOTS as u64,
            });
        }
        let bytes = linker.elf.sections[f.section].bytes()?;
        let from = f.start * SLOT as usize;
        let bytes = bytes
            .get(from..from + f.len * SLOT as usize)
            .ok_or_else(|| Error::section(linker.elf.section_name(f.section), "truncated"))?;
        let (slots, _) = bytes.as_chunks::<8>();
        self.program
            .insns
            .extend(slots.iter().map(|&b| RawInsn::from_bytes(b)));

        let end = f.start + f.len;
        let mut described = None;
        if let Some(info) = self.infos.get(&f.section) {
            described = info.funcs.get(&f.start).copied();
            let from = info.lines.partition_point(|&(at, _)| at < f.start);
            for &(at, line) in info.lines[from..].iter().take_while(|&&(at, _)| at < end) {
                let line = Line {
                    pc: at - f.start + base,
                    file: self.string(line.file),
                    line: line.line,
                    column: line.column,
                    text: self.string(line.text),
                };
                self.program.lines.push(line);
            }
            let from = info.core.partition_point(|&(at, _)| at < f.start);
            for (at, core) in info.core[from..].iter().take_while(|&&(at, _)| at < end) {
                self.program.core_relocs.push(CoreReloc {
                    pc: at - f.start + base,
                    ..core.clone()
                });
            }
        }
        let is_func = |id: &TypeId| {
            linker
                .btf
                .is_some_and(|btf| btf.kind(*id) == Some(Kind::Func))
        };
        let ty = described
            .or_else(|| linker.btf.and_then(|btf| btf.find_func(&f.name)))
            .filter(is_func);
        self.placed.insert(func, self.program.subprogs.len());
        self.program.subprogs.push(Subprog {
            name: f.name.clone(),
            start: base,
            end: base + f.len,
            func: ty,
            // Without a prototype there is nothing to verify a global function against.
            global: f.bind_global && !f.hidden && ty.is_some(),
        });
        Ok(base)
    }

    fn string(&mut self, offset: u32) -> Arc<str> {
        let linker = self.linker;
        self.strings
            .entry(offset)
            .or_insert_with(|| {
                linker
                    .btf
                    .and_then(|btf| btf.str_at(offset))
                    .unwrap_or("")
                    .into()
            })
            .clone()
    }

    /// Rewrites what one instruction refers to. Answers with a function that must be placed
    /// before the instruction can be finished, or that already is.
    fn instruction(&mut self, func: usize, base: Pc, i: usize) -> Result<Option<usize>, Error> {
        let linker = self.linker;
        let f = &linker.funcs[func];
        let (pc, slot) = (base + i, f.start + i);
        let insn = self.program.insns[pc];
        let relocs = linker.elf.relocs(f.section);
        let offset = slot as u64 * SLOT;
        let at = relocs.partition_point(|r| r.offset < offset);
        let here = relocs[at..].iter().take_while(|r| r.offset < offset + SLOT);
        let mut here = here.filter(|r| r.kind != 0);
        let reloc = here.next();
        if let Some(second) = here.next() {
            return Err(linker.elf.reloc_error(
                f.section,
                second,
                "the instruction has two relocations",
            ));
        }
        if let Some(r) = reloc
            && r.offset != offset
        {
            return Err(linker
                .elf
                .reloc_error(f.section, r, "it is inside an instruction"));
        }
        let target = match reloc {
            Some(reloc) => linker.resolve(f.section, reloc, insn)?,
            // Calls within a section come without relocations, from an assembler addresses of functions too.
            None if insn.opcode == CALL && insn.src == PSEUDO_CALL
                || insn.opcode == LD_IMM64 && insn.src == PSEUDO_FUNC =>
            {
                Ref::Func {
                    section: f.section,
                    slot: slot as i64 + 1 + i64::from(insn.imm),
                }
            }
            None => return Ok(None),
        };
        match target {
            Ref::Func { section, slot } => {
                let Some(callee) = linker.func_at(section, slot) else {
                    return Err(self.error(format!(
                        "instruction {i} of `{}` refers to slot {slot} of section `{}`, where no function begins",
                        f.name,
                        linker.elf.section_name(section)
                    )));
                };
                if let Some(&index) = self.placed.get(&callee) {
                    // Both forms count from the instruction after the (first) slot. Programs are
                    // far smaller than 2^31.
                    let rel = (self.program.subprogs[index].start as i64 - pc as i64 - 1) as i32;
                    let insn = &mut self.program.insns[pc];
                    insn.imm = rel;
                    if insn.opcode == LD_IMM64 {
                        insn.src = PSEUDO_FUNC;
                        self.program.insns[pc + 1].imm = 0;
                    }
                }
                return Ok(Some(callee));
            }
            Ref::Extern(index) => self.program.extern_refs.push(ExternRef { pc, index }),
            Ref::Map(map) => self.map_ref(pc, PSEUDO_MAP_IDX, map, 0),
            Ref::Value { map, addend } => {
                let more = i64::from(insn.imm).saturating_add(reloc.map_or(0, |r| r.addend));
                let addend = i128::from(addend) + i128::from(more);
                let size = self.maps[map].data.as_ref().map_or(0, |d| d.bytes.len());
                // One past the end is C's to point to.
                let off = u32::try_from(addend)
                    .ok()
                    .filter(|&off| off as usize <= size);
                let Some(off) = off else {
                    return Err(self.error(format!(
                        "instruction {i} of `{}` refers to byte {addend} of `{}`, which has {size}",
                        f.name, self.maps[map].name
                    )));
                };
                self.map_ref(pc, PSEUDO_MAP_IDX_VALUE, map, off);
            }
            Ref::JumpTable { symbol } => self.tables.push((pc, symbol, insn.imm)),
        }
        Ok(None)
    }

    fn map_ref(&mut self, pc: Pc, src: u8, map: usize, off: u32) {
        let [first, second] = [pc, pc + 1];
        self.program.insns[first].src = src;
        self.program.insns[first].imm = map as i32;
        self.program.insns[second].imm = off as i32;
    }

    /// `__exception_cb(NAME)` on the main function names a function that is reached without a call.
    fn exception_callback(&mut self, main: usize) -> Result<(), Error> {
        let linker = self.linker;
        let Some((btf, id)) = linker.btf.zip(self.program.subprogs[0].func) else {
            return Ok(());
        };
        let name = btf.types().find_map(|(_, ty)| match ty {
            Type::DeclTag {
                target,
                component: None,
                value,
                ..
            } if target == id => value.strip_prefix("exception_callback:"),
            _ => None,
        });
        let Some(name) = name else { return Ok(()) };
        let callback = linker
            .funcs
            .iter()
            .position(|f| f.name == name && f.bind_global)
            .filter(|&f| f != main)
            .ok_or_else(|| {
                self.error(format!(
                    "its exception callback `{name}` is not a global function"
                ))
            })?;
        self.reach(callback)?;
        self.program.exception_cb = self.placed.get(&callback).copied();
        Ok(())
    }
}
