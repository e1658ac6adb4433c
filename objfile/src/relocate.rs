//! [`Object`] × a target's types, configuration and symbols → [`Relocated`]: CO-RE and extern
//! relocations applied.
//!
//! A program that cannot be relocated does not spoil the others: the reason is in
//! [`Relocated::failed`]. A CO-RE relocation whose field or type the target does not have is no
//! failure either, but poisons its instruction, as does a call of a weak kernel function that is
//! not there.
//!
//! **Invariant:** the target's BTF ids appear in instructions of `Relocated` only, never in an `Object`.

use std::collections::BTreeMap;

use probity_btf::core::{self, CandidateCache, Patch, RelocKind, Relocation, Resolution};
use probity_btf::{Btf, Kind, Type, TypeId, essential_name};
use probity_isa::RawInsn;

use crate::link::{CALL, LD_IMM64, PSEUDO_MAP_IDX_VALUE};
use crate::{
    CoreReloc, Error, Extern, ExternKind, Object, Poisoned, Program, Relocated, Symbol, kconfig,
};

/// `BPF_PSEUDO_KFUNC_CALL`.
const PSEUDO_KFUNC_CALL: u8 = 2;
/// `BPF_PSEUDO_BTF_ID`.
const PSEUDO_BTF_ID: u8 = 3;
/// The helper that is "called" where a CO-RE relocation failed: 0xbad2310.
pub const POISON: i32 = 0xbad_2310;
/// Where a missing weak kernel function is called: this plus the number of the extern.
pub const POISON_KFUNC: i32 = 2_002_000_000;

/// What an object is relocated for. What is not known may be left out; programs that need it fail.
#[derive(Clone, Copy, Default)]
pub struct RelocTarget<'a> {
    /// The kernel's types.
    pub types: Option<&'a Btf>,
    /// `KERNEL_VERSION(a, b, c)`, that is `a << 16 | b << 8 | min(c, 255)`; 0 when unknown.
    pub kernel_version: u32,
    /// Values by name: [`crate::parse_kconfig`].
    pub kconfig: Option<&'a BTreeMap<String, String>>,
    /// Addresses of kernel symbols. Where they are not known, an address becomes that of type 0 until the program is loaded ([`Relocated::symbols`]).
    pub ksyms: Option<&'a dyn Fn(&str) -> Option<u64>>,
}

/// Applies all relocations for one target.
pub fn relocate(object: &Object, target: &RelocTarget<'_>) -> Result<Relocated, Error> {
    if target.types.is_some_and(Btf::is_big_endian) {
        return Err(Error::BigEndian);
    }
    let given = object;
    let mut object = without_programs(given);
    let externs = resolve_externs(&mut object, target);
    let mut cache = CandidateCache::new();
    let count = given.programs.len();
    let (mut poisoned, mut failed) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut symbols = Vec::with_capacity(count);
    object.programs.reserve_exact(count);
    for program in &given.programs {
        let mut poison = Vec::new();
        let relocated = one(program, &object, target, &externs, &mut cache, &mut poison);
        poison.sort_by_key(|p: &Poisoned| p.pc);
        symbols.push(unknown(program, &object, &externs));
        let (program, why) = match relocated {
            Ok(relocated) => (relocated, None),
            Err(error) => {
                poison.clear();
                (program.clone(), Some(error))
            }
        };
        object.programs.push(program);
        failed.push(why);
        poisoned.push(poison);
    }
    if failed.iter().all(Option::is_none) {
        object.externs.clear();
    }
    Ok(Relocated {
        object,
        poisoned,
        failed,
        symbols,
    })
}

/// Where a program loads addresses that are not known here.
fn unknown(program: &Program, object: &Object, externs: &[Result<Resolved, Error>]) -> Vec<Symbol> {
    let named = program.extern_refs.iter().filter_map(|r| {
        let Some(Ok(Resolved::Unknown)) = externs.get(r.index) else {
            return None;
        };
        let e = object.externs.get(r.index)?;
        Some(Symbol {
            pc: r.pc,
            name: e.name.clone(),
            weak: e.weak,
        })
    });
    named.collect()
}

