//! Probes → where the loader attaches their programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use probity_loader::{Attach, Event, LoadedFunction, UserPlace, file_offset};
use probity_script::{Period, Probe, ProbeKind, UserTarget};

/// Programs with their places, in the script's order; those of several places in one attachment come
/// where their first probe stands.
pub fn all(probes: &[Probe], pid: Option<u32>) -> Result<Vec<(String, Attach)>> {
    let mut out: Vec<(String, Attach)> = Vec::new();
    for probe in probes {
        if probe.kind.by_hand() || matches!(probe.kind, ProbeKind::Iter { pin: None, .. }) {
            continue;
        }
        let Some(cookie) = probe.multi else {
            out.push((probe.program.clone(), single(&probe.kind, pid)?));
            continue;
        };
        let place = many(&probe.kind, cookie)?;
        let known = out
            .iter_mut()
            .find(|(program, _)| *program == probe.program);
        match (known, place) {
            (
                Some((_, Attach::KernelMulti { functions, .. })),
                Attach::KernelMulti {
                    functions: more, ..
                },
            ) => functions.extend(more),
            (
                Some((_, Attach::UserMulti { places, .. })),
                Attach::UserMulti { places: more, .. },
            ) => places.extend(more),
            (_, place) => out.push((probe.program.clone(), place)),
        }
    }
    Ok(out)
}

/// The functions of loaded programs that a script's programs trace, by the names of those.
pub fn traced(probes: &[Probe]) -> BTreeMap<String, LoadedFunction> {
    let of = |p: &Probe| match &p.kind {
        ProbeKind::OfProgram {
            program, function, ..
        } => Some((
            p.program.clone(),
            LoadedFunction {
                program: *program,
                name: function.clone(),
            },
        )),
        _ => None,
    };
    probes.iter().filter_map(of).collect()
}

/// An attachment with one place of the many that it will have.
fn many(kind: &ProbeKind, cookie: u64) -> Result<Attach> {
    Ok(match kind {
        ProbeKind::Kprobe { function, ret, .. } => Attach::KernelMulti {
            functions: vec![(function.clone(), cookie)],
            ret: *ret,
        },
        ProbeKind::Uprobe {
            path,
            target: UserTarget::Symbol(symbol),
            offset,
            ret,
        } => Attach::UserMulti {
            path: path.clone(),
            places: vec![UserPlace {
                symbol: Some(symbol.clone()),
                offset: *offset,
                semaphore: 0,
                cookie,
            }],
            ret: *ret,
            pid: None,
        },
        ProbeKind::Usdt {
            path,
            offset,
            semaphore,
            ..
        } => Attach::UserMulti {
            path: path.clone(),
            places: vec![UserPlace {
                symbol: None,
                offset: *offset,
                semaphore: semaphore.unwrap_or(0),
                cookie,
            }],
            ret: false,
            pid: None,
        },
        other => bail!("`{other}` is not attached with others"),
    })
}

/// Where one probe is attached by itself.
pub fn single(kind: &ProbeKind, pid: Option<u32>) -> Result<Attach> {
    let every = |period: &Period| match period {
        Period::Nanoseconds(n) => Event::Nanoseconds(*n),
        Period::Hertz(n) => Event::Hertz(*n),
    };
    let everywhere = |event| Attach::PerfEvent { event, cpu: None };
    Ok(match kind {
        ProbeKind::Usdt {
            path,
            offset,
            semaphore,
            ..
        } => Attach::Uprobe {
            path: path.clone(),
            symbol: None,
            offset: *offset,
            ret: false,
            semaphore: *semaphore,
            pid: None,
        },
        ProbeKind::Interval(period) => Attach::PerfEvent {
            event: match period {
                Period::Nanoseconds(n) => Event::Nanoseconds(*n),
                Period::Hertz(n) => Event::Nanoseconds(1_000_000_000 / (*n).max(1)),
            },
            cpu: Some(0),
        },
        ProbeKind::Profile(period) => everywhere(every(period)),
        ProbeKind::Tracepoint { category, name } => Attach::Tracepoint {
            category: category.clone(),
            name: name.clone(),
        },
        ProbeKind::RawTracepoint { name } => Attach::RawTracepoint { name: name.clone() },
        ProbeKind::Kprobe {
            function,
            offset,
            ret,
        } => match function.strip_prefix("0x") {
            Some(digits) => Attach::KernelAddress(u64::from_str_radix(digits, 16)?),
            None => Attach::Kprobe {
                function: function.clone(),
                offset: *offset,
                ret: *ret,
            },
        },
        ProbeKind::Uprobe {
            path,
            target: UserTarget::Symbol(name),
            offset,
            ret,
        } => Attach::Uprobe {
            path: path.clone(),
            symbol: Some(name.clone()),
            offset: *offset,
            ret: *ret,
            semaphore: None,
            pid: None,
        },
        ProbeKind::Uprobe {
            path,
            target: UserTarget::Address(address),
            ret,
            ..
        } => Attach::Uprobe {
            path: path.clone(),
            symbol: None,
            offset: file_offset(Path::new(path), *address)
                .with_context(|| format!("{path} has nothing at address {address:#x}"))?,
            ret: *ret,
            semaphore: None,
            pid: None,
        },
        ProbeKind::Software { event, count, .. } => everywhere(Event::Software {
            config: *event,
            period: *count,
        }),
        ProbeKind::Hardware { event, count, .. } => everywhere(Event::Hardware {
            config: *event,
            period: *count,
        }),
        ProbeKind::Fentry { .. } | ProbeKind::OfProgram { .. } => Attach::LoadedFor,
        ProbeKind::Iter { pin: Some(pin), .. } => Attach::Iterator {
            // A name alone stands where the file system of BPF usually is.
            pin: PathBuf::from("/sys/fs/bpf").join(pin),
        },
        ProbeKind::Watchpoint { address, len, mode } => Attach::Breakpoint {
            address: *address,
            len: *len,
            mode: *mode,
            pid,
        },
        other => bail!("`{other}` is attached to nothing"),
    })
}
