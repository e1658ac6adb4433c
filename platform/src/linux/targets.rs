//! What depends on the function that a program attaches to.
//!
//! Facts of `kernel/bpf/bpf_lsm.c`, `kernel/bpf/verifier.c` and `kernel/trace/bpf_trace.c`.
//! Lists that Linux keeps outside of its types (functions open to error injection) are not here: see [`Targets::replaceable`].

use super::{hooks, struct_ops};
use crate::{HelperTargets, Targets};

// `enum bpf_attach_type`.
const TRACE_RAW_TP: u32 = 23;
const TRACE_FENTRY: u32 = 24;
const TRACE_FEXIT: u32 = 25;
const MODIFY_RETURN: u32 = 26;
const LSM_MAC: u32 = 27;
const LSM_CGROUP: u32 = 43;

pub const TARGETS: Targets = Targets {
    lsm_disabled: LSM_DISABLED,
    lsm_bool: LSM_BOOL,
    lsm_sleepable: LSM_SLEEPABLE,
    lsm_untrusted: LSM_UNTRUSTED,
    untraceable: UNTRACEABLE,
    never_returning: NEVER_RETURNING,
    replaceable: &["security_", "__x64_sys_", "__ia32_sys_"],
    sleepable: &["__x64_sys_", "__ia32_sys_"],
    injectable_without_sleep: &[
        "__filemap_add_folio",
        "should_fail_alloc_page",
        "should_failslab",
    ],
    helpers: HELPERS,
    fmod_ret: hooks::FMOD_RET,
    struct_ops: struct_ops::STRUCT_OPS,
    iterators: hooks::ITERATORS,
    tracepoints: hooks::TRACEPOINTS,
    writable: hooks::WRITABLE,
};

const HELPERS: &[HelperTargets] = &[
    HelperTargets {
        helper: "d_path",
        attach: &[TRACE_FENTRY, TRACE_FEXIT, MODIFY_RETURN],
        names: D_PATH,
        unless: None,
    },
    HelperTargets {
        helper: "d_path",
        attach: &[TRACE_RAW_TP],
        names: &[],
        unless: None,
    },
    HelperTargets {
        helper: "d_path",
        attach: &[LSM_MAC, LSM_CGROUP],
        names: LSM_SLEEPABLE,
        unless: None,
    },
    HelperTargets {
        helper: "ima_inode_hash",
        attach: &[LSM_MAC, LSM_CGROUP],
        names: LSM_SLEEPABLE,
        unless: None,
    },
    HelperTargets {
        helper: "ima_file_hash",
        attach: &[LSM_MAC, LSM_CGROUP],
        names: LSM_SLEEPABLE,
        unless: None,
    },
    HelperTargets {
        helper: "setsockopt",
        attach: &[LSM_CGROUP],
        names: SOCKOPT,
        unless: None,
    },
    HelperTargets {
        helper: "getsockopt",
        attach: &[LSM_CGROUP],
        names: SOCKOPT,
        unless: None,
    },
    // A program on the storage's own functions would come back into them.
    HelperTargets {
        helper: "sk_storage_get",
        attach: &[TRACE_FENTRY, TRACE_FEXIT],
        names: &[],
        unless: Some("bpf_sk_storage"),
    },
    HelperTargets {
        helper: "sk_storage_delete",
        attach: &[TRACE_FENTRY, TRACE_FEXIT],
        names: &[],
        unless: Some("bpf_sk_storage"),
    },
    HelperTargets {
        helper: "sk_storage_get",
        attach: &[MODIFY_RETURN],
        names: &[],
        unless: None,
    },
    HelperTargets {
        helper: "sk_storage_delete",
        attach: &[MODIFY_RETURN],
        names: &[],
        unless: None,
    },
];

/// Functions whose arguments `bpf_d_path` may take.
const D_PATH: &[&str] = &[
    "dentry_open",
    "filp_close",
    "security_file_open",
    "security_file_permission",
    "security_inode_getattr",
    "security_path_truncate",
    "vfs_fallocate",
    "vfs_getattr",
    "vfs_truncate",
];

