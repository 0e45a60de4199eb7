//! Layer-4 balancing.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

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
    /// Whether it may be reached from the WAN at all.
    pub lan_only: bool,
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
    /// Good answers until up.
    pub rise: u32,
    /// Bad answers until down.
    pub fall: u32,
}