/// The object, but for its programs.
fn without_programs(object: &Object) -> Object {
    Object {
        name: object.name.clone(),
        elf: object.elf.clone(),
        license: object.license.clone(),
        kernel_version: object.kernel_version,
        programs: Vec::new(),
        maps: object.maps.clone(),
        btf: object.btf.clone(),
        externs: object.externs.clone(),
        struct_ops: object.struct_ops.clone(),
    }
}

/// The program with nothing left to relocate.
fn one(
    program: &Program,
    object: &Object,
    target: &RelocTarget<'_>,
    externs: &[Result<Resolved, Error>],
    cache: &mut CandidateCache,
    poison: &mut Vec<Poisoned>,
) -> Result<Program, Error> {
    let mut insns = program.insns.clone();
    apply_core(program, &mut insns, object, target, cache, poison)?;
    apply_externs(program, &mut insns, object, externs, poison)?;
    Ok(Program {
        name: program.name.clone(),
        hook: program.hook.clone(),
        insns,
        subprogs: program.subprogs.clone(),
        lines: program.lines.clone(),
        core_relocs: Vec::new(),
        extern_refs: Vec::new(),
        jump_tables: program.jump_tables.clone(),
        exception_cb: program.exception_cb,
    })
}

/// What an extern turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolved {
    /// At this place of the `.kconfig` map.
    Kconfig {
        map: usize,
        offset: u32,
    },
    /// A type id of the target: a FUNC or a VAR.
    Btf(u32),
    Address(u64),
    /// A symbol whose address is not known here.
    Unknown,
    /// Weak and not there.
    Missing,
}

/// Resolves each extern; configuration values go to their map.
fn resolve_externs(object: &mut Object, target: &RelocTarget<'_>) -> Vec<Result<Resolved, Error>> {
    let externs = std::mem::take(&mut object.externs);
    let resolved = externs
        .iter()
        .map(|e| match e.kind {
            ExternKind::Kfunc => kfunc(object, e, target),
            ExternKind::Ksym { typed: true } => typed_ksym(object, e, target),
            ExternKind::Ksym { typed: false } => match target.ksyms.map(|find| find(&e.name)) {
                Some(Some(address)) => Ok(Resolved::Address(address)),
                Some(None) if e.weak => Ok(Resolved::Missing),
                Some(None) => Err(Error::external(&e.name, "the kernel has no such symbol")),
                None => Ok(Resolved::Unknown),
            },
            ExternKind::Kconfig { map, offset, size } => {
                let bytes = configured(object, e, size, target)?;
                let place = object
                    .maps
                    .get_mut(map)
                    .and_then(|m| m.data.as_mut())
                    .and_then(|d| d.bytes.get_mut(offset as usize..))
                    .and_then(|b| b.get_mut(..bytes.len()))
                    .ok_or_else(|| Error::external(&e.name, "it is outside of its map"))?;
                place.copy_from_slice(&bytes);
                Ok(Resolved::Kconfig { map, offset })
            }
        })
        .collect();
    object.externs = externs;
    resolved
}

/// The types of both sides.
fn both<'a>(
    object: &'a Object,
    e: &Extern,
    target: &RelocTarget<'a>,
) -> Result<(&'a Btf, &'a Btf), Error> {
    let local = object
        .btf
        .as_deref()
        .ok_or_else(|| Error::NoBtf(format!("extern `{}`", e.name)))?;
    let types = target
        .types
        .ok_or_else(|| Error::external(&e.name, "the types of the kernel are not known"))?;
    Ok((local, types))
}

