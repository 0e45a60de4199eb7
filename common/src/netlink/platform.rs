//! Options of netlink sockets and their registration with tokio, for which there are no safe calls.
#![expect(unsafe_code, reason = "options of netlink and the registration with tokio have no safe call")]

use std::os::fd::{AsFd, AsRawFd as _};

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use super::socket::Socket;

/// Options (`linux/netlink.h`).
pub(super) const ADD_MEMBERSHIP: libc::c_int = 1;
pub(super) const CAP_ACK: libc::c_int = 10;
pub(super) const EXT_ACK: libc::c_int = 11;

/// Sets an option whose value is a number.
pub(super) fn set_option(socket: impl AsFd, option: libc::c_int, value: libc::c_int) -> Result<(), Errno> {
    let descriptor = socket.as_fd().as_raw_fd();
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed; the kernel reads `length` octets at the pointer, which is to
    // a local number of that size, and keeps no pointer.
    let result =
        unsafe { libc::setsockopt(descriptor, libc::SOL_NETLINK, option, (&raw const value).cast(), length) };
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}

/// Has tokio wait for the socket.
pub(super) fn register(socket: Socket) -> std::io::Result<AsyncFd<Socket>> {
    // SAFETY: a `Socket` owns its descriptor, never changes it and always names the same one, so it stays open until
    // tokio has let go of it; nobody who holds the `AsyncFd` puts another socket into it (`Events` keeps it private).
    Ok(unsafe { AsyncFd::register(socket) }?)
}

/// Moves this thread, and the processes that it starts, into a new network namespace.
#[cfg(test)]
pub(super) fn leave_network() -> Result<(), Errno> {
    // SAFETY: takes a flag; CLONE_NEWNET changes only which network this thread sees, not descriptors or memory that
    // others share with it.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
}
