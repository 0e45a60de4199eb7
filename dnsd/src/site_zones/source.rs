//! Where an answer comes from.

use std::fmt;

use serde::Serialize;

/// Where an answer comes from, as `farosctl dns query` and the query log show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The site file, or what follows from it.
    Zone,
    /// A dynamic lease.
    Lease,
    /// A dynamic update (RFC 2136).
    Update,
    /// An answer of an upstream server that is still fresh.
    Cache,
    /// An answer of an upstream server beyond its time (RFC 8767).
    Stale,
    /// An upstream server, just now.
    Upstream,
    /// Nobody: it failed, now or a moment ago (RFC 9520).
    Failure,
    /// Nobody was asked: a rule of the server decides, such as a refusal.
    Policy,
}

impl Source {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Zone,
        Self::Lease,
        Self::Update,
        Self::Cache,
        Self::Stale,
        Self::Upstream,
        Self::Failure,
        Self::Policy,
    ];

    /// The name in answers, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::Lease => "lease",
            Self::Update => "update",
            Self::Cache => "cache",
            Self::Stale => "stale",
            Self::Upstream => "upstream",
            Self::Failure => "failure",
            Self::Policy => "policy",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
