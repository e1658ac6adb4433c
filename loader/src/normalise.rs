//! `Verified` → an ELF object in exactly the forms that aya knows.
//!
//! One section a program, under the section names aya parses; subprograms in `.text`, a
//! copy for each program so that no two share an address; maps in the `maps` section, data
//! in `.rodata.N`, `.data.N`, `.bss.N`. CO-RE is applied already, so there is no BTF, but for
//! programs with callbacks: of those Linux wants to know every function's type.

use std::collections::{BTreeMap, BTreeSet};

use object::elf::RelocationType;
use object::write::{Object as Elf, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};
use probity_btf::{Btf, BtfBuilder, BtfExt, ExtSection, FuncRecord, TypeId};
use probity_isa::{CallTarget, Imm64, Insn, to_bytes};
use probity_objfile::{DataKind, Hook, Map, ProgType, Subprog};
use probity_verifier::{Verified, VerifiedProgram};

use crate::Error;

const ARRAY: u32 = 2;
const R_BPF_64_64: u32 = 1;
const R_BPF_64_32: u32 = 10;

/// The object, and the names that its parts have for aya.
pub struct Normalised {
    pub elf: Vec<u8>,
    /// Of the programs that were wanted, in their order.
    pub programs: Vec<String>,
    /// By index into the object's maps; `None` when no program uses it.
    pub maps: Vec<Option<String>>,
}

/// Writes the programs of a proof as one object.
pub fn normalise(verified: &Verified) -> Result<Normalised, Error> {
    normalise_some(verified, &|_| true)
}

/// Whether aya has a name for programs of this kind.
pub(crate) fn is_known(kind: ProgType, hook: &Hook) -> bool {
    section_name(kind, &hook.section, hook.sleepable).is_some()
}

/// Writes those programs of a proof that are wanted, and their maps.
pub(crate) fn normalise_some(
    verified: &Verified,
    wanted: &dyn Fn(&VerifiedProgram) -> bool,
) -> Result<Normalised, Error> {
    let programs: Vec<&VerifiedProgram> = verified
        .programs()
        .iter()
        .map(|p| &**p)
        .filter(|p| wanted(p))
        .collect();
    let object = &verified.relocated().object;
    let mut w = Writer {
        elf: Elf::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little),
        text: None,
        map_section: None,
        program_sections: BTreeMap::new(),
        maps: BTreeMap::new(),
        funcs: Vec::new(),
    };
    let license = object.license.clone().unwrap_or_default();
    w.section(b"license", SectionKind::Data, license.as_bytes(), &[0]);
    if let Some(version) = object.kernel_version {
        w.section(b"version", SectionKind::Data, &version.to_le_bytes(), &[]);
    }
    let mut names = Names::default();
    let (used, addressed) = used_maps(&programs);
    let mut map_names = vec![None; object.maps.len()];
    for (index, map) in object
        .maps
        .iter()
        .enumerate()
        .filter(|(i, _)| used.contains(i))
    {
        map_names[index] = Some(w.map(index, map, addressed.contains(&index), &mut names)?);
    }
    let mut program_names = Vec::new();
    for program in &programs {
        let hook = &object.programs[program.index()].hook;
        if object.programs[program.index()].exception_cb.is_some() {
            return Err(Error::Unsupported {
                program: program.name().into(),
                why: "it names an exception callback, which is lost on the way".into(),
            });
        }
        if crate::symbols::are_open(verified, program) {
            return Err(Error::Unsupported {
                program: program.name().into(),
                why: "it has addresses of kernel symbols, which an object cannot hold".into(),
            });
        }
        let section =
            section_name(program.prog_type(), &hook.section, hook.sleepable).ok_or_else(|| {
                Error::Unsupported {
                    program: program.name().into(),
                    why: format!("aya has no name for programs of section `{}`", hook.section),
                }
            })?;
        program_names.push(w.program(program, &section, &mut names)?);
    }
    if let Some(btf) = &object.btf {
        w.types(btf)?;
    }
    let elf = w.elf.write().map_err(|e| Error::Write(e.to_string()))?;
    Ok(Normalised {
        elf,
        programs: program_names,
        maps: map_names,
    })
}

