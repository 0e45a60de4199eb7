//! What connections may take.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Most connections at once. One more takes the place of the one that has kept us waiting longest, among those of the
/// address that has most; where all are being answered, it is closed. Clients of a whole site need a few at a time, and an
/// attacker gets some 3 kB of ours for each that begins a request, 25 kB at the worst.
pub const CONNECTIONS_MAX: usize = 1024;
/// Most connections at once from one address; beyond, the same among its own.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 256;
/// How long a peer may keep us waiting: from its connection or our last answer to the last byte of its request, and for
/// taking the answer. Then its connection is closed.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Most bodies larger than any that makes sense that are read at once, up to 64 KiB each.
pub(super) const LARGE_BODIES_MAX: usize = 64;
/// Descriptors for everything but connections.
const DESCRIPTORS_ELSE: u64 = 128;

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At once.
    pub connections: usize,
    /// At once, from one address.
    pub per_address: usize,
    /// Of the time that we wait for a peer.
    pub patience: Duration,
}

impl Limits {
    /// The usual limits, as far as the process may have so many descriptors; it asks for what it may have.
    #[must_use]
    pub fn of_process() -> Self {
        let affordable = raise_descriptors().saturating_sub(DESCRIPTORS_ELSE);
        let connections = CONNECTIONS_MAX.min(usize::try_from(affordable).unwrap_or(CONNECTIONS_MAX)).max(16);
        let per_address = CONNECTIONS_PER_ADDRESS_MAX.min(connections);
        Self { connections, per_address, patience: PATIENCE }
    }
}

/// Raises the soft limit of descriptors as far as needed and allowed; gives what holds now.
fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = CONNECTIONS_MAX as u64 + DESCRIPTORS_ELSE;
    let current = limit.current.unwrap_or(u64::MAX);
    let allowed = limit.maximum.unwrap_or(u64::MAX).min(wanted);
    if current >= allowed {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum: limit.maximum }) {
        Ok(()) => allowed,
        Err(error) => {
            warn!(event = "descriptors_limited", %error, current, "fewer connections are possible than usual");
            current
        }
    }
}
