//! Numbers of program kinds (`enum bpf_prog_type`) and of attach types (`enum bpf_attach_type`) with their names.
//!
//! Origin: the user API header `linux/bpf.h`, Linux 6.18.

use super::OLDEST;
use crate::Version;

/// Name of an attach type: its enumerator in lower case without `BPF_`.
pub fn attach_name(attach: u32) -> Option<&'static str> {
    ATTACH_NAMES.get(usize::try_from(attach).ok()?).copied()
}

/// Number of an attach type by [`attach_name`].
pub fn attach_by_name(name: &str) -> Option<u32> {
    ATTACH_NAMES
        .iter()
        .position(|n| *n == name)
        .and_then(|at| u32::try_from(at).ok())
}

/// The first version with an attach type; those that [`super::OLDEST`] has count from there.
pub fn attach_since(attach: u32) -> Option<Version> {
    Some(match attach {
        0..=43 => OLDEST,
        44 | 45 => Version(6, 4),
        46..=48 => Version(6, 6),
        49..=55 => Version(6, 7),
        56 => Version(6, 10),
        57 => Version(6, 13),
        _ => return None,
    })
}

pub const SOCKET_FILTER: u32 = 1;
pub const KPROBE: u32 = 2;
pub const SCHED_CLS: u32 = 3;
pub const SCHED_ACT: u32 = 4;
pub const TRACEPOINT: u32 = 5;
pub const XDP: u32 = 6;
pub const PERF_EVENT: u32 = 7;
pub const CGROUP_SKB: u32 = 8;
pub const CGROUP_SOCK: u32 = 9;
pub const LWT_IN: u32 = 10;
pub const LWT_OUT: u32 = 11;
pub const LWT_XMIT: u32 = 12;
pub const SOCK_OPS: u32 = 13;
pub const SK_SKB: u32 = 14;
pub const CGROUP_DEVICE: u32 = 15;
pub const SK_MSG: u32 = 16;
pub const RAW_TRACEPOINT: u32 = 17;
pub const CGROUP_SOCK_ADDR: u32 = 18;
pub const LWT_SEG6LOCAL: u32 = 19;
pub const LIRC_MODE2: u32 = 20;
pub const SK_REUSEPORT: u32 = 21;
pub const FLOW_DISSECTOR: u32 = 22;
pub const CGROUP_SYSCTL: u32 = 23;
pub const RAW_TRACEPOINT_WRITABLE: u32 = 24;
pub const CGROUP_SOCKOPT: u32 = 25;
pub const TRACING: u32 = 26;
pub const STRUCT_OPS: u32 = 27;
pub const EXT: u32 = 28;
pub const LSM: u32 = 29;
pub const SK_LOOKUP: u32 = 30;
pub const SYSCALL: u32 = 31;
pub const NETFILTER: u32 = 32;

/// `enum bpf_attach_type` in lower case without its prefix; the index is the number.
const ATTACH_NAMES: &[&str] = &[
    "cgroup_inet_ingress",            // 0
    "cgroup_inet_egress",             // 1
    "cgroup_inet_sock_create",        // 2
    "cgroup_sock_ops",                // 3
    "sk_skb_stream_parser",           // 4
    "sk_skb_stream_verdict",          // 5
    "cgroup_device",                  // 6
    "sk_msg_verdict",                 // 7
    "cgroup_inet4_bind",              // 8
    "cgroup_inet6_bind",              // 9
    "cgroup_inet4_connect",           // 10
    "cgroup_inet6_connect",           // 11
    "cgroup_inet4_post_bind",         // 12
    "cgroup_inet6_post_bind",         // 13
    "cgroup_udp4_sendmsg",            // 14
    "cgroup_udp6_sendmsg",            // 15
    "lirc_mode2",                     // 16
    "flow_dissector",                 // 17
    "cgroup_sysctl",                  // 18
    "cgroup_udp4_recvmsg",            // 19
    "cgroup_udp6_recvmsg",            // 20
    "cgroup_getsockopt",              // 21
    "cgroup_setsockopt",              // 22
    "trace_raw_tp",                   // 23
    "trace_fentry",                   // 24
    "trace_fexit",                    // 25
    "modify_return",                  // 26
    "lsm_mac",                        // 27
    "trace_iter",                     // 28
    "cgroup_inet4_getpeername",       // 29
    "cgroup_inet6_getpeername",       // 30
    "cgroup_inet4_getsockname",       // 31
    "cgroup_inet6_getsockname",       // 32
    "xdp_devmap",                     // 33
    "cgroup_inet_sock_release",       // 34
    "xdp_cpumap",                     // 35
    "sk_lookup",                      // 36
    "xdp",                            // 37
    "sk_skb_verdict",                 // 38
    "sk_reuseport_select",            // 39
    "sk_reuseport_select_or_migrate", // 40
    "perf_event",                     // 41
    "trace_kprobe_multi",             // 42
    "lsm_cgroup",                     // 43
    "struct_ops",                     // 44
    "netfilter",                      // 45
    "tcx_ingress",                    // 46
    "tcx_egress",                     // 47
    "trace_uprobe_multi",             // 48
    "cgroup_unix_connect",            // 49
    "cgroup_unix_sendmsg",            // 50
    "cgroup_unix_recvmsg",            // 51
    "cgroup_unix_getpeername",        // 52
    "cgroup_unix_getsockname",        // 53
    "netkit_primary",                 // 54
    "netkit_peer",                    // 55
    "trace_kprobe_session",           // 56
    "trace_uprobe_session",           // 57
];
