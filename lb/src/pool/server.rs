//! One server behind a front end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// One server behind a front end. It stays the same object over reloads while front end, name and address stay the same.
#[derive(Debug)]
pub struct Server {
    /// The front end's name.
    pub frontend: Arc<str>,
    /// Its own.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: SocketAddr,
    /// What is counted of it, whatever the plane.
    pub counters: ServerCounters,
}

/// What is counted of a server.
#[derive(Debug, Default)]
pub struct ServerCounters {
    /// Connections now (user plane).
    pub active: AtomicU32,
    /// Connections so far.
    pub total: AtomicU64,
    /// Attempts that it did not take.
    pub failed: AtomicU64,
    /// Octets towards it.
    pub sent: AtomicU64,
    /// Octets from it.
    pub received: AtomicU64,
    /// Connections that it reset.
    pub resets: AtomicU64,
}

impl Server {
    /// A server without a past.
    pub fn new(frontend: &str, name: &str, address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            frontend: frontend.into(),
            name: name.into(),
            address,
            counters: ServerCounters::default(),
        })
    }
}
