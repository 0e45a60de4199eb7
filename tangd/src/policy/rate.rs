//! How many keys each client may recover: a bucket of its own for everybody, so that nobody pays for another, and a
//! site whose nodes all come at once after a power cut is served as if each were alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::identity::Client;

/// Addresses of no node that are told apart. Those beyond share one bucket; nodes always have their own.
pub(super) const STRANGERS_MAX: usize = 1024;

const MINUTE: Duration = Duration::from_secs(60);

/// Everybody's bucket.
#[derive(Debug, Default)]
pub(super) struct Rates {
    nodes: HashMap<String, Bucket>,
    strangers: HashMap<IpAddr, Bucket>,
    others: Option<Bucket>,
}

/// Holds a minute's recoveries; fills as fast as they are allowed.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// When it would be full.
    full_at: Instant,
}

impl Rates {
    /// In how long `client` may recover a key; none: now.
    pub(super) fn wait(&self, client: &Client, per_minute: u32, now: Instant) -> Option<Duration> {
        let bucket = match &client.node {
            Some(node) => self.nodes.get(node),
            None if self.strangers.len() >= STRANGERS_MAX => {
                self.strangers.get(&client.address).or(self.others.as_ref())
            }
            None => self.strangers.get(&client.address),
        };
        bucket?.wait(per_minute, now)
    }

    /// Counts a recovery of `client`.
    pub(super) fn count(&mut self, client: &Client, per_minute: u32, now: Instant) {
        let bucket = match &client.node {
            Some(node) => match self.nodes.get_mut(node) {
                Some(bucket) => bucket,
                None => self.nodes.entry(node.clone()).or_insert(Bucket { full_at: now }),
            },
            None => {
                if self.strangers.len() >= STRANGERS_MAX && !self.strangers.contains_key(&client.address) {
                    self.strangers.retain(|_, bucket| bucket.full_at > now);
                }
                if self.strangers.len() < STRANGERS_MAX || self.strangers.contains_key(&client.address) {
                    self.strangers.entry(client.address).or_insert(Bucket { full_at: now })
                } else {
                    self.others.get_or_insert(Bucket { full_at: now })
                }
            }
        };
        bucket.full_at = bucket.full_at.max(now) + MINUTE / per_minute.max(1);
    }

    /// Forgets nodes that are gone from the site file.
    pub(super) fn keep_nodes(&mut self, is_node: impl Fn(&str) -> bool) {
        self.nodes.retain(|node, _| is_node(node));
    }
}

impl Bucket {
    fn wait(&self, per_minute: u32, now: Instant) -> Option<Duration> {
        let each = MINUTE / per_minute.max(1);
        // One more must fit: the bucket may lack at most all but one of a minute's.
        let lacking = self.full_at.saturating_duration_since(now) + each;
        lacking.checked_sub(each * per_minute.max(1)).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8, node: Option<&str>) -> Client {
        Client { node: node.map(str::to_owned), ..Client::stranger(IpAddr::from([192, 0, 2, last])) }
    }

    #[test]
    fn a_minutes_share_goes_at_once_and_comes_back_one_by_one() {
        let (mut rates, cp1, start) = (Rates::default(), client(1, Some("cp1")), faros_common::clock::now());
        for _ in 0..6 {
            assert_eq!(rates.wait(&cp1, 6, start), None);
            rates.count(&cp1, 6, start);
        }
        assert_eq!(rates.wait(&cp1, 6, start), Some(Duration::from_secs(10)));
        assert_eq!(rates.wait(&client(2, Some("cp2")), 6, start), None, "others do not pay");
        let later = start + Duration::from_secs(10);
        assert_eq!(rates.wait(&cp1, 6, later), None);
        rates.count(&cp1, 6, later);
        assert_eq!(rates.wait(&cp1, 6, later), Some(Duration::from_secs(10)));
        assert_eq!(rates.wait(&cp1, 6, later + Duration::from_secs(3600)), None);
    }

    #[test]
    fn strangers_take_bounded_room_and_nodes_keep_theirs() {
        let (mut rates, now) = (Rates::default(), faros_common::clock::now());
        for index in 0..5000u32 {
            let stranger = Client::stranger(IpAddr::from(index.to_be_bytes()));
            rates.count(&stranger, 1, now);
        }
        assert_eq!(rates.strangers.len(), STRANGERS_MAX);
        assert!(
            rates.wait(&Client::stranger(IpAddr::from([9, 9, 9, 9])), 1, now).is_some(),
            "they share one"
        );
        assert_eq!(rates.wait(&client(1, Some("cp1")), 1, now), None);
        rates.count(&Client::stranger(IpAddr::from([9, 9, 9, 9])), 1, now + MINUTE * 2);
        assert_eq!(rates.strangers.len(), 1, "whoever has a full bucket needs no place");
    }
}
