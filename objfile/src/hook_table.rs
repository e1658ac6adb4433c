//! Section names libbpf 1.x knows, as one table.
//!
//! Numbers are those of `enum bpf_prog_type` and `enum bpf_attach_type`; spellings and what they
//! stand for are documented in `Documentation/bpf/libbpf/program_types.rst` of Linux.

use crate::{AttachType, ProgType};

/// What may stand after the kind, and how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: the name stands alone.
    No,
    /// `/ANYTHING`: a name of one's own, as aya and libbpf before 1.0 take it.
    Text,
    /// `/CATEGORY/NAME`.
    Tracepoint,
    /// `/NAME`.
    RawTracepoint,
    /// `/FUNC`, `/FUNC+OFF`.
    Function,
    /// The same, at the function's return.
    Return,
    /// `/NAME` of a system call.
    Syscall,
    SyscallReturn,
    /// `/PATTERN`.
    Pattern,
    PatternReturn,
    /// `/PATH:FUNC+OFF`.
    User,
    UserReturn,
    /// `/PATH:PATTERN`.
    UserMulti,
    UserMultiReturn,
    /// `/PATH:PROVIDER:NAME`.
    Usdt,
}

pub(crate) struct Row {
    pub name: &'static str,
    pub prog_type: ProgType,
    pub attach_type: Option<AttachType>,
    pub sleepable: bool,
    pub frags: bool,
    pub rest: Rest,
}

const fn row(
    name: &'static str,
    prog_type: ProgType,
    attach: Option<AttachType>,
    rest: Rest,
) -> Row {
    Row {
        name,
        prog_type,
        attach_type: attach,
        sleepable: false,
        frags: false,
        rest,
    }
}

const fn sleepable(row: Row) -> Row {
    Row {
        sleepable: true,
        ..row
    }
}

const fn frags(row: Row) -> Row {
    Row { frags: true, ..row }
}

const fn at(n: u32) -> Option<AttachType> {
    Some(AttachType(n))
}

