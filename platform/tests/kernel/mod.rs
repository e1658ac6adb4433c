//! The running kernel as an oracle: tiny programs in, verdicts out.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::ffi::CString;

use probity_platform::{NEWEST, OLDEST, Platform, Version};

/// A program to be loaded.
#[derive(Clone, Debug, Default)]
pub struct Load {
    pub kind: u32,
    pub attach: u32,
    pub sleepable: bool,
    /// BTF id of the target in the kernel's own types.
    pub target: u32,
    /// Without a GPL-compatible licence.
    pub proprietary: bool,
    pub insns: Vec<[u8; 8]>,
}

/// What the kernel says of a program.
pub struct Verdict {
    /// 0 or a positive error number.
    pub error: i32,
    pub log: String,
}

/// The start of `union bpf_attr` for BPF_PROG_LOAD, as far as it is used here.
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
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_prog_fd: u32,
    core_relo_cnt: u32,
    fd_array: u64,
}

/// The start of `union bpf_attr` for BPF_MAP_CREATE.
#[repr(C)]
#[derive(Default)]
pub struct MapCreate {
    pub map_type: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    pub inner_map_fd: u32,
    pub numa_node: u32,
    pub map_name: [u8; 16],
    pub map_ifindex: u32,
    pub btf_fd: u32,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
    pub btf_vmlinux_value_type_id: u32,
    pub map_extra: u64,
}

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_F_SLEEPABLE: u32 = 1 << 4;

/// Loads a program, with a log when asked, and closes it again.
pub fn load(program: &Load, with_log: bool) -> Verdict {
    load_at(program, with_log.into())
}

/// Loads a program with the log that shows each instruction's effect.
pub fn load_verbose(program: &Load) -> Verdict {
    load_at(program, 2)
}

fn load_at(program: &Load, level: u32) -> Verdict {
    let with_log = level != 0;
    let license = CString::new(if program.proprietary {
        "Proprietary"
    } else {
        "GPL"
    })
    .unwrap();
    let mut log = vec![0u8; if with_log { 1 << 16 } else { 0 }];
    let attr = ProgLoad {
        prog_type: program.kind,
        insn_cnt: program.insns.len() as u32,
        insns: program.insns.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: level,
        log_size: log.len() as u32,
        log_buf: if with_log { log.as_mut_ptr() as u64 } else { 0 },
        prog_flags: if program.sleepable {
            BPF_F_SLEEPABLE
        } else {
            0
        },
        expected_attach_type: program.attach,
        attach_btf_id: program.target,
        ..ProgLoad::default()
    };
    // SAFETY: `attr` and everything it points to live across the call, with the sizes given.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const attr,
            size_of::<ProgLoad>(),
        )
    };
    let error = if fd < 0 {
        std::io::Error::last_os_error().raw_os_error().unwrap_or(-1)
    } else {
        0
    };
    if fd >= 0 {
        // SAFETY: the descriptor was just returned by the kernel and is used nowhere else.
        unsafe { libc::close(fd as i32) };
    }
    let end = log.iter().position(|b| *b == 0).unwrap_or(log.len());
    Verdict {
        error,
        log: String::from_utf8_lossy(&log[..end]).into_owned(),
    }
}

/// A map, closed on drop.
pub struct Map(pub i32);

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the descriptor belongs to this value alone.
        unsafe { libc::close(self.0) };
    }
}

pub fn create_map(attr: &MapCreate) -> Result<Map, i32> {
    // SAFETY: `attr` lives across the call, with the size given.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_CREATE,
            &raw const *attr,
            size_of::<MapCreate>(),
        )
    };
    if fd < 0 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(-1));
    }
    Ok(Map(fd as i32))
}

/// The platform that the running kernel is, unless it cannot be asked or is not the version that the tables describe.
pub fn platform() -> Option<Platform> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut parts = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|p| p.parse::<u16>().unwrap_or(0));
    let running = Version(parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if !(OLDEST..=NEWEST).contains(&running) {
        println!("skipped: the tables describe Linux {OLDEST} to {NEWEST}, this is {running}");
        return None;
    }
    let trivial = Load {
        kind: 1,
        insns: vec![mov(0, 0), EXIT],
        ..Load::default()
    };
    let verdict = load(&trivial, true);
    if verdict.error == libc::EPERM {
        assert!(
            std::env::var_os("PROBITY_REQUIRE_KERNEL").is_none(),
            "the kernel is required here (PROBITY_REQUIRE_KERNEL), but bpf() is not permitted"
        );
        println!("skipped: bpf() is not permitted to this user");
        return None;
    }
    assert_eq!(
        verdict.error, 0,
        "the kernel refuses a trivial program: {}",
        verdict.log
    );
    Some(Platform::linux(running, None))
}

