//! Which helpers each kind of program may call, as groups of names.
//!
//! Measured on Linux 6.18 for every kind that loads there, and `tests/kernel_helpers.rs` measures it again.
//! The rest (`lsm`, `struct_ops`, `lirc_mode2`, trampolines, error injection) are facts of the kinds'
//! `get_func_proto` functions in Linux 6.12.

/// Helpers that every kind of program may call (`bpf_base_func_proto`).
pub const BASE: &[&str] = &[
    "map_lookup_elem",
    "map_update_elem",
    "map_delete_elem",
    "ktime_get_ns",
    "trace_printk",
    "get_prandom_u32",
    "get_smp_processor_id",
    "tail_call",
    "get_current_pid_tgid",
    "get_current_uid_gid",
    "get_current_comm",
    "get_cgroup_classid",
    "perf_event_read",
    "get_current_task",
    "current_task_under_cgroup",
    "get_numa_node_id",
    "perf_event_read_value",
    "get_current_cgroup_id",
    "map_push_elem",
    "map_pop_elem",
    "map_peek_elem",
    "spin_lock",
    "spin_unlock",
    "strtol",
    "strtoul",
    "send_signal",
    "probe_read_user",
    "probe_read_kernel",
    "probe_read_user_str",
    "probe_read_kernel_str",
    "send_signal_thread",
    "jiffies64",
    "get_ns_current_pid_tgid",
    "get_current_ancestor_cgroup_id",
    "ktime_get_boot_ns",
    "ringbuf_output",
    "ringbuf_reserve",
    "ringbuf_submit",
    "ringbuf_discard",
    "ringbuf_query",
    "get_task_stack",
    "copy_from_user",
    "snprintf_btf",
    "per_cpu_ptr",
    "this_cpu_ptr",
    "task_storage_get",
    "task_storage_delete",
    "get_current_task_btf",
    "for_each_map_elem",
    "snprintf",
    "timer_init",
    "timer_set_callback",
    "timer_start",
    "timer_cancel",
    "task_pt_regs",
    "get_branch_snapshot",
    "trace_vprintk",
    "find_vma",
    "loop",
    "strncmp",
    "copy_from_user_task",
    "kptr_xchg",
    "map_lookup_percpu_elem",
    "dynptr_from_mem",
    "ringbuf_reserve_dynptr",
    "ringbuf_submit_dynptr",
    "ringbuf_discard_dynptr",
    "dynptr_read",
    "dynptr_write",
    "dynptr_data",
    "ktime_get_tai_ns",
    "user_ringbuf_drain",
    "cgrp_storage_get",
    "cgrp_storage_delete",
];

/// Kinds of tracing, beside [`BASE`].
pub const TRACING_BASE: &[&str] = &[
    "probe_read",
    "probe_read_str",
    "perf_event_output",
    "get_stackid",
    "get_stack",
    "probe_write_user",
];

/// Kinds that see sockets: casts to a kernel socket type, and the coarse clock.
pub const SK_CASTS: &[&str] = &[
    "skc_to_tcp6_sock",
    "skc_to_tcp_sock",
    "skc_to_tcp_timewait_sock",
    "skc_to_tcp_request_sock",
    "skc_to_udp6_sock",
    "skc_to_unix_sock",
    "skc_to_mptcp_sock",
    "ktime_get_coarse_ns",
];

/// `socket_filter`, beside the groups.
pub const SOCKET_FILTER: &[&str] = &[
    "perf_event_output",
    "skb_load_bytes",
    "get_socket_cookie",
    "get_socket_uid",
    "skb_load_bytes_relative",
    "get_netns_cookie",
];

/// `perf_event`, beside the groups.
pub const PERF_EVENT: &[&str] = &["perf_prog_read_value", "read_branch_records"];

/// `kprobe`, beside the groups; only where the kernel is built for error injection.
pub const KPROBE: &[&str] = &["override_return"];

