//! Where a program can be attached, and one file for each way of attaching.

mod cgroup;
mod direct;
mod socket;
mod tc;
mod xdp;

use std::fmt;
use std::path::PathBuf;

use aya::programs::Program;
use probity_objfile::{AttachType, Hook, ProgType, Target};

use crate::Error;

/// A place to attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attach {
    Tracepoint {
        category: String,
        name: String,
    },
    RawTracepoint {
        name: String,
    },
    /// `offset` in bytes into the function.
    Kprobe {
        function: String,
        offset: u64,
        ret: bool,
    },
    /// Without `symbol` the offset counts from the file's start. The kernel keeps `semaphore` there as a
    /// counter of who traces it.
    Uprobe {
        path: String,
        symbol: Option<String>,
        offset: u64,
        ret: bool,
        semaphore: Option<u64>,
        pid: Option<u32>,
    },
    /// An instruction of the kernel.
    KernelAddress(u64),
    /// Many kernel functions in one attachment: names and what the program gets as its cookie.
    KernelMulti {
        functions: Vec<(String, u64)>,
        ret: bool,
    },
    /// Many places in one file.
    UserMulti {
        path: String,
        places: Vec<UserPlace>,
        ret: bool,
        pid: Option<u32>,
    },
    /// What the program was loaded for: a kernel function by its types, a typed tracepoint, a security hook.
    LoadedFor,
    /// An iterator, which runs when somebody reads it, there.
    Iterator {
        pin: PathBuf,
    },
    /// Accesses to an address; `mode` is of `HW_BREAKPOINT_R` …
    Breakpoint {
        address: u64,
        len: u32,
        mode: u32,
        pid: Option<u32>,
    },
    /// On one CPU, or on every online one.
    PerfEvent {
        event: Event,
        cpu: Option<u32>,
    },
    Xdp {
        interface: String,
        mode: XdpMode,
    },
    Tc {
        interface: String,
        direction: Direction,
    },
    /// A packet socket of ours, on one interface or on all.
    Socket {
        interface: Option<String>,
    },
    Cgroup {
        path: String,
        direction: Option<Direction>,
    },
}

/// One of many places in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPlace {
    /// Without it the offset counts from the file's start.
    pub symbol: Option<String>,
    pub offset: u64,
    pub semaphore: u64,
    pub cookie: u64,
}

/// What makes a perf event program run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// So many times a second.
    Hertz(u64),
    /// Every so many nanoseconds.
    Nanoseconds(u64),
    /// Every `period`th occurrence of a software event (`PERF_COUNT_SW_…`).
    Software { config: u64, period: u64 },
    /// Every `period`th occurrence of a hardware event (`PERF_COUNT_HW_…`).
    Hardware { config: u64, period: u64 },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// The kernel chooses.
    #[default]
    Any,
    Generic,
    Native,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Ingress,
    Egress,
}

/// An attached program; detaches when dropped.
pub(crate) type Link = Box<dyn Send>;

pub use direct::file_offset;
pub(crate) use direct::{attach as attach_descriptor, attach_tracepoint, kernel_link};

const ITERATOR: AttachType = AttachType(28);
const LSM_CGROUP: AttachType = AttachType(43);

impl Attach {
    /// Where the section name of a program says it belongs. What a section cannot say (an
    /// interface, a control group) comes from `place`.
    pub fn from_hook(program: &str, hook: &Hook, place: Option<&str>) -> Result<Attach, Error> {
        let need = |need| Error::NoTarget {
            program: program.to_string(),
            need,
        };
        let interface = || {
            place
                .map(str::to_string)
                .ok_or_else(|| need("name a network interface (--interface)"))
        };
        Ok(match (&hook.target, hook.prog_type) {
            (Target::Tracepoint { category, name }, _) => Attach::Tracepoint {
                category: category.clone(),
                name: name.clone(),
            },
            // A place of its own: the section says where it is loaded for.
            (Target::RawTracepoint { .. } | Target::Function { .. }, Some(ProgType::TRACING))
                if hook.attach_type == Some(ITERATOR) =>
            {
                let pin = place.ok_or_else(|| need("name where to pin the iterator (--pin)"))?;
                Attach::Iterator { pin: pin.into() }
            }
            (
                Target::RawTracepoint { .. } | Target::Function { .. },
                Some(ProgType::TRACING | ProgType::LSM),
            ) if hook.attach_type != Some(LSM_CGROUP) => Attach::LoadedFor,
            (Target::RawTracepoint { name }, _) => Attach::RawTracepoint { name: name.clone() },
            (Target::Function { name, offset, ret }, Some(ProgType::KPROBE)) => Attach::Kprobe {
                function: name.clone(),
                offset: *offset,
                ret: *ret,
            },
            (
                Target::User {
                    path,
                    function,
                    offset,
                    ret,
                    multi: false,
                },
                _,
            ) => Attach::Uprobe {
                path: path.clone(),
                symbol: (!function.is_empty()).then(|| function.clone()),
                offset: *offset,
                ret: *ret,
                semaphore: None,
                pid: None,
            },
            (_, Some(ProgType::PERF_EVENT)) => Attach::PerfEvent {
                event: Event::Hertz(99),
                cpu: None,
            },
            (_, Some(ProgType::XDP)) => Attach::Xdp {
                interface: interface()?,
                mode: XdpMode::Any,
            },
            (_, Some(ProgType::SCHED_CLS)) => {
                let direction = if hook.section.contains("egress") {
                    Direction::Egress
                } else {
                    Direction::Ingress
                };
                Attach::Tc {
                    interface: interface()?,
                    direction,
                }
            }
            (_, Some(ProgType::SOCKET_FILTER)) => Attach::Socket {
                interface: place.map(str::to_string),
            },
            (_, Some(ProgType::CGROUP_SKB)) => {
                let direction = match () {
                    () if hook.section.ends_with("ingress") => Some(Direction::Ingress),
                    () if hook.section.ends_with("egress") => Some(Direction::Egress),
                    () => None,
                };
                let path =
                    place.ok_or_else(|| need("name a control group's directory (--cgroup)"))?;
                Attach::Cgroup {
                    path: path.to_string(),
                    direction,
                }
            }
            (_, Some(ProgType::KPROBE)) => return Err(need("its section names no function")),
            (_, Some(ProgType::TRACEPOINT)) => return Err(need("its section names no tracepoint")),
            _ => {
                return Err(Error::Unsupported {
                    program: program.to_string(),
                    why: format!(
                        "programs of section `{}` cannot be attached from here yet",
                        hook.section
                    ),
                });
            }
        })
    }
}

