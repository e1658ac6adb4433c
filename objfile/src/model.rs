//! The types an object file is parsed into.

use std::fmt;
use std::sync::Arc;

use probity_btf::{Btf, TypeId};
use probity_isa::{Pc, RawInsn};

use crate::{Error, Hook, ProgType};

/// One extension object, as read. Nothing in it is trusted.
#[derive(Clone)]
pub struct Object {
    /// File stem or the name given when it was built; for people.
    pub name: String,
    /// The ELF bytes it came from (empty for objects built in memory and never written).
    pub elf: Arc<[u8]>,
    /// The `license` section, without its final NUL.
    pub license: Option<String>,
    /// The `version` section.
    pub kernel_version: Option<u32>,
    pub programs: Vec<Program>,
    /// Every map, `.rodata`, `.data`, `.bss`, `.kconfig` ones included; `Imm64::MapIdx` counts in here.
    pub maps: Vec<Map>,
    /// The object's own types.
    pub btf: Option<Arc<Btf>>,
    /// `extern` kernel variables and functions, resolved by [`crate::relocate`].
    pub externs: Vec<Extern>,
    /// `SEC("struct_ops")`, `SEC(".struct_ops.link")` variables: recognised, one entry a variable.
    pub struct_ops: Vec<StructOps>,
}

/// One program with every subprogram it can reach, linked into one instruction sequence:
/// the main function first, then each subprogram once.
///
/// Map references are `BPF_PSEUDO_MAP_IDX`/`_MAP_IDX_VALUE` with the index into [`Object::maps`];
/// calls between subprograms are already relative. CO-RE and extern relocations are
/// still to be applied: they are data in `core_relocs` and `extern_refs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Function name.
    pub name: String,
    pub hook: Hook,
    pub insns: Vec<RawInsn>,
    /// Start slots ascending; the first is the main function at 0.
    pub subprogs: Vec<Subprog>,
    /// Ascending by `pc`.
    pub lines: Vec<Line>,
    pub core_relocs: Vec<CoreReloc>,
    pub extern_refs: Vec<ExternRef>,
    /// Jump tables for `gotox`: targets as slots of this program.
    pub jump_tables: Vec<JumpTable>,
    /// Index into `subprogs` of the function that handles exceptions (`__exception_cb`).
    pub exception_cb: Option<usize>,
}

/// Licences under which Linux lets programs call all helpers (`license_is_gpl_compatible`).
pub const GPL_COMPATIBLE: [&str; 6] = [
    "GPL",
    "GPL v2",
    "GPL and additional rights",
    "Dual BSD/GPL",
    "Dual MIT/GPL",
    "Dual MPL/GPL",
];

/// A function inside a [`Program`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subprog {
    pub name: String,
    pub start: Pc,
    /// One past the last slot.
    pub end: Pc,
    /// Its `BTF_KIND_FUNC` in [`Object::btf`].
    pub func: Option<TypeId>,
    /// Global functions are verified on their own against their prototype.
    pub global: bool,
}

/// A source line, from `.BTF.ext`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub pc: Pc,
    pub file: Arc<str>,
    /// 1-based.
    pub line: u32,
    /// 1-based; 0 when unknown.
    pub column: u32,
    /// The line's text as the compiler saw it; may be empty.
    pub text: Arc<str>,
}

/// A CO-RE relocation (`struct bpf_core_relo`) with its place in the linked program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreReloc {
    pub pc: Pc,
    /// In [`Object::btf`].
    pub type_id: TypeId,
    /// `"0:1:2"`.
    pub access: String,
    /// `enum bpf_core_relo_kind`.
    pub kind: u32,
}

