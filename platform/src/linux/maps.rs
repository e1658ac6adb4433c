//! Linux's map kinds as rows: which helpers take them, sizes, what a lookup gives, first version.
//!
//! Numbers are `enum bpf_map_type`; the pairs of map kinds and helpers are the facts of the verifier's
//! `check_map_func_compatibility` in Linux 6.12, both ways; sizes and flags those of each kind's allocation check.

use super::kinds as k;
use crate::{Lookup, MapKind, Sizes, Values, Version};

/// All map kinds up to Linux 6.18, ascending by number.
pub static MAPS: &[MapKind] = &[
    map(1, "hash", Version(3, 19), EACH_TIMER)
        .value()
        .sleepable()
        .flags(),
    map(2, "array", Version(3, 19), EACH_TIMER)
        .key(4)
        .value()
        .direct()
        .dense()
        .sleepable()
        .flags(),
    map(3, "prog_array", Version(4, 2), &["tail_call"])
        .key(4)
        .value_size(4),
    map(
        4,
        "perf_event_array",
        Version(4, 3),
        &[
            "perf_event_read",
            "perf_event_output",
            "skb_output",
            "perf_event_read_value",
            "xdp_output",
        ],
    )
    .key(4)
    .value_size(4),
    map(5, "percpu_hash", Version(4, 6), EACH_PERCPU)
        .value()
        .percpu()
        .sleepable()
        .flags(),
    map(6, "percpu_array", Version(4, 6), EACH_PERCPU)
        .key(4)
        .value()
        .dense()
        .percpu()
        .sleepable()
        .flags(),
    map(7, "stack_trace", Version(4, 6), &["get_stackid"])
        .key(4)
        .values(Sizes::Words { min: 8, max: 1016 }),
    map(
        8,
        "cgroup_array",
        Version(4, 8),
        &["skb_under_cgroup", "current_task_under_cgroup"],
    )
    .key(4)
    .value_size(4),
    map(9, "lru_hash", Version(4, 10), EACH_TIMER)
        .value()
        .sleepable()
        .flags(),
    map(10, "lru_percpu_hash", Version(4, 10), EACH_PERCPU)
        .value()
        .percpu()
        .sleepable()
        .flags(),
    map(11, "lpm_trie", Version(4, 11), ELEMENTS)
        .value()
        .flags()
        .keys(Sizes::Range { min: 5, max: 260 }),
    map(12, "array_of_maps", Version(4, 12), LOOKUP)
        .key(4)
        .value_size(4)
        .inner()
        .sleepable(),
    map(13, "hash_of_maps", Version(4, 12), LOOKUP)
        .value_size(4)
        .inner()
        .sleepable()
        .flags(),
    map(
        14,
        "devmap",
        Version(4, 14),
        &["redirect_map", "map_lookup_elem"],
    )
    .key(4)
    .value()
    .values(WORD),
    map(
        15,
        "sockmap",
        Version(4, 14),
        &[
            "sk_redirect_map",
            "sock_map_update",
            "msg_redirect_map",
            "sk_select_reuseport",
            "map_lookup_elem",
        ],
    )
    .helpers_in(SOCKMAP_WRITERS)
    .helpers_at(SOCKMAP_ITERATORS)
    .key(4)
    .gives(Lookup::Socket)
    .takes(Values::Sockets)
    .values(WORD),
    map(16, "cpumap", Version(4, 15), &["redirect_map"])
        .key(4)
        .values(WORD),
    map(
        17,
        "xskmap",
        Version(4, 18),
        &["redirect_map", "map_lookup_elem"],
    )
    .key(4)
    .value_size(4)
    .gives(Lookup::XdpSock),
    map(
        18,
        "sockhash",
        Version(4, 18),
        &[
            "sk_redirect_hash",
            "sock_hash_update",
            "msg_redirect_hash",
            "sk_select_reuseport",
            "map_lookup_elem",
        ],
    )
    .helpers_in(SOCKMAP_WRITERS)
    .helpers_at(SOCKMAP_ITERATORS)
    .gives(Lookup::Socket)
    .takes(Values::Sockets)
    .keys(Sizes::Range { min: 1, max: 512 })
    .values(WORD),
    map(19, "cgroup_storage", Version(4, 19), &["get_local_storage"])
        .local()
        .flags()
        .keys(Sizes::OneOf(&[8, 16])),
    map(
        20,
        "reuseport_sockarray",
        Version(4, 19),
        &["sk_select_reuseport"],
    )
    .key(4)
    .values(WORD)
    .flags(),
    map(
        21,
        "percpu_cgroup_storage",
        Version(4, 20),
        &["get_local_storage"],
    )
    .local()
    .percpu()
    .flags()
    .keys(Sizes::OneOf(&[8, 16])),
    map(22, "queue", Version(4, 20), QUEUE)
        .key(0)
        .sleepable()
        .flags(),
    map(23, "stack", Version(4, 20), QUEUE)
        .key(0)
        .sleepable()
        .flags(),
    map(
        24,
        "sk_storage",
        Version(5, 2),
        &["sk_storage_get", "sk_storage_delete", "kptr_xchg"],
    )
    .key(4)
    .local()
    .sleepable(),
    map(
        25,
        "devmap_hash",
        Version(5, 4),
        &["redirect_map", "map_lookup_elem"],
    )
    .key(4)
    .value()
    .values(WORD),
    map(26, "struct_ops", Version(5, 6), &[]).key(4),
    map(
        27,
        "ringbuf",
        Version(5, 8),
        &[
            "ringbuf_output",
            "ringbuf_reserve",
            "ringbuf_query",
            "ringbuf_reserve_dynptr",
            "ringbuf_submit_dynptr",
            "ringbuf_discard_dynptr",
        ],
    )
    .key(0)
    .value_size(0)
    .sleepable(),
    map(
        28,
        "inode_storage",
        Version(5, 10),
        &["inode_storage_get", "inode_storage_delete", "kptr_xchg"],
    )
    .key(4)
    .local()
    .sleepable(),
    map(
        29,
        "task_storage",
        Version(5, 11),
        &["task_storage_get", "task_storage_delete", "kptr_xchg"],
    )
    .key(4)
    .local()
    .sleepable(),
    map(
        30,
        "bloom_filter",
        Version(5, 16),
        &["map_peek_elem", "map_push_elem"],
    )
    .key(0)
    .flags(),
    map(31, "user_ringbuf", Version(6, 1), &["user_ringbuf_drain"])
        .key(0)
        .value_size(0)
        .sleepable(),
    map(
        32,
        "cgrp_storage",
        Version(6, 2),
        &["cgrp_storage_get", "cgrp_storage_delete", "kptr_xchg"],
    )
    .key(4)
    .local()
    .sleepable(),
    map(33, "arena", Version(6, 9), &[])
        .key(0)
        .value_size(0)
        .sleepable()
        .arena()
        .direct(),
];

