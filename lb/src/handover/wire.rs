//! Messages with descriptors over a Unix socket that keeps their bounds (`SOCK_SEQPACKET`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The language spoken; another one is refused, and the sockets stay where they are.
pub(super) const VERSION: u32 = 1;
/// Sockets in one message; the kernel takes at most 253.
pub(super) const SOCKETS_PER_MESSAGE: usize = 128;
/// The longest message: the addresses of its sockets, or the memory. A longer one is refused.
pub(super) const MESSAGE_BYTES_MAX: usize = 192 * 1024;

/// What is said.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(super) enum Message {
    /// The successor is there.
    Hello {
        /// See [`VERSION`].
        version: u32,
    },
    /// Sockets come with this message, one for each address.
    Sockets {
        /// Where they listen.
        addresses: Vec<SocketAddr>,
    },
    /// All sockets were sent.
    Memory {
        /// What the predecessor knows and the disk does not.
        memory: Value,
    },
    /// The successor serves.
    Ready,
    /// It cannot be.
    Refused {
        /// Why.
        reason: String,
    },
}

/// Bounds how long one side waits for the other.
pub(super) fn set_patience(socket: impl AsFd, patience: Duration) -> io::Result<()> {
    sockopt::set_socket_timeout(socket.as_fd(), Timeout::Recv, Some(patience))?;
    Ok(sockopt::set_socket_timeout(socket.as_fd(), Timeout::Send, Some(patience))?)
}

/// Whether the other end may have or give sockets: root, this user, or `also`.
pub(super) fn is_trusted(socket: impl AsFd, also: Option<u32>) -> io::Result<bool> {
    let peer = sockopt::socket_peercred(socket)?.uid.as_raw();
    Ok(peer == 0 || peer == rustix::process::geteuid().as_raw() || also == Some(peer))
}

/// Says `message`.
pub(super) fn send(socket: impl AsFd, message: &Message, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_PER_MESSAGE))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many sockets in one message"));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Hears a message; `UnexpectedEof` once the other end is gone.
pub(super) fn receive(socket: impl AsFd) -> io::Result<(Message, Vec<OwnedFd>)> {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_PER_MESSAGE))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message was cut"));
    }
    Ok((serde_json::from_slice(&bytes[..received.bytes])?, descriptors))
}
