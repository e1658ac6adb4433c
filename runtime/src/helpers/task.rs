//! Helpers that ask where and when the call happens: time, CPU, task, attachment.

use super::{Entry, entry, env, err, write};
use crate::{Call, Clock};

pub(super) const ENTRIES: &[Entry] = &[
    entry(5, "ktime_get_ns", ktime_get_ns),
    entry(7, "get_prandom_u32", get_prandom_u32),
    entry(8, "get_smp_processor_id", get_smp_processor_id),
    entry(14, "get_current_pid_tgid", get_current_pid_tgid),
    entry(15, "get_current_uid_gid", get_current_uid_gid),
    entry(16, "get_current_comm", get_current_comm),
    entry(35, "get_current_task", get_current_task),
    entry(42, "get_numa_node_id", get_numa_node_id),
    entry(80, "get_current_cgroup_id", get_current_cgroup_id),
    entry(118, "jiffies64", jiffies64),
    entry(120, "get_ns_current_pid_tgid", get_ns_current_pid_tgid),
    entry(125, "ktime_get_boot_ns", ktime_get_boot_ns),
    entry(158, "get_current_task_btf", get_current_task),
    entry(160, "ktime_get_coarse_ns", ktime_get_coarse_ns),
    entry(173, "get_func_ip", get_func_ip),
    entry(174, "get_attach_cookie", get_attach_cookie),
    entry(175, "task_pt_regs", task_pt_regs),
    entry(208, "ktime_get_tai_ns", ktime_get_tai_ns),
];

/// Clock ticks a second, as most kernels are built; the count starts 5 minutes before it wraps in 32 bits.
const HZ: u64 = 250;
const INITIAL_JIFFIES: u64 = (-300i64 * HZ as i64) as u32 as u64;

unsafe extern "C" fn ktime_get_ns(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { env(call) }.time(Clock::Monotonic)
}

unsafe extern "C" fn ktime_get_boot_ns(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { env(call) }.time(Clock::Boot)
}

unsafe extern "C" fn ktime_get_coarse_ns(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { env(call) }.time(Clock::Coarse)
}

unsafe extern "C" fn ktime_get_tai_ns(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { env(call) }.time(Clock::Tai)
}

unsafe extern "C" fn jiffies64(call: *mut Call<'_>, _: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: `call` is valid.
    let ns = unsafe { env(call) }.time(Clock::Monotonic);
    INITIAL_JIFFIES.wrapping_add(ns / (1_000_000_000 / HZ))
}

unsafe extern "C" fn get_prandom_u32(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    u64::from(unsafe { env(call) }.random())
}

unsafe extern "C" fn get_smp_processor_id(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { env(call).cpu().map_or((*call).cpu, u64::from) }
}

unsafe extern "C" fn get_current_pid_tgid(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { env(call) }.pid_tgid()
}

unsafe extern "C" fn get_current_uid_gid(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { env(call) }.uid_gid()
}

unsafe extern "C" fn get_current_comm(
    call: *mut Call<'_>,
    to: u64,
    size: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid, the row promises `size` writable bytes.
    unsafe {
        let size = size as u32 as usize;
        let mut out = vec![0; size];
        // One byte is for the NUL.
        for (o, b) in out
            .iter_mut()
            .take(size.saturating_sub(1).min(15))
            .zip(env(call).comm())
        {
            if b == 0 {
                break;
            }
            *o = b;
        }
        write(to, &out);
    }
    0
}

unsafe extern "C" fn get_current_task(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { env(call) }.task()
}

unsafe extern "C" fn get_numa_node_id(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    u64::from(unsafe { env(call) }.numa_node())
}

unsafe extern "C" fn get_current_cgroup_id(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { env(call) }.cgroup_id()
}

/// There is one namespace here, whatever its device and inode.
unsafe extern "C" fn get_ns_current_pid_tgid(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    to: u64,
    size: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid, the row promises `size` writable bytes.
    unsafe {
        if size as u32 != 8 {
            write(to, &vec![0; size as u32 as usize]);
            return err(libc::EINVAL);
        }
        let both = env(call).pid_tgid();
        write(to, &(both as u32).to_ne_bytes());
        write(to + 4, &((both >> 32) as u32).to_ne_bytes());
    }
    0
}

unsafe extern "C" fn get_func_ip(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { env(call) }.func_ip()
}

unsafe extern "C" fn get_attach_cookie(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { env(call) }.attach_cookie()
}

unsafe extern "C" fn task_pt_regs(
    call: *mut Call<'_>,
    _task: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    unsafe { env(call) }.task_regs()
}
