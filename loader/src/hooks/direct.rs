//! What is attached by a program's descriptor, whoever loaded it.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use aya::util::online_cpus;
use object::{Object as _, ObjectSegment, ObjectSymbol};

use super::{Attach, Link};
use crate::Error;
use crate::direct::{link, perf};

/// A link that has a name while it is attached.
struct Pinned {
    _link: OwnedFd,
    path: PathBuf,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Somebody else may have removed it; then there is nothing to do.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Attaches a loaded program.
pub(crate) fn attach(name: &str, program: BorrowedFd<'_>, to: &Attach) -> Result<Vec<Link>, Error> {
    links(program, to).map_err(|why| Error::Attach {
        program: name.to_string(),
        target: to.to_string(),
        why,
    })
}

/// Attaches a loaded program to a tracepoint.
pub(crate) fn attach_tracepoint(
    name: &str,
    program: BorrowedFd<'_>,
    category: &str,
    event: &str,
) -> Result<OwnedFd, Error> {
    perf::tracepoint(program, category, event).map_err(|e| Error::Attach {
        program: name.to_string(),
        target: format!("{category}:{event}"),
        why: e.to_string(),
    })
}

fn links(program: BorrowedFd<'_>, to: &Attach) -> Result<Vec<Link>, String> {
    let text = |e: std::io::Error| e.to_string();
    let one = |fd: OwnedFd| -> Vec<Link> { vec![Box::new(fd)] };
    match to {
        Attach::LoadedFor => kernel_link(program, to).map(one),
        Attach::Iterator { pin } => {
            let link = kernel_link(program, to)?;
            link::pin(link.as_fd(), pin).map_err(text)?;
            Ok(vec![Box::new(Pinned {
                _link: link,
                path: pin.clone(),
            })])
        }
        Attach::Breakpoint {
            address,
            len,
            mode,
            pid,
        } => {
            let cpus = online_cpus().map_err(|(what, e)| format!("{what}: {e}"))?;
            let events = perf::breakpoint(program, *address, *len, *mode, *pid, &cpus);
            let events = events.map_err(|e| match e.raw_os_error() {
                Some(libc::ENOSPC) => "the processor has no free breakpoint register".into(),
                _ => text(e),
            })?;
            Ok(events.into_iter().map(|e| Box::new(e) as Link).collect())
        }
        Attach::RawTracepoint { name } => {
            link::raw_tracepoint(program, name)
                .map(one)
                .map_err(|e| match e.raw_os_error() {
                    Some(libc::ENOENT) => "the kernel has no such tracepoint".into(),
                    _ => text(e),
                })
        }
        Attach::Kprobe {
            function,
            offset,
            ret,
        } => perf::kernel(program, Some(function), *offset, *ret)
            .map(one)
            .map_err(text),
        Attach::KernelAddress(address) => perf::kernel(program, None, *address, false)
            .map(one)
            .map_err(text),
        Attach::Uprobe {
            path,
            symbol,
            offset,
            ret,
            semaphore,
            pid,
        } => {
            let start = match symbol {
                None => 0,
                Some(symbol) => File::read(Path::new(path))?
                    .place(symbol)
                    .ok_or_else(|| format!("{path} has no function `{symbol}`"))?,
            };
            let offset = start.wrapping_add(*offset);
            perf::user(program, path, offset, semaphore.unwrap_or(0), *ret, *pid)
                .map(one)
                .map_err(text)
        }
        Attach::PerfEvent { event, cpu } => {
            let cpus = match cpu {
                Some(cpu) => vec![*cpu],
                None => online_cpus().map_err(|(what, e)| format!("{what}: {e}"))?,
            };
            let event = |&cpu: &u32| perf::event(program, *event, cpu);
            let events: Result<Vec<OwnedFd>, _> = cpus.iter().map(event).collect();
            let events = events.map_err(|e| match e.raw_os_error() {
                Some(libc::ENOENT) => "this machine has no such event".into(),
                _ => text(e),
            })?;
            Ok(events.into_iter().map(|e| Box::new(e) as Link).collect())
        }
        Attach::KernelMulti { .. } | Attach::UserMulti { .. } => kernel_link(program, to).map(one),
        _ => Err("programs of its kind do not attach there".into()),
    }
}

/// The one link of what the kernel attaches by a link of its own, which can be given a name in bpffs.
pub(crate) fn kernel_link(program: BorrowedFd<'_>, to: &Attach) -> Result<OwnedFd, String> {
    let text = |e: std::io::Error| e.to_string();
    match to {
        Attach::LoadedFor => link::loaded_for(program).map_err(text),
        Attach::Iterator { .. } => link::iterator(program).map_err(text),
        Attach::KernelMulti { functions, ret } => {
            let named: Vec<(&str, u64)> = functions.iter().map(|(n, c)| (&**n, *c)).collect();
            link::kernel_multi(program, &named, *ret).map_err(|e| match e.raw_os_error() {
                Some(libc::ESRCH) => "some of the functions cannot be probed".into(),
                _ => text(e),
            })
        }
        Attach::UserMulti {
            path,
            places,
            ret,
            pid,
        } => {
            let file = File::read(Path::new(path))?;
            let places: Vec<link::Place> = places
                .iter()
                .map(|p| {
                    let start = match &p.symbol {
                        None => 0,
                        Some(symbol) => file
                            .place(symbol)
                            .ok_or_else(|| format!("{path} has no function `{symbol}`"))?,
                    };
                    Ok(link::Place {
                        offset: start.wrapping_add(p.offset),
                        semaphore: p.semaphore,
                        cookie: p.cookie,
                    })
                })
                .collect::<Result<_, String>>()?;
            link::user_multi(program, path, &places, *ret, *pid).map_err(text)
        }
        _ => Err("what is attached there does not outlive the command".into()),
    }
}

/// Where the functions of a program or library are in its file.
struct File {
    symbols: HashMap<String, u64>,
    /// Address, bytes and place in the file of what is loaded.
    segments: Vec<(u64, u64, u64)>,
}

impl File {
    fn read(path: &Path) -> Result<File, String> {
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        let file = object::File::parse(&*bytes).map_err(|e| e.to_string())?;
        let symbols = file
            .symbols()
            .chain(file.dynamic_symbols())
            .filter(|s| s.is_definition())
            .filter_map(|s| Some((s.name().ok()?.to_string(), s.address())))
            .collect();
        let segments = file
            .segments()
            .map(|s| (s.address(), s.file_range().1, s.file_range().0))
            .collect();
        Ok(File { symbols, segments })
    }

    fn place(&self, symbol: &str) -> Option<u64> {
        self.in_file(*self.symbols.get(symbol)?)
    }

    fn in_file(&self, address: u64) -> Option<u64> {
        self.segments.iter().find_map(|(start, len, at)| {
            let inside = address.checked_sub(*start)?;
            (inside < *len).then(|| at.wrapping_add(inside))
        })
    }
}

/// Where an address of a program or library is in its file.
pub fn file_offset(path: &Path, address: u64) -> Option<u64> {
    File::read(path).ok()?.in_file(address)
}