/// Whether the tables and the kernel differ where they must not. Of the newest version the tables say all;
/// of an older one they must only not allow what it refuses: some of what it allows is a mistake mended since.
pub fn differ(platform: &Platform, ours: bool, theirs: bool) -> bool {
    ours != theirs && (ours || platform.version == NEWEST)
}

pub const fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> [u8; 8] {
    let off = off.to_le_bytes();
    let imm = imm.to_le_bytes();
    [
        code,
        dst | src << 4,
        off[0],
        off[1],
        imm[0],
        imm[1],
        imm[2],
        imm[3],
    ]
}

pub const EXIT: [u8; 8] = insn(0x95, 0, 0, 0, 0);

pub const fn mov(dst: u8, imm: i32) -> [u8; 8] {
    insn(0xb7, dst, 0, 0, imm)
}

pub const fn mov_reg(dst: u8, src: u8) -> [u8; 8] {
    insn(0xbf, dst, src, 0, 0)
}

pub const fn call(helper: u32) -> [u8; 8] {
    insn(0x85, 0, 0, 0, helper as i32)
}

fn width(size: u32) -> u8 {
    match size {
        1 => 0x10,
        2 => 0x08,
        4 => 0x00,
        _ => 0x18,
    }
}

pub fn load_from(dst: u8, base: u8, offset: u32, size: u32) -> [u8; 8] {
    insn(0x61 | width(size), dst, base, offset as i16, 0)
}

pub fn store_to(base: u8, src: u8, offset: u32, size: u32) -> [u8; 8] {
    insn(0x63 | width(size), base, src, offset as i16, 0)
}

/// Two slots: a map's address into `dst`.
pub fn map_address(dst: u8, map: &Map) -> [[u8; 8]; 2] {
    [insn(0x18, dst, 1, 0, map.0), insn(0, 0, 0, 0, 0)]
}

/// Two slots: the address of a map's first value into `dst`.
pub fn map_value(dst: u8, map: &Map) -> [[u8; 8]; 2] {
    [insn(0x18, dst, 2, 0, map.0), insn(0, 0, 0, 0, 0)]
}

/// Every kind of map that can be made without types, with its number.
pub fn maps(platform: &Platform) -> Vec<(u32, Map)> {
    let inner = inner_map();
    map_attrs(&inner)
        .iter()
        .filter(|attr| platform.map_kind(attr.map_type).is_some())
        .map(|attr| {
            let map = create_map(attr);
            (
                attr.map_type,
                map.unwrap_or_else(|e| panic!("map kind {}: errno {e}", attr.map_type)),
            )
        })
        .collect()
}

/// What maps of maps are made with.
pub fn inner_map() -> Map {
    let attr = MapCreate {
        map_type: 2,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        ..MapCreate::default()
    };
    create_map(&attr).expect("an array")
}

/// How each of [`maps`] is made.
pub fn map_attrs(inner: &Map) -> Vec<MapCreate> {
    let plain =
        |map_type: u32, key_size: u32, value_size: u32, max_entries: u32, map_flags: u32| {
            MapCreate {
                map_type,
                key_size,
                value_size,
                max_entries,
                map_flags,
                ..MapCreate::default()
            }
        };
    let of_maps = |kind| MapCreate {
        inner_map_fd: inner.0 as u32,
        ..plain(kind, 4, 4, 1, 0)
    };
    let page = 4096;
    vec![
        plain(1, 8, 8, 1, 0),
        plain(2, 4, 8, 1, 0),
        plain(3, 4, 4, 1, 0),
        plain(4, 4, 4, 1, 0),
        plain(5, 8, 8, 1, 0),
        plain(6, 4, 8, 1, 0),
        plain(7, 4, 64, 1, 0),
        plain(8, 4, 4, 1, 0),
        plain(9, 8, 8, 1, 0),
        plain(10, 8, 8, 1, 0),
        plain(11, 8, 8, 1, 1),
        of_maps(12),
        of_maps(13),
        plain(14, 4, 4, 1, 0),
        plain(15, 4, 4, 1, 0),
        plain(16, 4, 4, 1, 0),
        plain(17, 4, 4, 1, 0),
        plain(18, 4, 4, 1, 0),
        plain(19, 8, 8, 0, 0),
        plain(20, 4, 4, 1, 0),
        plain(21, 8, 8, 0, 0),
        plain(22, 0, 8, 1, 0),
        plain(23, 0, 8, 1, 0),
        plain(25, 4, 4, 1, 0),
        plain(27, 0, 0, page, 0),
        plain(30, 0, 8, 1, 0),
        plain(31, 0, 0, page, 0),
        plain(33, 0, 0, 1, 1 << 10),
    ]
}

/// BTF ids of the kernel's own types by name.
pub fn kernel_types() -> Option<probity_btf::Btf> {
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
    Some(probity_btf::Btf::parse(&bytes).expect("the kernel's own types parse"))
}