const POSITIVE: Sizes = Sizes::Range {
    min: 1,
    max: u32::MAX,
};
/// A number or a cookie of 64 bits.
const WORD: Sizes = Sizes::OneOf(&[4, 8]);
const LOOKUP: &[&str] = &["map_lookup_elem"];
const ELEMENTS: &[&str] = &["map_lookup_elem", "map_update_elem", "map_delete_elem"];
const EACH_TIMER: &[&str] = &[
    "map_lookup_elem",
    "map_update_elem",
    "map_delete_elem",
    "for_each_map_elem",
    "timer_init",
];
const EACH_PERCPU: &[&str] = &[
    "map_lookup_elem",
    "map_update_elem",
    "map_delete_elem",
    "for_each_map_elem",
    "map_lookup_percpu_elem",
];
const QUEUE: &[&str] = &["map_peek_elem", "map_pop_elem", "map_push_elem"];
const SOCKMAP_WRITERS: &[(&[u32], &[&str])] = &[
    (
        &[
            k::SOCKET_FILTER,
            k::SCHED_CLS,
            k::SCHED_ACT,
            k::XDP,
            k::SK_REUSEPORT,
            k::FLOW_DISSECTOR,
            k::SK_LOOKUP,
        ],
        &["map_update_elem", "map_delete_elem"],
    ),
    (&[k::SOCK_OPS], &["map_delete_elem"]),
];