/// `sched_cls` and `sched_act`, beside the groups.
pub const SCHED_CLS: &[&str] = &[
    "skb_store_bytes",
    "l3_csum_replace",
    "l4_csum_replace",
    "clone_redirect",
    "skb_vlan_push",
    "skb_vlan_pop",
    "skb_get_tunnel_key",
    "skb_set_tunnel_key",
    "redirect",
    "get_route_realm",
    "perf_event_output",
    "skb_load_bytes",
    "csum_diff",
    "skb_get_tunnel_opt",
    "skb_set_tunnel_opt",
    "skb_change_proto",
    "skb_change_type",
    "skb_under_cgroup",
    "get_hash_recalc",
    "skb_change_tail",
    "skb_pull_data",
    "csum_update",
    "set_hash_invalid",
    "skb_change_head",
    "get_socket_cookie",
    "get_socket_uid",
    "set_hash",
    "skb_adjust_room",
    "skb_get_xfrm_state",
    "skb_load_bytes_relative",
    "fib_lookup",
    "skb_cgroup_id",
    "skb_ancestor_cgroup_id",
    "sk_lookup_tcp",
    "sk_lookup_udp",
    "sk_release",
    "sk_fullsock",
    "tcp_sock",
    "skb_ecn_set_ce",
    "get_listener_sock",
    "skc_lookup_tcp",
    "tcp_check_syncookie",
    "sk_storage_get",
    "sk_storage_delete",
    "tcp_gen_syncookie",
    "get_netns_cookie",
    "sk_assign",
    "csum_level",
    "skb_cgroup_classid",
    "redirect_neigh",
    "redirect_peer",
    "check_mtu",
    "skb_set_tstamp",
    "tcp_raw_gen_syncookie_ipv4",
    "tcp_raw_gen_syncookie_ipv6",
    "tcp_raw_check_syncookie_ipv4",
    "tcp_raw_check_syncookie_ipv6",
];

/// `xdp`, beside the groups.
pub const XDP: &[&str] = &[
    "redirect",
    "perf_event_output",
    "csum_diff",
    "xdp_adjust_head",
    "redirect_map",
    "xdp_adjust_meta",
    "xdp_adjust_tail",
    "fib_lookup",
    "sk_lookup_tcp",
    "sk_lookup_udp",
    "sk_release",
    "skc_lookup_tcp",
    "tcp_check_syncookie",
    "tcp_gen_syncookie",
    "check_mtu",
    "xdp_get_buff_len",
    "xdp_load_bytes",
    "xdp_store_bytes",
    "tcp_raw_gen_syncookie_ipv4",
    "tcp_raw_gen_syncookie_ipv6",
    "tcp_raw_check_syncookie_ipv4",
    "tcp_raw_check_syncookie_ipv6",
];

/// `cgroup_skb`, beside the groups.
pub const CGROUP_SKB: &[&str] = &[
    "perf_event_output",
    "skb_load_bytes",
    "get_socket_cookie",
    "get_socket_uid",
    "skb_load_bytes_relative",
    "skb_cgroup_id",
    "get_local_storage",
    "skb_ancestor_cgroup_id",
    "sk_lookup_tcp",
    "sk_lookup_udp",
    "sk_release",
    "sk_fullsock",
    "tcp_sock",
    "skb_ecn_set_ce",
    "get_listener_sock",
    "skc_lookup_tcp",
    "sk_storage_get",
    "sk_storage_delete",
    "get_netns_cookie",
    "sk_cgroup_id",
    "sk_ancestor_cgroup_id",
];

/// `cgroup_sock`, beside the groups.
pub const CGROUP_SOCK: &[&str] = &[
    "perf_event_output",
    "get_socket_cookie",
    "get_local_storage",
    "sk_storage_get",
    "get_netns_cookie",
    "ktime_get_coarse_ns",
    "get_retval",
    "set_retval",
];

