//! The running kernel's own verdict on a program, through the bpf system call and nothing of ours
//! but the relocated instructions.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use probity_isa::{Imm64, Insn, RawInsn};
use probity_objfile::{DataKind, Hook, Map, Object, ProgType, Program};

const MAP_CREATE: libc::c_long = 0;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const PROG_LOAD: libc::c_long = 5;
const MAP_FREEZE: libc::c_long = 22;
const F_RDONLY_PROG: u32 = 1 << 7;

/// What the kernel said.
#[derive(Debug)]
pub enum Verdict {
    Accept,
    Reject {
        log: String,
    },
    /// It did not look at the program (no privilege, a map it would not make, no such kind).
    NoVerdict(String),
}

#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
    ifindex: u32,
    btf_fd: u32,
    btf_key_type_id: u32,
    btf_value_type_id: u32,
    btf_vmlinux_value_type_id: u32,
    map_extra: u64,
}

#[repr(C)]
#[derive(Default)]
struct MapElem {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

fn bpf<T>(command: libc::c_long, attr: &T) -> io::Result<RawFd> {
    // SAFETY: the attribute is a prefix of union bpf_attr, its size is given with it, and
    // what it points to outlives the call.
    let r = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attr),
            size_of::<T>(),
        )
    };
    if r < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(r as RawFd)
    }
}

fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel just gave us this descriptor; nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// May this process load programs at all?
pub fn available() -> Result<(), String> {
    let raw = probity_isa::encode(&[
        Insn::Mov {
            width: probity_isa::Width::W64,
            dst: probity_isa::Reg::R0,
            src: probity_isa::Src::Imm(0),
        },
        Insn::Exit,
    ])
    .map_err(|e| e.to_string())?;
    match load(&raw, ProgType::SOCKET_FILTER, 0, "GPL", false) {
        Verdict::Accept => Ok(()),
        Verdict::Reject { log } => Err(log),
        Verdict::NoVerdict(why) => Err(why),
    }
}

/// Asks the kernel about one program of a relocated object, as this kind.
pub fn verdict(object: &Object, program: &Program, kind: ProgType) -> Verdict {
    let mut maps = Vec::new();
    for map in &object.maps {
        match create(map) {
            Ok(fd) => maps.push(fd),
            Err(e) => return Verdict::NoVerdict(format!("map {}: {e}", map.name)),
        }
    }
    verdict_with(object, program, kind, &maps)
}

/// The same with maps that are made already, in the object's order.
pub fn verdict_with(
    object: &Object,
    program: &Program,
    kind: ProgType,
    maps: &[OwnedFd],
) -> Verdict {
    let mut raw = program.insns.clone();
    // A program that does not decode is given as it is: the kernel shall say so too.
    for pc in 0..raw.len() {
        let Ok(Insn::LoadImm64 { imm, .. }) = probity_isa::decode_at(&raw, pc) else {
            continue;
        };
        let (src, index, off) = match imm {
            Imm64::MapIdx(index) => (1, index, 0),
            Imm64::MapIdxValue { index, off } => (2, index, off),
            _ => continue,
        };
        let Some(fd) = maps.get(index as usize) else {
            continue;
        };
        raw[pc].src = src;
        raw[pc].imm = fd.as_raw_fd();
        raw[pc + 1].imm = off as i32;
    }
    let attach = program.hook.attach_type.map_or(0, |a| a.0);
    let license = object.license.clone().unwrap_or_default();
    load(&raw, kind, attach, &license, sleepable(&program.hook))
}

fn sleepable(hook: &Hook) -> bool {
    hook.sleepable
}

/// Makes a map.
pub fn create(map: &Map) -> io::Result<OwnedFd> {
    let inner = map.inner.as_deref().map(create).transpose()?;
    let read_only = map
        .data
        .as_ref()
        .is_some_and(|d| matches!(d.kind, DataKind::Rodata | DataKind::Kconfig));
    // A perf event array without a size gets one entry for each CPU.
    let max_entries = if map.kind == 4 && map.max_entries == 0 {
        2
    } else {
        map.max_entries
    };
    let attr = MapCreate {
        map_type: map.kind,
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries,
        map_flags: map.flags | if read_only { F_RDONLY_PROG } else { 0 },
        inner_map_fd: inner.as_ref().map_or(0, |fd| fd.as_raw_fd() as u32),
        map_extra: map.map_extra,
        ..MapCreate::default()
    };
    let fd = owned(bpf(MAP_CREATE, &attr)?);
    if let Some(data) = map.data.as_ref().filter(|d| d.kind != DataKind::Bss) {
        let key = 0u32;
        let mut value = data.bytes.clone();
        value.resize(map.value_size as usize, 0);
        let elem = MapElem {
            map_fd: fd.as_raw_fd() as u32,
            key: (&raw const key) as u64,
            value: value.as_ptr() as u64,
            ..MapElem::default()
        };
        bpf(MAP_UPDATE_ELEM, &elem)?;
        if read_only {
            bpf(
                MAP_FREEZE,
                &MapElem {
                    map_fd: fd.as_raw_fd() as u32,
                    ..MapElem::default()
                },
            )?;
        }
    }
    Ok(fd)
}

/// Asks the kernel about instructions whose maps are descriptors already.
pub fn load(
    insns: &[RawInsn],
    kind: ProgType,
    attach: u32,
    license: &str,
    sleepable: bool,
) -> Verdict {
    let bytes = probity_isa::to_bytes(insns);
    let license: Vec<u8> = license.bytes().chain([0]).collect();
    let mut log = vec![0u8; 1 << 20];
    let mut attr = ProgLoad {
        prog_type: kind.0,
        insn_cnt: insns.len() as u32,
        insns: bytes.as_ptr() as u64,
        license: license.as_ptr() as u64,
        expected_attach_type: attach,
        prog_flags: if sleepable { 1 << 4 } else { 0 },
        ..ProgLoad::default()
    };
    // A log that does not fit is an error of its own, so it is asked for after the verdict only.
    if let Ok(fd) = bpf(PROG_LOAD, &attr) {
        drop(owned(fd));
        return Verdict::Accept;
    }
    attr.log_level = 1;
    attr.log_size = log.len() as u32;
    attr.log_buf = log.as_mut_ptr() as u64;
    match bpf(PROG_LOAD, &attr) {
        Ok(fd) => {
            drop(owned(fd));
            Verdict::Accept
        }
        Err(e) => {
            let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
            let log = String::from_utf8_lossy(&log[..end]).into_owned();
            match e.raw_os_error() {
                Some(libc::EPERM) if log.is_empty() => Verdict::NoVerdict(e.to_string()),
                _ => Verdict::Reject {
                    log: format!("{log}{e}"),
                },
            }
        }
    }
}