/// LSM hooks that hold the socket, or may lock it.
const SOCKOPT: &[&str] = &[
    "inet_conn_established",
    "inet_csk_clone",
    "sock_graft",
    "socket_post_create",
    "socket_socketpair",
];

/// LSM hooks that programs may not implement.
const LSM_DISABLED: &[&str] = &[
    "audit_rule_match",
    "getprocattr",
    "getselfattr",
    "inode_copy_up_xattr",
    "inode_getsecurity",
    "inode_listsecurity",
    "inode_need_killpriv",
    "ismaclabel",
    "key_getsecurity",
    "setprocattr",
    "vm_enough_memory",
    "xfrm_decode_session",
];

/// LSM hooks that return 0 or 1, whatever their type says.
const LSM_BOOL: &[&str] = &[
    "audit_rule_known",
    "inode_xattr_skipcap",
    "xfrm_state_pol_flow_match",
];

/// LSM hooks called where sleeping is fine.
const LSM_SLEEPABLE: &[&str] = &[
    "bpf",
    "bpf_map",
    "bpf_map_create",
    "bpf_map_free",
    "bpf_prog",
    "bpf_prog_load",
    "bpf_token_capable",
    "bpf_token_cmd",
    "bpf_token_create",
    "bpf_token_free",
    "bprm_check_security",
    "bprm_committed_creds",
    "bprm_committing_creds",
    "bprm_creds_for_exec",
    "bprm_creds_from_file",
    "capget",
    "capset",
    "cred_prepare",
    "current_getsecid_subj",
    "file_ioctl",
    "file_lock",
    "file_open",
    "file_post_open",
    "file_receive",
    "inode_create",
    "inode_free_security",
    "inode_getattr",
    "inode_getxattr",
    "inode_mknod",
    "inode_need_killpriv",
    "inode_post_setxattr",
    "inode_readlink",
    "inode_rename",
    "inode_rmdir",
    "inode_setattr",
    "inode_setxattr",
    "inode_symlink",
    "inode_unlink",
    "kernel_module_request",
    "kernel_read_file",
    "kernfs_init_security",
    "mmap_file",
    "netlink_send",
    "path_chmod",
    "path_chown",
    "path_link",
    "path_mkdir",
    "path_notify",
    "path_rename",
    "path_rmdir",
    "path_symlink",
    "path_truncate",
    "path_unlink",
    "release_secctx",
    "sb_alloc_security",
    "sb_eat_lsm_opts",
    "sb_kern_mount",
    "sb_mount",
    "sb_remount",
    "sb_set_mnt_opts",
    "sb_show_options",
    "sb_statfs",
    "sb_umount",
    "settime",
    "socket_accept",
    "socket_bind",
    "socket_connect",
    "socket_create",
    "socket_getpeername",
    "socket_getpeersec_dgram",
    "socket_getsockname",
    "socket_getsockopt",
    "socket_listen",
    "socket_post_create",
    "socket_recvmsg",
    "socket_sendmsg",
    "socket_shutdown",
    "socket_socketpair",
    "syslog",
    "task_alloc",
    "task_getsecid_obj",
    "task_prctl",
    "task_setscheduler",
    "userns_create",
];

/// LSM hooks whose arguments are half made or half gone.
const LSM_UNTRUSTED: &[&str] = &[
    "bpf_map_free",
    "bpf_prog_free",
    "file_alloc_security",
    "file_free_security",
    "sk_alloc_security",
    "sk_free_security",
    "task_free",
];

/// Functions that a trampoline itself calls.
const UNTRACEABLE: &[&str] = &[
    "__rcu_read_lock",
    "__rcu_read_unlock",
    "migrate_disable",
    "migrate_enable",
    "preempt_count_add",
    "preempt_count_sub",
    "rcu_read_unlock_strict",
];

/// Functions behind whose return no program can run.
const NEVER_RETURNING: &[&str] = &[
    "__ia32_sys_exit",
    "__ia32_sys_exit_group",
    "__kunit_abort",
    "__module_put_and_kthread_exit",
    "__x64_sys_exit",
    "__x64_sys_exit_group",
    "do_exit",
    "do_group_exit",
    "kthread_complete_and_exit",
    "kthread_exit",
    "kunit_try_catch_throw",
    "make_task_dead",
];
