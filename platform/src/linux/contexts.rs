//! Layouts of contexts and of the socket structures that they lead to, as rows.
//!
//! Names, offsets and sizes are those of the user API structures (`linux/bpf.h`, Linux 6.18).
//! Which widths each program kind may read and write was measured on Linux 6.18, access by access,
//! and `tests/kernel_context.rs` measures it again.

use super::OLDEST;
use crate::{Field, FieldKind, Stores, Version, Widths};

const fn field(name: &'static str, offset: u32, size: u32, kind: FieldKind, read: u8) -> Field {
    Field {
        name,
        offset,
        size,
        kind,
        read: Widths(read),
        write: Widths::NONE,
        head: false,
        attach: &[],
        since: OLDEST,
        stores: Stores::Anything,
    }
}

impl Field {
    const fn writable(mut self, widths: u8) -> Field {
        self.write = Widths(widths);
        self
    }

    const fn head(mut self) -> Field {
        self.head = true;
        self
    }

    const fn since(mut self, since: Version) -> Field {
        self.since = since;
        self
    }

    const fn attach(mut self, attach: &'static [u32]) -> Field {
        self.attach = attach;
        self
    }
}

/// `struct __sk_buff`, 192 bytes.
pub static SOCKET_FILTER: &[Field] = &[
    field("len", 0, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("pkt_type", 4, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("mark", 8, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("queue_mapping", 12, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("protocol", 16, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("vlan_present", 20, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("vlan_tci", 24, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("vlan_proto", 28, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("priority", 32, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("ingress_ifindex", 36, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("ifindex", 40, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("tc_index", 44, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("cb", 48, 20, FieldKind::Scalar, 1 | 2 | 4 | 8).writable(1 | 2 | 4 | 8),
    field("hash", 68, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("napi_id", 84, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("gso_segs", 164, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("sk", 168, 8, FieldKind::SockCommon { nullable: true }, 8),
    field("gso_size", 176, 4, FieldKind::Scalar, 1 | 2 | 4),
];

/// `struct __sk_buff`, 192 bytes.
pub static SCHED_CLS: &[Field] = &[
    field("len", 0, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("pkt_type", 4, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("mark", 8, 4, FieldKind::Scalar, 1 | 2 | 4).writable(4),
    field("queue_mapping", 12, 4, FieldKind::Scalar, 1 | 2 | 4).writable(4),
    field("protocol", 16, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("vlan_present", 20, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("vlan_tci", 24, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("vlan_proto", 28, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("priority", 32, 4, FieldKind::Scalar, 1 | 2 | 4).writable(4),
    field("ingress_ifindex", 36, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("ifindex", 40, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("tc_index", 44, 4, FieldKind::Scalar, 1 | 2 | 4).writable(4),
    field("cb", 48, 20, FieldKind::Scalar, 1 | 2 | 4 | 8).writable(1 | 2 | 4 | 8),
    field("hash", 68, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("tc_classid", 72, 4, FieldKind::Scalar, 1 | 2 | 4).writable(4),
    field("data", 76, 4, FieldKind::PacketData, 4),
    field("data_end", 80, 4, FieldKind::PacketEnd, 4),
    field("napi_id", 84, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("data_meta", 140, 4, FieldKind::PacketMeta, 4),
    field("tstamp", 152, 8, FieldKind::Scalar, 8).writable(8),
    field("wire_len", 160, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("gso_segs", 164, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("sk", 168, 8, FieldKind::SockCommon { nullable: true }, 8),
    field("gso_size", 176, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("tstamp_type", 180, 1, FieldKind::Scalar, 1),
    field("hwtstamp", 184, 8, FieldKind::Scalar, 8),
];

/// `struct __sk_buff`, 192 bytes.
pub static CGROUP_SKB: &[Field] = &[
    field("len", 0, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("pkt_type", 4, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("mark", 8, 4, FieldKind::Scalar, 1 | 2 | 4).writable(4),
    field("queue_mapping", 12, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("protocol", 16, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("vlan_present", 20, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("vlan_tci", 24, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("vlan_proto", 28, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("priority", 32, 4, FieldKind::Scalar, 1 | 2 | 4).writable(4),
    field("ingress_ifindex", 36, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("ifindex", 40, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("tc_index", 44, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("cb", 48, 20, FieldKind::Scalar, 1 | 2 | 4 | 8).writable(1 | 2 | 4 | 8),
    field("hash", 68, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("data", 76, 4, FieldKind::PacketData, 4),
    field("data_end", 80, 4, FieldKind::PacketEnd, 4),
    field("napi_id", 84, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("family", 88, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("remote_ip4", 92, 4, FieldKind::Scalar, 4),
    field("local_ip4", 96, 4, FieldKind::Scalar, 4),
    field("remote_ip6", 100, 16, FieldKind::Scalar, 4),
    field("local_ip6", 116, 16, FieldKind::Scalar, 4),
    field("remote_port", 132, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("local_port", 136, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("tstamp", 152, 8, FieldKind::Scalar, 8).writable(8),
    field("gso_segs", 164, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("sk", 168, 8, FieldKind::SockCommon { nullable: true }, 8),
    field("gso_size", 176, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("hwtstamp", 184, 8, FieldKind::Scalar, 8),
];

/// `struct __sk_buff`, 192 bytes.
pub static LWT: &[Field] = &[
    field("len", 0, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("pkt_type", 4, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("mark", 8, 4, FieldKind::Scalar, 1 | 2 | 4).writable(4),
    field("queue_mapping", 12, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("protocol", 16, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("vlan_present", 20, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("vlan_tci", 24, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("vlan_proto", 28, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("priority", 32, 4, FieldKind::Scalar, 1 | 2 | 4).writable(4),
    field("ingress_ifindex", 36, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("ifindex", 40, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("tc_index", 44, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("cb", 48, 20, FieldKind::Scalar, 1 | 2 | 4 | 8).writable(1 | 2 | 4 | 8),
    field("hash", 68, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("data", 76, 4, FieldKind::PacketData, 4),
    field("data_end", 80, 4, FieldKind::PacketEnd, 4),
    field("napi_id", 84, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("gso_segs", 164, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("sk", 168, 8, FieldKind::SockCommon { nullable: true }, 8),
    field("gso_size", 176, 4, FieldKind::Scalar, 1 | 2 | 4),
];

/// `struct __sk_buff`, 192 bytes.
pub static SK_SKB: &[Field] = &[
    field("len", 0, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("pkt_type", 4, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("queue_mapping", 12, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("protocol", 16, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("vlan_present", 20, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("vlan_tci", 24, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("vlan_proto", 28, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("priority", 32, 4, FieldKind::Scalar, 1 | 2 | 4).writable(4),
    field("ingress_ifindex", 36, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("ifindex", 40, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("tc_index", 44, 4, FieldKind::Scalar, 1 | 2 | 4).writable(4),
    field("cb", 48, 20, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("hash", 68, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("data", 76, 4, FieldKind::PacketData, 4),
    field("data_end", 80, 4, FieldKind::PacketEnd, 4),
    field("napi_id", 84, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("family", 88, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("remote_ip4", 92, 4, FieldKind::Scalar, 4),
    field("local_ip4", 96, 4, FieldKind::Scalar, 4),
    field("remote_ip6", 100, 16, FieldKind::Scalar, 4),
    field("local_ip6", 116, 16, FieldKind::Scalar, 4),
    field("remote_port", 132, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("local_port", 136, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("gso_segs", 164, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("sk", 168, 8, FieldKind::SockCommon { nullable: true }, 8),
    field("gso_size", 176, 4, FieldKind::Scalar, 1 | 2 | 4),
];

/// `struct __sk_buff`, 192 bytes.
pub static FLOW_DISSECTOR: &[Field] = &[
    field("data", 76, 4, FieldKind::PacketData, 4),
    field("data_end", 80, 4, FieldKind::PacketEnd, 4),
    field("flow_keys", 144, 8, FieldKind::FlowKeys, 8),
];

/// `struct xdp_md`, 24 bytes.
pub static XDP_MD: &[Field] = &[
    field("data", 0, 4, FieldKind::PacketData, 4),
    field("data_end", 4, 4, FieldKind::PacketEnd, 4),
    field("data_meta", 8, 4, FieldKind::PacketMeta, 4),
    field("ingress_ifindex", 12, 4, FieldKind::Scalar, 4),
    field("rx_queue_index", 16, 4, FieldKind::Scalar, 4),
    field("egress_ifindex", 20, 4, FieldKind::Scalar, 4).attach(&[33]),
];

/// `struct pt_regs`, 168 bytes.
pub static PT_REGS: &[Field] = &[
    field("r15", 0, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("r14", 8, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("r13", 16, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("r12", 24, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("bp", 32, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("bx", 40, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("r11", 48, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("r10", 56, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("r9", 64, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("r8", 72, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("ax", 80, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("cx", 88, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("dx", 96, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("si", 104, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("di", 112, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("orig_ax", 120, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("ip", 128, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("cs", 136, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("flags", 144, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("sp", 152, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("ss", 160, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
];

/// `struct bpf_perf_event_data`, 184 bytes.
pub static PERF_EVENT_DATA: &[Field] = &[
    field("regs", 0, 168, FieldKind::Scalar, 8),
    field("sample_period", 168, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
    field("addr", 176, 8, FieldKind::Scalar, 1 | 2 | 4 | 8),
];

/// `struct bpf_cgroup_dev_ctx`, 12 bytes.
pub static CGROUP_DEV: &[Field] = &[
    field("access_type", 0, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("major", 4, 4, FieldKind::Scalar, 4),
    field("minor", 8, 4, FieldKind::Scalar, 4),
];

/// `struct bpf_sysctl`, 8 bytes.
pub static SYSCTL: &[Field] = &[
    field("write", 0, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("file_pos", 4, 4, FieldKind::Scalar, 1 | 2 | 4).writable(4),
];

/// `struct bpf_sock_ops`, 224 bytes.
pub static SOCK_OPS: &[Field] = &[
    field("op", 0, 4, FieldKind::Scalar, 4),
    field("args", 4, 16, FieldKind::Scalar, 4),
    field("reply", 4, 4, FieldKind::Scalar, 0).writable(4),
    field("family", 20, 4, FieldKind::Scalar, 4),
    field("remote_ip4", 24, 4, FieldKind::Scalar, 4),
    field("local_ip4", 28, 4, FieldKind::Scalar, 4),
    field("remote_ip6", 32, 16, FieldKind::Scalar, 4),
    field("local_ip6", 48, 16, FieldKind::Scalar, 4),
    field("remote_port", 64, 4, FieldKind::Scalar, 4),
    field("local_port", 68, 4, FieldKind::Scalar, 4),
    field("is_fullsock", 72, 4, FieldKind::Scalar, 4),
    field("snd_cwnd", 76, 4, FieldKind::Scalar, 4),
    field("srtt_us", 80, 4, FieldKind::Scalar, 4),
    field("bpf_sock_ops_cb_flags", 84, 4, FieldKind::Scalar, 4),
    field("state", 88, 4, FieldKind::Scalar, 4),
    field("rtt_min", 92, 4, FieldKind::Scalar, 4),
    field("snd_ssthresh", 96, 4, FieldKind::Scalar, 4),
    field("rcv_nxt", 100, 4, FieldKind::Scalar, 4),
    field("snd_nxt", 104, 4, FieldKind::Scalar, 4),
    field("snd_una", 108, 4, FieldKind::Scalar, 4),
    field("mss_cache", 112, 4, FieldKind::Scalar, 4),
    field("ecn_flags", 116, 4, FieldKind::Scalar, 4),
    field("rate_delivered", 120, 4, FieldKind::Scalar, 4),
    field("rate_interval_us", 124, 4, FieldKind::Scalar, 4),
    field("packets_out", 128, 4, FieldKind::Scalar, 4),
    field("retrans_out", 132, 4, FieldKind::Scalar, 4),
    field("total_retrans", 136, 4, FieldKind::Scalar, 4),
    field("segs_in", 140, 4, FieldKind::Scalar, 4),
    field("data_segs_in", 144, 4, FieldKind::Scalar, 4),
    field("segs_out", 148, 4, FieldKind::Scalar, 4),
    field("data_segs_out", 152, 4, FieldKind::Scalar, 4),
    field("lost_out", 156, 4, FieldKind::Scalar, 4),
    field("sacked_out", 160, 4, FieldKind::Scalar, 4),
    field("sk_txhash", 164, 4, FieldKind::Scalar, 4).writable(4),
    field("bytes_received", 168, 8, FieldKind::Scalar, 8),
    field("bytes_acked", 176, 8, FieldKind::Scalar, 8),
    field("sk", 184, 8, FieldKind::Socket { nullable: true }, 8),
    field("skb_data", 192, 8, FieldKind::PacketData, 8),
    field("skb_data_end", 200, 8, FieldKind::PacketEnd, 8),
    field("skb_len", 208, 4, FieldKind::Scalar, 4),
    field("skb_tcp_flags", 212, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
    field("skb_hwtstamp", 216, 8, FieldKind::Scalar, 8).since(Version(6, 2)),
];

/// `struct sk_msg_md`, 80 bytes.
pub static SK_MSG: &[Field] = &[
    field("data", 0, 8, FieldKind::PacketData, 8),
    field("data_end", 8, 8, FieldKind::PacketEnd, 8),
    field("family", 16, 4, FieldKind::Scalar, 4),
    field("remote_ip4", 20, 4, FieldKind::Scalar, 4),
    field("local_ip4", 24, 4, FieldKind::Scalar, 4),
    field("remote_ip6", 28, 16, FieldKind::Scalar, 4),
    field("local_ip6", 44, 16, FieldKind::Scalar, 4),
    field("remote_port", 60, 4, FieldKind::Scalar, 4),
    field("local_port", 64, 4, FieldKind::Scalar, 4),
    field("size", 68, 4, FieldKind::Scalar, 4),
    field("sk", 72, 8, FieldKind::Socket { nullable: false }, 8),
];

/// `struct sk_reuseport_md`, 56 bytes.
pub static SK_REUSEPORT: &[Field] = &[
    field("data", 0, 8, FieldKind::PacketData, 8),
    field("data_end", 8, 8, FieldKind::PacketEnd, 8),
    field("len", 16, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("eth_protocol", 20, 4, FieldKind::Scalar, 2 | 4),
    field("ip_protocol", 24, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("bind_inany", 28, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("hash", 32, 4, FieldKind::Scalar, 4),
    field("sk", 40, 8, FieldKind::Socket { nullable: false }, 8),
    field(
        "migrating_sk",
        48,
        8,
        FieldKind::SockCommon { nullable: true },
        8,
    ),
];

/// `struct bpf_sk_lookup`, 72 bytes.
pub static SK_LOOKUP: &[Field] = &[
    field("sk", 0, 8, FieldKind::Socket { nullable: true }, 8),
    field("family", 8, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("protocol", 12, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("remote_ip4", 16, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("remote_ip6", 20, 16, FieldKind::Scalar, 1 | 2 | 4),
    field("remote_port", 36, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("local_ip4", 40, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("local_ip6", 44, 16, FieldKind::Scalar, 1 | 2 | 4),
    field("local_port", 60, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("ingress_ifindex", 64, 4, FieldKind::Scalar, 1 | 2 | 4),
];

/// `struct bpf_sockopt`, 40 bytes.
pub static SOCKOPT: &[Field] = &[
    field("sk", 0, 8, FieldKind::Socket { nullable: false }, 8),
    field("optval", 8, 8, FieldKind::SockoptStart, 8),
    field("optval_end", 16, 8, FieldKind::SockoptEnd, 8),
    field("level", 24, 4, FieldKind::Scalar, 4).attach(&[21]),
    field("level", 24, 4, FieldKind::Scalar, 4)
        .writable(4)
        .attach(&[22]),
    field("optname", 28, 4, FieldKind::Scalar, 4).attach(&[21]),
    field("optname", 28, 4, FieldKind::Scalar, 4)
        .writable(4)
        .attach(&[22]),
    field("optlen", 32, 4, FieldKind::Scalar, 4).writable(4),
    field("retval", 36, 4, FieldKind::Scalar, 4)
        .writable(4)
        .attach(&[21]),
];

/// `struct bpf_sock`, 80 bytes.
pub static CGROUP_SOCK: &[Field] = &[
    field("bound_dev_if", 0, 4, FieldKind::Scalar, 4)
        .writable(4)
        .attach(&[2, 34]),
    field("family", 4, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
    field("type", 8, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
    field("protocol", 12, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
    field("mark", 16, 4, FieldKind::Scalar, 4)
        .writable(4)
        .attach(&[2, 34]),
    field("priority", 20, 4, FieldKind::Scalar, 4)
        .writable(4)
        .attach(&[2, 34]),
    field("src_ip4", 24, 4, FieldKind::Scalar, 1 | 2 | 4).attach(&[12]),
    field("src_ip6", 28, 16, FieldKind::Scalar, 1 | 2 | 4).attach(&[13]),
    field("src_port", 44, 4, FieldKind::Scalar, 1 | 2 | 4)
        .head()
        .attach(&[12, 13]),
    field("dst_port", 48, 2, FieldKind::Scalar, 1 | 2),
    field("dst_port", 48, 4, FieldKind::Scalar, 4),
    field("dst_ip4", 52, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("dst_ip6", 56, 16, FieldKind::Scalar, 1 | 2 | 4),
    field("state", 72, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
    field("rx_queue_mapping", 76, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
];

/// `struct bpf_sock_addr`, 72 bytes.
pub static SOCK_ADDR: &[Field] = &[
    field("user_family", 0, 4, FieldKind::Scalar, 4),
    field("user_ip4", 4, 4, FieldKind::Scalar, 1 | 2 | 4)
        .writable(4)
        .attach(&[8, 10, 14, 19, 29, 31]),
    field("user_ip6", 8, 16, FieldKind::Scalar, 1 | 2 | 4 | 8)
        .writable(4 | 8)
        .attach(&[9, 11, 15, 20, 30, 32]),
    field("user_port", 24, 4, FieldKind::Scalar, 1 | 2 | 4).writable(4),
    field("family", 28, 4, FieldKind::Scalar, 4),
    field("type", 32, 4, FieldKind::Scalar, 4),
    field("protocol", 36, 4, FieldKind::Scalar, 4),
    field("msg_src_ip4", 40, 4, FieldKind::Scalar, 1 | 2 | 4)
        .writable(4)
        .attach(&[14]),
    field("msg_src_ip6", 44, 16, FieldKind::Scalar, 1 | 2 | 4 | 8)
        .writable(4 | 8)
        .attach(&[15]),
    field("sk", 64, 8, FieldKind::Socket { nullable: false }, 8),
];

/// `struct bpf_sock`, 80 bytes.
pub static SOCK: &[Field] = &[
    field("bound_dev_if", 0, 4, FieldKind::Scalar, 4),
    field("family", 4, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
    field("type", 8, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
    field("protocol", 12, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
    field("mark", 16, 4, FieldKind::Scalar, 4),
    field("priority", 20, 4, FieldKind::Scalar, 4),
    field("src_ip4", 24, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("src_ip6", 28, 16, FieldKind::Scalar, 1 | 2 | 4),
    field("src_port", 44, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
    field("dst_port", 48, 2, FieldKind::Scalar, 1 | 2),
    field("dst_port", 48, 4, FieldKind::Scalar, 4),
    field("dst_ip4", 52, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("dst_ip6", 56, 16, FieldKind::Scalar, 1 | 2 | 4),
    field("state", 72, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
    field("rx_queue_mapping", 76, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
];

/// `struct bpf_sock`, 80 bytes.
pub static SOCK_COMMON: &[Field] = &[
    field("bound_dev_if", 0, 4, FieldKind::Scalar, 4),
    field("family", 4, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
    field("src_ip4", 24, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("src_ip6", 28, 16, FieldKind::Scalar, 1 | 2 | 4),
    field("src_port", 44, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
    field("dst_port", 48, 2, FieldKind::Scalar, 1 | 2),
    field("dst_port", 48, 4, FieldKind::Scalar, 4),
    field("dst_ip4", 52, 4, FieldKind::Scalar, 1 | 2 | 4),
    field("dst_ip6", 56, 16, FieldKind::Scalar, 1 | 2 | 4),
    field("state", 72, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
    field("rx_queue_mapping", 76, 4, FieldKind::Scalar, 1 | 2 | 4).head(),
];

/// `struct bpf_tcp_sock`, 112 bytes.
pub static TCP_SOCK: &[Field] = &[
    field("snd_cwnd", 0, 4, FieldKind::Scalar, 4),
    field("srtt_us", 4, 4, FieldKind::Scalar, 4),
    field("rtt_min", 8, 4, FieldKind::Scalar, 4),
    field("snd_ssthresh", 12, 4, FieldKind::Scalar, 4),
    field("rcv_nxt", 16, 4, FieldKind::Scalar, 4),
    field("snd_nxt", 20, 4, FieldKind::Scalar, 4),
    field("snd_una", 24, 4, FieldKind::Scalar, 4),
    field("mss_cache", 28, 4, FieldKind::Scalar, 4),
    field("ecn_flags", 32, 4, FieldKind::Scalar, 4),
    field("rate_delivered", 36, 4, FieldKind::Scalar, 4),
    field("rate_interval_us", 40, 4, FieldKind::Scalar, 4),
    field("packets_out", 44, 4, FieldKind::Scalar, 4),
    field("retrans_out", 48, 4, FieldKind::Scalar, 4),
    field("total_retrans", 52, 4, FieldKind::Scalar, 4),
    field("segs_in", 56, 4, FieldKind::Scalar, 4),
    field("data_segs_in", 60, 4, FieldKind::Scalar, 4),
    field("segs_out", 64, 4, FieldKind::Scalar, 4),
    field("data_segs_out", 68, 4, FieldKind::Scalar, 4),
    field("lost_out", 72, 4, FieldKind::Scalar, 4),
    field("sacked_out", 76, 4, FieldKind::Scalar, 4),
    field("bytes_received", 80, 8, FieldKind::Scalar, 8),
    field("bytes_acked", 88, 8, FieldKind::Scalar, 8),
    field("dsack_dups", 96, 4, FieldKind::Scalar, 4),
    field("delivered", 100, 4, FieldKind::Scalar, 4),
    field("delivered_ce", 104, 4, FieldKind::Scalar, 4),
    field("icsk_retransmits", 108, 4, FieldKind::Scalar, 4),
];

/// The event of an infrared receiver, 4 bytes.
pub static LIRC: &[Field] = &[field("event", 0, 4, FieldKind::Scalar, 4)];

/// `struct bpf_xdp_sock`, 4 bytes.
pub static XDP_SOCK: &[Field] = &[field("queue_id", 0, 4, FieldKind::Scalar, 4)];

/// `struct bpf_raw_tracepoint_args` of writable raw tracepoints, whose first argument is a buffer.
pub static WRITABLE_ARGS: &[Field] = &[
    field("args[0]", 0, 8, FieldKind::TracepointBuffer, 8),
    // The kernel sees the buffer only in loads at offset 0; parts further on are numbers to it.
    field("args[0]", 1, 7, FieldKind::Scalar, 1 | 2 | 4),
    field("args", 8, 88, FieldKind::Scalar, 1 | 2 | 4 | 8),
];

/// `struct bpf_nf_ctx`, 16 bytes.
pub static NETFILTER: &[Field] = &[
    field(
        "state",
        0,
        8,
        FieldKind::Btf {
            name: "nf_hook_state",
            nullable: false,
        },
        8,
    ),
    field(
        "skb",
        8,
        8,
        FieldKind::Btf {
            name: "sk_buff",
            nullable: false,
        },
        8,
    ),
];
