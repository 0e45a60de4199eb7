//! Health checks: one connection each, opened, asked over and closed again.
//!
//! A check is an attempt of a client's kind: a connection to the server from whatever address the routes give, a TLS
//! handshake and a request where the kind says so. Redirects are answers, not instructions. Every check ends within
//! [`Probe::timeout`], whatever the server does, and leaves no connection behind: dropping its future closes it.
//!
//! What fails has a name ([`Failure`]), so that the status says *why* a server is down.

mod authority;
mod failure;
mod http;
#[cfg(test)]
mod tests;
mod tls;

pub use authority::Authority;
pub use failure::{Failure, Stage};

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::pool::ProxyOut;
use crate::protocol::proxy;

/// What is asked of a server. Servers with equal probes may share one check.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Probe {
    /// Where to.
    pub target: SocketAddr,
    /// What is spoken.
    pub kind: Kind,
    /// The PROXY header that comes first, where the server waits for one: it says that the connection is our own.
    pub proxy: Option<ProxyOut>,
    /// The whole check takes no longer.
    pub timeout: Duration,
}

/// What is spoken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A connection is enough.
    Tcp,
    /// A request in the clear.
    Http(Question),
    /// A request over TLS.
    Https(Question, Trust),
}

/// An HTTP request and what counts as a good answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The path, with its leading slash.
    pub path: String,
    /// The `Host` header; empty: the target.
    pub host: String,
    /// The statuses that are good, as ranges.
    pub statuses: Vec<(u16, u16)>,
    /// What the beginning of the body must contain; `None`: it is not looked at.
    pub body: Option<String>,
}

/// Whose certificate is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Trust {
    /// The file of authorities one of which must have signed it; `None`: any certificate will do, for what is checked is
    /// whether the server works, and its clients look at its certificate themselves.
    pub ca: Option<PathBuf>,
    /// The name that is asked for, and, with `ca`, that the certificate must be for.
    pub server_name: Option<String>,
}

/// Asks once.
///
/// # Errors
/// What is wrong with the server's answer; [`Failure::Local`] says nothing about the server.
pub async fn ask(probe: &Probe, authority: &Authority) -> Result<(), Failure> {
    let deadline = Instant::now() + probe.timeout;
    let late = |stage: Stage| move |_| Failure::TimedOut(stage);
    let connected = timeout_at(deadline, TcpStream::connect(probe.target)).await;
    let mut stream = connected.map_err(late(Stage::Connect))?.map_err(|error| refused(&error))?;
    if let Some(form) = probe.proxy {
        let mut header = Vec::new();
        proxy::write_local(form.version(), &mut header);
        let written = timeout_at(deadline, stream.write_all(&header)).await;
        written.map_err(late(Stage::Connect))?.map_err(|error| refused(&error))?;
    }
    match &probe.kind {
        Kind::Tcp => Ok(()),
        Kind::Http(question) => http::ask(stream, probe.target, question, deadline).await,
        Kind::Https(question, trust) => {
            let handshake = tls::connect(stream, probe.target, trust, authority);
            let stream = timeout_at(deadline, handshake).await.map_err(late(Stage::Handshake))??;
            http::ask(stream, probe.target, question, deadline).await
        }
    }
}

fn refused(error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => Failure::Refused,
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => Failure::Reset(Stage::Connect),
        Kind::TimedOut => Failure::TimedOut(Stage::Connect),
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => {
            Failure::Unreachable(error.to_string())
        }
        // Out of descriptors, ports or memory, or forbidden here: the server has no part in it.
        _ => Failure::Local(error.to_string()),
    }
}
