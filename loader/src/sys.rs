//! The bpf system call, as far as aya does not offer it for sizes known at run time only.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const MAP_DELETE_ELEM: libc::c_long = 3;
const MAP_GET_NEXT_KEY: libc::c_long = 4;
const PROG_TEST_RUN: libc::c_long = 10;
const MAP_UPDATE_BATCH: libc::c_long = 26;

/// The part of `union bpf_attr` that map element commands read.
#[repr(C)]
#[derive(Default)]
struct MapElement {
    map_fd: u32,
    _pad: u32,
    key: u64,
    value_or_next_key: u64,
    flags: u64,
}

/// The part of `union bpf_attr` that `BPF_PROG_TEST_RUN` reads and writes.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    _pad: u32,
}

fn element(
    command: libc::c_long,
    fd: BorrowedFd<'_>,
    key: Option<&[u8]>,
    value: *mut u8,
    flags: u64,
) -> io::Result<()> {
    let attr = MapElement {
        map_fd: fd.as_raw_fd() as u32,
        key: key.map_or(0, |k| k.as_ptr() as u64),
        value_or_next_key: value as u64,
        flags,
        ..MapElement::default()
    };
    // SAFETY: the attribute is a prefix of union bpf_attr and its size is given; key and
    // value point to memory as large as the map's sizes, which the callers check.
    let r = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            &raw const attr,
            size_of::<MapElement>(),
        )
    };
    if r < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// `key` and `value` must be as long as the map says (per CPU: all of them, 8-byte aligned).
pub fn lookup(fd: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    element(MAP_LOOKUP_ELEM, fd, Some(key), value.as_mut_ptr(), 0)
}

pub fn update(fd: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    element(MAP_UPDATE_ELEM, fd, Some(key), value.as_ptr().cast_mut(), 0)
}

pub fn delete(fd: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
    element(MAP_DELETE_ELEM, fd, Some(key), std::ptr::null_mut(), 0)
}

/// The part of `union bpf_attr` that commands on many elements read.
#[repr(C)]
#[derive(Default)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Sets the elements of an array; `values` holds one for each key, of the map's size.
pub fn fill(fd: BorrowedFd<'_>, keys: &[u32], values: &[u8]) -> io::Result<()> {
    let attr = Batch {
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count: keys.len() as u32,
        map_fd: fd.as_raw_fd() as u32,
        ..Batch::default()
    };
    // SAFETY: the attribute is a prefix of union bpf_attr and its size is given; keys and values
    // are as many as it says, and the kernel only reads them.
    let r = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            MAP_UPDATE_BATCH,
            &raw const attr,
            size_of::<Batch>(),
        )
    };
    if r < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The key after `key` (the first without one); false at the end.
pub fn next_key(fd: BorrowedFd<'_>, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
    match element(MAP_GET_NEXT_KEY, fd, key, next.as_mut_ptr(), 0) {
        Ok(()) => Ok(true),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Runs a program once on `data` (packets) or `ctx` (raw tracepoints), and gives what it returned.
pub fn test_run(
    fd: BorrowedFd<'_>,
    data: Option<&[u8]>,
    ctx: Option<&[u8]>,
    mut out: Option<&mut Vec<u8>>,
) -> io::Result<u32> {
    let mut attr = TestRun {
        prog_fd: fd.as_raw_fd() as u32,
        ..TestRun::default()
    };
    if let Some(data) = data {
        attr.data_in = data.as_ptr() as u64;
        attr.data_size_in = data.len() as u32;
    }
    if let Some(ctx) = ctx {
        attr.ctx_in = ctx.as_ptr() as u64;
        attr.ctx_size_in = ctx.len() as u32;
    }
    if let Some(out) = &mut out {
        attr.data_out = out.as_mut_ptr() as u64;
        attr.data_size_out = out.len() as u32;
    }
    // SAFETY: the attribute is a prefix of union bpf_attr and its size is given; the buffers
    // live until the call returns and their sizes are given beside them.
    let r = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROG_TEST_RUN,
            &raw mut attr,
            size_of::<TestRun>(),
        )
    };
    if r < 0 {
        return Err(io::Error::last_os_error());
    }
    if let Some(out) = out {
        out.truncate(attr.data_size_out as usize);
    }
    Ok(attr.retval)
}

