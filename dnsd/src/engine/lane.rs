//! The slow lane: questions that wait for somebody else, and how many may.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::metrics::gauge::Gauge;

/// Questions that wait at a time, over all transports. One more is answered SERVFAIL at once.
pub const WAITING_MAX: usize = 2048;
/// Of these, questions of one client. One more is answered SERVFAIL at once.
pub const CLIENT_WAITING_MAX: usize = WAITING_MAX / 2;

/// Clients are told apart by a hash of so many values; two that share one share their limit.
const BUCKETS: usize = 512;

/// Counts who waits.
#[derive(Debug)]
pub struct Lane {
    waiting: AtomicUsize,
    of_client: [AtomicUsize; BUCKETS],
    gauge: Gauge,
}

impl Lane {
    /// Nobody waits; `gauge` shows how many do.
    pub fn new(gauge: Gauge) -> Arc<Self> {
        let of_client = std::array::from_fn(|_| AtomicUsize::new(0));
        Arc::new(Self { waiting: AtomicUsize::new(0), of_client, gauge })
    }

    /// Lets a question of `client` wait; `None`: too many do.
    pub fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Pass> {
        let bucket = bucket_of(client);
        take(&self.of_client[bucket], CLIENT_WAITING_MAX)?;
        if take(&self.waiting, WAITING_MAX).is_none() {
            self.of_client[bucket].fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.gauge.inc();
        Some(Pass { lane: Arc::clone(self), bucket })
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

fn take(count: &AtomicUsize, max: usize) -> Option<()> {
    if count.fetch_add(1, Ordering::Relaxed) < max {
        return Some(());
    }
    count.fetch_sub(1, Ordering::Relaxed);
    None
}

fn bucket_of(client: IpAddr) -> usize {
    let bits = match client {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        // A network of 64 bits is one client.
        IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
    };
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % BUCKETS
}

/// The right to wait; given back when it is dropped.
#[derive(Debug)]
pub struct Pass {
    lane: Arc<Lane>,
    /// Whose.
    bucket: usize,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.lane.of_client[self.bucket].fetch_sub(1, Ordering::Relaxed);
        self.lane.waiting.fetch_sub(1, Ordering::Relaxed);
        self.lane.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_room_for_the_others() {
        let lane = Lane::new(Gauge::default());
        let enter = |host: u8| lane.enter(IpAddr::from([192, 168, 8, host]));
        let greedy: Vec<Pass> = std::iter::from_fn(|| enter(7)).collect();
        assert_eq!(greedy.len(), CLIENT_WAITING_MAX);
        let others: Vec<Pass> = (8..=255).cycle().take(WAITING_MAX).filter_map(enter).collect();
        assert_eq!(others.len(), WAITING_MAX - CLIENT_WAITING_MAX);
        drop((greedy, others));
        assert_eq!((lane.waiting(), lane.gauge.get()), (0, 0));
        assert!(enter(7).is_some());
    }
}
