//! Events that a peer can cause at will, at most one a second of each kind and peer.
//!
//! The event stream keeps a fixed number of events: a client in a loop must not push a node's timeline out
//! of it. What is left out here is still counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One event of a kind and peer within this time.
const PAUSE: Duration = Duration::from_secs(1);
/// Most kinds and peers that are told apart. Beyond it nothing is emitted for new ones until old ones lapse.
const KEYS_MAX: usize = 1024;

/// What was emitted lately.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    latest: Mutex<HashMap<(IpAddr, u64), Instant>>,
}

impl Quiet {
    /// Whether an event about `peer` and `what` may be emitted now.
    pub(super) fn allows(&self, peer: IpAddr, what: &[&str], now: Instant) -> bool {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        let key = (peer, hasher.finish());
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.get(&key).is_some_and(|at| now.duration_since(*at) < PAUSE) {
            return false;
        }
        if latest.len() >= KEYS_MAX {
            latest.retain(|_, at| now.duration_since(*at) < PAUSE);
        }
        if latest.len() >= KEYS_MAX {
            return false;
        }
        latest.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use faros_common::clock;

    use super::*;

    #[test]
    fn one_of_a_kind_per_second_and_bounded() {
        let (quiet, peer, now) = (Quiet::default(), IpAddr::from([192, 0, 2, 1]), clock::now());
        assert!(quiet.allows(peer, &["a"], now));
        assert!(!quiet.allows(peer, &["a"], now));
        assert!(quiet.allows(peer, &["b"], now));
        assert!(quiet.allows(IpAddr::from([192, 0, 2, 2]), &["a"], now));
        assert!(quiet.allows(peer, &["a"], now + PAUSE));
        let names: Vec<String> = (0..2 * KEYS_MAX).map(|index| index.to_string()).collect();
        let allowed = names.iter().filter(|name| quiet.allows(peer, &[name], now + PAUSE)).count();
        assert!(allowed < KEYS_MAX);
        assert!(quiet.allows(peer, &["c"], now + 3 * PAUSE));
    }
}
