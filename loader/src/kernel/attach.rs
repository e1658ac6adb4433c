//! A program's hook → what the kernel wants to know of its target when it is loaded.

use probity_btf::{Btf, Kind, Type, TypeId, essential_name};
use probity_objfile::{Hook, Object, ProgType, Program, Target};

/// Fields of the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attach {
    /// Instead of the hook's own: the member of a structure of operations.
    pub attach_type: Option<u32>,
    pub btf_id: u32,
    /// The program that is extended or traced, or the types of the module that `btf_id` is of.
    pub prog_fd: u32,
}

const TRACE_RAW_TP: u32 = 23;
const TRACE_ITER: u32 = 28;

/// `Err` is why there can be no verdict.
pub fn target(object: &Object, program: &Program, types: Option<&Btf>) -> Result<Attach, String> {
    let Some(kind) = program.hook.prog_type else {
        return Err(format!(
            "section `{}` names no kind of program",
            program.hook.section
        ));
    };
    let attach = program.hook.attach_type.map_or(0, |a| a.0);
    let by_name = |prefix: &str, kind: Kind| {
        let types = types.ok_or("the types of the kernel are not known")?;
        let name = name(&program.hook).ok_or("its section names no target")?;
        let full = format!("{prefix}{name}");
        match types.find(&full, kind) {
            Some(id) => Ok(Attach {
                btf_id: id.0,
                ..Attach::default()
            }),
            None => Err(format!("the kernel has no `{full}`")),
        }
    };
    match kind {
        ProgType::TRACING if attach == TRACE_RAW_TP => by_name("btf_trace_", Kind::Typedef),
        ProgType::TRACING if attach == TRACE_ITER => by_name("bpf_iter_", Kind::Func),
        ProgType::TRACING => by_name("", Kind::Func),
        ProgType::LSM => by_name("bpf_lsm_", Kind::Func),
        ProgType::STRUCT_OPS => member(object, program, types),
        _ => Ok(Attach::default()),
    }
}

/// The one name in a hook's target.
pub fn name(hook: &Hook) -> Option<&str> {
    match &hook.target {
        Target::Function { name, .. } | Target::RawTracepoint { name } => Some(name),
        Target::Text(name) => Some(name),
        _ => None,
    }
}

fn member(object: &Object, program: &Program, types: Option<&Btf>) -> Result<Attach, String> {
    let types = types.ok_or("the types of the kernel are not known")?;
    let found = object.struct_ops.iter().find_map(|s| {
        let (member, _) = s.members.iter().find(|(_, p)| *p == program.name)?;
        Some((essential_name(&s.type_name), member))
    });
    let (structure, member) = found.ok_or("no structure of operations names it")?;
    let id = types
        .find(structure, Kind::Struct)
        .ok_or_else(|| format!("the kernel has no `struct {structure}`"))?;
    let index = index_of(types, id, member)
        .ok_or_else(|| format!("`struct {structure}` has no `{member}`"))?;
    Ok(Attach {
        attach_type: Some(index),
        btf_id: id.0,
        prog_fd: 0,
    })
}

fn index_of(types: &Btf, id: TypeId, member: &str) -> Option<u32> {
    let Some(Type::Struct(s)) = types.ty(id) else {
        return None;
    };
    let index = s
        .members
        .iter()
        .position(|m| essential_name(m.name) == essential_name(member))?;
    u32::try_from(index).ok()
}
