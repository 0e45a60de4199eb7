//! Ports that are taken while privileged, and opened once there is a certificate.
//!
//! A TCP port that is bound and not listened on refuses its clients, as if nobody were there: better than to accept
//! them and have nothing to show.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use faros_common::daemon::{Start, StartError};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tracing::{info, warn};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A TCP port.
pub(super) struct Door {
    socket: Socket,
    address: SocketAddr,
}

/// A UDP port.
pub(super) struct QuicDoor {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Door {
    /// Takes the port; listens already where somebody can be `serving`. `None`: it cannot be had, and is not needed
    /// now either.
    pub(super) fn bind(
        address: SocketAddr,
        serving: bool,
        start: &mut Start,
    ) -> Result<Option<Self>, StartError> {
        let socket = if serving { start.tcp(address).map(Socket::from) } else { reserve(address) };
        match socket {
            Ok(socket) => Ok(Some(Self::of(socket))),
            Err(error) if !serving => Ok(forgo(address, &error)),
            Err(error) => Err(error),
        }
    }

    /// The port that `socket` is bound to.
    pub(super) fn of(socket: Socket) -> Self {
        let address = socket.local_addr().ok().and_then(|address| address.as_socket());
        Self { socket, address: address.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))) }
    }

    /// Where it is.
    #[cfg(test)]
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens. Must be called within the runtime.
    pub(super) fn open(self) -> Option<(tokio::net::TcpListener, SocketAddr)> {
        let listening = self.socket.listen(BACKLOG).and_then(|()| {
            let listener = TcpListener::from(self.socket);
            listener.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(listener)
        });
        match listening {
            Ok(listener) => Some((listener, self.address)),
            Err(error) => cannot_open(self.address, &error),
        }
    }
}

impl QuicDoor {
    /// As [`Door::bind`].
    pub(super) fn bind(
        address: SocketAddr,
        serving: bool,
        start: &mut Start,
    ) -> Result<Option<Self>, StartError> {
        match start.udp(address) {
            Ok(socket) => Ok(Some(Self::of(socket))),
            Err(error) if !serving => Ok(forgo(address, &error)),
            Err(error) => Err(error),
        }
    }

    /// The port that `socket` is bound to.
    pub(super) fn of(socket: UdpSocket) -> Self {
        let address = socket.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        Self { socket, address }
    }

    /// Where it is.
    #[cfg(test)]
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// An endpoint on the port. Must be called within the runtime.
    pub(super) fn open(self, config: quinn::ServerConfig) -> Option<(quinn::Endpoint, SocketAddr)> {
        let runtime = Arc::new(quinn::TokioRuntime);
        match quinn::Endpoint::new(quinn::EndpointConfig::default(), Some(config), self.socket, runtime) {
            Ok(endpoint) => Some((endpoint, self.address)),
            Err(error) => cannot_open(self.address, &error),
        }
    }
}

/// Binds a TCP socket as [`Start::tcp`] does, without listening.
pub(super) fn reserve(address: SocketAddr) -> Result<Socket, StartError> {
    let bound = || -> io::Result<Socket> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        match address {
            SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
            SocketAddr::V6(_) => {
                socket.set_only_v6(true)?;
                socket.set_freebind_v6(true)?;
            }
        }
        socket.bind(&SockAddr::from(address))?;
        Ok(socket)
    };
    bound().map_err(|error| StartError::System(format!("cannot take tcp {address}: {error}")))
}

fn forgo<T>(address: SocketAddr, error: &StartError) -> Option<T> {
    info!(event = "port_forgone", %address, %error, "a port is not taken, as there is no certificate for it");
    None
}

fn cannot_open<T>(address: SocketAddr, error: &io::Error) -> Option<T> {
    warn!(event = "port_closed", %address, %error, "a port cannot be opened; restart the daemon once it is free");
    None
}
