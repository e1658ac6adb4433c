//! What a relocated program uses, by the names that the confusion matrix counts.

use std::collections::BTreeSet;

use probity_btf::{Btf, Kind, Type, TypeId};
use probity_isa::{Imm64, Insn};
use probity_objfile::{Object, ProgType, Program};
use probity_platform::Platform;

/// Parts of the names of helpers and kernel functions, and the feature that they are.
const CALLS: &[(&str, &str)] = &[
    ("dynptr", "dynptr"),
    ("bpf_iter_", "iterator"),
    ("spin_lock", "spin lock"),
    ("spin_unlock", "spin lock"),
    ("bpf_obj_new", "allocated objects"),
    ("bpf_obj_drop", "allocated objects"),
    ("bpf_percpu_obj", "allocated objects"),
    ("bpf_refcount_acquire", "allocated objects"),
    ("bpf_list_", "list"),
    ("bpf_rbtree_", "rbtree"),
    ("kptr_xchg", "kptr"),
    ("bpf_throw", "exceptions"),
    ("timer_", "timer"),
    ("bpf_wq_", "workqueue"),
    ("task_work", "workqueue"),
    ("bpf_arena_", "arena"),
    ("rcu_read", "RCU"),
    ("bpf_preempt_", "preempt"),
    ("bpf_local_irq_", "irq"),
    ("tail_call", "tail call"),
    ("ringbuf", "ring buffer"),
    ("for_each_map_elem", "callback"),
    ("cpumask", "cpumask"),
    ("_storage_get", "local storage"),
    ("per_cpu_ptr", "per-CPU pointer"),
    ("this_cpu_ptr", "per-CPU pointer"),
    ("sk_lookup_", "socket lookup"),
    ("skc_lookup_", "socket lookup"),
    ("probe_read", "probe_read"),
    ("bpf_cast_to_kern_ctx", "kernel casts"),
    ("bpf_rdonly_cast", "kernel casts"),
    ("scx_bpf_", "scheduler"),
];

/// Names of special types in map values.
const FIELDS: &[(&str, &str)] = &[
    ("bpf_spin_lock", "spin lock"),
    ("bpf_res_spin_lock", "spin lock"),
    ("bpf_timer", "timer"),
    ("bpf_wq", "workqueue"),
    ("bpf_task_work", "workqueue"),
    ("bpf_list_head", "list"),
    ("bpf_rb_root", "rbtree"),
    ("bpf_refcount", "allocated objects"),
];

const ARENA: u32 = 33;

