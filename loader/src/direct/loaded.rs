//! The programs that the kernel has loaded → their functions, and what tracing one of these is loaded with.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use probity_btf::{Btf, TypeId};
use probity_objfile::ProgType;

use super::modules;
use crate::kernel::sys::{ById, ProgInfo, bpf, object_info, owned};

const PROG_GET_NEXT_ID: libc::c_long = 11;
const PROG_GET_FD_BY_ID: libc::c_long = 13;

/// A function of a program that is loaded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoadedFunction {
    /// The kernel's number of the program.
    pub program: u32,
    /// As the program's types name it.
    pub name: String,
}

/// What is read here of a [`ProgInfo`].
struct Info {
    kind: u32,
    jited: bool,
    types: u32,
    /// The type of each function, the program's own first.
    functions: Vec<u32>,
}

/// Every function that could be traced, of every program that has types; those that trace others cannot.
pub fn loaded_functions() -> io::Result<Vec<LoadedFunction>> {
    let mut found = Vec::new();
    let ask = std::cell::Cell::new(ById::default());
    loop {
        match bpf(PROG_GET_NEXT_ID, &ask) {
            Ok(_) => {}
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => return Ok(found),
            Err(e) => return Err(e),
        }
        let id = ask.get().next_id;
        ask.set(ById {
            id,
            ..ById::default()
        });
        // It may be gone meanwhile.
        let Ok(program) = open(id) else { continue };
        let Ok(info) = info(&program) else { continue };
        if info.kind == ProgType::TRACING.0 || !info.jited || info.types == 0 {
            continue;
        }
        let Ok(types) = types(info.types) else {
            continue;
        };
        let names = info.functions.iter().map(|f| types.name(TypeId(*f)));
        found.extend(names.filter(|n| !n.is_empty()).map(|name| LoadedFunction {
            program: id,
            name: name.to_owned(),
        }));
    }
}

/// The program, and its function's type.
pub(super) fn target(function: &LoadedFunction) -> io::Result<(OwnedFd, u32)> {
    let program = open(function.program)?;
    let info = info(&program)?;
    let types = types(info.types)?;
    let named = |f: &&u32| types.name(TypeId(**f)) == function.name;
    let id = info.functions.iter().find(named);
    let id = id.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
    Ok((program, *id))
}

fn open(id: u32) -> io::Result<OwnedFd> {
    let ask = ById {
        id,
        ..ById::default()
    };
    bpf(PROG_GET_FD_BY_ID, &ask).map(owned)
}

fn types(id: u32) -> io::Result<Btf> {
    let ask = ById {
        id,
        ..ById::default()
    };
    let types = bpf(modules::BTF_GET_FD_BY_ID, &ask).map(owned)?;
    Btf::parse(&modules::bytes(&types)?).map_err(|e| io::Error::other(e.to_string()))
}

fn info(program: &OwnedFd) -> io::Result<Info> {
    let mut words = ProgInfo::default();
    object_info(program.as_fd(), &mut words)?;
    let half = |words: &[u64], at: usize| (words[at / 8] >> (at % 8 * 8)) as u32;
    let (kind, jited, types) = (half(&words, 0), half(&words, 16), half(&words, 128));
    // Pairs of a place and a type: asked for again with room for them.
    let (size, count) = (half(&words, 132) as usize, half(&words, 144) as usize);
    let mut pairs = vec![0_u32; size / 4 * count];
    words = ProgInfo::default();
    words[132 / 8] = (size as u64) << 32;
    words[136 / 8] = pairs.as_mut_ptr() as u64;
    words[144 / 8] = count as u64;
    if size >= 8 && count > 0 {
        object_info(program.as_fd(), &mut words)?;
    }
    let functions = pairs.chunks_exact((size / 4).max(2)).map(|p| p[1]);
    Ok(Info {
        kind,
        jited: jited != 0,
        types,
        functions: functions.collect(),
    })
}