/// Attaches a loaded program.
pub(crate) fn attach(name: &str, program: &mut Program, to: &Attach) -> Result<Vec<Link>, Error> {
    let result = match to {
        Attach::Xdp { interface, mode } => xdp::attach(program, interface, *mode),
        Attach::Tc {
            interface,
            direction,
        } => tc::attach(program, interface, *direction),
        Attach::Socket { interface } => socket::attach(program, interface.as_deref()),
        Attach::Cgroup { path, direction } => cgroup::attach(program, path, *direction),
        _ => Err("aya does not attach there".into()),
    };
    result.map_err(|why| Error::Attach {
        program: name.to_string(),
        target: to.to_string(),
        why,
    })
}

/// The program as the type that aya attaches.
fn typed<'a, T>(program: &'a mut Program) -> Result<T, String>
where
    T: TryFrom<&'a mut Program>,
{
    let kind = program.prog_type();
    T::try_from(program).map_err(|_| format!("a program of kind {kind:?} does not attach there"))
}

/// An error of aya's as text, with what caused it.
fn text(error: impl std::error::Error) -> String {
    crate::error::chain(&error)
}

impl fmt::Display for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attach::Tracepoint { category, name } => write!(f, "tracepoint:{category}:{name}"),
            Attach::RawTracepoint { name } => write!(f, "rawtracepoint:{name}"),
            Attach::Kprobe {
                function,
                offset: 0,
                ..
            } => write!(f, "function {function}"),
            Attach::Kprobe {
                function, offset, ..
            } => write!(f, "function {function}+{offset}"),
            Attach::Uprobe {
                path,
                symbol,
                offset,
                ..
            } => match symbol {
                Some(symbol) if *offset == 0 => write!(f, "{path}:{symbol}"),
                Some(symbol) => write!(f, "{path}:{symbol}+{offset}"),
                None => write!(f, "{path}:{offset:#x}"),
            },
            Attach::KernelAddress(address) => write!(f, "the kernel's code at {address:#x}"),
            Attach::KernelMulti { functions, .. } => match functions.as_slice() {
                [(only, _)] => write!(f, "function {only}"),
                all => write!(f, "{} functions", all.len()),
            },
            Attach::UserMulti { path, places, .. } => {
                write!(f, "{} places of {path}", places.len())
            }
            Attach::LoadedFor => f.write_str("what it was loaded for"),
            Attach::Iterator { pin } => write!(f, "an iterator at {}", pin.display()),
            Attach::Breakpoint { address, .. } => write!(f, "a breakpoint at {address:#x}"),
            Attach::PerfEvent { event, cpu } => {
                match event {
                    Event::Hertz(n) => write!(f, "{n} times a second")?,
                    Event::Nanoseconds(n) => write!(f, "every {n} ns")?,
                    Event::Software { config, period } => {
                        write!(f, "software event {config} every {period}")?
                    }
                    Event::Hardware { config, period } => {
                        write!(f, "hardware event {config} every {period}")?
                    }
                }
                match cpu {
                    Some(cpu) => write!(f, " on CPU {cpu}"),
                    None => f.write_str(" on every CPU"),
                }
            }
            Attach::Xdp { interface, .. } => write!(f, "XDP of {interface}"),
            Attach::Tc {
                interface,
                direction: Direction::Ingress,
            } => write!(f, "ingress of {interface}"),
            Attach::Tc {
                interface,
                direction: Direction::Egress,
            } => write!(f, "egress of {interface}"),
            Attach::Socket { interface: Some(i) } => write!(f, "a packet socket on {i}"),
            Attach::Socket { interface: None } => f.write_str("a packet socket"),
            Attach::Cgroup { path, .. } => write!(f, "control group {path}"),
        }
    }
}
