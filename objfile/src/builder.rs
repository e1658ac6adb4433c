//! Instructions, maps and data made in memory → [`Object`], with types generated for what has none.
//!
//! The script compiler makes its objects here. Instructions refer to maps by the index that
//! [`ObjectBuilder::add_map`] and [`ObjectBuilder::add_data`] gave (`BPF_PSEUDO_MAP_IDX`,
//! `BPF_PSEUDO_MAP_IDX_VALUE`), to other functions of the program by relative calls.

use std::sync::Arc;

use probity_btf::{BtfBuilder, FuncLinkage, IntEncoding, SecVar, TypeId, VarLinkage};
use probity_isa::{Insn, Pc, RawInsn, encode};

use crate::data::data_map;
use crate::{
    DataKind, DataSection, Error, Extern, ExternKind, ExternRef, Hook, Line, Map, Object, Program,
    Subprog,
};

/// A program to be added.
#[derive(Clone, Debug, Default)]
pub struct ProgramDef {
    /// Function name: an identifier of C.
    pub name: String,
    /// Section name: `tp/syscalls/sys_enter_openat`.
    pub section: String,
    /// Everything, subprograms included.
    pub insns: Vec<RawInsn>,
    /// Name and first slot of each subprogram after the main function, ascending.
    pub subprogs: Vec<(String, Pc)>,
    /// Ascending by `pc`.
    pub lines: Vec<Line>,
    /// Calls of functions that another object defines, ascending: the slot of each (`BPF_PSEUDO_CALL`, -1), and what
    /// [`ObjectBuilder::add_function`] gave.
    pub calls: Vec<(Pc, usize)>,
}

impl ProgramDef {
    /// A program of one function.
    pub fn new(name: &str, section: &str, insns: &[Insn]) -> Result<ProgramDef, Error> {
        let insns = encode(insns).map_err(|e| Error::program(name, e.to_string()))?;
        Ok(ProgramDef {
            name: name.into(),
            section: section.into(),
            insns,
            ..ProgramDef::default()
        })
    }
}

/// A data section that grows.
struct Data {
    map: usize,
    bytes: Vec<u8>,
    vars: Vec<SecVar>,
}

pub struct ObjectBuilder {
    object: Object,
    types: BtfBuilder,
    data: Vec<Data>,
    int: Option<TypeId>,
    byte: Option<TypeId>,
    context: Option<TypeId>,
}

impl ObjectBuilder {
    /// `name` is for people: a file's stem.
    pub fn new(name: &str) -> ObjectBuilder {
        ObjectBuilder {
            object: Object {
                name: name.into(),
                elf: Arc::from([]),
                license: None,
                kernel_version: None,
                programs: Vec::new(),
                maps: Vec::new(),
                btf: None,
                externs: Vec::new(),
                struct_ops: Vec::new(),
            },
            types: BtfBuilder::new(),
            data: Vec::new(),
            int: None,
            byte: None,
            context: None,
        }
    }

    pub fn license(&mut self, license: &str) -> &mut Self {
        self.object.license = Some(license.into());
        self
    }

    /// The types of the object, to add those of keys and values to.
    pub fn types(&mut self) -> &mut BtfBuilder {
        &mut self.types
    }

    /// Adds a map and says how instructions name it.
    pub fn add_map(&mut self, map: Map) -> usize {
        self.object.maps.push(map);
        self.object.maps.len() - 1
    }

    /// A function that another object defines, to be linked with this one ([`crate::link`]).
    pub fn add_function(&mut self, name: &str) -> usize {
        self.object.externs.push(Extern {
            name: name.into(),
            kind: ExternKind::Kfunc,
            weak: false,
            type_id: None,
        });
        self.object.externs.len() - 1
    }

    /// Adds constant bytes: the map that holds them and their place in it.
    pub fn add_rodata(&mut self, name: &str, bytes: &[u8]) -> Result<(usize, u32), Error> {
        self.add_data(DataKind::Rodata, ".rodata", name, bytes, 8)
    }