fn kfunc(object: &Object, e: &Extern, target: &RelocTarget<'_>) -> Result<Resolved, Error> {
    let (local, types) = both(object, e, target)?;
    let Some(id) = types.find(essential_name(&e.name), Kind::Func) else {
        return missing(e, "the kernel has no such function");
    };
    in_kernel(types, id, e)?;
    let compatible = match (e.type_id.and_then(|id| local.proto(id)), types.proto(id)) {
        (Some(a), Some(b)) => core::types_are_compatible(local, a, types, b).unwrap_or(false),
        _ => false,
    };
    match compatible {
        true => Ok(Resolved::Btf(id.0)),
        false => missing(e, "the kernel's function has other parameters"),
    }
}

fn typed_ksym(object: &Object, e: &Extern, target: &RelocTarget<'_>) -> Result<Resolved, Error> {
    let (local, types) = both(object, e, target)?;
    let Some(id) = types.find(&e.name, Kind::Var) else {
        return missing(e, "the kernel's types have no such variable");
    };
    in_kernel(types, id, e)?;
    let of = |btf: &Btf, id: TypeId| match btf.ty(id) {
        Some(Type::Var { ty, .. }) => Some(btf.resolve(ty)),
        _ => None,
    };
    let pair = e.type_id.and_then(|id| of(local, id)).zip(of(types, id));
    match pair.map(|(a, b)| core::types_are_compatible(local, a, types, b)) {
        Some(Ok(true)) => Ok(Resolved::Btf(id.0)),
        _ => Err(Error::external(
            &e.name,
            "the kernel's variable is of another type",
        )),
    }
}

/// Ids of modules' types mean nothing without the module's own file descriptor.
fn in_kernel(types: &Btf, id: TypeId, e: &Extern) -> Result<(), Error> {
    match types.base().is_some() && id >= types.first_id() {
        true => Err(Error::external(
            &e.name,
            "it belongs to a module, which is not supported",
        )),
        false => Ok(()),
    }
}

fn missing(e: &Extern, what: &str) -> Result<Resolved, Error> {
    match e.weak {
        true => Ok(Resolved::Missing),
        false => Err(Error::external(&e.name, what)),
    }
}

fn configured(
    object: &Object,
    e: &Extern,
    size: u32,
    target: &RelocTarget<'_>,
) -> Result<Vec<u8>, Error> {
    let error = |what: String| Error::external(&e.name, what);
    let btf = object
        .btf
        .as_deref()
        .ok_or_else(|| Error::NoBtf(format!("extern `{}`", e.name)))?;
    let ty = match e.type_id.and_then(|id| btf.ty(id)) {
        Some(Type::Var { ty, .. }) => ty,
        _ => return Err(error("it has no type".into())),
    };
    let version = target.kernel_version;
    let number = match e.name.as_str() {
        "LINUX_KERNEL_VERSION" | "LINUX_HAS_BPF_COOKIE" | "LINUX_HAS_SYSCALL_WRAPPER"
            if version == 0 =>
        {
            return Err(error("the version of the kernel is not known".into()));
        }
        "LINUX_KERNEL_VERSION" => u64::from(version),
        "LINUX_HAS_BPF_COOKIE" => u64::from(version >= 5 << 16 | 15 << 8),
        "LINUX_HAS_SYSCALL_WRAPPER" => u64::from(version >= 4 << 16 | 17 << 8),
        name if name.starts_with("CONFIG_") => {
            let value = target.kconfig.map(|config| config.get(name));
            return match value {
                Some(Some(value)) => kconfig::value_bytes(btf, ty, size, value).map_err(error),
                _ if e.weak => Ok(vec![0; size as usize]),
                Some(None) => Err(error("the kernel's configuration does not set it".into())),
                None => Err(error("the kernel's configuration is not known".into())),
            };
        }
        name if name.starts_with("LINUX_") && e.weak => 0,
        _ => {
            return Err(error(
                "only `CONFIG_…` and `LINUX_…` can be asked for".into(),
            ));
        }
    };
    kconfig::number_bytes(btf, ty, size, number).map_err(error)
}

