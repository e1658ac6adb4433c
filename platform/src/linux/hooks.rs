//! What Linux's types do not say of iterators' and tracepoints' arguments, and functions that `fmod_ret` programs may replace.
//!
//! Facts of `kernel/bpf/btf.c` (tracepoints), of where each iterator is registered, and of `net/bpf/test_run.c`,
//! `net/socket.c` (functions); the lists of trusted arguments are those of Linux 6.18.

use super::kinds as k;
use crate::{Iterator, IteratorArg, Replaceable, TracepointArgs, Writable, WritableIn};

use IteratorArg::{Bytes, Structure};

const TRUSTED: IteratorArg = Structure { trusted: true };
const PLAIN: IteratorArg = Structure { trusted: false };

/// Ascending by name.
pub const ITERATORS: &[Iterator] = &[
    iterator("bpf_link", &[(1, PLAIN)]),
    iterator("bpf_map", &[(1, TRUSTED)]),
    iterator(
        "bpf_map_elem",
        &[
            (2, Bytes { writable: false }),
            (3, Bytes { writable: true }),
        ],
    ),
    iterator("bpf_prog", &[(1, PLAIN)]),
    iterator(
        "bpf_sk_storage_map",
        &[(2, PLAIN), (3, Bytes { writable: true })],
    ),
    iterator("cgroup", &[(1, TRUSTED)]),
    iterator("dmabuf", &[(1, TRUSTED)]),
    iterator("ipv6_route", &[(1, PLAIN)]),
    iterator("kmem_cache", &[(1, TRUSTED)]),
    iterator("ksym", &[(1, PLAIN)]),
    iterator("netlink", &[(1, PLAIN)]),
    iterator("sockmap", &[(2, Bytes { writable: false }), (3, PLAIN)]),
    iterator("task", &[(1, TRUSTED)]),
    iterator("task_file", &[(1, PLAIN), (3, PLAIN)]),
    iterator("task_vma", &[(1, PLAIN), (2, PLAIN)]),
    iterator("tcp", &[(1, TRUSTED)]),
    iterator("udp", &[(1, TRUSTED)]),
    iterator("unix", &[(1, PLAIN)]),
];

