//! A network interface → its packets, and packets → the interface: a packet socket of Linux.
//!
//! **Invariant:** what the socket itself sends, it does not receive.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// A packet socket that is bound to one interface.
pub struct Raw {
    fd: OwnedFd,
}

/// How often a reader that gets nothing looks whether it is to end.
const TURN: Duration = Duration::from_millis(200);

impl Raw {
    pub fn open(interface: &str) -> io::Result<Raw> {
        let name = CString::new(interface)?;
        // SAFETY: the name ends with a zero.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        let all = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: it takes numbers.
        let fd = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                all.into(),
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just opened, and is nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: all,
            sll_ifindex: i32::try_from(index).map_err(io::Error::other)?,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let turn = libc::timeval {
            tv_sec: 0,
            tv_usec: TURN.subsec_micros().into(),
        };
        // SAFETY: the address has the size that is given.
        done(unsafe {
            libc::bind(
                fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of_val(&address) as u32,
            )
        })?;
        // SAFETY: the time has the size that is given.
        done(unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVTIMEO,
                (&raw const turn).cast(),
                size_of_val(&turn) as u32,
            )
        })?;
        Ok(Raw { fd })
    }

    /// The next packet from outside, and its length on the wire; `None` when none has come for a while.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<(&'b [u8], u32)>> {
        let mut from = libc::sockaddr_ll {
            sll_family: 0,
            sll_protocol: 0,
            sll_ifindex: 0,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let mut from_len = size_of_val(&from) as u32;
        // SAFETY: buffer and address have the sizes that are given.
        let n = unsafe {
            libc::recvfrom(
                self.fd.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_TRUNC,
                (&raw mut from).cast(),
                &mut from_len,
            )
        };
        let Ok(n) = usize::try_from(n) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            };
        };
        if from.sll_pkttype == libc::PACKET_OUTGOING {
            return Ok(None);
        }
        let length = u32::try_from(n).unwrap_or(u32::MAX);
        Ok(buffer.get(..n.min(buffer.len())).map(|b| (b, length)))
    }

    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        // SAFETY: the bytes have the length that is given.
        let n = unsafe { libc::send(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        match n < 0 {
            true => Err(io::Error::last_os_error()),
            false => Ok(()),
        }
    }
}

fn done(result: libc::c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