/// `program` is of a relocated object; `core` says whether it had CO-RE relocations before.
pub fn of(
    object: &Object,
    program: &Program,
    platform: &Platform,
    core: bool,
    poisoned: bool,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut add = |name: &str| {
        found.insert(name.to_string());
    };
    let kind = program.hook.prog_type.map_or(0, |t| t.0);
    let name = platform.prog_kind(kind).map_or("unknown", |k| k.name);
    add(&format!("program kind {name}"));
    for (is, what) in [
        (program.hook.sleepable, "sleepable"),
        (
            program.hook.prog_type == Some(ProgType::STRUCT_OPS),
            "struct_ops",
        ),
        (program.hook.prog_type == Some(ProgType::EXT), "freplace"),
        (core, "CO-RE"),
        (poisoned, "failed CO-RE"),
        (program.exception_cb.is_some(), "exceptions"),
        (!program.jump_tables.is_empty(), "indirect jump"),
        (
            program.subprogs.iter().skip(1).any(|s| s.global),
            "global function",
        ),
        (
            program.subprogs.iter().skip(1).any(|s| !s.global),
            "static function",
        ),
    ] {
        if is {
            add(what);
        }
    }
    let types = platform.types.as_deref();
    let mut pc = 0;
    while pc < program.insns.len() {
        let raw = program.insns[pc];
        let Ok(insn) = probity_isa::decode_at(&program.insns, pc) else {
            pc += 1;
            continue;
        };
        for name in by_insn(&insn) {
            add(name);
        }
        match raw.opcode {
            0x85 if raw.src == 0 => {
                let name = platform
                    .helper(raw.imm as u32)
                    .map(|h| h.name)
                    .unwrap_or_default();
                calls(name, &mut add);
            }
            0x85 if raw.src == 2 => {
                add("kfunc");
                let name = types.map_or("", |t| t.name(TypeId(raw.imm as u32)));
                calls(name, &mut add);
            }
            // JA, JA32 and conditional jumps.
            op if matches!(op & 7, 5 | 6) && !matches!(op & 0xf0, 0x80 | 0x90) => {
                let far = if op == 0x06 {
                    raw.imm
                } else {
                    i32::from(raw.off)
                };
                if far < 0 {
                    add("loop");
                }
            }
            _ => {}
        }
        if let Insn::LoadImm64 { imm, .. } = &insn {
            match imm {
                Imm64::MapIdx(index) | Imm64::MapIdxValue { index, .. } => {
                    if let Some(map) = object.maps.get(*index as usize) {
                        let name = platform
                            .map_kind(map.kind)
                            .map_or_else(|| map.kind.to_string(), |k| k.name.to_string());
                        match map.data {
                            Some(_) if map.kind != ARENA => add("global data"),
                            _ => add(&format!("map kind {name}")),
                        }
                        if map.kind == ARENA {
                            add("arena");
                        }
                        if let (Some(btf), Some(ty)) = (object.btf.as_deref(), map.value_type) {
                            fields(btf, ty, 4, &mut add);
                        }
                        if let Some(inner) = map.inner.as_deref()
                            && let (Some(btf), Some(ty)) = (object.btf.as_deref(), inner.value_type)
                        {
                            fields(btf, ty, 4, &mut add);
                        }
                    }
                }
                _ => match raw.src {
                    3 => add("ksym"),
                    4 => add("callback"),
                    _ => {}
                },
            }
            pc += 1;
        }
        pc += 1;
    }
    found
}

fn calls(name: &str, add: &mut impl FnMut(&str)) {
    for (part, feature) in CALLS {
        if name.contains(part) {
            add(feature);
        }
    }
}

/// Features by the shape of an instruction.
fn by_insn(insn: &Insn) -> Vec<&'static str> {
    let text = insn.to_string();
    let mut found = Vec::new();
    if text.contains("may_goto") {
        found.push("may_goto");
    }
    if text.contains("lock ") || text.contains("atomic") || text.contains("xchg") {
        found.push("atomic");
    }
    if text.contains("addr_space_cast") {
        found.push("arena");
    }
    if text.contains("gotox") {
        found.push("indirect jump");
    }
    if text.contains("skb[") {
        found.push("ld_abs");
    }
    found
}

/// Special fields in a map's value, some structures deep.
fn fields(btf: &Btf, ty: TypeId, depth: u32, add: &mut impl FnMut(&str)) {
    let id = btf.resolve(ty);
    if depth == 0 {
        return;
    }
    if btf.kind(id) == Some(Kind::Struct) {
        let name = btf.name(id);
        if let Some((_, feature)) = FIELDS.iter().find(|(n, _)| *n == name) {
            add(feature);
            return;
        }
    }
    match btf.ty(id) {
        Some(Type::Struct(s) | Type::Union(s)) => {
            for m in s.members.iter().take(200) {
                fields(btf, m.ty, depth - 1, add);
            }
        }
        Some(Type::DataSec { vars, .. }) => {
            for v in vars.iter().take(500) {
                if let Some(Type::Var { ty, .. }) = btf.ty(v.var) {
                    fields(btf, ty, depth - 1, add);
                }
            }
        }
        Some(Type::Array { elem, .. }) => fields(btf, elem, depth - 1, add),
        Some(Type::Ptr(to)) => {
            if let Some(Type::TypeTag { value, .. }) = btf.ty(to)
                && value.contains("kptr")
            {
                add("kptr");
            }
        }
        _ => {}
    }
}
