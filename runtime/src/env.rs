//! The answers to what a program asks about its surroundings: time, task, memory, stacks.
//!
//! **Invariant:** helpers ask nothing of the system by themselves; with an [`Env`] of fixed
//! answers a call is deterministic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Clocks that helpers read, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// `ktime_get_ns`: monotonic, without time asleep.
    Monotonic,
    /// `ktime_get_boot_ns`.
    Boot,
    /// `ktime_get_coarse_ns`.
    Coarse,
    /// `ktime_get_tai_ns`.
    Tai,
    /// That of timers by `CLOCK_REALTIME`.
    Real,
}

/// What surrounds a call. Every method has an answer that is right when nothing is known.
pub trait Env: Send + Sync {
    fn time(&self, _clock: Clock) -> u64 {
        0
    }
    /// Thread group in the upper half, thread in the lower.
    fn pid_tgid(&self) -> u64 {
        0
    }
    /// Group in the upper half, user in the lower.
    fn uid_gid(&self) -> u64 {
        0
    }
    /// NUL-terminated.
    fn comm(&self) -> [u8; 16] {
        [0; 16]
    }
    fn cgroup_id(&self) -> u64 {
        0
    }
    /// Id of the cgroup at a level above the task's own, the root's being 0; 0 where there is none.
    fn ancestor_cgroup_id(&self, _level: u32) -> u64 {
        0
    }
    /// Whether the task is in that cgroup or in one below it.
    fn under_cgroup(&self, id: u64) -> bool {
        id == self.cgroup_id()
    }
    fn numa_node(&self) -> u32 {
        0
    }
    /// `None`: the index that the call was made with.
    fn cpu(&self) -> Option<u32> {
        None
    }
    fn random(&self) -> u32;
    /// Address of the `task_struct`, where a host gives memory for it. Where it is 0, programs that are promised one get an
    /// address of the thread's own, at which nothing can be read.
    fn task(&self) -> u64 {
        0
    }
    /// Address of the task's user registers (`struct pt_regs`), where a host gives memory for them.
    fn task_regs(&self) -> u64 {
        0
    }
    /// Fills `out` from readable memory at `address`, of the user or of the kernel; false when any byte is not readable.
    fn read(&self, _space: Space, _address: u64, _out: &mut [u8]) -> bool {
        false
    }
    /// Instruction pointers of the call chain, innermost first; `None` when it is not known.
    fn stack(&self, _space: Space) -> Option<&[u64]> {
        None
    }
    fn attach_cookie(&self) -> u64 {
        0
    }
    fn func_ip(&self) -> u64 {
        0
    }
    /// What the interface of that number takes at most, in bytes without their Ethernet header; `None` where there is none.
    fn mtu(&self, _interface: u32) -> Option<u32> {
        None
    }
    /// A line of `trace_printk`, without its final newline.
    fn trace(&self, _line: &[u8]) {}
}

/// Whose memory or stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    Kernel,
    User,
}

/// Fixed answers: those of a recorded sample, or of a test.
#[derive(Debug)]
pub struct Sample {
    pub monotonic_ns: u64,
    pub boot_ns: u64,
    pub tai_ns: u64,
    pub pid_tgid: u64,
    pub uid_gid: u64,
    pub comm: [u8; 16],
    pub cgroup_id: u64,
    pub cpu: Option<u32>,
    pub task: u64,
    pub attach_cookie: u64,
    pub func_ip: u64,
    /// Numbers of interfaces, and what each takes at most ([`Env::mtu`]).
    pub mtus: Vec<(u32, u32)>,
    pub kernel_stack: Option<Vec<u64>>,
    pub user_stack: Option<Vec<u64>>,
    /// Readable memory: address and bytes; either space.
    pub memory: Vec<(u64, Arc<[u8]>)>,
    /// State of the random numbers.
    pub random: AtomicU64,
}

impl Default for Sample {
    fn default() -> Sample {
        Sample {
            monotonic_ns: 0,
            boot_ns: 0,
            tai_ns: 0,
            pid_tgid: 0,
            uid_gid: 0,
            comm: [0; 16],
            cgroup_id: 0,
            cpu: None,
            task: 0,
            attach_cookie: 0,
            func_ip: 0,
            mtus: Vec::new(),
            kernel_stack: None,
            user_stack: None,
            memory: Vec::new(),
            random: AtomicU64::new(1),
        }
    }
}

impl Sample {
    /// Sets `comm`, cut to 15 bytes.
    pub fn set_comm(&mut self, name: &[u8]) {
        self.comm = comm_bytes(name);
    }
}