/// All kinds of lightweight tunnels, beside the groups.
pub const LWT: &[&str] = &[
    "get_route_realm",
    "perf_event_output",
    "skb_load_bytes",
    "csum_diff",
    "skb_under_cgroup",
    "get_hash_recalc",
    "skb_pull_data",
];

/// `lwt_in`, beside the groups.
pub const LWT_IN: &[&str] = &["lwt_push_encap"];

/// `lwt_xmit`, beside the groups.
pub const LWT_XMIT: &[&str] = &[
    "skb_store_bytes",
    "l3_csum_replace",
    "l4_csum_replace",
    "clone_redirect",
    "skb_get_tunnel_key",
    "skb_set_tunnel_key",
    "redirect",
    "skb_get_tunnel_opt",
    "skb_set_tunnel_opt",
    "skb_change_tail",
    "csum_update",
    "set_hash_invalid",
    "skb_change_head",
    "lwt_push_encap",
    "csum_level",
];

/// `lwt_seg6local`, beside the groups.
pub const LWT_SEG6LOCAL: &[&str] = &[
    "lwt_seg6_store_bytes",
    "lwt_seg6_adjust_srh",
    "lwt_seg6_action",
];

/// `sock_ops`, beside the groups.
pub const SOCK_OPS: &[&str] = &[
    "perf_event_output",
    "get_socket_cookie",
    "setsockopt",
    "sock_map_update",
    "getsockopt",
    "sock_ops_cb_flags_set",
    "sock_hash_update",
    "get_local_storage",
    "tcp_sock",
    "sk_storage_get",
    "sk_storage_delete",
    "get_netns_cookie",
    "load_hdr_opt",
    "store_hdr_opt",
    "reserve_hdr_opt",
];

/// `sk_skb`, beside the groups.
pub const SK_SKB: &[&str] = &[
    "skb_store_bytes",
    "perf_event_output",
    "skb_load_bytes",
    "skb_change_tail",
    "skb_pull_data",
    "skb_change_head",
    "get_socket_cookie",
    "get_socket_uid",
    "skb_adjust_room",
    "sk_redirect_map",
    "sk_redirect_hash",
    "sk_lookup_tcp",
    "sk_lookup_udp",
    "sk_release",
    "skc_lookup_tcp",
];

/// `cgroup_device`, beside the groups.
pub const CGROUP_DEVICE: &[&str] = &["perf_event_output", "get_local_storage"];

/// `sk_msg`, beside the groups.
pub const SK_MSG: &[&str] = &[
    "perf_event_output",
    "msg_redirect_map",
    "msg_apply_bytes",
    "msg_cork_bytes",
    "msg_pull_data",
    "msg_redirect_hash",
    "msg_push_data",
    "msg_pop_data",
    "sk_storage_get",
    "sk_storage_delete",
    "get_netns_cookie",
];

/// `cgroup_sock_addr`, beside the groups.
pub const CGROUP_SOCK_ADDR: &[&str] = &[
    "perf_event_output",
    "get_socket_cookie",
    "setsockopt",
    "getsockopt",
    "get_local_storage",
    "sk_lookup_tcp",
    "sk_lookup_udp",
    "sk_release",
    "skc_lookup_tcp",
    "sk_storage_get",
    "sk_storage_delete",
    "get_netns_cookie",
];

/// `sk_reuseport`, beside the groups.
pub const SK_REUSEPORT: &[&str] = &[
    "skb_load_bytes",
    "get_socket_cookie",
    "skb_load_bytes_relative",
    "sk_select_reuseport",
    "ktime_get_coarse_ns",
];

/// `flow_dissector`, beside the groups.
pub const FLOW_DISSECTOR: &[&str] = &["skb_load_bytes"];

/// `cgroup_sysctl`, beside the groups.
pub const CGROUP_SYSCTL: &[&str] = &[
    "perf_event_output",
    "get_local_storage",
    "sysctl_get_name",
    "sysctl_get_current_value",
    "sysctl_get_new_value",
    "sysctl_set_new_value",
    "ktime_get_coarse_ns",
];

