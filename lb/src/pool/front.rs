//! A front end as the planes see it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use super::Roster;
use crate::protocol::proxy::Version;

/// A front end: settings and counters; the roster changes under it.
pub struct Front {
    /// Its name.
    pub name: Arc<str>,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// How its connections are treated.
    pub settings: Settings,
    /// Who may get connections now.
    pub roster: Arc<ArcSwap<Roster>>,
    /// What is counted of it; the same object over reloads.
    pub counters: Arc<FrontCounters>,
}

impl fmt::Debug for Front {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Front")
            .field("name", &self.name)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// How connections are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// All attempts to find a server together take no longer.
    pub connect: Duration,
    /// A connection over which nothing goes either way is closed after this.
    pub idle: Duration,
    /// How long a client may take to its first octet; `None`: for ever (the server may speak first).
    pub first_byte: Option<Duration>,
    /// Bounds.
    pub limits: Limits,
    /// Who may connect; empty: everybody.
    pub allow: Vec<IpNet>,
    /// Who must send a PROXY header; empty: nobody sends one.
    pub proxy_in: Vec<IpNet>,
    /// The PROXY header that servers get.
    pub proxy_out: Option<ProxyOut>,
    /// The algorithm of congestion control on both legs; `None`: the system's.
    pub congestion: Option<String>,
    /// Whether each connection's end is told to the observer.
    pub log: bool,
    /// Whether connections are closed when their server is marked down.
    pub close_on_down: bool,
}

/// Bounds of a front end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; beyond it new ones wait in the listening queue of the kernel.
    pub connections: u32,
    /// Connections at a time of one source address; beyond it new ones are reset. `None`: no bound.
    pub per_source: Option<u32>,
}

/// A PROXY header towards servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyOut {
    /// The line of text.
    V1,
    /// The binary one.
    V2,
}

impl ProxyOut {
    /// The version of the protocol.
    pub fn version(self) -> Version {
        match self {
            Self::V1 => Version::V1,
            Self::V2 => Version::V2,
        }
    }
}

/// What is counted of a front end.
#[derive(Debug, Default)]
pub struct FrontCounters {
    /// Connections now (user plane).
    pub active: AtomicU32,
    /// Connections accepted so far.
    pub accepted: AtomicU64,
    /// Octets from clients.
    pub sent: AtomicU64,
    /// Octets to clients.
    pub received: AtomicU64,
    /// Connections by how they ended, in the order of [`super::Cut`].
    pub ended: [AtomicU64; 15],
    /// Attempts to connect that went on to another server.
    pub retries: AtomicU64,
    /// Attempts to connect that were joined by a second one because the first did not answer.
    pub hedges: AtomicU64,
}
