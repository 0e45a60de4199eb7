//! Sockets that outlive the process: systemd's store of file descriptors (`FileDescriptorStoreMax=` in the unit).
//!
//! What is in the store stays open while the service is restarted or has crashed, so that connections wait in its queue
//! instead of being refused; the next start gets it like a socket of a socket unit ([`super::Start`]). Systemd empties the
//! store when the service is stopped for good.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, sendmsg_addr, socket_with,
};

/// Descriptors in one message (`SCM_MAX_FD` of the kernel).
const DESCRIPTORS_PER_MESSAGE: usize = 253;

/// The name in the store of what listens on `address`.
pub fn name_of(address: SocketAddr) -> String {
    // A colon is the one printable character that a name may not have (sd_pid_notify_with_fds(3)).
    format!("tcp-{}-{}", address.ip(), address.port()).replace(':', "_")
}

/// Puts `descriptors` into the store under `name`; `false` where there is no service manager. What is there already is
/// not stored twice.
///
/// # Errors
/// The message cannot be sent.
pub fn keep(name: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<bool> {
    // Nobody needs to look whether the other end of a listening socket is gone.
    let message = format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}\n");
    for part in descriptors.chunks(DESCRIPTORS_PER_MESSAGE) {
        if !send(message.as_bytes(), part)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes everything under `name` out of the store.
///
/// # Errors
/// As [`keep`].
pub fn forget(name: &str) -> io::Result<bool> {
    send(format!("FDSTOREREMOVE=1\nFDNAME={name}\n").as_bytes(), &[])
}

fn send(message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<bool> {
    let Some(manager) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else {
        return Ok(false);
    };
    let address = match manager.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name)?,
        None => SocketAddrUnix::new(manager.as_bytes())?,
    };
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_PER_MESSAGE))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors in one message"));
    }
    sendmsg_addr(&socket, &address, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_colons() {
        assert_eq!(name_of("192.0.2.1:6443".parse().unwrap()), "tcp-192.0.2.1-6443");
        assert_eq!(name_of("[2001:db8::1]:443".parse().unwrap()), "tcp-2001_db8__1-443");
    }
}
