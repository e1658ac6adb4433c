//! A map's value type → the fields of it that programs may not touch directly (locks, timers, kernel pointers, lists).
//!
//! Source: the kernel's special BTF types and type tags.

use probity_btf::{Btf, Type, TypeId};
use probity_objfile::Map;

/// Fields of one map's values that are no plain bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Special {
    pub fields: Vec<SpecialField>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpecialField {
    pub offset: u64,
    pub size: u64,
    /// `bpf_spin_lock`, `kptr`, …
    pub name: String,
}

/// Structures that the kernel manages inside of map values.
const MANAGED: &[&str] = &[
    "bpf_spin_lock",
    "bpf_res_spin_lock",
    "bpf_timer",
    "bpf_wq",
    "bpf_task_work",
    "bpf_list_head",
    "bpf_list_node",
    "bpf_rb_root",
    "bpf_rb_node",
    "bpf_refcount",
];

/// Tags of pointers that the kernel manages.
const TAGS: &[&str] = &["kptr", "kptr_untrusted", "percpu_kptr", "uptr"];

impl Special {
    pub(crate) fn of(map: &Map, btf: Option<&Btf>) -> Special {
        let mut fields = Vec::new();
        if let (Some(btf), Some(id)) = (btf, map.value_type) {
            collect(btf, id, 0, 0, &mut 0, &mut fields);
        }
        Special { fields }
    }

    /// A field that overlaps `[low, high)`.
    pub(crate) fn overlap(&self, low: i128, high: i128) -> Option<&SpecialField> {
        self.fields.iter().find(|f| {
            let (from, to) = (
                i128::from(f.offset),
                i128::from(f.offset) + i128::from(f.size),
            );
            low < to && from < high
        })
    }
}

fn collect(
    btf: &Btf,
    id: TypeId,
    base: u64,
    depth: u32,
    steps: &mut u32,
    out: &mut Vec<SpecialField>,
) {
    *steps += 1;
    // Deep nests and huge arrays of structures end the search with a field that covers everything.
    if depth > 16 || out.len() > 256 || *steps > 10_000 {
        out.push(SpecialField {
            offset: 0,
            size: u64::MAX >> 1,
            name: "a deeply nested value".into(),
        });
        return;
    }
    let resolved = btf.resolve(id);
    match btf.ty(resolved) {
        Some(Type::Struct(_) | Type::Union(_)) => {
            let name = btf.name(resolved);
            if MANAGED.contains(&name) {
                let size = u64::from(btf.size_of(resolved).unwrap_or(8));
                out.push(SpecialField {
                    offset: base,
                    size,
                    name: name.to_string(),
                });
                return;
            }
            for m in btf.members(resolved).iter() {
                if let Some(f) = btf.member_field(&m) {
                    collect(
                        btf,
                        m.ty,
                        base.saturating_add(f.byte_offset()),
                        depth + 1,
                        steps,
                        out,
                    );
                }
            }
        }
        Some(Type::Array { elem, len, .. }) => {
            let mut found = Vec::new();
            collect(btf, elem, 0, depth + 1, steps, &mut found);
            if found.is_empty() {
                return;
            }
            let step = u64::from(btf.size_of(elem).unwrap_or(0));
            for i in 0..u64::from(len.min(257)) {
                for f in &found {
                    let offset = base
                        .saturating_add(i.saturating_mul(step))
                        .saturating_add(f.offset);
                    out.push(SpecialField {
                        offset,
                        ..f.clone()
                    });
                }
            }
        }
        Some(Type::Ptr(to)) => {
            if let Some(Type::TypeTag { value, .. }) = btf.ty(to)
                && TAGS.contains(&value)
            {
                out.push(SpecialField {
                    offset: base,
                    size: 8,
                    name: value.to_string(),
                });
            }
        }
        _ => {}
    }
}