/// Where tracefs belongs.
pub const TRACEFS: &str = "/sys/kernel/tracing";

/// Mounts tracefs where it belongs, as `perf` does where nobody else has. Attaching to
/// tracepoints and uprobes reads from it.
pub fn mount_tracefs() -> io::Result<()> {
    // SAFETY: all four texts are NUL-terminated and live through the call; tracefs takes no data.
    let r = unsafe {
        libc::mount(
            c"tracefs".as_ptr(),
            c"/sys/kernel/tracing".as_ptr(),
            c"tracefs".as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    if r < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

const OBJ_PIN: libc::c_long = 6;
const OBJ_GET: libc::c_long = 7;
const LINK_UPDATE: libc::c_long = 29;

/// The part of `union bpf_attr` that pinning reads.
#[repr(C)]
#[derive(Default)]
struct Object {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// The part of `union bpf_attr` that `BPF_LINK_UPDATE` reads.
#[repr(C)]
#[derive(Default)]
struct LinkUpdate {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the path holds a zero byte"))
}

fn bpf<T>(command: libc::c_long, attr: &T) -> io::Result<libc::c_long> {
    // SAFETY: the attribute is a prefix of union bpf_attr and its size is given; what it points to lives until the call returns.
    let r = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attr),
            size_of::<T>(),
        )
    };
    match r {
        ..0 => Err(io::Error::last_os_error()),
        r => Ok(r),
    }
}

/// What is pinned there.
pub fn get(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let fd = bpf(
        OBJ_GET,
        &Object {
            pathname: path.as_ptr() as u64,
            ..Object::default()
        },
    )?;
    // SAFETY: the kernel just gave it to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

pub fn pin(fd: impl AsFd, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let attr = Object {
        pathname: path.as_ptr() as u64,
        bpf_fd: fd.as_fd().as_raw_fd() as u32,
        file_flags: 0,
    };
    bpf(OBJ_PIN, &attr).map(|_| ())
}

pub fn link_update(link: &OwnedFd, program: &OwnedFd) -> io::Result<()> {
    let attr = LinkUpdate {
        link_fd: link.as_raw_fd() as u32,
        new_prog_fd: program.as_raw_fd() as u32,
        ..LinkUpdate::default()
    };
    bpf(LINK_UPDATE, &attr).map(|_| ())
}

const LINK_CREATE: libc::c_long = 28;
/// `enum bpf_attach_type`.
const BPF_XDP: u32 = 37;

/// The part of `union bpf_attr` that `BPF_LINK_CREATE` reads for XDP.
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// Attaches an XDP program to an interface by a link.
pub fn link_xdp(program: &OwnedFd, interface: &str, flags: u32) -> io::Result<OwnedFd> {
    let name = c_path(Path::new(interface))?;
    // SAFETY: the name ends with NUL.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    let attr = LinkCreate {
        prog_fd: program.as_raw_fd() as u32,
        target_ifindex: index,
        attach_type: BPF_XDP,
        flags,
    };
    let fd = bpf(LINK_CREATE, &attr)?;
    // SAFETY: the kernel just gave it to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// `BPF_FS_MAGIC`.
const BPFFS: libc::c_long = 0xcafe_4a11;

pub fn is_bpffs(path: &Path) -> bool {
    let Ok(path) = c_path(path) else {
        return false;
    };
    // SAFETY: a structure of numbers, for which all zero is a value.
    let mut about: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with NUL; the place for the answer is one.
    let r = unsafe { libc::statfs(path.as_ptr(), &mut about) };
    r == 0 && about.f_type as libc::c_long == BPFFS
}

pub fn mount_bpffs(path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: all texts are NUL-terminated and live through the call; bpffs takes no data.
    let r = unsafe {
        libc::mount(
            c"bpf".as_ptr(),
            path.as_ptr(),
            c"bpf".as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    match r {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
