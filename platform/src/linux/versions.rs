//! What older versions lack of rows that are not new as a whole.
//!
//! Measured on Linux 6.1, 6.12 and 6.18 (`tests/kernel_*.rs` run on each); what came in between counts from the
//! version where it was seen first.

use std::borrow::Cow;

use super::helpers::NONE;
use super::kinds as k;
use crate::{
    Arg, ArgKind, Context, Helper, Kfunc, Later, MapKind, MemAccess, ProgKind, Ret, Variant,
    Version,
};

/// The kind as an older version has it.
pub(super) fn narrowed(kind: &ProgKind, version: Version) -> ProgKind {
    let mut kind = kind.clone();
    kind.helpers.later = if version < Version(6, 12) {
        &[SINCE_6_18, SINCE_6_12]
    } else if version < Version(6, 18) {
        &[SINCE_6_18]
    } else {
        &[]
    };
    if let Context::Struct { fields, .. } = &mut kind.context
        && fields.iter().any(|f| f.since > version)
    {
        *fields = Cow::Owned(
            fields
                .iter()
                .filter(|f| f.since <= version)
                .copied()
                .collect(),
        );
    }
    kind
}

/// The kernel function as an older version has it.
pub(super) fn narrowed_kfunc(kfunc: &Kfunc, version: Version) -> Kfunc {
    let row = KFUNCS
        .iter()
        .find(|(since, names, _)| version < *since && names.contains(&kfunc.name));
    Kfunc {
        later: row.map_or(&[], |(_, _, kinds)| kinds),
        ..kfunc.clone()
    }
}

/// The helper as an older version has it: arguments that it takes only since.
pub(super) fn narrowed_helper(helper: &Helper, version: Version) -> Helper {
    let mut helper = helper.clone();
    if version < Version(6, 12) {
        if let Some((_, args)) = ARGUMENTS
            .iter()
            .find(|(names, _)| names.contains(&helper.name))
        {
            helper.args = args;
        }
        if let Some((_, variants)) = VARIANTS.iter().find(|(name, _)| *name == helper.name) {
            helper.variants = variants;
        }
    }
    helper
}

/// The map kind as an older version has it.
pub(super) fn narrowed_map(kind: &MapKind, version: Version) -> MapKind {
    MapKind {
        sleepable: kind.sleepable
            && (version >= Version(6, 12) || !matches!(kind.name, "queue" | "stack")),
        ..kind.clone()
    }
}

const fn arg(kind: ArgKind) -> Arg {
    Arg {
        kind,
        nullable: false,
    }
}

const MEMORY: Arg = arg(ArgKind::Mem {
    access: MemAccess::Read,
});

/// A size that may not be 0 yet.
const SIZE: Arg = arg(ArgKind::Size { zero_ok: false });

const fn header(bytes: u32) -> Arg {
    arg(ArgKind::FixedMem {
        access: MemAccess::Read,
        bytes,
        align: 1,
    })
}

/// Arguments before Linux 6.12 of helpers that take more since.
static ARGUMENTS: [(&[&str], &[Arg]); 3] = [
    (
        &["sk_lookup_tcp", "sk_lookup_udp", "skc_lookup_tcp"],
        &[
            arg(ArgKind::Ctx),
            MEMORY,
            SIZE,
            arg(ArgKind::Anything),
            arg(ArgKind::Anything),
        ],
    ),
    (&["tcp_raw_gen_syncookie_ipv4"], &[header(20), MEMORY, SIZE]),
    (&["tcp_raw_gen_syncookie_ipv6"], &[header(40), MEMORY, SIZE]),
];

/// The same of variants.
static VARIANTS: [(&str, &[Variant]); 1] = [(
    "get_socket_cookie",
    &[Variant {
        kinds: &[k::SK_REUSEPORT, k::TRACING, k::LSM, k::SYSCALL],
        args: &[arg(ArgKind::SockCommon {
            btf: true,
            release: false,
        })],
        ret: Ret::INT,
        effects: NONE,
    }],
)];

/// Kinds whose programs do not trace.
const NOT_TRACING: &[u32] = &[
    k::SOCKET_FILTER,
    k::SCHED_CLS,
    k::SCHED_ACT,
    k::XDP,
    k::CGROUP_SKB,
    k::CGROUP_SOCK,
    k::LWT_IN,
    k::LWT_OUT,
    k::LWT_XMIT,
    k::SOCK_OPS,
    k::SK_SKB,
    k::CGROUP_DEVICE,
    k::SK_MSG,
    k::CGROUP_SOCK_ADDR,
    k::LWT_SEG6LOCAL,
    k::SK_REUSEPORT,
    k::FLOW_DISSECTOR,
    k::CGROUP_SYSCTL,
    k::CGROUP_SOCKOPT,
    k::SK_LOOKUP,
    k::NETFILTER,
];

/// Kinds whose programs see packets or sockets, of which those of control groups see packets only.
const NETWORK: &[u32] = &[
    k::SOCKET_FILTER,
    k::SCHED_CLS,
    k::SCHED_ACT,
    k::XDP,
    k::CGROUP_SKB,
    k::LWT_IN,
    k::LWT_OUT,
    k::LWT_XMIT,
    k::SOCK_OPS,
    k::SK_SKB,
    k::LWT_SEG6LOCAL,
    k::SK_REUSEPORT,
    k::FLOW_DISSECTOR,
    k::SK_LOOKUP,
    k::NETFILTER,
];

