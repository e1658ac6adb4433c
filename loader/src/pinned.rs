//! A proof → maps and programs pinned under bpffs, and links between them and their hooks, which outlive the process.
//!
//! A directory of one generation has `maps/NAME`, `programs/NAME` and `links/PROGRAM/NUMBER`. What is not there whole has
//! another name: it is made beside its place and renamed to it, which bpffs does at once.
//!
//! **Invariant:** only programs of a proof are pinned, and only what [`load`] has pinned is attached.
//!
//! **Invariant:** names in bpffs have no dots, which are the kernel's there.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{
    CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, KProbe, PerfEvent, ProbeKind, ProgramInfo,
    RawTracePoint, SchedClassifier, TracePoint, UProbe, perf_event, tc, uprobe,
};
use probity_objfile::Hook;
use probity_verifier::Verified;

use crate::direct::{RunStats, stats};
use crate::{Attach, Direction, Error, Event, MapHandle, Session, XdpMode, hooks, sys};

/// A name of an object, as bpffs takes it.
pub fn file_name(name: &str) -> String {
    name.replace('.', "+").replace('/', "_")
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io { what, source }
}

/// Loads the programs of a proof, with their maps, and pins both below `directory`, which is made. Maps in `kept` (by their names in the
/// object) are used in the place of new ones.
pub fn load(
    verified: &Verified,
    directory: &Path,
    kept: &BTreeMap<String, PathBuf>,
) -> Result<(), Error> {
    let (maps, programs) = (directory.join("maps"), directory.join("programs"));
    for dir in [&maps, &programs, &directory.join("links")] {
        std::fs::create_dir_all(dir).map_err(failed("cannot make a directory in bpffs"))?;
    }
    let session = Session::load_with(verified, kept, &BTreeMap::new())?;
    session.pin(
        |name| maps.join(file_name(name)),
        |name| programs.join(file_name(name)),
    )
}

/// Whether the link of such a program can be given another program, at once.
pub fn is_updatable(to: &Attach) -> bool {
    matches!(
        to,
        Attach::Xdp { .. } | Attach::Tc { .. } | Attach::Cgroup { .. }
    )
}

/// Attaches a pinned program; its links are pinned as 0, 1, … below `links`, which is made whole or not at all.
pub fn attach(program: &Path, name: &str, to: &Attach, links: &Path) -> Result<(), Error> {
    let wrong = |why: String| Error::Attach {
        program: name.to_string(),
        target: to.to_string(),
        why,
    };
    let made = attached(program, to).map_err(wrong)?;
    let Some((parent, last)) = links.parent().zip(links.file_name()) else {
        return Err(wrong("its links have no place".into()));
    };
    let new = parent.join(format!("new-{}", last.to_string_lossy()));
    let _ = std::fs::remove_dir_all(&new);
    std::fs::create_dir_all(&new).map_err(failed("cannot make a directory in bpffs"))?;
    for (n, link) in made.into_iter().enumerate() {
        let at = new.join(n.to_string());
        match link {
            Made::Aya(link) => link.pin(at).map(drop).map_err(|e| crate::error::chain(&e)),
            Made::Own(link) => sys::pin(&link, &at).map_err(|e| e.to_string()),
        }
        .map_err(wrong)?;
    }
    std::fs::rename(&new, links).map_err(failed("cannot rename a directory in bpffs"))
}

/// A link that is not pinned yet.
enum Made {
    Aya(FdLink),
    Own(OwnedFd),
}

const XDP_FLAGS_SKB_MODE: u32 = 2;
const XDP_FLAGS_DRV_MODE: u32 = 4;