/// Tracing programs write to maps of sockets as iterators only.
const SOCKMAP_ITERATORS: &[(&[u32], &[&str])] =
    &[(&[TRACE_ITER], &["map_update_elem", "map_delete_elem"])];
/// `enum bpf_attach_type`.
const TRACE_ITER: u32 = 28;

/// The kernel's structure behind a map of the kind.
const fn structure(kind: u32) -> &'static str {
    match kind {
        1 | 5 | 9 | 10 | 13 => "bpf_htab",
        2 | 3 | 4 | 6 | 8 | 12 => "bpf_array",
        7 => "bpf_stack_map",
        11 => "lpm_trie",
        14 | 25 => "bpf_dtab",
        15 => "bpf_stab",
        16 => "bpf_cpu_map",
        17 => "xsk_map",
        18 => "bpf_shtab",
        19 | 21 => "bpf_cgroup_storage_map",
        20 => "reuseport_array",
        22 | 23 => "bpf_queue_stack",
        24 | 28 | 29 | 32 => "bpf_local_storage_map",
        26 => "bpf_struct_ops_map",
        27 | 31 => "bpf_ringbuf_map",
        30 => "bpf_bloom_filter",
        33 => "bpf_arena",
        _ => "",
    }
}

const fn map(
    kind: u32,
    name: &'static str,
    since: Version,
    helpers: &'static [&'static str],
) -> MapKind {
    MapKind {
        kind,
        name,
        helpers,
        helpers_in: &[],
        helpers_at: &[],
        structure: structure(kind),
        key_sizes: POSITIVE,
        value_sizes: POSITIVE,
        arena: false,
        direct_value: false,
        value_access: false,
        dense: false,
        inner_map: false,
        percpu: false,
        values: Values::Memory,
        lookup: Lookup::Nothing,
        sleepable: false,
        access_flags: false,
        since,
    }
}

impl MapKind {
    const fn key(mut self, size: u32) -> MapKind {
        self.key_sizes = Sizes::Range {
            min: size,
            max: size,
        };
        self
    }

    const fn value_size(mut self, size: u32) -> MapKind {
        self.value_sizes = Sizes::Range {
            min: size,
            max: size,
        };
        self
    }

    const fn value(mut self) -> MapKind {
        self.value_access = true;
        self.lookup = Lookup::Value;
        self
    }

    const fn keys(mut self, sizes: Sizes) -> MapKind {
        self.key_sizes = sizes;
        self
    }

    const fn values(mut self, sizes: Sizes) -> MapKind {
        self.value_sizes = sizes;
        self
    }

    /// Values are reached by a helper of the kind's own, not by map_lookup_elem.
    const fn local(mut self) -> MapKind {
        self.value_access = true;
        self
    }

    const fn gives(mut self, lookup: Lookup) -> MapKind {
        self.lookup = lookup;
        self
    }

    const fn takes(mut self, values: Values) -> MapKind {
        self.values = values;
        self
    }

    const fn inner(mut self) -> MapKind {
        self.inner_map = true;
        self.lookup = Lookup::Map;
        self
    }

    const fn helpers_in(
        mut self,
        sets: &'static [(&'static [u32], &'static [&'static str])],
    ) -> MapKind {
        self.helpers_in = sets;
        self
    }

    const fn helpers_at(
        mut self,
        sets: &'static [(&'static [u32], &'static [&'static str])],
    ) -> MapKind {
        self.helpers_at = sets;
        self
    }

    const fn arena(mut self) -> MapKind {
        self.arena = true;
        self
    }

    const fn direct(mut self) -> MapKind {
        self.direct_value = true;
        self
    }

    const fn dense(mut self) -> MapKind {
        self.dense = true;
        self
    }

    const fn percpu(mut self) -> MapKind {
        self.percpu = true;
        self
    }

    const fn sleepable(mut self) -> MapKind {
        self.sleepable = true;
        self
    }

    const fn flags(mut self) -> MapKind {
        self.access_flags = true;
        self
    }
}