/// `cgroup_sockopt`, beside the groups.
pub const CGROUP_SOCKOPT: &[&str] = &[
    "perf_event_output",
    "get_local_storage",
    "tcp_sock",
    "sk_storage_get",
    "sk_storage_delete",
    "get_netns_cookie",
    "get_retval",
    "set_retval",
];

/// The socket options, where only some attach types may use them.
pub const SOCKOPT: &[&str] = &["setsockopt", "getsockopt"];

/// The result of a cgroup operation.
pub const RETVAL: &[&str] = &["get_retval", "set_retval"];

/// `connect` hooks.
pub const BIND: &[&str] = &["bind"];

/// `sk_lookup`, beside the groups.
pub const SK_LOOKUP: &[&str] = &["perf_event_output", "sk_release", "sk_assign"];

/// `tracing`, `lsm` and `syscall`, beside the groups.
pub const TRACING: &[&str] = &[
    "skc_to_tcp6_sock",
    "skc_to_tcp_sock",
    "skc_to_tcp_timewait_sock",
    "skc_to_tcp_request_sock",
    "skc_to_udp6_sock",
    "skc_to_unix_sock",
    "skc_to_mptcp_sock",
    "get_socket_cookie",
    "sk_storage_get",
    "sk_storage_delete",
    "skb_output",
    "xdp_output",
    "d_path",
    "sock_from_file",
    "xdp_get_buff_len",
];

/// Programs whose attachment carries a cookie.
pub const COOKIE: &[&str] = &["get_attach_cookie"];

/// `tracing` programs that a trampoline calls.
pub const TRAMPOLINE: &[&str] = &["get_func_arg", "get_func_ret", "get_func_arg_cnt"];

/// Iterators; the socket options only on those over TCP and UDP sockets.
pub const ITER: &[&str] = &[
    "seq_printf",
    "seq_write",
    "seq_printf_btf",
    "setsockopt",
    "getsockopt",
];

/// `lsm`, beside the groups.
pub const LSM: &[&str] = &[
    "inode_storage_get",
    "inode_storage_delete",
    "bprm_opts_set",
    "ima_inode_hash",
    "ima_file_hash",
];

/// `lsm` programs of a cgroup; the socket options only on hooks that hold the socket.
pub const LSM_CGROUP: &[&str] = &[
    "get_local_storage",
    "get_retval",
    "set_retval",
    "setsockopt",
    "getsockopt",
];

/// `syscall`, beside the groups.
pub const SYSCALL: &[&str] = &[
    "sys_bpf",
    "btf_find_by_name_kind",
    "sys_close",
    "kallsyms_lookup_name",
];

/// `struct_ops`: what some structure's programs take beside [`BASE`]; each structure has a row of its own.
pub const STRUCT_OPS: &[&str] = &[
    "task_storage_get",
    "task_storage_delete",
    "tcp_send_ack",
    "sk_storage_get",
    "sk_storage_delete",
    "setsockopt",
    "getsockopt",
    "ktime_get_coarse_ns",
];

/// TCP congestion control.
pub const TCP_CONGESTION: &[&str] = &[
    "tcp_send_ack",
    "sk_storage_get",
    "sk_storage_delete",
    "setsockopt",
    "getsockopt",
    "ktime_get_coarse_ns",
];

/// `lirc_mode2`: all of them.
pub const LIRC_MODE2: &[&str] = &[
    "rc_repeat",
    "rc_keydown",
    "rc_pointer_rel",
    "map_lookup_elem",
    "map_update_elem",
    "map_delete_elem",
    "map_push_elem",
    "map_pop_elem",
    "map_peek_elem",
    "ktime_get_ns",
    "ktime_get_boot_ns",
    "tail_call",
    "get_prandom_u32",
    "trace_printk",
];

/// Programs at the entry or the end of a kernel function.
pub const FUNC_IP: &[&str] = &["get_func_ip"];
