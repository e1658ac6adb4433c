//! Constants that C headers `#define`: types and enumerators come from BTF, these are in no BTF.
//!
//! Source: Linux's `include/uapi`, as on x86-64; `TASK_…` from `include/linux/sched.h`.

const CONSTANTS: &[(&str, i64)] = &[
    ("AF_UNSPEC", 0),
    ("AF_UNIX", 1),
    ("AF_INET", 2),
    ("AF_INET6", 10),
    ("AF_NETLINK", 16),
    ("AF_PACKET", 17),
    ("TASK_RUNNING", 0),
    ("TASK_INTERRUPTIBLE", 1),
    ("TASK_UNINTERRUPTIBLE", 2),
    ("O_RDONLY", 0),
    ("O_WRONLY", 1),
    ("O_RDWR", 2),
    ("O_CREAT", 0o100),
    ("O_EXCL", 0o200),
    ("O_TRUNC", 0o1000),
    ("O_APPEND", 0o2000),
    ("O_NONBLOCK", 0o4000),
    ("O_DIRECTORY", 0o200_000),
    ("O_CLOEXEC", 0o2_000_000),
    ("S_IFMT", 0o170_000),
    ("S_IFSOCK", 0o140_000),
    ("S_IFLNK", 0o120_000),
    ("S_IFREG", 0o100_000),
    ("S_IFBLK", 0o60_000),
    ("S_IFDIR", 0o40_000),
    ("S_IFCHR", 0o20_000),
    ("S_IFIFO", 0o10_000),
    ("AT_FDCWD", -100),
    ("NULL", 0),
    ("INT_MAX", 2_147_483_647),
    ("UINT_MAX", 4_294_967_295),
];

pub(super) fn find(name: &str) -> Option<i64> {
    CONSTANTS.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
}