use Rest::*;

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    row("socket", ProgType::SOCKET_FILTER, None, Text),
    row("sk_reuseport/migrate", ProgType::SK_REUSEPORT, at(40), No),
    row("sk_reuseport", ProgType::SK_REUSEPORT, at(39), No),
    row("kprobe", ProgType::KPROBE, None, Function),
    row("kretprobe", ProgType::KPROBE, None, Return),
    row("uprobe", ProgType::KPROBE, None, User),
    sleepable(row("uprobe.s", ProgType::KPROBE, None, User)),
    row("uretprobe", ProgType::KPROBE, None, UserReturn),
    sleepable(row("uretprobe.s", ProgType::KPROBE, None, UserReturn)),
    row("kprobe.multi", ProgType::KPROBE, at(42), Pattern),
    row("kretprobe.multi", ProgType::KPROBE, at(42), PatternReturn),
    row("kprobe.session", ProgType::KPROBE, at(56), Pattern),
    row("uprobe.multi", ProgType::KPROBE, at(48), UserMulti),
    sleepable(row("uprobe.multi.s", ProgType::KPROBE, at(48), UserMulti)),
    row("uretprobe.multi", ProgType::KPROBE, at(48), UserMultiReturn),
    sleepable(row("uretprobe.multi.s", ProgType::KPROBE, at(48), UserMultiReturn)),
    row("uprobe.session", ProgType::KPROBE, at(57), UserMulti),
    sleepable(row("uprobe.session.s", ProgType::KPROBE, at(57), UserMulti)),
    row("ksyscall", ProgType::KPROBE, None, Syscall),
    row("kretsyscall", ProgType::KPROBE, None, SyscallReturn),
    row("usdt", ProgType::KPROBE, None, Usdt),
    sleepable(row("usdt.s", ProgType::KPROBE, None, Usdt)),
    row("tc/ingress", ProgType::SCHED_CLS, at(46), No),
    row("tc/egress", ProgType::SCHED_CLS, at(47), No),
    row("tcx/ingress", ProgType::SCHED_CLS, at(46), No),
    row("tcx/egress", ProgType::SCHED_CLS, at(47), No),
    row("tc", ProgType::SCHED_CLS, None, No),
    row("classifier", ProgType::SCHED_CLS, None, Text),
    row("action", ProgType::SCHED_ACT, None, Text),
    row("netkit/primary", ProgType::SCHED_CLS, at(54), No),
    row("netkit/peer", ProgType::SCHED_CLS, at(55), No),
    row("tracepoint", ProgType::TRACEPOINT, None, Tracepoint),
    row("tp", ProgType::TRACEPOINT, None, Tracepoint),
    row("raw_tracepoint", ProgType::RAW_TRACEPOINT, None, RawTracepoint),
    row("raw_tp", ProgType::RAW_TRACEPOINT, None, RawTracepoint),
    row("raw_tracepoint.w", ProgType::RAW_TRACEPOINT_WRITABLE, None, RawTracepoint),
    row("raw_tp.w", ProgType::RAW_TRACEPOINT_WRITABLE, None, RawTracepoint),
    row("tp_btf", ProgType::TRACING, at(23), RawTracepoint),
    row("fentry", ProgType::TRACING, at(24), Function),
    row("fexit", ProgType::TRACING, at(25), Return),
    row("fmod_ret", ProgType::TRACING, at(26), Function),
    sleepable(row("fentry.s", ProgType::TRACING, at(24), Function)),
    sleepable(row("fexit.s", ProgType::TRACING, at(25), Return)),
    sleepable(row("fmod_ret.s", ProgType::TRACING, at(26), Function)),
    row("freplace", ProgType::EXT, None, Function),
    row("lsm", ProgType::LSM, at(27), Function),
    sleepable(row("lsm.s", ProgType::LSM, at(27), Function)),
    row("lsm_cgroup", ProgType::LSM, at(43), Function),
    row("iter", ProgType::TRACING, at(28), Function),
    sleepable(row("iter.s", ProgType::TRACING, at(28), Function)),
    sleepable(row("syscall", ProgType::SYSCALL, None, No)),
    frags(row("xdp.frags/devmap", ProgType::XDP, at(33), No)),
    row("xdp/devmap", ProgType::XDP, at(33), No),
    frags(row("xdp.frags/cpumap", ProgType::XDP, at(35), No)),
    row("xdp/cpumap", ProgType::XDP, at(35), No),
    frags(row("xdp.frags", ProgType::XDP, at(37), No)),
    row("xdp", ProgType::XDP, at(37), No),
    row("perf_event", ProgType::PERF_EVENT, None, Text),
    row("lwt_in", ProgType::LWT_IN, None, No),
    row("lwt_out", ProgType::LWT_OUT, None, No),
    row("lwt_xmit", ProgType::LWT_XMIT, None, No),
    row("lwt_seg6local", ProgType::LWT_SEG6LOCAL, None, No),
    row("sockops", ProgType::SOCK_OPS, at(3), Text),
    row("sk_skb/stream_parser", ProgType::SK_SKB, at(4), No),
    row("sk_skb/stream_verdict", ProgType::SK_SKB, at(5), No),
    row("sk_skb/verdict", ProgType::SK_SKB, at(38), No),
    row("sk_skb", ProgType::SK_SKB, None, No),
    row("sk_msg", ProgType::SK_MSG, at(7), Text),
    row("lirc_mode2", ProgType::LIRC_MODE2, at(16), No),
    row("flow_dissector", ProgType::FLOW_DISSECTOR, at(17), No),
    row("cgroup_skb/ingress", ProgType::CGROUP_SKB, at(0), No),
    row("cgroup_skb/egress", ProgType::CGROUP_SKB, at(1), No),
    row("cgroup/skb", ProgType::CGROUP_SKB, None, No),
    row("cgroup/sock_create", ProgType::CGROUP_SOCK, at(2), No),
    row("cgroup/sock_release", ProgType::CGROUP_SOCK, at(34), No),
    row("cgroup/sock", ProgType::CGROUP_SOCK, at(2), No),
    row("cgroup/post_bind4", ProgType::CGROUP_SOCK, at(12), No),
    row("cgroup/post_bind6", ProgType::CGROUP_SOCK, at(13), No),
    row("cgroup/bind4", ProgType::CGROUP_SOCK_ADDR, at(8), No),
    row("cgroup/bind6", ProgType::CGROUP_SOCK_ADDR, at(9), No),
    row("cgroup/connect4", ProgType::CGROUP_SOCK_ADDR, at(10), No),
    row("cgroup/connect6", ProgType::CGROUP_SOCK_ADDR, at(11), No),
    row("cgroup/connect_unix", ProgType::CGROUP_SOCK_ADDR, at(49), No),
    row("cgroup/sendmsg4", ProgType::CGROUP_SOCK_ADDR, at(14), No),
    row("cgroup/sendmsg6", ProgType::CGROUP_SOCK_ADDR, at(15), No),
    row("cgroup/sendmsg_unix", ProgType::CGROUP_SOCK_ADDR, at(50), No),
    row("cgroup/recvmsg4", ProgType::CGROUP_SOCK_ADDR, at(19), No),
    row("cgroup/recvmsg6", ProgType::CGROUP_SOCK_ADDR, at(20), No),
    row("cgroup/recvmsg_unix", ProgType::CGROUP_SOCK_ADDR, at(51), No),
    row("cgroup/getpeername4", ProgType::CGROUP_SOCK_ADDR, at(29), No),
    row("cgroup/getpeername6", ProgType::CGROUP_SOCK_ADDR, at(30), No),
    row("cgroup/getpeername_unix", ProgType::CGROUP_SOCK_ADDR, at(52), No),
    row("cgroup/getsockname4", ProgType::CGROUP_SOCK_ADDR, at(31), No),
    row("cgroup/getsockname6", ProgType::CGROUP_SOCK_ADDR, at(32), No),
    row("cgroup/getsockname_unix", ProgType::CGROUP_SOCK_ADDR, at(53), No),
    row("cgroup/sysctl", ProgType::CGROUP_SYSCTL, at(18), No),
    row("cgroup/getsockopt", ProgType::CGROUP_SOCKOPT, at(21), No),
    row("cgroup/setsockopt", ProgType::CGROUP_SOCKOPT, at(22), No),
    row("cgroup/dev", ProgType::CGROUP_DEVICE, at(6), No),
    row("struct_ops", ProgType::STRUCT_OPS, None, Function),
    sleepable(row("struct_ops.s", ProgType::STRUCT_OPS, None, Function)),
    row("sk_lookup", ProgType::SK_LOOKUP, at(36), No),
    row("netfilter", ProgType::NETFILTER, at(45), No),
];