/// Ascending by name.
pub const TRACEPOINTS: &[TracepointArgs] = &[
    tracepoint("afs_flock_ev", 0b10, 0b0),
    tracepoint("afs_make_fs_call", 0b10, 0b0),
    tracepoint("afs_make_fs_call1", 0b10, 0b0),
    tracepoint("afs_make_fs_call2", 0b10, 0b0),
    tracepoint("afs_make_fs_calli", 0b10, 0b0),
    tracepoint("afs_protocol_error", 0b1, 0b0),
    tracepoint("break_lease_block", 0b10, 0b0),
    tracepoint("break_lease_noblock", 0b10, 0b0),
    tracepoint("break_lease_unblock", 0b10, 0b0),
    tracepoint("cachefiles_io_error", 0b1, 0b0),
    tracepoint("cachefiles_lookup", 0b1, 0b100),
    tracepoint("cachefiles_mark_active", 0b1, 0b0),
    tracepoint("cachefiles_mark_failed", 0b1, 0b0),
    tracepoint("cachefiles_mark_inactive", 0b1, 0b0),
    tracepoint("cachefiles_ondemand_close", 0b1, 0b0),
    tracepoint("cachefiles_ondemand_copen", 0b1, 0b0),
    tracepoint("cachefiles_ondemand_cread", 0b1, 0b0),
    tracepoint("cachefiles_ondemand_fd_release", 0b1, 0b0),
    tracepoint("cachefiles_ondemand_fd_write", 0b1, 0b0),
    tracepoint("cachefiles_ondemand_open", 0b1, 0b0),
    tracepoint("cachefiles_ondemand_read", 0b1, 0b0),
    tracepoint("cachefiles_prep_read", 0b1, 0b0),
    tracepoint("cachefiles_rename", 0b1, 0b0),
    tracepoint("cachefiles_unlink", 0b1, 0b0),
    tracepoint("cachefiles_vfs_error", 0b1, 0b0),
    tracepoint("device_pm_callback_start", 0b10, 0b0),
    tracepoint("ext4_mballoc_discard", 0b10, 0b0),
    tracepoint("ext4_mballoc_free", 0b10, 0b0),
    tracepoint("fcntl_setlk", 0b10, 0b0),
    tracepoint("fib_table_lookup", 0b100, 0b0),
    tracepoint("flock_lock_inode", 0b10, 0b0),
    tracepoint("folio_wait_writeback", 0b10, 0b0),
    tracepoint("generic_delete_lease", 0b10, 0b0),
    tracepoint("host1x_cdma_push_gather", 0b10000, 0b0),
    tracepoint("kfree_skb", 0b1000, 0b0),
    tracepoint("locks_remove_posix", 0b10, 0b0),
    tracepoint("mm_collapse_huge_page_isolate", 0b1, 0b0),
    tracepoint("mm_khugepaged_collapse_file", 0b10, 0b0),
    tracepoint("mm_khugepaged_scan_file", 0b10, 0b0),
    tracepoint("mm_khugepaged_scan_pmd", 0b10, 0b0),
    tracepoint("mm_page_alloc", 0b1, 0b0),
    tracepoint("mm_page_alloc_zone_locked", 0b1, 0b0),
    tracepoint("mm_page_pcpu_drain", 0b1, 0b0),
    tracepoint("mr_integ_alloc", 0b0, 0b1000),
    tracepoint("netfs_failure", 0b10, 0b0),
    tracepoint("posix_lock_inode", 0b10, 0b0),
    tracepoint("qdisc_dequeue", 0b1000, 0b0),
    tracepoint("rxrpc_recvdata", 0b1, 0b0),
    tracepoint("rxrpc_resend", 0b10, 0b0),
    tracepoint("sched_pi_setprio", 0b10, 0b0),
    tracepoint("sched_process_wait", 0b1, 0b0),
    tracepoint("sched_stick_numa", 0b100, 0b0),
    tracepoint("sched_swap_numa", 0b100, 0b0),
    tracepoint("signal_deliver", 0b0, 0b10),
    tracepoint("signal_generate", 0b0, 0b10),
    tracepoint("tcp_send_reset", 0b11, 0b0),
    tracepoint("tegra_dma_tx_status", 0b100, 0b0),
    tracepoint("time_out_leases", 0b10, 0b0),
    tracepoint("tmigr_update_events", 0b1, 0b0),
    tracepoint("writeback_dirty_folio", 0b10, 0b0),
    tracepoint("xprt_get_cong", 0b10, 0b0),
    tracepoint("xprt_put_cong", 0b10, 0b0),
    tracepoint("xprt_release_cong", 0b10, 0b0),
    tracepoint("xprt_reserve_cong", 0b10, 0b0),
    tracepoint("xs_stream_read_data", 0b1, 0b0),
];

/// Ascending by name.
pub const FMOD_RET: &[Replaceable] = &[
    replaceable("bpf_fentry_test1", true),
    replaceable("bpf_modify_return_test", false),
    replaceable("bpf_modify_return_test2", false),
    replaceable("bpf_modify_return_test_tp", false),
    replaceable("update_socket_protocol", false),
];

pub const WRITABLE: &[WritableIn] = &[WritableIn {
    kinds: &[k::SCHED_CLS, k::SCHED_ACT, k::XDP],
    fields: &[
        Writable {
            structure: "nf_conn",
            field: "mark",
            head: 0,
            tail: 0,
        },
        // Not in the table yet.
        Writable {
            structure: "nf_conn___init",
            field: "ct.mark",
            head: 0,
            tail: 0,
        },
    ],
}];

const fn iterator(name: &'static str, args: &'static [(usize, IteratorArg)]) -> Iterator {
    Iterator { name, args }
}

const fn tracepoint(name: &'static str, nullable: u32, error: u32) -> TracepointArgs {
    TracepointArgs {
        name,
        nullable,
        error,
    }
}

const fn replaceable(name: &'static str, sleepable: bool) -> Replaceable {
    Replaceable { name, sleepable }
}