fn apply_externs(
    program: &Program,
    insns: &mut [RawInsn],
    object: &Object,
    externs: &[Result<Resolved, Error>],
    poison: &mut Vec<Poisoned>,
) -> Result<(), Error> {
    let name = &program.name;
    for r in &program.extern_refs {
        let broken = |what: &str| Error::program(name, format!("instruction {}: {what}", r.pc));
        let resolved = externs
            .get(r.index)
            .ok_or_else(|| broken("no such extern"))?;
        let resolved = resolved.as_ref().map_err(Clone::clone)?;
        let insn = *insns
            .get(r.pc)
            .ok_or_else(|| broken("no such instruction"))?;
        let what = || format!("extern `{}`", object.externs[r.index].name);
        let word = |lo: i32, hi: i32, src: u8| {
            [
                RawInsn {
                    src,
                    imm: lo,
                    ..insn
                },
                RawInsn {
                    imm: hi,
                    ..RawInsn::default()
                },
            ]
        };
        let new = match (insn.opcode, *resolved) {
            (CALL, Resolved::Btf(id)) => vec![RawInsn {
                src: PSEUDO_KFUNC_CALL,
                off: 0,
                imm: id as i32,
                ..insn
            }],
            (CALL, Resolved::Missing) => {
                poison.push(Poisoned {
                    pc: r.pc,
                    what: what(),
                });
                let number = i32::try_from(r.index).unwrap_or(0);
                vec![call(POISON_KFUNC.saturating_add(number))]
            }
            (LD_IMM64, Resolved::Kconfig { map, offset }) => {
                word(map as i32, offset as i32, PSEUDO_MAP_IDX_VALUE).to_vec()
            }
            (LD_IMM64, Resolved::Btf(id)) => word(id as i32, 0, PSEUDO_BTF_ID).to_vec(),
            (LD_IMM64, Resolved::Address(a)) => word(a as i32, (a >> 32) as i32, 0).to_vec(),
            // No type has the number 0: the address of a symbol that only the running kernel knows.
            (LD_IMM64, Resolved::Unknown) => word(0, 0, PSEUDO_BTF_ID).to_vec(),
            (LD_IMM64, Resolved::Missing) => word(0, 0, 0).to_vec(),
            _ => return Err(broken("it cannot refer to an extern of this kind")),
        };
        insns
            .get_mut(r.pc..r.pc + new.len())
            .ok_or_else(|| broken("it is cut off"))?
            .copy_from_slice(&new);
    }
    Ok(())
}

fn apply_core(
    program: &Program,
    insns: &mut [RawInsn],
    object: &Object,
    target: &RelocTarget<'_>,
    cache: &mut CandidateCache,
    poison: &mut Vec<Poisoned>,
) -> Result<(), Error> {
    for r in &program.core_relocs {
        let error =
            |what: String| Error::program(&program.name, format!("instruction {}: {what}", r.pc));
        let local = object
            .btf
            .as_deref()
            .ok_or_else(|| Error::NoBtf(format!("program `{}`", program.name)))?;
        let kind = RelocKind::from_number(r.kind)
            .ok_or_else(|| error(format!("a CO-RE relocation of unknown kind {}", r.kind)))?;
        let relocation = Relocation {
            type_id: r.type_id,
            access: &r.access,
            kind,
        };
        // Only one kind of question is not about the target.
        let types = match (target.types, kind) {
            (Some(types), _) => types,
            (None, RelocKind::TypeIdLocal) => local,
            (None, _) => {
                let what = core::describe(local, &relocation);
                return Err(error(format!(
                    "a CO-RE relocation ({} of `{what}`) needs the types of a kernel, and none are given",
                    kind.name()
                )));
            }
        };
        let resolution =
            core::relocate(local, &relocation, types, cache).map_err(|e| error(e.to_string()))?;
        let applied = match resolution {
            Resolution::Failed => patch(insns, r, None),
            Resolution::Value(p) => patch(insns, r, Some(p)),
        };
        let applied = applied.map_err(|what| {
            let about = core::describe(local, &relocation);
            Error::program(
                &program.name,
                format!(
                    "instruction {}: CO-RE relocation of `{about}`: {what}",
                    r.pc
                ),
            )
        })?;
        if !applied {
            poison.push(Poisoned {
                pc: r.pc,
                what: format!(
                    "{} of `{}`",
                    kind.name(),
                    core::describe(local, &relocation)
                ),
            });
        }
    }
    Ok(())
}