impl Env for Sample {
    fn time(&self, clock: Clock) -> u64 {
        match clock {
            Clock::Monotonic | Clock::Coarse => self.monotonic_ns,
            Clock::Boot => self.boot_ns,
            // A recording has no leap seconds of its own.
            Clock::Tai | Clock::Real => self.tai_ns,
        }
    }
    fn pid_tgid(&self) -> u64 {
        self.pid_tgid
    }
    fn uid_gid(&self) -> u64 {
        self.uid_gid
    }
    fn comm(&self) -> [u8; 16] {
        self.comm
    }
    fn cgroup_id(&self) -> u64 {
        self.cgroup_id
    }
    fn cpu(&self) -> Option<u32> {
        self.cpu
    }
    fn random(&self) -> u32 {
        next_random(&self.random)
    }
    fn task(&self) -> u64 {
        self.task
    }
    fn read(&self, _space: Space, address: u64, out: &mut [u8]) -> bool {
        self.memory.iter().any(|(base, bytes)| {
            let Some(at) = address
                .checked_sub(*base)
                .and_then(|n| usize::try_from(n).ok())
            else {
                return false;
            };
            let Some(from) = at.checked_add(out.len()).and_then(|end| bytes.get(at..end)) else {
                return false;
            };
            out.copy_from_slice(from);
            true
        })
    }
    fn stack(&self, space: Space) -> Option<&[u64]> {
        match space {
            Space::Kernel => self.kernel_stack.as_deref(),
            Space::User => self.user_stack.as_deref(),
        }
    }
    fn attach_cookie(&self) -> u64 {
        self.attach_cookie
    }
    fn func_ip(&self) -> u64 {
        self.func_ip
    }
    fn mtu(&self, interface: u32) -> Option<u32> {
        let known = self.mtus.iter().find(|(n, _)| *n == interface);
        known.map(|(_, mtu)| *mtu)
    }
}

/// The answers of this very process and thread. Memory of the process is not readable
/// through it unless the host names the ranges ([`Process::allow`]).
#[derive(Debug)]
pub struct Process {
    random: AtomicU64,
    memory: Vec<(u64, Arc<[u8]>)>,
}

impl Process {
    /// `seed` starts the random numbers.
    pub fn new(seed: u64) -> Process {
        Process {
            random: AtomicU64::new(seed),
            memory: Vec::new(),
        }
    }

    /// Makes bytes readable to `probe_read` at an address of the host's choice.
    pub fn allow(&mut self, address: u64, bytes: Arc<[u8]>) {
        self.memory.push((address, bytes));
    }
}

impl Env for Process {
    fn time(&self, clock: Clock) -> u64 {
        let id = match clock {
            Clock::Monotonic => libc::CLOCK_MONOTONIC,
            Clock::Boot => libc::CLOCK_BOOTTIME,
            Clock::Coarse => libc::CLOCK_MONOTONIC_COARSE,
            Clock::Tai => libc::CLOCK_TAI,
            Clock::Real => libc::CLOCK_REALTIME,
        };
        let mut t = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `t` is a valid place for the result.
        if unsafe { libc::clock_gettime(id, &mut t) } != 0 {
            return 0;
        }
        (t.tv_sec as u64)
            .wrapping_mul(1_000_000_000)
            .wrapping_add(t.tv_nsec as u64)
    }
    fn pid_tgid(&self) -> u64 {
        crate::task_id::pid_tgid()
    }
    fn uid_gid(&self) -> u64 {
        // SAFETY: these calls have no preconditions.
        let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
        u64::from(gid) << 32 | u64::from(uid)
    }
    fn comm(&self) -> [u8; 16] {
        let mut name = [0u8; 16];
        // SAFETY: PR_GET_NAME writes at most 16 bytes.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        name
    }
    fn random(&self) -> u32 {
        next_random(&self.random)
    }
    fn read(&self, _space: Space, address: u64, out: &mut [u8]) -> bool {
        self.memory.iter().any(|(base, bytes)| {
            let Some(at) = address
                .checked_sub(*base)
                .and_then(|n| usize::try_from(n).ok())
            else {
                return false;
            };
            let Some(from) = at.checked_add(out.len()).and_then(|end| bytes.get(at..end)) else {
                return false;
            };
            out.copy_from_slice(from);
            true
        })
    }
}

/// splitmix64 over a shared counter.
fn next_random(state: &AtomicU64) -> u32 {
    let mut z = state
        .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 32) as u32
}

/// A name as the kernel keeps it: at most 15 bytes and a NUL.
pub(crate) fn comm_bytes(name: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    for (o, b) in out.iter_mut().take(15).zip(name) {
        *o = *b;
    }
    out
}