struct Writer<'a> {
    elf: Elf<'a>,
    text: Option<SectionId>,
    map_section: Option<SectionId>,
    /// By name: aya finds a function's type by its section's name and its place there.
    program_sections: BTreeMap<String, SectionId>,
    /// Section name, byte offset and type of the functions whose types Linux wants.
    funcs: Vec<(String, u64, TypeId)>,
    /// Symbols of maps by index.
    maps: BTreeMap<usize, SymbolId>,
}

impl Writer<'_> {
    fn section(&mut self, name: &[u8], kind: SectionKind, data: &[u8], end: &[u8]) -> SectionId {
        let id = self.elf.add_section(Vec::new(), name.to_vec(), kind);
        self.elf.append_section_data(id, data, 8);
        self.elf.append_section_data(id, end, 1);
        id
    }

    fn symbol(
        &mut self,
        name: &str,
        section: SectionId,
        value: u64,
        size: u64,
        kind: SymbolKind,
    ) -> SymbolId {
        self.elf.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value,
            size,
            kind,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        })
    }

    /// A map's definition, or a data section that aya makes a map of; gives the name it has there.
    fn map(
        &mut self,
        index: usize,
        map: &Map,
        addressed: bool,
        names: &mut Names,
    ) -> Result<String, Error> {
        if let Some(data) = &map.data {
            let (prefix, kind) = match data.kind {
                // Kconfig values are constants by now.
                DataKind::Rodata | DataKind::Kconfig => (".rodata", SectionKind::ReadOnlyData),
                DataKind::Data => (".data", SectionKind::Data),
                DataKind::Bss => (".bss", SectionKind::UninitializedData),
                DataKind::Arena => {
                    return Err(Error::Unsupported {
                        program: map.name.clone(),
                        why: "data in an arena cannot be loaded into Linux yet".into(),
                    });
                }
            };
            let name = format!("{prefix}.{index}");
            let id = self
                .elf
                .add_section(Vec::new(), name.clone().into_bytes(), kind);
            if data.kind == DataKind::Bss {
                self.elf.append_section_bss(id, map.value_size.into(), 8);
            } else {
                self.elf.append_section_data(id, &data.bytes, 8);
            }
            let symbol = self.symbol(
                &format!("data_{index}"),
                id,
                0,
                map.value_size.into(),
                SymbolKind::Data,
            );
            self.maps.insert(index, symbol);
            return Ok(name);
        }
        if addressed {
            // aya gives out addresses of values of data sections only.
            return self.addressed(index, map);
        }
        if map.inner.is_some() {
            return Err(Error::Unsupported {
                program: map.name.clone(),
                why: "maps of maps cannot be loaded into Linux yet".into(),
            });
        }
        let elf = &mut self.elf;
        let id = *self.map_section.get_or_insert_with(|| {
            elf.add_section(Vec::new(), b"maps".to_vec(), SectionKind::Data)
        });
        // struct bpf_map_def with aya's two more words: id, pinning.
        let mut def = Vec::new();
        for word in [
            map.kind,
            map.key_size,
            map.value_size,
            map.max_entries,
            map.flags,
            0,
            0,
        ] {
            def.extend(word.to_le_bytes());
        }
        let offset = self.elf.append_section_data(id, &def, 4);
        let name = names.unique(&map.name);
        let symbol = self.symbol(&name, id, offset, def.len() as u64, SymbolKind::Data);
        self.maps.insert(index, symbol);
        Ok(name)
    }

    /// A map whose value programs reach by address, as a data section: it becomes the same map.
    fn addressed(&mut self, index: usize, map: &Map) -> Result<String, Error> {
        if map.kind != ARRAY || map.max_entries != 1 || map.flags != 0 {
            return Err(Error::Unsupported {
                program: map.name.clone(),
                why: "only arrays of one value can be reached by address".into(),
            });
        }
        let name = format!(".bss.{index}");
        let id = self.elf.add_section(
            Vec::new(),
            name.clone().into_bytes(),
            SectionKind::UninitializedData,
        );
        self.elf.append_section_bss(id, map.value_size.into(), 8);
        let symbol = self.symbol(
            &format!("data_{index}"),
            id,
            0,
            map.value_size.into(),
            SymbolKind::Data,
        );
        self.maps.insert(index, symbol);
        Ok(name)
    }

    fn program(
        &mut self,
        p: &VerifiedProgram,
        section: &str,
        names: &mut Names,
    ) -> Result<String, Error> {
        let whole = [Subprog {
            name: p.name().into(),
            start: 0,
            end: p.insns().len(),
            func: None,
            global: true,
        }];
        let functions: &[Subprog] = if p.subprogs().is_empty() {
            &whole
        } else {
            p.subprogs()
        };
        let callbacks = p.insns().iter().any(|i| {
            matches!(
                i,
                Insn::LoadImm64 {
                    imm: Imm64::Func { .. },
                    ..
                }
            )
        });
        let typed = callbacks && functions.iter().all(|f| f.func.is_some());
        let bytes = to_bytes(p.raw());
        let mut placed: Vec<(SectionId, u64, SymbolId)> = Vec::new();
        let main = names.unique(p.name());
        for (n, function) in functions.iter().enumerate() {
            let code = &bytes[function.start * 8..function.end * 8];
            let elf = &mut self.elf;
            let mut text = |name: &str| elf.add_section(Vec::new(), name.into(), SectionKind::Text);
            let (id, in_section, name) = if n == 0 {
                let known = self.program_sections.entry(section.into());
                (
                    *known.or_insert_with_key(|name| text(name)),
                    section,
                    main.clone(),
                )
            } else {
                let id = *self.text.get_or_insert_with(|| text(".text"));
                (id, ".text", names.unique(&function.name))
            };
            let offset = self.elf.append_section_data(id, code, 8);
            if let Some(func) = function.func.filter(|_| typed) {
                self.funcs.push((in_section.into(), offset, func));
            }
            let symbol = self.symbol(&name, id, offset, code.len() as u64, SymbolKind::Text);
            placed.push((id, offset, symbol));
        }
        for (pc, insn) in p.insns().iter().enumerate() {
            let Some(n) = functions
                .iter()
                .position(|f| (f.start..f.end).contains(&pc))
            else {
                continue;
            };
            let callee = |rel: i64| {
                let target = pc as i64 + 1 + rel;
                functions
                    .iter()
                    .position(|f| f.start as i64 == target)
                    .map(|i| placed[i].2)
            };
            let (symbol, kind, addend) = match insn {
                Insn::LoadImm64 {
                    imm: Imm64::MapIdx(m),
                    ..
                } => (self.maps.get(&(*m as usize)).copied(), R_BPF_64_64, 0),
                Insn::LoadImm64 {
                    imm: Imm64::MapIdxValue { index, off },
                    ..
                } => (
                    self.maps.get(&(*index as usize)).copied(),
                    R_BPF_64_64,
                    *off,
                ),
                Insn::LoadImm64 {
                    imm: Imm64::Func { rel },
                    ..
                } => (callee((*rel).into()), R_BPF_64_64, 0),
                Insn::Call(CallTarget::Subprog { rel }) => {
                    (callee((*rel).into()), R_BPF_64_32, u32::MAX)
                }
                _ => continue,
            };
            let symbol = symbol.ok_or_else(|| {
                Error::Write(format!(
                    "{}: instruction {pc} names nothing known",
                    p.name()
                ))
            })?;
            let (section, base, _) = placed[n];
            let at = base + ((pc - functions[n].start) * 8) as u64;
            self.patch(section, at, insn, addend);
            self.elf
                .add_relocation(
                    section,
                    Relocation {
                        offset: at,
                        symbol,
                        addend: 0,
                        flags: RelocationFlags::Elf {
                            r_type: RelocationType(kind),
                        },
                    },
                )
                .map_err(|e| Error::Write(e.to_string()))?;
        }
        Ok(main)
    }

    /// The types of the functions that want one, and where they are.
    fn types(&mut self, btf: &Btf) -> Result<(), Error> {
        if self.funcs.is_empty() {
            return Ok(());
        }
        let roots: Vec<TypeId> = self.funcs.iter().map(|(_, _, id)| *id).collect();
        let subset = btf
            .subset(&roots, false)
            .map_err(|e| Error::Write(e.to_string()))?;
        let mut by_section: BTreeMap<&str, Vec<FuncRecord>> = BTreeMap::new();
        for (section, offset, id) in &self.funcs {
            by_section.entry(section).or_default().push(FuncRecord {
                insn_off: *offset as u32,
                type_id: subset.ids.get(id).copied().unwrap_or_default(),
            });
        }
        let ext = BtfExt {
            funcs: by_section
                .into_iter()
                .map(|(name, records)| ExtSection {
                    section: name.into(),
                    records,
                })
                .collect(),
            ..BtfExt::default()
        };
        let mut builder = BtfBuilder::from_btf(&subset.btf);
        let ext = ext.to_bytes(&mut builder);
        self.section(b".BTF", SectionKind::Other, &builder.to_bytes(), &[]);
        self.section(b".BTF.ext", SectionKind::Other, &ext, &[]);
        Ok(())
    }

    /// The instruction as a compiler leaves it for the linker: the addend in the immediate,
    /// no pseudo source in a 64-bit immediate.
    fn patch(&mut self, section: SectionId, at: u64, insn: &Insn, addend: u32) {
        let data = self.elf.section_mut(section).data_mut();
        let at = at as usize;
        let wide = matches!(insn, Insn::LoadImm64 { .. });
        if wide && let Some(registers) = data.get_mut(at + 1) {
            *registers &= 0x0f;
        }
        if let Some(imm) = data.get_mut(at + 4..at + 8) {
            imm.copy_from_slice(&addend.to_le_bytes());
        }
        if wide && let Some(high) = data.get_mut(at + 12..at + 16) {
            high.fill(0);
        }
    }
}

