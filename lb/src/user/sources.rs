//! Connections per source address, over all loops.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

const SHARDS: usize = 64;

/// How many connections each source has now. It holds no more entries than there are connections.
pub(super) struct Sources {
    shards: Box<[Mutex<HashMap<IpAddr, u32>>]>,
    /// Strangers choose the addresses, so where they go must not be known to them.
    hasher: RandomState,
}

impl Sources {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    /// Counts one more of `source`, unless it has `most` already.
    pub(super) fn enter(&self, source: IpAddr, most: u32) -> bool {
        let mut shard = self.shard(source).lock().unwrap_or_else(PoisonError::into_inner);
        let count = shard.entry(source).or_insert(0);
        if *count >= most {
            // An entry made just now goes again: `most` may be 0.
            if *count == 0 {
                shard.remove(&source);
            }
            return false;
        }
        *count += 1;
        true
    }

    /// One of `source`, which has entered, is over.
    pub(super) fn leave(&self, source: IpAddr) {
        let mut shard = self.shard(source).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = shard.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&source);
            }
        }
    }

    fn shard(&self, source: IpAddr) -> &Mutex<HashMap<IpAddr, u32>> {
        &self.shards[self.hasher.hash_one(source) as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_allowed_and_nothing_is_left_of_those_who_went() {
        let sources = Sources::new();
        let [one, other]: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert!(sources.enter(one, 2) && sources.enter(one, 2) && !sources.enter(one, 2));
        assert!(sources.enter(other, 2));
        sources.leave(one);
        assert!(sources.enter(one, 2));
        assert!(!sources.enter("192.0.2.9".parse().unwrap(), 0));
        for gone in [one, one, other] {
            sources.leave(gone);
        }
        assert!(sources.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
}
