//! Attachments through the kernel's links: trampolines, iterators, many places at once.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use crate::kernel::sys::{bpf, owned};

const OBJ_PIN: libc::c_long = 6;
const RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const LINK_CREATE: libc::c_long = 28;
const ITER_CREATE: libc::c_long = 33;
const TRACE_ITER: u32 = 28;
const KPROBE_MULTI: u32 = 42;
const UPROBE_MULTI: u32 = 48;
const MULTI_RETURN: u32 = 1;

#[repr(C)]
#[derive(Default)]
struct Create {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct KernelMulti {
    create: Create,
    flags: u32,
    count: u32,
    names: u64,
    addresses: u64,
    cookies: u64,
}

#[repr(C)]
#[derive(Default)]
struct UserMulti {
    create: Create,
    path: u64,
    offsets: u64,
    semaphores: u64,
    cookies: u64,
    count: u32,
    flags: u32,
    pid: u32,
    pad: u32,
}

#[repr(C)]
#[derive(Default)]
struct RawOpen {
    name: u64,
    program: u32,
    pad: u32,
}

fn create(program: BorrowedFd<'_>, attach_type: u32) -> Create {
    Create {
        program: program.as_raw_fd() as u32,
        attach_type,
        ..Create::default()
    }
}

/// A program that was loaded for its place: trampolines, typed tracepoints, security hooks.
pub(crate) fn loaded_for(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let attr = RawOpen {
        program: program.as_raw_fd() as u32,
        ..RawOpen::default()
    };
    bpf(RAW_TRACEPOINT_OPEN, &attr).map(owned)
}

/// A tracepoint with its raw arguments.
pub(crate) fn raw_tracepoint(program: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let name = CString::new(name)?;
    let attr = RawOpen {
        name: name.as_ptr() as u64,
        program: program.as_raw_fd() as u32,
        ..RawOpen::default()
    };
    bpf(RAW_TRACEPOINT_OPEN, &attr).map(owned)
}

/// Entry or return of many kernel functions; each runs the program with its own cookie.
pub(crate) fn kernel_multi(
    program: BorrowedFd<'_>,
    functions: &[(&str, u64)],
    ret: bool,
) -> io::Result<OwnedFd> {
    let names: Vec<CString> = functions
        .iter()
        .map(|(name, _)| CString::new(*name))
        .collect::<Result<_, _>>()?;
    let pointers: Vec<u64> = names.iter().map(|n| n.as_ptr() as u64).collect();
    let cookies: Vec<u64> = functions.iter().map(|(_, cookie)| *cookie).collect();
    let attr = KernelMulti {
        create: create(program, KPROBE_MULTI),
        flags: if ret { MULTI_RETURN } else { 0 },
        count: functions.len() as u32,
        names: pointers.as_ptr() as u64,
        cookies: cookies.as_ptr() as u64,
        ..KernelMulti::default()
    };
    bpf(LINK_CREATE, &attr).map(owned)
}

/// A place in a file.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub offset: u64,
    /// 0: none.
    pub semaphore: u64,
    pub cookie: u64,
}

/// Many places in one file.
pub(crate) fn user_multi(
    program: BorrowedFd<'_>,
    path: &str,
    places: &[Place],
    ret: bool,
    pid: Option<u32>,
) -> io::Result<OwnedFd> {
    let path = CString::new(path)?;
    let offsets: Vec<u64> = places.iter().map(|p| p.offset).collect();
    let semaphores: Vec<u64> = places.iter().map(|p| p.semaphore).collect();
    let cookies: Vec<u64> = places.iter().map(|p| p.cookie).collect();
    let counted = semaphores.iter().any(|s| *s != 0);
    let attr = UserMulti {
        create: create(program, UPROBE_MULTI),
        path: path.as_ptr() as u64,
        offsets: offsets.as_ptr() as u64,
        semaphores: if counted {
            semaphores.as_ptr() as u64
        } else {
            0
        },
        cookies: cookies.as_ptr() as u64,
        count: places.len() as u32,
        flags: if ret { MULTI_RETURN } else { 0 },
        pid: pid.unwrap_or(0),
        ..UserMulti::default()
    };
    bpf(LINK_CREATE, &attr).map(owned)
}

/// Links an iterator; reading [`run_iterator`] runs it.
pub(crate) fn iterator(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Iterator {
        create: Create,
        info: u64,
        info_len: u32,
        pad: u32,
    }
    let attr = Iterator {
        create: create(program, TRACE_ITER),
        info: 0,
        info_len: 0,
        pad: 0,
    };
    bpf(LINK_CREATE, &attr).map(owned)
}

/// Walks once over all objects of an iterator; gives what the program wrote.
pub(crate) fn run_iterator(link: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    #[repr(C)]
    struct Run {
        link: u32,
        flags: u32,
    }
    let attr = Run {
        link: link.as_raw_fd() as u32,
        flags: 0,
    };
    let mut file = std::fs::File::from(bpf(ITER_CREATE, &attr).map(owned)?);
    let mut out = Vec::new();
    file.read_to_end(&mut out)?;
    Ok(out)
}

/// Gives a link a name in the file system of BPF.
pub(crate) fn pin(link: BorrowedFd<'_>, path: &std::path::Path) -> io::Result<()> {
    #[repr(C)]
    struct Pin {
        path: u64,
        fd: u32,
        flags: u32,
    }
    let path = CString::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))?;
    let attr = Pin {
        path: path.as_ptr() as u64,
        fd: link.as_raw_fd() as u32,
        flags: 0,
    };
    bpf(OBJ_PIN, &attr).map(drop)
}

/// Which ways of attaching one program to many places this kernel has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Multi {
    /// Functions of the kernel.
    pub kernel: bool,
    /// Places in a file.
    pub user: bool,
}

impl Multi {
    /// Asks the kernel: attaches a program to what there is not, and sees what it minds.
    pub fn here() -> Multi {
        let ask = |attach_type: u32| {
            let insns = probity_isa::encode(&[
                probity_isa::Insn::Mov {
                    width: probity_isa::Width::W64,
                    dst: probity_isa::Reg::R0,
                    src: probity_isa::Src::Imm(0),
                },
                probity_isa::Insn::Exit,
            ])
            .ok()?;
            let load = crate::kernel::Load {
                insns: &insns,
                kind: probity_objfile::ProgType::KPROBE,
                attach: attach_type,
                license: "GPL",
                ..crate::kernel::Load::default()
            };
            load.descriptor().ok()
        };
        let minds = |result: io::Result<OwnedFd>, errno: i32| match result {
            Ok(_) => true,
            Err(e) => e.raw_os_error() == Some(errno),
        };
        let fd = |program: &OwnedFd, then: &dyn Fn(BorrowedFd<'_>) -> bool| {
            then(std::os::fd::AsFd::as_fd(program))
        };
        let nowhere = Place {
            offset: 0,
            semaphore: 0,
            cookie: 0,
        };
        Multi {
            kernel: ask(KPROBE_MULTI).is_some_and(|p| {
                fd(&p, &|p| {
                    minds(
                        kernel_multi(p, &[("no function is called so", 0)], false),
                        libc::ESRCH,
                    )
                })
            }),
            // A directory has no places.
            user: ask(UPROBE_MULTI).is_some_and(|p| {
                fd(&p, &|p| {
                    minds(user_multi(p, "/", &[nowhere], false, None), libc::EBADF)
                })
            }),
        }
    }
}
