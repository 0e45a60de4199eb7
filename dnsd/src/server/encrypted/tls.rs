//! Listeners of TLS over TCP: for DNS as it is, and for HTTPS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use faros_common::daemon::Control;
use faros_common::tasks;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{HANDSHAKE_TIME, https};
use crate::engine::{Client, Engine, Transport};
use crate::server::admission::Admission;
use crate::server::stream;

/// A pause when no connection can be accepted for want of descriptors or memory.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// What is spoken inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// DNS, each message with its length in front (RFC 7858 section 3.3).
    Tls,
    /// HTTP (RFC 8484).
    Https,
}

impl Kind {
    /// What is offered in the handshake, best first.
    pub(super) fn alpn(self) -> &'static [&'static [u8]] {
        match self {
            Self::Tls => &[b"dot"],
            Self::Https => &[b"h2", b"http/1.1"],
        }
    }

    fn transport(self) -> Transport {
        match self {
            Self::Tls => Transport::Tls,
            Self::Https => Transport::Https,
        }
    }
}

/// What every connection works with.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) engine: Arc<Engine>,
    pub(super) admission: Arc<Admission>,
    pub(super) control: Control,
}

/// Serves whoever connects until the daemon stops.
pub(super) async fn serve(listener: TcpListener, kind: Kind, config: Arc<ServerConfig>, shared: Shared) {
    let acceptor = TlsAcceptor::from(config);
    loop {
        let accepted = tokio::select! {
            () = shared.control.stopping() => return,
            accepted = listener.accept() => accepted,
        };
        let (connection, peer) = match accepted {
            Ok(accepted) => accepted,
            // A client that is gone again is no reason to pause.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(_) => {
                shared.engine.counters().connection_refused("accept_failed");
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        let of_site = shared.engine.policy().access.is_of_site(peer.ip());
        let Some(place) = shared.admission.admit(peer.ip(), of_site) else { continue };
        let Ok(local) = connection.local_addr() else { continue };
        // Replies are written whole; waiting for more would only delay them.
        let _ = connection.set_nodelay(true);
        let client = Client { address: peer, local: local.ip(), transport: kind.transport() };
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tasks::spawn("encrypted connection", async move {
            welcome(connection, kind, client, &acceptor, &shared).await;
            drop(place);
        });
    }
}

/// Shakes hands, and serves.
async fn welcome(connection: TcpStream, kind: Kind, client: Client, acceptor: &TlsAcceptor, shared: &Shared) {
    let Shared { engine, admission, control } = shared;
    let handshake = tokio::select! {
        () = control.stopping() => return,
        handshake = tokio::time::timeout(HANDSHAKE_TIME, acceptor.accept(connection)) => handshake,
    };
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) => return engine.counters().connection_ended("handshake_failed"),
        Err(_) => return engine.counters().connection_ended("slow_handshake"),
    };
    match kind {
        Kind::Tls => drop(stream::serve(stream, client, engine, admission, control).await),
        Kind::Https => https::serve(stream, client, shared).await,
    }
}
