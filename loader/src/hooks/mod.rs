//! Where a program can be attached, and one file for each way of attaching.

mod cgroup;
mod kprobe;
mod perf_event;
mod socket;
mod tc;
mod tracepoint;
mod uprobe;
mod xdp;

use std::fmt;

use aya::programs::Program;
use probity_objfile::{Hook, ProgType, Target};

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
    /// Entry or return, as the program's section says; `offset` in bytes into the function.
    Kprobe {
        function: String,
        offset: u64,
    },
    /// `path` is a file, or a library's name; without `symbol` the offset counts from the file's start.
    Uprobe {
        path: String,
        symbol: Option<String>,
        offset: u64,
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
            (Target::RawTracepoint { name }, _) => Attach::RawTracepoint { name: name.clone() },
            (Target::Function { name, offset, .. }, Some(ProgType::KPROBE)) => Attach::Kprobe {
                function: name.clone(),
                offset: *offset,
            },
            (
                Target::User {
                    path,
                    function,
                    offset,
                    multi: false,
                    ..
                },
                _,
            ) => Attach::Uprobe {
                path: path.clone(),
                symbol: (!function.is_empty()).then(|| function.clone()),
                offset: *offset,
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
        Attach::Tracepoint { category, name } => tracepoint::attach(program, category, name),
        Attach::RawTracepoint { name } => tracepoint::attach_raw(program, name),
        Attach::Kprobe { function, offset } => kprobe::attach(program, function, *offset),
        Attach::Uprobe {
            path,
            symbol,
            offset,
            pid,
        } => uprobe::attach(program, path, symbol.as_deref(), *offset, *pid),
        Attach::PerfEvent { event, cpu } => perf_event::attach(program, *event, *cpu),
        Attach::Xdp { interface, mode } => xdp::attach(program, interface, *mode),
        Attach::Tc {
            interface,
            direction,
        } => tc::attach(program, interface, *direction),
        Attach::Socket { interface } => socket::attach(program, interface.as_deref()),
        Attach::Cgroup { path, direction } => cgroup::attach(program, path, *direction),
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
            } => write!(f, "function {function}"),
            Attach::Kprobe { function, offset } => write!(f, "function {function}+{offset}"),
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