fn attached(path: &Path, to: &Attach) -> Result<Vec<Made>, String> {
    fn text(e: impl std::error::Error) -> String {
        crate::error::chain(&e)
    }
    macro_rules! one {
        ($p:expr, $id:expr) => {{
            let mut p = $p.map_err(text)?;
            let id = $id(&mut p).map_err(text)?;
            let link = p.take_link(id).map_err(text)?;
            Ok(vec![Made::Aya(FdLink::try_from(link).map_err(text)?)])
        }};
    }
    match to {
        Attach::Tracepoint { category, name } => {
            one!(TracePoint::from_pin(path), |p: &mut TracePoint| p
                .attach(category, name))
        }
        Attach::RawTracepoint { name } => {
            if name.contains('\0') {
                return Err("the name holds a zero byte".into());
            }
            one!(RawTracePoint::from_pin(path), |p: &mut RawTracePoint| p
                .attach(name))
        }
        Attach::Uprobe {
            path: file,
            symbol,
            offset,
            ret,
            semaphore: None,
            ..
        } => {
            let location = match symbol.as_deref() {
                Some(symbol) if *offset == 0 => uprobe::UProbeAttachLocation::Symbol(symbol),
                Some(symbol) => uprobe::UProbeAttachLocation::SymbolOffset(symbol, *offset),
                None => uprobe::UProbeAttachLocation::AbsoluteOffset(*offset),
            };
            let kind = match ret {
                true => ProbeKind::Return,
                false => ProbeKind::Entry,
            };
            one!(UProbe::from_pin(path, kind), |p: &mut UProbe| p.attach(
                location,
                file,
                uprobe::UProbeScope::AllProcesses
            ))
        }
        Attach::Kprobe {
            function,
            offset,
            ret,
        } => {
            let kind = match ret {
                true => ProbeKind::Return,
                false => ProbeKind::Entry,
            };
            one!(KProbe::from_pin(path, kind), |p: &mut KProbe| p
                .attach(function, *offset))
        }
        Attach::LoadedFor
        | Attach::Iterator { .. }
        | Attach::KernelMulti { .. }
        | Attach::UserMulti { .. } => {
            let program = sys::get(path).map_err(|e| e.to_string())?;
            hooks::kernel_link(program.as_fd(), to).map(|link| vec![Made::Own(link)])
        }
        Attach::Xdp { interface, mode } => {
            let flags = match mode {
                XdpMode::Any => 0,
                XdpMode::Generic => XDP_FLAGS_SKB_MODE,
                XdpMode::Native => XDP_FLAGS_DRV_MODE,
            };
            let link = sys::get(path)
                .and_then(|program| sys::link_xdp(&program, interface, flags))
                .map_err(|e| e.to_string())?;
            Ok(vec![Made::Own(link)])
        }
        Attach::Tc {
            interface,
            direction,
        } => {
            let kind = match direction {
                Direction::Ingress => tc::TcAttachType::Ingress,
                Direction::Egress => tc::TcAttachType::Egress,
            };
            one!(
                SchedClassifier::from_pin(path),
                |p: &mut SchedClassifier| p.attach(interface, kind)
            )
        }
        Attach::Cgroup {
            path: group,
            direction,
        } => {
            let kind = match direction {
                Some(Direction::Ingress) => CgroupSkbAttachType::Ingress,
                Some(Direction::Egress) => CgroupSkbAttachType::Egress,
                None => return Err("its section names no direction".into()),
            };
            let directory = std::fs::File::open(group).map_err(|e| e.to_string())?;
            one!(CgroupSkb::from_pin(path, kind), |p: &mut CgroupSkb| p
                .attach(&directory, kind, CgroupAttachMode::Single))
        }
        Attach::PerfEvent { event, cpu } => {
            let cpus = match cpu {
                Some(cpu) => vec![*cpu],
                None => aya::util::online_cpus().map_err(|(what, e)| format!("{what}: {e}"))?,
            };
            let policy = match event {
                Event::Hertz(n) => perf_event::SamplePolicy::Frequency(*n),
                Event::Nanoseconds(n) => perf_event::SamplePolicy::Period(*n),
                _ => return Err("such events do not outlive the command yet".into()),
            };
            let mut p = PerfEvent::from_pin(path).map_err(text)?;
            let mut links = Vec::new();
            for cpu in cpus {
                let clock =
                    perf_event::PerfEventConfig::Software(perf_event::SoftwareEvent::CpuClock);
                let scope = perf_event::PerfEventScope::AllProcessesOneCpu { cpu };
                let id = p.attach(clock, scope, policy, false).map_err(text)?;
                let link = p.take_link(id).map_err(text)?;
                links.push(Made::Aya(FdLink::try_from(link).map_err(text)?));
            }
            Ok(links)
        }
        Attach::Socket { .. } => Err(
            "a packet socket goes with the process that has it open, and with it the program; \
             tc and XDP programs see the same packets and stay"
                .into(),
        ),
        _ => Err("what is attached there does not outlive the command".into()),
    }
}

