//! Linux's `struct_ops` structures as rows.
//!
//! Facts of `net/ipv4/bpf_tcp_ca.c`, `net/bpf/bpf_dummy_struct_ops.c`, `net/sched/bpf_qdisc.c`,
//! `kernel/sched/ext.c` and `drivers/hid/bpf/hid_bpf_struct_ops.c`.

use super::helper_sets as h;
use crate::{StructOps, Version, Writable};

/// Ascending by name.
pub const STRUCT_OPS: &[StructOps] = &[
    StructOps {
        unsupported: QDISC_UNSUPPORTED,
        retyped: &[("enqueue", 2, "bpf_sk_buff_ptr")],
        writable: &[
            field("Qdisc", "limit"),
            field("Qdisc", "q.qlen"),
            field("Qdisc", "qstats"),
            field("sk_buff", "tstamp"),
            // Of the queue's part, what is no one else's.
            Writable {
                structure: "sk_buff",
                field: "cb",
                head: 8,
                tail: 20,
            },
        ],
        ..row("Qdisc_ops", Version(6, 16), &["Qdisc_ops__"], &[h::BASE])
    },
    StructOps {
        sleepable: Some(&["test_sleepable"]),
        writable: &[field("bpf_dummy_ops_state", "")],
        ..row(
            "bpf_dummy_ops",
            Version(5, 16),
            &["bpf_dummy_ops__", "bpf_dummy_"],
            &[],
        )
    },
    StructOps {
        sleepable: Some(&["hid_hw_output_report", "hid_hw_request", "hid_rdesc_fixup"]),
        writable: &[
            field("hid_bpf_ctx", "retval"),
            string("hid_device", "name"),
            string("hid_device", "phys"),
            string("hid_device", "uniq"),
        ],
        ..row(
            "hid_bpf_ops",
            Version(6, 11),
            &["__hid_bpf_", "__"],
            &[h::BASE],
        )
    },
    StructOps {
        sleepable: Some(&[
            "cgroup_exit",
            "cgroup_init",
            "cgroup_prep_move",
            "cpu_offline",
            "cpu_online",
            "exit",
            "init",
            "init_task",
        ]),
        writable: &[
            field("task_struct", "scx.disallow"),
            field("task_struct", "scx.dsq_vtime"),
            field("task_struct", "scx.slice"),
        ],
        ..row(
            "sched_ext_ops",
            Version(6, 12),
            &["sched_ext_ops__"],
            &[h::BASE, &["task_storage_get", "task_storage_delete"]],
        )
    },
    StructOps {
        unsupported: &["get_info"],
        // A congestion control that is on its way out makes no changes.
        without: &[("release", &["setsockopt", "getsockopt"])],
        promoted: &[("sock", "tcp_sock")],
        writable: &[
            field("tcp_sock", "app_limited"),
            field("tcp_sock", "ecn_flags"),
            field("tcp_sock", "inet_conn.icsk_ack.pending"),
            field("tcp_sock", "inet_conn.icsk_ca_priv"),
            field("tcp_sock", "inet_conn.icsk_inet.sk.sk_pacing_rate"),
            field("tcp_sock", "inet_conn.icsk_inet.sk.sk_pacing_status"),
            field("tcp_sock", "snd_cwnd"),
            field("tcp_sock", "snd_cwnd_cnt"),
            field("tcp_sock", "snd_cwnd_stamp"),
            field("tcp_sock", "snd_ssthresh"),
        ],
        ..row(
            "tcp_congestion_ops",
            Version(5, 6),
            &["bpf_tcp_ca_", "__bpf_tcp_ca_"],
            &[h::BASE, h::TCP_CONGESTION],
        )
    },
];

/// All function pointers of `Qdisc_ops` but those that make a queue.
const QDISC_UNSUPPORTED: &[&str] = &[
    "attach",
    "change",
    "change_real_num_tx",
    "change_tx_queue_len",
    "dump",
    "dump_stats",
    "egress_block_get",
    "egress_block_set",
    "ingress_block_get",
    "ingress_block_set",
    "peek",
];

const fn row(
    name: &'static str,
    since: Version,
    stubs: &'static [&'static str],
    helpers: &'static [&'static [&'static str]],
) -> StructOps {
    StructOps {
        name,
        since,
        unsupported: &[],
        sleepable: None,
        stubs,
        helpers,
        without: &[],
        promoted: &[],
        retyped: &[],
        writable: &[],
    }
}

const fn field(structure: &'static str, field: &'static str) -> Writable {
    Writable {
        structure,
        field,
        head: 0,
        tail: 0,
    }
}

const fn string(structure: &'static str, field: &'static str) -> Writable {
    Writable {
        structure,
        field,
        head: 0,
        tail: 1,
    }
}
