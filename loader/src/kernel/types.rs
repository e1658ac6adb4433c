//! An object's types → what the running kernel takes of them, as libbpf makes it: externs become
//! variables and functions like others, hidden functions static ones.
//!
//! **Invariant:** every type keeps its id.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd, OwnedFd};

use probity_btf::{Btf, BtfBuilder, FuncLinkage, IntEncoding, SecVar, Type, TypeId, VarLinkage};
use probity_objfile::{ExternKind, Object, Program};

use super::sys::{self, BTF_LOAD, BtfLoad};

/// Types the kernel holds, and what programs refer to in them.
pub struct Loaded {
    pub fd: OwnedFd,
    strings: BTreeMap<String, u32>,
    /// The type of a static function without parameters, which is no function of the object's.
    pub idle: TypeId,
}

/// `struct bpf_func_info`, 8 bytes a record.
pub type FuncInfo = [u32; 2];
/// `struct bpf_line_info`, 16 bytes a record.
pub type LineInfo = [u32; 4];

/// Loads the types of an object; `Err` says what the kernel says.
pub fn load(object: &Object) -> Result<Option<Loaded>, String> {
    let Some(btf) = object.btf.as_deref() else {
        return Ok(None);
    };
    let mut builder = rewritten(object, btf)?;
    let mut strings = BTreeMap::new();
    for line in object.programs.iter().flat_map(|p| &p.lines) {
        for s in [&line.file, &line.text] {
            if !strings.contains_key(&**s) {
                strings.insert(s.to_string(), builder.string(s));
            }
        }
    }
    let nothing = builder.func_proto(TypeId::VOID, &[]);
    let idle = builder.func("idle", nothing, FuncLinkage::Static);
    let bytes = builder.to_bytes();
    let mut log = vec![0u8; 1 << 16];
    let mut attr = BtfLoad {
        btf: bytes.as_ptr() as u64,
        btf_size: bytes.len() as u32,
        ..BtfLoad::default()
    };
    if let Ok(fd) = sys::patient(BTF_LOAD, &attr) {
        return Ok(Some(Loaded {
            fd: sys::owned(fd),
            strings,
            idle,
        }));
    }
    attr.log_level = 1;
    attr.log_buf = log.as_mut_ptr() as u64;
    attr.log_size = log.len() as u32;
    match sys::patient(BTF_LOAD, &attr) {
        Ok(fd) => Ok(Some(Loaded {
            fd: sys::owned(fd),
            strings,
            idle,
        })),
        Err(e) => {
            let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
            let text = String::from_utf8_lossy(&log[..end]).into_owned();
            let last: Vec<&str> = text.lines().rev().take(2).collect();
            Err(format!("{e}: {}", last.join(" / ")))
        }
    }
}

fn rewritten(object: &Object, btf: &Btf) -> Result<BtfBuilder, String> {
    let mut hidden = BTreeSet::new();
    for program in &object.programs {
        hidden.extend(
            program
                .subprogs
                .iter()
                .skip(1)
                .filter(|s| !s.global)
                .filter_map(|s| s.func),
        );
    }
    // Externs and functions of Rust may lack names of parameters, and the kernel wants them.
    let nameless: BTreeSet<TypeId> = btf
        .types()
        .filter_map(|(_, ty)| match ty {
            Type::Func { proto, .. } => Some(proto),
            _ => None,
        })
        .collect();
    let ksyms: BTreeSet<TypeId> = match btf.find_datasec(".ksyms").and_then(|id| btf.ty(id)) {
        Some(Type::DataSec { vars, .. }) => vars.iter().map(|v| v.var).collect(),
        _ => BTreeSet::new(),
    };
    let int = TypeId(btf.len());
    let dummy = TypeId(btf.len() + 1);
    let mut builder = BtfBuilder::new();
    for n in 1..btf.len() {
        let id = TypeId(n);
        let name = btf.name(id);
        let new = match btf.ty(id) {
            Some(Type::Func {
                proto,
                linkage: FuncLinkage::Extern,
            }) => builder.func(name, proto, FuncLinkage::Global),
            Some(Type::Func {
                proto,
                linkage: FuncLinkage::Global,
            }) if hidden.contains(&id) => builder.func(name, proto, FuncLinkage::Static),
            Some(Type::FuncProto { ret, params }) if nameless.contains(&id) => {
                let params: Vec<(&str, TypeId)> = params
                    .iter()
                    .map(|p| match (p.name, p.ty) {
                        ("", ty) if ty != TypeId::VOID => ("p", ty),
                        (name, ty) => (name, ty),
                    })
                    .collect();
                builder.func_proto(ret, &params)
            }
            Some(Type::Var {
                ty,
                linkage: VarLinkage::Extern,
            }) => {
                let ty = if ksyms.contains(&id) { int } else { ty };
                builder.var(name, ty, VarLinkage::Global)
            }
            Some(Type::DataSec { vars, .. }) if name == ".ksyms" => {
                let vars: Vec<SecVar> = vars
                    .iter()
                    .zip(0u32..)
                    .map(|(v, i)| SecVar {
                        var: match btf.ty(v.var) {
                            Some(Type::Func { .. }) => dummy,
                            _ => v.var,
                        },
                        offset: i * 4,
                        size: 4,
                    })
                    .collect();
                builder.datasec(name, vars.len() as u32 * 4, &vars)
            }
            Some(Type::DataSec { vars, .. }) if name == ".kconfig" => {
                let mut vars: Vec<SecVar> = vars
                    .iter()
                    .filter_map(|v| {
                        object.externs.iter().find_map(|e| match e.kind {
                            ExternKind::Kconfig { offset, size, .. }
                                if e.type_id == Some(v.var) =>
                            {
                                Some(SecVar {
                                    var: v.var,
                                    offset,
                                    size,
                                })
                            }
                            _ => None,
                        })
                    })
                    .collect();
                vars.sort_by_key(|v| v.offset);
                let size = vars.last().map_or(0, |v| v.offset + v.size);
                builder.datasec(name, size, &vars)
            }
            _ => builder.copy(btf, id, |t| t),
        };
        if new != id {
            return Err(format!("type {n} became {}", new.0));
        }
    }
    if !ksyms.is_empty() {
        builder.int("int", 4, IntEncoding::SIGNED);
        builder.var("dummy_ksym", int, VarLinkage::Global);
    }
    Ok(builder)
}

/// Which function each part of a program is; empty when the types do not say it of all.
pub fn func_info(program: &Program) -> Vec<FuncInfo> {
    let all: Option<Vec<FuncInfo>> = program
        .subprogs
        .iter()
        .map(|s| Some([s.start as u32, s.func?.0]))
        .collect();
    all.unwrap_or_default()
}

/// Source lines; empty when some function has none at its start.
pub fn line_info(program: &Program, types: &Loaded) -> Vec<LineInfo> {
    let starts = program
        .subprogs
        .iter()
        .all(|s| program.lines.iter().any(|l| l.pc == s.start));
    if !starts {
        return Vec::new();
    }
    let offset = |s: &str| types.strings.get(s).copied().unwrap_or(0);
    let mut last = None;
    program
        .lines
        .iter()
        .filter(|l| l.pc < program.insns.len() && last.replace(l.pc) != Some(l.pc))
        .map(|l| {
            let column = l.line << 10 | l.column & 0x3ff;
            [l.pc as u32, offset(&l.file), offset(&l.text), column]
        })
        .collect()
}

impl Loaded {
    pub fn raw(&self) -> u32 {
        self.fd.as_raw_fd() as u32
    }
}