    /// Adds a variable to a data section (`.data`, `.bss`, `.rodata.foo`, …), in which `bytes` are
    /// its initial value; `align` is a power of two. A variable without a name is not described.
    pub fn add_data(
        &mut self,
        kind: DataKind,
        section: &str,
        name: &str,
        bytes: &[u8],
        align: u32,
    ) -> Result<(usize, u32), Error> {
        if !align.is_power_of_two() || align > 4096 {
            return Err(Error::section(section, format!("an alignment of {align}")));
        }
        let maps = &self.object.maps;
        let found = self.data.iter().position(|d| maps[d.map].name == section);
        let at = match found {
            Some(at) => at,
            None => {
                let map = data_map(
                    None,
                    DataSection {
                        kind,
                        section: section.into(),
                        bytes: Vec::new(),
                        datasec: None,
                    },
                );
                self.data.push(Data {
                    map: self.object.maps.len(),
                    bytes: Vec::new(),
                    vars: Vec::new(),
                });
                self.object.maps.push(map);
                self.data.len() - 1
            }
        };
        let data = &mut self.data[at];
        let too_big = |size: usize| Error::TooBig {
            what: format!("section `{section}`, in bytes"),
            size: size as u64,
            max: 64 << 20,
        };
        let place = data.bytes.len().next_multiple_of(align as usize);
        let end = place.saturating_add(bytes.len());
        if end > 64 << 20 {
            return Err(too_big(end));
        }
        data.bytes.resize(place, 0);
        data.bytes.extend_from_slice(bytes);
        let map = data.map;
        let (offset, size) = (place as u32, bytes.len() as u32);
        if !name.is_empty() {
            let int = self.int();
            let types = &mut self.types;
            let byte = *self
                .byte
                .get_or_insert_with(|| types.int("char", 1, IntEncoding::SIGNED));
            let array = self.types.array(byte, int, size);
            let var = self.types.var(name, array, VarLinkage::Static);
            self.data[at].vars.push(SecVar { var, offset, size });
        }
        Ok((map, offset))
    }

    /// Adds a program and says its index. Each of its functions gets a `BTF_KIND_FUNC`.
    pub fn add_program(&mut self, def: ProgramDef) -> Result<usize, Error> {
        let len = def.insns.len();
        let starts: Vec<Pc> = def
            .subprogs
            .iter()
            .map(|&(_, at)| at)
            .chain([len])
            .collect();
        if starts[0] == 0 || !starts.is_sorted_by(|a, b| a < b) {
            return Err(Error::program(
                &def.name,
                "its functions are not one after another",
            ));
        }
        if self.object.programs.iter().any(|p| p.name == def.name) {
            return Err(Error::program(
                &def.name,
                "there are two programs of that name",
            ));
        }
        let mut subprogs = Vec::with_capacity(starts.len());
        let mut start = 0;
        for (i, &end) in starts.iter().enumerate() {
            let name = match i {
                0 => def.name.clone(),
                _ => def.subprogs[i - 1].0.clone(),
            };
            let func = self.func(&name, i == 0);
            subprogs.push(Subprog {
                name,
                start,
                end,
                func: Some(func),
                global: i == 0,
            });
            start = end;
        }
        self.object.programs.push(Program {
            name: def.name,
            hook: Hook::parse(&def.section),
            insns: def.insns,
            subprogs,
            lines: def.lines,
            core_relocs: Vec::new(),
            extern_refs: def
                .calls
                .iter()
                .map(|&(pc, index)| ExternRef { pc, index })
                .collect(),
            jump_tables: Vec::new(),
            exception_cb: None,
        });
        Ok(self.object.programs.len() - 1)
    }

    fn int(&mut self) -> TypeId {
        *self
            .int
            .get_or_insert_with(|| self.types.int("int", 4, IntEncoding::SIGNED))
    }

    /// `int NAME(void *ctx)` for programs, `static int NAME(void)` for subprograms.
    fn func(&mut self, name: &str, main: bool) -> TypeId {
        let int = self.int();
        if !main {
            let proto = self.types.func_proto(int, &[]);
            return self.types.func(name, proto, FuncLinkage::Static);
        }
        let context = *self
            .context
            .get_or_insert_with(|| self.types.ptr(TypeId::VOID));
        let proto = self.types.func_proto(int, &[("ctx", context)]);
        self.types.func(name, proto, FuncLinkage::Global)
    }

    /// The object. It has no ELF bytes yet: [`crate::write`] makes them.
    pub fn build(mut self) -> Result<Object, Error> {
        for data in self.data {
            let map = &mut self.object.maps[data.map];
            let size = data.bytes.len() as u32;
            let datasec =
                (!data.vars.is_empty()).then(|| self.types.datasec(&map.name, size, &data.vars));
            map.value_size = size;
            map.value_type = datasec;
            if let Some(section) = &mut map.data {
                section.bytes = data.bytes;
                section.datasec = datasec;
            }
        }
        let btf = self.types.build().map_err(|error| Error::Btf {
            section: ".BTF",
            error,
        })?;
        self.object.btf = Some(Arc::new(btf));
        Ok(self.object)
    }
}