/// Names that are the kernel's to accept (letters, digits, `_`, `.`) and all different.
#[derive(Default)]
struct Names(std::collections::HashSet<String>);

impl Names {
    fn unique(&mut self, wanted: &str) -> String {
        let mut clean: String = wanted
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '_' {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        if clean.is_empty() {
            clean.push('_');
        }
        let mut name = clean.clone();
        let mut n = 1;
        while !self.0.insert(name.clone()) {
            // The number first: the kernel keeps only the first 15 characters.
            name = format!("{n}_{clean}");
            n += 1;
        }
        name
    }
}

/// The maps that programs name, and those of them whose values they reach by address.
fn used_maps(programs: &[&VerifiedProgram]) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let (mut used, mut addressed) = (BTreeSet::new(), BTreeSet::new());
    for insn in programs.iter().flat_map(|p| p.insns()) {
        match insn {
            Insn::LoadImm64 {
                imm: Imm64::MapIdx(m),
                ..
            } => {
                used.insert(*m as usize);
            }
            Insn::LoadImm64 {
                imm: Imm64::MapIdxValue { index, .. },
                ..
            } => {
                used.insert(*index as usize);
                addressed.insert(*index as usize);
            }
            _ => {}
        }
    }
    (used, addressed)
}

/// The section name under which aya knows the kind. The kind that was proved decides; the
/// section's own name only chooses among spellings of that kind.
fn section_name(kind: ProgType, section: &str, sleepable: bool) -> Option<String> {
    let section = section.trim_start_matches('?');
    let first = section.split('/').next().unwrap_or("");
    let user = first.starts_with('u') && first != "usdt";
    let ret = first.starts_with("kret") || first.starts_with("uret");
    let name = match kind {
        ProgType::SOCKET_FILTER => "socket",
        ProgType::KPROBE => match (user, ret, sleepable) {
            (true, true, true) => "uretprobe.s",
            (true, true, false) => "uretprobe",
            (true, false, true) => "uprobe.s",
            (true, false, false) => "uprobe",
            (false, true, _) => "kretprobe",
            (false, false, _) => "kprobe",
        },
        ProgType::SCHED_CLS => "classifier",
        ProgType::TRACEPOINT => "tracepoint",
        ProgType::RAW_TRACEPOINT => "raw_tp",
        ProgType::PERF_EVENT => "perf_event",
        ProgType::XDP if first == "xdp.frags" => "xdp.frags",
        ProgType::XDP => "xdp",
        ProgType::CGROUP_SKB if section.ends_with("ingress") => "cgroup_skb/ingress",
        ProgType::CGROUP_SKB if section.ends_with("egress") => "cgroup_skb/egress",
        ProgType::CGROUP_SKB => "cgroup/skb",
        _ => return None,
    };
    Some(name.to_string())
}
