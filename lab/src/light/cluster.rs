//! What a light node serves once it runs from its disk: as much of a cluster's node as a balancer looks at.
//!
//! | Port | What | Who |
//! |---|---|---|
//! | 6443 | the API, HTTPS | bootstrap, control plane |
//! | 22623 | machine configs, HTTPS | bootstrap, control plane |
//! | 80, 443 | ingress | control plane, workers |
//! | 1936 | the ingress router's health | control plane, workers |
//!
//! Every request is answered with 200 and the node's name: each path that a health check asks for is well.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faros_common::site::Role;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, Stream};

const API: u16 = 6443;
const MACHINE_CONFIG: u16 = 22623;
const INGRESS_HTTP: u16 = 80;
const INGRESS_HTTPS: u16 = 443;
const ROUTER_HEALTH: u16 = 1936;

/// How often the node looks whether it was switched off.
const ROUND: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A client gets so long for its request: one is served at a time.
const SILENCE_MAX: Duration = Duration::from_millis(500);

/// A longer request is answered all the same, by its first part.
const REQUEST_BYTES_MAX: usize = 4096;

/// The listening ports of a node.
pub(super) struct Services {
    name: String,
    tls: Arc<ServerConfig>,
    listeners: Vec<(TcpListener, bool)>,
}

impl Services {
    /// Opens the ports of a node with this role, in the namespace of this thread; `None` where it has none.
    pub(super) fn open(name: &str, role: Role) -> Result<Option<Self>, String> {
        let ports: &[u16] = match role {
            Role::Bootstrap => &[API, MACHINE_CONFIG],
            Role::ControlPlane => &[API, MACHINE_CONFIG, INGRESS_HTTP, INGRESS_HTTPS, ROUTER_HEALTH],
            Role::Worker => &[INGRESS_HTTP, INGRESS_HTTPS, ROUTER_HEALTH],
            Role::Other => return Ok(None),
        };
        let listen = |&port: &u16| {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
            let secure = matches!(port, API | MACHINE_CONFIG | INGRESS_HTTPS);
            listener.set_nonblocking(true).map(|()| (listener, secure))
        };
        let listeners: io::Result<Vec<_>> = ports.iter().map(listen).collect();
        let listeners =
            listeners.map_err(|error| format!("cannot serve as a node of the cluster: {error}"))?;
        Ok(Some(Self { name: name.to_owned(), tls: certified(name)?, listeners }))
    }

    /// Serves until `stopping`.
    pub(super) fn run(&self, stopping: &AtomicBool) {
        while !stopping.load(Ordering::Relaxed) {
            let mut waiting: Vec<_> =
                self.listeners.iter().map(|(listener, _)| PollFd::new(listener, PollFlags::IN)).collect();
            if !matches!(poll(&mut waiting, Some(&ROUND)), Ok(1..)) {
                continue;
            }
            for (listener, secure) in &self.listeners {
                while let Ok((client, _)) = listener.accept() {
                    // Whoever hangs up, or speaks something else, has had his answer.
                    let _ = self.serve(client, *secure);
                }
            }
        }
    }

    fn serve(&self, mut client: TcpStream, secure: bool) -> io::Result<()> {
        client.set_nonblocking(false)?;
        client.set_read_timeout(Some(SILENCE_MAX))?;
        client.set_write_timeout(Some(SILENCE_MAX))?;
        if !secure {
            return self.answer(&mut client);
        }
        let mut session = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        self.answer(&mut Stream::new(&mut session, &mut client))?;
        session.send_close_notify();
        session.write_tls(&mut client).map(drop)
    }

    fn answer(&self, client: &mut (impl Read + Write)) -> io::Result<()> {
        let mut request = Vec::new();
        let mut part = [0; 512];
        while !request.windows(4).any(|four| four == b"\r\n\r\n") && request.len() < REQUEST_BYTES_MAX {
            match client.read(&mut part)? {
                0 => return Ok(()),
                length => request.extend_from_slice(&part[..length]),
            }
        }
        let body = format!("{}\n", self.name);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        client.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        client.flush()
    }
}

/// A certificate that the node has signed itself, as API servers have before the cluster's authority is known.
fn certified(name: &str) -> Result<Arc<ServerConfig>, String> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).map_err(|error| error.to_string())?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key.into())
        })
        .map(Arc::new)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_with_the_nodes_name() {
        let services =
            Services { name: "cp1".to_owned(), tls: certified("cp1").unwrap(), listeners: Vec::new() };
        struct Both(io::Cursor<Vec<u8>>, Vec<u8>);
        impl Read for Both {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(buffer)
            }
        }
        impl Write for Both {
            fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
                self.1.write(buffer)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut client = Both(io::Cursor::new(b"GET /readyz HTTP/1.1\r\n\r\n".to_vec()), Vec::new());
        services.answer(&mut client).unwrap();
        let text = String::from_utf8(client.1).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\ncp1\n"), "{text}");
        let mut silent = Both(io::Cursor::new(b"GET".to_vec()), Vec::new());
        services.answer(&mut silent).unwrap();
        assert!(silent.1.is_empty());
    }
}