/// An instruction that names an `extern`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternRef {
    pub pc: Pc,
    /// Index into [`Object::externs`].
    pub index: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extern {
    pub name: String,
    pub kind: ExternKind,
    pub weak: bool,
    /// Its type in [`Object::btf`]: a FUNC for kfuncs, a VAR for variables.
    pub type_id: Option<TypeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExternKind {
    /// A kernel function (`__ksym` function).
    Kfunc,
    /// A kernel variable (`__ksym`), typed when its type is not `void`.
    Ksym { typed: bool },
    /// A `CONFIG_…`, `LINUX_KERNEL_VERSION`, `LINUX_HAS_…` variable, at this offset of the `.kconfig` map.
    Kconfig { map: usize, offset: u32, size: u32 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JumpTable {
    /// Index of the map that holds it, when it is a map.
    pub map: Option<usize>,
    pub targets: Vec<Pc>,
}

/// A map definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    pub name: String,
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    pub max_entries: u32,
    /// `BPF_F_…` of map creation.
    pub flags: u32,
    pub map_extra: u64,
    pub numa_node: Option<u32>,
    /// `LIBBPF_PIN_BY_NAME`.
    pub pinned: bool,
    /// Types of key and value in [`Object::btf`].
    pub key_type: Option<TypeId>,
    pub value_type: Option<TypeId>,
    /// What the map is made from, for data sections.
    pub data: Option<DataSection>,
    /// Definition of the inner map of a map-in-map.
    pub inner: Option<Box<Map>>,
    /// Static initialisers of maps-in-maps and program arrays: slot → what.
    pub initial: Vec<(u32, Initial)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Initial {
    /// Index into [`Object::maps`].
    Map(usize),
    /// Name of a program of this object.
    Program(String),
}

/// A data section that became a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSection {
    pub kind: DataKind,
    /// Section name: `.rodata`, `.data.foo`, …
    pub section: String,
    /// Initial bytes, `value_size` of them; zeros for `.bss`.
    pub bytes: Vec<u8>,
    /// `BTF_KIND_DATASEC`.
    pub datasec: Option<TypeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// Frozen before programs run: its bytes are constants to the verifier.
    Rodata,
    Data,
    Bss,
    Kconfig,
    /// Initial bytes of the object's arena; the map is the arena itself.
    Arena,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructOps {
    pub name: String,
    /// The kernel structure implemented, e.g. `tcp_congestion_ops`.
    pub type_name: String,
    pub link: bool,
    /// `?` before the section name: not created unless asked for.
    pub optional: bool,
    /// The type in [`Object::btf`].
    pub type_id: TypeId,
    /// Initial bytes of the structure, function pointers being 0.
    pub bytes: Vec<u8>,
    /// Member name → program name.
    pub members: Vec<(String, String)>,
}

/// An [`Object`] whose CO-RE and extern relocations were applied for one target.
/// Instructions hold target BTF ids for kfuncs and kernel variables.
#[derive(Clone, Debug)]
pub struct Relocated {
    pub object: Object,
    /// Per program, slots whose CO-RE relocation failed; the instruction there was poisoned
    /// with a call to a helper that does not exist (`0xbad2310`), as libbpf does: fine when dead.
    pub poisoned: Vec<Vec<Poisoned>>,
    /// Per program, why it could not be relocated; its instructions are as they were and it must
    /// not be loaded or verified. The other programs of the object are not concerned.
    pub failed: Vec<Option<Error>>,
    /// Per program, where it loads addresses of symbols that only the running kernel knows: of type 0 until it is loaded.
    pub symbols: Vec<Vec<Symbol>>,
}

/// An instruction that loads the address of a kernel symbol without a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    pub pc: Pc,
    pub name: String,
    /// It may be missing; then its address is 0.
    pub weak: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poisoned {
    pub pc: Pc,
    /// What was looked for and not found, for the message.
    pub what: String,
}

impl Object {
    pub fn program(&self, name: &str) -> Option<&Program> {
        self.programs.iter().find(|p| p.name == name)
    }
}

impl Program {
    pub fn prog_type(&self) -> Option<ProgType> {
        self.hook.prog_type
    }

    /// The line that `pc` belongs to.
    pub fn line_at(&self, pc: Pc) -> Option<&Line> {
        let n = self.lines.partition_point(|l| l.pc <= pc);
        self.lines[..n].last()
    }
}

impl Map {
    /// A map without types, flags or data; sizes in bytes.
    pub fn new(name: &str, kind: u32, key_size: u32, value_size: u32, max_entries: u32) -> Map {
        Map {
            name: name.into(),
            kind,
            key_size,
            value_size,
            max_entries,
            flags: 0,
            map_extra: 0,
            numa_node: None,
            pinned: false,
            key_type: None,
            value_type: None,
            data: None,
            inner: None,
            initial: Vec::new(),
        }
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("name", &self.name)
            .field("elf", &format_args!("{} bytes", self.elf.len()))
            .field("license", &self.license)
            .field("kernel_version", &self.kernel_version)
            .field("programs", &self.programs)
            .field("maps", &self.maps)
            .field("btf", &self.btf)
            .field("externs", &self.externs)
            .field("struct_ops", &self.struct_ops)
            .finish()
    }
}

impl PartialEq for Object {
    /// Equal in all but the bytes they came from; types are the same when their ids are used alike.
    fn eq(&self, other: &Object) -> bool {
        self.license == other.license
            && self.kernel_version == other.kernel_version
            && self.programs == other.programs
            && self.maps == other.maps
            && self.externs == other.externs
            && self.struct_ops == other.struct_ops
    }
}
