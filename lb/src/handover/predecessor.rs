//! The process that serves: gives its sockets to the next one.
//!
//! One thread waits for successors, one at a time; it ends with the process, or once its estate has retired.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faros_common::tasks;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::Value;
use tracing::{info, warn};

use super::SOCKET;
use super::wire::{self, Message, SOCKETS_PER_MESSAGE, VERSION};

/// A successor that is not ready after this is none.
const PATIENCE: Duration = Duration::from_secs(20);
/// Successors that may wait.
const BACKLOG: i32 = 4;

/// What is handed over.
pub trait Estate: Send + Sync + 'static {
    /// Duplicates of all listening sockets, and what the disk does not know. From here on, until [`Estate::resume`], the
    /// successor alone writes state and kernel.
    fn hand_out(&self) -> (Vec<(SocketAddr, TcpListener)>, Value);
    /// The successor did not make it: everything is as before.
    fn resume(&self);
    /// The successor serves: returns once nothing more is accepted here.
    fn retire(&self);
}

/// The socket at which successors ask; its file goes with it, unless a successor has put its own there.
#[derive(Debug)]
pub struct Handover {
    path: PathBuf,
    file: (u64, u64),
}

impl Handover {
    /// Waits for successors in `run_dir`; takes the place of the socket that a predecessor has there.
    ///
    /// # Errors
    /// The socket or the thread cannot be made.
    pub fn offer(run_dir: &Path, estate: Arc<dyn Estate>) -> io::Result<Self> {
        let path = run_dir.join(SOCKET);
        let beside = run_dir.join(format!("{SOCKET}.{}", std::process::id()));
        let _ = std::fs::remove_file(&beside);
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(&beside)?)?;
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))?;
        rustix::net::listen(&socket, BACKLOG)?;
        std::fs::rename(&beside, &path)?;
        let file = file_at(&path).ok_or_else(|| io::Error::other("the socket's file is gone"))?;
        tasks::spawn_thread("handover", move || wait(&socket, &*estate))?;
        Ok(Self { path, file })
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        if file_at(&self.path) == Some(self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn file_at(path: &Path) -> Option<(u64, u64)> {
    let metadata = path.symlink_metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn wait(socket: &OwnedFd, estate: &dyn Estate) {
    loop {
        let line = match rustix::net::accept_with(socket, SocketFlags::CLOEXEC) {
            Ok(line) => line,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => continue,
            Err(error) => {
                warn!(event = "handover_failed", %error, "cannot hear successors; trying again");
                std::thread::sleep(Duration::from_secs(1));
                continue;
            }
        };
        match converse(&line, estate) {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => warn!(event = "handover_failed", %error, "a successor did not make it; serving on"),
        }
    }
}

/// Whether the sockets are another process's now.
fn converse(line: &OwnedFd, estate: &dyn Estate) -> io::Result<bool> {
    wire::set_patience(line, PATIENCE)?;
    if !wire::is_trusted(line, None)? {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "sockets are for root and this user"));
    }
    match wire::receive(line)?.0 {
        Message::Hello { version: VERSION } => {}
        Message::Hello { version } => {
            let reason = format!(
                "the process that serves hands over as version {VERSION}, not {version}: stop it first"
            );
            wire::send(line, &Message::Refused { reason: reason.clone() }, &[])?;
            return Err(io::Error::other(reason));
        }
        other => return Err(io::Error::other(format!("it said {other:?} out of turn"))),
    }
    let (sockets, memory) = estate.hand_out();
    info!(event = "handover_started", sockets = sockets.len(), "another process asks for the sockets");
    match give(line, &sockets, memory) {
        Ok(()) => {
            drop(sockets);
            estate.retire();
            info!(event = "handed_over", "another process serves now; finishing what is under way here");
            Ok(true)
        }
        Err(error) => {
            estate.resume();
            Err(error)
        }
    }
}

/// Gives everything and waits until the other side is ready.
fn give(line: &OwnedFd, sockets: &[(SocketAddr, TcpListener)], memory: Value) -> io::Result<()> {
    for part in sockets.chunks(SOCKETS_PER_MESSAGE) {
        let addresses = part.iter().map(|(address, _)| *address).collect();
        let descriptors: Vec<_> = part.iter().map(|(_, socket)| socket.as_fd()).collect();
        wire::send(line, &Message::Sockets { addresses }, &descriptors)?;
    }
    wire::send(line, &Message::Memory { memory }, &[])?;
    match wire::receive(line)?.0 {
        Message::Ready => Ok(()),
        other => Err(io::Error::other(format!("it said {other:?} out of turn"))),
    }
}