/// Writes the value into the instruction; `Ok(false)` when it had to be poisoned instead.
fn patch(insns: &mut [RawInsn], r: &CoreReloc, patch: Option<Patch>) -> Result<bool, String> {
    let insn = insns
        .get(r.pc)
        .copied()
        .ok_or("there is no such instruction")?;
    let unexpected = |have: u64, p: &Patch| match p.original {
        Some(want) if want != have => Some(format!(
            "the instruction holds {have} and should hold {want}"
        )),
        _ => None,
    };
    match insn.opcode & 7 {
        // ALU32, ALU64 with an immediate.
        4 | 7 => {
            if insn.opcode & 8 != 0 {
                return Err("the instruction has no immediate".into());
            }
            let Some(p) = patch else {
                insns[r.pc] = call(POISON);
                return Ok(false);
            };
            let original = p.original.map(|v| v as u32);
            if original.is_some_and(|want| want != insn.imm as u32) {
                return Err(format!(
                    "the instruction holds {} and should hold {}",
                    insn.imm as u32,
                    original.unwrap_or(0)
                ));
            }
            insns[r.pc].imm = p.value as i32;
            Ok(true)
        }
        // LDX, ST, STX.
        1..=3 => {
            let Some(p) = patch else {
                insns[r.pc] = call(POISON);
                return Ok(false);
            };
            if let Some(what) = unexpected(insn.off as i64 as u64, &p) {
                return Err(what);
            }
            let off =
                i16::try_from(p.value).map_err(|_| format!("offset {} is too large", p.value))?;
            if p.fail_memsz_adjust {
                insns[r.pc] = call(POISON);
                return Ok(false);
            }
            let size = size_bits(p.size);
            if p.size != p.original_size && size_bits(p.original_size) != Some(insn.opcode & 0x18) {
                return Err(format!("the access is not of {} bytes", p.original_size));
            }
            let insn = &mut insns[r.pc];
            insn.off = off;
            if p.size != p.original_size {
                let size =
                    size.ok_or_else(|| format!("an access cannot be of {} bytes", p.size))?;
                insn.opcode = insn.opcode & !0x18 | size;
            }
            Ok(true)
        }
        0 if insn.opcode == LD_IMM64 => {
            let high = insns
                .get(r.pc + 1)
                .copied()
                .ok_or("the instruction is cut off")?;
            let plain = RawInsn { imm: 0, ..high };
            if insn.src != 0 || insn.off != 0 || plain != RawInsn::default() {
                return Err("the 64-bit immediate is of an unexpected form".into());
            }
            let Some(p) = patch else {
                insns[r.pc] = call(POISON);
                insns[r.pc + 1] = call(POISON);
                return Ok(false);
            };
            let have = u64::from(insn.imm as u32) | u64::from(high.imm as u32) << 32;
            if let Some(what) = unexpected(have, &p) {
                return Err(what);
            }
            insns[r.pc].imm = p.value as i32;
            insns[r.pc + 1].imm = (p.value >> 32) as i32;
            Ok(true)
        }
        _ => Err(format!(
            "an instruction with opcode {:#04x} cannot be relocated",
            insn.opcode
        )),
    }
}

/// The size bits of a load's or store's opcode.
fn size_bits(bytes: u32) -> Option<u8> {
    match bytes {
        1 => Some(0x10),
        2 => Some(0x08),
        4 => Some(0x00),
        8 => Some(0x18),
        _ => None,
    }
}

fn call(imm: i32) -> RawInsn {
    RawInsn {
        opcode: CALL,
        imm,
        ..RawInsn::default()
    }
}
