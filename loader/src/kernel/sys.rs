//! The bpf system call: its attributes and descriptors.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

pub const MAP_CREATE: libc::c_long = 0;
pub const MAP_UPDATE_ELEM: libc::c_long = 2;
pub const PROG_LOAD: libc::c_long = 5;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
pub const BTF_LOAD: libc::c_long = 18;
pub const MAP_FREEZE: libc::c_long = 22;

/// One object after the other, and its descriptor (`BPF_*_GET_NEXT_ID`, `BPF_*_GET_FD_BY_ID`).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct ById {
    pub id: u32,
    pub next_id: u32,
    pub open_flags: u32,
}

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
    pub ifindex: u32,
    pub btf_fd: u32,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
    pub btf_vmlinux_value_type_id: u32,
    pub map_extra: u64,
}

#[repr(C)]
#[derive(Default)]
pub struct MapElem {
    pub map_fd: u32,
    pub pad: u32,
    pub key: u64,
    pub value: u64,
    pub flags: u64,
}

#[repr(C)]
#[derive(Default)]
pub struct ProgLoad {
    pub prog_type: u32,
    pub insn_cnt: u32,
    pub insns: u64,
    pub license: u64,
    pub log_level: u32,
    pub log_size: u32,
    pub log_buf: u64,
    pub kern_version: u32,
    pub prog_flags: u32,
    pub prog_name: [u8; 16],
    pub prog_ifindex: u32,
    pub expected_attach_type: u32,
    pub prog_btf_fd: u32,
    pub func_info_rec_size: u32,
    pub func_info: u64,
    pub func_info_cnt: u32,
    pub line_info_rec_size: u32,
    pub line_info: u64,
    pub line_info_cnt: u32,
    pub attach_btf_id: u32,
    /// `attach_btf_obj_fd`, too.
    pub attach_prog_fd: u32,
    pub core_relo_cnt: u32,
    pub fd_array: u64,
    pub core_relos: u64,
    pub core_relo_rec_size: u32,
    pub log_true_size: u32,
}

#[repr(C)]
#[derive(Default)]
pub struct BtfLoad {
    pub btf: u64,
    pub log_buf: u64,
    pub btf_size: u32,
    pub log_size: u32,
    pub log_level: u32,
    pub log_true_size: u32,
}

/// One try.
pub fn bpf<T>(command: libc::c_long, attr: &T) -> io::Result<RawFd> {
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

/// The same, and again when a signal came between, as libbpf does.
pub fn patient<T>(command: libc::c_long, attr: &T) -> io::Result<RawFd> {
    let mut last = bpf(command, attr);
    for _ in 0..8 {
        match &last {
            Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => last = bpf(command, attr),
            _ => break,
        }
    }
    last
}

pub fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel just gave us this descriptor; nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// As many descriptors and as much locked memory as the system lets us have.
pub fn raise_limits() {
    for which in [libc::RLIMIT_NOFILE, libc::RLIMIT_MEMLOCK] {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: both calls get a pointer to a whole rlimit.
        unsafe {
            if libc::getrlimit(which, &raw mut limit) == 0 {
                limit.rlim_cur = limit.rlim_max;
                libc::setrlimit(which, &raw const limit);
            }
        }
    }
    let all = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: a pointer to a whole rlimit; a refusal leaves things as they are.
    unsafe {
        libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const all);
    }
}

/// A mapping of an arena, which only then has an address.
pub struct Mapping {
    at: *mut libc::c_void,
    len: usize,
}

impl Mapping {
    pub fn of(fd: RawFd, at: u64, len: usize) -> io::Result<Mapping> {
        let fixed = if at == 0 {
            0
        } else {
            libc::MAP_FIXED_NOREPLACE
        };
        // SAFETY: a new mapping; with an address, only where nothing is mapped yet.
        let p = unsafe {
            libc::mmap(
                at as *mut libc::c_void,
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | fixed,
                fd,
                0,
            )
        };
        if p == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { at: p, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing points into it.
        unsafe {
            libc::munmap(self.at, self.len);
        }
    }
}

/// `struct bpf_prog_info` as words, up to what kernels of Linux 5.16 and later say; what an older one does not is zero.
pub type ProgInfo = [u64; 28];

/// What the kernel says of an object (`BPF_OBJ_GET_INFO_BY_FD`): `info` is the structure of its kind, or the words that
/// it begins with; of plain integers, whatever they are.
pub fn object_info<T>(object: BorrowedFd<'_>, info: &mut T) -> io::Result<()> {
    #[repr(C)]
    struct Ask {
        fd: u32,
        len: u32,
        info: u64,
    }
    let ask = Ask {
        fd: object.as_raw_fd() as u32,
        len: size_of::<T>() as u32,
        info: (&raw mut *info) as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &ask).map(drop)
}