/// Gives every link below `links` this program in the place of the one that it has.
pub fn update(links: &Path, program: &Path) -> Result<(), Error> {
    let to = sys::get(program).map_err(failed("cannot open a pinned program"))?;
    for path in files(links) {
        let link = sys::get(&path).map_err(failed("cannot open a pinned link"))?;
        sys::link_update(&link, &to).map_err(failed("cannot give a link another program"))?;
    }
    Ok(())
}

/// The kernel's numbers of the programs that the links below `links` run.
pub fn linked(links: &Path) -> Vec<u32> {
    let program = |path: PathBuf| {
        let link = FdLink::from(PinnedLink::from_pin(path).ok()?);
        Some(link.info().ok()?.program_id())
    };
    files(links).into_iter().filter_map(program).collect()
}

/// The kernel's number of a pinned program.
pub fn program_id(program: &Path) -> Option<u32> {
    ProgramInfo::from_pin(program).ok().map(|i| i.id())
}

/// What a pinned program has cost so far; the kernel counts while somebody has its statistics on ([`measure`]).
pub fn run_stats(program: &Path) -> Option<RunStats> {
    stats::of(sys::get(program).ok()?.as_fd()).ok()
}

/// The kernel counts what programs cost until this is dropped.
pub struct Measured(#[expect(dead_code, reason = "counts while it is open")] OwnedFd);

/// Has the kernel count what all programs cost.
pub fn measure() -> Result<Measured, Error> {
    let enabled = stats::enable().map_err(failed("the kernel does not count what programs cost"));
    enabled.map(Measured)
}

/// A pinned map, as the object defines it.
pub fn map(path: &Path, map: &probity_objfile::Map) -> Result<MapHandle, Error> {
    let fd: OwnedFd = sys::get(path).map_err(failed("cannot open a pinned map"))?;
    let cpus = aya::util::nr_cpus().map_err(|(_, source)| Error::Io {
        what: "cannot count CPUs",
        source,
    })?;
    Ok(MapHandle::new(fd, map, cpus))
}

/// Names in a directory, in order.
pub fn names(directory: &Path) -> Vec<String> {
    let paths = files(directory).into_iter();
    let name = |p: PathBuf| Some(p.file_name()?.to_string_lossy().into_owned());
    paths.filter_map(name).collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = entries.map(|e| e.path()).collect();
    all.sort();
    all
}

/// Whether a directory is in a bpf file system.
pub fn is_bpffs(directory: &Path) -> bool {
    sys::is_bpffs(directory)
}

/// Mounts bpffs where it belongs, unless it is there.
pub fn mount(directory: &Path) -> io::Result<()> {
    sys::mount_bpffs(directory)
}

/// Where programs of such a hook attach, or what there is to be said first.
pub fn place(program: &str, hook: &Hook, place: Option<&str>) -> Result<Attach, Error> {
    let to = hooks::Attach::from_hook(program, hook, place)?;
    match to {
        Attach::Tracepoint { .. }
        | Attach::RawTracepoint { .. }
        | Attach::Kprobe { .. }
        | Attach::LoadedFor
        | Attach::Iterator { .. }
        | Attach::Uprobe {
            semaphore: None, ..
        }
        | Attach::PerfEvent { .. }
        | Attach::Xdp { .. }
        | Attach::Tc { .. }
        | Attach::Cgroup { .. } => Ok(to),
        Attach::Socket { .. } => Err(Error::Unsupported {
            program: program.into(),
            why: "a packet socket does not outlive the command, nor does what is attached to it; tc and XDP programs do".into(),
        }),
        _ => Err(Error::Unsupported {
            program: program.into(),
            why: format!("what is attached to {to} does not outlive the command"),
        }),
    }
}
