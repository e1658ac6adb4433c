//! Map definitions → maps of the running kernel, with the types and contents that libbpf gives them.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use probity_objfile::{DataKind, Map};

use super::sys::{self, MAP_CREATE, MAP_FREEZE, MAP_UPDATE_ELEM, MapCreate, MapElem, Mapping};

const F_RDONLY_PROG: u32 = 1 << 7;
const ARENA: u32 = 33;

/// A map that exists.
pub struct Made {
    pub fd: OwnedFd,
    /// An arena's place in this process.
    _mapping: Option<Mapping>,
}

impl Made {
    /// One that was made before.
    pub(crate) fn before(fd: OwnedFd) -> Made {
        Made { fd, _mapping: None }
    }
}

/// Kinds whose keys and values the kernel takes no types of.
fn untyped(kind: u32) -> bool {
    matches!(kind, 4 | 7 | 8 | 12..=18 | 22 | 23 | 25 | ARENA)
}

/// Belongs to the first program that uses it, so each program needs one of its own.
pub fn exclusive(kind: u32) -> bool {
    matches!(kind, 3 | 19 | 21)
}

/// Makes a map; `btf` holds the object's types.
pub fn make(map: &Map, btf: Option<&OwnedFd>) -> io::Result<Made> {
    let inner = map.inner.as_deref().map(|m| make(m, btf)).transpose()?;
    let read_only = map
        .data
        .as_ref()
        .is_some_and(|d| matches!(d.kind, DataKind::Rodata | DataKind::Kconfig));
    // A perf event array without a size gets one entry for each CPU.
    let max_entries = if map.kind == 4 && map.max_entries == 0 {
        std::thread::available_parallelism().map_or(1, |n| n.get() as u32)
    } else {
        map.max_entries
    };
    let mut attr = MapCreate {
        map_type: map.kind,
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries,
        map_flags: map.flags | if read_only { F_RDONLY_PROG } else { 0 },
        inner_map_fd: inner.as_ref().map_or(0, |m| m.fd.as_raw_fd() as u32),
        numa_node: map.numa_node.unwrap_or(0),
        map_extra: map.map_extra,
        map_name: super::load::short_name(&map.name),
        ..MapCreate::default()
    };
    if let Some(btf) = btf
        && !untyped(map.kind)
        && map.value_type.is_some()
    {
        attr.btf_fd = btf.as_raw_fd() as u32;
        attr.btf_key_type_id = map.key_type.map_or(0, |t| t.0);
        attr.btf_value_type_id = map.value_type.map_or(0, |t| t.0);
    }
    let fd = match sys::patient(MAP_CREATE, &attr) {
        Ok(fd) => fd,
        // What libbpf does about a kernel that does not take the types.
        Err(_) if attr.btf_fd != 0 => {
            attr.btf_fd = 0;
            attr.btf_key_type_id = 0;
            attr.btf_value_type_id = 0;
            sys::patient(MAP_CREATE, &attr)?
        }
        Err(e) => return Err(e),
    };
    let fd = sys::owned(fd);
    let mut mapping = None;
    if map.kind == ARENA {
        let len = max_entries as usize * 4096;
        mapping = Some(Mapping::of(fd.as_raw_fd(), map.map_extra, len)?);
    } else if let Some(data) = map.data.as_ref().filter(|d| d.kind != DataKind::Bss) {
        let key = 0u32;
        let mut value = data.bytes.clone();
        value.resize(map.value_size as usize, 0);
        let elem = MapElem {
            map_fd: fd.as_raw_fd() as u32,
            key: (&raw const key) as u64,
            value: value.as_ptr() as u64,
            ..MapElem::default()
        };
        sys::bpf(MAP_UPDATE_ELEM, &elem)?;
        if read_only {
            let freeze = MapElem {
                map_fd: fd.as_raw_fd() as u32,
                ..MapElem::default()
            };
            sys::bpf(MAP_FREEZE, &freeze)?;
        }
    }
    Ok(Made {
        fd,
        _mapping: mapping,
    })
}

/// Puts a map or a program into an array of them.
pub fn put(array: &Made, slot: u32, what: &OwnedFd) -> io::Result<()> {
    let fd = what.as_raw_fd();
    let elem = MapElem {
        map_fd: array.fd.as_raw_fd() as u32,
        key: (&raw const slot) as u64,
        value: (&raw const fd) as u64,
        ..MapElem::default()
    };
    sys::bpf(MAP_UPDATE_ELEM, &elem).map(drop)
}

/// Sizes that a program's loader sets before it loads, where the object leaves them open: the least that the
/// kernel takes.
pub fn complete(map: &mut Map) {
    const PERF_EVENT_ARRAY: u32 = 4;
    const STACK_TRACE: u32 = 7;
    const RINGS: [u32; 2] = [27, 31];
    /// Have as many entries as there are things to store at.
    const STORAGE: [u32; 7] = [19, 21, 24, 26, 28, 29, 32];
    if map.kind == STACK_TRACE && map.value_size == 0 {
        map.value_size = 8 * 127;
    }
    if map.max_entries == 0 && !STORAGE.contains(&map.kind) && map.kind != PERF_EVENT_ARRAY {
        map.max_entries = if RINGS.contains(&map.kind) { 4096 } else { 1 };
    }
    if let Some(inner) = map.inner.as_deref_mut() {
        complete(inner);
    }
}
