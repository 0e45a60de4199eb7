//! Layer-4 balancing.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

/// Who forwards the bytes of a front end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plane {
    /// Decided per front end, with a reason.
    Auto,
    /// The daemon.
    User,
    /// The kernel.
    Kernel,
}

/// Layer-4 balancing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lb {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// The plane of front ends that say nothing else.
    pub plane: Plane,
    /// How long a stopping front end lets connections finish.
    pub drain: Duration,
    /// All front ends: the derived ones first, then the configured ones.
    pub frontends: Vec<Frontend>,
}

/// How a backend is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "well known")]
pub enum Balance {
    LeastConnections,
    RoundRobin,
    RandomTwo,
    Source,
}

/// The two forms of a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyVersion {
    /// The line of text.
    V1,
    /// The binary one.
    V2,
}

/// Addresses that are balanced over backends.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Frontend {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// How a backend is chosen.
    pub balance: Balance,
    /// Who forwards.
    pub plane: Plane,
    /// How backends are checked.
    pub check: Check,
    /// The backends.
    pub backends: Vec<Backend>,
    /// Whether it follows from the cluster's kind instead of standing in the file.
    pub derived: bool,
    /// Whether it is kept from the WAN whatever the gateway allows.
    pub lan_only: bool,
    /// How long all attempts to find a backend for a connection may take together.
    pub connect_timeout: Duration,
    /// A connection over which nothing goes either way is closed after this.
    pub idle_timeout: Duration,
    /// How long a client may take to its first octet; `None`: for ever. Only where [`Frontend::derived`] is false was
    /// it asked for in the file.
    pub first_byte_timeout: Option<Duration>,
    /// Connections at a time.
    pub max_connections: u32,
    /// Connections at a time of one source address; `None`: no bound.
    pub max_per_source: Option<u32>,
    /// Who may connect; empty: everybody.
    pub allow: Vec<IpNet>,
    /// Who must send a PROXY header; empty: nobody may.
    pub accept_proxy: Vec<IpNet>,
    /// The PROXY header that backends get.
    pub send_proxy: Option<ProxyVersion>,
    /// The algorithm of congestion control; `None`: the system's.
    pub congestion_control: Option<String>,
    /// For how long a backend that comes up gets a growing share; zero: its full share at once.
    pub slow_start: Duration,
    /// Whether connections are closed when their backend goes down.
    pub close_on_down: bool,
    /// Whether each connection's end is an event.
    pub log: bool,
}

/// One server behind a front end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: SocketAddr,
    /// Its share, 1 unless set.
    pub weight: u16,
    /// Whether it serves only while no other does (the bootstrap machine).
    pub backup: bool,
}

/// What a health check speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "well known")]
pub enum CheckKind {
    Tcp,
    Http,
    Https,
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it speaks.
    pub kind: CheckKind,
    /// What it asks for (http, https).
    pub path: String,
    /// The port, where it is not the backend's.
    pub port: Option<u16>,
    /// How often.
    pub interval: Duration,
    /// How often while answers and state disagree; never above `interval`.
    pub fast_interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Good answers until up.
    pub rise: u32,
    /// Bad answers until down.
    pub fall: u32,
    /// What a good answer's status is (http, https); one range at least.
    pub status: Vec<RangeInclusive<u16>>,
    /// What a good answer's body contains (http, https).
    pub body: Option<String>,
    /// The certificates, PEM, that the backend's own is checked against (https); `None`: any will do.
    pub ca: Option<PathBuf>,
    /// The name that is asked for and that a checked certificate must carry; `None`: the backend's address.
    pub server_name: Option<String>,
}
