//! The types that a kernel module continues the kernel's with → the kernel's descriptor of them.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};

use probity_btf::{Btf, TypeId};

use crate::kernel::sys::{ById, bpf, object_info};

pub(super) const BTF_GET_FD_BY_ID: libc::c_long = 19;
const BTF_GET_NEXT_ID: libc::c_long = 23;

/// `struct bpf_btf_info`.
#[repr(C)]
#[derive(Default)]
struct BtfInfo {
    btf: u64,
    btf_size: u32,
    id: u32,
    name: u64,
    name_len: u32,
    kernel_btf: u32,
}

/// The types among those that the kernel has in which `id` is what it is in `types`.
pub(super) fn of(types: &Btf, id: u32) -> io::Result<OwnedFd> {
    let missing = || io::Error::from_raw_os_error(libc::ENOENT);
    let base = types.base().ok_or_else(missing)?;
    // The kernel writes into it.
    let (id, ask) = (TypeId(id), Cell::new(ById::default()));
    loop {
        // Ends with ENOENT.
        bpf(BTF_GET_NEXT_ID, &ask)?;
        let by_id = ById {
            id: ask.get().next_id,
            ..ById::default()
        };
        ask.set(by_id);
        let fd: RawFd = match bpf(BTF_GET_FD_BY_ID, &by_id) {
            Ok(fd) => fd,
            // Gone meanwhile.
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => continue,
            Err(e) => return Err(e),
        };
        // SAFETY: the kernel has just made it for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let Some(bytes) = of_a_module(&fd)? else {
            continue;
        };
        let same = Btf::parse_split(base.clone(), &bytes).is_ok_and(|t| {
            t.len() == types.len() && t.kind(id) == types.kind(id) && t.name(id) == types.name(id)
        });
        if same {
            return Ok(fd);
        }
    }
}

/// The bytes, where these are a module's types.
fn of_a_module(fd: &OwnedFd) -> io::Result<Option<Vec<u8>>> {
    let mut name = [0_u8; 64];
    let mut info = BtfInfo {
        name: name.as_mut_ptr() as u64,
        name_len: name.len() as u32,
        ..BtfInfo::default()
    };
    object_info(fd.as_fd(), &mut info)?;
    if info.kernel_btf == 0 || name.starts_with(b"vmlinux\0") {
        return Ok(None);
    }
    bytes(fd).map(Some)
}

/// Types as the kernel has them.
pub(super) fn bytes(fd: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut info = BtfInfo::default();
    object_info(fd.as_fd(), &mut info)?;
    let mut bytes = vec![0; info.btf_size as usize];
    let mut whole = BtfInfo {
        btf: bytes.as_mut_ptr() as u64,
        btf_size: info.btf_size,
        ..BtfInfo::default()
    };
    object_info(fd.as_fd(), &mut whole)?;
    Ok(bytes)
}