const SINCE_6_18: &[Later] = &[
    later(
        NOT_TRACING,
        &[
            "copy_from_user",
            "copy_from_user_task",
            "find_vma",
            "get_branch_snapshot",
            "get_task_stack",
            "perf_event_read",
            "perf_event_read_value",
            "send_signal",
            "send_signal_thread",
            "task_storage_delete",
            "task_storage_get",
        ],
    ),
    later(
        NETWORK,
        &[
            "current_task_under_cgroup",
            "get_current_comm",
            "get_current_uid_gid",
        ],
    ),
    later(
        &[k::SK_MSG],
        &["current_task_under_cgroup", "get_current_comm"],
    ),
    later(
        &[
            k::SOCKET_FILTER,
            k::KPROBE,
            k::TRACEPOINT,
            k::XDP,
            k::PERF_EVENT,
            k::CGROUP_SKB,
            k::SOCK_OPS,
            k::SK_SKB,
            k::RAW_TRACEPOINT,
            k::SK_REUSEPORT,
            k::FLOW_DISSECTOR,
            k::RAW_TRACEPOINT_WRITABLE,
            k::TRACING,
            k::LSM,
            k::STRUCT_OPS,
            k::SK_LOOKUP,
            k::SYSCALL,
            k::NETFILTER,
        ],
        &["get_cgroup_classid"],
    ),
    later(
        &[k::SOCKET_FILTER, k::SCHED_CLS, k::SCHED_ACT, k::CGROUP_SKB],
        &["get_netns_cookie"],
    ),
    later(&[k::LWT_SEG6LOCAL], &["skb_pull_data"]),
    Later {
        kinds: &[k::CGROUP_SOCK_ADDR],
        attach: &[52, 53],
        helpers: &["getsockopt", "setsockopt"],
    },
];

const SINCE_6_12: &[Later] = &[
    later(NOT_TRACING, &["get_ns_current_pid_tgid"]),
    later(
        NETWORK,
        &[
            "get_current_ancestor_cgroup_id",
            "get_current_cgroup_id",
            "get_current_pid_tgid",
        ],
    ),
    later(
        &[
            k::CGROUP_DEVICE,
            k::CGROUP_SOCK,
            k::CGROUP_SOCK_ADDR,
            k::CGROUP_SOCKOPT,
            k::CGROUP_SYSCTL,
        ],
        &["current_task_under_cgroup"],
    ),
    later(
        &[k::RAW_TRACEPOINT, k::RAW_TRACEPOINT_WRITABLE, k::TRACING],
        &["get_attach_cookie"],
    ),
];

const fn later(kinds: &'static [u32], helpers: &'static [&'static str]) -> Later {
    Later {
        kinds,
        attach: &[],
        helpers,
    }
}

/// What each kind of program may call only since a version; the first row that matches says all of it.
const KFUNCS: &[(Version, &[&str], &[u32])] = &[
    (
        Version(6, 12),
        &["bpf_kfunc_call_memb_release", "bpf_kfunc_call_test_release"],
        &[k::KPROBE, k::TRACEPOINT, k::PERF_EVENT],
    ),
    (
        Version(6, 12),
        &[
            "bpf_key_put",
            "bpf_lookup_system_key",
            "bpf_lookup_user_key",
            "crash_kexec",
        ],
        NOT_TRACED,
    ),
    (
        Version(6, 18),
        &[
            "bpf_key_put",
            "bpf_lookup_system_key",
            "bpf_lookup_user_key",
        ],
        NOT_TRACED_6_12,
    ),
    (
        Version(6, 18),
        &[
            "bpf_cgroup_acquire",
            "bpf_cgroup_ancestor",
            "bpf_cgroup_from_id",
            "bpf_cgroup_release",
            "bpf_dynptr_from_skb",
            "bpf_list_pop_back",
            "bpf_list_pop_front",
            "bpf_list_push_back_impl",
            "bpf_list_push_front_impl",
            "bpf_obj_drop_impl",
            "bpf_obj_new_impl",
            "bpf_percpu_obj_drop_impl",
            "bpf_percpu_obj_new_impl",
            "bpf_rbtree_add_impl",
            "bpf_rbtree_first",
            "bpf_rbtree_remove",
            "bpf_refcount_acquire_impl",
            "bpf_sock_addr_set_sun_path",
            "bpf_task_acquire",
            "bpf_task_from_pid",
            "bpf_task_get_cgroup1",
            "bpf_task_release",
            "bpf_task_under_cgroup",
            "bpf_throw",
            "crash_kexec",
        ],
        &[k::SOCK_OPS],
    ),
];

const NOT_TRACED: &[u32] = &[
    k::SCHED_CLS,
    k::SCHED_ACT,
    k::TRACEPOINT,
    k::XDP,
    k::PERF_EVENT,
    k::CGROUP_SKB,
    k::CGROUP_SOCK,
    k::SOCK_OPS,
    k::CGROUP_DEVICE,
    k::CGROUP_SOCK_ADDR,
    k::CGROUP_SYSCTL,
    k::CGROUP_SOCKOPT,
    k::SYSCALL,
];

const NOT_TRACED_6_12: &[u32] = &[
    k::SCHED_CLS,
    k::SCHED_ACT,
    k::XDP,
    k::CGROUP_SKB,
    k::CGROUP_SOCK,
    k::SOCK_OPS,
    k::CGROUP_DEVICE,
    k::CGROUP_SOCK_ADDR,
    k::CGROUP_SYSCTL,
    k::CGROUP_SOCKOPT,
    k::SYSCALL,
];
