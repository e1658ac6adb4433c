//! Helpers that ask where and when the call happens: time, CPU, task, attachment.

use super::{Entry, entry, env, err, once, write};
use crate::memory::NOWHERE;
use crate::{Answer, Call, Clock, Env};

pub(super) const ENTRIES: &[Entry] = &[
    entry(5, "ktime_get_ns", ktime_get_ns),
    entry(7, "get_prandom_u32", get_prandom_u32),
    once(8, "get_smp_processor_id", get_smp_processor_id, Answer::CPU),
    once(
        14,
        "get_current_pid_tgid",
        get_current_pid_tgid,
        Answer::TASK_ID,
    ),
    once(
        15,
        "get_current_uid_gid",
        get_current_uid_gid,
        Answer::USER_ID,
    ),
    entry(16, "get_current_comm", get_current_comm),
    once(35, "get_current_task", get_current_task, Answer::TASK),
    once(42, "get_numa_node_id", get_numa_node_id, Answer::NUMA_NODE),
    once(
        80,
        "get_current_cgroup_id",
        get_current_cgroup_id,
        Answer::CGROUP,
    ),
    entry(118, "jiffies64", jiffies64),
    entry(120, "get_ns_current_pid_tgid", get_ns_current_pid_tgid),
    entry(125, "ktime_get_boot_ns", ktime_get_boot_ns),
    entry(158, "get_current_task_btf", get_current_task_btf),
    entry(160, "ktime_get_coarse_ns", ktime_get_coarse_ns),
    once(173, "get_func_ip", get_func_ip, Answer::FUNCTION),
    once(174, "get_attach_cookie", get_attach_cookie, Answer::COOKIE),
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
    unsafe { (*call).once(Answer::CPU, |c| c.env().cpu().map_or(c.cpu, u64::from)) }
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
    unsafe { (*call).once(Answer::TASK_ID, |c| c.env().pid_tgid()) }
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
    unsafe { (*call).once(Answer::USER_ID, |c| c.env().uid_gid()) }
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
        // Nearly all ask for sixteen.
        let (mut few, mut many) = ([0; 16], Vec::new());
        let out = match few.get_mut(..size) {
            Some(out) => out,
            None => {
                many.resize(size, 0);
                &mut many[..]
            }
        };
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
        write(to, out);
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
    unsafe { (*call).once(Answer::TASK, |c| c.env().task()) }
}

/// Where tasks lie that the surroundings do not know: as [`NOWHERE`], behind it. What is proved of these helpers is that they never
/// give NULL.
const UNKNOWN_TASKS: u64 = 2 * NOWHERE;
const TASK_BYTES: u64 = 1 << 14;
/// Of its registers, from a task's address.
const REGISTERS: u64 = TASK_BYTES / 2;

/// The task's address, or another one for each thread.
pub(super) fn task(env: &dyn Env) -> u64 {
    match env.task() {
        0 => UNKNOWN_TASKS + u64::from(env.pid_tgid() as u32) * TASK_BYTES,
        known => known,
    }
}

unsafe extern "C" fn get_current_task_btf(
    call: *mut Call<'_>,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid.
    task(unsafe { env(call) })
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
    unsafe { (*call).once(Answer::NUMA_NODE, |c| u64::from(c.env().numa_node())) }
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
    unsafe { (*call).once(Answer::CGROUP, |c| c.env().cgroup_id()) }
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
    unsafe { (*call).once(Answer::FUNCTION, |c| c.env().func_ip()) }
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
    unsafe { (*call).once(Answer::COOKIE, |c| c.env().attach_cookie()) }
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
    let env = unsafe { env(call) };
    match env.task_regs() {
        0 => task(env) + REGISTERS,
        known => known,
    }
}
