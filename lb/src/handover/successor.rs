//! The new process: asks for sockets before it has any.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::Value;

use super::SOCKET;
use super::wire::{self, Message, VERSION};

/// A predecessor that says nothing for so long does not work any more.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a predecessor has given, and the line to it. Dropped before [`Succession::ready`], everything stays as it was.
#[derive(Debug)]
pub struct Succession {
    line: OwnedFd,
    /// Its memory.
    pub memory: Value,
}

/// Asks the process that serves out of `run_dir`, which runs as root, as this user or as `user`; `None`: there is none.
///
/// # Errors
/// It runs and gives nothing: the text says why.
pub fn ask(run_dir: &Path, user: Option<u32>) -> io::Result<Option<(Succession, Vec<TcpListener>)>> {
    let flags = SocketFlags::CLOEXEC;
    let line = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    wire::set_patience(&line, PATIENCE)?;
    match rustix::net::connect(&line, &SocketAddrUnix::new(run_dir.join(SOCKET))?) {
        // A dead process leaves its socket file behind.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => return Ok(None),
        connected => connected?,
    }
    if !wire::is_trusted(&line, user)? {
        let reason = "another user's process has the socket for handing over";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    wire::send(&line, &Message::Hello { version: VERSION }, &[])?;
    let mut listeners = Vec::new();
    loop {
        match wire::receive(&line)? {
            (Message::Sockets { addresses }, descriptors) => {
                listeners.extend(matching(&addresses, descriptors)?);
            }
            (Message::Memory { memory }, _) => return Ok(Some((Succession { line, memory }, listeners))),
            (Message::Refused { reason }, _) => return Err(io::Error::other(reason)),
            (other, _) => return Err(unexpected(&other)),
        }
    }
}

impl Succession {
    /// Tells the predecessor that this process serves; returns when it accepts nothing more.
    ///
    /// # Errors
    /// It is gone, or says nothing.
    pub fn ready(self) -> io::Result<()> {
        wire::send(&self.line, &Message::Ready, &[])?;
        match wire::receive(&self.line) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(error),
            Ok((other, _)) => Err(unexpected(&other)),
        }
    }
}

/// The listeners among `descriptors`, each of which listens where it is said to.
fn matching(addresses: &[SocketAddr], descriptors: Vec<OwnedFd>) -> io::Result<Vec<TcpListener>> {
    if addresses.len() != descriptors.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "sockets and addresses differ in number"));
    }
    let listeners = descriptors.into_iter().map(TcpListener::from);
    let listening = |listener: &TcpListener, address: &SocketAddr| {
        rustix::net::sockopt::socket_acceptconn(listener).unwrap_or(false)
            && listener.local_addr().is_ok_and(|local| local == *address)
    };
    Ok(listeners
        .zip(addresses)
        .filter(|(listener, address)| listening(listener, address))
        .map(|(l, _)| l)
        .collect())
}

fn unexpected(message: &Message) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the other process said {message:?} out of turn"))
}
