//! Perf events with a program: tracepoints, functions of the kernel and of programs, timers, counters,
//! breakpoints.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::hooks::Event;

const HARDWARE: u32 = 0;
const SOFTWARE: u32 = 1;
const TRACEPOINT: u32 = 2;
const BREAKPOINT: u32 = 5;
const CPU_CLOCK: u64 = 0;
/// The period is a number of times a second.
const FREQUENCY: u64 = 1 << 10;
const SET_BPF: libc::c_ulong = 0x4004_2408;
const ENABLE: libc::c_ulong = 0x2400;
/// Children and threads that are started later count too.
const INHERIT: u64 = 1 << 1;
const CLOSE_ON_EXEC: libc::c_ulong = 8;

/// `struct perf_event_attr` of its second version: all that these events need.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    breakpoint: u32,
    /// An address, or a pointer to text.
    config1: u64,
    /// A length, or an offset.
    config2: u64,
}

/// Whose events: a process or all, a processor or all.
#[derive(Clone, Copy)]
struct Whose {
    pid: i32,
    cpu: i32,
}

fn open(attributes: Attributes, whose: Whose, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        ..attributes
    };
    // SAFETY: the attributes say their size; what they point to outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            whose.pid,
            whose.cpu,
            -1,
            CLOSE_ON_EXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and ours alone.
    let event = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    for (request, argument) in [(SET_BPF, program.as_raw_fd()), (ENABLE, 0)] {
        // SAFETY: both requests take a number.
        if unsafe { libc::ioctl(event.as_raw_fd(), request as _, argument) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(event)
}

/// Accesses to an address: of one process with all its threads, or of everybody.
pub(crate) fn breakpoint(
    program: BorrowedFd<'_>,
    address: u64,
    len: u32,
    mode: u32,
    pid: Option<u32>,
    cpus: &[u32],
) -> io::Result<Vec<OwnedFd>> {
    const EXECUTE: u32 = 4;
    let attributes = Attributes {
        kind: BREAKPOINT,
        sample_period: 1,
        breakpoint: mode,
        config1: address,
        // What is executed has no length: the kernel wants a word's.
        config2: if mode == EXECUTE { 8 } else { len.into() },
        flags: if pid.is_some() { INHERIT } else { 0 },
        ..Attributes::default()
    };
    let whose: Vec<Whose> = match pid {
        Some(pid) => threads(pid)?
            .into_iter()
            .map(|pid| Whose { pid, cpu: -1 })
            .collect(),
        None => cpus
            .iter()
            .map(|&cpu| Whose {
                pid: -1,
                cpu: cpu as i32,
            })
            .collect(),
    };
    whose
        .into_iter()
        .map(|w| open(attributes, w, program))
        .collect()
}

fn threads(pid: u32) -> io::Result<Vec<i32>> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))?;
    Ok(tasks
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect())
}

/// A place in a file; `semaphore` is a counter of its users in every process that maps it.
pub(crate) fn user(
    program: BorrowedFd<'_>,
    path: &str,
    offset: u64,
    semaphore: u64,
    ret: bool,
    pid: Option<u32>,
) -> io::Result<OwnedFd> {
    let path = CString::new(path)?;
    let attributes = Attributes {
        kind: unit("uprobe")?,
        config: semaphore << 32 | u64::from(ret),
        sample_period: 1,
        config1: path.as_ptr() as u64,
        config2: offset,
        ..Attributes::default()
    };
    let whose = match pid {
        Some(pid) => Whose {
            pid: pid as i32,
            cpu: -1,
        },
        None => Whose { pid: -1, cpu: 0 },
    };
    open(attributes, whose, program)
}

/// A function of the kernel, or an address; entry or return.
pub(crate) fn kernel(
    program: BorrowedFd<'_>,
    function: Option<&str>,
    offset: u64,
    ret: bool,
) -> io::Result<OwnedFd> {
    let name = function.map(CString::new).transpose()?;
    let attributes = Attributes {
        kind: unit("kprobe")?,
        config: ret.into(),
        sample_period: 1,
        config1: name.as_ref().map_or(0, |n| n.as_ptr() as u64),
        config2: offset,
        ..Attributes::default()
    };
    open(attributes, Whose { pid: -1, cpu: 0 }, program)
}

/// A tracepoint by its category and name.
pub(crate) fn tracepoint(
    program: BorrowedFd<'_>,
    category: &str,
    name: &str,
) -> io::Result<OwnedFd> {
    let read = |root: &str| std::fs::read_to_string(format!("{root}/events/{category}/{name}/id"));
    let text = read(crate::TRACEFS).or_else(|_| read("/sys/kernel/debug/tracing"))?;
    let attributes = Attributes {
        kind: TRACEPOINT,
        config: text.trim().parse().map_err(io::Error::other)?,
        sample_period: 1,
        ..Attributes::default()
    };
    open(attributes, Whose { pid: -1, cpu: 0 }, program)
}

/// A timer or counter on one processor.
pub(crate) fn event(program: BorrowedFd<'_>, event: Event, cpu: u32) -> io::Result<OwnedFd> {
    let (kind, config, sample_period, flags) = match event {
        Event::Hertz(n) => (SOFTWARE, CPU_CLOCK, n, FREQUENCY),
        Event::Nanoseconds(n) => (SOFTWARE, CPU_CLOCK, n, 0),
        Event::Software { config, period } => (SOFTWARE, config, period, 0),
        Event::Hardware { config, period } => (HARDWARE, config, period, 0),
    };
    let attributes = Attributes {
        kind,
        config,
        sample_period,
        flags,
        ..Attributes::default()
    };
    let whose = Whose {
        pid: -1,
        cpu: cpu as i32,
    };
    open(attributes, whose, program)
}

/// The number of a kind of events that the kernel gave out when it started.
fn unit(name: &str) -> io::Result<u32> {
    let path = format!("/sys/bus/event_source/devices/{name}/type");
    let text = std::fs::read_to_string(&path)
        .map_err(|_| io::Error::other(format!("this kernel was built without {name}s")))?;
    text.trim().parse().map_err(io::Error::other)
}
