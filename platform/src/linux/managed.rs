//! Managed fields of Linux as rows: how each is found in BTF, in which maps' values, in which programs.
//!
//! Map kinds are the facts of `map_check_btf`, program kinds those of `check_map_prog_compatibility`.

use super::kinds as k;
use crate::{KptrType, Managed, ManagedField, ManagedTypes, Version};

pub const MANAGED: ManagedTypes = ManagedTypes {
    fields: FIELDS,
    kptrs: &[
        rcu("task_struct"),
        rcu("cgroup"),
        rcu("bpf_cpumask"),
        rcu("bpf_crypto_ctx"),
        // Of the kernel's own tests, in every kernel with BPF test runs.
        rcu("prog_test_ref_kfunc"),
        KptrType {
            name: "prog_test_member",
            rcu: false,
        },
        KptrType {
            name: "sk_buff",
            rcu: false,
        },
    ],
    most: 11,
    ownership: 8,
    percpu_bytes: 512,
    page: 4096,
};

const fn rcu(name: &'static str) -> KptrType {
    KptrType { name, rcu: true }
}

const HASH: u32 = 1;
const ARRAY: u32 = 2;
const PERCPU_HASH: u32 = 5;
const PERCPU_ARRAY: u32 = 6;
const LRU_HASH: u32 = 9;
const LRU_PERCPU_HASH: u32 = 10;
const CGROUP_STORAGE: u32 = 19;
const SK_STORAGE: u32 = 24;
const INODE_STORAGE: u32 = 28;
const TASK_STORAGE: u32 = 29;
const CGRP_STORAGE: u32 = 32;

const LOCKED: &[u32] = &[
    HASH,
    ARRAY,
    CGROUP_STORAGE,
    SK_STORAGE,
    INODE_STORAGE,
    TASK_STORAGE,
    CGRP_STORAGE,
];
const SHARED: &[u32] = &[HASH, ARRAY, LRU_HASH];
const POINTERS: &[u32] = &[
    HASH,
    ARRAY,
    PERCPU_HASH,
    PERCPU_ARRAY,
    LRU_HASH,
    LRU_PERCPU_HASH,
    SK_STORAGE,
    INODE_STORAGE,
    TASK_STORAGE,
    CGRP_STORAGE,
];

/// Program kinds that may run anywhere, also under the lock.
const ANYWHERE: &[u32] = &[
    k::KPROBE,
    k::TRACEPOINT,
    k::PERF_EVENT,
    k::RAW_TRACEPOINT,
    k::RAW_TRACEPOINT_WRITABLE,
];
const ANYWHERE_AND_FILTERS: &[u32] = &[
    k::SOCKET_FILTER,
    k::KPROBE,
    k::TRACEPOINT,
    k::PERF_EVENT,
    k::RAW_TRACEPOINT,
    k::RAW_TRACEPOINT_WRITABLE,
];

const STRUCTURE: ManagedField = ManagedField {
    kind: Managed::SpinLock,
    name: "",
    tag: false,
    size: 8,
    align: 8,
    many: false,
    array: false,
    maps: &[],
    allocated: true,
    not_in: &[],
    since: Version(5, 1),
};

const POINTER: ManagedField = ManagedField {
    tag: true,
    many: true,
    array: true,
    maps: POINTERS,
    since: Version(5, 19),
    ..STRUCTURE
};

const FIELDS: &[ManagedField] = &[
    ManagedField {
        kind: Managed::SpinLock,
        name: "bpf_spin_lock",
        size: 4,
        align: 4,
        maps: LOCKED,
        not_in: ANYWHERE_AND_FILTERS,
        ..STRUCTURE
    },
    ManagedField {
        kind: Managed::ResSpinLock,
        name: "bpf_res_spin_lock",
        size: 4,
        align: 4,
        maps: LOCKED,
        allocated: false,
        not_in: ANYWHERE_AND_FILTERS,
        since: Version(6, 15),
        ..STRUCTURE
    },
    ManagedField {
        kind: Managed::Timer,
        name: "bpf_timer",
        size: 16,
        maps: SHARED,
        allocated: false,
        not_in: ANYWHERE,
        since: Version(5, 15),
        ..STRUCTURE
    },
    ManagedField {
        kind: Managed::WorkQueue,
        name: "bpf_wq",
        size: 16,
        maps: SHARED,
        allocated: false,
        not_in: ANYWHERE,
        since: Version(6, 10),
        ..STRUCTURE
    },
    ManagedField {
        kind: Managed::TaskWork,
        name: "bpf_task_work",
        size: 8,
        maps: SHARED,
        allocated: false,
        since: Version(6, 18),
        ..STRUCTURE
    },
    ManagedField {
        kind: Managed::ListHead,
        name: "bpf_list_head",
        size: 16,
        many: true,
        array: true,
        maps: SHARED,
        not_in: ANYWHERE,
        since: Version(6, 2),
        ..STRUCTURE
    },
    ManagedField {
        kind: Managed::ListNode,
        name: "bpf_list_node",
        size: 24,
        many: true,
        since: Version(6, 2),
        ..STRUCTURE
    },
    ManagedField {
        kind: Managed::RbRoot,
        name: "bpf_rb_root",
        size: 16,
        many: true,
        array: true,
        maps: SHARED,
        not_in: ANYWHERE,
        since: Version(6, 3),
        ..STRUCTURE
    },
    ManagedField {
        kind: Managed::RbNode,
        name: "bpf_rb_node",
        size: 32,
        many: true,
        since: Version(6, 3),
        ..STRUCTURE
    },
    ManagedField {
        kind: Managed::Refcount,
        name: "bpf_refcount",
        size: 4,
        align: 4,
        maps: POINTERS,
        since: Version(6, 4),
        ..STRUCTURE
    },
    ManagedField {
        kind: Managed::KptrUntrusted,
        name: "kptr_untrusted",
        ..POINTER
    },
    ManagedField {
        kind: Managed::Kptr,
        name: "kptr",
        ..POINTER
    },
    ManagedField {
        kind: Managed::PercpuKptr,
        name: "percpu_kptr",
        since: Version(6, 6),
        ..POINTER
    },
    ManagedField {
        kind: Managed::Uptr,
        name: "uptr",
        maps: &[TASK_STORAGE],
        allocated: false,
        since: Version(6, 13),
        ..POINTER
    },
];
