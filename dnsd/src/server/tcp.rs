//! Accepting connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faros_common::daemon::Control;
use faros_common::tasks;
use tokio::net::TcpListener;

use super::admission::Admission;
use super::stream;
use crate::engine::{Client, Engine, Transport};

/// A pause when no connection can be accepted for want of descriptors or memory.
const ERROR_PAUSE: Duration = Duration::from_millis(50);
/// How often a listener without clients shows that it lives.
const BEAT: Duration = Duration::from_millis(500);

/// A listener for DNS over TCP.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    turns: AtomicU64,
}

impl Listener {
    /// Takes a bound, non-blocking listener over. Must be called within the runtime.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self { listener: TcpListener::from_std(listener)?, address, turns: AtomicU64::new(0) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often its loop has gone round.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Serves whoever connects until the daemon stops. Connections are tasks of their own, which end by themselves.
    pub async fn serve(self: Arc<Self>, engine: Arc<Engine>, admission: Arc<Admission>, control: Control) {
        loop {
            self.turns.fetch_add(1, Ordering::Relaxed);
            let accepted = tokio::select! {
                () = control.stopping() => return,
                accepted = self.listener.accept() => accepted,
                () = tokio::time::sleep(BEAT) => continue,
            };
            let (connection, peer) = match accepted {
                Ok(accepted) => accepted,
                // A client that is gone again is no reason to pause.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(_) => {
                    engine.counters().connection_refused("accept_failed");
                    tokio::time::sleep(ERROR_PAUSE).await;
                    continue;
                }
            };
            let of_site = engine.policy().access.is_of_site(peer.ip());
            let Some(place) = admission.admit(peer.ip(), of_site) else { continue };
            let Ok(local) = connection.local_addr() else { continue };
            // Replies are written whole; waiting for more would only delay them.
            let _ = connection.set_nodelay(true);
            let client = Client { address: peer, local: local.ip(), transport: Transport::Tcp };
            let (engine, admission, control) = (Arc::clone(&engine), Arc::clone(&admission), control.clone());
            tasks::spawn("connection", async move {
                stream::serve(connection, client, &engine, &admission, &control).await;
                drop(place);
            });
        }
    }
}
