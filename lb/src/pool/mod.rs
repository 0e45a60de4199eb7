//! What the control side and both data planes share: servers with their counters, who may get connections now, and the
//! front end that they belong to.
//!
//! ```text
//! checks ──► health machines ──► director ──publishes──► Roster ──read by──► user plane (per connection)
//!              ▲                                            └──────────────► kernel plane (one transaction)
//!              └────── Observer: what the planes saw of the servers ◄──────────┘
//! ```

mod front;
mod roster;
mod server;

pub use front::{Front, FrontCounters, Limits, ProxyOut, Settings};
pub use roster::{Roster, Slot};
pub use server::{Server, ServerCounters};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Why a connection attempt to a server failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectFailure {
    /// It answered with a reset: nothing listens there.
    Refused,
    /// It did not answer within the time for connecting.
    TimedOut,
    /// The network says that there is no way.
    Unreachable,
    /// This host had no port, descriptor or memory left: says nothing of the server.
    Local,
}

/// Who or what ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// Both sides were done, the client first.
    ClientDone,
    /// Both sides were done, the server first.
    ServerDone,
    /// The client sent a reset.
    ClientReset,
    /// The server sent a reset.
    ServerReset,
    /// The client did not answer any more (keepalive, user time-out).
    ClientVanished,
    /// The server did not answer any more.
    ServerVanished,
    /// Nothing went either way for [`Settings::idle`].
    Idle,
    /// The client sent nothing within [`Settings::first_byte`].
    FirstByte,
    /// No server took it.
    NoServer,
    /// Beyond a limit of the front end.
    Limit,
    /// Its PROXY header was malformed, missing, or came from a source that is not trusted.
    ProxyHeader,
    /// Its source may not use the front end.
    Source,
    /// Its server was marked down or removed.
    MarkedDown,
    /// The time for draining was over.
    Drained,
    /// This host ran out of something, or a defect.
    Internal,
}

/// A connection that is over, for the log of the front end.
#[derive(Clone, Debug)]
pub struct ConnectionEnd {
    /// Its front end.
    pub front: Arc<Front>,
    /// The client, as the PROXY header said where there was one.
    pub client: SocketAddr,
    /// Where it came in.
    pub local: SocketAddr,
    /// Its server, where it had one.
    pub server: Option<Arc<Server>>,
    /// Servers tried in vain before.
    pub retries: u32,
    /// From its acceptance to the server's.
    pub connect: Option<Duration>,
    /// From its acceptance to the end.
    pub total: Duration,
    /// Octets from the client to the server.
    pub sent: u64,
    /// Octets from the server to the client.
    pub received: u64,
    /// Who ended it.
    pub cut: Cut,
}

/// Who is told what a plane sees. Called from the data path: must not block.
pub trait Observer: Send + Sync + 'static {
    /// A server did not take a connection; `Local` failures are not told.
    fn connect_failed(&self, server: &Arc<Server>, failure: ConnectFailure);
    /// A server that had failed before has taken a connection.
    fn connect_succeeded(&self, server: &Arc<Server>);
    /// A connection is over; told only of front ends with [`Settings::log`].
    fn ended(&self, end: &ConnectionEnd);
}
