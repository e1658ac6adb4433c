//! Socket filters, on a packet socket of our own.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use aya::programs::{Program, SocketFilter};

use super::{Link, text, typed};

pub(super) fn attach(program: &mut Program, interface: Option<&str>) -> Result<Vec<Link>, String> {
    let p: &mut SocketFilter = typed(program)?;
    let socket = packet_socket(interface).map_err(|e| format!("packet socket: {e}"))?;
    p.attach(&socket).map_err(text)?;
    // Closing the socket takes the filter with it.
    Ok(vec![Box::new(socket)])
}

fn packet_socket(interface: Option<&str>) -> io::Result<OwnedFd> {
    let every = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: the call takes numbers only.
    let fd = unsafe {
        libc::socket(
            libc::AF_PACKET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            every.into(),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and ours alone.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let Some(interface) = interface else {
        return Ok(socket);
    };
    let name = CString::new(interface)?;
    // SAFETY: the name is NUL-terminated and lives through the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::other(format!(
            "no network interface {interface}"
        )));
    }
    // SAFETY: all-zero bytes are a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = every;
    address.sll_ifindex = index as i32;
    let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address is a sockaddr_ll of the size given.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    if bound < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(socket)
    }
}
